"""Fitting the gate that tells chest films from other pictures."""

import hashlib
from collections.abc import Sequence

import numpy as np

from training.certifying import Judged
from training.films import Films
from worker.model.artifact import ScopeGate, TurnedAway
from worker.model.scope import ScopeStatistics

COMPONENTS = 64
ACCEPTED_LOSS = 0.005  # share of real chest films that may be turned away, on the worst of the judged sets


def fit_gate(training: Sequence[Films], judged: Sequence[Judged]) -> tuple[ScopeStatistics, ScopeGate]:
    """Describe the training films, and set the distance that at most `ACCEPTED_LOSS` of any judged set lies beyond.

    Args:
        training: films that make the statistics; fewer than 128 give fewer components than `COMPONENTS`.
        judged: films of other patients, each set held to the promise on its own.

    Returns:
        The statistics, and the gate with what it does to the judged sets: in-sample, as they set its distance.
    """
    pixels = np.concatenate([films.pixels for films in training])
    statistics = ScopeStatistics.fit(pixels, min(COMPONENTS, len(pixels) // 2))
    distances = {each.cases: statistics.distances(each.films.pixels) for each in judged}
    largest = max(float(np.quantile(values, 1 - ACCEPTED_LOSS, method="higher")) for values in distances.values())
    gate = ScopeGate(
        statistics_sha256=hashlib.sha256(statistics.encode()).hexdigest(),
        largest_distance=largest,
        measurements=tuple(
            TurnedAway(cases=cases, images=len(values), turned_away=int((values > largest).sum()))
            for cases, values in distances.items()
        ),
    )
    return statistics, gate
