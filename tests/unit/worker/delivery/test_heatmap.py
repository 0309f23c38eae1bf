"""From stored evidence to DICOM objects: the same ones every time, and none where there is nothing to draw."""

import numpy as np
import pytest

from dicom_io.header import encode_header
from dicom_io.report import derive_uid
from tests.evidence import HEATMAP_CLASSES, evidence_of, result_with_evidence, stored_map
from tests.reports import file_of
from tests.results import FILM, RESULT, film, flag, prediction
from worker.delivery.heatmap import build_heatmaps
from worker.domain import ModelReference, ScreeningResult


def test_a_flagged_frame_gets_two_captures_and_a_presentation_state() -> None:
    """With UIDs that derive from the result, the image and the frame, in two series of their own."""
    objects = build_heatmaps(result_with_evidence()).objects
    assert tuple(o.SOPClassUID for o in objects) == HEATMAP_CLASSES
    kinds = ("overlay", "map", "presentation")
    assert [o.SOPInstanceUID for o in objects] == [derive_uid(RESULT, f"heatmap/{FILM}/1/{kind}") for kind in kinds]
    images, states = derive_uid(RESULT, "heatmap-series"), derive_uid(RESULT, "heatmap-presentation-series")
    assert [o.SeriesInstanceUID for o in objects] == [images, images, states]
    assert [(o.SeriesNumber, o.InstanceNumber) for o in objects] == [(9111, 1), (9111, 2), (9112, 1)]
    assert {o.SeriesDescription for o in objects} == {"AI TRIAGE: ACTIVATION MAP"}


def test_the_same_result_gives_the_same_bytes() -> None:
    """Nothing of the present time, or of a library's version, is in them; corrected attributes make other objects."""
    first, again = (build_heatmaps(result_with_evidence()).objects for _ in range(2))
    assert [file_of(o) for o in first] == [file_of(o) for o in again]
    assert not any(b"Highdicom" in file_of(o) for o in first)
    assert {o[k].value for o in first for k in ("SeriesDate", "InstanceCreationDate")} == {"20261120"}
    corrected = build_heatmaps(result_with_evidence().model_copy(update={"corrections": 1})).objects
    assert not {o.SOPInstanceUID for o in first} & {o.SOPInstanceUID for o in corrected}


def test_nothing_of_the_patient_is_in_the_pixels() -> None:
    """The pixels of two patients with the same film are the same; their objects are not."""
    one, other = (
        build_heatmaps(result_with_evidence(PatientName=name, PatientID=name, AccessionNumber=name)).objects
        for name in ("Alpha^Anna", "Beta^Berta")
    )
    for mine, yours in zip(one[:2], other[:2], strict=True):
        assert mine.PixelData == yours.PixelData
        assert file_of(mine) != file_of(yours)


def test_the_picture_names_the_model_that_scored_the_frame() -> None:
    """Not the one that scored the study's newest frame."""
    earlier = ModelReference(name="densenet161", version="0.9", sha256="0" * 64)
    image = prediction(flagged=True).model_copy(update={"model": earlier})
    result = ScreeningResult(flag=flag(image), headers=(encode_header(film()),), evidence=(evidence_of(image),))
    objects, usual = build_heatmaps(result).objects, build_heatmaps(result_with_evidence()).objects
    assert {o.SoftwareVersions for o in objects} == {"densenet161 0.9"}
    assert "densenet161 0.9" in objects[1].DerivationDescription
    assert objects[0].PixelData != usual[0].PixelData


def test_frames_of_an_image_are_numbered_and_told_apart() -> None:
    """Each has its own objects, whose numbers stay when another one's film is gone."""
    images = [prediction(flagged=True).model_copy(update={"frame": number}) for number in (1, 3)]
    evidence = [evidence_of(image) for image in images]
    result = ScreeningResult(flag=flag(*images), headers=(encode_header(film()),), evidence=tuple(evidence))
    both = build_heatmaps(result)
    assert [o.InstanceNumber for o in both.objects] == [1, 2, 1, 3, 4, 2]
    evidence[0] = evidence[0].model_copy(update={"pixels": None})
    second = build_heatmaps(result.model_copy(update={"evidence": tuple(evidence)}))
    assert second.left_out == 1
    assert [file_of(o) for o in second.objects] == [file_of(o) for o in both.objects[3:]]


@pytest.mark.parametrize(
    "damage",
    [
        {"pixels": None},
        {"pixels": b"no zstd"},
        {"pixels": b""},
        {"activation_map": None},
        {"activation_map": b""},
        {"activation_map": stored_map()[:-2]},
        {"activation_map": stored_map()[:-1]},
        {"activation_map": stored_map(float("nan"))},
        {"pixels": b"\x28\xb5\x2f\xfd\xe0" + (1 << 50).to_bytes(8, "little")},  # zstd, of a petabyte
    ],
)
def test_what_is_gone_or_damaged_is_left_out(damage: dict[str, bytes | None]) -> None:
    """Nothing is drawn of half a map or film, and nothing is raised: the flag goes out alone."""
    result = result_with_evidence()
    broken = result.evidence[0].model_copy(update=damage)
    heatmaps = build_heatmaps(result.model_copy(update={"evidence": (broken,)}))
    assert (list(heatmaps.objects), heatmaps.left_out) == ([], 1)


def test_a_film_without_its_size_or_header_is_left_out() -> None:
    """The aspect ratio is the source's, and is not guessed."""
    assert build_heatmaps(result_with_evidence(Rows=0)).left_out == 1
    assert build_heatmaps(result_with_evidence(SOPInstanceUID="2.25.9")).left_out == 1


def test_a_result_without_evidence_has_no_heatmap() -> None:
    """Which is what every destination gets that did not ask for it."""
    heatmaps = build_heatmaps(result_with_evidence().model_copy(update={"evidence": ()}))
    assert (list(heatmaps.objects), heatmaps.left_out) == ([], 0)


def test_the_map_says_what_its_values_mean() -> None:
    """255 is 8 logit units: the cell with the evidence is white, the rest of the map black."""
    levels = build_heatmaps(result_with_evidence()).objects[1]
    assert "stored value x 8 / 255" in levels.DerivationDescription
    values = np.frombuffer(levels.PixelData, np.uint8).reshape(levels.Rows, levels.Columns)
    assert values[:50, :50].min() == 255
    assert not values[450:, 450:].any()
