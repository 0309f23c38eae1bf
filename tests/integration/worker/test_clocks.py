"""Clocks of other hosts, as the rows that they write for the doctor's film show them."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.integration.worker.conftest import Clock
from tests.studies import NOW, STUDY, incoming, prepare, receive, score_everything
from worker.db import Database
from worker.doctor import Doctor
from worker.finding import attempt
from worker.repository.model_versions import RegisteredModel
from worker.service import Service

SECOND = timedelta(seconds=1)
AWAY = 10 * SECOND


@pytest.fixture
def asked(
    database: Database, champion: RegisteredModel, service: Callable[..., Service], clock: Clock
) -> Callable[..., str | None]:
    """Call it with what the clocks of the hosts show; the warning of a doctor who waited from `NOW` for two seconds."""

    def film(*, listener: datetime = NOW, prepares: datetime = NOW, scores: datetime = NOW) -> str | None:
        receive(database, incoming(at=listener))
        prepare(database, at=prepares)
        score_everything(database, champion, at=scores)
        doctor = Doctor(service())

        def compare() -> str:
            doctor._compare_clocks(STUDY, NOW, NOW + 2 * SECOND)
            return "well"

        return attempt("way through", compare).warning

    return film


def test_clocks_that_agree_are_not_told(asked: Callable[..., str | None]) -> None:
    """Every time lies within the wait, or beside it by less than a tenth of `study_quiet_seconds`."""
    assert asked(listener=NOW - SECOND, prepares=NOW + SECOND, scores=NOW + 4 * SECOND) is None


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({"listener": NOW - AWAY}, "the clock of the listener process's host is 10.0 s behind this host's"),
        ({"prepares": NOW + AWAY}, "the clock of the prepare process's host is 8.0 s ahead of this host's"),
        ({"scores": NOW + AWAY}, "the clock of the score process's host is 8.0 s ahead of this host's"),
    ],
)
def test_the_host_whose_clock_is_apart_is_named(
    shown: dict[str, datetime], said: str, asked: Callable[..., str | None]
) -> None:
    """By the process that runs there, in which direction, and by how much at least; the way through is well."""
    warning = asked(**shown)
    assert warning is not None
    assert said in warning
