"""The buttons of a study for programs and scripts."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Form
from pydantic import BaseModel
from starlette.status import HTTP_404_NOT_FOUND, HTTP_409_CONFLICT

from worker.correcting import LONGEST_REASON
from worker.web.access import OwnForm
from worker.web.actions import Destination, OfAdmin, OfPerson
from worker.web.deeds import UNKNOWN
from worker.web.problems import Problem

_MISSING: dict[int | str, dict[str, Any]] = {HTTP_404_NOT_FOUND: {"model": Problem, "description": UNKNOWN}}
_CONFLICT: dict[int | str, dict[str, Any]] = {
    HTTP_409_CONFLICT: {"model": Problem, "description": "There is no flag, or it is still being scored."}
}

router = APIRouter(prefix="/api/v1", tags=["actions"], dependencies=[OwnForm], responses=_MISSING)


class Withdrawn(BaseModel):
    """The result that withdraws a flag, and where it goes."""

    result_uid: str
    destinations: Sequence[str]


class SentAgain(BaseModel):
    """How many dead letters are on their way again."""

    deliveries: int


class TriedAgain(BaseModel):
    """Ids of the images that are at work again, and of those that cannot be, as their files are gone."""

    images: Sequence[int]
    purged: Sequence[int]


@router.post("/studies/{uid}/withdraw", responses=_CONFLICT)
def withdraw(
    deeds: OfPerson, reason: Annotated[str, Form(min_length=1, max_length=LONGEST_REASON, pattern=r"^[^\x00]*$")]
) -> Withdrawn:
    """Withdraw the flag of a study: a new result takes its priority back."""
    done = deeds.withdraw(reason)
    return Withdrawn(result_uid=done.result_uid, destinations=done.destinations)


@router.post("/studies/{uid}/send-again")
def send_again(deeds: OfAdmin, destination: Destination = "") -> SentAgain:
    """Put the dead letters of a study back into the outbox, of one destination or of all."""
    return SentAgain(deliveries=deeds.send_again(destination or None))


@router.post("/studies/{uid}/try-again")
def try_again(deeds: OfAdmin) -> TriedAgain:
    """Put the images of a study that were set aside back to work."""
    done = deeds.try_again()
    return TriedAgain(images=done.images, purged=done.purged)
