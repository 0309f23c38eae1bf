"""HL7 v2 text: what stands between the delimiters, and in which bytes (HL7 v2.5.1 2.5.4, 2.7, table 0211)."""

FIELD, COMPONENT, REPETITION, SUBCOMPONENT, ESCAPE = "|", "^", "~", "&", "\\"
SEGMENT_END = "\r"
# MSH-2
ENCODING_CHARACTERS = COMPONENT + REPETITION + ESCAPE + SUBCOMPONENT
CODECS = {
    "UNICODE UTF-8": "utf-8",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/5": "iso8859-5",
    "8859/7": "iso8859-7",
    "8859/15": "iso8859-15",
    "ASCII": "ascii",
}
# Two quotation marks alone tell the receiver to delete what it has (2.5.3).
_NULL = '""'
_ESCAPED_NULL = "\\X2222\\"
_C0_AND_DELETE = (*range(0x20), 0x7F)
# Some readers end a line there; none of them belongs into a name. U+FFFD is what could not be decoded.
_UNSPEAKABLE = (*range(0x80, 0xA0), 0x2028, 0x2029, 0xFFFD, *range(0xD800, 0xE000))
_ESCAPES = {
    **dict.fromkeys(_UNSPEAKABLE, "?"),
    **{code: f"\\X{code:02X}\\" for code in _C0_AND_DELETE},
    **{
        ord(character): f"\\{letter}\\"
        for character, letter in zip((FIELD, COMPONENT, SUBCOMPONENT, REPETITION, ESCAPE), "FSTRE", strict=True)
    },
}


def escape(text: str) -> str:
    """Return the text so that no character of it can end a segment, a field or a part of one.

    Control characters become hexadecimal escapes, delimiters their own ones. What no name is made of (C1 controls, line
    and paragraph separators) and what could not be decoded becomes `?`.

    Source: HL7 v2.5.1 2.7.
    """
    return _ESCAPED_NULL if text == _NULL else text.translate(_ESCAPES)


def compose(*components: str) -> str:
    """Make a field of its components, each of them plain text; empty ones at the end are left out."""
    return COMPONENT.join(map(escape, components)).rstrip(COMPONENT)


def compose_subcomponents(*subcomponents: str) -> str:
    """Make a component of its subcomponents, each of them plain text; empty ones at the end are left out."""
    return SUBCOMPONENT.join(map(escape, subcomponents)).rstrip(SUBCOMPONENT)


def encode(message: str, character_set: str) -> bytes:
    """Encode a whole message; a character that the set of MSH-18 lacks becomes `?`.

    Args:
        message: composed fields in segments.
        character_set: a term of HL7 table 0211 among `CODECS`.
    """
    return message.encode(CODECS[character_set], "replace")
