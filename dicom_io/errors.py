"""What can be wrong with an object or a peer.

DicomIoError
├── ImageError                      an image that cannot be read; `reason` is its code
│   ├── NotAnImageError
│   ├── TruncatedDataError
│   ├── MissingAttributeError
│   ├── NoPixelDataError
│   ├── UnsupportedTransferSyntaxError
│   ├── UnsupportedObjectError
│   ├── PixelDecodeError
│   └── OversizedImageError
├── CommitmentRequestError          a storage commitment request or report that is not taken; `status` is the answer
├── SOPMismatchError                a C-STORE request and its data set name different objects
├── OutOfResourcesError             we cannot take responsibility for an object now; the sender may try again
│   └── SpoolError                  the received bytes could not be made durable
├── TlsFilesError                   a certificate or key of ours that cannot be used; the operator must act
└── PeerError                       another application entity
    ├── PeerUnreachableError        no connection, or the association was rejected, aborted or timed out
    │   └── PeerRejectedError       the peer answered, and rejected the association
    ├── StoreRefusedError           the peer answered a C-STORE with a failure, or takes no such object
    ├── ReportRefusedError          the peer did not acknowledge a storage commitment report
    ├── QueryRefusedError           the peer answered a C-FIND with a failure, not wholly, or offers none
    └── RetrieveRefusedError        the peer answered a C-MOVE or C-GET with a failure, or offers none
        └── MoveDestinationUnknownError     the peer has no address for the AE title it is to send to
"""

from typing import ClassVar

from dicom_io.reasons import Reason


class DicomIoError(Exception):
    """Base of everything this package raises on purpose."""


class ImageError(DicomIoError):
    """An image cannot be read; trying again will not help.

    Messages name attributes and sizes, never a value that could identify a patient.
    """

    reason: ClassVar[Reason]


class NotAnImageError(ImageError):
    """The bytes are neither DICOM nor PNG nor JPEG."""

    reason = Reason.NOT_AN_IMAGE


class TruncatedDataError(ImageError):
    """The data set or a frame ends before its declared length."""

    reason = Reason.TRUNCATED


class MissingAttributeError(ImageError):
    """An attribute that identifies or describes the image is absent or empty."""

    reason = Reason.MISSING_ATTRIBUTE


class NoPixelDataError(ImageError):
    """The object carries no Pixel Data."""

    reason = Reason.NO_PIXEL_DATA


class UnsupportedTransferSyntaxError(ImageError):
    """No decoder is available for the transfer syntax."""

    reason = Reason.UNSUPPORTED_TRANSFER_SYNTAX


class UnsupportedObjectError(ImageError):
    """The pixel description contradicts itself or the standard."""

    reason = Reason.UNSUPPORTED_OBJECT


class PixelDecodeError(ImageError):
    """The compressed pixel data could not be decoded."""

    reason = Reason.UNDECODABLE_PIXELS


class OversizedImageError(ImageError):
    """The declared image size is above the limit."""

    reason = Reason.TOO_LARGE


class SOPMismatchError(DicomIoError):
    """A C-STORE request and its data set name different SOP classes or instances."""


class CommitmentRequestError(DicomIoError):
    """A storage commitment request, or a report on one of ours, is not taken.

    Args:
        message: what is wrong with it.
        status: what it is answered with (PS3.7 C).
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class OutOfResourcesError(DicomIoError):
    """We cannot take responsibility for an object now; the sender may try again."""


class SpoolError(OutOfResourcesError):
    """The received bytes could not be made durable: disk full, folder missing or read-only."""


class TlsFilesError(DicomIoError):
    """A certificate, key or list of authorities cannot be used; the message names the file and what is wrong."""


class PeerError(DicomIoError):
    """Talking to another application entity failed."""


class PeerUnreachableError(PeerError):
    """No connection, or the association was rejected, aborted or timed out; trying again may help."""


class PeerRejectedError(PeerUnreachableError):
    """The peer is there, and rejected the association: it does not know an AE title, or has no room now."""


class StoreRefusedError(PeerError):
    """The peer takes no such object or answered a C-STORE with a failure.

    Args:
        message: what was refused, and what to do.
        status: the DIMSE status (PS3.4 B.2.3), or None if no presentation context was accepted.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ReportRefusedError(PeerError):
    """The peer takes no storage commitment reports, or answered one with another status than success."""


class QueryRefusedError(PeerError):
    """The peer offers no C-FIND, answered one with a failure, or with answers that cannot be gone on from."""


class RetrieveRefusedError(PeerError):
    """The peer offers no such retrieval, or answered it with a failure (PS3.4 C.4.2.1.5, C.4.3.1.4)."""


class MoveDestinationUnknownError(RetrieveRefusedError):
    """The peer has no address for the AE title that it is to send to; no study can be had until it has."""
