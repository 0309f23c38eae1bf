"""Who asks, and whether they may."""

import hmac
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Form, HTTPException, Request
from starlette.status import HTTP_401_UNAUTHORIZED, HTTP_403_FORBIDDEN

from worker.accounts import Accounts
from worker.domain import UserRole
from worker.repository.web_sessions import SignedIn
from worker.web.blinding import would_tell

CSRF_HEADER = "X-CSRF-Token"
_BEARER = "bearer "


class SignInFirst(Exception):  # noqa: N818 - no error, but the way to the form
    """A person without a session asks for a page."""


class PasswordFirst(Exception):  # noqa: N818 - no error, but the way to the form
    """Somebody with a password that others have seen asks for a page."""


class BlindFirst(Exception):  # noqa: N818 - no error, but the way to the list
    """A reader in shadow mode asks for a page that could tell of a flag."""


def cookie_name(*, https: bool) -> str:
    """Return the name of the session's cookie; browsers hold `__Host-` to HTTPS, to this host and to every path."""
    return "__Host-session" if https else "session"


def whoever(request: Request) -> SignedIn | None:
    """Return who asks; None if nobody is signed in."""
    accounts: Accounts = request.app.state.accounts
    credentials = request.headers.get("Authorization", "")
    if credentials[: len(_BEARER)].lower() == _BEARER:
        return accounts.program(credentials[len(_BEARER) :].strip())
    token = request.cookies.get(request.app.state.cookie)
    return None if token is None else accounts.who(token)


def signed_in(request: Request, who: Annotated[SignedIn | None, Depends(whoever)]) -> SignedIn:
    """Return who asks.

    Raises:
        SignInFirst, PasswordFirst, BlindFirst: for pages; they become a redirect.
        HTTPException: 401 or 403, for the API.
    """
    for_people = not request.url.path.startswith("/api/")
    if who is None:
        if for_people:
            raise SignInFirst
        raise HTTPException(HTTP_401_UNAUTHORIZED, "sign in, or send a token", {"WWW-Authenticate": "Bearer"})
    if who.must_change:
        if for_people:
            raise PasswordFirst
        raise HTTPException(HTTP_403_FORBIDDEN, "the password must be changed first: sign in to the page")
    if would_tell(request, who):
        if for_people:
            raise BlindFirst
        raise HTTPException(
            HTTP_403_FORBIDDEN, "shadow mode: judge the study first, at /blind; flags are hidden until then"
        )
    request.state.who = who  # for the page of a problem
    return who


def may_still_look(request: Request) -> bool:
    """Return whether whoever asked some time ago would be let in now: sessions end, and users are disabled."""
    try:
        signed_in(request, whoever(request))
    except (SignInFirst, PasswordFirst, BlindFirst, HTTPException):
        return False
    return True


def role(*allowed: UserRole) -> Callable[..., SignedIn]:
    """Return a dependency that lets only these roles through."""

    def check(who: Annotated[SignedIn, Depends(signed_in)]) -> SignedIn:
        if who.role not in allowed:
            raise HTTPException(HTTP_403_FORBIDDEN, f"this takes a user of role {' or '.join(allowed)}")
        return who

    return check


def from_here(request: Request) -> None:
    """Let through only what our own pages send, or programs: browsers say from where a request comes.

    Raises:
        HTTPException: 403, if another site made the browser send it.

    Source: https://www.w3.org/TR/fetch-metadata/ 2.3.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        raise HTTPException(HTTP_403_FORBIDDEN, "this form is of another site: load the page again")


def own_form(
    request: Request, who: Annotated[SignedIn | None, Depends(whoever)], csrf_token: Annotated[str, Form()] = ""
) -> None:
    """Let through only forms and scripts of the session that they are sent with; a program's token is in no browser.

    Raises:
        HTTPException: 403, if the request carries another token than the session's.
    """
    if who is None or who.csrf_token is None:
        return
    shown = request.headers.get(CSRF_HEADER, csrf_token)
    if not hmac.compare_digest(shown.encode(errors="surrogatepass"), who.csrf_token.encode()):
        raise HTTPException(HTTP_403_FORBIDDEN, "this form is of another session: load the page again")


User = Annotated[SignedIn, Depends(signed_in)]
Person = Annotated[SignedIn, Depends(role(UserRole.READER, UserRole.ADMIN))]
Admin = Annotated[SignedIn, Depends(role(UserRole.ADMIN))]
FromHere = Depends(from_here)
OwnForm = Depends(own_form)
