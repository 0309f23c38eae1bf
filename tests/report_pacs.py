"""A PACS that takes what it is told to take, and may commit to store it: its refusals cannot be had from a real one."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from pynetdicom.transport import ThreadedAssociationServer

from dicom_io.report import ReportForm
from tests.servers.ports import LOOPBACK
from worker.destinations import DicomDestination

AE_TITLE = "PACS"
_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]


@dataclass
class ReportPacs:
    """What it answers, and what came.

    Attributes:
        port: where it listens.
        statuses: of a C-STORE, by form; 0x0000 for others.
        action_status: of an N-ACTION.
        on_action: what it does before it answers one.
        hangs_up_on: the form with whose answer it ends the association.
        crashes_at: the forms at whose objects it ends the association without an answer.
        stored: the forms of the objects that came, taken or not.
        asked: the N-ACTIONs: Transaction UID, SOP class and instance that they name.
        associations: how many it accepted.
    """

    port: int = 0
    statuses: Mapping[ReportForm, int] = field(default_factory=dict)
    action_status: int = 0x0000
    on_action: Callable[[evt.Event], None] = lambda _event: None
    hangs_up_on: ReportForm | None = None
    crashes_at: tuple[ReportForm, ...] = ()
    stored: list[ReportForm] = field(default_factory=list)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    associations: int = 0

    def destination(self, **others: object) -> DicomDestination:
        """The settings of a destination `pacs` that is this one."""
        values = {"ae_title": AE_TITLE, "host": LOOPBACK, "port": self.port, "timeout_seconds": 5, **others}
        return DicomDestination(kind="dicom", name="pacs", **values)

    def accepted(self, _event: evt.Event) -> None:
        """Count an association."""
        self.associations += 1

    def store(self, event: evt.Event) -> int:
        """Answer a C-STORE."""
        form = next(form for form in ReportForm if form.sop_class_uid == event.request.AffectedSOPClassUID)
        self.stored.append(form)
        if form in self.crashes_at:
            event.assoc.abort()
        return self.statuses.get(form, 0x0000)

    def sent(self, event: evt.Event) -> None:
        """End the association once its answer is out."""
        if isinstance(event.pdu, P_DATA_TF) and self.stored == [self.hangs_up_on]:
            threading.Thread(target=event.assoc.abort, daemon=True).start()

    def action(self, event: evt.Event) -> tuple[int, None]:
        """Answer an N-ACTION."""
        information = event.action_information
        (item,) = information.ReferencedSOPSequence
        self.asked.append((information.TransactionUID, item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID))
        self.on_action(event)
        return self.action_status, None


@contextmanager
def report_pacs(
    pacs: ReportPacs, *, forms: Sequence[ReportForm] = tuple(ReportForm), commits: bool = False
) -> Iterator[ReportPacs]:
    """Let a PACS listen for the block; it negotiates these forms, and storage commitment if it `commits`."""
    entity = AE(ae_title=AE_TITLE)
    for form in forms:
        entity.add_supported_context(form.sop_class_uid, _SYNTAXES)
    if commits or not forms:
        entity.add_supported_context(StorageCommitmentPushModel, _SYNTAXES)
    handlers = [
        (evt.EVT_C_STORE, pacs.store),
        (evt.EVT_N_ACTION, pacs.action),
        (evt.EVT_ACCEPTED, pacs.accepted),
        (evt.EVT_PDU_SENT, pacs.sent),
    ]
    server = entity.make_server((LOOPBACK, pacs.port), evt_handlers=handlers, server_class=ThreadedAssociationServer)
    entity._servers.append(server)  # as AE.start_server does, whose loop takes half a second to notice its end
    pacs.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield pacs
    finally:
        server.shutdown()
        thread.join()


def event_information(
    transaction_uid: str, committed: Sequence[tuple[str, str]], failed: Sequence[tuple[str, str]] = ()
) -> Dataset:
    """What an N-EVENT-REPORT carries; failed for Failure Reason 0110."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    if committed:
        information.ReferencedSOPSequence = [_item(*reference) for reference in committed]
    if failed:
        information.FailedSOPSequence = [_item(*reference) for reference in failed]
        for item in information.FailedSOPSequence:
            item.FailureReason = 0x0110
    return information


def report_to(
    port: int,
    information: Dataset | None,
    *,
    event_type: int = 1,
    ae_title: str = AE_TITLE,
    instance_uid: str = StorageCommitmentPushModelInstance,
) -> int | None:
    """Report as a provider does, on an association of its own; the status, or None if the class is refused."""
    entity = AE(ae_title=ae_title)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    context = build_context(StorageCommitmentPushModel)
    association = entity.associate(LOOPBACK, port, contexts=[context], ext_neg=[role])
    if not association.is_established:
        return None
    try:
        answer, _ = association.send_n_event_report(information, event_type, StorageCommitmentPushModel, instance_uid)
        return int(answer.Status)
    finally:
        association.release()


def _item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item
