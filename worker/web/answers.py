"""The forms by which a reader answers what the service said of a study."""

from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request, Response
from starlette.status import HTTP_404_NOT_FOUND, HTTP_422_UNPROCESSABLE_CONTENT

from worker.domain import VerdictWord
from worker.errors import ReadingError, UnknownStudyError
from worker.reading import Reading
from worker.web.access import OwnForm, Person
from worker.web.actions import Comment, Uid, back_to

router = APIRouter(include_in_schema=False, dependencies=[OwnForm])


@router.post("/studies/{uid}/verdict")
def say(
    request: Request,
    uid: Uid,
    who: Person,
    verdict: Annotated[VerdictWord, Form()],
    comment: Comment = "",
) -> Response:
    """Record a reader's verdict; the study is read by that."""
    try:
        Reading(request.app.state.service, who.name).say(uid, verdict, comment)
    except ReadingError as error:
        raise _problem(error) from None
    return back_to(uid, "answered")


@router.post("/studies/{uid}/read")
def mark_read(request: Request, uid: Uid, who: Person) -> Response:
    """Say that somebody has read the study, without a verdict."""
    try:
        Reading(request.app.state.service, who.name).mark_read(uid)
    except ReadingError as error:
        raise _problem(error) from None
    return back_to(uid, "read")


def _problem(error: ReadingError) -> HTTPException:
    unknown = isinstance(error, UnknownStudyError)
    return HTTPException(HTTP_404_NOT_FOUND if unknown else HTTP_422_UNPROCESSABLE_CONTENT, str(error))
