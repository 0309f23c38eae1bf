"""The histogram of the shift, drawn as SVG in the colours of the page."""

import math
from collections.abc import Sequence

from worker.repository.rescreen_views import Bin

_BARS_PER_SIDE = 20  # each 0.05 of probability wide
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 840, 230, 10, 30, 22


def draw_shift(bins: Sequence[Bin]) -> str:
    """Return an `svg` element: one bar per 0.05 of probability, what did not move by half of that in the middle.

    Args:
        bins: frames by their shift in [-1, 1].
    """
    counts = _bars(bins)
    tallest = math.sqrt(max(counts) or 1)
    step = (_WIDTH - 2 * _LEFT) / len(counts)
    drawn = "".join(_bar(index, count, step, tallest) for index, count in enumerate(counts) if count)
    ticks = "".join(_tick(value / 4, step) for value in range(-4, 5))
    base = _HEIGHT - _BOTTOM
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{base}" y2="{base}" stroke="var(--muted)"/>'
    label = "Frames by the shift of their probability"
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{drawn}{line}{ticks}</svg>'


def _bars(bins: Sequence[Bin]) -> list[int]:
    counts = [0] * (2 * _BARS_PER_SIDE + 1)
    for each in bins:
        counts[round(each.at * _BARS_PER_SIDE) + _BARS_PER_SIDE] += each.frames
    return counts


def _bar(index: int, count: int, step: float, tallest: float) -> str:
    side = index - _BARS_PER_SIDE
    colour = "--muted" if side == 0 else "--up" if side > 0 else "--down"
    height = max((_HEIGHT - _BOTTOM - _TOP) * math.sqrt(count) / tallest, 1)
    x, y = _LEFT + index * step, _HEIGHT - _BOTTOM - height
    title = f"<title>{side / _BARS_PER_SIDE:+.2f}: {count:,} frames</title>"
    shape = f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{step - 2:.1f}" height="{height:.1f}" fill="var({colour})">'
    text = f'<text x="{x + step / 2:.1f}" y="{y - 4:.1f}" text-anchor="middle" fill="var(--muted)" font-size="9">'
    return f"{shape}{title}</rect>{text}{_short(count)}</text>"


def _short(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.3g}k" if count < 1_000_000 else f"{count / 1e6:.3g}M"


def _tick(value: float, step: float) -> str:
    x = _LEFT + (value * _BARS_PER_SIDE + _BARS_PER_SIDE + 0.5) * step
    said = "0" if value == 0 else f"{value:+.2f}"
    return f'<text x="{x:.1f}" y="{_HEIGHT - 10}" text-anchor="middle" fill="var(--muted)">{said}</text>'
