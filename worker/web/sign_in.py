"""Signing in and out, and changing one's password."""

import re
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.status import (
    HTTP_200_OK,
    HTTP_303_SEE_OTHER,
    HTTP_401_UNAUTHORIZED,
    HTTP_422_UNPROCESSABLE_CONTENT,
    HTTP_429_TOO_MANY_REQUESTS,
)

from worker.accounts import LONGEST_PASSWORD, Accounts
from worker.errors import AccountError
from worker.repository.web_sessions import SignedIn
from worker.web.access import FromHere, OwnForm, SignInFirst, whoever
from worker.web.attempts import WINDOW_SECONDS, Attempts
from worker.web.pages import page

_TOO_OFTEN = f"Too many wrong passwords. Try again in {WINDOW_SECONDS // 60} minutes, or ask an administrator."
_WRONG = "Name and password do not belong together."

router = APIRouter(include_in_schema=False)

# Where a RIS or a mail may point; whoever must sign in first is brought there afterwards.
_LINKED = re.compile(r"/studies/[0-9.]{1,64}(/report)?|/blind(/[0-9.]{1,64})?|/shadow")

Name = Annotated[str, Form(max_length=64)]
Password = Annotated[str, Form(max_length=LONGEST_PASSWORD)]
Anybody = Annotated[SignedIn | None, Depends(whoever)]


def ask(request: Request, _error: Exception) -> Response:
    """Lead who asks for a page to the form."""
    path = request.url.path
    return RedirectResponse(f"/login?to={path}" if _LINKED.fullmatch(path) else "/login", HTTP_303_SEE_OTHER)


@router.get("/login")
def form(request: Request, to: Annotated[str, Query()] = "") -> Response:
    """Show the form."""
    return _form(request, to)


@router.post("/login", dependencies=[FromHere])
def sign_in(request: Request, name: Name = "", password: Password = "", to: Annotated[str, Form()] = "") -> Response:
    """Open a session and go to the page that was asked for, or to the worklist."""
    accounts: Accounts = request.app.state.accounts
    attempts: Attempts = request.app.state.attempts
    address = request.client.host if request.client else ""
    if not attempts.is_open(address, name):
        return _form(request, to, _TOO_OFTEN, HTTP_429_TOO_MANY_REQUESTS)
    lifetime = timedelta(hours=request.app.state.settings.web.session_hours)
    with request.app.state.hashing:  # a hash takes 64 MiB
        if not attempts.is_open(address, name):  # while this one waited its turn
            return _form(request, to, _TOO_OFTEN, HTTP_429_TOO_MANY_REQUESTS)
        token = accounts.sign_in(name, password, lifetime)
        if token is None:
            _count_failure(request, address, name)
    if token is not None:
        attempts.succeeded(address, name)
        return _with_session(request, token, lifetime, to)
    return _form(request, to, _WRONG, HTTP_401_UNAUTHORIZED)


@router.post("/logout", dependencies=[OwnForm])
def sign_out(request: Request) -> Response:
    """End the session."""
    token = request.cookies.get(request.app.state.cookie)
    if token is not None:
        request.app.state.accounts.sign_out(token)
    response = RedirectResponse("/login", HTTP_303_SEE_OTHER)
    response.delete_cookie(request.app.state.cookie, secure=request.app.state.settings.web.is_https, httponly=True)
    return response


@router.get("/password")
def password_form(request: Request, who: Anybody) -> Response:
    """Show the form for another password."""
    return page(request, "password.html", _person(who), problem=None)


@router.post("/password", dependencies=[OwnForm])
def change_password(request: Request, who: Anybody, old: Password = "", new: Password = "") -> Response:
    """Change one's own password: every session ends, and a new one begins."""
    person = _person(who)
    accounts: Accounts = request.app.state.accounts
    attempts: Attempts = request.app.state.attempts
    lifetime = timedelta(hours=request.app.state.settings.web.session_hours)
    address = request.client.host if request.client else ""
    with request.app.state.hashing:
        if not attempts.is_open(address, person.name):
            return page(request, "password.html", person, problem=_TOO_OFTEN, status_code=HTTP_429_TOO_MANY_REQUESTS)
        if not accounts.is_right(person.name, old):
            _count_failure(request, address, person.name)
            return page(request, "password.html", person, problem=_WRONG, status_code=HTTP_401_UNAUTHORIZED)
        if old == new:
            problem = "The new password is the old one: choose another."
            return page(request, "password.html", person, problem=problem, status_code=HTTP_422_UNPROCESSABLE_CONTENT)
        try:
            accounts.change_password(person.name, new, by=person.name)
        except AccountError as error:
            return page(
                request, "password.html", person, problem=str(error), status_code=HTTP_422_UNPROCESSABLE_CONTENT
            )
        token = accounts.sign_in(person.name, new, lifetime)
    return RedirectResponse("/login", HTTP_303_SEE_OTHER) if token is None else _with_session(request, token, lifetime)


def _form(request: Request, to: str, problem: str | None = None, status_code: int = HTTP_200_OK) -> Response:
    return page(request, "login.html", problem=problem, to=_linked(to), status_code=status_code)


def _linked(to: str) -> str:
    return to if _LINKED.fullmatch(to) else "/"


def _count_failure(request: Request, address: str, name: str) -> None:
    failures = request.app.state.attempts.failed(address, name)
    if failures:
        request.app.state.accounts.note_failures(name, failures)


def _person(who: SignedIn | None) -> SignedIn:
    if who is None or who.csrf_token is None:
        raise SignInFirst
    return who


def _with_session(request: Request, token: str, lifetime: timedelta, to: str = "/") -> Response:
    response = RedirectResponse(_linked(to), HTTP_303_SEE_OTHER)
    response.set_cookie(
        request.app.state.cookie,
        token,
        max_age=int(lifetime.total_seconds()),
        secure=request.app.state.settings.web.is_https,
        httponly=True,
        samesite="lax",  # links from a RIS carry it; forms of other sites do not, and have no CSRF token either
    )
    return response
