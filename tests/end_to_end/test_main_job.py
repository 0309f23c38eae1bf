"""The main job: a real client pushes real films, flags and reports come back."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from dicom_io.phantom import phantom_dataset
from tests.end_to_end.service import RunningService
from tests.servers.ports import wait_until
from tests.servers.programs import require_program
from tests.servers.storescp import StartStoreScp

# What storescu proposes for a file's transfer syntax; it sends files as they are.
_PROPOSE = {
    "dicom-test-files__RG1_J2KI.dcm": "--propose-j2k-lossy",
    "nccid__1.3.6.1.4.1.11129.5.5.110503645592756492463169821050252582267888.dcm": "--propose-implicit",
    "torchxrayvision__1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm": "--propose-jpeg8",
    "torchxrayvision__Fake_MONOHR1.dcm": "--propose-jpeg8",
    "dicom-test-files__RG2_JPLL.dcm": "--propose-lossless",
    "dicom-test-files__CT1_J2KR.dcm": "--propose-j2k-lossless",
    "dicom-test-files__MR1_JLSL.dcm": "--propose-jls-lossless",
    "dicom-test-files__VL1_RLE.dcm": "--propose-rle",
}


def storescu(service: RunningService, *paths: Path) -> None:
    """Push files with DCMTK, one association each, in the order given."""
    program = require_program("storescu", "dcmtk")
    address = ["--call", "CXRTRIAGE", "127.0.0.1", str(service.port)]
    for path in paths:
        propose = _PROPOSE.get(path.name, "--propose-uncompr")
        subprocess.run([program, propose, *address, str(path)], check=True, capture_output=True)


def _destinations(flags: Path, pacs: int) -> str:
    return (
        f'[[destinations]]\nname = "flags"\nkind = "folder"\npath = "{flags}"\n'
        f'[[destinations]]\nname = "pacs"\nkind = "dicom"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {pacs}\n'
    )


def _study_of(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the settings that it has without a settings file, for every test that leaves it whole."""
    running = RunningService(tmp_path_factory.mktemp("service"), toml="", settings={})
    running.start()
    yield running
    running.stop()


@dataclass(frozen=True)
class Sending:
    """A service with a PACS that a test starts on `port`."""

    service: RunningService
    port: int


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Sending]:
    """A service that sends to a PACS, for every test that leaves it whole."""
    folder, port = tmp_path_factory.mktemp("sending"), free_port()
    settings = {"study_quiet_seconds": 3, "retry_max_seconds": 2, "prepare_processes": 2}
    running = RunningService(folder, toml=_destinations(folder / "data" / "flags", port), settings=settings)
    running.start()
    yield Sending(running, port)
    running.stop()


@pytest.fixture
def chest_films(shared_data: Path) -> list[Path]:
    """The four real chest films; the last two share their UIDs and differ in bytes."""
    return sorted((shared_data / "dicom" / "chest").glob("*.dcm"))


def test_real_chest_films_pushed_by_storescu_end_as_flags_and_valid_reports(
    sending: Sending, storescp: StartStoreScp, chest_films: list[Path]
) -> None:
    """Four films make three studies, one of them at its second revision; every report is valid DICOM."""
    service, studies = sending.service, {_study_of(film) for film in chest_films}
    pacs = storescp(ae_title="PACS", port=sending.port)
    storescu(service, *chest_films)
    wait_until(lambda: studies <= service.concluded().keys(), "three concluded studies", seconds=120)
    wait_until(lambda: not service.json("deliveries"), "an empty outbox", seconds=60)

    assert len(studies) == 3
    assert {service.concluded()[study]["status"] for study in studies} == {"SCREENED"}
    assert sorted(service.concluded()[study]["revision"] for study in studies) == [1, 1, 2]
    for flag in service.flags():
        for image in flag["images"]:
            assert image["flagged"] == (image["logit"] >= image["threshold_logit"])
        assert (flag["priority"] == "HIGH") == any(image["flagged"] for image in flag["images"])
    reports = [*pacs.files(), *service.flags_folder.glob("*.dcm")]
    assert len(pacs.files()) >= 3
    for report in reports:
        assert_valid_report(report)


def assert_valid_report(report: Path) -> None:
    """Check a structured report with two validators that are not ours."""
    checked = subprocess.run(
        [require_program("dciodvfy", "dicom3tools"), str(report)], capture_output=True, text=True, check=False
    )
    assert "Error" not in checked.stdout + checked.stderr
    dumped = subprocess.run(
        [require_program("dsrdump", "dcmtk"), str(report)], capture_output=True, text=True, check=True
    )
    assert "Imaging Measurement Report" in dumped.stdout


def test_what_is_no_chest_film_is_unscreened_with_its_reason(service: RunningService, shared_data: Path) -> None:
    """A hip, a CT slice, an MR slice and a colour picture come out UNSCREENED, each with its reason."""
    other = shared_data / "dicom" / "other"
    names = ["RG2_JPLL", "CT1_J2KR", "MR1_JLSL", "VL1_RLE"]
    films = [other / f"dicom-test-files__{name}.dcm" for name in names]
    studies = {_study_of(film) for film in films}
    storescu(service, *films)
    wait_until(lambda: studies <= service.concluded().keys(), "four concluded studies", seconds=120)

    entries = [entry for entry in service.json("worklist") if entry["study_instance_uid"] in studies]
    assert {(entry["status"], entry["priority"]) for entry in entries} == {("UNSCREENED", None)}
    assert sorted(entry["reason"] for entry in entries) == [
        "not-a-radiograph",
        "not-a-radiograph",
        "not-a-radiograph",
        "wrong-body-part",
    ]


def test_our_own_report_coming_back_opens_no_study(service: RunningService, chest_films: list[Path]) -> None:
    """A PACS that forwards our report back to us is answered, and nothing is said of it again."""
    study = _study_of(chest_films[0])
    storescu(service, chest_films[0])
    wait_until(lambda: study in service.concluded(), "a concluded study", seconds=120)
    before = service.json("study", study)
    flags = len(service.flags())
    program = require_program("storescu", "dcmtk")
    report = next(file for file in service.flags_folder.glob("*.dcm") if _study_of(file) == study)
    address = ["--call", "CXRTRIAGE", "127.0.0.1", str(service.port)]
    subprocess.run([program, "--required", *address, str(report)], check=True)

    history = service.json("study", study)
    assert [event["kind"] for event in history["events"]][-1] == "object-recorded"
    assert history["study"]["revision"] == before["study"]["revision"]
    assert len(service.flags()) == flags


def test_an_unreachable_pacs_gets_its_report_when_it_is_back(
    sending: Sending, storescp: StartStoreScp, tmp_path: Path
) -> None:
    """A report waits in the outbox while its destination is down, holds up no other, and goes out afterwards."""
    service, film = sending.service, tmp_path / "film.dcm"
    phantom_dataset(1, kind="CR").save_as(film, enforce_file_format=True)
    storescu(service, film)
    wait_until(lambda: _study_of(film) in service.concluded(), "the flag in the folder", seconds=120)
    waiting = service.json("deliveries")
    assert {(row["destination"], row["state"]) for row in waiting} == {("pacs", "pending")}

    pacs = storescp(ae_title="PACS", port=sending.port)
    wait_until(lambda: not service.json("deliveries"), "an empty outbox", seconds=120)
    assert len(pacs.files()) == len(waiting)


def test_doctor_finds_a_running_service_well(service: RunningService) -> None:
    """The synthetic film goes the whole way and comes out with the published logit; it is on no worklist."""
    before = service.json("worklist")
    examined = service.run("doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    assert "as published" in examined.stdout
    assert service.json("worklist") == before
