"""Saying a result of a study: judge it, append the result and fill the outbox, in one transaction."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from dicom_io.reasons import Reason
from worker.delivery.routing import wants
from worker.destinations import Destination
from worker.domain import Flag, ModelReference, Origin, PriorityReason, Stage
from worker.repository.model_versions import RegisteredModel
from worker.repository.results import (
    add_result,
    image_outcomes,
    last_result_uid,
    last_scoring_model,
    lock_study,
    study_callers,
    told_destinations,
    was_said,
)
from worker.tables import Study
from worker.triage import Verdict, judge, name_other_models

_OF_ANY_TIME = (Stage.WITHDRAWN, Stage.RESCREENED, Stage.WAITING)  # before and after the study was concluded


@dataclass(frozen=True, slots=True)
class Speaker:
    """To whom results are said, and for which model where nothing was scored.

    A result names the model of its newest score; a frame that another model scored names that one, and the result
    warns of it.

    Attributes:
        champion: the model in service.
        destinations: where results may go; routing picks among them.
        shadow: screen and store, but send nothing.
    """

    champion: RegisteredModel
    destinations: Sequence[Destination]
    shadow: bool

    def state_finding(self, session: Session, study_id: int, now: datetime) -> bool:
        """Tell of a flagged image at once, unless one has raised the study already; returns whether it was told."""
        study = lock_study(session, study_id)
        if study.priority_reason == PriorityReason.FINDING:
            return False
        verdict = _judge(session, study, overdue=False)
        if verdict.priority_reason is not PriorityReason.FINDING:
            return False
        return self._state(session, study, verdict, Stage.EARLY, now)

    def state_overdue(self, session: Session, study_id: int, now: datetime) -> bool:
        """Say that the study was not screened in time."""
        study = lock_study(session, study_id)
        if _judge(session, study, overdue=False).reason is not Reason.PENDING:  # done between the search and the lock
            return False
        if was_said(session, study, Stage.OVERDUE):
            return False
        return self._state(session, study, _judge(session, study, overdue=True), Stage.OVERDUE, now)

    def state_conclusion(self, session: Session, study_id: int, now: datetime) -> bool:
        """Say what stands when the study is quiet and every image is terminal; once per revision, by any model."""
        study = lock_study(session, study_id)
        if study.concluded_revision >= study.revision:  # by another process, between the search and the lock
            return False
        verdict = _judge(session, study, overdue=False)
        if verdict.reason is Reason.PENDING:  # an image came between the search and the lock
            return False
        return self._state(session, study, verdict, Stage.COMPLETE, now)

    def state_rescreening(self, session: Session, study: Study, now: datetime) -> bool:
        """Tell that a locked study is flagged by another model than judged it, unless it was flagged already."""
        verdict = _judge(session, study, overdue=False)
        if study.priority_reason == PriorityReason.FINDING or verdict.priority_reason is not PriorityReason.FINDING:
            return False
        return self._state(session, study, verdict, Stage.RESCREENED, now)

    def state_waiting(self, session: Session, study_id: int, now: datetime) -> bool:
        """Raise a study that nobody has read for too long; it says nothing of a finding."""
        study = lock_study(session, study_id)
        if study.priority is not None or study.read_at is not None:  # between the search and the lock
            return False
        overdue = study.due_at <= now and _judge(session, study, overdue=False).reason is Reason.PENDING
        verdict = judge(image_outcomes(session, study.id), raised=PriorityReason.WAITING_TIME, overdue=overdue)
        return self._state(session, study, verdict, Stage.WAITING, now)

    def state_withdrawal(self, session: Session, study: Study, now: datetime) -> str:
        """Say that a reader has withdrawn the flag of a locked study; returns the UID of the result."""
        verdict = judge(image_outcomes(session, study.id), withdrawn=True)
        self._state(session, study, verdict, Stage.WITHDRAWN, now)
        return last_result_uid(session, study.id) or ""

    def _state(self, session: Session, study: Study, verdict: Verdict, stage: Stage, now: datetime) -> bool:
        model = last_scoring_model(session, study.id) or self.champion
        flag = self._flag(session, study, name_other_models(verdict, model.reference), stage, now, model.reference)
        told, callers = told_destinations(session, study.id), study_callers(session, study.id)
        names = [
            destination.name
            for destination in self.destinations
            if wants(destination, flag, in_scope=verdict.in_scope, callers=callers, told=destination.name in told)
        ]
        return add_result(session, study, flag, stage, model, names)

    def _flag(
        self, session: Session, study: Study, verdict: Verdict, stage: Stage, now: datetime, model: ModelReference
    ) -> Flag:
        return Flag(
            result_uid=f"2.25.{uuid.uuid4().int}",  # PS3.5 B.2
            supersedes=last_result_uid(session, study.id),
            revision=study.revision,
            complete=stage is Stage.COMPLETE or (stage in _OF_ANY_TIME and study.concluded_revision == study.revision),
            origin=self._origin(stage),
            study_instance_uid=study.study_instance_uid,
            accession_number=study.accession_number,
            status=verdict.status,
            reason=verdict.reason,
            priority=verdict.priority,
            priority_reason=verdict.priority_reason,
            finding=verdict.finding,
            withdrawn=verdict.withdrawn,
            warnings=verdict.warnings,
            images=verdict.predictions,
            model=model,
            created_at=now,
        )

    def _origin(self, stage: Stage) -> Origin:
        if self.shadow:
            return Origin.SHADOW
        return Origin.RESCREEN if stage is Stage.RESCREENED else Origin.LIVE


def _judge(session: Session, study: Study, *, overdue: bool) -> Verdict:
    raised = PriorityReason(study.priority_reason) if study.priority_reason else None
    return judge(image_outcomes(session, study.id), raised=raised, overdue=overdue)
