"""Names from every character set, right and wrong, into that of MSH-18."""

from pathlib import Path
from typing import get_args

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_charset_files

from dicom_io.header import encode_header
from tests.integration.test_character_sets import RIGHT, WRONG
from tests.oru import message_of, result_of, value
from tests.results import film, flagged_result
from worker.delivery.hl7.encoding import CODECS
from worker.delivery.hl7.source import Source
from worker.destinations import Hl7Destination

# Two of them have no name.
CHARSET_FILES = sorted(path for path in get_charset_files("*.dcm") if "SQEncoding" not in path)


def name_of(said_to_be: bytes, name: bytes, **settings: object) -> list[list[str]]:
    """Family, given name and representation of each repetition of PID-5."""
    message = message_of(result_of(SpecificCharacterSet=said_to_be, PatientName=name), **settings)
    count = len(message.segment("PID")(5))
    return [[value(message, "PID", 5, place, n) for place in (1, 2, 8)] for n in range(1, count + 1)]


@pytest.mark.parametrize("case", RIGHT)
def test_a_name_whose_character_set_is_right_is_readable(case: str) -> None:
    """In UTF-8, each component group as a repetition with its representation code."""
    character_set, name, text = RIGHT[case]
    groups = [group.split("^") for group in text.split("=")]
    expected = [[*[*group, ""][:2], code] for group, code in zip(groups, "AIP", strict=False)]
    assert name_of(character_set, name) == expected


@pytest.mark.parametrize("case", WRONG)
def test_a_name_whose_character_set_is_wrong_stops_nothing(case: str) -> None:
    """The message is made; what is ASCII in the name stands, and nothing is guessed."""
    character_set, name = WRONG[case]
    (family, _, representation), *_ = name_of(character_set, name)
    assert family
    assert representation == "A"


@pytest.mark.parametrize(
    ("character_set", "name", "told"),
    [
        (b"", "Müller^Jürgen".encode(), [["M??ller", "J??rgen", "A"]]),
        (b"", b"M\xfcller^J\xfcrgen", [["M?ller", "J?rgen", "A"]]),
        (b"ISO_IR 192", b"M\xfcller^J\xfcrgen", [["M?ller", "J?rgen", "A"]]),
        (b"ISO_IR 999", b"M\xfcller^Jane", [["M?ller", "Jane", "A"]]),
        (b"unicode_escape", b"\\u004d^\\x0d", [["\\u004d", "\\x0d", "A"]]),
    ],
)
def test_a_byte_that_the_character_set_does_not_explain_is_a_question_mark(
    character_set: bytes, name: bytes, told: list[list[str]]
) -> None:
    """Also where the set is missing or does not exist; Python's own codecs are no character sets."""
    assert name_of(character_set, name) == told


@pytest.mark.parametrize(
    ("written_in", "told"),
    [
        ("UNICODE UTF-8", "Müller Łódź Ж"),
        ("8859/1", "Müller ?ód? ?"),
        ("8859/2", "Müller Łódź ?"),
        ("ASCII", "M?ller ??d? ?"),
    ],
)
def test_a_character_that_msh_18_lacks_is_a_question_mark(written_in: str, told: str) -> None:
    """And the flag goes out."""
    assert name_of(b"ISO_IR 192", "Müller Łódź Ж".encode(), character_set=written_in)[0][0] == told


def test_bytes_of_a_kanji_that_look_like_separators_separate_nothing() -> None:
    """The first byte of 春 in JIS X 0208 is that of the equals sign, one of 珊 that of the caret."""
    name = b"Haru^Ko=\x1b$B=U\x1b(B^\x1b$B;^\x1b(B"
    assert [group[2] for group in name_of(b"\\ISO 2022 IR 87", name)] == ["A", "I"]
    assert name_of(b"\\ISO 2022 IR 87", name)[1][0] == "春"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"=\x1b$B;3ED\x1b(B", [["山田", "", "I"]]),
        (b"A^B^C^D^E^F", [["A", "B", "A"]]),
        (b"^^^", [["", "", ""]]),
        (b"Mono", [["Mono", "", "A"]]),
    ],
)
def test_odd_names(name: bytes, told: list[list[str]]) -> None:
    """Groups that are empty are left out; what comes after the fifth component is kept in it."""
    assert name_of(b"\\ISO 2022 IR 87", name) == told


def test_items_of_sequences_are_read_too() -> None:
    """The site's procedure code and the requested procedure of a real header."""
    dataset = film()
    procedure, request = Dataset(), Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "XTH", "99HOSP", "Thorax p.a."
    request.RequestedProcedureID = "RP7"
    dataset.ProcedureCodeSequence, dataset.RequestAttributesSequence = [procedure], [request]
    message = message_of(flagged_result().model_copy(update={"headers": (encode_header(dataset),)}))
    assert str(message.segment("OBR")(4)) == "XTH^Thorax p.a.^99HOSP^399208008^Plain X-ray of chest^SCT"
    assert value(message, "OBR", 19) == "RP7"


@pytest.mark.parametrize(
    ("namespace", "universal", "kind", "told"),
    [
        ("HOSP", "1.2.3", "ISO", "P1^^^HOSP&1.2.3&ISO"),
        ("", "1.2.3", "ISO", "P1^^^&1.2.3&ISO"),
        ("HOSP", "1.2.3", "", "P1^^^HOSP"),
        ("A&B^C", "1.2|3", "ISO", r"P1^^^A\T\B\S\C&1.2\F\3&ISO"),
        ("", "", "", "P1"),
    ],
)
def test_the_issuer_of_a_patient_id_is_told_whole(namespace: str, universal: str, kind: str, told: str) -> None:
    """By its universal ID, too: alone, an ID of one issuer could be taken for one of another, of another patient."""
    dataset, qualifiers = film(), Dataset()
    dataset.PatientID, dataset.IssuerOfPatientID = "P1", namespace
    qualifiers.UniversalEntityID, qualifiers.UniversalEntityIDType = universal, kind
    dataset.IssuerOfPatientIDQualifiersSequence = [qualifiers]
    message = message_of(flagged_result().model_copy(update={"headers": (encode_header(dataset),)}))
    assert str(message.segment("PID")(3)) == told


@pytest.mark.parametrize("path", CHARSET_FILES, ids=[Path(path).stem for path in CHARSET_FILES])
def test_the_names_of_pydicoms_files_are_read_as_pydicom_reads_them(path: str) -> None:
    """Arabic, French, German, Greek, Hebrew, Japanese, Korean, Russian and Chinese, with and without escapes."""
    header = encode_header(dcmread(path, force=True))
    name = Source.of(header).text("PatientName").rstrip("=")
    assert name == str(dcmread(path, force=True).PatientName)
    assert name


def test_an_absent_element_is_empty() -> None:
    """As is a sequence that is not there."""
    source = Source.of(b"")
    assert (source.text("PatientName"), source.items("ProcedureCodeSequence")) == ("", [])


def test_every_character_set_of_the_settings_can_be_written() -> None:
    """And no other is documented."""
    field = Hl7Destination.model_fields["character_set"]
    assert set(get_args(field.annotation)) == set(CODECS)
