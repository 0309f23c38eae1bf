"""A modality that asks for storage commitment, kind or unkind: its requests, and its ear for the reports."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance
from pynetdicom.transport import ThreadedAssociationServer

from dicom_io.part10 import tolerant
from tests.servers.ports import LOOPBACK
from worker.sections import PeerSettings

CALLER = "MODALITY"


def action_information(
    references: Sequence[tuple[str, str]] | None, *, transaction_uid: str | None = "2.25.7"
) -> Dataset:
    """What an N-ACTION carries; None leaves an attribute out."""
    information = Dataset()
    if transaction_uid is not None:
        information.TransactionUID = transaction_uid
    if references is not None:
        information.ReferencedSOPSequence = [_item(*reference) for reference in references]
    return information


def _item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def request_commitment(
    port: int,
    information: Dataset | None,
    *,
    caller: str = CALLER,
    action_type: int = 1,
    instance_uid: str = StorageCommitmentPushModelInstance,
) -> int | None:
    """The status that an N-ACTION is answered with; None if the class is refused at negotiation."""
    entity = AE(ae_title=caller)
    entity.add_requested_context(StorageCommitmentPushModel)
    association = entity.associate(LOOPBACK, port)
    if not association.is_established:
        return None
    answer, _ = association.send_n_action(information, action_type, StorageCommitmentPushModel, instance_uid)
    association.release()
    return int(answer.Status)


@dataclass
class Ear:
    """What listens for reports: every one that came, and what it is answered."""

    address: PeerSettings
    status: int = 0x0000
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    roles: list[tuple[bool, bool]] = field(default_factory=list)
    before_answer: Callable[[evt.Event], None] = lambda _event: None

    def __call__(self, event: evt.Event) -> tuple[int, None]:
        """Take a report."""
        self.reports.append((event.event_type, event.event_information))
        proposed = event.assoc.requestor.role_selection[StorageCommitmentPushModel]
        self.roles.append((proposed.scu_role, proposed.scp_role))
        self.before_answer(event)
        return self.status, None

    @property
    def outcomes(self) -> list[tuple[int, list[str], dict[str, int]]]:
        """Event type, committed (sorted) and failed SOP instances of every report."""
        with tolerant():
            return [_outcome(*told) for told in self.reports]


def _outcome(event_type: int, report: Dataset) -> tuple[int, list[str], dict[str, int]]:
    committed = sorted(item.ReferencedSOPInstanceUID for item in report.get("ReferencedSOPSequence") or ())
    failed = {item.ReferencedSOPInstanceUID: item.FailureReason for item in report.get("FailedSOPSequence") or ()}
    return event_type, committed, failed


@contextmanager
def listening(ear: Ear, *, lets_in: str = "", scp_role: bool | None = True) -> Iterator[None]:
    """Let the ear listen for the block; `lets_in` is the only calling AE title, `scp_role` its answer to our role."""
    entity = AE(ae_title=ear.address.ae_title)
    entity.require_calling_aet = [lets_in] if lets_in else []
    entity.add_supported_context(
        StorageCommitmentPushModel, scu_role=None if scp_role is None else False, scp_role=scp_role
    )
    handlers = [(evt.EVT_N_EVENT_REPORT, ear)]
    # As AE.start_server does, whose loop however takes half a second to notice that it is to end.
    address = (ear.address.host, ear.address.port)
    server = entity.make_server(address, evt_handlers=handlers, server_class=ThreadedAssociationServer)
    entity._servers.append(server)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
