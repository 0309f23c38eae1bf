"""Who an object is, before anything of it is decoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, config, uid
from pynetdicom.dsutils import encode

from dicom_io.errors import ImageError, MissingAttributeError, UnsupportedObjectError
from dicom_io.identification import carries_pixels, identify
from dicom_io.phantom import phantom_dataset
from dicom_io.transfer_syntaxes import NATIVE
from dicom_io.types import SOPInstanceReference

EXPLICIT = uid.ExplicitVRLittleEndian
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")


def film(**values: object) -> Dataset:
    """A small phantom with these values instead of its own."""
    dataset = phantom_dataset(1, rows=8, columns=8, accession_number="ACC1", transfer_syntax_uid=EXPLICIT)
    with config.disable_value_validation():
        for keyword, value in values.items():
            delattr(dataset, keyword)  # the element remembers that it was made to validate
            setattr(dataset, keyword, value)
    return dataset


def encoded(dataset: Dataset, syntax: str = EXPLICIT) -> memoryview:
    """The data set as a C-STORE request carries it."""
    transfer_syntax = uid.UID(syntax)
    raw = encode(dataset, transfer_syntax.is_implicit_VR, transfer_syntax.is_little_endian, transfer_syntax.is_deflated)
    assert raw is not None
    return memoryview(raw)


def uid_element(value: bytes) -> bytes:
    """VR, length and value of a UID, padded to an even length (PS3.5 9.1), in explicit little endian."""
    padded = value + b"\0" * (len(value) % 2)
    return b"UI" + len(padded).to_bytes(2, "little") + padded


FILM = film()
REFERENCE = SOPInstanceReference(*(str(FILM[keyword].value) for keyword in UIDS))
ENCODED = encoded(FILM)
PIXELS_AT = bytes(ENCODED).index(b"\xe0\x7f\x10\x00OW")


@pytest.mark.parametrize("syntax", NATIVE)
def test_the_identity_is_read_from_every_encoding(syntax: str) -> None:
    """Implicit, explicit, deflated and big-endian data sets name the same object."""
    identification = identify(encoded(FILM, syntax), syntax)
    assert (identification.reference, identification.accession_number) == (REFERENCE, "ACC1")


def test_what_we_made_ourselves_is_known_when_it_comes_back() -> None:
    """Manufacturer and model name of everything that goes out; a phantom and another maker's object are films."""
    ours = film(Manufacturer="cxr-triage", ManufacturerModelName="cxr-triage ")
    assert identify(encoded(ours), EXPLICIT).made_here
    assert not identify(ENCODED, EXPLICIT).made_here
    assert not identify(encoded(film(Manufacturer="cxr-triage", ManufacturerModelName="")), EXPLICIT).made_here
    assert not identify(encoded(film(Manufacturer="ACME", ManufacturerModelName="cxr-triage")), EXPLICIT).made_here


def test_pixels_are_not_touched() -> None:
    """An object whose pixel data is cut off is identified as if it were whole."""
    assert identify(ENCODED[: PIXELS_AT + 12], EXPLICIT).reference == REFERENCE


@given(st.integers(min_value=0, max_value=PIXELS_AT))
def test_a_truncated_data_set_is_never_another_object(length: int) -> None:
    """Cut anywhere before its pixels, it is refused or it is itself: no shortened UID is taken for a UID."""
    try:
        identification = identify(ENCODED[:length], EXPLICIT)
    except ImageError:
        return
    assert identification.reference == REFERENCE


@pytest.mark.parametrize("keyword", UIDS)
@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_uid_is_told_by_its_name(keyword: str, empty: bool) -> None:
    """Absent and empty are the same, and the sender is told which UID to mend."""
    dataset = film()
    if empty:
        dataset[keyword].value = ""
    else:
        del dataset[keyword]
    with pytest.raises(MissingAttributeError, match=keyword):
        identify(encoded(dataset), EXPLICIT)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("value", [b"1." + b"2" * 64, b"1.2.\xe4.3", b"1.2\n.3 "])
def test_what_is_no_uid_is_refused(keyword: str, value: bytes) -> None:
    """A UID that no table can hold, or that would forge a log line, is not taken."""
    raw = bytes(ENCODED).replace(uid_element(str(FILM[keyword].value).encode()), uid_element(value))
    assert raw != bytes(ENCODED)
    with pytest.raises(MissingAttributeError, match="A UID is longer than 64 characters or not ASCII"):
        identify(memoryview(raw), EXPLICIT)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("", None),
        ("   ", None),
        (" A 7 ", "A 7"),
        ("x" * 80, "x" * 64),
        ("R\xd6-7", r"R\xc3\x96-7"),
        (["A", "B"], r"A\B"),
    ],
)
def test_the_accession_number_is_read_as_text(sent: str | list[str], read: str | None) -> None:
    """Never decoded with a character set, without padding, and cut to what the table holds."""
    assert identify(encoded(film(AccessionNumber=sent)), EXPLICIT).accession_number == read


def test_an_accession_number_holds_nothing_that_a_database_refuses() -> None:
    """A NUL inside the value, which PostgreSQL takes in no text, does not make the object unstorable."""
    raw = bytes(ENCODED).replace(b"SH\x04\x00ACC1", b"SH\x04\x00A\x00C1")
    assert identify(memoryview(raw), EXPLICIT).accession_number == "AC1"


def test_no_accession_number_is_none() -> None:
    """Type 2 in the standard, absent in practice."""
    dataset = film()
    del dataset.AccessionNumber
    assert identify(encoded(dataset), EXPLICIT).accession_number is None


@pytest.mark.parametrize("raw", [b"", b"\0" * 64, b"GIF89a" * 20, b"\x08\x00\x05\x00SQ\0\0\xff\xff\xff\xff" * 2000])
@pytest.mark.parametrize("syntax", NATIVE)
def test_garbage_is_an_image_error(raw: bytes, syntax: str) -> None:
    """Whatever the bytes are, the answer is a named fault of the object and not of the program."""
    with pytest.raises(ImageError):
        identify(memoryview(raw), syntax)


def test_what_is_not_deflated_is_not_inflated() -> None:
    """A data set that only claims to be deflated cannot be parsed."""
    with pytest.raises(UnsupportedObjectError, match="inflated"):
        identify(ENCODED, uid.DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize(
    "sop_class",
    [
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.CTImageStorage,
        uid.EnhancedMRImageStorage,
        uid.UltrasoundImageStorage,
        uid.XRayAngiographicImageStorage,
        uid.UID("1.2.840.113619.4.30"),  # a vendor's private class may be an image: it is looked at
    ],
)
def test_images_open_studies(sop_class: uid.UID) -> None:
    """Every class of images, and every class that nobody knows."""
    assert carries_pixels(sop_class)


@pytest.mark.parametrize(
    "sop_class",
    [
        uid.BasicTextSRStorage,
        uid.ComprehensiveSRStorage,
        uid.Comprehensive3DSRStorage,
        uid.KeyObjectSelectionDocumentStorage,
        uid.GrayscaleSoftcopyPresentationStateStorage,
        uid.TwelveLeadECGWaveformStorage,
        uid.EncapsulatedPDFStorage,
        uid.RTPlanStorage,
        uid.RawDataStorage,
    ],
)
def test_objects_without_pixels_open_none(sop_class: uid.UID) -> None:
    """Reports, our own among them, presentation states, key objects, waveforms, documents and plans."""
    assert not carries_pixels(sop_class)
