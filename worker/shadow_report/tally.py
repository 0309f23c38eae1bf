"""Counting studies by what was said of them and what their readers say. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.repository.shadow import ReadStudy
from worker.shadow_report.correction import Judged
from worker.shadow_report.shares import share
from worker.shadow_report.views import Rates, Sides


class Side(StrEnum):
    """What was said of a study."""

    FLAGGED = "flagged"
    UNFLAGGED = "unflagged"
    UNSCREENED = "unscreened"


class Meaning(StrEnum):
    """What the readers of a study say together."""

    NOTHING = "nothing"
    SUSPECTED = "suspected"
    UNSUSPECTED = "unsuspected"
    DISPUTED = "disputed"


def side(study: ReadStudy) -> Side:
    """Say on which side of the threshold a study lies; what was not screened is on neither."""
    if study.answer is not None and study.answer.flagged:
        return Side.FLAGGED
    return Side.UNFLAGGED if study.answer is not None and study.answer.screened else Side.UNSCREENED


def meaning(study: ReadStudy) -> Meaning:
    """Say what the readers of a study say together."""
    if not study.suspected:
        return Meaning.NOTHING
    if all(study.suspected):
        return Meaning.SUSPECTED
    return Meaning.DISPUTED if any(study.suspected) else Meaning.UNSUSPECTED


@dataclass(slots=True)
class Tally:
    """Numbers of studies by side and meaning."""

    counts: Counter[tuple[Side, Meaning]] = field(default_factory=Counter)

    def add(self, study: ReadStudy) -> None:
        """Count a study."""
        self.counts[side(study), meaning(study)] += 1

    def sides(self, *meanings: Meaning) -> Sides:
        """Return the studies of these meanings by side."""
        return Sides(**{each.value: sum(self.counts[each, one] for one in meanings) for each in Side})

    @property
    def studies(self) -> int:
        """How many were counted."""
        return self.counts.total()

    @property
    def judged(self) -> int:
        """How many stand in the rates."""
        rates = self.rates()
        return rates.tp + rates.fp + rates.tn + rates.fn

    def rates(self) -> Rates:
        """Return sensitivity and specificity of the judged studies that were flagged or screened."""
        counts: Mapping[tuple[Side, Meaning], int] = self.counts
        tp, fp = counts[Side.FLAGGED, Meaning.SUSPECTED], counts[Side.FLAGGED, Meaning.UNSUSPECTED]
        fn, tn = counts[Side.UNFLAGGED, Meaning.SUSPECTED], counts[Side.UNFLAGGED, Meaning.UNSUSPECTED]
        return Rates(tp=tp, fp=fp, tn=tn, fn=fn, sensitivity=share(tp, tp + fn), specificity=share(tn, tn + fp))

    def on(self, which: Side) -> Judged:
        """Return the studies of one side, as the correction takes them."""
        return Judged(
            studies=sum(self.counts[which, each] for each in Meaning),
            suspected=self.counts[which, Meaning.SUSPECTED],
            unsuspected=self.counts[which, Meaning.UNSUSPECTED],
        )
