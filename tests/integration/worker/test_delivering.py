"""The deliver step, on both kinds of database."""

from collections.abc import Callable

import pytest

from tests.integration.worker.conftest import Clock
from tests.studies import FOLDER, incoming, receive, result, say
from worker import delivering
from worker.db import Database
from worker.delivering import Deliverer
from worker.domain import ScreeningResult
from worker.receipt import Receipt
from worker.repository.model_versions import RegisteredModel
from worker.repository.views import DeliveryView, undelivered
from worker.service import Service


def waiting(database: Database) -> list[DeliveryView]:
    """What is not delivered yet."""
    with database.read() as session:
        return undelivered(session)


def test_a_result_that_is_our_own_fault_holds_up_no_other(
    database: Database,
    champion: RegisteredModel,
    service: Callable[..., Service],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is given back at once, to be tried again later, and the destination gets the next one without a wait."""
    receive(database, incoming(study="2.25.1"), incoming(study="2.25.2"))
    say(database, champion, result("2.25.1", flagged=True))
    say(database, champion, result("2.25.2"))

    def send(result: ScreeningResult, *_: object, **__: object) -> Receipt:
        if result.flag.study_instance_uid == "2.25.1":
            raise ArithmeticError
        return Receipt("taken")

    monkeypatch.setattr(delivering, "send", send)
    deliverer = Deliverer(service(destinations=(FOLDER,)))
    with pytest.raises(ArithmeticError):
        deliverer.deliver_next()
    assert [deliverer.deliver_next() for _ in range(2)] == [True, False]
    (left,) = waiting(database)
    assert (left.attempts, left.last_error) == (1, "ArithmeticError")
    assert left.traceback is not None
    assert "worker/delivering.py:" in left.traceback
    assert left.not_before is not None
    assert left.not_before > clock()
