"""The header kept for reports: small, and true to the bytes it came from."""

from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread, uid
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

from dicom_io.header import MAX_HEADER_BYTES, decode_header, encode_header
from dicom_io.phantom import phantom_dataset

NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def _raw(dataset: Dataset, keyword: str) -> bytes:
    element: DataElement | RawDataElement = dataset.get_item(Tag(keyword))
    assert isinstance(element, RawDataElement)
    return element.value or b""


def _read(dataset: Dataset) -> Dataset:
    written = BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return dcmread(BytesIO(written.getvalue()))


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
def test_every_encoding_gives_the_same_header(syntax: uid.UID) -> None:
    """The header depends on what the data set says and not on its transfer syntax."""
    dataset = phantom_dataset(1, rows=20, columns=30, patient_name=NAME, character_set=("", "ISO 2022 IR 87"))
    expected = encode_header(_read(dataset))
    if not syntax.is_little_endian:
        dataset.PixelData = b"\0" * len(dataset.PixelData)
    dataset.file_meta.TransferSyntaxUID = syntax
    header = encode_header(_read(dataset))
    assert header == expected
    decoded = decode_header(header)
    assert str(decoded.PatientName) == NAME
    assert (decoded.Rows, decoded.Columns) == (20, 30)
    assert "PixelData" not in decoded


def test_a_data_set_made_in_memory_is_encoded_in_its_character_set() -> None:
    """A data set that was never a file gives the header that its file would give."""
    dataset = phantom_dataset(1, rows=8, columns=8, patient_name=NAME, character_set=("", "ISO 2022 IR 87"))
    assert encode_header(dataset) == encode_header(_read(dataset))


@given(
    name=st.binary(max_size=64), terms=st.sampled_from([b"", b"ISO_IR 100", b"ISO_IR 192", b"ISO 2022 IR 87", b"NONE"])
)
def test_text_keeps_its_bytes_in_whatever_character_set(name: bytes, terms: bytes) -> None:
    """A name that does not fit its character set, known or not, comes out as the bytes that came in."""
    name += b" " * (len(name) % 2)
    dataset = Dataset()
    for keyword, vr, value in (("SpecificCharacterSet", "CS", terms), ("PatientName", "PN", name)):
        dataset[Tag(keyword)] = RawDataElement(Tag(keyword), vr, len(value), value, 0, False, True)
    header = decode_header(encode_header(dataset))
    assert _raw(header, "PatientName") == name
    assert _raw(header, "SpecificCharacterSet") == terms + b" " * (len(terms) % 2)


def test_orders_are_kept_with_their_sequences() -> None:
    """What a later HL7 message needs of the order survives, nested codes included; private elements do not."""
    dataset = phantom_dataset(1, rows=8, columns=8)
    code, request = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "CHEST2", "99RIS", "Thorax"
    request.RequestedProcedureID, request.RequestedProcedureCodeSequence = "RP1", [code]
    request.add_new(0x00090010, "LO", "SOMEONE")
    dataset.RequestAttributesSequence = [request]
    dataset.add_new(0x00090010, "LO", "SOMEONE")
    header = decode_header(encode_header(_read(dataset)))
    assert header.RequestAttributesSequence[0].RequestedProcedureCodeSequence[0].CodeValue == "CHEST2"
    assert b"SOMEONE" not in encode_header(dataset)


def test_texts_of_the_long_kinds_are_kept() -> None:
    """UT and UC, whose length is written otherwise: who issued the Patient ID, and a code of above 16 letters."""
    dataset, issuer, code = phantom_dataset(1, rows=8, columns=8), Dataset(), Dataset()
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = "1.2.3", "ISO"
    code.LongCodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "THORAX-IN-TWO-VIEWS", "99HOSP", "Thorax"
    dataset.IssuerOfPatientIDQualifiersSequence, dataset.ProcedureCodeSequence = [issuer], [code]
    header = decode_header(encode_header(_read(dataset)))
    assert header.IssuerOfPatientIDQualifiersSequence[0] == issuer
    assert header.ProcedureCodeSequence[0] == code


def test_a_huge_or_broken_attribute_costs_only_itself() -> None:
    """Values without measure are left out, the UIDs stay, and the size is bounded."""
    dataset = Dataset()
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = "2.25.1", "2.25.2"
    long = Tag("StudyDescription")
    dataset[long] = RawDataElement(long, "LO", 60_000, b"x" * 60_000, 0, False, True)
    dataset.RequestAttributesSequence = [Dataset() for _ in range(20_000)]
    broken = Tag("ProcedureCodeSequence")
    dataset[broken] = RawDataElement(broken, "SQ", 6, b"\xff\xfe\x00\xe0\x01\x02", 0, False, True)
    header = encode_header(dataset)
    assert len(header) <= MAX_HEADER_BYTES
    assert {element.keyword for element in decode_header(header)} == {"SOPInstanceUID", "StudyInstanceUID"}


def test_real_files_have_small_headers(shared_data: Path) -> None:
    """Every real file gives a header of a few hundred bytes that encodes to itself."""
    paths = sorted((shared_data / "dicom").rglob("*.dcm"))
    assert len(paths) == 24
    for path in paths:
        header = encode_header(dcmread(path, stop_before_pixels=True))
        assert 200 < len(header) < 2000
        assert encode_header(decode_header(header)) == header
