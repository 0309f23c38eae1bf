"""The buttons of a study. Each first shows what it will do; that takes no script."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, HTTPException, Path, Request, Response
from fastapi.responses import RedirectResponse
from starlette.status import HTTP_303_SEE_OTHER, HTTP_422_UNPROCESSABLE_CONTENT

from worker.correcting import LONGEST_REASON
from worker.reading import LONGEST_COMMENT
from worker.repository.web_sessions import SignedIn
from worker.web.access import Admin, OwnForm, Person
from worker.web.deeds import Deeds
from worker.web.pages import page

DONE: Mapping[str, str] = {
    "withdrawn": "The flag is withdrawn. A new result says so, and is on its way to every destination.",
    "sent-again": "The dead letters are on their way again.",
    "nothing-to-send": "Nothing was sent: there is no dead letter that a later result has not overtaken.",
    "tried-again": "The images are at work again; this page shows what comes of it.",
    "nothing-to-try": "Nothing was tried: no image of this study is set aside any more.",
    "answered": "Your answer is recorded, and the study counts as read.",
    "read": "The study counts as read.",
    "files-gone": "The images that were set aside cannot be tried again: retention has removed their files.",
}

router = APIRouter(include_in_schema=False, dependencies=[OwnForm])

UID_PATTERN = r"^[!-~]+$"
Uid = Annotated[str, Path(max_length=64, pattern=UID_PATTERN)]
Reason = Annotated[str, Form(max_length=LONGEST_REASON, pattern=r"^[^\x00]*$")]
Destination = Annotated[str, Form(max_length=64, pattern=r"^[^\x00]*$")]
Comment = Annotated[str, Form(max_length=2 * LONGEST_COMMENT)]  # browsers send line ends as two characters
Confirmed = Annotated[bool, Form()]


def _deeds(request: Request, uid: str, who: SignedIn) -> Deeds:
    return Deeds(request.app.state.service, uid, who.name)


def of_person(request: Request, uid: Uid, who: Person) -> Deeds:
    """Return what a reader or administrator may do about a study."""
    return _deeds(request, uid, who)


def of_admin(request: Request, uid: Uid, who: Admin) -> Deeds:
    """Return what an administrator may do about a study."""
    return _deeds(request, uid, who)


OfPerson = Annotated[Deeds, Depends(of_person)]
OfAdmin = Annotated[Deeds, Depends(of_admin)]


@router.post("/studies/{uid}/withdraw")
def withdraw(request: Request, deeds: OfPerson, reason: Reason = "", *, confirmed: Confirmed = False) -> Response:
    """Withdraw the flag of a study: a new result takes its priority back."""
    if not reason.strip():
        raise HTTPException(HTTP_422_UNPROCESSABLE_CONTENT, "Say why the flag is wrong: go back, and write the reason.")
    if not confirmed:
        return _ask(request, deeds, "withdraw", {"reason": reason.strip()})
    deeds.withdraw(reason)
    return back_to(deeds.study, "withdrawn")


@router.post("/studies/{uid}/send-again")
def send_again(
    request: Request, deeds: OfAdmin, destination: Destination = "", *, confirmed: Confirmed = False
) -> Response:
    """Put the dead letters of a study back into the outbox."""
    if not confirmed:
        return _ask(request, deeds, "send-again", {"destination": destination})
    return back_to(deeds.study, "sent-again" if deeds.send_again(destination or None) else "nothing-to-send")


@router.post("/studies/{uid}/try-again")
def try_again(request: Request, deeds: OfAdmin, *, confirmed: Confirmed = False) -> Response:
    """Put the images of a study that were set aside back to work."""
    if not confirmed:
        return _ask(request, deeds, "try-again", {})
    done = deeds.try_again()
    return back_to(deeds.study, "tried-again" if done.images else "files-gone" if done.purged else "nothing-to-try")


def _ask(request: Request, deeds: Deeds, action: str, fields: Mapping[str, str]) -> Response:
    deeds.require_study()
    who: SignedIn = request.state.who
    return page(request, "confirm.html", who, uid=deeds.study, action=action, fields=fields)


def back_to(study: str, done: str) -> Response:
    """Send the browser to a study's page, where the text of `DONE` says what was done."""
    return RedirectResponse(f"/studies/{quote(study, safe='')}?done={done}#done", HTTP_303_SEE_OTHER)
