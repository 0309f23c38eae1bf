"""What a reader must know before believing the figures. Pure."""

import numpy as np

from training.appraisal import Appraisal
from training.cases import CLASSES
from training.report.inputs import ReportInputs

_FEW = 20  # films of a class
_CLOSE = 0.05  # AUC between the model and a shortcut
_STRONG = 0.75  # AUC of a shortcut


def caveats(inputs: ReportInputs) -> list[str]:
    """Say what speaks against the figures, the gravest first; empty where nothing does."""
    m, said = inputs.appraisal, []
    if m.class_collapse:
        said.append(collapse_line(m))
    if m.n > 1 and np.ptp(inputs.logits) == 0:
        said.append(f"The model gives the same answer on all {m.n} films.")
    counts = dict(zip(CLASSES, (m.n - m.positives, m.positives), strict=True))
    for name, count in counts.items():
        if count == 0:
            said.append(f"There is no {name} film: areas, curves and predictive values cannot be given.")
        elif count < _FEW:
            said.append(f"There are only {count} {name} films: each moves a figure by {100 / count:.1f} points.")
    said += _shortcuts(m)
    if inputs.card and inputs.card.status == "provisional":
        said.append("The model is provisional: it is to be replaced.")
    return said


def collapse_line(appraisal: Appraisal) -> str:
    """Say that nothing is found."""
    return (
        f"Class collapse: none of the {appraisal.positives} positive films is flagged; "
        "the model has learned nothing, or its threshold is not its own."
    )


def _shortcuts(m: Appraisal) -> list[str]:
    if m.auc is None or not m.floor.areas:
        return []
    name, area = max(m.floor.areas.items(), key=lambda entry: entry[1])
    reached = f"{name.capitalize()} alone reaches an AUC of {area:.3f} on these films, the model {m.auc:.3f}"
    if area >= m.auc - _CLOSE:
        return [f"{reached}: the model has shown little of its own here."]
    if area >= _STRONG:
        return [f"{reached}: part of that may be the shortcut, not the lungs."]
    return []
