"""Random changes stay inside their ranges, repeat with their seed, and mirror only where they are told to."""

import pytest
import torch

from training.augmentation import augment, resize
from training.config import AugmentationSettings, load_recipe

NONE = AugmentationSettings()
ALL = load_recipe("champion").augmentation


@pytest.fixture
def films() -> torch.Tensor:
    """Four films of smooth noise, uint8 (4, 64, 64)."""
    dice = torch.Generator().manual_seed(0)
    coarse = torch.rand((4, 1, 8, 8), generator=dice)
    return (torch.nn.functional.interpolate(coarse, (64, 64), mode="bilinear")[:, 0] * 255).to(torch.uint8)


def _augment(films: torch.Tensor, settings: AugmentationSettings, seed: int = 1) -> torch.Tensor:
    return augment(films, 64, settings, torch.Generator().manual_seed(seed))


def test_without_ranges_nothing_changes(films: torch.Tensor) -> None:
    """With every range closed the film comes through, but for its edge, which fades into the black around it."""
    inside = (slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(_augment(films, NONE)[inside], films[inside].float() / 255, atol=0.03, rtol=0)


def test_the_same_seed_gives_the_same_pictures_and_another_others(films: torch.Tensor) -> None:
    """All randomness comes from the given generator."""
    settings = ALL
    assert torch.equal(_augment(films, settings), _augment(films, settings))
    assert not torch.equal(_augment(films, settings), _augment(films, settings, seed=2))


def test_results_are_grey_levels_and_the_film_is_untouched(films: torch.Tensor) -> None:
    """Every value lies in [0, 1], and the cached film keeps its bytes."""
    before = films.clone()
    result = _augment(films, ALL)
    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.equal(films, before)


def test_no_film_is_mirrored() -> None:
    """Over 200 draws with all changes on, the bright side stays on its side."""
    film = torch.zeros((200, 64, 64), dtype=torch.uint8)
    film[:, :, 32:] = 200
    result = _augment(film, ALL.model_copy(update={"crop_area": (0.8, 1.0)}))
    assert (result[:, :, 48:].mean(dim=(1, 2)) > result[:, :, :16].mean(dim=(1, 2))).all()


def test_a_cut_enlarges_a_part(films: torch.Tensor) -> None:
    """A quarter of the area, cut and enlarged, has half the detail per pixel."""
    whole = _augment(films, NONE).diff(dim=2).abs().mean()
    cut = _augment(films, NONE.model_copy(update={"crop_area": (0.25, 0.25)})).diff(dim=2).abs().mean()
    assert cut < 0.75 * whole


def test_a_recipe_may_mirror() -> None:
    """With a share of one half about half of the films have their bright side on the other side."""
    film = torch.zeros((200, 64, 64), dtype=torch.uint8)
    film[:, :, 32:] = 200
    result = _augment(film, NONE.model_copy(update={"mirror_share": 0.5}))
    mirrored = (result[:, :, 48:].mean(dim=(1, 2)) < result[:, :, :16].mean(dim=(1, 2))).sum()
    assert 70 <= mirrored <= 130


def test_a_shift_moves_the_film_by_its_share() -> None:
    """The edge of a half-bright film wanders by up to a tenth of the side, either way."""
    film = torch.zeros((200, 64, 64), dtype=torch.uint8)
    film[:, :, 32:] = 255
    dark = (_augment(film, NONE.model_copy(update={"translation": 0.1}))[:, 32, 7:57] < 0.5).sum(dim=1) + 7
    assert dark.min() >= 32 - 7
    assert dark.max() <= 32 + 7
    assert dark.max() - dark.min() >= 8


def test_films_become_softer_and_sharper(films: torch.Tensor) -> None:
    """A step between two greys loses contrast in some draws and overshoots in others; an even film stays as it is."""
    film = torch.full((100, 64, 64), 80, dtype=torch.uint8)
    film[:, :, 32:] = 160
    result = _augment(film, NONE.model_copy(update={"sharpness": 0.8}))[:, 32] * 255
    assert (result[:, 32] - result[:, 31]).min() < 60
    assert result[:, 32:36].max() > 165
    torch.testing.assert_close(result[:, 10], torch.full((100,), 80.0))


def test_grain_is_no_stronger_than_asked_for() -> None:
    """The standard deviation of an even grey film stays below the limit, and comes near it."""
    film = torch.full((100, 64, 64), 128, dtype=torch.uint8)
    spread = _augment(film, NONE.model_copy(update={"noise": 0.03}))[:, 8:-8, 8:-8].std(dim=(1, 2))
    assert 0.025 < spread.max() < 0.032


def test_shrinking_is_the_area_average() -> None:
    """Each pixel of the small film is the mean of those it covers."""
    film = torch.tensor([[[0, 255], [255, 255]]], dtype=torch.uint8)
    torch.testing.assert_close(resize(film, 1), torch.tensor([[[0.75]]]))
