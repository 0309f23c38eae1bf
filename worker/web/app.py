"""The page and its API as one ASGI application."""

import threading
from collections.abc import Callable

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.status import HTTP_303_SEE_OTHER

from worker.accounts import Accounts
from worker.service import Service
from worker.web import (
    actions,
    actions_api,
    answers,
    blind,
    health,
    live,
    openapi,
    pictures,
    reading,
    shadow,
    sign_in,
    study,
    worklist,
)
from worker.web.access import BlindFirst, PasswordFirst, SignInFirst, cookie_name
from worker.web.attempts import Attempts
from worker.web.headers import SafeHeaders
from worker.web.problems import EVERYWHERE, tell_problems
from worker.web.size import LimitedBody
from worker.web.static_files import KeptFiles

HASHES_AT_A_TIME = 2


def build_app(service: Service) -> FastAPI:
    """Compose the page of a service; starts nothing."""
    web = service.settings.web
    cookie = cookie_name(https=web.is_https)
    app = FastAPI(
        title="cxr-triage",
        description="The worklist and its studies. Research use only; not a medical device.",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # see `worker.web.openapi`
        lifespan=live.following,
        responses=EVERYWHERE,
        dependencies=[  # for the document; `worker.web.access` looks at them
            Depends(HTTPBearer(auto_error=False, description="The token of a user of role interface.")),
            Depends(APIKeyCookie(name=cookie, auto_error=False, description="A session, from the form at /login.")),
        ],
    )
    app.state.service = service
    app.state.settings = service.settings
    app.state.accounts = Accounts(service.database, service.now)
    app.state.attempts = Attempts()
    app.state.hashing = threading.BoundedSemaphore(HASHES_AT_A_TIME)
    app.state.cookie = cookie
    app.mount("/static", KeptFiles(), name="static")
    app.state.health = health.Health(service)
    app.state.news = live.News(service.database)
    pages = (sign_in, worklist, study, pictures, live, actions, answers, blind)
    for part in (*pages, health, actions_api, reading, shadow, openapi):
        app.include_router(part.router)
    app.add_exception_handler(SignInFirst, sign_in.ask)
    app.add_exception_handler(PasswordFirst, _to("/password"))
    app.add_exception_handler(BlindFirst, _to("/blind"))
    tell_problems(app, https=web.is_https)
    app.add_middleware(LimitedBody)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(web.names), www_redirect=False)
    app.add_middleware(SafeHeaders, https=web.is_https)
    return app


def _to(path: str) -> Callable[[Request, Exception], Response]:
    def redirect(_request: Request, _error: Exception) -> Response:
        return RedirectResponse(path, HTTP_303_SEE_OTHER)

    return redirect
