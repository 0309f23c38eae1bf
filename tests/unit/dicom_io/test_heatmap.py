"""The objects of an activation map: valid whatever the film's header lacks, and of the film's patient and study."""

from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid

from dicom_io.errors import MissingAttributeError
from dicom_io.header import decode_header, encode_header
from dicom_io.heatmap import Heatmap, build_heatmap, film_size
from dicom_io.identification import identify
from dicom_io.identity import file_meta
from dicom_io.phantom import phantom_dataset
from dicom_io.recoding import as_implicit
from tests.reports import complaints_of_dciodvfy, file_of, report_of

NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"
SHAPE = (60, 40)


def heatmap(frame: int = 1) -> Heatmap:
    """A drawn map of known content."""
    palette = np.stack([np.linspace(128, end, 256).astype(np.uint8) for end in (204, 87, 51)], axis=1)
    return Heatmap(
        frame=frame,
        number=1,
        picture=np.full((100, 50, 3), 7, np.uint8),
        levels=np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint8).reshape(SHAPE),
        palette=palette,
        meaning="the map over the film",
        meaning_of_levels="the map",
        software="resnet50 1.0.0",
    )


@pytest.fixture
def build() -> Callable[..., list[Dataset]]:
    """Call it with attributes of the film's header for the objects of its map."""

    def objects(newest: bytes | None = None, frame: int = 1, **header: object) -> list[Dataset]:
        film = phantom_dataset(
            1, kind="CR", rows=60, columns=40, patient_name=NAME, character_set=("", "ISO 2022 IR 87")
        )
        for keyword, value in header.items():
            setattr(film, keyword, value)
        return build_heatmap(report_of("flagged", [film.SOPInstanceUID]), heatmap(frame), encode_header(film), newest)

    return objects


def test_every_real_film_gets_valid_objects(shared_data: Path, tmp_path: Path) -> None:
    """Dciodvfy finds no error in the objects of any real file, whatever it lacks."""
    for path in sorted((shared_data / "dicom").rglob("*.dcm")):
        header = encode_header(dcmread(path, stop_before_pixels=True))
        report = report_of("flagged", [decode_header(header).SOPInstanceUID])
        for item in build_heatmap(report, heatmap(), header):
            assert complaints_of_dciodvfy(item, tmp_path) == [], (path.name, item.SOPClassUID.name)


ODD = ({}, {"PatientOrientation": "L"}, {"PatientOrientation": ["L", "Q"]}, {"PatientSex": "X"}, {"StudyDate": ""})


@pytest.mark.parametrize("odd", ODD)
def test_odd_headers_get_valid_objects(
    odd: dict[str, object], build: Callable[..., list[Dataset]], tmp_path: Path
) -> None:
    """What breaks a rule in the film's header does not make our objects break it."""
    for item in build(**odd):
        assert complaints_of_dciodvfy(item, tmp_path) == []


def test_patient_and_study_are_those_of_the_newest_image_byte_for_byte(build: Callable[..., list[Dataset]]) -> None:
    """As the report repeats them; the film that is referred to stays the film."""
    newest = phantom_dataset(2, kind="CR", rows=8, columns=8, patient_name="M\xfcller^Eva", character_set="ISO_IR 100")
    raw = file_of(newest)
    objects = build(encode_header(dcmread(BytesIO(raw))), SOPInstanceUID="2.25.77")
    for item in objects:
        read = dcmread(BytesIO(file_of(item)))
        assert (read.PatientName, read.StudyInstanceUID) == ("M\xfcller^Eva", newest.StudyInstanceUID)
        assert "M\xfcller^Eva".encode("latin-1") in file_of(item)
    for image in objects[:2]:
        (source,) = image.SourceImageSequence
        assert source.ReferencedSOPInstanceUID == "2.25.77"
        assert "ReferencedFrameNumber" not in source


def test_the_presentation_state_colours_the_map(build: Callable[..., list[Dataset]]) -> None:
    """It refers to the map in its series, shows all of it, and its palette is the one that was asked for."""
    _, levels, state = build()
    (series,) = state.ReferencedSeriesSequence
    (image,) = series.ReferencedImageSequence
    assert (series.SeriesInstanceUID, image.ReferencedSOPInstanceUID) == (
        levels.SeriesInstanceUID,
        levels.SOPInstanceUID,
    )
    (area,) = state.DisplayedAreaSelectionSequence
    assert area.DisplayedAreaBottomRightHandCorner == [SHAPE[1], SHAPE[0]]
    assert state.RedPaletteColorLookupTableDescriptor == [256, 0, 16]
    for channel, name in enumerate(("Red", "Green", "Blue")):
        table = np.frombuffer(state[f"{name}PaletteColorLookupTableData"].value, "<u2")
        assert (table >> 8).tolist() == heatmap().palette[:, channel].tolist()


def test_the_frame_of_a_film_of_several_is_named(build: Callable[..., list[Dataset]]) -> None:
    """Where the SOP class has frames."""
    objects = build(frame=2, SOPClassUID=uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage)
    assert [o.SourceImageSequence[0].ReferencedFrameNumber for o in objects[:2]] == [2, 2]


@pytest.mark.parametrize(("stated", "said"), [("YES", "YES"), ("NO", "NO"), (None, None), ("MAYBE", None)])
def test_only_the_sender_knows_what_is_burned_into_the_film(
    stated: str | None, said: str | None, build: Callable[..., list[Dataset]]
) -> None:
    """The picture with the film says what the film's header says, or nothing; the map alone shows no text."""
    overlay, levels, _ = build(BurnedInAnnotation=stated)
    assert (overlay.BurnedInAnnotation or None, levels.BurnedInAnnotation) == (said, "NO")


def test_the_film_lends_its_orientation_and_its_losses(build: Callable[..., list[Dataset]]) -> None:
    """Both images lie as the film lies, and what was lost in it is not there again."""
    images = build(PatientOrientation=["L", "F"], LossyImageCompression="01")[:2]
    assert [(i.PatientOrientation, i.LossyImageCompression) for i in images] == [(["L", "F"], "01")] * 2


def test_a_pacs_that_sends_them_back_finds_them_known(build: Callable[..., list[Dataset]]) -> None:
    """Else the map of a flagged film would be screened as a film; as they are and in implicit VR."""
    for item in build():
        for syntax, sent in ((uid.ExplicitVRLittleEndian, item), (uid.ImplicitVRLittleEndian, as_implicit(item))):
            raw = file_of(sent)
            assert identify(memoryview(raw)[file_meta(raw).length :], syntax).made_here


def test_the_size_of_a_film_is_stated_or_there_is_none() -> None:
    """A header without both Rows and Columns has no aspect ratio."""
    film = phantom_dataset(1, kind="CR", rows=60, columns=40)
    assert film_size(encode_header(film)) == (60, 40)
    del film.Columns
    with pytest.raises(MissingAttributeError, match="Rows or Columns"):
        film_size(encode_header(film))


def test_dates_are_those_of_the_result_in_the_films_time_zone(build: Callable[..., list[Dataset]]) -> None:
    """Not of the moment in which they are built."""
    told = datetime(2026, 11, 20, 10, 0, 0, 250_000, tzinfo=UTC)
    assert report_of("flagged", []).created_at == told
    for item in build(TimezoneOffsetFromUTC="+0900"):
        assert (item.SeriesDate, item.SeriesTime) == ("20261120", "190000.250000")
        assert item.InstanceCreationTime == item.SeriesTime
