"""The shadow-mode report as a page, printable, without script. Every text from elsewhere goes through `escape`."""

from collections.abc import Iterator, Sequence
from html import escape

from worker.printing.document import counted, document, minute
from worker.shadow_report.caveats import caveats
from worker.shadow_report.correction import Corrected
from worker.shadow_report.figure import FEW, draw_weeks
from worker.shadow_report.shares import Share, share
from worker.shadow_report.views import Group, ShadowReport
from worker.shadow_report.wording import figure, interval, per_cent, sentence

TITLE = "Shadow mode: what would have been flagged, and what the readers say"


def render(found: ShadowReport) -> str:
    """Return the report as one HTML file that needs nothing else. The same report gives the same bytes.

    It names calling AE titles and models, and no study or patient.
    """
    return document(TITLE, body(found))


def body(found: ShadowReport) -> str:
    """Return what stands on the page."""
    parts = (
        _header(found),
        _warnings(found),
        _tiles(found),
        "<h2>Flag and suspicion</h2>",
        _crossing(found),
        "<h2>Which studies were judged</h2>",
        _judged(found),
        "<h2>Counted otherwise</h2>",
        _otherwise(found),
        "<h2>By week</h2>",
        _weeks(found),
        "<h2>By sender</h2>",
        _table("Sender", found.senders),
        "<h2>What the words mean</h2>",
        _meaning(found),
    )
    return "\n".join(parts)


def _header(found: ShadowReport) -> str:
    judged = found.judged.flagged + found.judged.unflagged
    return f"""<header>
<p class="eyebrow">cxr-triage · suspected pneumonia · shadow mode</p>
<h1>{escape(TITLE)}</h1>
<p class="lede">{counted(found.studies.all, "study", "studies")} received from {minute(found.since)} to
{minute(found.until)} (UTC) got an answer that was sent to nobody, or none. Readers judged
{judged:,} of those that were screened; these are compared here.</p>
<p class="use"><b>Research use only; not a medical device.</b> The readers' verdict stands for the truth, and
nothing else was looked at: no later film, no laboratory, no outcome.</p>
</header>"""


def _warnings(found: ShadowReport) -> str:
    items = "\n".join(f"<li>{escape(line)}</li>" for line in caveats(found))
    return f'<section class="warnings" aria-label="Warnings"><ul>\n{items}\n</ul></section>' if items else ""


def _tiles(found: ShadowReport) -> str:
    sensitivity, specificity = found.rates.sensitivity, found.rates.specificity
    flagged, unflagged = _judged_share(found, "flagged"), _judged_share(found, "unflagged")
    tiles = (
        ("up", "Sensitivity", sensitivity, _rate(sensitivity, found.corrected_sensitivity, "suspected ones flagged")),
        ("down", "Specificity", specificity, _rate(specificity, found.corrected_specificity, "others left alone")),
        ("", "Flagged ones judged", flagged, f"{flagged.part:,} of all {flagged.whole:,}"),
        ("", "Unflagged ones judged", unflagged, f"{unflagged.part:,} of all {unflagged.whole:,}"),
    )
    return f'<dl class="tiles">\n{"".join(_tile(*tile) for tile in tiles)}\n</dl>'


def _tile(kind: str, name: str, value: Share, note: str) -> str:
    return f'<div class="{kind}"><dt>{name}</dt><dd><strong>{figure(value)}</strong>{note}</dd></div>'


def _rate(value: Share, corrected: Corrected | None, of: str) -> str:
    if value.value is None:
        return ""
    weighted = "" if corrected is None else f"<br>weighted to all: {per_cent(corrected.value)}"
    return f"{value.part:,} of {value.whole:,} {of}<br>95 % interval {interval(value)}{weighted}"


def _judged_share(found: ShadowReport, side: str) -> Share:
    return share(getattr(found.judged, side), getattr(found.studies, side))


def _crossing(found: ShadowReport) -> str:
    rates = found.rates
    return f"""<div class="scroll"><table><caption>Judged studies; those whose readers disagree stand below.</caption>
<thead><tr><th scope="col">Studies</th><th scope="col">would have been flagged</th>
<th scope="col">screened, not flagged</th></tr></thead><tbody>
<tr><th scope="row">readers suspect pneumonia</th><td>{rates.tp:,}</td><td class="up">{rates.fn:,} missed</td></tr>
<tr><th scope="row">readers do not</th><td class="down">{rates.fp:,} wrongly flagged</td><td>{rates.tn:,}</td></tr>
</tbody></table></div>"""


def _judged(found: ShadowReport) -> str:
    names = (("flagged", "Would have been flagged"), ("unflagged", "Screened, not flagged"))
    lines = (*names, ("unscreened", "Not screened, or not yet"))
    rows = "\n".join(_judged_row(found, side, name) for side, name in lines)
    return f"""<div class="scroll"><table><thead><tr><th scope="col">What was said</th><th scope="col">Studies</th>
<th scope="col">Judged</th><th scope="col">Share</th><th scope="col">Readers disagree</th></tr></thead><tbody>
{rows}
</tbody></table></div>
{_correction(found)}"""


def _judged_row(found: ShadowReport, side: str, name: str) -> str:
    judged = _judged_share(found, side)
    cells = (f"{judged.whole:,}", f"{judged.part:,}", "" if judged.value is None else per_cent(judged.value))
    disputed = f"{getattr(found.disputed, side):,}"
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in (*cells, disputed))}</tr>'


def _correction(found: ShadowReport) -> str:
    sensitivity, specificity = found.corrected_sensitivity, found.corrected_specificity
    if sensitivity is None or specificity is None:
        return (
            '<p class="absent">Too few are judged to weight them to all screened studies: that takes judged ones with '
            "and without a flag, and with and without a suspicion.</p>"
        )
    return f"""<p>Weighted to all screened studies, as each judged one stands for others with the same answer:
sensitivity <b>{per_cent(sensitivity.value)}</b> (95 % interval {interval(sensitivity)}),
specificity <b>{per_cent(specificity.value)}</b> (95 % interval {interval(specificity)}).</p>
<p class="note">After Begg and Greenes (Biometrics 39, 1983, 207). It mends that flagged studies are judged more often,
if nothing but the answer decided which ones were judged. If readers picked conspicuous films, it does not.</p>"""


def _otherwise(found: ShadowReport) -> str:
    known = counted(found.knowing_studies, "study", "studies")
    knowing = (
        (f"Only {known} whose readers could know the flag", "Sensitivity", found.knowing.sensitivity),
        ("The same", "Specificity", found.knowing.specificity),
    )
    lines = (
        ("Disputed studies without a flag as missed", "Sensitivity", found.sensitivity_disputed_missed),
        ("Disputed flagged studies as wrongly flagged", "Specificity", found.specificity_disputed_wrong),
        ("Suspected ones that were not screened as missed", "Sensitivity", found.sensitivity_unscreened_missed),
        *(knowing if found.knowing_studies else ()),
    )
    rows = "\n".join(
        f'<tr><th scope="row">{what}</th><td>{name}</td><td>{sentence(value)}</td></tr>' for what, name, value in lines
    )
    return f'<div class="scroll"><table class="text"><tbody>\n{rows}\n</tbody></table></div>'


def _weeks(found: ShadowReport) -> str:
    if not found.weeks:
        return '<p class="absent">No study in this period.</p>'
    caption = (
        "Each point is the week in which the studies came (ISO, UTC), its line the 95 % interval, hollow below "
        f"{FEW} studies; dashes are the whole period."
    )
    drawn = f"<figure>{draw_weeks(found.weeks, found.rates)}\n<figcaption>{caption}</figcaption></figure>"
    return f"{drawn}\n{_table('Week', found.weeks)}"


def _table(name: str, groups: Sequence[Group]) -> str:
    if not groups:
        return '<p class="absent">No study in this period.</p>'
    names = (name, "Studies", "Judged", "Sensitivity", "95 % interval", "Specificity", "95 % interval")
    columns = "".join(f'<th scope="col">{each}</th>' for each in names)
    rows = "\n".join("".join(_group(group)) for group in groups)
    return f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'


def _group(group: Group) -> Iterator[str]:
    yield f'<tr><th scope="row">{escape(group.name)}</th><td>{group.studies:,}</td><td>{group.judged:,}</td>'
    for value in (group.rates.sensitivity, group.rates.specificity):
        yield f"<td>{figure(value) if value.whole else ''}</td><td>{interval(value)}</td>"
    yield "</tr>"


def _meaning(found: ShadowReport) -> str:
    facts = (
        ("Models", "<br>".join(map(escape, found.models)) or "none"),
        ("Suspicion", "A reader agrees with a flag, or disagrees with its absence. Of each reader the newest verdict."),
        ("Answer", f"What the model said last of the revision that was judged. {_changed(found)}"),
        ("Disputed", "Readers of one revision do not agree. In no rate above."),
        ("Not screened", "In no rate, and never taken for negative."),
        ("Intervals", f"Wilson's, 95 %, as if studies were independent. Below {FEW} cases counts stand for the rate."),
    )
    rows = "\n".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in facts)
    return f"""<div class="scroll"><table class="text"><tbody>
{rows}
</tbody></table></div>
<footer><p>Made {minute(found.created_at)} (UTC) by <code>cxr-triage shadow</code>.</p></footer>"""


def _changed(found: ShadowReport) -> str:
    return f"After the verdict {counted(found.changed, 'study', 'studies')} got more objects; that is not compared."
