"""A running worker and the model in service, on both kinds of database."""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.models import small_version
from tests.studies import NOW
from worker.champion import InstalledChampion, champion_in_service, put_shipped_model_in_place, reference_of
from worker.errors import ConfigurationError, ModelError
from worker.following import RETRY_SECONDS, Follower
from worker.model.artifact import WEIGHTS_NAME, ModelCard
from worker.repository.model_versions import CHOSEN, Entry, put_in_service
from worker.service import Service


@dataclass
class Loads:
    """Builds workers, which here are versions, and remembers what it built; clock included."""

    seconds: float = 0.0
    versions: list[str] = field(default_factory=list)

    def __call__(self, installed: InstalledChampion) -> str:
        """Build the worker of a model."""
        self.versions.append(installed.card.version)
        return installed.card.version


@pytest.fixture
def loads() -> Loads:
    """The builder."""
    return Loads()


@pytest.fixture
def site(service: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service with the package's model, version 1, in service."""
    small_version(tmp_path / "package", "1")
    for module in ("worker.champion", "worker.model_store"):
        monkeypatch.setattr(f"{module}.default_directory", lambda: tmp_path / "package")
    put_shipped_model_in_place(service().database, NOW)
    return service()


@pytest.fixture
def follower(site: Service, loads: Loads) -> Follower[str]:
    """The follower."""
    return Follower(site, loads, clock=lambda: loads.seconds)


def change(site: Service, directory: Path, version: str, *, here: bool = True) -> ModelCard:
    """Put a version in service; its files are brought to this host or not."""
    card = small_version(directory / version, version)
    if here:
        site.models.install(directory / version)
    current = champion_in_service(site.database)
    with site.database.begin() as session:
        put_in_service(session, reference_of(card), NOW, replacing=current, location=CHOSEN, entry=Entry.PROMOTED)
    return card


def test_a_model_is_loaded_once_and_again_when_another_is_in_service(
    site: Service, follower: Follower[str], loads: Loads, tmp_path: Path
) -> None:
    """Between two batches, not at every one."""
    assert [follower.current(), follower.current()] == ["1", "1"]
    change(site, tmp_path, "2")
    assert [follower.current(), follower.current()] == ["2", "2"]
    assert loads.versions == ["1", "2"]


def test_a_worker_goes_on_with_the_old_model_until_its_host_has_the_new_one(
    site: Service, follower: Follower[str], loads: Loads, tmp_path: Path
) -> None:
    """One error line names both; once the files are there, it changes without a restart."""
    follower.current()
    with capture_logs() as logs:
        card = change(site, tmp_path, "2", here=False)
        for _ in range(3):
            assert follower.current() == "1"
            loads.seconds += RETRY_SECONDS + 1
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert (line["event"], line["version"], line["goes_on_with"]) == ("model-not-loaded", "2", "1")
    assert "models add" in line["error"]
    site.models.install(tmp_path / "2")
    assert follower.current() == "2"
    assert card.version == loads.versions[-1]


def test_files_that_cannot_be_loaded_are_not_read_at_every_batch(
    site: Service, follower: Follower[str], loads: Loads, tmp_path: Path
) -> None:
    """Work goes on in between."""
    follower.current()
    change(site, tmp_path, "2", here=False)
    assert follower.current() == "1"
    site.models.install(tmp_path / "2")
    loads.seconds += RETRY_SECONDS - 1
    assert follower.current() == "1"
    loads.seconds += 2
    assert follower.current() == "2"


def test_a_further_change_is_taken_up_at_once(site: Service, follower: Follower[str], tmp_path: Path) -> None:
    """The wait is for the model that could not be loaded, not for its successor."""
    follower.current()
    change(site, tmp_path, "2", here=False)
    assert follower.current() == "1"
    change(site, tmp_path, "3")
    assert follower.current() == "3"


def test_a_worker_that_starts_takes_the_last_model_that_its_host_has(
    site: Service, follower: Follower[str], tmp_path: Path
) -> None:
    """The host was started again while its copy of the model in service is damaged."""
    change(site, tmp_path, "2")
    card = change(site, tmp_path, "3")
    (site.settings.models_dir / card.sha256 / WEIGHTS_NAME).write_bytes(b"other")
    with capture_logs() as logs:
        assert follower.current() == "2"
    assert ("model-not-loaded", "3", "2") in [(x["event"], x["version"], x.get("goes_on_with")) for x in logs]


def test_a_worker_that_can_load_no_model_says_why(
    site: Service, follower: Follower[str], loads: Loads, tmp_path: Path
) -> None:
    """The reason is that of the model in service."""
    (tmp_path / "package" / WEIGHTS_NAME).write_bytes(b"other")
    change(site, tmp_path, "2", here=False)
    with pytest.raises(ConfigurationError, match="models add"):
        follower.current()
    assert loads.versions == []


def roll_back(site: Service, to: ModelCard) -> None:
    """Put the model before back, as an operator does on another host."""
    current, reference = champion_in_service(site.database), reference_of(to)
    with site.database.begin() as session:
        put_in_service(session, reference, NOW, replacing=current, location=CHOSEN, entry=Entry.ROLLED_BACK)


def errors(logs: list[MutableMapping[str, Any]]) -> list[tuple[str, str]]:
    """What could not be loaded, and what is gone on with, in the order of the complaints."""
    return [(line["version"], line["goes_on_with"]) for line in logs if line["event"] == "model-not-loaded"]


def test_a_model_that_was_rolled_back_scores_no_longer_where_an_earlier_one_can_be_loaded(
    site: Service, follower: Follower[str], loads: Loads, tmp_path: Path
) -> None:
    """This host has no files of the model that was put back, but of the one before it: it is tried until it has."""
    second = change(site, tmp_path, "2", here=False)
    change(site, tmp_path, "3")
    assert follower.current() == "3"
    roll_back(site, second)
    with capture_logs() as logs:
        assert [follower.current(), follower.current()] == ["1", "1"]
        loads.seconds += RETRY_SECONDS + 1
        assert follower.current() == "1"
    assert errors(logs) == [("2", "1")]
    assert loads.versions == ["3", "1"]
    site.models.install(tmp_path / "2")
    loads.seconds += RETRY_SECONDS + 1
    assert follower.current() == "2"


def test_a_model_that_was_rolled_back_scores_on_where_no_other_can_be_loaded(
    site: Service, follower: Follower[str], loads: Loads, tmp_path: Path
) -> None:
    """To miss a sick patient is worst; an error line says what goes on, until another one is there."""
    second = change(site, tmp_path, "2", here=False)
    change(site, tmp_path, "3")
    assert follower.current() == "3"
    whole = (tmp_path / "package" / WEIGHTS_NAME).read_bytes()
    (tmp_path / "package" / WEIGHTS_NAME).write_bytes(b"other")
    roll_back(site, second)
    with capture_logs() as logs:
        assert [follower.current(), follower.current()] == ["3", "3"]
        (tmp_path / "package" / WEIGHTS_NAME).write_bytes(whole)
        loads.seconds += RETRY_SECONDS + 1
        assert follower.current() == "1"
    assert errors(logs) == [("2", "3"), ("2", "1")]


def test_a_model_that_fails_when_it_is_built_is_not_taken_up(site: Service, tmp_path: Path) -> None:
    """Its files are whole, but its answer is wrong on this host."""

    def build(installed: InstalledChampion) -> str:
        if installed.card.version == "2":
            raise ModelError("answers its self test with 3.000")
        return installed.card.version

    follower = Follower(site, build)
    follower.current()
    change(site, tmp_path, "2")
    assert follower.current() == "1"
