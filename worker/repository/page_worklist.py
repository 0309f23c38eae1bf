"""The worklist as the page shows it: filtered, most urgent first, a part at a time."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from worker.domain import ImageState
from worker.repository.page_query import MOST_COUNTED, ROWS_PER_PAGE, WorklistQuery, conditions_of
from worker.repository.views import WorklistEntry, worklist_lines
from worker.tables import Image, Result, Study


class PageStudy(BaseModel):
    """A study as a line of the worklist; `threshold` and `model` are of its last result, null before the first.

    `threshold` belongs to the frame of the highest probability.
    """

    model_config = ConfigDict(frozen=True)

    entry: WorklistEntry
    threshold: float | None
    model: str | None
    senders: list[str]


class WorklistPart(BaseModel):
    """A page of the worklist.

    `found` is how many studies there are in all, up to 10,000; `more` says that there are more. `raised` is how many of
    those that were counted have a priority.
    """

    model_config = ConfigDict(frozen=True)

    studies: list[PageStudy]
    found: int
    raised: int
    more: bool
    page: int
    pages: int


def find_worklist(session: Session, query: WorklistQuery, now: datetime) -> WorklistPart:
    """Return one page of what meets the query: raised ones first, then the longest waiting.

    The last page stands for those beyond it, as studies leave the worklist while somebody leafs through it.
    """
    conditions = conditions_of(query, now)
    counted, raised = _count(session, *conditions)
    found = min(counted, MOST_COUNTED)
    pages = max(1, -(-found // ROWS_PER_PAGE))
    page = min(query.page, pages)
    order = (Study.priority.is_(None), func.coalesce(Study.reopened_at, Study.received_at), Study.id)
    # The numbers first: what stands in a line costs more than its place, and is asked for one page only.
    ids = select(Study.id).where(*conditions).order_by(*order).limit(ROWS_PER_PAGE).offset((page - 1) * ROWS_PER_PAGE)
    shown = session.scalars(ids).all()
    return WorklistPart(
        studies=_studies(session, _lines().where(Study.id.in_(shown)).order_by(*order)),
        found=found,
        raised=raised,
        more=counted > MOST_COUNTED,
        page=page,
        pages=pages,
    )


def find_study(session: Session, study_instance_uid: str) -> PageStudy | None:
    """Return one study as a line; None if it is unknown."""
    found = _studies(session, _lines().where(Study.study_instance_uid == study_instance_uid))
    return found[0] if found else None


def _count(session: Session, *conditions: ColumnElement[bool]) -> tuple[int, int]:
    """Return how many studies there are, and how many of them are raised; no more are looked at than are counted."""
    some = select(Study.priority).where(*conditions).limit(MOST_COUNTED + 1).subquery()
    found, raised = session.execute(select(func.count(), func.count(some.c.priority)).select_from(some)).one()
    return found, raised


def _lines() -> Select[Any]:
    return worklist_lines().add_columns(Study.id.label("study_id"))


def _studies(session: Session, statement: Select[Any]) -> list[PageStudy]:
    rows = session.execute(statement).all()
    ids = [row.study_id for row in rows]
    said, sent = _last_words(session, ids), _senders(session, ids)
    return [
        PageStudy(
            entry=WorklistEntry.model_validate(row),
            senders=sent.get(row.study_id, []),
            **said.get(row.study_id, {"threshold": None, "model": None}),
        )
        for row in rows
    ]


def _last_words(session: Session, study_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    last = select(func.max(Result.id)).where(Result.study_id.in_(study_ids)).group_by(Result.study_id)
    rows = session.execute(select(Result.study_id, Result.flag).where(Result.id.in_(last)))
    return {row.study_id: _of_flag(json.loads(row.flag)) for row in rows}


def _of_flag(flag: dict[str, Any]) -> dict[str, Any]:
    scored = [image for image in flag["images"] if image["probability"] is not None]
    highest = max(scored, key=lambda image: image["probability"], default={"threshold": None})
    model = flag["model"]
    return {"threshold": highest["threshold"], "model": f"{model['name']} {model['version']}"}


def _senders(session: Session, study_ids: Sequence[int]) -> dict[int, list[str]]:
    senders: dict[int, list[str]] = {}
    sent = select(Image.study_id, Image.calling_ae_title).where(
        Image.study_id.in_(study_ids), Image.state != ImageState.SUPERSEDED
    )
    for study_id, title in session.execute(sent.distinct().order_by(Image.calling_ae_title)):
        senders.setdefault(study_id, []).append(title)
    return senders
