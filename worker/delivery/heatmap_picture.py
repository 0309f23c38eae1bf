"""The picture that shows a person where the model looked: film, activation map, scale and disclaimer."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from worker.model.overlay import FULL_EVIDENCE, evidence_palette, overlay

LONGEST_SIDE = 1024
DISCLAIMER = (
    "AI activation map: where the model's evidence lay, not the location or extent of disease. "
    "Preliminary, unverified. Research use only. Not for diagnosis."
)
_SCALE = "Evidence for the finding per cell of the map, in logit units; evidence against it is not drawn"
_SHORTEST_SIDE = 64  # pixels of a film so long that it would vanish otherwise
_NARROWEST = 640  # pixels of a line of text
_PADDING, _LEADING, _BAR = 16, 6, 22  # pixels
_TEXT, _SMALL = 20, 16  # pixels, height of the letters
_BRIGHT, _DIM = 235, 180  # grey levels of the letters

_Line = tuple[str, int, int]  # text, size, grey level
_GAP: _Line = ("", 4, 0)


def film_shape(rows: int, columns: int) -> tuple[int, int]:
    """Return rows and columns of the drawn film: the aspect ratio of the source, its longest side `LONGEST_SIDE`."""
    scale = LONGEST_SIDE / max(rows, columns)
    return max(_SHORTEST_SIDE, round(rows * scale)), max(_SHORTEST_SIDE, round(columns * scale))


def draw_heatmap(
    film: NDArray[np.uint8],
    activation_map: NDArray[np.floating],
    *,
    shape: tuple[int, int],
    statements: Sequence[str],
) -> NDArray[np.uint8]:
    """Draw the film in its own aspect ratio with the map over it, and below it what is said of it.

    Nothing is written over the film.

    Args:
        film: what the network saw, uint8 (size, size): the film stretched to a square.
        activation_map: (h, w), in units of the logit.
        shape: rows and columns of the film in the picture.
        statements: lines of text without anything about the patient; long ones are broken.

    Returns:
        uint8 (rows, columns, 3), RGB; the film is at its top left.
    """
    rows, columns = shape
    stretched = np.asarray(Image.fromarray(film).resize((columns, rows), Image.Resampling.BICUBIC))
    margin = _margin(max(columns, _NARROWEST), statements, side=film.shape[0])
    picture = np.zeros((rows + margin.shape[0], margin.shape[1], 3), np.uint8)
    picture[:rows, :columns] = overlay(stretched, activation_map)
    picture[rows:] = margin
    return picture


def _margin(width: int, statements: Sequence[str], *, side: int) -> NDArray[np.uint8]:
    above = [(text, _TEXT, _BRIGHT) for text in statements]
    below = [
        (_SCALE, _SMALL, _DIM),
        _GAP,
        (DISCLAIMER, _TEXT, _BRIGHT),
        _GAP,
        (f"The film is shown as the network saw it, {side} x {side} pixels.", _SMALL, _DIM),
    ]
    head, foot = (list(_broken(lines, width - 2 * _PADDING)) for lines in (above, below))
    ticks = _TEXT + _LEADING
    height = 3 * _PADDING + _height(head) + _BAR + ticks + _height(foot)
    picture = Image.new("RGB", (width, height))
    top = _write(picture, head, _PADDING)
    _draw_scale(picture, top + _PADDING // 2)
    _write(picture, foot, top + _PADDING + _BAR + ticks)
    return np.asarray(picture)


def _draw_scale(picture: Image.Image, top: int) -> None:
    width = picture.width - 2 * _PADDING
    picture.paste(Image.fromarray(evidence_palette()[None]).resize((width, _BAR)), (_PADDING, top))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(_SMALL)
    for tick in range(0, int(FULL_EVIDENCE) + 1, 2):
        more = " and more" if tick == FULL_EVIDENCE else ""
        x, anchor = _PADDING + tick / FULL_EVIDENCE * width, "lt" if tick == 0 else "rt" if more else "mt"
        draw.text((x, top + _BAR + _LEADING), f"{tick}{more}", (_DIM,) * 3, font, anchor=anchor)


def _broken(lines: Sequence[_Line], width: int) -> Iterator[_Line]:
    for text, size, grey in lines:
        font, line = ImageFont.load_default(size), ""
        for word in text.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                yield line, size, grey
                longer = word
            line = longer
        yield line, size, grey


def _height(lines: Sequence[_Line]) -> int:
    return sum(size + _LEADING for _, size, _ in lines)


def _write(picture: Image.Image, lines: Sequence[_Line], top: int) -> int:
    draw = ImageDraw.Draw(picture)
    for text, size, grey in lines:
        draw.text((_PADDING, top), text, (grey,) * 3, ImageFont.load_default(size), anchor="lt")
        top += size + _LEADING
    return top
