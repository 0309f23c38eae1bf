"""Running the demo: start the site, push the films, show the worklist filling, say what came back."""

import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live

from worker.bootstrap import build_service
from worker.celery import wake
from worker.console import WORKLIST_COLUMNS, as_table, show, worklist_rows
from worker.demo.films import Film, draw_films, own_films
from worker.demo.site import Site
from worker.doctor import Doctor
from worker.domain import DeliveryState
from worker.errors import ConfigurationError
from worker.repository import views
from worker.service import Service, utc_now

START_SECONDS = 120.0
FLAG_SECONDS = 120.0
POLL_SECONDS = 0.1


def run(data: Path | None, films: int) -> None:
    """Push the films of a folder, or phantoms, through a service of its own in a temporary folder, and end.

    Raises:
        ConfigurationError: if the folder holds no film, or the service does not start.
    """
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="cxr-triage-demo-"))
    (folder / "films").mkdir()
    pushed = list(own_films(data, folder / "films") if data else draw_films(folder / "films", films))
    if not pushed:
        raise ConfigurationError(f"{data}: no DICOM, PNG or JPEG file in it can be read; name a folder of films")
    _introduce(console, folder, data, len(pushed))
    with Site(folder) as site:
        service = _await_service(site)
        _show_way_through(console, service)
        pushing = site.push(pushed)
        _watch(console, service, pushed, pushing)
        _conclude(console, site, service, pushed)


def _introduce(console: Console, folder: Path, data: Path | None, count: int) -> None:
    if data is not None:
        left_out = sum(path.is_file() for path in data.rglob("*")) - count
        console.print(f"{count} films of {data}; {left_out} files are no DICOM, PNG or JPEG and are left out")
    else:
        console.print(
            f"{count} drawn chest phantoms: they show the plumbing, not the accuracy. "
            "DEMO_DATA=folder pushes your own images instead.",
            soft_wrap=True,
        )
    console.print(f"Everything lies in {folder}", soft_wrap=True)
    console.print("Research use only; not a medical device.")


def _await_service(site: Site) -> Service:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and not site.ended:
        if site.answers():
            return build_service(site.settings, wake)
        time.sleep(POLL_SECONDS)
    raise ConfigurationError(f"the service did not start: see {site.folder / 'serve.log'}")


def _show_way_through(console: Console, service: Service) -> None:
    for finding in Doctor(service, patience=START_SECONDS).examine():
        console.print(f"doctor: {finding.name}: {finding.problem or finding.answer}", soft_wrap=True)


def _watch(console: Console, service: Service, films: Sequence[Film], pushing: threading.Thread) -> None:
    """Show the worklist filling until every pushed study is concluded and nothing waits to be sent."""
    expected = len({film.study_instance_uid for film in films})
    end = time.monotonic() + FLAG_SECONDS + len(films)
    with Live(console=console, refresh_per_second=8, transient=not console.is_terminal) as live:
        while time.monotonic() < end:
            entries = _entries(service, expected)
            if console.is_terminal:
                live.update(as_table(WORKLIST_COLUMNS, worklist_rows(entries, utc_now())))
            done = sum(entry.complete for entry in entries)
            if not pushing.is_alive() and done == len(entries) and not _waiting(service):
                break
            time.sleep(POLL_SECONDS)
    if not console.is_terminal:
        show(console, WORKLIST_COLUMNS, worklist_rows(_entries(service, expected), utc_now()))


def _entries(service: Service, limit: int) -> list[views.WorklistEntry]:
    with service.database.read() as session:
        return views.worklist(session, limit=max(limit, 1))


def _waiting(service: Service) -> bool:
    with service.database.read() as session:
        return any(row.state == DeliveryState.PENDING for row in views.undelivered(session))


def _conclude(console: Console, site: Site, service: Service, films: Sequence[Film]) -> None:
    seconds = _seconds_to_first_flag(service, films)
    flags = sorted((site.folder / "flags").glob("*.json"))
    console.print(f"{len(films)} films pushed, {len(site.refused)} refused, {site.reports} reports taken by the PACS")
    for refusal in site.refused:
        console.print(f"refused: {refusal}", soft_wrap=True, markup=False)
    if seconds:
        middle, worst = statistics.median(seconds), max(seconds)
        console.print(
            f"last byte to HIGH flag in the folder, workers warm: median {middle:.2f} s, worst {worst:.2f} s "
            f"({len(seconds)} flagged studies; to reach: 2 s)"
        )
    else:
        console.print("no study was flagged, so no time to a flag was measured")
    console.print(f"{len(flags)} flags: {site.folder / 'flags'}", soft_wrap=True)
    if flags:
        console.print_json(flags[-1].read_text())


def _seconds_to_first_flag(service: Service, films: Sequence[Film]) -> list[float]:
    """Return, per raised study, the seconds from its last film's arrival to its first raised flag in the folder."""
    with service.database.read() as session:
        uids = dict.fromkeys(film.study_instance_uid for film in films)
        histories = [history for uid in uids if (history := views.study_history(session, uid))]
    seconds = []
    for history in histories:
        raised = {flag["result_uid"] for flag in history.results if flag["priority"]}
        sent = [
            row.delivered_at
            for row in history.deliveries
            if row.result_uid in raised and row.destination == "flags" and row.delivered_at
        ]
        if sent:
            last_byte = max(image.received_at for image in history.images)
            seconds.append((min(sent) - last_byte).total_seconds())
    return seconds
