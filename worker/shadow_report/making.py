"""Making the shadow-mode report of a period."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from worker.errors import ReportPeriodError
from worker.repository.shadow import ReadStudy, read_studies
from worker.shadow_report.correction import corrected_rates
from worker.shadow_report.shares import share
from worker.shadow_report.tally import Meaning, Side, Tally
from worker.shadow_report.views import Group, ShadowReport

DEFAULT_DAYS = 13 * 7
NO_SENDER = "unknown"
_CLEAR = (Meaning.SUSPECTED, Meaning.UNSUSPECTED)


@dataclass(slots=True)
class _Counted:
    """Everything that is counted in one look at the studies."""

    blind: Tally = field(default_factory=Tally)
    knowing: Tally = field(default_factory=Tally)
    weeks: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    senders: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    models: set[str] = field(default_factory=set)
    changed: int = 0


def period(since: datetime | None, until: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """Return the period of a report: today and the days before it, `DEFAULT_DAYS` in all, unless others are asked for.

    Args:
        since: first day, if somebody asks for one; aware.
        until: last day, included.
        now: the present time.

    Raises:
        ReportPeriodError: if it ends before it begins, or beyond what a date can say.
    """
    try:
        end = (until or now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)) + timedelta(days=1)
        start = end - timedelta(days=DEFAULT_DAYS) if since is None else since
    except OverflowError:
        raise ReportPeriodError("until: choose a day of this century") from None
    if start >= end:
        raise ReportPeriodError("since: the first day lies after the last one: turn them round")
    return start, end


def make_report(session: Session, since: datetime, until: datetime, now: datetime, *, shadow: bool) -> ShadowReport:
    """Compare what was said in [since, until) in shadow mode with the verdicts that were given until now.

    Args:
        session: of the database.
        since: when the studies were received, at the earliest; aware.
        until: and before this.
        now: for the report's date.
        shadow: whether the service is in shadow mode now.
    """
    return report_on(read_studies(session, since, until), since, until, now, shadow=shadow)


def report_on(
    studies: Iterable[ReadStudy], since: datetime, until: datetime, now: datetime, *, shadow: bool
) -> ShadowReport:
    """Make the report of these studies; arguments as of `make_report`."""
    counted = _count(studies)
    tally, rates = counted.blind, counted.blind.rates()
    disputed, positives = tally.sides(Meaning.DISPUTED), rates.tp + rates.fn
    missed = tally.counts[Side.UNSCREENED, Meaning.SUSPECTED]
    flagged, unflagged = tally.on(Side.FLAGGED), tally.on(Side.UNFLAGGED)
    sensitivity, specificity = corrected_rates(flagged, unflagged)
    return ShadowReport(
        since=since,
        until=until,
        created_at=now,
        shadow=shadow,
        models=sorted(counted.models),
        studies=tally.sides(*Meaning),
        judged=tally.sides(*_CLEAR),
        rates=rates,
        disputed=disputed,
        sensitivity_disputed_missed=share(rates.tp, positives + disputed.unflagged),
        specificity_disputed_wrong=share(rates.tn, rates.tn + rates.fp + disputed.flagged),
        unscreened_suspected=missed,
        sensitivity_unscreened_missed=share(rates.tp, positives + missed),
        flagged=flagged,
        unflagged=unflagged,
        corrected_sensitivity=sensitivity,
        corrected_specificity=specificity,
        knowing=counted.knowing.rates(),
        knowing_studies=counted.knowing.studies,
        changed=counted.changed,
        weeks=_groups(dict(sorted(counted.weeks.items()))),
        senders=_groups(dict(sorted(counted.senders.items(), key=lambda item: (-item[1].studies, item[0])))),
    )


def _count(studies: Iterable[ReadStudy]) -> _Counted:
    counted = _Counted()
    for study in studies:
        if not study.blind:
            counted.knowing.add(study)
            continue
        if study.answer is not None and not study.answer.shadow:
            continue
        for tally in (counted.blind, counted.weeks[week(study.received_at)], counted.senders[_sender(study)]):
            tally.add(study)
        counted.changed += study.changed
        if study.answer is not None:
            counted.models.add(study.answer.model)
    return counted


def week(at: datetime) -> str:
    """Return the ISO week of a time, UTC: `2026-W47`. Its name sorts by time."""
    year, number, _ = at.astimezone(UTC).isocalendar()
    return f"{year}-W{number:02d}"


def _sender(study: ReadStudy) -> str:
    return study.sender or NO_SENDER


def _groups(tallies: Mapping[str, Tally]) -> list[Group]:
    return [
        Group(name=name, studies=tally.studies, judged=tally.judged, rates=tally.rates())
        for name, tally in tallies.items()
    ]
