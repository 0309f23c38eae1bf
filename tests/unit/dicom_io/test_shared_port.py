"""A port that several of our processes share, and that nobody else gets."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dicom_io.shared_port import reserve
from tests.servers.ports import LOOPBACK, accepts, free_port


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    """Closes what a test has opened."""
    with ExitStack() as stack:
        yield stack


def listening(port: int, *, shared: bool) -> socket.socket:
    """A listening socket, opened as pynetdicom opens it."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        opened.bind((LOOPBACK, port))
        opened.listen()
    except OSError:
        opened.close()
        raise
    return opened


def connection_left_over(port: int) -> None:
    """A service that was there before, with a connection that it closed first: it stays in TIME_WAIT."""
    with listening(port, shared=False) as former, socket.create_connection((LOOPBACK, port)):
        former.accept()[0].close()


def test_every_connection_goes_to_a_listener_that_shares(sockets: ExitStack) -> None:
    """The one who holds the port takes none, and each of the listeners gets some of 64."""
    port = free_port()
    sockets.enter_context(reserve(LOOPBACK, port))
    listeners = [sockets.enter_context(listening(port, shared=True)) for _ in range(3)]
    for _ in range(64):
        sockets.enter_context(socket.create_connection((LOOPBACK, port), timeout=5))
    counts = []
    for listener in listeners:
        listener.setblocking(False)
        count = 0
        while True:
            try:
                sockets.enter_context(listener.accept()[0])
            except BlockingIOError:
                break
            count += 1
        counts.append(count)
    assert sum(counts) == 64
    assert min(counts) > 0


@pytest.mark.parametrize("listeners", [0, 2])
def test_a_second_service_is_refused(sockets: ExitStack, listeners: int) -> None:
    """Whether ours listen at this moment or all of them have just died, alone or as several processes."""
    port = free_port()
    sockets.enter_context(reserve(LOOPBACK, port))
    for _ in range(listeners):
        sockets.enter_context(listening(port, shared=True))
    with pytest.raises(OSError, match=rf"\[Errno {errno.EADDRINUSE}\]"):
        listening(port, shared=False)
    with pytest.raises(OSError, match=rf"\[Errno {errno.EADDRINUSE}\]"), reserve(LOOPBACK, port):
        pass


def test_a_port_that_is_listened_on_cannot_be_reserved() -> None:
    """Several processes do not push in beside a single one."""
    single = listening(0, shared=False)
    with single, pytest.raises(OSError, match="in use"), reserve(LOOPBACK, single.getsockname()[1]):
        pass


def test_nobody_answers_on_a_port_that_is_only_held() -> None:
    """A caller is told at once that nobody is there, and does not wait."""
    port = free_port()
    with reserve(LOOPBACK, port):
        assert not accepts(port)


def test_connections_of_a_former_service_are_not_in_the_way(sockets: ExitStack) -> None:
    """A service that was stopped a moment ago can be started again at once."""
    port = free_port()
    connection_left_over(port)
    sockets.enter_context(reserve(LOOPBACK, port))
    sockets.enter_context(listening(port, shared=True))


def test_the_port_is_free_again_afterwards() -> None:
    """Nothing of it stays with the kernel."""
    port = free_port()
    with reserve(LOOPBACK, port):
        pass
    listening(port, shared=False).close()
