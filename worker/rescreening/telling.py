"""Telling of what a re-screening newly flags; only where it was asked for, and only by the model in service."""

from collections.abc import Callable

from worker.queues import Queue
from worker.repository.model_versions import RegisteredModel, is_champion
from worker.repository.rescreen_changes import adopt, studies_to_tell
from worker.repository.rescreening import ChunkWork
from worker.repository.results import lock_study
from worker.service import Service
from worker.stating import Speaker

SpeakerOf = Callable[[RegisteredModel], Speaker]


def tell_newly_flagged(service: Service, speaker_of: SpeakerOf, work: ChunkWork) -> int:
    """Say the newly flagged studies of a scored chunk that are young enough; returns how many.

    Each in a transaction of its own, in which the study takes over what the model says of its frames.
    """
    if work.run.deliver_after is None:
        return 0
    with service.database.read() as session:
        study_ids = studies_to_tell(session, work)
    told = sum(_tell(service, speaker_of, work, study_id) for study_id in study_ids)
    if told:
        service.wake(Queue.DELIVER)
    return told


def _tell(service: Service, speaker_of: SpeakerOf, work: ChunkWork, study_id: int) -> bool:
    model, now = work.run.model, service.now()
    with service.database.begin() as session:
        if not is_champion(session, model):  # another one was put in service meanwhile
            return False
        study = lock_study(session, study_id)
        if not adopt(session, study_id, model.id, now):
            return False
        return speaker_of(model).state_rescreening(session, study, now)
