"""What is taken can be decoded."""

from pydicom.uid import UID

from dicom_io import codecs
from dicom_io.transfer_syntaxes import ACCEPTED, COMPRESSED, NATIVE


def test_a_compressed_syntax_is_taken_exactly_when_there_is_a_decoder() -> None:
    """The listener's list, which must not import the decoders, says what they say."""
    assert set(COMPRESSED) == set(codecs.DECODERS)


def test_every_syntax_is_a_transfer_syntax_and_stands_once() -> None:
    """No typing error and no doubled line among what is offered to a PACS."""
    assert len(set(ACCEPTED)) == len(ACCEPTED) == len(NATIVE) + len(COMPRESSED)
    assert all(UID(syntax).is_transfer_syntax for syntax in ACCEPTED)


def test_only_the_compressed_ones_are_encapsulated() -> None:
    """Native pixel data needs no decoder; all others lie in fragments (PS3.5 A.4)."""
    assert not any(UID(syntax).is_encapsulated for syntax in NATIVE)
    assert all(UID(syntax).is_encapsulated for syntax in COMPRESSED)
