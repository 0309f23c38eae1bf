"""Every route of the page, and who may take it: the table that the application is held against."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from tests.studies import STUDY
from worker.domain import UserRole

READER, ADMIN, PROGRAM = UserRole.READER, UserRole.ADMIN, UserRole.INTERFACE
ANYBODY = frozenset(UserRole)
PEOPLE = frozenset({READER, ADMIN})
ADMINS = frozenset({ADMIN})
OPEN = frozenset({None})  # also without a session

_IMAGE = "/studies/{uid}/images/{image_id}/{frame}"
WHO_MAY: dict[tuple[str, str], frozenset[UserRole | None]] = {
    ("GET", "/login"): OPEN,
    ("POST", "/login"): OPEN,
    ("POST", "/logout"): OPEN,  # and ends nothing but one's own session
    ("GET", "/password"): PEOPLE,
    ("POST", "/password"): PEOPLE,
    ("GET", "/"): PEOPLE,
    ("GET", "/events"): ANYBODY,
    ("GET", "/studies/{uid}"): PEOPLE,
    ("GET", "/studies/{uid}/report"): PEOPLE,
    ("GET", "/studies/{uid}/thumbnail.png"): PEOPLE,
    ("GET", f"{_IMAGE}/film.png"): PEOPLE,
    ("GET", f"{_IMAGE}/heatmap.png"): PEOPLE,
    ("POST", "/studies/{uid}/withdraw"): PEOPLE,
    ("POST", "/studies/{uid}/send-again"): ADMINS,
    ("POST", "/studies/{uid}/try-again"): ADMINS,
    ("POST", "/studies/{uid}/verdict"): PEOPLE,
    ("POST", "/studies/{uid}/read"): PEOPLE,
    ("GET", "/blind"): PEOPLE,
    ("GET", "/blind/{uid}"): PEOPLE,
    ("POST", "/blind/{uid}"): PEOPLE,
    ("GET", "/shadow"): PEOPLE,
    ("GET", "/shadow/report.html"): PEOPLE,
    ("GET", "/shadow/report.css"): ANYBODY,
    ("GET", "/api/v1/shadow"): PEOPLE,
    ("GET", "/api/v1/openapi.json"): ANYBODY,
    ("POST", "/api/v1/studies/{uid}/withdraw"): PEOPLE,
    ("POST", "/api/v1/studies/{uid}/send-again"): ADMINS,
    ("POST", "/api/v1/studies/{uid}/try-again"): ADMINS,
    ("POST", "/api/v1/studies/{uid}/read"): ANYBODY,
    ("POST", "/api/v1/studies/{uid}/verdicts"): PEOPLE,
    ("GET", "/api/v1/studies/{uid}/verdicts"): PEOPLE,
    ("GET", "/api/v1/worklist"): ANYBODY,
    ("GET", "/api/v1/studies/{uid}"): ANYBODY,
    ("GET", "/api/v1/status"): ANYBODY,
}


@dataclass(frozen=True)
class Route:
    """A method on a path; `path` has its parameters filled in with the study of the tests."""

    method: str
    template: str

    @property
    def key(self) -> tuple[str, str]:
        """What the table is asked for."""
        return self.method, self.template

    @property
    def path(self) -> str:
        """Where a request goes."""
        filled = self.template.replace("{uid}", STUDY).replace("{image_id}", "1").replace("{frame}", "1")
        assert "{" not in filled, f"{self.template}: say what its parameters are, here"
        return filled

    @property
    def for_programs(self) -> bool:
        """Whether it belongs to the API."""
        return self.template.startswith("/api/")


def routes(app: FastAPI) -> Iterator[Route]:
    """Every method of every path; files that are no secret lie under a mount."""
    mounts = {route.path for route in app.routes if isinstance(route, Mount)}
    assert mounts == {"/static"}, f"say of the new mount who may look: {mounts}"
    for context in iter_route_contexts(app.routes):
        if context.path not in mounts:
            yield from (Route(method, str(context.path)) for method in sorted(context.methods))
