"""What the service does with its database all day, step by step through the functions that it uses itself, timed."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count, cycle
from operator import call
from typing import Any

from sqlalchemy.orm import Session

from tests.studies import INPUT_SPEC, frame_score, incoming
from worker.domain import ImageState
from worker.maintenance import Sweeper
from worker.receipt import Receipt
from worker.repository import views
from worker.repository.intake import record_image
from worker.repository.outbox import DeliveryWork, claim_delivery, finish_delivery
from worker.repository.preparation import ImageWork, Preparation, claim_image, finish_image
from worker.repository.prepared_retention import delete_prepared
from worker.repository.results import quiet_studies
from worker.repository.retention import purgeable_files
from worker.repository.scoring import FrameWork, claim_frames, finish_frames
from worker.service import Service
from worker.stating import Speaker

FILMS = 16  # of a round: one batch
WORKLIST = 200  # entries, as `cxr-triage worklist` shows
QUIET = timedelta(seconds=30)
PIXELS = b"\0" * 64


@dataclass
class Day:
    """Rounds of work on one database; each takes in as much as it finishes.

    Attributes:
        seconds: how long each took, by what was done.
    """

    service: Service
    speaker: Speaker
    known: Iterator[str]
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    _numbers: "count[int]" = field(default_factory=count)

    @classmethod
    def of(cls, service: Service, speaker: Speaker, known: list[str]) -> "Day":
        """A day on a database that holds the `known` studies, among others."""
        return cls(service, speaker, cycle(known))

    def round(self) -> None:
        """Take a batch of films from the intake to the delivery of their results, and look at everything once."""
        for _ in range(FILMS):
            self._write("intake of a film", self._receive)
        for _ in range(FILMS):
            self._prepare()
        self._score()
        told = self._conclude()
        self._timed("sweep", Sweeper(self.service, self.speaker, call).sweep)
        for _ in range(told):
            self._deliver()
        self._look()
        self._purge()

    def _receive(self, session: Session) -> None:
        uid, now = f"1.2.826.{next(self._numbers)}", self.service.now()
        record_image(session, incoming(f"{uid}.1", study=uid, at=now - 2 * QUIET))

    def _prepare(self) -> None:
        now, policy = self.service.now(), self.service.image_policy
        work: ImageWork = self._write("claim: prepare", partial(claim_image, now=now, policy=policy))
        found = Preparation(ImageState.PREPARED, frames=(PIXELS,), header=b"\0" * 1000)
        write = partial(finish_image, work=work, preparation=found, input_spec_sha256=INPUT_SPEC, now=now)
        self._write("preparation written", write)

    def _score(self) -> None:
        now, policy = self.service.now(), self.service.image_policy
        claim = partial(claim_frames, limit=FILMS, input_spec_sha256=INPUT_SPEC, now=now, policy=policy)
        frames: list[FrameWork] = self._write(f"claim: score, {FILMS} films", claim)
        if len(frames) < FILMS or any(frame.pixels is None for frame in frames):
            raise SystemExit(f"{len(frames)} frames claimed, with pixels: {sum(f.pixels is not None for f in frames)}")
        self._write(f"scores written, {FILMS} films, 1 finding", partial(self._finish, frames, now))

    def _finish(self, frames: list[FrameWork], now: datetime, session: Session) -> None:
        scores = [frame_score(frame.score_id, flagged=number == 0) for number, frame in enumerate(frames)]
        finish_frames(session, scores, model_version_id=self.speaker.champion.id, now=now)
        self.speaker.state_finding(session, frames[0].study_id, now)

    def _conclude(self) -> int:
        """Say what stands of the studies that are quiet; returns how many results there are to deliver."""
        now = self.service.now()
        with self.service.database.read() as session:
            studies = quiet_studies(session, now=now, quiet=QUIET, limit=10 * FILMS)
        for study_id in studies:
            self._write("result written", partial(self.speaker.state_conclusion, study_id=study_id, now=now))
        return len(self.speaker.destinations) * (1 + len(studies))

    def _deliver(self) -> None:
        now, policy = self.service.now(), self.service.delivery_policy
        work: DeliveryWork | None = self._write("claim: deliver", partial(claim_delivery, now=now, policy=policy))
        if work is None:
            raise SystemExit("nothing to deliver")
        receipt = Receipt("stored, status 0x0000")
        self._write("delivery written", partial(finish_delivery, work=work, receipt=receipt, now=now))

    def _look(self) -> None:
        self._read("worklist", partial(views.worklist, limit=WORKLIST))
        for _ in range(5):
            self._read("history of a study", partial(views.study_history, study_instance_uid=next(self.known)))
        self._read("status", views.service_status)
        self._read("dead letters", views.undelivered)

    def _purge(self) -> None:
        now, retention = self.service.now(), self.service.settings.retention
        raw, prepared = (now - timedelta(days=days) for days in (retention.raw_days, retention.prepared_days))
        self._read("purge: files", partial(purgeable_files, before=raw, now=now, limit=50))
        self._write("purge: prepared images", partial(delete_prepared, before=prepared, limit=500))

    def _read(self, what: str, act: Callable[[Session], Any]) -> None:
        self._timed(what, lambda: self._within(self.service.database.read, act))

    def _write(self, what: str, act: Callable[[Session], Any]) -> Any:
        return self._timed(what, lambda: self._within(self.service.database.begin, act))

    @staticmethod
    def _within(transaction: Callable[[], Any], act: Callable[[Session], Any]) -> Any:
        with transaction() as session:
            return act(session)

    def _timed(self, what: str, act: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        outcome = act()
        self.seconds[what].append(time.perf_counter() - begun)
        return outcome
