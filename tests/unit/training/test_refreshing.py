"""What makes a refresh a new one, and what is done about a judgement that was cut short."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.labelled import labelled
from tests.models import judgement, write_judgement
from training.config import Phase, Recipe
from training.parts import Parts
from training.refreshing import judged_before, run_name
from worker.model.artifact import ModelCard, default_directory, load_card

RECIPE = Recipe(name="tiny", description="None.", phases=(Phase(size=32, epochs=1),))
FILMS = labelled(np.zeros((2, 2, 2), np.uint8), [0, 1])
PARTS = Parts(training={"new": FILMS}, selection={}, validation={"new": FILMS}, old={})


@pytest.fixture(scope="module")
def champion() -> ModelCard:
    """The shipped card."""
    return load_card(default_directory())


def test_whatever_changes_the_model_or_its_judgement_is_a_new_run(champion: ModelCard) -> None:
    """Corrected labels, other held-out films, another champion, other locked cases, another site."""
    corrected = {"new": replace(FILMS, labels=np.array([1, 0]))}
    names = [
        run_name(RECIPE, PARTS, champion, "a" * 64, "ward7"),
        run_name(RECIPE.model_copy(update={"seed": 8}), PARTS, champion, "a" * 64, "ward7"),
        run_name(RECIPE, replace(PARTS, training=corrected), champion, "a" * 64, "ward7"),
        run_name(RECIPE, replace(PARTS, validation=corrected), champion, "a" * 64, "ward7"),
        run_name(RECIPE, PARTS, champion.model_copy(update={"version": "9.9.9"}), "a" * 64, "ward7"),
        run_name(RECIPE, PARTS, champion, "b" * 64, "ward7"),
        run_name(RECIPE, PARTS, champion, "a" * 64, "ward8"),
    ]
    assert len(set(names)) == len(names)
    assert names[0] == run_name(RECIPE, PARTS, champion, "a" * 64, "ward7")


def test_half_a_judgement_is_none(tmp_path: Path) -> None:
    """A run that was judged is not judged again; one whose judgement is damaged is, and says so."""
    said: list[str] = []
    assert judged_before(tmp_path, said.append) is None
    path = write_judgement(tmp_path / "promotion.json", judgement("a" * 64, "b" * 64))
    assert judged_before(tmp_path, said.append) == judgement("a" * 64, "b" * 64)
    assert said == []
    path.write_bytes(path.read_bytes()[:100])
    assert judged_before(tmp_path, said.append) is None
    assert said == [f"{path} is damaged: judging again"]
