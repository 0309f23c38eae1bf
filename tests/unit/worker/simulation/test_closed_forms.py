"""The formulas, held against textbook values, against each other and against what must be."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from worker.errors import ConfigurationError
from worker.simulation.closed_forms import erlang_c, first_come, non_preemptive, preemptive_resume
from worker.simulation.durations import Duration, Shape

MINUTE = Duration(1.0)
loads = some.floats(0.05, 0.98)
shares = some.floats(0.01, 0.99)
shapes = some.sampled_from(["exponential", "deterministic", "lognormal"])


def test_erlangs_formula_is_that_of_the_tables() -> None:
    """One server waits as often as it is busy; two at one Erlang in a third of the cases; many do not overflow."""
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
    assert 0 < erlang_c(5000, 4900) < 1


def test_one_server_waits_as_pollaczek_and_khinchine_say() -> None:
    """Rate 0.8 and mean 1: a wait of 4 with exponential service, half of that where every service takes the mean."""
    assert first_come(1, 0.8, MINUTE) == pytest.approx(4.0)
    assert first_come(1, 0.8, Duration(1.0, "deterministic")) == pytest.approx(2.0)


def test_several_servers_of_any_service_have_no_closed_form() -> None:
    """None instead of a figure that is only nearly right."""
    fixed = Duration(1.0, "deterministic")
    assert first_come(2, 1.0, fixed) is None
    assert non_preemptive(2, (0.5, 0.5), fixed) is None
    assert preemptive_resume(2, (0.5, 0.5), fixed) is None


def test_cobhams_example_by_hand() -> None:
    """Rates 0.3 and 0.5, mean 1: the residual service of 0.8 over 0.7, and over 0.7 times 0.2."""
    assert non_preemptive(1, (0.3, 0.5), MINUTE) == pytest.approx([0.8 / 0.7, 0.8 / (0.7 * 0.2)])


def test_preemption_by_hand() -> None:
    """Rates 0.3 and 0.5: the first class as if alone, the second by the number in the system, which is not changed."""
    first, second = preemptive_resume(1, (0.3, 0.5), MINUTE) or (0.0, 0.0)
    assert first == pytest.approx(0.3 / 0.7)
    assert 0.3 * first + 0.5 * second == pytest.approx(0.8 * 4.0)


@given(load=loads, share=shares, servers=some.integers(1, 40))
def test_priority_takes_from_the_others_what_it_gives(load: float, share: float, servers: int) -> None:
    """The conservation law: with equal exponential services the mean wait of all is that without priorities."""
    rates = (load * servers * share, load * servers * (1 - share))
    together = first_come(servers, sum(rates), MINUTE)
    for form in (non_preemptive, preemptive_resume):
        waits = form(servers, rates, MINUTE)
        assert waits is not None
        assert waits[0] < waits[1]
        assert sum(rate * wait for rate, wait in zip(rates, waits, strict=True)) / sum(rates) == pytest.approx(together)


@given(load=loads, share=shares, shape=shapes)
def test_the_law_holds_for_any_service_where_nobody_is_interrupted(load: float, share: float, shape: Shape) -> None:
    """One server: the loads times the waits of the classes add up to those of all."""
    service, rates = Duration(1.0, shape), (load * share, load * (1 - share))
    waits = non_preemptive(1, rates, service)
    assert waits is not None
    assert sum(r * w for r, w in zip(rates, waits, strict=True)) == pytest.approx(
        load * (first_come(1, load, service) or 0)
    )


@given(load=loads, share=shares)
def test_both_ways_to_the_preemptive_wait_agree(load: float, share: float) -> None:
    """One exponential server: the formula of any service is that of many servers."""
    rates = (load * share, load * (1 - share))
    below = (load * first_come(1, load, MINUTE) - rates[0] * first_come(1, rates[0], MINUTE)) / rates[1]  # type: ignore[operator]
    assert preemptive_resume(1, rates, MINUTE) == pytest.approx([first_come(1, rates[0], MINUTE), below])


@pytest.mark.parametrize("servers", [1, 3])
def test_an_empty_class_disturbs_nobody(servers: int) -> None:
    """No flag at all, or flags for all: the class that is not empty waits as if there were no classes."""
    alone = first_come(servers, 0.9, MINUTE)
    for form in (non_preemptive, preemptive_resume):
        assert (form(servers, (0.0, 0.9), MINUTE) or [0])[1] == pytest.approx(alone)
        assert (form(servers, (0.9, 0.0), MINUTE) or [0])[0] == pytest.approx(alone)


@pytest.mark.parametrize("mean", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused(mean: float) -> None:
    """One line, that names the figure."""
    with pytest.raises(ConfigurationError, match=f"{mean:g} is not"):
        Duration(mean)
    with pytest.raises(ConfigurationError, match="one of exponential, deterministic, lognormal"):
        Duration(1.0, "normal")  # type: ignore[arg-type]
