"""One study: its films, what was said of it, where that went, and everything that happened."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from starlette.status import HTTP_404_NOT_FOUND

from worker.domain import UserRole
from worker.repository.page_pictures import frames_of
from worker.repository.page_worklist import find_study
from worker.repository.views import EventView, StudyHistory, study_history
from worker.repository.web_sessions import SignedIn
from worker.service import Service
from worker.timeline import sentence
from worker.web.access import Person, User
from worker.web.actions import DONE, Uid
from worker.web.deeds import UNKNOWN
from worker.web.pages import page
from worker.web.problems import Problem

router = APIRouter()


@router.get("/studies/{uid}", include_in_schema=False)
def study(request: Request, uid: Uid, who: Person, done: Annotated[str, Query()] = "") -> Response:
    """Show a study, and what was just done about it."""
    return _shown(request, "study.html", uid, who, done=DONE.get(done))


@router.get("/studies/{uid}/report", include_in_schema=False)
def report(request: Request, uid: Uid, who: Person) -> Response:
    """Show a study on one page, to be printed for the review of an incident."""
    return _shown(request, "report.html", uid, who)


@router.get(
    "/api/v1/studies/{uid}",
    tags=["studies"],
    responses={HTTP_404_NOT_FOUND: {"model": Problem, "description": UNKNOWN}},
)
def study_as_json(request: Request, uid: Uid, who: User) -> StudyHistory:
    """Return the whole history of a study; to a program without what readers wrote, which may name the patient."""
    service: Service = request.app.state.service
    with service.database.read() as session:
        history = study_history(session, uid)
    if history is None:
        raise HTTPException(HTTP_404_NOT_FOUND, UNKNOWN)
    return _without_free_text(history) if who.role is UserRole.INTERFACE else history


def _without_free_text(history: StudyHistory) -> StudyHistory:
    verdicts = [verdict.model_copy(update={"comment": None}) for verdict in history.verdicts]
    events = [_without_reason(event) if event.kind == "flag-withdrawn" else event for event in history.events]
    return history.model_copy(update={"verdicts": verdicts, "events": events})


def _without_reason(event: EventView) -> EventView:
    detail = {**event.detail, "reason": "for a reason that people see here"}
    return event.model_copy(update={"detail": detail, "text": sentence(event.kind, detail)})


def _shown(request: Request, template: str, uid: str, who: SignedIn, *, done: str | None = None) -> Response:
    service: Service = request.app.state.service
    with service.database.read() as session:
        line, history, frames = find_study(session, uid), study_history(session, uid), frames_of(session, uid)
    if line is None or history is None:
        raise HTTPException(HTTP_404_NOT_FOUND, UNKNOWN)
    return page(request, template, who, line=line, history=history, frames=frames, done=done, now=service.now())
