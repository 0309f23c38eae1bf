"""Storage as SCU with a choice: what the peer takes is known before anything is built (PS3.4 B, J)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from dicom_io.associating import association, name, status_of
from dicom_io.commitment import COMMITMENT_SYNTAXES, ObjectReference, item_of
from dicom_io.commitment_outcome import Hear, handle_report
from dicom_io.errors import PeerUnreachableError
from dicom_io.part10 import tolerant
from dicom_io.scu import storage_contexts, store_one
from dicom_io.types import ApplicationEntity

_REQUEST_STORAGE_COMMITMENT = 1  # PS3.4 Table J.3-1, Action Type ID


@dataclass(frozen=True, slots=True)
class Sending:
    """An open association to a peer; see `sending`."""

    peer: ApplicationEntity
    _opened: Association

    @property
    def commits(self) -> bool:
        """Whether the peer takes requests for storage commitment."""
        return self.takes(StorageCommitmentPushModel)

    def takes(self, sop_class_uid: str) -> bool:
        """Tell whether the peer accepted objects of a SOP class."""
        return any(context.abstract_syntax == sop_class_uid for context in self._opened.accepted_contexts)

    def store(self, dataset: Dataset) -> int:
        """Send an object with file meta; returns its status, 0x0000 or a warning.

        Raises:
            PeerUnreachableError: if the peer does not answer in time, or ended the association.
            StoreRefusedError: if it does not take the object.
        """
        kind = str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID)
        return store_one(self._opened, self.peer, dataset, kind)

    def ask_commitment(
        self, transaction_uid: str, references: Sequence[ObjectReference], *, timeout_seconds: float
    ) -> int:
        """Ask the peer to take responsibility for what was sent, if it `commits`; the outcome comes in a report.

        Args:
            transaction_uid: of the request.
            references: what was sent.
            timeout_seconds: longest wait for the answer, if that is shorter than the association's.

        Returns:
            The status of the answer (PS3.4 Table J.3-2).

        Raises:
            PeerUnreachableError: if the peer does not answer in time, or ended the association.
        """
        information = Dataset()
        information.TransactionUID = transaction_uid
        information.ReferencedSOPSequence = [item_of(reference) for reference in references]
        action = _REQUEST_STORAGE_COMMITMENT, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        self._opened.dimse_timeout = min(timeout_seconds, self._opened.dimse_timeout or timeout_seconds)
        try:
            with tolerant():
                answer, _ = self._opened.send_n_action(information, *action)
        except RuntimeError as error:
            raise PeerUnreachableError(f"{name(self.peer)} ended the association.") from error
        return status_of(Dataset(answer), self.peer)


@contextmanager
def sending(
    peer: ApplicationEntity,
    sop_class_uids: Sequence[str],
    *,
    calling_ae_title: str,
    timeout_seconds: float,
    hear: Hear | None = None,
) -> Iterator[Sending]:
    """Open an association for objects of any of the SOP classes, encoded in Explicit VR Little Endian.

    Args:
        peer: where to.
        sop_class_uids: all that may be sent.
        calling_ae_title: how we call ourselves, at most 16 characters.
        timeout_seconds: longest wait for the connection and for each answer.
        hear: proposes storage commitment, too, and takes a report that comes while the association lasts; see
            `dicom_io.commitment_outcome.handle_report`.

    Raises:
        PeerUnreachableError: if there is no connection, or the association was rejected, aborted or timed out.
        TlsFilesError: if the peer is to be called by TLS, and our certificate or key cannot be used.
        StoreRefusedError: if the peer accepts none of the SOP classes.
    """
    kinds = [(str(sop_class), str(ExplicitVRLittleEndian)) for sop_class in sop_class_uids]
    contexts = storage_contexts(kinds, convertible=True)
    handlers = []
    if hear is not None:
        contexts = [*contexts, build_context(StorageCommitmentPushModel, COMMITMENT_SYNTAXES)]
        handlers.append((evt.EVT_N_EVENT_REPORT, handle_report, [hear]))
    with association(
        peer, contexts, calling_ae_title=calling_ae_title, timeout_seconds=timeout_seconds, handlers=handlers
    ) as opened:
        yield Sending(peer, opened)
