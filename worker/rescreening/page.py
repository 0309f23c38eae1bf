"""The difference as a page: one HTML file that needs nothing else. Every text goes through `escape`."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from worker.printing.document import counted, document, minute
from worker.repository.rescreen_views import ChangedStudy, Changes, Difference, Pair, RunView
from worker.rescreening.figure import draw_shift

MOST_SHOWN = 300  # studies in each table; the JSON has more
_LEFT = {
    "already": ("frames", "The model judged them when they came."),
    "withdrawn": ("frames", "Flagged again, but a reader has withdrawn the flag of the image: they raise nothing."),
    "not_prepared": ("frames", "No prepared pixels of the model's input, and no file to make them of."),
    "damaged": ("frames", "The prepared pixels are not those of a film of the model's size."),
    "no_score": ("frames", "The model's answer was no number: the score host may be faulty."),
    "unanswered": ("frames", "Still to be scored, or given up after too many attempts."),
    "being_screened": ("images", "Still on their way through the live path."),
    "failed": ("images", "In quarantine; <code>cxr-triage quarantine</code> lists them."),
    "other_patient": ("images", "Rejected by a note, and may show another patient."),
}


def render(found: Difference) -> str:
    """Return the page. The same difference gives the same bytes.

    It names accession numbers, by which a site finds its studies, and no other patient data.
    """
    title = f"Re-screening {found.run.number}: what {_model(found.run)} says otherwise"
    parts = (
        _header(found, title),
        _warnings(found),
        _tiles(found),
        "<h2>Flags, before and now</h2>",
        _crossings(found),
        "<h2>How far the answers moved</h2>",
        *[_moved(pair, found.run) for pair in found.pairs],
        "" if found.pairs else '<p class="absent">Nothing was scored.</p>',
        _list("Newly flagged", "up", found.newly_flagged, found.studies.newly_flagged, _NEWLY),
        _list("No longer flagged", "down", found.no_longer_flagged, found.studies.no_longer_flagged, _NO_LONGER),
        _left(found),
        _facts(found),
    )
    return document(title, "\n".join(parts))


def _header(found: Difference, title: str) -> str:
    counts, run = found.counts, found.run
    return f"""<header>
<p class="eyebrow">cxr-triage · suspected pneumonia · what another model would have said</p>
<h1>{escape(title)}</h1>
<p class="lede">{counted(counts.studies_scored, "study", "studies")} of {counts.studies:,} received from
{minute(run.since)} to {minute(run.until)} (UTC) were scored again, {counted(counts.frames_scored, "frame")} in all,
from their prepared images.</p>
<p class="use"><b>Research use only; not a medical device.</b> A flag asks for an earlier look. No flag says nothing of
health, and no priority was lowered: what is no longer flagged is recorded here and nowhere else.</p>
</header>"""


def _warnings(found: Difference) -> str:
    run, counts = found.run, found.counts
    lines = ["This page names accession numbers: it is for the site whose studies they are."]
    if run.outcome is None:
        lines.append("The run is still going on: the counts are those of now.")
    if run.outcome == "stopped":
        lines.append("The run was stopped before its end: the counts are of what it had scored.")
    if counts.damaged or counts.no_score or counts.unanswered:
        lines.append("Frames are without an answer that should have one; see the end of the page.")
    items = "\n".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="warnings" aria-label="Warnings"><ul>\n{items}\n</ul></section>'


def _tiles(found: Difference) -> str:
    studies, total = found.studies, found.studies.all
    told = f"{found.run.told:,} told by this run" if found.run.deliver else "a report only: nobody was told"
    before, now = studies.still_flagged + studies.no_longer_flagged, studies.still_flagged + studies.newly_flagged
    tiles = (
        ("up", "Newly flagged studies", studies.newly_flagged, f"{_share(studies.newly_flagged, total)}<br>{told}"),
        (
            "down",
            "No longer flagged",
            studies.no_longer_flagged,
            f"{_share(studies.no_longer_flagged, total)}<br>recorded only",
        ),
        ("", "Flagged before", before, _share(before, total)),
        ("", "Flagged now", now, _share(now, total)),
    )
    cells = (
        f'<div class="{kind}"><dt>{name}</dt><dd><strong>{count:,}</strong>{note}</dd></div>'
        for kind, name, count, note in tiles
    )
    return f'<dl class="tiles">\n{"".join(cells)}\n</dl>'


def _crossings(found: Difference) -> str:
    note = "A study counts as flagged before if a finding had raised it when its frames were scored again."
    tables = _crossing("Studies", found.studies) + _crossing("Frames", found.frames)
    return f'<div class="pair">{tables}</div>\n<p class="note">{note}</p>'


def _crossing(name: str, changes: Changes) -> str:
    c = changes
    return f"""<div class="scroll"><table><thead>
<tr><th scope="col">{name}</th><th scope="col">flagged now</th><th scope="col">not flagged now</th></tr></thead><tbody>
<tr><th scope="row">flagged before</th><td>{c.still_flagged:,}</td><td class="down">{c.no_longer_flagged:,}</td></tr>
<tr><th scope="row">not flagged before</th><td class="up">{c.newly_flagged:,}</td><td>{c.never_flagged:,}</td></tr>
</tbody></table></div>"""


def _moved(pair: Pair, run: RunView) -> str:
    shift = pair.shift
    columns = "".join(f'<th scope="col">{100 * float(share):g} %</th>' for share in shift.quantiles)
    cells = "".join(f"<td>{value:+.3f}</td>" for value in shift.quantiles.values())
    return f"""<h3>{escape(f"{pair.previous.name} {pair.previous.version}")} → {escape(_model(run))}</h3>
<p>{counted(pair.frames.all, "frame")} of {counted(pair.studies.all, "study", "studies")}: the probability moved by
{shift.mean_probability:+.3f} on average, the logit by {shift.mean_logit:+.2f}.</p>
<figure>{draw_shift(shift.bins)}
<figcaption>Frames by the shift of their calibrated probability, heights by the square root of their number, so that the
few that moved far are seen beside the many that did not.</figcaption></figure>
<div class="scroll"><table><caption>Shift of the probability that this share of the frames stays at or below.</caption>
<thead><tr><th scope="col">Share of the frames</th>{columns}</tr></thead>
<tbody><tr><th scope="row">Shift</th>{cells}</tr></tbody></table></div>"""


def _list(heading: str, kind: str, studies: Sequence[ChangedStudy], count: int, note: str) -> str:
    head = f"<h2>{heading}: {counted(count, 'study', 'studies')}</h2>"
    if not studies:
        return f'{head}\n<p class="absent">None.</p>'
    shown = studies[:MOST_SHOWN]
    some = f" The {len(shown)} most pronounced are shown; the JSON report has more." if count > len(shown) else ""
    names = ("Received (UTC)", "Accession number, Study Instance UID", "Before", "Now", "Threshold")
    columns = "".join(f'<th scope="col">{name}</th>' for name in (*names, *(["Told"] if kind == "up" else [])))
    rows = "\n".join(_row(study, kind) for study in shown)
    table = f'<table class="studies"><caption>{note}{some}</caption><thead><tr>{columns}</tr></thead>'
    return f'{head}\n<div class="scroll">{table}\n<tbody>\n{rows}\n</tbody></table></div>'


def _row(study: ChangedStudy, kind: str) -> str:
    told = f"<td>{'yes' if study.told else 'no'}</td>" if kind == "up" else ""
    return (
        f"<tr><td>{minute(study.received_at)}</td><td>{escape(study.accession_number or 'none')}"
        f"<br><code>{escape(study.study_instance_uid)}</code></td><td>{study.previous_probability:.3f}</td>"
        f'<td class="{kind}">{study.probability:.3f}</td><td>{study.threshold:.3f}</td>{told}</tr>'
    )


def _left(found: Difference) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{name.replace("_", " ").capitalize()}</th>'
        f"<td>{getattr(found.counts, name):,} {unit}</td><td>{meaning}</td></tr>"
        for name, (unit, meaning) in _LEFT.items()
        if getattr(found.counts, name)
    )
    body = f'<div class="scroll"><table class="text"><tbody>\n{rows}\n</tbody></table></div>'
    lacking = "".join(_named("Images without an answer, by SOP Instance UID", found.lacking)) if found.lacking else ""
    return f"<h2>What was not scored, or does not count</h2>\n{body if rows else _NOTHING}{lacking}"


def _named(what: str, uids: Sequence[str]) -> Iterator[str]:
    yield f"<details><summary>{what}</summary><ul>"
    yield from (f"<li><code>{escape(uid)}</code></li>" for uid in uids[:MOST_SHOWN])
    yield "</ul></details>"


def _facts(found: Difference) -> str:
    run = found.run
    facts: Iterable[tuple[str, str]] = (
        ("Model", f"{escape(_model(run))}<br><code>{run.model.sha256}</code>"),
        ("Studies received", f"from {minute(run.since)} on, before {minute(run.until)} (UTC)"),
        ("Run", f"number {run.number}, by {escape(run.requested_by)}, {minute(run.started_at)} to {_end(run)} (UTC)"),
        ("Frames of this run", f"{run.done:,} of {run.frames:,} that were to be scored when it began"),
        ("Delivered", f"{counted(run.told, 'study', 'studies')}" if run.deliver else "no: a report only"),
    )
    rows = "\n".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in facts)
    return f"""<h2>The run</h2>
<div class="scroll"><table class="text"><tbody>
{rows}
</tbody></table></div>
<footer><p>Made {minute(found.created_at)} (UTC) by <code>cxr-triage rescreen</code>. What earlier runs scored with
this model in the same window is part of it. Probabilities are calibrated by each model's own card.</p></footer>"""


def _end(run: RunView) -> str:
    return "now" if run.ended_at is None else f"{minute(run.ended_at)}, {run.outcome}"


def _model(run: RunView) -> str:
    return f"{run.model.name} {run.model.version}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % of those scored again" if whole else "of none"


_NOTHING = '<p class="absent">Nothing.</p>'
_NEWLY = "The highest probabilities first, of each study's frames the highest one."
_NO_LONGER = "The lowest probabilities first. Every priority stays as it is."
