"""Blind reading in shadow mode: the films of a study, one question, and nothing that was said of it."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.status import HTTP_303_SEE_OTHER, HTTP_404_NOT_FOUND, HTTP_422_UNPROCESSABLE_CONTENT

from worker.errors import ReadingError, UnknownStudyError
from worker.reading import Reading
from worker.repository.blind import MOST_SHOWN, blind_study, has_judged, unjudged
from worker.service import Service
from worker.web.access import OwnForm, Person
from worker.web.actions import UID_PATTERN, Comment, Uid
from worker.web.deeds import UNKNOWN
from worker.web.pages import page

DAYS = 30

router = APIRouter(include_in_schema=False)

Done = Annotated[str | None, Query(max_length=64, pattern=UID_PATTERN)]  # the study that was judged just now


@router.get("/blind")
def waiting_list(request: Request, who: Person, done: Done = None) -> Response:
    """Show the studies that wait for this reader's judgement; where flags are sent, there is only the worklist."""
    service: Service = request.app.state.service
    if not service.settings.shadow:
        return RedirectResponse("/", HTTP_303_SEE_OTHER)
    now = service.now()
    with service.database.read() as session:
        studies = unjudged(session, who.name, now, DAYS)
        done = done if done is not None and has_judged(session, who.name, done) else None
    more = len(studies) == MOST_SHOWN
    return page(request, "blind.html", who, studies=studies, more=more, days=DAYS, now=now, done=done)


@router.get("/blind/{uid}")
def films(request: Request, uid: Uid, who: Person) -> Response:
    """Show the films of a study, and ask."""
    service: Service = request.app.state.service
    if not service.settings.shadow:  # there is no question that would be blind
        return RedirectResponse(f"/studies/{quote(uid, safe='')}", HTTP_303_SEE_OTHER)
    with service.database.read() as session:
        study = blind_study(session, uid)
    if study is None:
        raise HTTPException(HTTP_404_NOT_FOUND, UNKNOWN)
    return page(request, "blind_study.html", who, study=study)


@router.post("/blind/{uid}", dependencies=[OwnForm])
def judge(
    request: Request,
    uid: Uid,
    who: Person,
    *,
    suspected: Annotated[bool, Form()],
    comment: Comment = "",
) -> Response:
    """Record whether the reader suspects the finding; the study is read by that."""
    try:
        Reading(request.app.state.service, who.name).judge(uid, suspected=suspected, comment=comment)
    except ReadingError as error:
        unknown = isinstance(error, UnknownStudyError)
        raise HTTPException(HTTP_404_NOT_FOUND if unknown else HTTP_422_UNPROCESSABLE_CONTENT, str(error)) from None
    return RedirectResponse(f"/blind?{urlencode({'done': uid})}", HTTP_303_SEE_OTHER)
