"""Which pages a reader may open in shadow mode: none that tells of a flag, until the study is judged.

A reader who knows the flag tends to agree with it, and the figures of the shadow report would praise the model for it.
What is not named here is closed, so that a new page is. So is the report: of a day with one study it tells the flag.
"""

from fastapi import Request

from worker.domain import UserRole
from worker.repository.blind import has_judged
from worker.repository.web_sessions import SignedIn
from worker.service import Service

_OPEN = frozenset(
    {
        "/blind",
        "/blind/{uid}",
        "/studies/{uid}/images/{image_id}/{frame}/film.png",
    }
)


def is_kept_blind(request: Request, who: SignedIn) -> bool:
    """Return whether readers must not see flags now, and this is a reader."""
    service: Service = request.app.state.service
    return service.settings.shadow and who.role is UserRole.READER


def would_tell(request: Request, who: SignedIn) -> bool:
    """Return whether the page that is asked for could tell a reader of a flag too early."""
    if not is_kept_blind(request, who) or getattr(request.scope.get("route"), "path", None) in _OPEN:
        return False
    uid, service = request.path_params.get("uid"), request.app.state.service
    if uid is None:
        return True
    with service.database.read() as session:
        return not has_judged(session, who.name, uid)
