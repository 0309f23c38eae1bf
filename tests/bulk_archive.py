"""Many judged films at once, one study each, for tests of what re-screening does with thousands."""

from datetime import timedelta

from sqlalchemy import insert

from tests.rescreens import film
from tests.studies import CR, sha256
from worker.db import Database
from worker.domain import ImageState, Origin, ScreeningStatus
from worker.model.artifact import ModelCard
from worker.repository.model_versions import RegisteredModel
from worker.service import utc_now
from worker.tables import Image, PreparedImage, Score, Study

AT_ONCE = 500


def add_judged_films(database: Database, judged_by: RegisteredModel, card: ModelCard, levels: list[int]) -> None:
    """Add a concluded study per grey level, received within the last hour, of which nothing was flagged."""
    pixels = {level: film(level, card.input_spec.size) for level in set(levels)}
    for start in range(0, len(levels), AT_ONCE):
        part = list(enumerate(levels[start : start + AT_ONCE], start=start + 1))
        at = utc_now() - timedelta(hours=1)
        keys = {number: sha256(f"bulk {number}") for number, _ in part}
        with database.begin() as session:
            session.execute(insert(Study), [_study(number, at) for number, _ in part])
            session.execute(insert(Image), [_image(number, keys[number], at) for number, _ in part])
            session.execute(insert(Score), [_score(number, keys[number], judged_by.id, at) for number, _ in part])
            spec = card.input_spec.sha256
            rows = [_prepared(keys[number], spec, pixels[level], at) for number, level in part]
            session.execute(insert(PreparedImage), rows)


def _study(number: int, at: object) -> dict[str, object]:
    return {
        "id": number,
        "study_instance_uid": f"2.25.{number}",
        "revision": 1,
        "concluded_revision": 1,
        "status": ScreeningStatus.SCREENED,
        "received_at": at,
        "last_received_at": at,
        "due_at": at,
    }


def _image(number: int, content: str, at: object) -> dict[str, object]:
    return {
        "id": number,
        "study_id": number,
        "series_instance_uid": f"2.25.{number}.0",
        "sop_class_uid": CR,
        "sop_instance_uid": f"2.25.{number}.1",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "content_sha256": content,
        "calling_ae_title": "PACS1",
        "state": ImageState.SCORED,
        "warnings": [],
        "urgency": 20,
        "received_at": at,
    }


def _score(number: int, content: str, model_version_id: int, at: object) -> dict[str, object]:
    return {
        "image_id": number,
        "content_sha256": content,
        "frame": 1,
        "origin": Origin.LIVE,
        "model_version_id": model_version_id,
        "logit": -4.0,
        "probability": 0.02,
        "threshold": 0.31,
        "threshold_logit": -0.8,
        "urgency": 20,
        "created_at": at,
        "scored_at": at,
    }


def _prepared(content: str, spec: str, pixels: bytes, at: object) -> dict[str, object]:
    return {"content_sha256": content, "frame": 1, "input_spec_sha256": spec, "pixels": pixels, "created_at": at}
