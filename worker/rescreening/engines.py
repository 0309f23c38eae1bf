"""Which engine a run is scored with: the live one where it is of the same model, else one that is loaded beside it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from worker.champion import InstalledChampion, find_installed
from worker.errors import ConfigurationError, ModelError
from worker.inference import Engine
from worker.repository.model_versions import RegisteredModel
from worker.repository.rescreening import Run, note_refusal
from worker.service import Service

RETRY_SECONDS = 30.0  # between two attempts to load a model that this host could not load

_log = structlog.get_logger()


@dataclass
class Engines:
    """Finds the engine of a run.

    A run keeps the model that it began with, whichever is in service meanwhile, as its report is about that one.

    Attributes:
        current: the model that live work is scored with, and its engine.
        load: makes the engine of another one; raises ConfigurationError or ModelError if it cannot.
        clock: monotonic seconds.
    """

    service: Service
    current: Callable[[], tuple[RegisteredModel, Engine]]
    load: Callable[[InstalledChampion], Engine]
    clock: Callable[[], float] = time.monotonic
    _held: tuple[int, Engine] | None = field(default=None, init=False)
    _retry_at: float = field(default=0.0, init=False)

    def engine_of(self, run: Run) -> Engine | None:
        """Return the engine of a run's model; None while this host cannot load it, which the run then says."""
        model, engine = self.current()
        if model.id == run.model.id:
            self._held = None
            return engine
        if self._held is not None and self._held[0] == run.model.id:
            return self._held[1]
        return None if self.clock() < self._retry_at else self._load(run)

    def let_go(self) -> None:
        """Free what was loaded beside the live engine."""
        self._held = None

    def _load(self, run: Run) -> Engine | None:
        try:
            engine = self.load(find_installed(self.service, run.model))
        except (ConfigurationError, ModelError) as error:
            self._refuse(run, str(error))
            return None
        self._held = (run.model.id, engine)
        if run.last_error is not None:
            self._note(run, None)
        _log.info("rescreen-model-loaded", version=run.model.reference.version, sha256=run.model.reference.sha256)
        return engine

    def _refuse(self, run: Run, error: str) -> None:
        self._retry_at = self.clock() + RETRY_SECONDS
        if run.last_error != error:  # once, not at every attempt
            self._note(run, error)
            _log.error("rescreen-model-not-loaded", rescreen_id=run.id, error=error)

    def _note(self, run: Run, error: str | None) -> None:
        with self.service.database.begin() as session:
            note_refusal(session, run, error)
