"""What people write: which characters are text. Pure."""

import unicodedata

_WHITE = "\n\t"
_NO_TEXT = ("Cc", "Cs")  # control characters, halves of surrogate pairs


def is_text(written: str) -> bool:
    """Tell whether everybody can be shown what somebody wrote.

    Control characters, line feeds and tabs apart, could rewrite an operator's terminal, and no database takes them all.
    """
    return all(character in _WHITE or unicodedata.category(character) not in _NO_TEXT for character in written)
