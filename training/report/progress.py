"""The figure of how a training run went."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.report.style import INK, MUTED, SICK, WELL, WHOLE

History = Sequence[Mapping[str, float]]  # one row per epoch, as history.csv has them
_PANELS = (("loss", "loss"), ("auc", "AUC"), ("learning_rate", "learning rate"))  # part of the column's name, label
_LINES = ((INK, "-"), (SICK, (0, (5, 2))), (WELL, (0, (1, 1))))


def draw_history(history: History) -> Figure:
    """Draw losses, areas and the learning rate by epoch, as far as the history has them.

    Args:
        history: at least one row; `epoch` in every one, `size` (pixels) where the size changes.
    """
    panels = [
        (label, [name for name in history[0] if part in name])
        for part, label in _PANELS
        if any(part in name for name in history[0])
    ]
    figure = Figure(figsize=(WHOLE, 0.6 + 1.7 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0].tolist()
    for axes, (label, names) in zip(rows, panels, strict=True):
        _draw_panel(axes, label, names, history)
    rows[-1].set_xlabel("epoch")
    rows[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    _mark_sizes(rows, history)
    return figure


def _draw_panel(axes: Axes, label: str, names: Sequence[str], history: History) -> None:
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(history) < 40 else ""
    for name, (colour, dashes) in zip(names, _LINES, strict=False):
        said = name.replace("_", " ")
        values = [row[name] for row in history]
        axes.plot(epochs, values, marker=marker, linestyle=dashes, color=colour, markersize=3.5, label=said)
    axes.set_ylabel(label)
    if len(names) > 1:
        axes.legend(loc="best")


def _mark_sizes(rows: Sequence[Axes], history: History) -> None:
    if "size" not in history[0]:
        return
    changes = [
        (after["epoch"], after["size"]) for before, after in pairwise(history) if before["size"] != after["size"]
    ]
    for epoch, _ in changes:
        for axes in rows:
            axes.axvline(epoch - 0.5, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    for epoch, size in [(history[0]["epoch"], history[0]["size"]), *changes]:
        rows[0].text(
            epoch - 0.4, 1.02, f"{size:g} px", transform=rows[0].get_xaxis_transform(), color=MUTED, fontsize=9
        )
