"""Two models on the same cases: may the challenger take the champion's place?"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binomtest, norm

from training.errors import DataError
from training.films import Films
from training.intervals import placements
from worker.model.artifact import ModelCard
from worker.model.promotion import Promotion

MARGIN = 0.01  # the challenger may lose less than one point of sensitivity
_SIGNIFICANT = 0.05

Figure = Literal["sensitivity", "specificity", "auc"]


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A model and its logits on the cases, (N,)."""

    card: ModelCard
    logits: NDArray[np.float32]


def compare(champion: Contender, challenger: Contender, films: Films, *, judged_at: datetime) -> Promotion:
    """Judge whether the challenger is not inferior in sensitivity and better in something.

    Each model flags at its own threshold. Sensitivity counts patients, whose every positive film must be flagged.

    Args:
        champion: the model in service.
        challenger: the model that would replace it.
        films: cases that neither has been trained or calibrated on.
        judged_at: now.

    Raises:
        DataError: if a class has fewer than two films.
    """
    if min((films.labels == 1).sum(), (films.labels == 0).sum()) < 2:
        raise DataError("at least two films of each of both classes are needed to compare two models; add cases")
    lost, gained, patients = _discordant_patients(champion, challenger, films)
    at_least = difference_at_least(lost, gained, patients)
    area, spread = paired_delong(champion.logits, challenger.logits, films.labels)
    specificity, specificity_p = _specificity(champion, challenger, films)
    better: list[Figure] = []
    if gained > lost and mcnemar(lost, gained) < _SIGNIFICANT:
        better.append("sensitivity")
    if specificity > 0 and specificity_p < _SIGNIFICANT:
        better.append("specificity")
    if area - spread > 0:
        better.append("auc")
    return Promotion(
        champion=champion.card.sha256,
        challenger=challenger.card.sha256,
        cases_sha256=films.cases_sha256,
        cases=len(films),
        positive_patients=patients,
        sensitivity_lost=lost,
        sensitivity_gained=gained,
        sensitivity_difference_at_least=at_least,
        auc_difference=area,
        auc_difference_interval=(area - spread, area + spread),
        specificity_difference=specificity,
        specificity_p=specificity_p,
        not_inferior=at_least > -MARGIN,
        better=tuple(better),
        promotable=at_least > -MARGIN and bool(better),
        judged_at=judged_at,
    )


def difference_at_least(lost: int, gained: int, patients: int) -> float:
    """Lower bound of the gain in sensitivity, 95 % one-sided.

    Conservative: an upper bound of what is lost and a lower bound of what is gained, both exact at 97.5 %. So a small
    set proves nothing: with no patient lost, 368 are needed for a bound above minus one point.

    Args:
        lost: patients flagged by the champion only.
        gained: patients flagged by the challenger only.
        patients: all positive patients.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404; Bonferroni for the two.
    """
    worst_loss = 1.0 if lost == patients else float(beta.ppf(0.975, lost + 1, patients - lost))
    sure_gain = float(beta.ppf(0.025, gained, patients - gained + 1)) if gained else 0.0
    return sure_gain - worst_loss


def mcnemar(one_way: int, other_way: int) -> float:
    """Exact two-sided p of McNemar's test on discordant pairs; 1 without any.

    Source: McNemar, Psychometrika 12 (1947) 153.
    """
    pairs = one_way + other_way
    return float(binomtest(one_way, pairs, 0.5).pvalue) if pairs else 1.0


def paired_delong(
    first: NDArray[np.float32], second: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float]:
    """Difference of two AUCs on the same films.

    Returns:
        Second minus first, and the half width of its 95 % interval.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837.
    """
    of_sick, of_well = zip(placements(first, labels), placements(second, labels), strict=True)
    sick, well = of_sick[1] - of_sick[0], of_well[1] - of_well[0]
    variance = sum(float(np.var(part, ddof=1)) / len(part) if len(part) > 1 else math.inf for part in (sick, well))
    return float(sick.mean()), float(norm.ppf(0.975)) * math.sqrt(variance)


def _discordant_patients(champion: Contender, challenger: Contender, films: Films) -> tuple[int, int, int]:
    """Positive patients that only the champion finds, that only the challenger finds, and all of them."""
    sick = films.labels == 1
    owners = films.patients[sick]
    before, after = _flagged(champion)[sick], _flagged(challenger)[sick]
    patients = np.unique(owners)
    found = [(bool(before[owners == patient].all()), bool(after[owners == patient].all())) for patient in patients]
    return found.count((True, False)), found.count((False, True)), len(patients)


def _specificity(champion: Contender, challenger: Contender, films: Films) -> tuple[float, float]:
    """Gain in specificity over films, and its p."""
    well = films.labels == 0
    before, after = _flagged(champion)[well], _flagged(challenger)[well]
    quieter, louder = int((before & ~after).sum()), int((~before & after).sum())
    return (quieter - louder) / len(before), mcnemar(quieter, louder)


def _flagged(contender: Contender) -> NDArray[np.bool_]:
    point = contender.card.operating_point
    return np.array([point.flags(float(logit)) for logit in contender.logits], dtype=np.bool_)
