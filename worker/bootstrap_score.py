"""Composing the score step; the only composition that loads torch."""

from collections.abc import Callable
from functools import partial

import structlog

from worker.bootstrap import build_speaker
from worker.champion import InstalledChampion
from worker.device import naming_faults
from worker.device_metrics import show_model
from worker.errors import ModelError
from worker.inference import Engine, load_engine
from worker.repository.model_versions import RegisteredModel
from worker.rescreening.engines import Engines
from worker.rescreening.scoring import Rescreener
from worker.scoring import Scorer
from worker.self_test import require_self_test
from worker.service import Service

_log = structlog.get_logger()


def build_scorer(service: Service, installed: InstalledChampion) -> Scorer:
    """Load a model for live work; see `load_tested_engine`."""
    engine = load_tested_engine(service, installed)
    show_model(installed.champion.reference, engine.device)
    return Scorer(service, engine, build_speaker(service, installed.champion))


def build_engines(service: Service, live: Callable[[], Scorer]) -> Engines:
    """Re-screen with the live engine where it is of the run's model, else with one that is loaded beside it."""

    def current() -> tuple[RegisteredModel, Engine]:
        scorer = live()
        return scorer.speaker.champion, scorer.engine

    return Engines(service, current, partial(load_tested_engine, service))


def build_rescreener(service: Service, engines: Engines, between_batches: Callable[[], None]) -> Rescreener:
    """Compose the re-screening; see `Rescreener`."""
    return Rescreener(service, engines, partial(build_speaker, service), between_batches)


def load_tested_engine(service: Service, installed: InstalledChampion) -> Engine:
    """Load a model and ask it for a known answer, which also warms it up for the first study.

    Raises:
        ConfigurationError: if the device is not there.
        DeviceLostError: if it failed.
        ModelError: if the model's files are damaged, it does not fit on the device, or its answer is another one.
    """
    device, precision = service.settings.device, service.settings.precision
    try:
        with naming_faults(device):
            engine = load_engine(installed.directory, device=device, precision=precision, tell=_log.warning)
            require_self_test(engine)
    except (MemoryError, RuntimeError) as error:  # RuntimeError: whatever CUDA says, out of memory included
        cause = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{installed.directory} cannot be run on device {device}: {cause}") from error
    _log.info("engine-ready", device=str(engine.device), precision=engine.precision)
    return engine
