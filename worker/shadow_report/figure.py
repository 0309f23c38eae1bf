"""Sensitivity and specificity by week with their intervals, drawn as SVG in the colours of the page."""

from collections.abc import Callable, Sequence
from datetime import date
from html import escape

from worker.shadow_report.shares import Share
from worker.shadow_report.views import Group, Rates

FEW = 20  # a share of fewer cases is shown as counts, and drawn hollow
_WIDTH, _LEFT, _RIGHT = 840, 46, 14
_TOP, _PLOT, _BELOW = 24, 130, 30
_PANEL = _TOP + _PLOT + 14
_MOST_LABELS = 12


def draw_weeks(weeks: Sequence[Group], rates: Rates) -> str:
    """Return an `svg` element of two panels: a point per week, a line for its interval, dashes for the whole period.

    Args:
        weeks: in order of time, named by ISO week; at least one.
        rates: of the whole period.
    """
    places = _places(weeks)
    sensitivity = _panel("Sensitivity", "--up", weeks, places, 0, lambda each: each.sensitivity, rates.sensitivity)
    specificity = _panel("Specificity", "--down", weeks, places, 1, lambda each: each.specificity, rates.specificity)
    height = 2 * _PANEL + _BELOW
    label = "Sensitivity and specificity by week, with 95 % intervals"
    body = f"{sensitivity}{specificity}{_labels(weeks, places, 2 * _PANEL + 6)}"
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">{body}</svg>'


def _places(weeks: Sequence[Group]) -> list[float]:
    """Return where each week lies from left to right; weeks without a study leave a gap."""
    days = [_monday(week.name).toordinal() for week in weeks]
    slots = (days[-1] - days[0]) // 7 + 1
    step = (_WIDTH - _LEFT - _RIGHT) / slots
    return [_LEFT + ((day - days[0]) // 7 + 0.5) * step for day in days]


def _monday(week: str) -> date:
    year, _, number = week.partition("-W")
    return date.fromisocalendar(int(year), int(number), 1)


def _panel(
    name: str,
    colour: str,
    weeks: Sequence[Group],
    places: Sequence[float],
    number: int,
    choose: Callable[[Rates], Share],
    whole: Share,
) -> str:
    top = number * _PANEL + _TOP
    grid = "".join(_grid(per_cent, top) for per_cent in (0, 25, 50, 75, 100))
    title = f'<text x="{_LEFT}" y="{top - 9}" fill="var(--ink)" font-weight="600">{name}</text>'
    points = "".join(
        _point(week.name, choose(week.rates), place, top, colour) for week, place in zip(weeks, places, strict=True)
    )
    return grid + title + _dashes(whole, top, colour) + points


def _grid(per_cent: int, top: float) -> str:
    y = _y(per_cent / 100, top)
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--grid)"/>'
    text = f'<text x="{_LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end" fill="var(--muted)">{per_cent} %</text>'
    return line + text


def _dashes(whole: Share, top: float, colour: str) -> str:
    if whole.value is None:
        return ""
    y = _y(whole.value, top)
    ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
    return f'<line {ends} stroke="var({colour})" stroke-dasharray="5 4" opacity="0.7"/>'


def _point(week: str, share: Share, x: float, top: float, colour: str) -> str:
    if share.value is None or share.low is None or share.high is None:
        return ""
    low, high, y = _y(share.low, top), _y(share.high, top), _y(share.value, top)
    fill = "--paper" if share.whole < FEW else colour
    title = f"<title>{escape(week)}: {share.part} of {share.whole}</title>"
    bar = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{high:.1f}" y2="{low:.1f}" stroke="var({colour})" stroke-width="1.6"/>'
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="var({fill})" stroke="var({colour})" stroke-width="1.6"/>'
    return f"<g>{title}{bar}{dot}</g>"


def _y(value: float, top: float) -> float:
    return top + (1 - value) * _PLOT


def _labels(weeks: Sequence[Group], places: Sequence[float], y: float) -> str:
    every = -(-len(weeks) // _MOST_LABELS)
    return "".join(
        f'<text x="{place:.1f}" y="{y}" text-anchor="middle" fill="var(--muted)">{escape(week.name)}</text>'
        for week, place in list(zip(weeks, places, strict=True))[::every]
    )
