"""A running service changes its model, there and back, and loses no study."""

import itertools
import threading
from pathlib import Path
from typing import Self

import pytest
from pydicom import Dataset

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.conftest import StartService
from tests.end_to_end.service import RunningService, descendants
from tests.models import judgement, real_version, write_judgement
from tests.servers.ports import wait_until
from worker.champion import champion_in_service, reference_of
from worker.db import Database
from worker.model.artifact import ModelCard, default_directory, load_card
from worker.repository.model_versions import CHOSEN, Entry, put_in_service
from worker.service import utc_now

SHIPPED = load_card(default_directory())
OLD, NEW = SHIPPED.operating_point.threshold_logit, -50.0  # thresholds; every film reaches the new one


@pytest.fixture
def challenger(tmp_path: Path) -> tuple[Path, ModelCard]:
    """A version directory of the shipped weights at another threshold, with a judgement in its favour beside it."""
    directory = tmp_path / "published" / "site"
    card = real_version(directory, "0.2.0+site", threshold_logit=NEW)
    write_judgement(directory.parent / "promotion.json", judgement(SHIPPED.sha256, card.sha256))
    return directory, card


def film(seed: int) -> Dataset:
    """A small film, a study of its own."""
    return phantom_dataset(seed, kind="CR", rows=256, columns=256)


def screened(service: RunningService, seed: int) -> tuple[str, list[float]]:
    """Push a study and wait for its conclusion; returns the model's version and the thresholds of the images."""
    pushed = film(seed)
    assert store(service.listener, [pushed], calling_ae_title="PACS", timeout_seconds=10) == [0]
    uid = str(pushed.StudyInstanceUID)
    wait_until(lambda: uid in service.concluded(), "a concluded study", seconds=120)
    flag = service.concluded()[uid]
    return flag["model"]["version"], [image["threshold_logit"] for image in flag["images"]]


def processes(service: RunningService) -> set[int]:
    """The processes of the service, but for those that come and go."""
    assert service.process is not None
    command = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in descendants(service.process.pid)}
    return {pid for pid, words in command.items() if "celery" in words}


class Stream:
    """A PACS that pushes one study after the other until it is told that it is enough."""

    def __init__(self, service: RunningService) -> None:
        self.accepted: list[str] = []
        self._service = service
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._push)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._enough.set()
        self._thread.join()

    def _push(self) -> None:
        for seed in itertools.count(100):
            if self._enough.is_set():
                return
            pushed = film(seed)
            if store(self._service.listener, [pushed], calling_ae_title="PACS", timeout_seconds=10) == [0]:
                self.accepted.append(str(pushed.StudyInstanceUID))


def test_a_running_service_changes_its_model_and_goes_back(
    start_service: StartService, challenger: tuple[Path, ModelCard], tmp_path: Path
) -> None:
    """Before and after it the shipped model scores, between them the promoted one; no study is lost, none restarted."""
    service = start_service()
    directory, card = challenger
    assert screened(service, 1) == (SHIPPED.version, [OLD])
    running = processes(service)
    wrong = write_judgement(tmp_path / "wrong.json", judgement("f" * 64, card.sha256))
    refused = service.run("models", "promote", str(directory), "--promotion", str(wrong))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "compare with the model in service" in refused.stderr

    with Stream(service) as stream:
        wait_until(lambda: len(stream.accepted) > 2, "some studies", seconds=120)
        promoted = service.run("models", "promote", str(directory))
        assert promoted.returncode == 0, promoted.stderr
        told = {SHIPPED.version, card.version}
        wait_until(lambda: {f["model"]["version"] for f in service.flags()} == told, "both models", seconds=120)
    assert screened(service, 2) == (card.version, [NEW])

    assert service.run("models", "rollback").returncode == 2
    back = service.run("models", "rollback", "--reason", "flags everything")
    assert back.returncode == 0, back.stderr
    assert screened(service, 3) == (SHIPPED.version, [OLD])
    assert processes(service) == running
    assert_each_study_was_concluded_once(service, stream.accepted)


def assert_each_study_was_concluded_once(service: RunningService, studies: list[str]) -> None:
    """Each by one of the two models, whose threshold its image was held against; beside them the three single ones."""
    wait_until(lambda: set(service.concluded()) >= set(studies), "every study concluded", seconds=120)
    complete = [flag for flag in service.flags() if flag["complete"]]
    assert len(complete) == len(studies) + 3
    assert {flag["status"] for flag in complete} == {"SCREENED"}
    for flag in complete:
        threshold = OLD if flag["model"]["version"] == SHIPPED.version else NEW
        assert [image["threshold_logit"] for image in flag["images"]] == [threshold]


def test_a_host_without_the_files_goes_on_with_the_old_model_and_says_so(
    start_service: StartService, challenger: tuple[Path, ModelCard], tmp_path: Path
) -> None:
    """Its studies are screened, the results name the old model, and `status`, `doctor` and `models list` complain."""
    service = start_service()
    directory, card = challenger
    assert screened(service, 1)[0] == SHIPPED.version
    _put_in_service_elsewhere(tmp_path / "data" / "cxr-triage.sqlite", card)
    assert screened(service, 2)[0] == SHIPPED.version
    assert service.log.read_text().count("model-not-loaded") >= 1
    assert service.json("status")["scored_by_another"]["version"] == SHIPPED.version
    examined = service.run("doctor")
    assert examined.returncode == 1
    assert "cxr-triage models add DIR" in " ".join(examined.stdout.split())
    assert service.json("models", "list")[1]["files"] == "missing"
    added = service.run("models", "add", str(directory))
    assert added.returncode == 0, added.stderr
    assert service.json("models", "list")[1]["files"] == "whole"


def _put_in_service_elsewhere(file: Path, card: ModelCard) -> None:
    database = Database(f"sqlite:///{file}")
    current = champion_in_service(database)
    with database.begin() as session:
        put_in_service(session, reference_of(card), utc_now(), replacing=current, location=CHOSEN, entry=Entry.PROMOTED)
    database.dispose()
