"""Calling another application entity: the association, and what may be wrong with it (PS3.8 7.1)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RJ
from pynetdicom.presentation import PresentationContext

from dicom_io.errors import PeerError, PeerRejectedError, PeerUnreachableError, StoreRefusedError
from dicom_io.tls import client_context
from dicom_io.types import ApplicationEntity
from dicom_io.waiting import wait_without_race

MOST_CONTEXTS = 128  # PS3.8 7.1.1.13: odd numbers of one byte
_UNLIMITED_PDU = 0
_RELEASE_SECONDS = 5  # everything is said by then: who does not answer is left alone


@contextmanager
def association(
    peer: ApplicationEntity,
    contexts: list[PresentationContext],
    *,
    calling_ae_title: str,
    timeout_seconds: float,
    roles: Sequence[Any] = (),
    handlers: Sequence[Any] = (),
) -> Iterator[Association]:
    """Open an association, and release it at the end of the block.

    Args:
        peer: whom to call.
        contexts: proposed presentation contexts, at most `MOST_CONTEXTS`.
        calling_ae_title: how we call ourselves, at most 16 characters.
        timeout_seconds: longest wait for the connection and for each answer.
        roles: SCP/SCU role selections (PS3.7 D.3.3.4), as pynetdicom's `build_role` makes them.
        handlers: pynetdicom's pairs of event and handler, for requests of the peer.

    Raises:
        PeerUnreachableError: if there is no connection.
        PeerRejectedError: if the peer rejected the association.
        TlsFilesError: if the peer is to be called by TLS, and our certificate or key cannot be used.
        StoreRefusedError: if the peer accepts none of the contexts.
    """
    refusals: list[A_ASSOCIATE_RJ | A_ABORT_RQ] = []
    entity = AE(ae_title=calling_ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = timeout_seconds
    entity.network_timeout = timeout_seconds
    security = None if peer.tls is None else client_context(peer.tls)
    try:
        opened = entity.associate(
            peer.host,
            peer.port,
            contexts=contexts,
            ae_title=peer.ae_title,
            max_pdu=_UNLIMITED_PDU,
            ext_neg=list(roles),
            tls_args=None if security is None else (security, peer.host),
            evt_handlers=[
                (evt.EVT_CONN_OPEN, _limit_silence, [timeout_seconds]),
                (evt.EVT_CONN_OPEN, wait_without_race),
                (evt.EVT_PDU_RECV, _note_refusal, [refusals]),
                *handlers,
            ],
        )
    except OSError as error:
        raise PeerUnreachableError(f"{name(peer)} has no address; check the host name.") from error
    if security is not None and security.failure is not None:
        raise PeerUnreachableError(f"{name(peer)} and we agree on no TLS: {security.failure}.")
    if not opened.is_established:
        raise _no_association(opened, peer, refusals)
    try:
        yield opened
    finally:
        if opened.is_established:
            opened.acse_timeout = min(timeout_seconds, _RELEASE_SECONDS)
            opened.release()


def _limit_silence(event: evt.Event, timeout_seconds: float) -> None:
    # pynetdicom waits without end for the rest of a PDU, and no abort would end its thread.
    event.assoc.dul.socket.socket.settimeout(timeout_seconds)


def _note_refusal(event: evt.Event, refusals: list[A_ASSOCIATE_RJ | A_ABORT_RQ]) -> None:
    # One that comes at once is taken by pynetdicom for a connection that failed.
    if isinstance(event.pdu, A_ASSOCIATE_RJ | A_ABORT_RQ):
        refusals.append(event.pdu)


def _no_association(
    association: Association, peer: ApplicationEntity, refusals: Sequence[A_ASSOCIATE_RJ | A_ABORT_RQ]
) -> PeerError:
    if any(isinstance(pdu, A_ASSOCIATE_RJ) for pdu in refusals):
        return PeerRejectedError(f"{name(peer)} rejected the association; check both AE titles and its access list.")
    if refusals:
        return PeerUnreachableError(
            f"{name(peer)} aborted the association at once; its log may say what it cannot bear."
        )
    if association.rejected_contexts:
        return StoreRefusedError(f"{name(peer)} takes no such object in any transfer syntax offered.")
    return PeerUnreachableError(f"{name(peer)} does not answer; check host, port and that it runs.")


def status_of(answer: Dataset, peer: ApplicationEntity) -> int:
    """Return the status of an answer.

    Raises:
        PeerUnreachableError: if the peer gave no answer in time, or broke the association.
    """
    if "Status" not in answer:
        raise PeerUnreachableError(f"{name(peer)} gave no answer in time, or broke the association.")
    return int(answer.Status)


def name(peer: ApplicationEntity) -> str:
    """Return how a peer is called in messages."""
    return f"{peer.ae_title} at {peer.host}:{peer.port}"
