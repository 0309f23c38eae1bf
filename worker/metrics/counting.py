"""What is counted where work is done; each call is arithmetic in memory, after the commit of what it tells of."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from dicom_io.access import Observer, Reason
from worker.metrics.definitions import ATTEMPTS_FAILED, C_STORE, IMAGES, RECEIVED, SENDER_SEEN, TURNED_AWAY

OTHER = "other"
MOST_SENDERS = 50
COUNTED_STATES = ("prepared", "scored", "out-of-scope", "failed")

_EVENTS = {f"image-{state}": state for state in COUNTED_STATES}
_AE_TITLE = re.compile(r"[!-\[\]-~][ -\[\]-~]{0,15}")  # PS3.5 Table 6.2-1, without padding


def counting() -> Observer:
    """Count every answer and every connection that was turned away; each reason is there from the start, as 0."""
    for reason in Reason:
        TURNED_AWAY.labels(reason.value)
    return Observer(
        answered=lambda status: C_STORE.labels(f"0x{status:04X}").inc(),
        turned_away=lambda reason: TURNED_AWAY.labels(reason.value).inc(),
    )


def count_received(receipt: str | None) -> None:
    """Count an object that is safe here; without a `receipt` it is one without pixels."""
    RECEIVED.labels(receipt or OTHER).inc()


class Senders:
    """Who was seen last and when, under a bounded number of names.

    Args:
        allowed: `listener.allowed_callers`; only they are named, unless that is empty.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._named = {title.strip() for title in allowed}  # PS3.5 6.2: AE, no padding
        self._open = not self._named

    def seen(self, calling_ae_title: str, now: datetime) -> None:
        """Note when an object of this caller was last taken."""
        SENDER_SEEN.labels(self._name(calling_ae_title.strip())).set(now.timestamp())

    def _name(self, title: str) -> str:
        if self._open and len(self._named) < MOST_SENDERS and _AE_TITLE.fullmatch(title):
            self._named.add(title)
        return title if title in self._named else OTHER


def counter_of(kind: str, detail: Mapping[str, object]) -> Callable[[], None] | None:
    """Return what counts an event of the audit trail once it is committed; None if it is not counted.

    What came of the doctor's own film is not.
    """
    if kind in _EVENTS and not detail.get("synthetic"):
        return IMAGES.labels(_EVENTS[kind], str(detail.get("reason") or "")).inc
    if kind == "image-retry":
        return ATTEMPTS_FAILED.labels(str(detail["step"])).inc
    return None
