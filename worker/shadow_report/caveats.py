"""What somebody must know before believing the figures, in words. Pure."""

from collections.abc import Iterator

from worker.printing.document import counted
from worker.shadow_report.figure import FEW
from worker.shadow_report.shares import share
from worker.shadow_report.views import ShadowReport
from worker.shadow_report.wording import per_cent

_UNEVEN = 1.2  # times as often judged on one side as on the other
_BIAS = (
    "what was {} is looked at less often, so that as they stand the sensitivity is too {} and the specificity too {}."
)


def caveats(found: ShadowReport) -> Iterator[str]:
    """Yield the sentences that apply to these figures."""
    if not found.shadow:
        yield "The service is not in shadow mode now: only studies that were answered in it are compared."
    if not found.judged.flagged + found.judged.unflagged:
        yield "No verdict counts yet: there is nothing to compare."
        return
    positives = found.rates.tp + found.rates.fn
    if positives < FEW:
        yield (
            f"Only {counted(positives, 'judged study', 'judged studies')} with a suspicion: "
            "the sensitivity is a guess, as its interval shows."
        )
    yield from _verification(found)
    yield from _left_out(found)


def _verification(found: ShadowReport) -> Iterator[str]:
    flagged = share(found.judged.flagged, found.studies.flagged)
    unflagged = share(found.judged.unflagged, found.studies.unflagged)
    if flagged.value is None or unflagged.value is None:
        return
    shares = f"Judged were {per_cent(flagged.value)} of the flagged and {per_cent(unflagged.value)} of the others"
    if flagged.value > _UNEVEN * unflagged.value:
        yield f"{shares}: {_BIAS.format('missed', 'high', 'low')}"
    elif unflagged.value > _UNEVEN * flagged.value:
        yield f"{shares}: {_BIAS.format('flagged', 'low', 'high')}"
    elif min(flagged.value, unflagged.value) < 1:
        yield f"{shares}. The rest is not known."


def _left_out(found: ShadowReport) -> Iterator[str]:
    if found.knowing_studies:
        yield (
            f"{counted(found.knowing_studies, 'study is', 'studies are')} left out because a reader could know the "
            "flag: it was sent, the reader is an administrator, or changed the verdict after the flag was shown."
        )
    if found.disputed.all:
        yield f"Readers disagree on {counted(found.disputed.all, 'study', 'studies')}, which stand apart."
    if found.judged.unscreened:
        yield (
            f"{counted(found.judged.unscreened, 'judged study was', 'judged studies were')} not screened, "
            f"{found.unscreened_suspected:,} of them with a suspicion; they stand apart."
        )
