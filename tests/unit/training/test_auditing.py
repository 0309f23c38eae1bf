"""The audit finds what was hidden in the data on purpose, and nothing in clean data."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.labelled import labelled
from training import cli
from training.auditing import Audit, audit, audit_parts
from training.datasets import find_all_parts, find_parts
from training.errors import DataError
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
    return audit(films, np.array(list(parts)))


def test_clean_data_give_no_finding(clean: Films) -> None:
    """Nothing is found where nothing is hidden."""
    found = _audit(clean)
    assert (found.films, found.positives) == ({"a": 4, "b": 4}, {"a": 2, "b": 2})
    assert (found.patients_in_several_parts, found.pictures_in_several_parts, found.identical_pictures) == ([], 0, [])
    assert (found.label_conflicts, found.near_duplicates, found.unreadable) == ([], [], [])


def test_a_patient_in_two_parts_is_found(clean: Films) -> None:
    """The same patient key on both sides is named."""
    clean.patients[7] = "p0"
    assert _audit(clean).patients_in_several_parts == ["p0"]


def test_an_identical_picture_in_two_parts_is_found_and_joins_its_patients(clean: Films) -> None:
    """Copies under two patients are a leak of both, and a label conflict where the labels differ."""
    clean.pixels[7], clean.hashes[7] = clean.pixels[0], clean.hashes[0]
    found = _audit(clean)
    assert (found.pictures_in_several_parts, found.patients_in_several_parts) == (1, ["p0"])
    assert found.identical_pictures == found.label_conflicts == [["film0", "film7"]]
    assert found.near_duplicates == []  # they are one patient now


def test_a_film_stored_anew_is_a_near_duplicate(clean: Films) -> None:
    """A brighter copy has another hash and is found all the same; in one part it is no leak."""
    clean.pixels[6] = clean.pixels[5] // 2 + 60
    found = _audit(clean)
    assert (found.near_duplicates, found.near_duplicates_in_several_parts) == ([("film5", "film6")], 0)
    assert _audit(clean, "aaaaaabb").near_duplicates_in_several_parts == 1


def test_shortcuts_are_measured_over_all_parts() -> None:
    """Where brightness alone tells the classes apart, its AUC is 1, and so is that of the nearest thumbnail."""
    dice = np.random.default_rng(3)
    bright = dice.integers(0, 50, (40, SIDE, SIDE), dtype=np.uint8)
    bright[::2] += 200
    found = _audit(_films(bright, [1, 0] * 20, [f"p{row}" for row in range(40)]), "a" * 40)
    assert found.floor.areas["mean grey level"] == found.floor.areas["nearest thumbnail"] == 1


def test_the_command_reads_the_parts_and_writes_the_audit(tmp_path: Path) -> None:
    """Folders per part are compared; the same file in two parts is told and written down, and so is a broken one."""
    dice = np.random.default_rng(2)
    for name in ("train/NORMAL/a.png", "train/PNEUMONIA/b.png", "val/NORMAL/c.png", "val/PNEUMONIA/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dice.integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "val/NORMAL/c.png").write_bytes((tmp_path / "train/NORMAL/a.png").read_bytes())
    (tmp_path / "val/NORMAL/a.png").write_bytes(b"no image")
    result = CliRunner().invoke(cli.app, ["audit", "--data", str(tmp_path), "--output", str(tmp_path / "audit.json")])
    assert result.exit_code == 0, result.output
    assert "patients in several parts: 1\n" in result.stdout  # not that of b.png, which is another film in each part
    assert "identical pictures: 1 groups, 1 in several parts" in result.stdout
    assert "val/NORMAL/a.png" in result.stderr
    written = json.loads((tmp_path / "audit.json").read_text())
    assert written["films"] == {"train": 2, "val": 2}
    assert [film["name"] for film in written["unreadable"]] == ["val/NORMAL/a.png"]
    assert written["identical_pictures"] == [["train/NORMAL/a.png", "val/NORMAL/c.png"]]


def test_parts_of_manifests_and_archives(tmp_path: Path) -> None:
    """The split column, or the arrays' names, divide the data."""
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("path,label,split\na.png,1,train\na.png,0,test\n")
    films = np.zeros((1, 28, 28), np.uint8)
    np.savez(tmp_path / "s.npz", val_images=films, val_labels=[1], test_images=films, test_labels=[0])
    assert {part: len(cases) for part, cases in find_parts(tmp_path / "m.csv").items()} == {"train": 1, "test": 1}
    assert {part: len(cases) for part, cases in find_parts(tmp_path / "s.npz").items()} == {"val": 1, "test": 1}


def test_the_audit_of_a_manifest_lists_every_patient_in_two_parts(tmp_path: Path) -> None:
    """What stops a training run is what the audit is there to find."""
    dice = np.random.default_rng(5)
    for name in "abcdef":
        Image.fromarray(dice.integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    rows = ("a,0,1,train", "b,1,2,train", "c,0,3,train", "d,0,1,test", "e,1,2,test", "f,1,4,test")
    lines = (f"{name}.png,{rest}" for name, _, rest in (row.partition(",") for row in rows))
    (tmp_path / "m.csv").write_text("\n".join(("path,label,patient,split", *lines)))
    found = audit_parts(find_all_parts([tmp_path / "m.csv"]))
    assert found.films == {"train": 3, "test": 3}
    assert found.patients_in_several_parts == ["stated/1", "stated/2"]


def test_several_data_sets_are_compared(tmp_path: Path) -> None:
    """A film of one set in the other is found; equal names alone make no common patient, and equal sets no sense."""
    dice = np.random.default_rng(6)
    for name in ("one/NORMAL/1.png", "one/PNEUMONIA/2.png", "two/NORMAL/1.png", "two/PNEUMONIA/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(dice.integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "two/PNEUMONIA/3.png").write_bytes((tmp_path / "one/PNEUMONIA/2.png").read_bytes())
    found = audit_parts(find_all_parts([tmp_path / "one", tmp_path / "two"]))
    assert found.films == {"one/all": 2, "two/all": 3}
    assert found.identical_pictures == [["one/all/PNEUMONIA/2.png", "two/all/PNEUMONIA/3.png"]]
    assert found.patients_in_several_parts == ["one/file/PNEUMONIA/2.png"]
    with pytest.raises(DataError, match="same folder name"):
        find_all_parts([tmp_path / "one", tmp_path / "one"])
