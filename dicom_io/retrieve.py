"""Fetching from a PACS: C-MOVE and C-GET as SCU in the Study Root information model (PS3.4 C.4.2, C.4.3).

Images are asked for one by one, at the IMAGE level: a study that is here in part must not come again as a whole, since
a PACS may have changed what it sent before.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset
from pynetdicom import _config, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from dicom_io.associating import association, name, status_of
from dicom_io.errors import (
    MoveDestinationUnknownError,
    PeerUnreachableError,
    RetrieveRefusedError,
    StoreRefusedError,
)
from dicom_io.part10 import tolerant
from dicom_io.scp import Receive, handle_store
from dicom_io.suitability import RADIOGRAPH_CLASSES
from dicom_io.transfer_syntaxes import ACCEPTED
from dicom_io.types import ApplicationEntity, SOPInstanceReference

_GET = StudyRootQueryRetrieveInformationModelGet
_MOVE = StudyRootQueryRetrieveInformationModelMove

LOW_PRIORITY = 2  # PS3.7 9.1.4.1: what is new goes before what is fetched, where the peer hands the priority on
MOST_IMAGES = 500  # of one request: their UIDs must fit into a value of 65,534 bytes

_SUCCESS = 0x0000
_SOME_FAILED = 0xB000
_DESTINATION_UNKNOWN = 0xA801
_PENDING = 0xFF00
_MOVES = "C-MOVE"


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What a peer says of its sub-operations, each the sending of one image; None where it does not say."""

    completed: int | None
    failed: int | None


def move(
    peer: ApplicationEntity,
    images: Sequence[SOPInstanceReference],
    destination: str,
    *,
    calling_ae_title: str,
    timeout_seconds: float,
    within_seconds: float,
) -> Retrieval:
    """Have a peer send images to an AE title that it knows.

    Args:
        peer: the PACS.
        images: of one series, at least one and at most `MOST_IMAGES`.
        destination: AE title that the peer knows the address of.
        calling_ae_title: how we call ourselves, at most 16 characters.
        timeout_seconds: longest wait for the connection and for each answer.
        within_seconds: longest time for all of it.

    Returns:
        What the peer says; not that the images are anywhere.

    Raises:
        PeerUnreachableError: if there is no connection, or the association was rejected, aborted or timed out.
        MoveDestinationUnknownError: if the peer does not know the destination.
        RetrieveRefusedError: if it offers no C-MOVE, or answers it with another failure.

    Source: DICOM PS3.4 C.4.2.
    """
    contexts = [build_context(_MOVE)]
    call = _Call(peer, _MOVES, calling_ae_title, timeout_seconds, within_seconds)
    with call.opened(contexts) as opened:
        return call.follow(opened, opened.send_c_move(_identifier(images), destination, _MOVE, 1, LOW_PRIORITY))


def get(
    peer: ApplicationEntity,
    images: Sequence[SOPInstanceReference],
    receive: Receive,
    *,
    calling_ae_title: str,
    timeout_seconds: float,
    within_seconds: float,
) -> Retrieval:
    """Have a peer send images over the association that asks for them, in the transfer syntax it has them in.

    Args:
        peer: the PACS.
        images: see `move`; of a SOP class in `suitability.RADIOGRAPH_CLASSES`.
        receive: takes responsibility for each, as for one that came by C-STORE, or raises a DicomIoError; their calling
            AE title is the peer's.
        calling_ae_title: see `move`.
        timeout_seconds: see `move`.
        within_seconds: see `move`.

    Returns:
        See `move`.

    Raises:
        PeerUnreachableError: see `move`.
        RetrieveRefusedError: if the peer offers no C-GET, or answers it with a failure.

    Source: DICOM PS3.4 C.4.3; role selection PS3.7 D.3.3.4.
    """
    storage = [build_context(kind, syntax) for kind in sorted(RADIOGRAPH_CLASSES) for syntax in ACCEPTED]
    roles = [build_role(kind, scp_role=True) for kind in sorted(RADIOGRAPH_CLASSES)]
    handlers = [(evt.EVT_C_STORE, handle_store, [receive])]
    call = _Call(peer, "C-GET", calling_ae_title, timeout_seconds, within_seconds)
    with call.opened([build_context(_GET), *storage], roles=roles, handlers=handlers) as opened:
        return call.follow(opened, opened.send_c_get(_identifier(images), _GET, 1, LOW_PRIORITY))


@dataclass(frozen=True, slots=True)
class _Call:
    """A request that a peer answers as long as it sends."""

    peer: ApplicationEntity
    service: str
    calling_ae_title: str
    timeout_seconds: float
    within_seconds: float

    @contextmanager
    def opened(self, contexts: list[PresentationContext], **options: Any) -> Iterator[Association]:
        _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False  # see `query`
        titles: dict[str, Any] = {"calling_ae_title": self.calling_ae_title, "timeout_seconds": self.timeout_seconds}
        try:
            # Some take no C-MOVE from who does not propose C-FIND as well.
            proposed = [build_context(StudyRootQueryRetrieveInformationModelFind), *contexts]
            with association(self.peer, proposed, **titles, **options) as opened:
                yield opened
        except (StoreRefusedError, ValueError) as error:  # no context at all, or not the one of the service
            raise RetrieveRefusedError(f"{name(self.peer)} offers no {self.service} (Study Root).") from error
        except RuntimeError as error:
            raise PeerUnreachableError(f"{name(self.peer)} ended the association.") from error

    def follow(self, opened: Association, answers: Iterator[tuple[Dataset, Dataset | None]]) -> Retrieval:
        end = time.monotonic() + self.within_seconds
        for answer, _failed in answers:
            status = status_of(answer, self.peer)
            if status != _PENDING:
                return self._ended(answer, status)
            if time.monotonic() > end:
                opened.abort()
                break
        raise PeerUnreachableError(f"{name(self.peer)} did not end the {self.service} in {self.within_seconds:g} s.")

    def _ended(self, answer: Dataset, status: int) -> Retrieval:
        if status == _DESTINATION_UNKNOWN:
            raise MoveDestinationUnknownError(
                f"{name(self.peer)} does not know the AE title to send to (0x{status:04X}); "
                "add the listener's AE title, host and port to its list of destinations."
            )
        if status not in {_SUCCESS, _SOME_FAILED}:
            advice = "; its log says why" + (
                ", it may not know the AE title to send to." if self.service == _MOVES else "."
            )
            raise RetrieveRefusedError(
                f"{name(self.peer)} answered the {self.service} with status 0x{status:04X}{advice}"
            )
        return Retrieval(
            completed=answer.get("NumberOfCompletedSuboperations"), failed=answer.get("NumberOfFailedSuboperations")
        )


def _identifier(images: Sequence[SOPInstanceReference]) -> Dataset:
    identifier = Dataset()
    with tolerant():  # a UID that breaks the rules is still the image's
        identifier.QueryRetrieveLevel = "IMAGE"
        identifier.StudyInstanceUID = images[0].study_instance_uid
        identifier.SeriesInstanceUID = images[0].series_instance_uid
        identifier.SOPInstanceUID = [image.sop_instance_uid for image in images]
    return identifier
