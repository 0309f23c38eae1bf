"""Waiting for a peer's answer, without a race of pynetdicom's threads.

Its reactor may take an answer, or the word that there will be none, from the queue when a `send_*` method has just
begun to wait for it, which then waits until the time-out. On a busy machine it met one in fifty requests that a peer
answered with an abort.
"""

import queue
import time
from functools import partial
from typing import Any

from pynetdicom import evt
from pynetdicom.association import Association

_LOOK_SECONDS = 0.1  # how often whoever waits looks whether the association still stands
_NOTHING = (None, None)


def wait_without_race(event: evt.Event) -> None:
    """Handle EVT_CONN_OPEN: an answer goes to who waits for it, and waiting ends with the association."""
    event.assoc.dimse.get_msg = partial(_get_message, event.assoc)


def _get_message(association: Association, block: bool = False) -> Any:
    """Return context ID and message, or two None; takes the place of `DIMSEServiceProvider.get_msg`."""
    messages = association.dimse.msg_queue
    if not block:
        waited_for = not association._reactor_checkpoint.is_set()  # noqa: SLF001 - the reactor is to pause
        return _NOTHING if waited_for or messages.empty() else messages.get()
    end = time.monotonic() + (association.dimse_timeout or 0)
    while True:
        over = time.monotonic() >= end or not association.dul.is_alive()
        try:
            return messages.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            if over:
                return _NOTHING
