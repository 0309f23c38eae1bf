"""One result in the outbox for one destination, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select, update

from dicom_io.header import encode_header
from tests.results import film
from tests.studies import incoming, receive, result, say
from worker.db import Database
from worker.delivering import Deliverer
from worker.destinations import Destination
from worker.domain import Flag
from worker.repository.model_versions import RegisteredModel
from worker.service import Service
from worker.tables import Delivery, Event, Image


@dataclass(frozen=True)
class Outcome:
    """How a delivery stands; `said` is its answer or its last error, `recorded` what the audit trail has of it."""

    state: str
    attempts: int
    said: str | None
    form: str | None
    recorded: tuple[str, ...]


@dataclass(frozen=True)
class Outbox:
    """An outbox with one destination."""

    database: Database
    champion: RegisteredModel
    service: Callable[..., Service]

    def put(self, destination: Destination, *, study: str = "2.25.1", flagged: bool = True) -> Flag:
        """Say a result of a study with one film, whose whole header is there."""
        receive(self.database, incoming(study=study))
        with self.database.begin() as session:
            session.execute(update(Image).values(header=encode_header(film("2.25.11"))))
        said = result(study, flagged=flagged)
        image = said.images[0].model_copy(update={"probability": 0.9, "threshold": 0.3})
        said = said.model_copy(update={"images": (image,), "accession_number": "ACC1"})
        say(self.database, self.champion, said, to=(destination.name,))
        return said

    def deliver(self, destination: Destination) -> Outcome:
        """Try the first delivery that is due, which must be there, and tell how it stands."""
        assert Deliverer(self.service(destinations=(destination,))).deliver_next()
        with self.database.read() as session:
            row = session.scalars(select(Delivery).order_by(Delivery.id)).first()
            events = session.scalars(select(Event.kind).where(Event.kind.like("deliver%")).order_by(Event.id)).all()
        assert row is not None
        return Outcome(row.state, row.attempts, row.answer or row.last_error, row.form, tuple(events))

    def deliver_new(self, destination: Destination) -> Outcome:
        """Put one result in and try it."""
        self.put(destination)
        return self.deliver(destination)
