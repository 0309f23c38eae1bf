"""How figures look: one palette, one size of type, and the same bytes for the same data."""

import io
import re
from contextlib import AbstractContextManager
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

# Okabe and Ito's vermilion and blue, told apart with any colour vision. Each colour stands for one role: in a page the
# role is a CSS variable, so that a figure follows the page into the dark.
INK, MUTED, GRID, PAPER = "#1c2127", "#5f6873", "#dde2e7", "#ffffff"
SICK, WELL, SICK_TINT, WELL_TINT = "#c64f08", "#0a6aad", "#fbe5d8", "#dcebf6"
ROLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    PAPER: "--paper",
    SICK: "--sick",
    WELL: "--well",
    SICK_TINT: "--sick-tint",
    WELL_TINT: "--well-tint",
}
_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
}
WHOLE, HALF = 8.4, 4.6  # widths of figures across the page and in a pair, inches
DASHES = (0, (4, 3))
PER_CENT = PercentFormatter(1, decimals=0, symbol=" %")
_DPI = 160
_NAMELESS = {"Date": None, "Creator": None, "Format": None, "Type": None}
_DROPPED = re.compile(
    r"<metadata>.*?</metadata>|<style.*?</style>| (?:width|height)=\"[\d.]+pt\"| id=\"[A-Za-z0-9.]+_\d+\"", re.DOTALL
)
_FONT = re.compile(r"font-family: [^;\"]+")


def house_style() -> AbstractContextManager[None]:
    """Draw and save in this style, whatever else is set; the settings of others come back afterwards."""
    return style.context(_STYLE, after_reset=True)


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Make a figure of one plot; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG without date or version.

    Raises:
        OSError: if it cannot be written.
    """
    with house_style():
        figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    figure.set_layout_engine("none")  # as it lies now; laying it out again for the page would take as long


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """Turn a figure into an `svg` element that takes font and colours from the page.

    Args:
        figure: drawn with this module's colours.
        name: unique in the page; what elements refer to each other by is derived from it.
        label: what the figure shows, for those who cannot see it.
    """
    text = io.StringIO()
    with house_style(), mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata=_NAMELESS)
    svg = text.getvalue()
    svg = _DROPPED.sub("", svg[svg.index("<svg") :])
    svg = _FONT.sub("font-family: var(--sans)", svg)
    for colour, variable in ROLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
