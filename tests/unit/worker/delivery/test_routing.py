"""Who is told what."""

from pathlib import Path

import pytest

from dicom_io.reasons import Reason
from tests.results import flag, prediction
from worker.delivery.routing import wants
from worker.destinations import DicomDestination, FolderDestination
from worker.domain import Flag, Origin

FOLDER = FolderDestination(kind="folder", name="flags", path=Path("/flags"))
PACS = DicomDestination(kind="dicom", name="pacs", ae_title="PACS", host="pacs", port=104)

FLAGGED = prediction(flagged=True)
OVERDUE = flag(prediction(), reason=Reason.OVERDUE, complete=False)


@pytest.mark.parametrize("result", [flag(FLAGGED), flag(prediction()), OVERDUE, flag(reason=Reason.NOTHING_IN_SCOPE)])
@pytest.mark.parametrize("in_scope", [True, False])
def test_a_folder_gets_every_result(result: Flag, in_scope: bool) -> None:
    """Flagged or not, complete or not, in scope or not."""
    assert wants(FOLDER, result, in_scope=in_scope)


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        (flag(FLAGGED, complete=False), True),
        (flag(FLAGGED), True),
        (flag(prediction()), True),
        (flag(prediction(reason=Reason.TRUNCATED), reason=Reason.INCOMPLETE), True),
        (flag(prediction(), complete=False), False),
        (OVERDUE, False),
    ],
)
def test_a_pacs_gets_flags_at_once_and_the_rest_when_complete(result: Flag, wanted: bool) -> None:
    """A flag does not wait for the study; what is no flag does."""
    assert wants(PACS, result, in_scope=True) is wanted


@pytest.mark.parametrize("result", [flag(FLAGGED), flag(reason=Reason.WRONG_BODY_PART)])
def test_a_pacs_hears_nothing_of_a_study_without_a_chest_film(result: Flag) -> None:
    """A hip or a CT gets no report into its study."""
    assert not wants(PACS, result, in_scope=False)


@pytest.mark.parametrize("destination", [FOLDER, PACS])
def test_shadow_screening_tells_nobody(destination: FolderDestination | DicomDestination) -> None:
    """A result of shadow screening leaves by no way."""
    assert not wants(destination, flag(FLAGGED, origin=Origin.SHADOW), in_scope=True)
