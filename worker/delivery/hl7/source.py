"""The texts of an image's header, decoded from its own Specific Character Set.

HL7 has no place for the bytes of another character set, so that here, unlike in a DICOM report, text is decoded.
Nothing is guessed: a byte that the stated character set does not explain is U+FFFD.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.charset import convert_encodings, decode_bytes, default_encoding, python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

from dicom_io.header import decode_header
from dicom_io.part10 import tolerant

# pydicom takes Latin 1 for the default repertoire and for a set that does not exist, and Python's own codecs for sets.
_KNOWN = frozenset(python_encoding.values()) - {default_encoding}
# Where a name or a text falls back to the first character set (PS3.5 6.1.2.5.3).
_DELIMITERS = set(b"\r\n\t\f^=\\")


@dataclass(frozen=True, slots=True)
class Source:
    """A header, or an item of one of its sequences.

    Attributes:
        dataset: its elements, not decoded.
        encodings: Python's names of its character sets, the first for text without escape sequences.
    """

    dataset: Dataset
    encodings: Sequence[str]

    @classmethod
    def of(cls, header: bytes) -> "Source":
        """Read what `dicom_io.header.encode_header` wrote."""
        dataset = decode_header(header)
        return cls(dataset, _encodings(dataset))

    def text(self, keyword: str) -> str:
        """Return the value of a text element without padding; empty if it is absent."""
        tag = Tag(keyword)
        element: DataElement | RawDataElement | None = self.dataset.get_item(tag) if tag in self.dataset else None
        value = element.value if isinstance(element, RawDataElement) else None
        with tolerant():
            return decode_bytes(value or b"", self.encodings, _DELIMITERS).strip(" \0")

    def items(self, keyword: str) -> list["Source"]:
        """Return the items of a sequence; none if it is absent."""
        if keyword not in self.dataset:
            return []
        with tolerant():
            items = list(self.dataset[keyword].value or ())
            return [
                Source(item, _encodings(item) if "SpecificCharacterSet" in item else self.encodings) for item in items
            ]


def _encodings(dataset: Dataset) -> list[str]:
    with tolerant():
        terms = dataset.get("SpecificCharacterSet") or ""
        names = convert_encodings([terms] if isinstance(terms, str) else [str(term) for term in terms])
    return [name if name in _KNOWN else "ascii" for name in names]
