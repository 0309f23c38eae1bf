"""Composing the score step; the only composition that loads torch."""

import numpy as np

from worker.bootstrap import build_speaker
from worker.champion import find_champion
from worker.inference import load_engine
from worker.scoring import Scorer
from worker.service import Service


def build_scorer(service: Service) -> Scorer:
    """Load the model in service and warm it up, so that the first study waits no longer than the second.

    Raises:
        ConfigurationError: if no model is in service, or the device is not there.
        ModelError: if the model's files are damaged.
    """
    installed = find_champion(service.database)
    engine = load_engine(installed.directory, device=service.settings.device)
    size = installed.card.input_spec.size
    engine.score(np.zeros((1, size, size), np.uint8))
    return Scorer(service, engine, build_speaker(service, installed.champion))
