"""What every step of the service is given: settings, database, clock, and a way to wake the next step."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dicom_io.spool import Spool
from worker.db import Database
from worker.model_store import ModelStore
from worker.queues import Wake
from worker.repository.claims import ClaimPolicy
from worker.settings import Settings

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present time, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Service:
    """The parts a step works with; passed in, never global."""

    settings: Settings
    database: Database
    wake: Wake
    now: Clock = utc_now

    @property
    def image_policy(self) -> ClaimPolicy:
        """How images are claimed for preparing and scoring."""
        return self._policy(self.settings.max_attempts)

    @property
    def delivery_policy(self) -> ClaimPolicy:
        """How deliveries are claimed."""
        return self._policy(self.settings.delivery_max_attempts)

    @property
    def spool(self) -> Spool:
        """Where received objects lie."""
        return Spool(self.settings.spool_dir, min_free_bytes=self.settings.min_free_bytes)

    @property
    def models(self) -> ModelStore:
        """Where the files of the site's own models lie."""
        return ModelStore(self.settings.models_dir)

    def _policy(self, max_attempts: int) -> ClaimPolicy:
        return ClaimPolicy(
            lease=timedelta(seconds=self.settings.lease_seconds),
            max_attempts=max_attempts,
            retry=timedelta(seconds=self.settings.retry_seconds),
            retry_max=timedelta(seconds=self.settings.retry_max_seconds),
        )
