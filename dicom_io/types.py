"""Values that the rest of the package and its users exchange."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SOPInstanceReference:
    """The identity of one DICOM object (PS3.3 C.12.1, C.7.2.1, C.7.3.1)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class ApplicationEntity:
    """A DICOM peer: AE title (at most 16 characters), host name or address, TCP port."""

    ae_title: str
    host: str
    port: int


@dataclass(frozen=True, eq=False)
class Radiograph:
    """The frames of one object as stored, and the one table that turns stored words into grey levels.

    Attributes:
        reference: identity of the DICOM object; None for PNG and JPEG.
        frames: one array per frame, shape (rows, columns), uint8 or uint16 in native byte order, holding the words
            as they are stored (sign, unused bits and byte order are the table's business). Rows and columns are those
            of the reduced resolution where the reader was asked for one.
        table: uint8, shape (65536,): stored word to grey level, 0 is black. For uint8 frames the first 256 entries count.
        encoded: the bytes that identify the content: the data set without preamble and file meta, else the whole file.
    """

    reference: SOPInstanceReference | None
    frames: tuple[NDArray[np.uint8] | NDArray[np.uint16], ...] = field(repr=False)
    table: NDArray[np.uint8] = field(repr=False)
    encoded: memoryview = field(repr=False)

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of `encoded`, 64 hex digits; computed when first asked, as the pixels do not need it."""
        return hashlib.sha256(self.encoded).hexdigest()
