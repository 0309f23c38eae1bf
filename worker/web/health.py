"""How the service stands: the strip above every worklist, and the same as JSON."""

import threading
import time
from dataclasses import dataclass, field

from fastapi import APIRouter, Request

from worker.repository.page_strip import Disk, Strip, read_strip
from worker.service import Service
from worker.web.access import User

FRESH_SECONDS = 2.0

router = APIRouter(prefix="/api/v1", tags=["service"])


@dataclass
class Health:
    """Reads how the service stands, once for all who look at it within `FRESH_SECONDS`."""

    service: Service
    _strip: Strip | None = None
    _read_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strip(self) -> Strip:
        """Return how the service stands, or stood just now."""
        with self._lock:
            if self._strip is None or time.monotonic() - self._read_at > FRESH_SECONDS:
                self._strip = self._look()
                self._read_at = time.monotonic()
            return self._strip

    def _look(self) -> Strip:
        service = self.service
        with service.database.read() as session:
            return read_strip(
                session, service.settings, service.now(), policy=service.delivery_policy, disk=self._disk()
            )

    def _disk(self) -> Disk | None:
        free, kept = self.service.spool.free_bytes(), self.service.settings.min_free_bytes
        return None if free is None else Disk(free_bytes=free, kept_free_bytes=kept, refuses=free < kept)


@router.get("/status")
def status(request: Request, _who: User) -> Strip:
    """Return how the service stands."""
    health: Health = request.app.state.health
    return health.strip()
