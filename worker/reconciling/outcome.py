"""What a reconciliation has to say: of one study, and of all."""

from collections.abc import Sequence
from datetime import date

from pydantic import BaseModel, ConfigDict


class StudyOutcome(BaseModel):
    """What became of one study; numbers of images.

    Attributes:
        images: that the PACS has, and that may be radiographs of the wanted modalities.
        here: of these, received before.
        fetched: came now.
        missing: still not here.
        refused: that the PACS tried to send and could not, by its own count.
        reason: why something is missing, or why the PACS could not be asked; None where nothing went wrong.
        again: whether trying again soon may help.
        tries: how often it was seen to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    study_instance_uid: str
    images: int = 0
    here: int = 0
    fetched: int = 0
    missing: int = 0
    refused: int = 0
    reason: str | None = None
    again: bool = False
    tries: int = 1

    @property
    def is_open(self) -> bool:
        """Whether something of the study is, or may be, still missing."""
        return self.missing > 0 or self.reason is not None

    @property
    def counts(self) -> dict[str, str | int | None]:
        """The numbers, by name."""
        return self.model_dump(include=set(_COUNTS))

    def after(self, earlier: "StudyOutcome") -> "StudyOutcome":
        """Return this outcome as that of a run in which the study had been seen to before."""
        return self.model_copy(
            update={
                "here": self.here - earlier.fetched,
                "fetched": self.fetched + earlier.fetched,
                "refused": self.refused + earlier.refused,
                "tries": self.tries + earlier.tries,
            }
        )


_COUNTS = ("images", "here", "fetched", "missing", "refused")


class Report(BaseModel):
    """What became of all studies of some days.

    Attributes:
        studies: that may hold a radiograph.
        images, here, fetched, missing, refused: sums; see `StudyOutcome`.
        unfinished: studies of which something is, or may be, still missing.
        limited: the PACS named only a part of its studies.
        unnamed: answers of the PACS without a Study Instance UID.
        details: the studies of which something was fetched or is missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pacs: str
    dates: tuple[date, ...]
    studies: int
    images: int
    here: int
    fetched: int
    missing: int
    refused: int
    unfinished: int
    limited: bool
    unnamed: int
    details: tuple[StudyOutcome, ...]

    @property
    def period(self) -> str:
        """The first and the last Study Date."""
        return f"{min(self.dates)}..{max(self.dates)}"

    @property
    def counts(self) -> dict[str, str | int | None]:
        """Everything but dates and details."""
        return self.model_dump(exclude={"dates", "details"})

    @property
    def is_whole(self) -> bool:
        """Whether everything that the PACS has is here."""
        return not (self.unfinished or self.limited or self.unnamed)


def report(
    pacs: str, dates: Sequence[date], outcomes: Sequence[StudyOutcome], *, limited: bool = False, unnamed: int = 0
) -> Report:
    """Add up what became of the studies of some days."""
    relevant = [outcome for outcome in outcomes if outcome.images or outcome.is_open]
    return Report(
        pacs=pacs,
        dates=tuple(dates),
        studies=len(relevant),
        **{name: sum(getattr(outcome, name) for outcome in relevant) for name in _COUNTS},
        unfinished=sum(outcome.is_open for outcome in relevant),
        limited=limited,
        unnamed=unnamed,
        details=tuple(outcome for outcome in relevant if outcome.fetched or outcome.is_open),
    )
