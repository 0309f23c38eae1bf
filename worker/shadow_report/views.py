"""The shadow-mode report; its JSON is `ShadowReport`."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from worker.shadow_report.correction import Corrected, Judged
from worker.shadow_report.shares import Share


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class Rates(_View):
    """Judged studies by flag and suspicion, and what follows; a suspicion is the truth here.

    `tp` and `fp` were flagged, `fn` and `tn` were screened and not flagged; `tp` and `fn` are suspected.
    """

    tp: int
    fp: int
    tn: int
    fn: int
    sensitivity: Share
    specificity: Share


class Sides(_View):
    """Studies by what was said of them."""

    flagged: int
    unflagged: int
    unscreened: int

    @property
    def all(self) -> int:
        """The sum."""
        return self.flagged + self.unflagged + self.unscreened


class Group(_View):
    """The studies of a week or of a sender; `judged` counts those that stand in its rates."""

    name: str
    studies: int
    judged: int
    rates: Rates


class ShadowReport(_View):
    """What would have been flagged, against what readers say of the same studies.

    Attributes:
        since, until: the studies were received in [since, until).
        shadow: whether the service is in shadow mode now.
        models: name and version of those whose answers are compared.
        studies: those of the period that were not sent anywhere, by what was said of them.
        judged: those of them that stand in the figures, that is with one meaning of all their readers, judged blind.
        rates: of the judged ones that were screened or flagged.
        disputed: those whose readers do not agree, in none of the rates.
        sensitivity_disputed_missed: with the disputed ones without a flag as missed.
        specificity_disputed_wrong: with the disputed flagged ones as wrongly flagged.
        unscreened_suspected: judged unscreened ones with a suspicion.
        sensitivity_unscreened_missed: with these as missed.
        flagged, unflagged: what the correction is made of.
        corrected_sensitivity, corrected_specificity: weighted to all screened studies of the period; null if too few
            were judged.
        knowing: rates of the studies whose readers could know the flag, in no other figure.
        knowing_studies: how many these are, disputed and unscreened ones included.
        changed: studies to which objects came after the verdict; what was said later is not compared.
        weeks: by ISO week of the receipt, UTC.
        senders: by the calling AE title that sent the first object, most studies first.
    """

    since: datetime
    until: datetime
    created_at: datetime
    shadow: bool
    models: list[str]
    studies: Sides
    judged: Sides
    rates: Rates
    disputed: Sides
    sensitivity_disputed_missed: Share
    specificity_disputed_wrong: Share
    unscreened_suspected: int
    sensitivity_unscreened_missed: Share
    flagged: Judged
    unflagged: Judged
    corrected_sensitivity: Corrected | None
    corrected_specificity: Corrected | None
    knowing: Rates
    knowing_studies: int
    changed: int
    weeks: list[Group]
    senders: list[Group]

    def to_json(self) -> str:
        """The report as indented JSON with a line feed at its end."""
        return self.model_dump_json(indent=2) + "\n"
