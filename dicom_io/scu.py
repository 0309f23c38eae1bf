"""Speaking to other application entities: C-ECHO and C-STORE as SCU (PS3.4 A, B)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydicom import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification

from dicom_io.associating import MOST_CONTEXTS, association, name, status_of
from dicom_io.errors import PeerUnreachableError, StoreRefusedError
from dicom_io.part10 import tolerant
from dicom_io.recoding import as_implicit
from dicom_io.types import ApplicationEntity

SUCCESS = 0x0000
_CONVERTIBLE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)

_Stored = TypeVar("_Stored", Dataset, Path)
Kind = tuple[str, str]  # SOP Class UID, Transfer Syntax UID


def echo(peer: ApplicationEntity, *, calling_ae_title: str, timeout_seconds: float) -> None:
    """Ask a peer whether it is there.

    Raises:
        PeerUnreachableError: if it is not, or does not want to talk to us.
        TlsFilesError: if the peer is to be called by TLS, and our certificate or key cannot be used.
        StoreRefusedError: if it takes associations, but no C-ECHO.

    Source: DICOM PS3.4 A.
    """
    contexts = [build_context(Verification)]
    with association(peer, contexts, calling_ae_title=calling_ae_title, timeout_seconds=timeout_seconds) as opened:
        status_of(opened.send_c_echo(), peer)


def store(
    peer: ApplicationEntity, datasets: Sequence[Dataset], *, calling_ae_title: str, timeout_seconds: float
) -> list[int]:
    """Send objects over one association.

    Args:
        peer: where to.
        datasets: with file meta. An uncompressed one is converted where the peer takes only the other uncompressed
            little endian transfer syntax.
        calling_ae_title: how we call ourselves, at most 16 characters.
        timeout_seconds: longest wait for the connection and for each answer.

    Returns:
        The status of each object, in order: 0x0000 or a warning.

    Raises:
        PeerUnreachableError: if there is no connection, or the association was rejected, aborted or timed out.
        TlsFilesError: see `echo`.
        StoreRefusedError: at the first object that the peer does not take; it may have taken those before.

    Source: DICOM PS3.4 B.
    """
    kinds = [(str(d.SOPClassUID), str(d.file_meta.TransferSyntaxUID)) for d in datasets]
    return _store(peer, datasets, kinds, calling_ae_title, timeout_seconds)


def store_files(
    peer: ApplicationEntity, paths: Sequence[Path], *, calling_ae_title: str, timeout_seconds: float
) -> list[int]:
    """Send DICOM files over one association, as a PACS would: byte for byte, in the transfer syntax they have.

    Args:
        peer: see `store`.
        paths: files with file meta information.
        calling_ae_title: see `store`.
        timeout_seconds: see `store`.

    Returns:
        See `store`.

    Raises:
        PeerUnreachableError: see `store`.
        StoreRefusedError: see `store`.
        KeyError: if a file has no file meta information.
    """
    metas = [read_file_meta_info(path) for path in paths]
    kinds = [(str(meta["MediaStorageSOPClassUID"].value), str(meta["TransferSyntaxUID"].value)) for meta in metas]
    # Makes pynetdicom send the bytes of a file as they are; it decodes and encodes them otherwise.
    _config.STORE_SEND_CHUNKED_DATASET = True
    return _store(peer, paths, kinds, calling_ae_title, timeout_seconds)


def _store(
    peer: ApplicationEntity,
    objects: Sequence[_Stored],
    kinds: Sequence[Kind],
    calling_ae_title: str,
    timeout_seconds: float,
) -> list[int]:
    if not objects:
        return []
    contexts = storage_contexts(kinds, convertible=isinstance(objects[0], Dataset))
    with association(peer, contexts, calling_ae_title=calling_ae_title, timeout_seconds=timeout_seconds) as opened:
        return [store_one(opened, peer, item, kind) for item, kind in zip(objects, kinds, strict=True)]


def storage_contexts(kinds: Sequence[Kind], *, convertible: bool) -> list[PresentationContext]:
    """Propose each pair of SOP class and transfer syntax on its own, so that the answer says which are taken."""
    wanted = dict.fromkeys(kinds)
    for sop_class, syntax in kinds:
        if convertible and syntax in _CONVERTIBLE:
            wanted.update(dict.fromkeys((sop_class, str(other)) for other in _CONVERTIBLE))
    return [build_context(sop_class, syntax) for sop_class, syntax in wanted][:MOST_CONTEXTS]


def store_one(opened: Association, peer: ApplicationEntity, item: Dataset | Path, kind: Kind) -> int:
    """Send one object over an open association; returns and raises as `store` does.

    Args:
        opened: the association.
        peer: who answers it.
        item: data set with file meta, or file.
        kind: its SOP Class UID and Transfer Syntax UID.
    """
    try:
        with tolerant():
            status = status_of(opened.send_c_store(_as_accepted(opened, item, kind)), peer)
    except RuntimeError as error:
        raise PeerUnreachableError(f"{name(peer)} ended the association.") from error
    except ValueError as error:
        raise StoreRefusedError(f"{name(peer)} takes no SOP class {kind[0]} in transfer syntax {kind[1]}.") from error
    if status != SUCCESS and not _is_warning(status):
        raise StoreRefusedError(f"{name(peer)} answered the C-STORE with status 0x{status:04X}.", status=status)
    return status


def _as_accepted(association: Association, item: Dataset | Path, kind: Kind) -> Dataset | Path:
    """Return the object in the transfer syntax that the peer took for it, its text untouched."""
    taken = {
        syntax for c in association.accepted_contexts if c.abstract_syntax == kind[0] for syntax in c.transfer_syntax
    }
    if isinstance(item, Dataset) and kind[1] == ExplicitVRLittleEndian and taken == {ImplicitVRLittleEndian}:
        return as_implicit(item)
    return item


def _is_warning(status: int) -> bool:
    """Tell whether the object was stored nevertheless (PS3.7 C.1.1.3 and C.3)."""
    return status in {0x0001, 0x0107, 0x0116} or 0xB000 <= status <= 0xBFFF
