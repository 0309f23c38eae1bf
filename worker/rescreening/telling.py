"""Telling of what a re-screening newly flags; only where it was asked for, and only by the model in service."""

from collections.abc import Callable
from contextlib import ExitStack

from worker.queues import Queue
from worker.repository.model_versions import RegisteredModel, is_champion
from worker.repository.rescreen_changes import adopt, studies_to_tell
from worker.repository.rescreening import ChunkWork, count_told, is_open
from worker.repository.results import lock_study
from worker.service import Service
from worker.stating import Speaker

SpeakerOf = Callable[[RegisteredModel], Speaker]


def tell_newly_flagged(service: Service, speaker_of: SpeakerOf, work: ChunkWork) -> int:
    """Say the newly flagged studies of a scored chunk that are young enough; returns how many.

    Each in a transaction of its own, in which the study takes over what the model says of its frames and the run counts
    it; none once the run was stopped.
    """
    if work.run.deliver_after is None:
        return 0
    with service.database.read() as session:
        study_ids = studies_to_tell(session, work)
    told: list[int] = []
    with ExitStack() as each:  # one that cannot be said holds up no other: its fault is raised when all were tried
        for study_id in reversed(study_ids):
            each.callback(_tell, service, speaker_of, work, study_id, told)
    return len(told)


def _tell(service: Service, speaker_of: SpeakerOf, work: ChunkWork, study_id: int, told: list[int]) -> None:
    model, now = work.run.model, service.now()
    with service.database.begin() as session:
        # Another model was put in service meanwhile, or somebody stopped the run.
        if not is_champion(session, model) or not is_open(session, work.run):
            return
        study = lock_study(session, study_id)
        adopted = adopt(session, study_id, model.id, now)
        if not adopted or not speaker_of(model).state_rescreening(session, study, now):
            return
        count_told(session, work.run)
    told.append(study_id)
    service.wake(Queue.DELIVER)
