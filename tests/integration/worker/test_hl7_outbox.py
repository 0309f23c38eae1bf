"""Messages to a RIS through the outbox, on both kinds of database: one recorded outcome each, and nothing blocked."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from tests.integration.worker.conftest import Clock
from tests.integration.worker.test_outages import drain, stand
from tests.oru import header_of
from tests.servers.mllp import Behaviour, answering, closing, mllp_server, saying, silent
from tests.studies import incoming, receive, result, say
from worker.db import Database
from worker.delivering import Deliverer
from worker.destinations import FolderDestination
from worker.domain import DeliveryState
from worker.repository.model_versions import RegisteredModel
from worker.service import Service
from worker.tables import Delivery, Event, Image

HEADER = header_of({"PatientName": b"Secretname^Jane", "PatientID": b"P1", "AccessionNumber": b"ACC1"})
STUDIES = ("2.25.1", "2.25.2", "2.25.3")


def fill(database: Database, champion: RegisteredModel, *to: str) -> None:
    """Say one flagged result of each study, whose film names a patient."""
    for study in STUDIES:
        receive(database, incoming(study=study))
        with database.begin() as session:
            session.execute(update(Image).values(header=HEADER))
        say(database, champion, result(study, flagged=True), to=to)


def outcomes(database: Database) -> list[tuple[str, int, str | None]]:
    """State, attempts and last error of every delivery to the RIS."""
    statement = select(Delivery.state, Delivery.attempts, Delivery.last_error).where(Delivery.destination == "ris")
    with database.read() as session:
        return [tuple(row) for row in session.execute(statement.order_by(Delivery.id))]


@pytest.mark.parametrize(
    ("behave", "state", "told"),
    [
        (answering("AA"), DeliveryState.DELIVERED, None),
        (answering("AE"), DeliveryState.PENDING, "not accepted, MSA-1 AE"),
        (answering("AR"), DeliveryState.PENDING, "not accepted, MSA-1 AR"),
        (answering("AR", more="ERR|||102^Secretname\r"), DeliveryState.DEAD, "not accepted, MSA-1 AR, error code 102"),
        (answering("AA", control_id="x"), DeliveryState.PENDING, "MSA-1 AA, but of another message than the one"),
    ],
    ids=["AA", "AE", "AR", "AR content", "other id"],
)
def test_an_answer_to_one_message_is_recorded_once_and_holds_up_no_other(
    behave: Behaviour,
    state: DeliveryState,
    told: str | None,
    database: Database,
    champion: RegisteredModel,
    service: Callable[..., Service],
) -> None:
    """Every message is tried, each has one outcome, and no log line or event names the patient."""
    fill(database, champion, "ris")
    with mllp_server(behave) as server, capture_logs() as logs:
        assert drain(Deliverer(service(destinations=(server.destination(),), retry_seconds=2))) == 3
    assert len(set(server.received)) == 3
    rows = outcomes(database)
    assert [(row[0], row[1]) for row in rows] == [(state, 1)] * 3
    assert all(told in (error or "") for _, _, error in rows) if told else {row[2] for row in rows} == {None}
    with database.read() as session:
        events = [str(event.detail) for event in session.scalars(select(Event))]
    assert "Secret" not in f"{logs} {events} {rows}"


@pytest.mark.parametrize(
    "behave",
    [silent, closing, saying(b"garbage\x1c\r"), answering("AR", more="ERR|||202\r")],
    ids=["silent", "closes", "garbage", "AR processing id"],
)
def test_a_receiver_that_takes_nothing_pauses_and_then_gets_everything(
    behave: Behaviour,
    database: Database,
    champion: RegisteredModel,
    service: Callable[..., Service],
    clock: Clock,
    tmp_path: Path,
) -> None:
    """It costs two attempts, the folder gets all at once, and nothing is a dead letter."""
    fill(database, champion, "ris", "flags")
    folder = FolderDestination(kind="folder", name="flags", path=tmp_path / "flags")
    with mllp_server(behave) as server:
        ris = server.destination(timeout_seconds=0.3)
        deliverer = Deliverer(service(destinations=(ris, folder), retry_seconds=2))
        drain(deliverer)
        assert server.connections == 2
        assert len(list(folder.path.glob("*.json"))) == 3
        assert (stand(database, "ris").waiting, stand(database, "ris").dead) == (3, 0)
        server.behave = answering("AA")
        for _ in range(8):
            clock.advance(seconds=40)
            drain(deliverer)
    assert [row[0] for row in outcomes(database)] == [DeliveryState.DELIVERED] * 3
