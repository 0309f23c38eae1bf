"""Recipes: what ships is readable, what is wrong is named."""

import pytest
from pydantic import ValidationError

from training.config import Phase, Recipe, load_recipe, recipe_names
from training.errors import RecipeError


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_can_be_read(name: str) -> None:
    """No recipe ships with a spelling mistake."""
    assert load_recipe(name).epochs > 0


def test_an_unknown_recipe_lists_the_known_ones() -> None:
    """The message names what there is."""
    with pytest.raises(RecipeError, match="champion"):
        load_recipe("chamption")


def test_an_unknown_key_is_refused() -> None:
    """A misspelt key is not silently a default."""
    with pytest.raises(ValidationError, match="lerning_rate"):
        Recipe.model_validate(
            {"name": "x", "description": "", "phases": [{"size": 32, "epochs": 1}], "lerning_rate": 1}
        )


def test_who_selects_needs_films_for_it() -> None:
    """Early stopping on the films that certify would spoil the certificate."""
    with pytest.raises(ValidationError, match="selection_share"):
        Recipe(name="x", description="", phases=(Phase(size=32, epochs=1),), early_stopping=2)


@pytest.mark.parametrize("name", recipe_names())
def test_a_smoke_run_is_short(name: str) -> None:
    """A few epochs on small pictures, in as many phases as the recipe has, on a card that says so."""
    recipe, smoke = load_recipe(name), load_recipe(name).smoke()
    assert smoke.epochs <= 4
    assert len(smoke.phases) == len(recipe.phases)
    assert max(phase.size for phase in smoke.phases) <= 64
    assert "smoke" in smoke.card.description


def test_words_do_not_change_the_identity() -> None:
    """A checkpoint survives a better description, and no other learning rate."""
    recipe = Recipe(name="x", description="", phases=(Phase(size=32, epochs=2),))
    assert recipe.model_copy(update={"description": "better"}).identity == recipe.identity
    assert recipe.model_copy(update={"learning_rate": 0.5}).identity != recipe.identity
