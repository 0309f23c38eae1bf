"""The films of a run: whom they are of, who stays out, and what makes two runs the same."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.labelled import labelled
from training.config import Phase, Recipe
from training.errors import DataError
from training.parts import Parts, read_parts

RECIPE = Recipe(name="tiny", description="None.", seed=7, phases=(Phase(size=32, epochs=1),), validation_share=0.4)
PIXELS = np.zeros((1, 2, 2), np.uint8)


def _silent(_name: str, _total: int) -> nullcontext[Callable[[], None]]:
    return nullcontext(lambda: None)


def _manifest(folder: Path, patients: range, first: int = 0) -> Path:
    """A film each of these patients, sick and well in turn; the pictures are numbered from `first`."""
    folder.mkdir(exist_ok=True)
    rows = ["path,label,patient"]
    for number, patient in enumerate(patients, first):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"film{number}.png")
        rows.append(f"film{number}.png,{patient % 2},p{patient}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"


def _read(data: list[Path], kept_out: list[Path], **changes: object) -> Parts:
    return read_parts(data, kept_out, RECIPE.model_copy(update=changes), str, _silent)


def _patients(parts: Parts) -> set[str]:
    kinds = (parts.training, parts.selection, parts.validation, parts.old)
    return {patient for kind in kinds for films in kind.values() for patient in films.patients.tolist()}


@pytest.mark.parametrize("broken", [False, True])
def test_a_kept_out_patient_of_another_manifest_is_in_no_part(tmp_path: Path, *, broken: bool) -> None:
    """Other films of the same patients stay out, even where the kept-out film itself cannot be read."""
    new = _manifest(tmp_path / "new", range(40))
    locked = _manifest(tmp_path / "locked", range(10), first=100)
    if broken:
        (tmp_path / "locked/film103.png").write_bytes(b"no image")
    assert _patients(_read([new], [locked])) == {f"stated/p{patient}" for patient in range(10, 40)}


def test_a_picture_with_both_labels_teaches_nothing(tmp_path: Path) -> None:
    """Both are left out and named: one label is wrong, and nobody knows which."""
    manifest = _manifest(tmp_path / "new", range(40))
    with manifest.open("a") as rows:
        rows.write("film3.png,0,p99\n")
    said: list[str] = []
    parts = read_parts([manifest], [], RECIPE, said.append, _silent)
    names = {name for kind in (parts.training, parts.validation) for name in kind["new"].names.tolist()}
    assert "new/film3.png" not in names
    assert len(names) == 39
    assert said == ["left out, the same picture carries both labels: new/film3.png"] * 2


def test_new_films_of_which_none_is_left_are_one_clear_error(tmp_path: Path) -> None:
    """Old films alone are no continued run; the message names the set that is empty."""
    new, old = _manifest(tmp_path / "new", range(2)), _manifest(tmp_path / "old", range(10, 50), first=50)
    with pytest.raises(DataError, match="no film of new is left for training"):
        read_parts([new], [new], RECIPE, str, _silent, old=[old])


@pytest.fixture
def parts() -> Parts:
    """One film for each use."""
    uses = ("training", "selection", "validation", "old")
    return Parts(**{use: {"drawn": labelled(PIXELS, [0], patients=["p"], hashes=[use])} for use in uses})


@pytest.mark.parametrize("use", ["training", "selection", "validation", "old"])
@pytest.mark.parametrize("change", [{"labels": np.array([1])}, {"patients": np.array(["q"])}])
def test_other_labels_or_patients_are_another_run(parts: Parts, use: str, change: dict[str, Any]) -> None:
    """A run does not go on, and is not taken for done, where a table was corrected; the pictures are the same."""
    before = getattr(parts, use)["drawn"]
    changed = {"drawn": replace(before, **change)}
    assert replace(parts, **{use: changed}).sha256 != parts.sha256
    assert changed["drawn"].sha256 == before.sha256


def test_a_film_of_another_use_is_another_run(parts: Parts) -> None:
    """What was learned from and now chooses the threshold makes another model."""
    assert replace(parts, training=parts.validation, validation=parts.training).sha256 != parts.sha256


def test_the_order_of_the_films_is_no_other_run() -> None:
    """The order of a folder's listing changes nothing, neither for a run nor for the cases of a judgement."""
    films = labelled(np.zeros((3, 2, 2), np.uint8), [0, 1, 1])
    turned = films.take([2, 0, 1])
    runs = [Parts({"drawn": part}, {}, {}, {}) for part in (films, turned)]
    assert runs[0].sha256 == runs[1].sha256
    assert films.cases_sha256 == turned.cases_sha256 != replace(films, labels=np.array([0, 0, 1])).cases_sha256
