"""What a DICOMweb server says of the objects that it was to store (PS3.18 10.5.3 and I.2), as JSON or as XML."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

_FAILED_SOP_SEQUENCE = "00081198"
_REFERENCED_SOP_SEQUENCE = "00081199"
_REFERENCED_SOP_INSTANCE_UID = "00081155"
_WARNING_REASON = "00081196"
_FAILURE_REASON = "00081197"
_JSON = frozenset(("application/dicom+json", "application/json"))
_XML = frozenset(("application/dicom+xml", "application/xml", "text/xml"))
# What an answer of another shape raises on the way to its values.
_SHAPE_FAULTS = (
    AttributeError,
    ET.ParseError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class StowAnswer:
    """The objects that an answer names, by SOP Instance UID.

    Attributes:
        stored: with the warning reason, or None.
        failed: with the failure reason; None where the server gives none.
    """

    stored: Mapping[str, int | None]
    failed: Mapping[str, int | None]


def read_stow_answer(media_type: str, body: bytes) -> StowAnswer | None:
    """Read the answer to a store request; an empty one names no object.

    Returns:
        What it says, or None if it is no answer to a store request.
    """
    if not body.strip():
        return StowAnswer({}, {})
    try:
        if media_type in _JSON:
            return _from_json(json.loads(body))
        # No entity of another file is fetched, and expat stops entities that multiply.
        return _from_xml(ET.fromstring(body)) if media_type in _XML else None  # noqa: S314
    except _SHAPE_FAULTS:
        return None


def _from_json(answer: Any) -> StowAnswer:
    """Source: PS3.18 F.2."""
    data_set = answer[0] if isinstance(answer, list) else answer

    def items(tag: str) -> Iterator[dict[str, Any]]:
        for item in data_set.get(tag, {}).get("Value", []):
            yield {tag: attribute["Value"][0] for tag, attribute in item.items() if attribute.get("Value")}

    return StowAnswer(
        _reasons(items(_REFERENCED_SOP_SEQUENCE), _WARNING_REASON),
        _reasons(items(_FAILED_SOP_SEQUENCE), _FAILURE_REASON),
    )


def _from_xml(root: ET.Element) -> StowAnswer:
    """Source: PS3.19 A.1."""

    def items(tag: str) -> Iterator[dict[str, Any]]:
        for item in root.iterfind(f"{{*}}DicomAttribute[@tag='{tag}']/{{*}}Item"):
            yield {
                attribute.attrib["tag"]: (value.text or "").strip()
                for attribute in item.iterfind("{*}DicomAttribute")
                if (value := attribute.find("{*}Value")) is not None
            }

    return StowAnswer(
        _reasons(items(_REFERENCED_SOP_SEQUENCE), _WARNING_REASON),
        _reasons(items(_FAILED_SOP_SEQUENCE), _FAILURE_REASON),
    )


def _reasons(items: Iterator[dict[str, Any]], reason: str) -> dict[str, int | None]:
    return {
        str(item[_REFERENCED_SOP_INSTANCE_UID]): int(item[reason]) if reason in item else None
        for item in items
        if _REFERENCED_SOP_INSTANCE_UID in item
    }
