"""Figures of what the shown probability is good for: reliability and net benefit."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from training.decision import decision_curve
from training.evaluation import Metrics
from training.intervals import exact_interval
from training.report.style import DASHES, HALF, INK, MUTED, PER_CENT, SICK, WELL, new_figure


def draw_reliability(metrics: Metrics) -> Figure:
    """Draw the share of positives over the shown probability, with exact 95 % bars, and the films per bin."""
    figure = Figure(figsize=(HALF, 4.3), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    above.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=DASHES, label="shown = seen")
    shown = [found.shown for found in metrics.reliability]
    for found in metrics.reliability:
        bounds = exact_interval(round(found.seen * found.films), found.films)
        above.plot([found.shown] * 2, bounds or (), color=WELL, linewidth=1.4)
    above.plot(shown, [found.seen for found in metrics.reliability], "o-", color=INK, markersize=5, label="model")
    below.bar(shown, [found.films for found in metrics.reliability], 0.03, color=WELL)
    above.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="share of positive films")
    above.yaxis.set_major_formatter(PER_CENT)
    below.xaxis.set_major_formatter(PER_CENT)
    below.set(ylabel="films", xlabel="probability shown")
    below.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    figure.legend(loc="outside upper left", ncols=2, fontsize=9)
    return figure


def draw_decision(probabilities: NDArray[np.float64], labels: NDArray[np.int64], metrics: Metrics) -> Figure:
    """Draw the net benefit of the model beside that of flagging everyone and nobody.

    Args:
        probabilities: (N,), as shown.
        labels: (N,), both classes present.
        metrics: of them.
    """
    curve, (figure, axes) = decision_curve(probabilities, labels), new_figure(HALF, 4.3)
    axes.plot(curve.thresholds, curve.everyone, color=SICK, linestyle=(0, (5, 2)), label="flag everyone")
    axes.axhline(0, color=MUTED, linewidth=1.4, linestyle=(0, (1, 1.5)), label="flag nobody")
    axes.plot(curve.thresholds, curve.model, color=INK, label="follow the model")
    axes.axvline(metrics.threshold, color=WELL, linewidth=1.2)
    at_left = metrics.threshold < 0.5
    axes.annotate(
        f"threshold {100 * metrics.threshold:.1f} %",
        (metrics.threshold, 1.01),
        xycoords=axes.get_xaxis_transform(),
        ha="left" if at_left else "right",
        va="bottom",
        color=WELL,
    )
    top = max(float(curve.model.max()), float((labels == 1).mean()))
    axes.set(xlim=(0, 1), ylim=(-0.25 * top, 1.05 * top))
    axes.set(xlabel="acting from this probability on", ylabel="true positives per film, net")
    axes.xaxis.set_major_formatter(PER_CENT)
    figure.legend(loc="outside upper left", ncols=3, fontsize=9, columnspacing=1.2)
    return figure
