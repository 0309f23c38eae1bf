"""Composing the score step; the only composition that loads torch."""

from worker.bootstrap import build_speaker
from worker.champion import InstalledChampion
from worker.errors import ModelError
from worker.inference import load_engine, require_self_test
from worker.scoring import Scorer
from worker.service import Service


def build_scorer(service: Service, installed: InstalledChampion) -> Scorer:
    """Load a model and ask it for a known answer, which also warms it up for the first study.

    Raises:
        ConfigurationError: if the device is not there.
        ModelError: if the model's files are damaged, it does not fit on the device, or its answer is another one.
    """
    try:
        engine = load_engine(installed.directory, device=service.settings.device)
        require_self_test(engine)
    except (MemoryError, RuntimeError) as error:  # RuntimeError: whatever CUDA says, out of memory included
        cause = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{installed.directory} cannot be run on device {service.settings.device}: {cause}") from error
    return Scorer(service, engine, build_speaker(service, installed.champion))
