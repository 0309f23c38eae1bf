"""What a header says about its pixels (PS3.3 C.7.6.3), checked before a byte of them is touched."""

from dataclasses import dataclass

from pydicom import Dataset

from dicom_io.errors import MissingAttributeError, OversizedImageError, UnsupportedObjectError

MAX_PIXELS_PER_FRAME = 64_000_000
MAX_DECODED_BYTES = 256 << 20
MAX_FRAMES = 1000  # each becomes a film of its own, which may be far larger than the frame
_GREY = frozenset(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"))
_COLOUR = frozenset(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT"))


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The Image Pixel module's numbers, in the standard's words."""

    rows: int
    columns: int
    samples_per_pixel: int
    number_of_frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric_interpretation: str
    planar: bool

    @property
    def frame_bytes(self) -> int:
        """Size of one native frame (PS3.5 8.1.1); YBR_FULL_422 keeps two of three samples."""
        samples = self.rows * self.columns * self.samples_per_pixel
        if self.photometric_interpretation == "YBR_FULL_422":
            samples = samples * 2 // 3
        return samples * self.bits_allocated // 8


def describe(header: Dataset) -> PixelDescription:
    """Read and check the description of the pixels.

    Raises:
        MissingAttributeError: if an attribute without which the pixels mean nothing is absent or no number.
        UnsupportedObjectError: if the attributes contradict each other or the standard.
        OversizedImageError: if the declared size is above a limit of this module.

    Source: PS3.3 C.7.6.3.1.
    """
    allocated = _integer(header, "BitsAllocated")
    stored = _integer(header, "BitsStored", allocated)
    description = PixelDescription(
        rows=_integer(header, "Rows"),
        columns=_integer(header, "Columns"),
        samples_per_pixel=_integer(header, "SamplesPerPixel", 1),
        number_of_frames=_integer(header, "NumberOfFrames", 1),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=_integer(header, "HighBit", stored - 1),
        signed=_integer(header, "PixelRepresentation", 0) == 1,
        photometric_interpretation=str(header.get("PhotometricInterpretation") or "").strip().upper(),
        planar=_integer(header, "PlanarConfiguration", 0) == 1,
    )
    _check_words(description)
    _check_samples(description)
    _check_size(description)
    return description


def _integer(header: Dataset, keyword: str, default: int | None = None) -> int:
    value = header.get(keyword)
    if value is None or value == "":
        if default is None:
            raise MissingAttributeError(f"{keyword} is missing or unreadable; have the sender repair the object.")
        return default
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnsupportedObjectError(f"{keyword} is not one integer.") from error


def _check_words(description: PixelDescription) -> None:
    allocated, stored, high = description.bits_allocated, description.bits_stored, description.high_bit
    if allocated not in (8, 16):
        raise UnsupportedObjectError(f"Bits Allocated is {allocated}; 8 and 16 can be read.")
    if not 1 <= stored <= allocated:
        raise UnsupportedObjectError(f"Bits Stored is {stored}, which does not fit Bits Allocated {allocated}.")
    if not stored - 1 <= high < allocated:
        raise UnsupportedObjectError(f"High Bit is {high}, which does not fit {stored} bits stored of {allocated}.")


def _check_samples(description: PixelDescription) -> None:
    photometric, samples = description.photometric_interpretation, description.samples_per_pixel
    if not photometric:
        raise MissingAttributeError("Photometric Interpretation is missing; without it black and white are unknown.")
    if photometric not in _GREY | _COLOUR or samples != (1 if photometric in _GREY else 3):
        raise UnsupportedObjectError(f"{samples} samples per pixel do not make a {photometric} image.")
    if samples == 3 and description.bits_allocated != 8:
        raise UnsupportedObjectError("Colour with more than 8 bits per sample is not read.")
    if photometric == "YBR_FULL_422" and description.columns % 2:
        raise UnsupportedObjectError("YBR_FULL_422 shares its colour between two columns, but their number is odd.")


def _check_size(description: PixelDescription) -> None:
    rows, columns, frames = description.rows, description.columns, description.number_of_frames
    if min(rows, columns, frames) < 1:
        raise UnsupportedObjectError(f"{rows} rows, {columns} columns and {frames} frames are no image.")
    too_long = frames > MAX_FRAMES or description.frame_bytes * frames > MAX_DECODED_BYTES
    if rows * columns > MAX_PIXELS_PER_FRAME or too_long:
        raise OversizedImageError(f"{frames} frame(s) of {rows} x {columns} pixels are above the limit.")
