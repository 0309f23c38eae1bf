"""The audit finds what was hidden in the data on purpose, and nothing in clean data."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.labelled import labelled
from training import cli
from training.auditing import Audit, audit, thumbnails
from training.datasets import find_parts
from training.films import Films

SIDE = 32


def _films(pixels: np.ndarray, labels: list[int], patients: list[str]) -> Films:
    return labelled(pixels, labels, patients=patients, hashes=[str(hash(film.tobytes())) for film in pixels])


@pytest.fixture
def clean() -> Films:
    """Eight different films of eight patients, four of each class, in no order that helps."""
    pixels = np.random.default_rng(1).integers(0, 256, (8, SIDE, SIDE), dtype=np.uint8)
    return _films(pixels, [0, 1, 0, 1, 0, 1, 0, 1], [f"p{row}" for row in range(8)])


def _audit(films: Films, parts: str = "aaaabbbb") -> Audit:
    return audit(films, np.array(list(parts)), {"brightness": films.pixels.mean(axis=(1, 2))})


def test_clean_data_give_no_finding(clean: Films) -> None:
    """Nothing is found where nothing is hidden."""
    found = _audit(clean)
    assert found.films == {"a": 4, "b": 4}
    assert (found.patients_in_several_parts, found.pictures_in_several_parts, found.identical_pictures) == ([], 0, 0)
    assert (found.label_conflicts, found.near_duplicates) == ([], [])


def test_a_patient_in_two_parts_is_found(clean: Films) -> None:
    """The same patient key on both sides is named."""
    clean.patients[7] = "p0"
    assert _audit(clean).patients_in_several_parts == ["p0"]


def test_an_identical_picture_in_two_parts_is_found_and_joins_its_patients(clean: Films) -> None:
    """Copies under two patients are a leak of both, and a label conflict where the labels differ."""
    clean.pixels[7], clean.hashes[7] = clean.pixels[0], clean.hashes[0]
    found = _audit(clean)
    assert (found.pictures_in_several_parts, found.patients_in_several_parts) == (1, ["p0"])
    assert found.label_conflicts == [["film0", "film7"]]
    assert found.near_duplicates == []  # they are one patient now


def test_a_film_stored_anew_is_a_near_duplicate(clean: Films) -> None:
    """A copy that is one grey level brighter has another hash and is found all the same."""
    clean.pixels[6] = np.clip(clean.pixels[1].astype(int) + 1, 0, 255)
    assert _audit(clean).near_duplicates == [("film1", "film6")]


def test_a_shortcut_shows_in_the_floor(clean: Films) -> None:
    """Where brightness alone tells the classes apart, in whichever direction, its AUC is 1."""
    clean.pixels[clean.labels == 1] //= 4
    found = _audit(clean)
    assert found.floor["brightness"] == 1
    assert found.nearest_neighbour == 1


def test_without_parts_there_is_no_neighbour_to_ask(clean: Films) -> None:
    """One part alone has no other to be compared with."""
    assert _audit(clean, "aaaaaaaa").nearest_neighbour is None


def test_a_thumbnail_is_the_mean_of_its_blocks() -> None:
    """Each of the 256 numbers is an average of 2 x 2 pixels here."""
    film = np.arange(SIDE * SIDE, dtype=np.uint16).astype(np.uint8).reshape(1, SIDE, SIDE)
    assert thumbnails(film)[0, 0] == film[0, :2, :2].mean()


def test_the_command_reads_the_parts_and_writes_the_audit(tmp_path: Path) -> None:
    """Folders per part are compared; the same file in two parts is told and written down."""
    dice = np.random.default_rng(2)
    for name in ("train/NORMAL/a.png", "train/PNEUMONIA/b.png", "val/NORMAL/c.png", "val/PNEUMONIA/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dice.integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "val/NORMAL/c.png").write_bytes((tmp_path / "train/NORMAL/a.png").read_bytes())
    (tmp_path / "val/NORMAL/a.png").write_bytes(b"no image")
    result = CliRunner().invoke(cli.app, ["audit", "--data", str(tmp_path), "--output", str(tmp_path / "audit.json")])
    assert result.exit_code == 0, result.output
    assert "identical pictures: 1 groups, 1 in several parts" in result.stdout
    assert "NORMAL/a.png" in result.stderr
    assert json.loads((tmp_path / "audit.json").read_text())["films"] == {"train": 2, "val": 2}


def test_parts_of_manifests_and_archives(tmp_path: Path) -> None:
    """The split column, or the arrays' names, divide the data."""
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("path,label,split\na.png,1,train\na.png,0,test\n")
    films = np.zeros((1, 28, 28), np.uint8)
    np.savez(tmp_path / "s.npz", val_images=films, val_labels=[1], test_images=films, test_labels=[0])
    assert {part: len(cases) for part, cases in find_parts(tmp_path / "m.csv").items()} == {"train": 1, "test": 1}
    assert {part: len(cases) for part, cases in find_parts(tmp_path / "s.npz").items()} == {"val": 1, "test": 1}
