"""Look-up tables as DICOM writes them: a descriptor of three numbers, and data in one of several packings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_io.errors import UnsupportedObjectError

_MOST_ENTRIES = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class LookUpTable:
    """Entries for the values from `first` on; values below and above take the first and the last entry.

    Attributes:
        entries: shape (number of entries,).
        first: first value mapped.
        maximum: largest entry that the declared bits allow.
    """

    entries: NDArray[np.float64]
    first: int
    maximum: int

    def apply(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Look values of any shape up. Source: PS3.3 C.11.1.1.1."""
        index = np.clip(np.floor(values) - self.first, 0, len(self.entries) - 1).astype(np.int64)
        looked_up: NDArray[np.float64] = self.entries[index]
        return looked_up


def palette(header: Dataset, colour: str) -> LookUpTable:
    """Read the Red, Green or Blue palette of an image.

    Raises:
        UnsupportedObjectError: if it is absent, segmented or contradicts its descriptor.

    Source: PS3.3 C.7.6.3.1.5, C.7.6.3.1.6.
    """
    descriptor = header.get(f"{colour}PaletteColorLookupTableDescriptor")
    data = header.get(f"{colour}PaletteColorLookupTableData")
    if descriptor is None or data is None:
        raise UnsupportedObjectError("A palette colour look-up table is missing or segmented.")
    return _entries(descriptor, data, signed=False, order=_byte_order(header))


def look_up_table(item: Dataset, *, signed: bool) -> LookUpTable:
    """Read an item of the Modality or VOI LUT Sequence.

    Args:
        item: holds LUT Descriptor and LUT Data.
        signed: whether the values to be mapped can be negative, as then the first one mapped is signed.

    Raises:
        UnsupportedObjectError: if descriptor or data is absent, or they contradict each other or the standard.

    Source: PS3.3 C.11.1.1.1, C.11.2.1.1.
    """
    descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or data is None:
        raise UnsupportedObjectError("A look-up table has no descriptor or no data.")
    return _entries(descriptor, data, signed=signed, order=_byte_order(item))


def _entries(descriptor: Any, data: Any, *, signed: bool, order: str) -> LookUpTable:
    try:
        count, first, bits = (int(number) for number in descriptor)
    except (TypeError, ValueError) as error:
        raise UnsupportedObjectError("A LUT Descriptor is not three integers.") from error
    count = (count & 0xFFFF) or _MOST_ENTRIES
    if signed and first >= _MOST_ENTRIES // 2:
        first -= _MOST_ENTRIES
    if not 8 <= bits <= 16:
        raise UnsupportedObjectError(f"A LUT Descriptor declares {bits} bits per entry; 8 to 16 are allowed.")
    entries = _words(data, count, bits, order)
    if len(entries) != count:
        raise UnsupportedObjectError(f"A LUT Descriptor declares {count} entries, the data hold {len(entries)}.")
    return LookUpTable(entries, first, (1 << bits) - 1)


def _words(data: Any, count: int, bits: int, order: str) -> NDArray[np.float64]:
    # LUT Data come as numbers (US) or as bytes (OW), and 8-bit entries may be packed two to a word.
    if not isinstance(data, bytes):
        numbers: Sequence[int] = [data] if isinstance(data, int) else list(data)
        data = np.asarray(numbers, dtype=np.int64).astype(f"{order}u2").tobytes()
    words = np.frombuffer(data[: len(data) // 2 * 2], f"{order}u2")
    if bits == 8 and len(words) == (count + 1) // 2:
        return words.astype("<u2").view(np.uint8)[:count].astype(np.float64)
    return words.astype(np.float64)


def _byte_order(dataset: Dataset) -> str:
    return ">" if dataset.original_encoding[1] is False else "<"
