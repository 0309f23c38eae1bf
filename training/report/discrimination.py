"""Figures of how well a model tells the classes apart: ROC curve, scores by class, confusion matrix."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from training.cases import CLASSES
from training.evaluation import Metrics
from training.report.style import (
    DASHES,
    HALF,
    INK,
    MUTED,
    PER_CENT,
    SICK,
    SICK_TINT,
    WELL,
    WELL_TINT,
    WHOLE,
    new_figure,
)

_ZOOMED_FROM = 0.9  # sensitivity at the bottom of the close-up
_SCORE_BINS = 48


def draw_roc(logits: NDArray[np.float32], labels: NDArray[np.int64], metrics: Metrics) -> Figure:
    """Draw the ROC curve whole and its top in close-up, with the operating point and the asked-for sensitivities.

    Args:
        logits: (N,).
        labels: (N,), both classes present.
        metrics: of them.
    """
    figure = Figure(figsize=(WHOLE, 4.3), layout="constrained")
    whole, close = figure.subplots(1, 2)
    false_alarms, found, _ = roc_curve(labels, logits)
    for axes in (whole, close):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=DASHES, label="chance")
        axes.plot(false_alarms, found, color=INK, label=f"model, AUC {metrics.auc:.3f}")
        axes.set(xlim=(-0.02, 1.02), xlabel=f"{CLASSES[0]} films flagged, 1 \N{MINUS SIGN} specificity")
        axes.xaxis.set_major_formatter(PER_CENT)
        axes.yaxis.set_major_formatter(PER_CENT)
        if metrics.sensitivity is not None and metrics.specificity is not None:
            axes.plot(
                1 - metrics.specificity, metrics.sensitivity, "D", markersize=8, color=SICK, label="its threshold"
            )
    _mark_sensitivities(close, metrics)
    whole.set(ylim=(-0.02, 1.02), ylabel=f"{CLASSES[1]} films flagged, sensitivity")
    close.set(ylim=(_ZOOMED_FROM, 1.005))
    close.set_title(f"close-up from {100 * _ZOOMED_FROM:g} % sensitivity", fontsize=10, color=MUTED)
    whole.legend(loc="lower right")
    return figure


def draw_scores(logits: NDArray[np.float32], labels: NDArray[np.int64], metrics: Metrics) -> Figure:
    """Draw how many films of each class have which logit: one class upwards, the other downwards."""
    figure, axes = new_figure(WHOLE, 3.6)
    edges = np.histogram_bin_edges(np.append(logits, metrics.threshold_logit), _SCORE_BINS)
    for label, direction, colour in ((1, 1, SICK), (0, -1, WELL)):
        counts, _ = np.histogram(logits[labels == label], edges)
        name = f"{CLASSES[label]}, {counts.sum()} films"
        axes.bar(edges[:-1], direction * counts, np.diff(edges), align="edge", color=colour, label=name)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.axvline(metrics.threshold_logit, color=INK, linewidth=1.4)
    room = axes.get_xaxis_transform()
    said = f"flagged from {metrics.threshold_logit:.2f} on".replace("-", "\N{MINUS SIGN}")
    axes.text(metrics.threshold_logit, 1.01, said, transform=room, va="bottom", color=INK)
    axes.yaxis.set_major_formatter(lambda count, _: f"{abs(count):g}")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="logit of the model", ylabel="films")
    figure.legend(loc="outside upper right", ncols=2, handlelength=1, handleheight=1)
    return figure


def draw_confusion(metrics: Metrics) -> Figure:
    """Draw the confusion matrix at the operating point: counts, and shares of the row."""
    table, (figure, axes) = metrics.confusion, new_figure(HALF, 3.0)
    rows = (("missed", table.fn, "found", table.tp), ("spared", table.tn, "false alarms", table.fp))
    for row, (plain, left, marked, right) in enumerate(rows):
        for column, (word, count) in enumerate(((plain, left), (marked, right))):
            right_answer = column != row
            tint, colour = (WELL_TINT, WELL) if right_answer else (SICK_TINT, SICK)
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=tint, edgecolor="none"))
            axes.text(column + 0.5, row + 0.42, f"{count}", ha="center", va="center", fontsize=22, color=INK)
            share = f"{100 * count / (left + right):.1f} % {word}" if left + right else "no films"
            axes.text(column + 0.5, row + 0.76, share, ha="center", va="center", color=colour)
    _label_cells(axes)
    return figure


def _mark_sensitivities(axes: Axes, metrics: Metrics) -> None:
    for name, specificity in metrics.specificity_at_sensitivity.items():
        if specificity is not None:
            place = (1 - specificity, float(name))
            axes.plot(*place, "o", markersize=6, markerfacecolor="none", markeredgecolor=WELL, markeredgewidth=1.6)
            side, towards = ((-7, 3), "right") if place[0] > 0.8 else ((7, -11), "left")
            said = f"{100 * float(name):g} %"
            axes.annotate(said, place, side, textcoords="offset points", ha=towards, color=WELL, fontsize=9)


def _label_cells(axes: Axes) -> None:
    axes.set(xlim=(0, 2), ylim=(2, 0), xticks=(0.5, 1.5), yticks=(0.5, 1.5))
    axes.set_xticklabels(("not flagged", "flagged"))
    axes.set_yticklabels((CLASSES[1], CLASSES[0]))
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.axhline(1, color=MUTED, linewidth=0.8)
    axes.axvline(1, color=MUTED, linewidth=0.8)
    axes.spines[:].set_visible(False)
