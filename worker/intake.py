"""Taking responsibility for a received object: durable file, then durable row, then the wake-up."""

from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from dicom_io.errors import ImageError, OutOfResourcesError
from dicom_io.identification import carries_pixels
from dicom_io.rejection import RejectionNote, is_key_object_selection, read_rejection_note
from dicom_io.scp import ReceivedObject
from worker.domain import Urgency
from worker.metrics.counting import Senders, count_received
from worker.queues import Queue
from worker.repository.intake import IncomingImage, Receipt, record_image, record_other_object
from worker.repository.rejections import record_rejection
from worker.repository.synthetic import is_synthetic
from worker.service import Service

_URGENCY = {0: Urgency.MEDIUM, 1: Urgency.HIGH, 2: Urgency.LOW}  # PS3.7 E.1, Priority (0000,0700)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Intake:
    """What the listener does with an object; safe to call from many threads."""

    service: Service
    _senders: Senders = field(init=False)

    def __post_init__(self) -> None:
        """Remember which senders may be named in metrics."""
        object.__setattr__(self, "_senders", Senders(self.service.settings.listener.allowed_callers))

    def receive(self, received: ReceivedObject) -> None:
        """Return once the object is durable and its work is committed.

        Raises:
            OutOfResourcesError: if the spool or the database cannot take it; nothing is left half-done.
        """
        reference = received.identification.reference
        with bound_contextvars(study_instance_uid=reference.study_instance_uid):
            try:
                receipt = self._take(received)
            except SQLAlchemyError as error:
                raise OutOfResourcesError(f"database: {type(error).__name__}; the sender may try again") from error
            _log.info(
                "object-received",
                sop_instance_uid=reference.sop_instance_uid,
                calling_ae_title=received.calling_ae_title,
                receipt=receipt,
            )

    def _take(self, received: ReceivedObject) -> Receipt | None:
        reference = received.identification.reference
        if received.identification.made_here or not carries_pixels(reference.sop_class_uid):
            self._record(received)
            self._count(received, None)
            return None
        self.service.spool.store(received.content_sha256, (received.file_head, received.data_set))
        with self.service.database.begin() as session:
            receipt = record_image(session, self._incoming(received))
            synthetic = is_synthetic(session, reference.study_instance_uid)
        if not synthetic:  # a doctor that asks as the PACS must not hide that the PACS is silent
            self._count(received, receipt)
        if receipt is not Receipt.DUPLICATE:
            self.service.wake(Queue.PREPARE)
        return receipt

    def _count(self, received: ReceivedObject, receipt: Receipt | None) -> None:
        count_received(receipt)
        self._senders.seen(received.calling_ae_title, self.service.now())

    def _record(self, received: ReceivedObject) -> None:
        reference, now = received.identification.reference, self.service.now()
        note, fault = _rejection_note(received)
        with self.service.database.begin() as session:
            record_other_object(session, reference, received.calling_ae_title, now, fault)
            if note is not None:
                record_rejection(session, note, reference, now)

    def _incoming(self, received: ReceivedObject) -> IncomingImage:
        now = self.service.now()
        return IncomingImage(
            reference=received.identification.reference,
            transfer_syntax_uid=received.transfer_syntax_uid,
            content_sha256=received.content_sha256,
            data_set_bytes=len(received.data_set),
            accession_number=received.identification.accession_number,
            calling_ae_title=received.calling_ae_title,
            urgency=self._urgency(received),
            received_at=now,
            due_at=now + timedelta(minutes=self.service.settings.screen_within_minutes),
        )

    def _urgency(self, received: ReceivedObject) -> Urgency:
        urgent = {title.strip() for title in self.service.settings.listener.urgent_callers}  # PS3.5 6.2: AE, no padding
        if received.calling_ae_title.strip() in urgent:
            return Urgency.HIGH
        return _URGENCY.get(received.priority, Urgency.MEDIUM)


def _rejection_note(received: ReceivedObject) -> tuple[RejectionNote | None, str | None]:
    """Return the note that the object is, or what is wrong with it.

    A document that cannot be read takes nothing back; it is not refused, since sending it again would not mend it.
    """
    reference = received.identification.reference
    if not is_key_object_selection(reference.sop_class_uid):
        return None, None
    try:
        return read_rejection_note(received.data_set, received.transfer_syntax_uid), None
    except ImageError as error:
        _log.warning("key-objects-unreadable", sop_instance_uid=reference.sop_instance_uid, error=str(error))
        return None, str(error)
