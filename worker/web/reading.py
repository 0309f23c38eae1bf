"""The API of what was read, and of what readers say."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Path, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime, BaseModel
from starlette.status import HTTP_404_NOT_FOUND

from worker.domain import VerdictWord
from worker.errors import ReadingError, UnknownStudyError
from worker.reading import LONGEST_COMMENT, Reading
from worker.repository.verdicts import VerdictView, is_known, summarise, verdicts
from worker.web.access import OwnForm, Person, User
from worker.web.problems import Problem

router = APIRouter(prefix="/api/v1", tags=["reading"])

StudyUid = Annotated[str, Path(pattern=r"^[!-~]+$", max_length=64, description="Study Instance UID.")]
ReadAt = Annotated[
    AwareDatetime | None,
    Form(description="When it was read, with its time zone; by default now. An image that came later is still unread."),
]


class Read(BaseModel):
    """Since when a study counts as read; null if an image came after the time that was said."""

    study_instance_uid: str
    read_at: datetime | None


class StudyVerdicts(BaseModel):
    """What readers said of a study, oldest first; `verdict` is what they say together."""

    study_instance_uid: str
    verdict: str | None
    verdicts: list[VerdictView]


_UNKNOWN: dict[int | str, dict[str, Any]] = {
    HTTP_404_NOT_FOUND: {"model": Problem, "description": "No such study was received."},
}


@router.post("/studies/{uid}/read", dependencies=[OwnForm], responses=_UNKNOWN)
def mark_read(request: Request, who: User, uid: StudyUid, read_at: ReadAt = None) -> Read:
    """Say that a person has read the study, as a RIS's interface engine does. Again is no news."""
    try:
        marked = Reading(request.app.state.service, who.name).mark_read(uid, read_at)
    except ReadingError as error:
        raise _problem(error) from None
    return Read(study_instance_uid=uid, read_at=marked)


@router.post("/studies/{uid}/verdicts", dependencies=[OwnForm], responses=_UNKNOWN)
def say(
    request: Request,
    who: Person,
    uid: StudyUid,
    verdict: Annotated[VerdictWord, Form()],
    comment: Annotated[str, Form(max_length=LONGEST_COMMENT)] = "",
) -> StudyVerdicts:
    """Say whether one agrees with what the service said of the study; the study is read by that."""
    try:
        said = Reading(request.app.state.service, who.name).say(uid, verdict, comment)
    except ReadingError as error:
        raise _problem(error) from None
    return StudyVerdicts(study_instance_uid=uid, verdict=summarise(said), verdicts=said)


@router.get("/studies/{uid}/verdicts", responses=_UNKNOWN)
def read_verdicts(request: Request, who: Person, uid: StudyUid) -> StudyVerdicts:
    """Return what readers said of the study; comments may name the patient."""
    del who
    with request.app.state.service.database.read() as session:
        if not is_known(session, uid):
            raise HTTPException(HTTP_404_NOT_FOUND, f"no study {uid} was received")
        said = verdicts(session, uid)
    return StudyVerdicts(study_instance_uid=uid, verdict=summarise(said), verdicts=said)


def _problem(error: ReadingError) -> HTTPException | RequestValidationError:
    if isinstance(error, UnknownStudyError):
        return HTTPException(HTTP_404_NOT_FOUND, str(error))
    return RequestValidationError(
        [{"type": "value_error", "loc": ("body",), "msg": str(error)}]
    )  # answered as its kind
