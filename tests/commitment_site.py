"""A service that commits to storage for one caller, and what is known of it."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.dsutils import create_file_meta, encode, encode_file_meta
from sqlalchemy import select, update

from dicom_io.commitment import CommitmentRequest, ObjectReference
from dicom_io.identification import identify
from dicom_io.phantom import phantom_dataset
from dicom_io.scp import ReceivedObject
from tests.commitment_client import CALLER, Ear
from worker.committing import CommitmentDesk, Committer
from worker.db import Database
from worker.intake import Intake
from worker.repository.commitment_views import CommitmentView, commitments
from worker.service import Service
from worker.tables import Event, Image


@dataclass
class Site:
    """A service with storage commitment for one caller, and that caller; what it hears comes over the network."""

    service: Service
    ear: Ear
    films: dict[str, Dataset] = field(default_factory=dict)

    def send(self, *numbers: int) -> list[tuple[str, str]]:
        """Store new films, a study each; returns their references."""
        films = [phantom_dataset(number, kind="CR", rows=16, columns=16) for number in numbers]
        for film in films:
            self.films[film.SOPInstanceUID] = film
            self.store(film)
        return [(film.SOPClassUID, film.SOPInstanceUID) for film in films]

    def store(self, dataset: Dataset) -> None:
        """Take an object as the listener does."""
        raw = memoryview(encode(dataset, False, True) or b"")
        meta = create_file_meta(
            sop_class_uid=dataset.SOPClassUID,
            sop_instance_uid=dataset.SOPInstanceUID,
            transfer_syntax=ExplicitVRLittleEndian,
        )
        received = ReceivedObject(
            identification=identify(raw, ExplicitVRLittleEndian),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            calling_ae_title=CALLER,
            priority=0,
            file_head=bytes(128) + b"DICM" + encode_file_meta(meta),
            data_set=raw,
            content_sha256=sha256(raw).hexdigest(),
        )
        Intake(self.service).receive(received)

    def ask(self, references: list[tuple[str, str]], transaction_uid: str = "2.25.7", *, caller: str = CALLER) -> None:
        """Ask for commitment."""
        named = tuple(ObjectReference(*reference) for reference in dict.fromkeys(references))
        CommitmentDesk(self.service).take(CommitmentRequest(caller, transaction_uid, named))

    def work(self) -> bool:
        """Let the worker answer one request."""
        return Committer(self.service).commit_next()

    def file(self, sop_instance_uid: str) -> Any:
        """Where an object lies in the spool."""
        return self.service.spool.path(self.image(sop_instance_uid).content_sha256)

    def image(self, sop_instance_uid: str) -> Image:
        """The row of an object."""
        with self.service.database.read() as session:
            return session.scalars(select(Image).where(Image.sop_instance_uid == sop_instance_uid)).one()

    def requests(self) -> list[CommitmentView]:
        """How the requests stand."""
        with self.service.database.read() as session:
            return commitments(session, limit=100)

    def events(self) -> list[tuple[str, str | None, dict[str, Any]]]:
        """What the audit trail says of storage commitment."""
        with self.service.database.read() as session:
            rows = session.scalars(select(Event).where(Event.kind.like("commitment-%")).order_by(Event.id)).all()
        return [(row.kind, row.study_instance_uid, row.detail) for row in rows]


def set_image(database: Database, sop_instance_uid: str, **values: object) -> None:
    """Change the row of an object."""
    with database.begin() as session:
        session.execute(update(Image).where(Image.sop_instance_uid == sop_instance_uid).values(**values))
