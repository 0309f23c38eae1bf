"""The figure of the model beside the dumb floor."""

from matplotlib.figure import Figure

from training.appraisal import Appraisal
from training.report.style import INK, MUTED, WELL, WHOLE, new_figure


def draw_floor(appraisal: Appraisal, area: float) -> Figure:
    """Draw the model's AUC with its 95 % interval beside what each shortcut alone reaches.

    Args:
        appraisal: of films of both classes.
        area: the model's.
    """
    shortcuts = sorted(appraisal.floor.areas.items(), key=lambda entry: entry[1])
    top = len(shortcuts)
    figure, axes = new_figure(WHOLE, 0.9 + 0.34 * (top + 1))
    for row, (_, reached) in enumerate(shortcuts):
        axes.plot([0.5, reached], [row, row], color=MUTED, linewidth=1.2)
        axes.plot(reached, row, "o", color=MUTED, markersize=6)
        axes.annotate(f"{reached:.3f}", (reached, row), (8, 0), textcoords="offset points", va="center", color=MUTED)
    low, high = appraisal.intervals.get("auc", (area, area))
    axes.plot((low, high), (top, top), color=WELL, linewidth=5, alpha=0.35, solid_capstyle="butt")
    axes.plot(area, top, "D", color=INK, markersize=7)
    axes.annotate(f"{area:.3f}", (high, top), (10, 0), textcoords="offset points", va="center", fontweight="bold")
    axes.set(xlim=(min(0.48, low - 0.03), 1.1), ylim=(-0.6, top + 0.6), xlabel="AUC")
    axes.set_yticks(range(top + 1), [*(name for name, _ in shortcuts), "the model"])
    axes.set_xticks([tick / 10 for tick in range(11) if tick / 10 > low - 0.03 or tick >= 5])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure
