"""Values that the rest of the package and its users exchange."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

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
class TransportSecurity:
    """The files of DICOM TLS (PS3.15 B.12).

    Attributes:
        certificate: PEM file of our own certificate, with its chain.
        key: PEM file of its private key.
        authorities: PEM file of whom we trust; None: a listener takes every caller, a call asks the operating system's.
        host_checked: whether a called peer's certificate must name its host.
    """

    certificate: Path
    key: Path
    authorities: Path | None = None
    host_checked: bool = True


@dataclass(frozen=True, slots=True)
class ApplicationEntity:
    """A DICOM peer: AE title (at most 16 characters), host name or address, TCP port; `tls` None is plain TCP."""

    ae_title: str
    host: str
    port: int
    tls: TransportSecurity | None = None


@dataclass(frozen=True, eq=False)
class Radiograph:
    """The frames of one object as stored, and the one table that turns stored words into grey levels.

    Attributes:
        reference: identity of the DICOM object; None for PNG and JPEG.
        rows, columns: size of a frame at full resolution, pixels.
        halvings: how often the resolution was halved while decoding; 0: never. Sample (i, j) of a reduced frame is
            centred on pixel (i, j) * 2 ** halvings, as in the low-pass band of JPEG 2000 (ITU-T T.800 F.3).
        frames: one array per frame, shape (rows, columns), or that divided by 2 ** halvings and rounded up; uint8 or
            uint16 in native byte order, holding the words as they are stored: sign and unused bits are the table's
            business. Colour is luminance already.
        table: uint8, shape (65536,): stored word to grey level, 0 is black.
        encoded: the bytes that identify the content: the data set without preamble and file meta, else the file.
    """

    reference: SOPInstanceReference | None
    rows: int
    columns: int
    halvings: int
    frames: tuple[NDArray[np.uint8] | NDArray[np.uint16], ...] = field(repr=False)
    table: NDArray[np.uint8] = field(repr=False)
    encoded: memoryview = field(repr=False)

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of `encoded`, 64 hex digits; computed when first asked, as the pixels do not need it."""
        return hashlib.sha256(self.encoded).hexdigest()
