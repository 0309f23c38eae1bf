"""The report in a few lines, for a terminal. Pure."""

from collections.abc import Iterator

from worker.printing.document import counted
from worker.shadow_report.caveats import caveats
from worker.shadow_report.views import ShadowReport
from worker.shadow_report.wording import interval, per_cent, sentence


def summary(found: ShadowReport) -> Iterator[str]:
    """Yield the lines."""
    judged = found.judged.flagged + found.judged.unflagged
    yield f"{counted(found.studies.all, 'study', 'studies')} in shadow mode, {judged:,} of them screened and judged"
    yield f"sensitivity: {sentence(found.rates.sensitivity)}"
    yield f"specificity: {sentence(found.rates.specificity)}"
    for name, value in (("sensitivity", found.corrected_sensitivity), ("specificity", found.corrected_specificity)):
        if value is not None:
            yield f"{name}, weighted to all screened: {per_cent(value.value)} (95 % interval {interval(value)})"
    yield from caveats(found)
