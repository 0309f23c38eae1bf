"""Re-screening on a score host: a chunk at a time, and between two batches whatever has just come in."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog

from worker.errors import DeviceLostError
from worker.faults import Fault
from worker.holding import Held
from worker.inference import Engine
from worker.queues import Queue
from worker.repository.claims import has_standing_work, release
from worker.repository.rescreen_changes import record_changes
from worker.repository.rescreen_frames import FIRST, LAST, Answer, Film, load_films, write_answers
from worker.repository.rescreen_preparation import ask_for_preparation
from worker.repository.rescreening import ChunkWork, Run, claim_chunk, close_chunk, finish_run, open_run, put_back
from worker.rescreen_tables import RescreenChunk
from worker.rescreening.batch import Batch
from worker.rescreening.engines import Engines
from worker.rescreening.telling import SpeakerOf, tell_newly_flagged
from worker.service import Service
from worker.tables import Score

FILMS_AT_ONCE = 512  # loaded and written in one transaction each; 25 MB of pixels at most
TURN_SECONDS = 5.0  # then the rest of a chunk waits for the next turn: a worker that is stopped or killed loses no more
ALONE_FROM_ATTEMPT = 3  # so that what kills its worker loses no other film of its chunk

_WAITS = "waits for images to be prepared again"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rescreener:
    """Scores chunks of the open run.

    Attributes:
        speaker_of: says results for a model.
        between_batches: called before each batch, for what is more urgent.
        clock: monotonic seconds.
    """

    service: Service
    engines: Engines
    speaker_of: SpeakerOf
    between_batches: Callable[[], None]
    clock: Callable[[], float] = time.monotonic

    def score_next_chunk(self) -> bool:
        """Score a chunk of the open run, or `TURN_SECONDS` of it; returns whether there was one.

        What is more urgent goes first between two batches, too: a study that comes meanwhile waits for one at most.
        """
        run = self._run()
        if run is None:
            return False
        engine = self.engines.engine_of(run)
        if engine is None:
            return False
        with self.service.database.begin() as session:
            work = claim_chunk(session, run, now=self.service.now(), policy=self.service.image_policy)
        if work is None:
            self._finish(run)
            return False
        with Held(partial(self._give_back, work, engine)):
            self._score_held(work, engine)
        return True

    def _run(self) -> Run | None:
        with self.service.database.read() as session:
            run = open_run(session)
        if run is None:
            self.engines.let_go()
        return run

    def _score_held(self, work: ChunkWork, engine: Engine) -> None:
        waits, count, end = False, 0, self.clock() + TURN_SECONDS
        limit = 1 if work.attempts >= ALONE_FROM_ATTEMPT else FILMS_AT_ONCE
        if limit == 1:  # it may end like the attempts before: what they found is told
            tell_newly_flagged(self.service, self.speaker_of, work)
        for films in self._pages(work, engine, limit):
            missing = self._ask_for_preparation(work, engine, films)
            seen, answers = self._answer(engine, films, missing, end)
            self._write(work, answers)
            waits, count = waits or bool(missing), count + len(answers)
            is_over = bool(answers) and len(films) == limit and self.clock() > end  # in the middle of its pages
            if seen < len(films) or is_over:
                with self.service.database.begin() as session:
                    put_back(session, work)
                return
        if waits:
            self._release(work, Fault(_WAITS, ""), counted=False)
            self.service.wake(Queue.PREPARE)
            return
        told = tell_newly_flagged(self.service, self.speaker_of, work)
        with self.service.database.begin() as session:
            if close_chunk(session, work, now=self.service.now()):
                record_changes(session, work, self.service.now())
        _log.info("rescreened", rescreen_id=work.run.id, frames=count, told=told)

    def _pages(self, work: ChunkWork, engine: Engine, limit: int) -> Iterator[Sequence[Film]]:
        # What ends every attempt stands between the films before it and those behind it: they take turns.
        backwards = limit == 1 and work.attempts % 2 == 0
        after, spec = LAST if backwards else FIRST, engine.card.input_spec.sha256
        while True:
            with self.service.database.read() as session:
                films = load_films(session, work, spec, after=after, limit=limit, backwards=backwards)
            if films:
                yield films
            if len(films) < limit:
                return
            after = films[-1].key

    def _ask_for_preparation(self, work: ChunkWork, engine: Engine, films: Sequence[Film]) -> set[str]:
        """Return the content hashes of those films that will be prepared for the model."""
        unprepared = [film for film in films if film.pixels is None]
        if not unprepared:
            return set()
        spec = engine.card.input_spec.model_dump(mode="json")
        with self.service.database.begin() as session:
            waiting = ask_for_preparation(session, work, unprepared, spec, self.service.image_policy)
        return waiting & {film.content_sha256 for film in unprepared}

    def _answer(self, engine: Engine, films: Sequence[Film], missing: set[str], end: float) -> tuple[int, list[Answer]]:
        """Score films batch by batch until `end`; what has to wait for its preparation is left out.

        Returns:
            How many of the films it came to, and the answers.
        """
        size, seen = self.service.settings.batch_size, 0
        answers, under_way = list[Answer](), Batch(engine, ())
        for start in range(0, len(films), size):
            if start and self.clock() > end:
                break
            films_now = films[start : start + size]
            batch = Batch(engine, [f for f in films_now if f.pixels is not None or f.content_sha256 not in missing])
            batch.unpack()
            under_way.wait()  # so that what is more urgent waits for one batch at most
            self.between_batches()
            batch.start()
            answers += under_way.answers()
            under_way, seen = batch, seen + len(films_now)
        return seen, answers + under_way.answers()

    def _write(self, work: ChunkWork, answers: Sequence[Answer]) -> None:
        now, policy = self.service.now(), self.service.image_policy
        with self.service.database.begin() as session:
            write_answers(session, work, answers, now=now, policy=policy)

    def _give_back(self, work: ChunkWork, engine: Engine, fault: Fault, counted: bool) -> None:
        # While the network answers for no film at all the fault is this host's, not the chunk's.
        self._release(work, fault, counted=counted and _answers(engine))
        _log.warning("rescreen-retry", rescreen_id=work.run.id, error=fault.error, counted=counted)

    def _release(self, work: ChunkWork, fault: Fault, *, counted: bool) -> None:
        now, policy = self.service.now(), self.service.image_policy
        trace = fault.traceback or None
        with self.service.database.begin() as session:
            release(
                session,
                RescreenChunk,
                work.chunk_id,
                fault.error,
                now=now,
                policy=policy,
                counted=counted,
                traceback=trace,
            )

    def _finish(self, run: Run) -> None:
        with self.service.database.begin() as session:
            ended = finish_run(session, run, now=self.service.now(), policy=self.service.image_policy)
        if ended:
            self.engines.let_go()
            _log.info("rescreen-finished", rescreen_id=run.id)


def make_way(service: Service, score_live: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic) -> None:
    """Do the live work that waits, for `TURN_SECONDS`: after a batch more the turn ends, and live work comes first.

    Without that limit a worker that is told to stop would go on with a long backlog until it is killed.

    Args:
        service: of the score host.
        score_live: scores one batch; returns whether there was one.
        clock: monotonic seconds.
    """
    end = clock() + TURN_SECONDS
    while clock() < end and _live_work_waits(service) and score_live():
        pass


def _live_work_waits(service: Service) -> bool:
    with service.database.read() as session:
        return has_standing_work(session, Score, now=service.now(), policy=service.image_policy)


def _answers(engine: Engine) -> bool:
    size = engine.card.input_spec.size
    try:
        engine.score(np.zeros((1, size, size), np.uint8))
    except (MemoryError, RuntimeError, DeviceLostError):  # RuntimeError: whatever CUDA says
        return False
    return True
