"""A re-screening whose worker is killed again and again, while new studies come."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.bulk_archive import add_judged_films
from tests.rescreens import SICK, WELL, archive_film, promote
from tests.servers.ports import wait_until
from tests.studies import put_in_service
from worker.db import Database
from worker.model.artifact import default_directory, load_card
from worker.repository.rescreen_difference import difference
from worker.repository.rescreen_views import Difference
from worker.repository.rescreening import find_run, frames_done
from worker.rescreen_tables import RescreenScore
from worker.rescreening.starting import Order, Starter
from worker.schema import migrate
from worker.service import Service, utc_now
from worker.settings import Settings
from worker.tables import Score

pytestmark = pytest.mark.chaos

FILMS = 20_000 if os.environ.get("CHAOS_LONG") else 2_000
KILLS = 20 if os.environ.get("CHAOS_LONG") else 2
REPOSITORY = Path(__file__).parents[2]
WAIT_SECONDS = 5.0  # for a live film, on a busy machine; a re-screening of all films takes longer


def start_host(url: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a score host."""
    command = [sys.executable, "-m", "tests.rescreen_host", url, str(folder)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)


def seconds_to_score(database: Database, number: int) -> float:
    """Let a new film come, prepared, and wait until it is scored."""
    image_id = archive_film(database, load_card(default_directory()), f"2.26.{number}", f"2.26.{number}.1", SICK)
    begun = time.monotonic()
    scored = select(func.count()).where(Score.image_id == image_id, Score.logit.is_not(None))

    def is_scored() -> bool:
        with database.read() as session:
            return session.scalar(scored) == 1

    wait_until(is_scored, "the live film scored", seconds=60)
    return time.monotonic() - begun


def done(database: Database, run_id: int) -> int:
    """How many frames a run has answered."""
    with database.read() as session:
        return frames_done(session, run_id)


def report(database: Database, run_id: int) -> Difference:
    """The difference of a run."""
    with database.read() as session:
        run = find_run(session, run_id)
        assert run is not None
        return difference(session, run, utc_now())


def test_killed_again_and_again_a_rescreening_loses_and_doubles_nothing_and_holds_up_nobody(tmp_path: Path) -> None:
    """Every film has one score, the difference is exact, and each new film is scored in its usual time meanwhile."""
    url = f"sqlite:///{tmp_path / 'archive.sqlite'}"
    database = Database(url)
    migrate(database)
    card, before = load_card(default_directory()), put_in_service(database)
    add_judged_films(database, before, card, [SICK if number % 10 == 0 else WELL for number in range(FILMS)])
    promote(database)
    service = Service(Settings(data_dir=tmp_path), database, lambda _task: None)
    run = Starter(service, "me@host").start(Order()).run
    assert run.expected == FILMS
    waits: list[float] = []
    for kill in range(1, KILLS + 1):
        host, so_far = start_host(url, tmp_path), done(database, run.id)
        wait_until(lambda so_far=so_far: done(database, run.id) > so_far, "the run going on", seconds=60)  # type: ignore[misc]
        waits.append(seconds_to_score(database, kill))
        host.kill()
        host.wait()
        assert report(database, run.id).run.outcome is None
    host = start_host(url, tmp_path)
    wait_until(lambda: report(database, run.id).run.outcome == "finished", "the run finished", seconds=600)
    host.kill()
    host.wait()
    found = report(database, run.id)
    assert (found.studies.newly_flagged, found.counts.frames_scored, found.counts.unanswered) == (FILMS // 10, FILMS, 0)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(RescreenScore)) == FILMS
    assert max(waits) < WAIT_SECONDS
    database.dispose()
