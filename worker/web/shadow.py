"""The shadow-mode report: as a page, as a file to keep, and as JSON."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from html import escape
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import BaseModel, ConfigDict
from starlette.status import HTTP_400_BAD_REQUEST, HTTP_503_SERVICE_UNAVAILABLE

from worker.errors import ReportPeriodError
from worker.printing.document import STYLE, served
from worker.service import Service
from worker.shadow_report.making import make_report, period
from worker.shadow_report.page import TITLE, body, render
from worker.shadow_report.views import ShadowReport
from worker.web.access import Person, User

# A year of a large hospital takes seconds: two at a time would only slow each other and everybody else.
_ONE_AT_A_TIME = threading.Lock()
_TURN_SECONDS = 2.0  # then who asks is sent away: whoever waits here keeps a thread from everybody else

router = APIRouter()


class Days(BaseModel):
    """First and last day of receipt, UTC, both included; by default the last 13 weeks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: date | None = None
    until: date | None = None


Wanted = Annotated[Days, Query()]


@router.get("/shadow", include_in_schema=False)
def shadow(request: Request, wanted: Wanted, _who: Person) -> Response:
    """Show the report."""
    found = _found(request, wanted)
    return HTMLResponse(served(TITLE, body(found), style="/shadow/report.css", before=_bar(found)))


@router.get("/shadow/report.html", include_in_schema=False)
def shadow_as_file(request: Request, wanted: Wanted, _who: Person) -> Response:
    """Hand out the report as a file that needs nothing else."""
    found = _found(request, wanted)
    name = f"shadow-{found.since:%Y-%m-%d}.html"
    return HTMLResponse(render(found), headers={"Content-Disposition": f'attachment; filename="{name}"'})


@router.get("/shadow/report.css", include_in_schema=False)
def style(_who: User) -> Response:
    """Hand out the style of reports."""
    return FileResponse(STYLE, media_type="text/css")


@router.get(
    "/api/v1/shadow",
    tags=["service"],
    responses={
        400: {"description": "The first day lies after the last one."},
        401: {"description": "Nobody is signed in."},
        403: {"description": "Not for this role."},
    },
)
def shadow_as_json(request: Request, wanted: Wanted, _who: Person) -> ShadowReport:
    """Compare what would have been flagged in shadow mode with the readers' verdicts."""
    return _found(request, wanted)


def _found(request: Request, wanted: Days) -> ShadowReport:
    service: Service = request.app.state.service
    now = service.now()
    try:
        since, until = period(_start_of(wanted.since), _start_of(wanted.until), now)
    except ReportPeriodError as error:
        raise HTTPException(HTTP_400_BAD_REQUEST, str(error)) from error
    with _turn(), service.database.read() as session:
        return make_report(session, since, until, now, shadow=service.settings.shadow)


@contextmanager
def _turn() -> Iterator[None]:
    if not _ONE_AT_A_TIME.acquire(timeout=_TURN_SECONDS):
        busy = "another report is being made: ask again in a minute"
        raise HTTPException(HTTP_503_SERVICE_UNAVAILABLE, busy, {"Retry-After": "60"})
    try:
        yield
    finally:
        _ONE_AT_A_TIME.release()


def _start_of(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)


def _bar(found: ShadowReport) -> str:
    first, last = found.since.date(), (found.until - timedelta(microseconds=1)).date()
    file = escape(f"/shadow/report.html?since={first}&until={last}")
    return f"""<nav class="bar" aria-label="Report"><a href="/">Worklist</a>
<form method="get" action="/shadow">
<label>From <input type="date" name="since" value="{first}" required></label>
<label>to <input type="date" name="until" value="{last}" required></label> <button>Show</button></form>
<a href="{file}" download>As a file</a></nav>"""
