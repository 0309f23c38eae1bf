"""What the outbox knows of a delivery beside the result itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from dicom_io.commitment_outcome import Hear
from dicom_io.report import ReportForm

TRIED_AGAIN_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class KnownForm:
    """What is remembered of a peer.

    Attributes:
        peer: its title and address in one text; another peer under the same name is not known.
        form: as what it took the last report.
        refused: forms whose SOP class it had negotiated, and then said that it does not support.
        learned_at: when that was tried.
    """

    peer: str
    form: ReportForm
    refused: tuple[ReportForm, ...]
    learned_at: datetime

    def refused_lately(self, peer: str, now: datetime) -> tuple[ReportForm, ...]:
        """Return the forms that are not worth another try with this peer at present."""
        is_fresh = abs(now - self.learned_at) < TRIED_AGAIN_AFTER
        return self.refused if peer == self.peer and is_fresh else ()


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The circumstances of one attempt.

    Attributes:
        refused_lately: forms of the report that the peer does not take.
        transaction_uid: of the storage commitment to ask for; None: none is.
        hear: takes a report on it that comes before the association ends.
        attempt: which one this is, the first is 1.
    """

    refused_lately: tuple[ReportForm, ...] = ()
    transaction_uid: str | None = None
    hear: Hear | None = None
    attempt: int = 1


PLAIN = Dispatch()
