"""The delay before another attempt."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from worker.repository.claims import ClaimPolicy, backed_off

SECOND = timedelta(seconds=1)
CHANCE = st.floats(0, 1)


@given(attempts=st.integers(1, 10_000), chance=CHANCE, retry=st.integers(1, 600), longest=st.integers(1, 600))
def test_a_delay_lies_between_half_of_the_full_one_and_its_bound(
    attempts: int, chance: float, retry: int, longest: int
) -> None:
    """Never at once, never beyond `retry_max`, by which a delay from a clock that was set back is known."""
    delay = backed_off(attempts, retry * SECOND, longest * SECOND, chance)
    full = backed_off(attempts, retry * SECOND, longest * SECOND, 1.0)
    assert full / 2 <= delay + timedelta(microseconds=1)
    assert delay <= full <= longest * SECOND


@given(attempts=st.integers(1, 100), chance=CHANCE)
def test_another_attempt_never_waits_less(attempts: int, chance: float) -> None:
    """For the same chance."""
    delays = [backed_off(n, 2 * SECOND, 300 * SECOND, chance) for n in (attempts, attempts + 1)]
    assert delays[0] <= delays[1]


def test_rows_that_failed_together_are_not_tried_again_together() -> None:
    """The chance is drawn for each."""
    policy = ClaimPolicy(lease=SECOND, max_attempts=3, retry=60 * SECOND, retry_max=600 * SECOND)
    assert len({policy.delay(1) for _ in range(100)}) > 90
