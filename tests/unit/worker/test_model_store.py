"""The files of the site's own models: whole, or refused with what to do."""

import shutil
from pathlib import Path

import pytest

from tests.models import real_version, small_version
from worker.champion import reference_of
from worker.errors import ConfigurationError, ModelError
from worker.model.artifact import SCOPE_NAME, WEIGHTS_NAME, default_directory, load_card
from worker.model_store import ModelStore


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """An empty store."""
    return ModelStore(tmp_path / "data" / "models")


def test_an_installed_model_outlives_its_source(store: ModelStore, tmp_path: Path) -> None:
    """It is found by its identity after the directory that it came from is gone; nothing else is left behind."""
    card = small_version(tmp_path / "source", "2")
    store.install(tmp_path / "source")
    shutil.rmtree(tmp_path / "source")
    assert store.find(reference_of(card)).directory == store.root / card.sha256
    assert [path.name for path in store.root.iterdir()] == [card.sha256]


def test_links_are_copied_as_files(store: ModelStore, tmp_path: Path) -> None:
    """A directory of links into another one is whole after that other one has gone."""
    card = real_version(tmp_path / "source", "2")
    assert not (store.install(tmp_path / "source").directory / WEIGHTS_NAME).is_symlink()
    assert store.find(reference_of(card)).card == card


@pytest.mark.parametrize("name", [WEIGHTS_NAME, SCOPE_NAME])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_file_is_found_and_mended_by_a_whole_copy(
    store: ModelStore, tmp_path: Path, name: str, damage: str
) -> None:
    """Changed or gone, it is refused by name; installing again mends it."""
    card = small_version(tmp_path / "source", "2")
    file = store.install(tmp_path / "source").directory / name
    file.write_bytes(b"other") if damage == "changed" else file.unlink()
    with pytest.raises(ModelError, match=name):
        store.find(reference_of(card))
    store.install(tmp_path / "source")
    assert store.find(reference_of(card)).card == card
    assert [path.name for path in store.root.iterdir()] == [card.sha256]


def test_a_damaged_source_is_not_installed(store: ModelStore, tmp_path: Path) -> None:
    """Nothing lies in the store afterwards."""
    small_version(tmp_path / "source", "2")
    (tmp_path / "source" / SCOPE_NAME).write_bytes(b"other")
    with pytest.raises(ModelError, match="not the file that the card names"):
        store.install(tmp_path / "source")
    assert not store.root.exists()


def test_a_model_of_another_name_in_its_place_is_refused(store: ModelStore, tmp_path: Path) -> None:
    """A folder that was renamed by hand is not taken for the model whose name it has."""
    wanted, other = small_version(tmp_path / "a", "2"), small_version(tmp_path / "b", "3")
    store.install(tmp_path / "b").directory.rename(store.root / wanted.sha256)
    assert other.sha256 != wanted.sha256
    with pytest.raises(ModelError, match="holds another model"):
        store.find(reference_of(wanted))


def test_a_host_without_the_files_says_what_to_do(store: ModelStore, tmp_path: Path) -> None:
    """The model is named, and the command that brings it here."""
    card = small_version(tmp_path / "source", "2.5")
    with pytest.raises(ConfigurationError, match=r"resnet50 2\.5 .*cxr-triage models add DIR"):
        store.find(reference_of(card))


def test_the_shipped_model_is_found_in_the_package_and_can_be_kept(store: ModelStore) -> None:
    """It needs no copy, and gets one when it must outlive the package's next version."""
    shipped = store.find(reference_of(load_card(default_directory())))
    assert shipped.directory == default_directory()
    assert store.install(default_directory()).directory == default_directory()
    assert not store.root.exists()
    store.keep(shipped)
    assert load_card(store.root / shipped.card.sha256) == shipped.card
