"""The pixels of frames, from the month in which they were prepared."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, ScalarSelect, func, select
from sqlalchemy.orm import Session

from worker.db import BINARY
from worker.tables import PreparedImage, Score


def pixels_of_score(session: Session, input_spec_sha256: str) -> ScalarSelect[bytes]:
    """Return the column of a frame's pixels, for a selection from `scores`; `complete` must follow.

    The work of scoring is made with the pixels, so that they lie in its month or a later one. PostgreSQL leaves out
    the earlier ones while it runs: to look through all months takes six times as long.
    """
    if session.get_bind().dialect.name != "postgresql":
        return _pixels(input_spec_sha256)
    return _pixels(input_spec_sha256, PreparedImage.created_at >= func.date_trunc("month", Score.created_at, "UTC"))


def complete(session: Session, rows: Sequence[Row[*tuple[Any, ...]]], input_spec_sha256: str) -> list[tuple[Any, ...]]:
    """Return the rows, score id first and pixels last, with pixels from any month where there were none.

    They lie in an earlier month if they were there already when the film was to be prepared again.
    """
    missing = [row[0] for row in rows if row[-1] is None]
    if not missing or session.get_bind().dialect.name != "postgresql":
        return [tuple(row) for row in rows]
    anywhere = select(Score.id, _pixels(input_spec_sha256)).where(Score.id.in_(missing))
    found = {row[0]: row[1] for row in session.execute(anywhere, execution_options={BINARY: True})}
    return [(*row[:-1], found.get(row[0], row[-1])) for row in rows]


def _pixels(input_spec_sha256: str, *conditions: Any) -> ScalarSelect[bytes]:
    of_frame = (
        PreparedImage.content_sha256 == Score.content_sha256,
        PreparedImage.frame == Score.frame,
        PreparedImage.input_spec_sha256 == input_spec_sha256,
    )
    found = select(PreparedImage.pixels).where(*of_frame, *conditions).limit(1)  # several months: the same pixels
    return found.correlate(Score).scalar_subquery()
