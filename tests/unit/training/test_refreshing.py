"""Which judgement of an earlier night still holds."""

from pathlib import Path

import numpy as np
from PIL import Image

from dicom_io.phantom import draw
from tests.models import judgement, write_judgement
from training.judging import locked_films
from training.refreshing import _judgement
from worker.model.input_spec import InputSpec


def test_only_a_whole_judgement_on_the_same_locked_cases_holds(tmp_path: Path) -> None:
    """Nothing there, half a file and a verdict on other cases all mean: judge again."""
    for seed, label in enumerate(("NORMAL", "PNEUMONIA")):
        (tmp_path / "locked" / label).mkdir(parents=True)
        film = (draw(seed, opacity=seed == 1, rows=48, columns=48) >> 4).astype(np.uint8)
        Image.fromarray(film).save(tmp_path / "locked" / label / "film.png")
    locked, file = tmp_path / "locked", tmp_path / "promotion.json"
    assert _judgement(file, locked) is None
    file.write_text("{")
    assert _judgement(file, locked) is None
    write_judgement(file, judgement("a" * 64, "b" * 64))
    assert _judgement(file, locked) is None
    same = judgement("a" * 64, "b" * 64, cases_sha256=locked_films(locked, InputSpec()).sha256)
    assert _judgement(write_judgement(file, same), locked) == same
