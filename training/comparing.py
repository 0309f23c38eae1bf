"""Two models on the same cases: may the challenger take the champion's place?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binomtest, norm

from training.cases import CLASSES
from training.errors import DataError
from training.films import Films
from training.intervals import placements
from worker.model.artifact import ModelCard
from worker.model.promotion import Promotion

MARGIN = 0.01  # the challenger may lose less than one point of sensitivity
_SIGNIFICANT = 0.05
_LEAST_FILMS = 2  # of a class

Figure = Literal["sensitivity", "specificity", "auc"]


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """A model and its logits on the cases, (N,)."""

    card: ModelCard
    logits: NDArray[np.float32]


def compare(champion: Contender, challenger: Contender, films: Films, *, judged_at: datetime) -> Promotion:
    """Judge whether the challenger is not inferior in sensitivity and better in something.

    Each model flags at its own threshold. Sensitivity counts patients, whose every positive film must be flagged.
    Specificity and AUC treat films as independent: where many patients have several, their p is too small. Of the
    three chances to be better each is taken after Holm: together they err in at most 5 % of judgements.

    Args:
        champion: the model in service.
        challenger: the model that would replace it.
        films: cases that neither has been trained or calibrated on, all different.
        judged_at: now.

    Raises:
        DataError: as `require_comparable`.
    """
    require_comparable(champion, challenger, films)
    lost, gained, patients = _discordant_patients(champion, challenger, films)
    at_least = difference_at_least(lost, gained, patients)
    area, spread = paired_delong(champion.logits, challenger.logits, films.labels)
    specificity, specificity_p = _specificity(champion, challenger, films)
    better = better_in(
        {"sensitivity": gained - lost, "specificity": specificity, "auc": area},
        {"sensitivity": mcnemar(lost, gained), "specificity": specificity_p, "auc": _p_of(area, spread)},
    )
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
        better=better,
        promotable=at_least > -MARGIN and bool(better),
        judged_at=judged_at,
    )


def require_enough(films: Films) -> None:
    """Check that there are at least two films of each class, without which the difference of two AUCs has no spread.

    Raises:
        DataError: if there are fewer.
    """
    if min((films.labels == label).sum() for label in range(len(CLASSES))) < _LEAST_FILMS:
        raise DataError("at least two different films of both classes are needed to compare two models; add cases")


def require_comparable(champion: Contender, challenger: Contender, films: Films) -> None:
    """Check what a judgement needs.

    Raises:
        DataError: as `require_enough`, or if a model's answer on a film is no finite number.
    """
    require_enough(films)
    for contender in (champion, challenger):
        if len(wrong := films.names[~np.isfinite(contender.logits)]):
            raise DataError(
                f"model {contender.card.name} {contender.card.version} gives no finite logit for {len(wrong)} films, "
                f"first: {wrong[0]}; it cannot be judged: train it again"
            )


def better_in(gains: Mapping[Figure, float], p_values: Mapping[Figure, float]) -> tuple[Figure, ...]:
    """Name the figures that are better, with a risk of 5 % of naming any wrongly.

    Args:
        gains: challenger minus champion.
        p_values: of these differences, two-sided.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65.
    """
    ordered = sorted(p_values, key=lambda figure: p_values[figure])
    limits = [_SIGNIFICANT / (len(ordered) - step) for step in range(len(ordered))]
    steps = zip(ordered, limits, strict=True)
    different = [figure for figure, _ in takewhile(lambda step: p_values[step[0]] < step[1], steps)]
    return tuple(figure for figure, gain in gains.items() if gain > 0 and figure in different)


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


def _p_of(difference: float, half_width: float) -> float:
    """Two-sided p of a difference with this half width of its 95 % interval."""
    if not half_width:
        return float(not difference)
    return float(2 * norm.sf(abs(difference) / half_width * norm.ppf(0.975)))


def _flagged(contender: Contender) -> NDArray[np.bool_]:
    point = contender.card.operating_point
    return np.array([point.flags(float(logit)) for logit in contender.logits], dtype=np.bool_)
