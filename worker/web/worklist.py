"""The worklist: as a page, as the part of it that a live update fetches, and as JSON."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from dicom_io.reasons import Reason
from worker.repository.page_query import Show, WorklistQuery
from worker.repository.page_worklist import WorklistPart, find_worklist
from worker.service import Service
from worker.web.access import Person, User
from worker.web.health import Health
from worker.web.pages import page

LIVE = "X-Live"  # a header that only our own script sends

router = APIRouter()

Wanted = Annotated[WorklistQuery, Query()]


@router.get("/", include_in_schema=False)
def worklist(request: Request, wanted: Wanted, who: Person) -> Response:
    """Show the worklist."""
    service: Service = request.app.state.service
    health: Health = request.app.state.health
    now = service.now()
    with service.database.read() as session:
        part = find_worklist(session, wanted, now)
    template = "worklist_live.html" if LIVE in request.headers else "worklist.html"
    return page(
        request,
        template,
        who,
        part=part,
        strip=health.strip(),
        wanted=wanted,
        shows=list(Show),
        reasons=list(Reason),
        now=now,
    )


@router.get("/api/v1/worklist", tags=["studies"])
def worklist_as_json(request: Request, wanted: Wanted, _who: User) -> WorklistPart:
    """Return a page of the worklist: raised studies first, then the longest waiting."""
    service: Service = request.app.state.service
    with service.database.read() as session:
        return find_worklist(session, wanted, service.now())
