"""How a long-running command is told to end."""

import signal
from collections.abc import Iterator

import pytest

from worker.cli.common import stop_on_signals


@pytest.fixture
def _own_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.timeout(20)
@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_the_worst_moment_is_heard(number: signal.Signals) -> None:
    """It comes while the main thread holds the event's lock, as it does when it begins to wait: no deadlock."""
    stop = stop_on_signals()
    with stop._cond:  # type: ignore[attr-defined]
        signal.raise_signal(number)
    assert stop.wait(10)
