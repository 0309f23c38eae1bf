"""Who is told what."""

from pathlib import Path

import pytest

from dicom_io.reasons import Reason
from tests.results import flag, prediction
from worker.delivery.routing import wants
from worker.destinations import Destination, DicomDestination, FolderDestination
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


EARLY, CONCLUDED = flag(FLAGGED, complete=False), flag(FLAGGED)
QUIET, HIP = flag(prediction()), flag(reason=Reason.NOTHING_IN_SCOPE)
WITHDRAWN = flag(prediction()).model_copy(update={"withdrawn": True})


def _pacs(**chosen: object) -> DicomDestination:
    return DicomDestination.model_validate(PACS.model_dump() | chosen)


@pytest.mark.parametrize("destination", [FOLDER.model_copy(update={"only": "flagged"}), _pacs(only="flagged")])
def test_only_flagged_is_flags_and_nothing_else(destination: Destination) -> None:
    """A flag goes at once and with the conclusion; what has none does not go, whatever else is said of it."""
    wanted = [result for result in (EARLY, CONCLUDED, QUIET, OVERDUE, HIP) if wants(destination, result, in_scope=True)]
    assert wanted == [EARLY, CONCLUDED]


def test_only_all_is_every_result_to_a_pacs_too() -> None:
    """Also that of a study without a chest film, and the notice that a study is overdue."""
    assert all(wants(_pacs(only="all"), result, in_scope=False) for result in (EARLY, QUIET, OVERDUE, HIP))


@pytest.mark.parametrize(("callers", "wanted"), [({"ER1"}, True), ({"WARD", "ER1"}, True), ({"WARD"}, False)])
@pytest.mark.parametrize("destination", [FOLDER, PACS])
def test_a_destination_may_want_one_modalitys_studies(
    destination: Destination, callers: set[str], wanted: bool
) -> None:
    """A study of which any image came from a caller that is named."""
    chosen = destination.model_copy(update={"callers": ("ER1 ", "ER2")})
    assert wants(chosen, CONCLUDED, in_scope=True, callers=callers) is wanted


def test_who_was_told_of_a_study_hears_the_rest_of_it() -> None:
    """A caller's name that was taken out of the settings does not leave a destination with half of the story."""
    chosen = _pacs(callers=("ER1",))
    assert wants(chosen, CONCLUDED, in_scope=True, callers={"WARD"}, told=True)


@pytest.mark.parametrize("kind", [FOLDER, PACS])
def test_complete_only_is_nothing_early(kind: Destination) -> None:
    """Neither the first word on a flag nor the notice that a study is overdue."""
    chosen = kind.model_copy(update={"complete_only": True})
    assert [result for result in (EARLY, OVERDUE, CONCLUDED, QUIET) if wants(chosen, result, in_scope=True)] == [
        CONCLUDED,
        QUIET,
    ]


@pytest.mark.parametrize("chosen", [{"only": "flagged"}, {"complete_only": True}, {"callers": ("ER1",)}])
def test_a_withdrawal_goes_to_everyone_who_was_told(chosen: dict[str, object]) -> None:
    """Whatever a destination wants otherwise: it has the flag; who has it not, need not hear that it is withdrawn."""
    early = WITHDRAWN.model_copy(update={"complete": False})
    assert wants(_pacs(**chosen), early, in_scope=True, told=True)
    assert not wants(_pacs(only="flagged"), WITHDRAWN, in_scope=True)
