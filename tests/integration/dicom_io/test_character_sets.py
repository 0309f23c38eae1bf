"""Films in any character set come in as they are: nothing is decoded to take them."""

import pytest
from pydicom import Dataset, config
from pynetdicom.dsutils import encode

from dicom_io.identification import identify
from tests.servers.door import door, film
from tests.servers.rude import EXPLICIT, RELEASE_RP, RELEASE_RQ, fragment, p_data, rude_peer, store_request

# PS3.5 Annexes H to K: names as those annexes encode them.
GREEK = ("ISO 2022 IR 6\\ISO 2022 IR 126", b"Dionysios^\x1b-F\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2")
LATIN = ("\\ISO 2022 IR 100", b"Buc^J\x1b-A\xe9r\xf4me")
CYRILLIC = ("ISO 2022 IR 144", b"\xbb\xee\xda\x63\x65\xdc\xd1\x79\x70\xd3")
JAPANESE = (
    "\\ISO 2022 IR 87",
    b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
)
KANA = ("ISO 2022 IR 13\\ISO 2022 IR 87", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J")
WRONG = ("ISO_IR 192", b"M\xfcller^J\xe4ger")  # Latin 1 in a film that says UTF-8
NONSENSE = ("NO SUCH SET\\ISO 9999", b"\x1b%/I\xff\xfe\x80^\x00\x1b")
CASES = [GREEK, LATIN, CYRILLIC, JAPANESE, KANA, WRONG, NONSENSE]
NAMES = ["126", "100", "144", "87", "13 and 87", "wrong", "nonsense"]


def encoded(character_set: str, text: bytes) -> tuple[Dataset, bytes]:
    """A film whose texts are these bytes: name, accession number, study description."""
    marks = {"PatientName": "N" * len(text), "AccessionNumber": "A" * len(text), "StudyDescription": "D" * len(text)}
    with config.disable_value_validation():
        dataset = film(**marks)
        del dataset.SpecificCharacterSet
        raw = encode(dataset, False, True)
    assert raw is not None
    for mark in marks.values():
        raw = raw.replace(mark.encode(), text)
    sets = character_set.encode() + b" " * (len(character_set) % 2)
    return dataset, b"\x08\x00\x05\x00CS" + len(sets).to_bytes(2, "little") + sets + raw


@pytest.mark.parametrize(("character_set", "text"), CASES, ids=NAMES)
def test_a_film_is_stored_byte_for_byte(character_set: str, text: bytes) -> None:
    """Success, and not one byte other than sent."""
    dataset, raw = encoded(character_set, text)
    assert raw.count(text) == 3
    command = store_request(str(dataset.SOPInstanceUID))
    with door() as inside, rude_peer(inside.port) as peer:
        peer.associate()
        peer.send(p_data(fragment(command, command=True), fragment(raw)))
        assert peer.status() == 0x0000
        peer.send(RELEASE_RQ)
        assert peer.receive()[0] == RELEASE_RP
    assert inside.taken == [raw]


@pytest.mark.parametrize(("character_set", "text"), CASES, ids=NAMES)
def test_no_text_is_decoded_to_know_a_film(character_set: str, text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its identity is read with every decoder of character sets taken away; the accession number is its bytes."""

    def decode(*_args: object, **_kwargs: object) -> str:
        raise AssertionError("a text was decoded")

    monkeypatch.setattr("pydicom.charset.decode_bytes", decode)
    monkeypatch.setattr("pydicom.values.decode_bytes", decode)
    dataset, raw = encoded(character_set, text)
    identification = identify(memoryview(raw), EXPLICIT)
    assert identification.reference.study_instance_uid == dataset.StudyInstanceUID
    assert identification.accession_number is not None
    assert identification.accession_number.isascii()
    assert rf"\x{max(text):02x}" in identification.accession_number or max(text) < 0x80
