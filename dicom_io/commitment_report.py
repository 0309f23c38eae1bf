"""Storage commitment: telling the one who asked what came of it, on an association of our own (PS3.4 J.3.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from pydicom import Dataset
from pynetdicom.association import Association
from pynetdicom.presentation import build_context, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from dicom_io.associating import association, name, status_of
from dicom_io.commitment import COMMITMENT_SYNTAXES, ObjectReference, item_of
from dicom_io.errors import PeerUnreachableError, ReportRefusedError, StoreRefusedError
from dicom_io.part10 import tolerant
from dicom_io.types import ApplicationEntity

_ALL_COMMITTED, _FAILURES_EXIST = 1, 2  # PS3.4 Table J.3-3, Event Type ID


class FailureReason(IntEnum):
    """Why we do not take responsibility for an object (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    RESOURCE_LIMITATION = 0x0213


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What came of a request: every reference of it is committed, or failed for a reason."""

    transaction_uid: str
    committed: tuple[ObjectReference, ...]
    failed: Mapping[ObjectReference, FailureReason]


def report_commitment(
    peer: ApplicationEntity, report: CommitmentReport, *, calling_ae_title: str, timeout_seconds: float
) -> None:
    """Send an N-EVENT-REPORT and return once the peer has acknowledged it with 0x0000.

    We propose ourselves as SCP of the class (role selection, PS3.7 D.3.3.4). A peer that accepts the class and is
    silent about roles is sent the report, too: what it makes of it, its answer says.

    Args:
        peer: who asked.
        report: what to tell.
        calling_ae_title: how we call ourselves, at most 16 characters.
        timeout_seconds: longest wait for the connection and for each answer.

    Raises:
        PeerUnreachableError: if there is no connection, or the association was rejected, aborted or timed out.
        ReportRefusedError: if the peer takes no reports or answers another status.
    """
    context = build_context(StorageCommitmentPushModel, COMMITMENT_SYNTAXES)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    called = name(peer)
    try:
        with association(
            peer, [context], calling_ae_title=calling_ae_title, timeout_seconds=timeout_seconds, roles=[role]
        ) as opened:
            status = status_of(_send(opened, report), peer)
    except StoreRefusedError as error:
        raise ReportRefusedError(f"{called} takes no storage commitment reports; make it an SCU of them.") from error
    except RuntimeError as error:
        raise PeerUnreachableError(f"{called} ended the association.") from error
    if status != 0x0000:
        raise ReportRefusedError(f"{called} answered the storage commitment report with status 0x{status:04X}.")


def _send(opened: Association, report: CommitmentReport) -> Dataset:
    event_type = _FAILURES_EXIST if report.failed else _ALL_COMMITTED
    with tolerant():  # a UID may be as odd as that of the object that was taken
        answer, _ = opened.send_n_event_report(
            _event_information(report), event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
    return Dataset(answer)


def _event_information(report: CommitmentReport) -> Dataset:
    """Encode a report (PS3.4 Table J.3-3); a sequence without items is left out."""
    information = Dataset()
    information.TransactionUID = report.transaction_uid
    if report.committed:
        information.ReferencedSOPSequence = [_item(reference) for reference in report.committed]
    if report.failed:
        information.FailedSOPSequence = [_item(reference, reason) for reference, reason in report.failed.items()]
    return information


def _item(reference: ObjectReference, reason: FailureReason | None = None) -> Dataset:
    item = item_of(reference)
    if reason is not None:
        item.FailureReason = int(reason)
    return item
