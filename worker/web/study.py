"""One study: its films, what was said of it, where that went, and everything that happened."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from starlette.status import HTTP_404_NOT_FOUND

from worker.domain import UserRole
from worker.repository.page_pictures import frames_of
from worker.repository.page_worklist import find_study
from worker.repository.views import StudyHistory, study_history
from worker.service import Service
from worker.web.access import User
from worker.web.actions import DONE, Uid
from worker.web.deeds import UNKNOWN
from worker.web.pages import page
from worker.web.problems import Problem

router = APIRouter()


@router.get("/studies/{uid}", include_in_schema=False)
def study(request: Request, uid: Uid, who: User, done: Annotated[str, Query()] = "") -> Response:
    """Show a study, and what was just done about it."""
    return _shown(request, "study.html", uid, who, done=DONE.get(done))


@router.get("/studies/{uid}/report", include_in_schema=False)
def report(request: Request, uid: Uid, who: User) -> Response:
    """Show a study on one page, to be printed for the review of an incident."""
    return _shown(request, "report.html", uid, who)


@router.get(
    "/api/v1/studies/{uid}",
    tags=["studies"],
    responses={HTTP_404_NOT_FOUND: {"model": Problem, "description": UNKNOWN}},
)
def study_as_json(request: Request, uid: Uid, who: User) -> StudyHistory:
    """Return the whole history of a study; to a program without readers' comments, which may name the patient."""
    service: Service = request.app.state.service
    with service.database.read() as session:
        history = study_history(session, uid)
    if history is None:
        raise HTTPException(HTTP_404_NOT_FOUND, UNKNOWN)
    return _without_comments(history) if who.role is UserRole.INTERFACE else history


def _without_comments(history: StudyHistory) -> StudyHistory:
    told = [verdict.model_copy(update={"comment": None}) for verdict in history.verdicts]
    return history.model_copy(update={"verdicts": told})


def _shown(request: Request, template: str, uid: str, who: User, *, done: str | None = None) -> Response:
    service: Service = request.app.state.service
    with service.database.read() as session:
        line, history, frames = find_study(session, uid), study_history(session, uid), frames_of(session, uid)
    if line is None or history is None:
        raise HTTPException(HTTP_404_NOT_FOUND, UNKNOWN)
    return page(request, template, who, line=line, history=history, frames=frames, done=done, now=service.now())
