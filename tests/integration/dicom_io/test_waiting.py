"""Waiting for an answer of a peer."""

import time
from collections.abc import Callable

from pynetdicom import AE
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from dicom_io.associating import association
from dicom_io.types import ApplicationEntity
from tests.servers.ports import LOOPBACK, wait_until
from tests.servers.storescp import StartStoreScp


def test_an_answer_goes_to_who_waits_for_it(storescp: StartStoreScp) -> None:
    """While somebody waits, pynetdicom's own loop takes nothing; otherwise it serves the peer's requests."""
    server = storescp(ae_title="PACS")
    peer = ApplicationEntity("PACS", LOOPBACK, server.port)
    with association(peer, [build_context(Verification)], calling_ae_title="A", timeout_seconds=10) as opened:
        opened._reactor_checkpoint.clear()
        wait_until(lambda: opened._is_paused, "the loop resting")
        opened.dimse.msg_queue.put((1, "the answer"))
        assert opened.dimse.get_msg(block=False) == (None, None)
        assert opened.dimse.get_msg(block=True) == (1, "the answer")
        opened._reactor_checkpoint.set()
        assert opened.send_c_echo().Status == 0x0000


def test_waiting_ends_with_the_association(free_port: Callable[[], int]) -> None:
    """Long before the time-out, also if the word that there will be no answer was lost."""
    entity, port = AE("PACS"), free_port()
    entity.add_supported_context(Verification)
    server = entity.start_server((LOOPBACK, port), block=False)
    peer = ApplicationEntity("PACS", LOOPBACK, port)
    with association(peer, [build_context(Verification)], calling_ae_title="A", timeout_seconds=30) as opened:
        for accepted in server.active_associations:
            accepted.abort()
        server.shutdown()
        wait_until(lambda: not opened.dul.is_alive(), "the end of the connection")
        while not opened.dimse.msg_queue.empty():
            opened.dimse.msg_queue.get()
        started = time.monotonic()
        assert opened.dimse.get_msg(block=True) == (None, None)
    assert time.monotonic() - started < 5
