"""What the doctor says of the answer to its film."""

import sys
from pathlib import Path

import pytest

from tests.servers.mllp import answering, mllp_server
from tests.servers.storescp import StartStoreScp
from tests.studies import FOLDER, MODEL
from worker.champion import InstalledChampion
from worker.db import Database
from worker.destinations import DicomDestination, DicomwebDestination
from worker.doctor import Doctor
from worker.finding import NotWellError, attempt
from worker.model.artifact import default_directory, load_card
from worker.repository.model_versions import CHOSEN, RegisteredModel
from worker.sections import ListenerSettings
from worker.service import Service
from worker.settings import Settings


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """A doctor without a service to examine."""
    database = Database(f"sqlite:///{tmp_path / 'none.sqlite'}")
    return Doctor(Service(Settings(data_dir=tmp_path), database, lambda _queue: None))


@pytest.fixture
def installed() -> InstalledChampion:
    """The model in service, number 2."""
    directory = default_directory()
    return InstalledChampion(RegisteredModel(2, CHOSEN, MODEL), load_card(directory), directory)


def test_the_published_answer_of_the_model_in_service_is_well(doctor: Doctor, installed: InstalledChampion) -> None:
    """Within the card's tolerance."""
    doctor._compare(installed.card.self_test.logit + installed.card.self_test.tolerance / 2, 2, installed)


def test_a_film_that_another_model_scored_is_not_well(doctor: Doctor, installed: InstalledChampion) -> None:
    """Also where that one gives the same answer, as a model with another threshold does."""
    with pytest.raises(NotWellError, match="scored by another model than"):
        doctor._compare(installed.card.self_test.logit, 1, installed)


def test_another_answer_than_the_published_one_is_not_well(doctor: Doctor, installed: InstalledChampion) -> None:
    """The host computes wrongly."""
    with pytest.raises(NotWellError, match="take it out of service"):
        doctor._compare(installed.card.self_test.logit + 1, 2, installed)


def test_a_receiver_of_hl7_is_called_and_told_nothing(doctor: Doctor) -> None:
    """There, it is well; gone, it is not; and a folder has nobody to call."""
    with mllp_server(answering("AA")) as server:
        call = doctor._call(server.destination())
        assert call is not None
        assert attempt("destination ris", call).problem is None
        assert doctor._call(FOLDER) is None
    assert server.received == []
    assert "cannot be reached" in str(attempt("destination ris", call).problem)


@pytest.mark.parametrize(
    ("callers", "asked", "is_told"),
    [((), True, False), (("PACS",), True, False), (("CT",), True, True), (("CT",), False, False)],
)
def test_a_pacs_whose_reports_of_commitment_we_would_refuse_is_told(
    callers: tuple[str, ...], asked: bool, is_told: bool, storescp: StartStoreScp, tmp_path: Path
) -> None:
    """It answers and takes reports, and is well: only what it commits to would never be heard of."""
    server = storescp(ae_title="PACS")
    pacs = DicomDestination(
        kind="dicom", name="pacs", ae_title="PACS", host=server.host, port=server.port, storage_commitment=asked
    )
    settings = Settings(data_dir=tmp_path, destinations=(pacs,), listener=ListenerSettings(allowed_callers=callers))
    (finding,) = Doctor(Service(settings, Database("sqlite://"), lambda _queue: None)).destinations()
    assert finding.problem is None
    assert ("listener.allowed_callers does not name it" in finding.answer) == is_told


def test_a_host_that_delivers_nothing_leaves_out_what_it_cannot_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the extra `deliver` brings HTTP: the doctor of a listener host says so, and that nothing is wrong."""
    web = DicomwebDestination(kind="dicomweb", name="web", url="http://127.0.0.1:9")
    settings = Settings(data_dir=tmp_path, destinations=(web,))
    monkeypatch.delitem(sys.modules, "worker.delivery.http_probe", raising=False)
    monkeypatch.setitem(sys.modules, "worker.delivery.dicomweb", None)
    (finding,) = Doctor(Service(settings, Database("sqlite://"), lambda _queue: None)).destinations()
    assert finding.problem is None
    assert "not asked" in finding.answer
