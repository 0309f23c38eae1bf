"""Following the model in service: a running worker takes up another one between two batches."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog

from worker.champion import InstalledChampion, champion_in_service, find_installed, predecessors
from worker.errors import ConfigurationError, ModelError
from worker.repository.model_versions import RegisteredModel
from worker.service import Service

RETRY_SECONDS = 30.0  # between two attempts to load a model that this host could not load; it may be mended meanwhile

Worker = TypeVar("Worker")

_log = structlog.get_logger()


@dataclass
class Follower(Generic[Worker]):
    """Keeps what was built for the model in service, and builds it anew when another one is.

    While this host cannot load the model in service, it goes on with the one it has, or else with the last one before
    that it can load: a sick patient must not wait for an operator. One that was rolled back is kept only if this host
    can load none of those before it. Results name the model that really scored.

    Attributes:
        build: makes the worker of a model; raises ConfigurationError or ModelError if it cannot.
        clock: monotonic seconds.
    """

    service: Service
    build: Callable[[InstalledChampion], Worker]
    clock: Callable[[], float] = time.monotonic
    _held: tuple[RegisteredModel, Worker] | None = field(default=None, init=False)
    _refused: tuple[int, str] | None = field(default=None, init=False)
    _retry_at: float = field(default=0.0, init=False)

    def current(self) -> Worker:
        """Return the worker of the model in service; one indexed read unless that has changed.

        Raises:
            ConfigurationError: if none is in service, or this host can load neither it nor one before it.
            ModelError: likewise, if its files are damaged.
        """
        in_service = champion_in_service(self.service.database)
        if self._held is not None and (self._held[0].id == in_service.id or self._is_waiting(in_service)):
            return self._held[1]
        try:
            return self._take_up(in_service)
        except (ConfigurationError, ModelError) as error:
            worker = self._go_on_with_another(error)
            self._complain(in_service, error)
            return worker

    def _is_waiting(self, in_service: RegisteredModel) -> bool:
        return self._refused is not None and self._refused[0] == in_service.id and self.clock() < self._retry_at

    def _take_up(self, model: RegisteredModel) -> Worker:
        worker = self.build(find_installed(self.service, model))
        self._held, self._refused = (model, worker), None
        _log.info("model-loaded", version=model.reference.version, sha256=model.reference.sha256)
        return worker

    def _go_on_with_another(self, error: ConfigurationError | ModelError) -> Worker:
        earlier = predecessors(self.service.database)
        if self._held is not None and self._held[0].id in {model.id for model in earlier}:
            return self._held[1]
        for model in earlier:
            try:
                return self._take_up(model)
            except (ConfigurationError, ModelError):
                continue
        if self._held is None:
            raise error
        return self._held[1]

    def _complain(self, in_service: RegisteredModel, error: ConfigurationError | ModelError) -> None:
        complaint = (in_service.id, str(error))
        if self._held is not None and complaint != self._refused:  # once, not at every attempt
            _log.error(
                "model-not-loaded",
                version=in_service.reference.version,
                sha256=in_service.reference.sha256,
                goes_on_with=self._held[0].reference.version,
                error=str(error),
            )
        self._refused, self._retry_at = complaint, self.clock() + RETRY_SECONDS
