"""Every study of a period with what was said of it and what its readers said: the material of the shadow report."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from worker.domain import Origin, ScreeningStatus, Stage, UserRole, VerdictWord
from worker.tables import Image, Result, Study
from worker.web_tables import ReaderVerdict, User

# Neither what a reader withdrew, nor what another model said later.
BY_THE_MODEL = (Stage.EARLY, Stage.OVERDUE, Stage.COMPLETE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said of a revision in the end.

    Attributes:
        flagged: whether it had a finding.
        screened: whether it was screened; a study flagged by its first film may still be on its way.
        shadow: whether it was said in shadow mode, and sent to nobody.
        model: name and version.
    """

    flagged: bool
    screened: bool
    shadow: bool
    model: str


@dataclass(frozen=True, slots=True)
class ReadStudy:
    """A study as it is compared: the revision that was judged last, or its present one if none was.

    Attributes:
        received_at: when its first object came.
        sender: the calling AE title of its first object.
        answer: what was said of that revision; None if nothing was, yet.
        suspected: whether there is a suspicion, by each reader of that revision; empty without a verdict.
        blind: whether no reader could know the flag when judging; true without a verdict.
        changed: whether objects came after the verdict.
    """

    received_at: datetime
    sender: str | None
    answer: Answer | None
    suspected: tuple[bool, ...]
    blind: bool
    changed: bool


@dataclass(slots=True)
class _Word:
    """The newest word of a reader; `first` are revision and suspicion of that reader's first one on the study."""

    revision: int
    suspected: bool
    first: tuple[int, bool]
    sees_all: bool


def read_studies(session: Session, since: datetime, until: datetime) -> Iterator[ReadStudy]:
    """Yield every study received in [since, until), but synthetic ones.

    A reader who agrees with a flag, or disagrees with its absence, has a suspicion. Who said something else of the
    study before, or something of an earlier revision, or is an administrator, may have known the flag.
    """
    words, answers = _words(session, since, until), _answers(session, since, until)
    senders = _senders(session, since, until)
    studies = select(Study.id, Study.revision, Study.received_at).where(*_of_period(since, until))
    for study_id, revision, received_at in session.execute(studies):
        said = words.get(study_id, {}).values()
        judged = max((word.revision for word in said), default=revision)
        counting = [word for word in said if word.revision == judged]
        answer = answers.get((study_id, judged))
        yield ReadStudy(
            received_at=received_at,
            sender=senders.get(study_id),
            answer=answer,
            suspected=tuple(word.suspected for word in counting),
            blind=_is_blind(answer, counting),
            changed=bool(counting) and judged < revision,
        )


def _is_blind(answer: Answer | None, words: list[_Word]) -> bool:
    sent = answer is not None and not answer.shadow
    return not words or not (
        sent or any(word.sees_all or (word.revision, word.suspected) != word.first for word in words)
    )


def _of_period(since: datetime, until: datetime) -> tuple[ColumnElement[bool], ...]:
    return Study.received_at >= since, Study.received_at < until, ~Study.synthetic


def _senders(session: Session, since: datetime, until: datetime) -> dict[int, str]:
    """Return who sent the first object of each study, which is the last one here."""
    newest_first = select(Image.study_id, Image.calling_ae_title).join(Study).where(*_of_period(since, until))
    rows = session.execute(newest_first.order_by(Image.id.desc()).execution_options(yield_per=1000))
    return {row.study_id: row.calling_ae_title for row in rows}


def _words(session: Session, since: datetime, until: datetime) -> dict[int, dict[str, _Word]]:
    """Return the newest word of each reader by study and reader."""
    verdict = ReaderVerdict
    columns = (verdict.study_id, verdict.reader, verdict.revision, verdict.verdict, verdict.flagged, User.role)
    statement = select(*columns).join(Study, Study.id == verdict.study_id).outerjoin(User, User.name == verdict.reader)
    words: dict[int, dict[str, _Word]] = {}
    rows = session.execute(statement.where(*_of_period(since, until)).order_by(verdict.id))
    for study_id, reader, revision, said, flagged, role in rows:
        suspected = (said == VerdictWord.AGREES) == flagged
        of_study = words.setdefault(study_id, {})
        first = of_study[reader].first if reader in of_study else (revision, suspected)
        of_study[reader] = _Word(revision, suspected, first, role == UserRole.ADMIN)
    return words


def _answers(session: Session, since: datetime, until: datetime) -> dict[tuple[int, int], Answer]:
    """Return what the model said last, by study and revision."""
    last = select(func.max(Result.id)).join(Study).where(Result.stage.in_(BY_THE_MODEL), *_of_period(since, until))
    of_each = last.group_by(Result.study_id, Result.revision)
    statement = select(Result.study_id, Result.revision, Result.flag).where(Result.id.in_(of_each))
    rows = session.execute(statement.execution_options(yield_per=1000))
    return {(study_id, revision): _answer(json.loads(flag)) for study_id, revision, flag in rows}


def _answer(flag: dict[str, Any]) -> Answer:
    return Answer(
        flagged=flag["finding"] is not None,
        screened=flag["status"] == ScreeningStatus.SCREENED,
        shadow=flag["origin"] == Origin.SHADOW,
        model=f"{flag['model']['name']} {flag['model']['version']}",
    )
