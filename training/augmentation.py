"""Random changes of prepared films, after the preparation and never instead of it."""

import io
import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from training.config import AugmentationSettings

_SUPERSAMPLED_UP_TO = 112  # smaller pictures are sampled twice as fine and averaged, against aliasing


def augment(pixels: Tensor, size: int, settings: AugmentationSettings, dice: torch.Generator) -> Tensor:
    """Draw a random variant of every film.

    Args:
        pixels: prepared films, uint8 (N, S, S).
        size: side of the result, pixels.
        settings: ranges of the changes.
        dice: source of all randomness; the same state gives the same pictures.

    Returns:
        float32 (N, size, size) in [0, 1].
    """
    grey = _recompress(pixels, settings, dice).float() / 255
    sharp = _sharpen(_stretch(grey, settings, dice), settings, dice)
    return _add_noise(_grade(_cut(sharp, size, settings, dice), settings, dice), settings, dice)


def resize(pixels: Tensor, size: int) -> Tensor:
    """Shrink prepared films by area average: uint8 (N, S, S) to float32 (N, size, size) in [0, 1]."""
    grey = pixels.float() / 255
    return grey if pixels.shape[-1] == size else functional.interpolate(grey[:, None], (size, size), mode="area")[:, 0]


def _recompress(pixels: Tensor, settings: AugmentationSettings, dice: torch.Generator) -> Tensor:
    result = pixels.clone()
    low, high = settings.jpeg_quality
    qualities = torch.randint(low, high + 1, (len(pixels),), generator=dice)
    chosen = torch.rand(len(pixels), generator=dice) < settings.jpeg_share
    for index in torch.nonzero(chosen).flatten().tolist():
        result[index] = torch.from_numpy(_jpeg(result[index].numpy(), int(qualities[index])))
    return result


def _jpeg(
    film: np.ndarray[tuple[int, int], np.dtype[np.uint8]], quality: int
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    buffer = io.BytesIO()
    Image.fromarray(film).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def _stretch(grey: Tensor, settings: AugmentationSettings, dice: torch.Generator) -> Tensor:
    sample = grey.flatten(1)[:, ::7]
    chosen = torch.rand(len(grey), generator=dice) < settings.stretch_share
    black = torch.where(chosen, torch.quantile(sample, 0.005, dim=1), 0.0)[:, None, None]
    white = torch.where(chosen, torch.quantile(sample, 0.995, dim=1), 1.0)[:, None, None]
    return ((grey - black) / (white - black).clamp_min(0.05)).clamp(0, 1)


def _sharpen(grey: Tensor, settings: AugmentationSettings, dice: torch.Generator) -> Tensor:
    """Blur or sharpen each picture: a blend with, or away from, its binomially blurred self."""
    blurred = functional.pad(grey[:, None], (2, 2, 2, 2), mode="reflect")
    for _ in range(4):  # (1, 1) four times over itself is (1, 4, 6, 4, 1): a standard deviation of 1 pixel
        blurred = functional.avg_pool2d(blurred, 2, stride=1)
    share = _uniform(-settings.sharpness, settings.sharpness, len(grey), dice)[:, None, None]
    return torch.lerp(grey, blurred[:, 0], share).clamp(0, 1)


def _cut(grey: Tensor, size: int, settings: AugmentationSettings, dice: torch.Generator) -> Tensor:
    finer = 2 if size <= _SUPERSAMPLED_UP_TO else 1
    places = functional.affine_grid(
        _cuts(len(grey), settings, dice), [len(grey), 1, size * finer, size * finer], align_corners=False
    )
    cut = functional.grid_sample(grey[:, None], places, padding_mode="zeros", align_corners=False)
    return functional.avg_pool2d(cut, finer)[:, 0]


def _cuts(count: int, settings: AugmentationSettings, dice: torch.Generator) -> Tensor:
    """Affine maps (N, 2, 3) from the unit square onto random rotated rectangles inside the film."""
    area = _uniform(*settings.crop_area, count, dice)
    aspect = torch.exp(_uniform(math.log(settings.crop_aspect[0]), math.log(settings.crop_aspect[1]), count, dice))
    width, height = (area * aspect).sqrt().clamp_max(1), (area / aspect).sqrt().clamp_max(1)
    angle = _uniform(-1, 1, count, dice) * math.radians(settings.rotation_degrees)
    cosine, sine = angle.cos(), angle.sin()
    x, y = _uniform(-1, 1, count, dice) * (1 - width), _uniform(-1, 1, count, dice) * (1 - height)
    if settings.translation:  # the unit is half a side
        x = x + 2 * _uniform(-settings.translation, settings.translation, count, dice)
        y = y + 2 * _uniform(-settings.translation, settings.translation, count, dice)
    rows = (torch.stack((width * cosine, -height * sine, x), 1), torch.stack((width * sine, height * cosine, y), 1))
    maps = torch.stack(rows, dim=1)
    if settings.mirror_share:
        maps[torch.rand(count, generator=dice) < settings.mirror_share, :, 0] *= -1
    return maps


def _grade(grey: Tensor, settings: AugmentationSettings, dice: torch.Generator) -> Tensor:
    count = len(grey)
    gamma = torch.exp(_uniform(-settings.log_gamma, settings.log_gamma, count, dice))[:, None, None]
    light = 1 + _uniform(-settings.brightness, settings.brightness, count, dice)[:, None, None]
    spread = 1 + _uniform(-settings.contrast, settings.contrast, count, dice)[:, None, None]
    bright = (grey.clamp(1e-4, 1) ** gamma * light).clamp(0, 1)
    mean = bright.mean(dim=(1, 2), keepdim=True)
    return ((bright - mean) * spread + mean).clamp(0, 1)


def _add_noise(grey: Tensor, settings: AugmentationSettings, dice: torch.Generator) -> Tensor:
    deviation = _uniform(0, settings.noise, len(grey), dice)[:, None, None]
    return (grey + deviation * torch.randn(grey.shape, generator=dice)).clamp(0, 1)


def _uniform(low: float, high: float, count: int, dice: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=dice)
