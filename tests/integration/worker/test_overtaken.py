"""A result that a more urgent one of its study has overtaken, on both kinds of database."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import select

from dicom_io.header import encode_header
from tests.results import film
from tests.servers.storescp import StartStoreScp
from tests.studies import NOW, incoming, prepare, receive, result, say, score_everything
from worker.db import Database
from worker.delivering import Deliverer
from worker.destinations import DicomDestination, FolderDestination
from worker.domain import Stage
from worker.repository.model_versions import RegisteredModel
from worker.repository.outbox import retry_dead_deliveries
from worker.repository.views import undelivered
from worker.service import Service
from worker.tables import Delivery, Event

BuildService = Callable[..., Service]


@pytest.fixture
def deliver(
    database: Database, champion: RegisteredModel, service: BuildService, storescp: StartStoreScp, tmp_path: Path
) -> Callable[[], list[str]]:
    """Call it to send what waits: a conclusion, and the flag of a late film; returns what a PACS got."""
    receive(database, incoming())
    prepare(database, header=encode_header(film("2.25.11")))
    score_everything(database, champion)
    say(database, champion, result(), to=("pacs", "flags"))
    say(database, champion, result(revision=2, flagged=True, complete=False), stage=Stage.EARLY, to=("pacs", "flags"))

    def deliver() -> list[str]:
        server = storescp()
        pacs = DicomDestination(kind="dicom", name="pacs", ae_title=server.ae_title, host=server.host, port=server.port)
        flags = FolderDestination(kind="folder", name="flags", path=tmp_path / "flags")
        deliverer = Deliverer(service(destinations=(pacs, flags)))
        while deliverer.deliver_next():
            pass
        return [str(dcmread(path).SeriesDescription) for path in server.files()]

    return deliver


def states(database: Database, destination: str) -> list[str]:
    """How each delivery stands, the oldest first."""
    with database.read() as session:
        rows = select(Delivery.state).where(Delivery.destination == destination).order_by(Delivery.id)
        return list(session.scalars(rows))


def test_the_last_word_that_a_pacs_hears_is_the_flag(database: Database, deliver: Callable[[], list[str]]) -> None:
    """The older result that says SCREENED does not come after it, and hides no flag; it is no dead letter, either."""
    assert deliver() == ["AI TRIAGE: HIGH"]
    assert states(database, "pacs") == ["overtaken", "delivered"]
    with database.begin() as session:
        assert undelivered(session) == []
        assert retry_dead_deliveries(session, NOW, by="operator") == 0
        assert session.scalars(select(Event.detail).where(Event.kind == "delivery-overtaken")).one()["destination"] == (
            "pacs"
        )


def test_a_folder_gets_every_result_in_whatever_order(
    database: Database, deliver: Callable[[], list[str]], tmp_path: Path
) -> None:
    """Each is a file of its own that names the one it supersedes."""
    deliver()
    assert states(database, "flags") == ["delivered", "delivered"]
    assert len(list((tmp_path / "flags").glob("*.json"))) == 2
