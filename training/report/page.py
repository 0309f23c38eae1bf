"""The report: one HTML file that needs nothing else, and its figures as PNG."""

from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from training.cases import CLASSES
from training.evaluation import probabilities
from training.report import wording
from training.report.caveats import caveats
from training.report.discrimination import draw_confusion, draw_roc, draw_scores
from training.report.gallery import draw_sheet, worst
from training.report.inputs import ReportInputs
from training.report.progress import draw_history
from training.report.shortcuts import draw_floor
from training.report.style import house_style, inline_svg, save_png
from training.report.usefulness import draw_decision, draw_reliability

REPORT_NAME = "report.html"
FIGURES_NAME = "figures"
_TEMPLATE = "report.html"
_LABELS = {
    "history": "Loss, validation AUC and learning rate by epoch",
    "confusion": "Confusion matrix at the threshold",
    "scores": "Films of each class by logit, with the threshold",
    "roc": "ROC curve with the operating point",
    "floor": "AUC of the model beside that of shortcuts",
    "reliability": "Share of positive films by shown probability",
    "decision": "Net benefit by threshold probability",
}
_SHEETS = {"false_negatives": 1, "false_positives": 0}


def write_report(output: Path, inputs: ReportInputs) -> Path:
    """Write `report.html` and `figures/*.png`; figures that the films cannot give are left out, and the page says why.

    The same inputs give the same bytes.

    Args:
        output: folder, which must be there.
        inputs: what to report.

    Returns:
        The page.

    Raises:
        OSError: if something cannot be written.
    """
    r = inputs
    gallery = {name: worst(label, r.logits, r.films, r.point, r.maps) for name, label in _SHEETS.items()}
    with house_style():
        drawn = dict(_figures(r))
        sheets = {name: draw_sheet(exhibits) for name, exhibits in gallery.items() if exhibits}
    _write_pictures(output / FIGURES_NAME, drawn | sheets)
    vectors = {name: inline_svg(figure, name, _LABELS[name]) for name, figure in drawn.items()}
    template = _environment().get_template(_TEMPLATE)
    page = template.render(r=r, m=r.appraisal, warnings=caveats(r), figures=vectors, gallery=gallery)
    path = output / REPORT_NAME
    path.write_text(page, encoding="utf-8")
    return path


def _figures(r: ReportInputs) -> Iterator[tuple[str, Figure]]:
    labels, metrics = r.films.labels, r.appraisal
    if r.history:
        yield "history", draw_history(r.history)
    yield "confusion", draw_confusion(metrics)
    yield "scores", draw_scores(r.logits, labels, metrics)
    if metrics.auc is not None:
        yield "roc", draw_roc(r.logits, labels, metrics)
        yield "floor", draw_floor(metrics, metrics.auc)
        yield "reliability", draw_reliability(metrics)
        yield "decision", draw_decision(probabilities(r.logits, r.point), labels, metrics)


def _write_pictures(folder: Path, figures: dict[str, Figure]) -> None:
    folder.mkdir(exist_ok=True)
    for name in (*_LABELS, *_SHEETS):
        path = folder / f"{name}.png"
        if name in figures:
            save_png(figures[name], path)
        else:
            path.unlink(missing_ok=True)  # of an earlier report


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("training"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["classes"] = CLASSES
    for name in ("share", "area", "share_range", "area_range", "number", "picture"):
        environment.filters[name] = getattr(wording, name)
    return environment
