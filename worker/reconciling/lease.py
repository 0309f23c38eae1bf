"""One reconciliation at a time, whoever asks for it, on however many hosts."""

import uuid
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Self, TypeVar

from worker import heartbeat
from worker.errors import RunsAlreadyError
from worker.repository.reconciliation import give_lease_back, take_lease
from worker.service import Service

_T = TypeVar("_T")


@dataclass
class Lease:
    """The right to ask a PACS, held while the block lasts and is renewed; a process that dies loses it.

    Raises:
        RunsAlreadyError: if another one asks the PACS now.
    """

    service: Service
    pacs: str
    _holder: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def length(self) -> timedelta:
        """How long it holds without being renewed."""
        return timedelta(seconds=self.service.settings.lease_seconds)

    def renew(self) -> None:
        """Hold it for its length from now.

        Raises:
            RunsAlreadyError: if it had ended, and another one took it.
        """
        with self.service.database.begin() as session:
            now = self.service.now()
            if not take_lease(session, self.pacs, self._holder, now=now, length=self.length):
                raise RunsAlreadyError(f"reconciliation: another one with {self.pacs} runs now: wait for its end")
        heartbeat.beat()  # a PACS that takes long for a study must not have its worker killed by a health check

    @property
    def renewal_seconds(self) -> float:
        """How long to wait for something before it is renewed."""
        return self.length.total_seconds() / 4

    def held_until(self, future: Future[_T]) -> _T:
        """Return the outcome of what another thread does, and hold the lease meanwhile.

        Raises:
            RunsAlreadyError: see `renew`.
        """
        while wait([future], timeout=self.renewal_seconds).not_done:
            self.renew()
        return future.result()

    def __enter__(self) -> Self:
        self.renew()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self.service.database.begin() as session:
            give_lease_back(session, self.pacs, self._holder)
