"""`celery -A worker worker -Q score`, as a GPU host runs it, with the model that ships."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zstandard
from sqlalchemy import select

from dicom_io.phantom import self_test_pixels
from tests.servers.ports import wait_until
from tests.studies import incoming, receive
from worker.db import Database
from worker.domain import ImageState
from worker.model.input_spec import InputSpec
from worker.repository.preparation import ImageWork, Preparation, finish_image
from worker.service import utc_now
from worker.tables import Image, Score

SOLO, THREADS = ("--pool", "solo"), ("--pool", "threads", "--concurrency", "2")
FILMS = 12


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings of an embedded service in a folder of its own."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
    settings = {"CXR_DATA_DIR": str(tmp_path / "data"), "CXR_BATCH_SIZE": "4", "CXR_DEVICE": "cpu"}
    return {**others, **settings}


@pytest.fixture
def database(environment: dict[str, str], tmp_path: Path) -> Iterator[Database]:
    """Its database, with prepared films."""
    command = (Path(sys.executable).with_name("cxr-triage"), "migrate")
    (tmp_path / "data").mkdir()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    opened = Database(f"sqlite:///{tmp_path / 'data' / 'cxr-triage.sqlite'}")
    for number in range(1, FILMS + 1):
        add_prepared(opened, number)
    yield opened
    opened.dispose()


def add_prepared(database: Database, number: int) -> None:
    """A film in a study of its own, with its prepared image."""
    study = f"2.25.{number}"
    receive(database, incoming(f"{study}.1", study=study, at=utc_now()))
    packed = zstandard.compress(np.roll(self_test_pixels(), number).tobytes())
    with database.begin() as session:
        image = session.scalars(select(Image).where(Image.sop_instance_uid == f"{study}.1")).one()
        work, done = ImageWork(image.id, study, image.content_sha256), Preparation(ImageState.PREPARED, (packed,))
        assert finish_image(session, work, done, input_spec_sha256=InputSpec().sha256, now=utc_now())


@contextmanager
def worker(
    app: str, pool: tuple[str, ...], environment: dict[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A Celery worker of the score queue."""
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "-Q", "score", *pool]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=Path.cwd(), env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def waiting(database: Database) -> list[tuple[int, bool]]:
    """Attempts on each frame without a score, and whether somebody holds it."""
    with database.read() as session:
        frames = session.scalars(select(Score).where(Score.scored_at.is_(None))).all()
    return [(frame.attempts, frame.lease_until is not None) for frame in frames]


@pytest.mark.parametrize("pool", [SOLO, THREADS], ids=["solo", "threads"])
def test_either_pool_scores_every_film_and_stops_when_told(
    pool: tuple[str, ...], environment: dict[str, str], database: Database, tmp_path: Path
) -> None:
    """The backlog is found at the start, without a message; one model is loaded, and no film is scored twice."""
    log = tmp_path / "log"
    with worker("worker", pool, environment, log) as process:
        wait_until(lambda: not waiting(database), f"every film scored, see {log}", seconds=120)
    assert process.returncode == 0
    with database.read() as session:
        assert set(session.scalars(select(Image.state))) == {ImageState.SCORED}
        assert set(session.scalars(select(Score.attempts))) == {1}
    assert log.read_text().count('"event": "engine-ready"') == 1


@pytest.mark.parametrize("pool", [SOLO, THREADS], ids=["solo", "threads"])
def test_a_lost_device_ends_the_worker_with_one_line_and_costs_no_film_an_attempt(
    pool: tuple[str, ...], environment: dict[str, str], database: Database, tmp_path: Path
) -> None:
    """It exits with status 1, so that it is started again; every film waits as it came."""
    log = tmp_path / "log"
    with worker("tests.lost_device", pool, environment, log) as process:
        wait_until(lambda: process.poll() is not None, f"the worker ended, see {log}", seconds=120)
    assert process.returncode == 1
    assert waiting(database) == [(0, False)] * FILMS
    lines = [line for line in log.read_text().splitlines() if "device-lost" in line]
    assert len(lines) == 1
    assert "device cpu failed: CUDA error: unspecified launch failure; the worker ends to start anew" in lines[0]
