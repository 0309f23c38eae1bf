"""Where a run stands and how fast it learns follow from its history alone."""

from collections.abc import Sequence

import pytest
import torch

from training.config import Phase, Recipe
from training.schedule import Place, Row, learning_rate, next_place

TWO_PHASES = (Phase(size=32, epochs=4, learning_rate=1e-2), Phase(size=64, epochs=2, learning_rate=1e-3))


def _recipe(**values: object) -> Recipe:
    return Recipe.model_validate({"name": "x", "description": "", "phases": TWO_PHASES, **values})


def _rows(*losses: float, phase: int = 0) -> list[Row]:
    return [{"phase": phase, "selection_loss": loss} for loss in losses]


def test_epochs_follow_one_another_through_the_phases() -> None:
    """Each row moves the run on by one; after the last epoch of the last phase there is no next."""
    recipe, history, seen = _recipe(), _rows(), []
    while (place := next_place(recipe, history)) is not None:
        seen.append((place.phase, place.epoch))
        history.append({"phase": place.phase, "selection_loss": 1.0})
    assert seen == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [((3, 2, 1), Place(0, 3)), ((1, 2, 3), Place(1, 0)), ((1, 2, 0.5), Place(0, 3)), ((1, 1, 1), Place(1, 0))],
)
def test_a_phase_that_stalls_ends_early(losses: Sequence[float], expected: Place) -> None:
    """Two epochs without a lower loss end the phase, not the run."""
    recipe = _recipe(early_stopping=2, selection_share=0.1)
    assert next_place(recipe, _rows(*losses)) == expected


def test_one_cycle_rises_and_falls_over_all_phases() -> None:
    """Nearly nothing at first, the phase's own highest after the warm-up, nearly nothing at the end."""
    recipe = _recipe(schedule="one-cycle", warmup=0.5, phases=(Phase(size=32, epochs=2), Phase(size=64, epochs=2)))
    rates = [
        learning_rate(recipe, Place(*place), within, []) for place, within in (((0, 0), 0), ((1, 0), 0), ((1, 1), 1))
    ]
    assert rates == pytest.approx([1e-6, 1e-3, 1e-6])


def test_cosine_falls_within_each_phase() -> None:
    """Each phase begins with its own rate and is at half of it in its middle."""
    recipe = _recipe(schedule="cosine")
    rates = [learning_rate(recipe, place, 0, []) for place in (Place(0, 0), Place(0, 2), Place(1, 0), Place(1, 1))]
    assert rates == pytest.approx([1e-2, 5e-3, 1e-3, 5e-4])


def test_a_constant_rate_is_the_phases_own() -> None:
    """Nothing changes it but the phase."""
    recipe = _recipe(schedule="constant")
    assert [learning_rate(recipe, Place(phase, 1), 0.5, []) for phase in (0, 1)] == [1e-2, 1e-3]


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateaus_are_counted_as_torch_counts_them(patience: int) -> None:
    """Over a ragged course of losses the rate is that of torch's own ReduceLROnPlateau after every epoch."""
    losses = torch.rand(40, generator=torch.Generator().manual_seed(patience)).mul(0.2).add(0.9).tolist()
    recipe = _recipe(
        schedule="plateau", plateau_patience=patience, plateau_factor=0.5, selection_share=0.1,
        phases=(Phase(size=32, epochs=50),),
    )  # fmt: skip
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, min_lr=0, eps=0)
    for done in range(1, len(losses) + 1):
        theirs.step(losses[done - 1])
        ours = learning_rate(recipe, Place(0, done), 0, _rows(*losses[:done]))
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"])
