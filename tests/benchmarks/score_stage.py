"""The whole score stage on a database of drawn films, for `bench_gpu`."""

import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog
import zstandard
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from tests.benchmarks.bench_gpu import Cost, Films, stopwatch
from tests.studies import CR, FOLDER, NOW, put_in_service, sha256
from worker.db import Database
from worker.domain import ImageState, Origin, Urgency
from worker.feeding import Feeder
from worker.inference import Engine
from worker.schema import migrate
from worker.scoring import Scorer
from worker.service import Service
from worker.settings import Settings
from worker.stating import Speaker
from worker.tables import Image, PreparedImage, Score, Study


def fed_from_database(engine: Engine, films: Films, batch_size: int, url: str | None) -> dict[str, Callable[[], Cost]]:
    """Return a function for each database that fills it and returns the cost until every film is scored."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    urls = {"whole stage, SQLite": f"sqlite:///{folder / 'bench.sqlite'}"}
    if url is not None:
        urls["whole stage, PostgreSQL"] = url
    packed = [zstandard.compress(film.tobytes()) for film in films]
    return {name: partial(_cost, _scorer(engine, at, batch_size, folder), packed) for name, at in urls.items()}


def _scorer(engine: Engine, url: str, batch_size: int, folder: Path) -> Scorer:
    database = Database(url)
    migrate(database)
    settings = Settings(data_dir=folder, batch_size=batch_size)
    service = Service(settings, database, wake=lambda _task: None)
    return Scorer(service, engine, Speaker(put_in_service(database), (FOLDER,), shadow=False))


def _cost(scorer: Scorer, packed: list[bytes]) -> Cost:
    with scorer.service.database.begin() as session:
        _fill(session, packed, scorer.engine.card.input_spec.sha256)
    feeder, read = Feeder(lambda: scorer), stopwatch()
    while feeder.score_next_batch():
        pass
    return read()


def _fill(session: Session, packed: list[bytes], input_spec: str) -> None:
    session.execute(delete(PreparedImage))
    last = session.scalar(select(func.max(Study.id))) or 0  # scored ones stay: results are append-only
    rows: dict[type, list[dict[str, object]]] = {Study: [], Image: [], PreparedImage: [], Score: []}
    for number, pixels in enumerate(packed, start=last + 1):
        content = sha256(str(number))
        times = {"received_at": NOW, "last_received_at": NOW, "due_at": NOW}
        rows[Study].append({"id": number, "study_instance_uid": f"2.25.{number}", "revision": 1, **times})
        rows[Image].append(_image(number, content))
        rows[PreparedImage].append(
            {
                "content_sha256": content,
                "frame": 1,
                "input_spec_sha256": input_spec,
                "pixels": pixels,
                "created_at": NOW,
            }
        )
        work = {"image_id": number, "content_sha256": content, "frame": 1, "created_at": NOW}
        rows[Score].append({**work, "origin": Origin.LIVE, "urgency": Urgency.MEDIUM})
    for table, values in rows.items():
        session.execute(insert(table), values)


def _image(number: int, content: str) -> dict[str, object]:
    uid = f"2.25.{number}"
    return {
        "id": number,
        "study_id": number,
        "series_instance_uid": f"{uid}.1",
        "sop_class_uid": CR,
        "sop_instance_uid": f"{uid}.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "content_sha256": content,
        "calling_ae_title": "PACS1",
        "state": ImageState.PREPARED,
        "warnings": [],
        "urgency": Urgency.MEDIUM,
        "received_at": NOW,
    }
