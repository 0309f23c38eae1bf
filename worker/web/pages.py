"""Pages from templates: every value is escaped."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel

from dicom_io.reasons import Reason
from worker.repository.web_sessions import SignedIn
from worker.web.static_files import address

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def waiting(since: datetime, now: datetime) -> str:
    """Return how long ago a time was, in two figures at most: `41 s`, `7 min`, `3 h 05`, `12 d`."""
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE:02d}"
    return f"{seconds // _DAY} d"


def moment(at: datetime | None) -> str:
    """Return a time to the second, UTC; empty for none."""
    return "" if at is None else at.strftime("%Y-%m-%d %H:%M:%S")


def query(model: BaseModel) -> str:
    """Return what differs from a model's defaults as the query of a URL."""
    return urlencode(model.model_dump(exclude_defaults=True, mode="json"))


def meaning(reason: str) -> str:
    """Return the sentence that explains a reason code; the code itself if there is none."""
    try:
        return Reason(reason).meaning
    except ValueError:
        return reason


def size(count: int) -> str:
    """Return a number of bytes as people say it: `1.2 TB`, `31 GB`, `800 MB`."""
    for unit, name in ((1e12, "TB"), (1e9, "GB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}" if count < 10 * unit else f"{count / unit:.0f} {name}"
    return f"{count / 1e6:.0f} MB"


environment = Environment(
    loader=PackageLoader("worker.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
environment.globals["address"] = address
environment.filters |= {"waiting": waiting, "moment": moment, "query": query, "meaning": meaning, "size": size}


def page(
    request: Request, template: str, who: SignedIn | None = None, *, status_code: int = 200, **values: Any
) -> HTMLResponse:
    """Answer with a page.

    Args:
        request: that is answered.
        template: its file in `templates`.
        who: is signed in, if anybody is.
        status_code: of the answer.
        values: what the template shows.
    """
    shadow: bool = request.app.state.service.settings.shadow
    text = environment.get_template(template).render(
        who=who, csrf_token=who.csrf_token if who else "", shadow=shadow, **values
    )
    return HTMLResponse(text, status_code=status_code)
