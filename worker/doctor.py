"""Is the service well? Proven by traffic: a drawn film with a known answer goes the way of every film."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import select

from dicom_io.phantom import self_test_pixels
from dicom_io.scu import echo, store
from dicom_io.secondary_capture import secondary_capture
from dicom_io.types import ApplicationEntity
from worker.champion import InstalledChampion, find_champion
from worker.clocks import Tolerance, direction
from worker.delivery.hl7.mllp import probe
from worker.destinations import (
    Destination,
    DicomDestination,
    DicomwebDestination,
    Hl7Destination,
    WebhookDestination,
)
from worker.domain import ImageState
from worker.finding import DoubtfulError, Finding, NotWellError, attempt
from worker.roles import CALLING_AE_TITLE, ECHO_SECONDS, own_entity
from worker.service import Service
from worker.surroundings import examine_surroundings
from worker.tables import Event, Image, Score, Study

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Doctor:
    """Examines a running service.

    Attributes:
        service: its settings and database.
        calling_ae_title: as whom to push; must be among the listener's allowed callers.
        patience: longest wait for the film to be scored, seconds.
    """

    service: Service
    calling_ae_title: str = CALLING_AE_TITLE
    patience: float = 60.0

    def examine(self) -> Iterator[Finding]:
        """Try one thing after the other, from what the service stands on to the way through."""
        yield from examine_surroundings(self.service)
        yield attempt("model", self._model)
        yield attempt("spool", self._spool)
        yield attempt("listener", self._listener)
        yield attempt("way through", self._way_through)
        yield from self.destinations()

    def destinations(self) -> Iterator[Finding]:
        """Reach each destination that can be asked without sending it anything that it would file."""
        for destination in self.service.settings.effective_destinations:
            call = self._call(destination)
            if call is not None:
                yield attempt(f"destination {destination.name}", call)

    def _call(self, destination: Destination) -> Callable[[], str] | None:
        """Return how to ask whether a destination is there without sending it anything; None if nobody can be asked."""
        match destination:
            case DicomDestination():
                return partial(self._echo_pacs, destination)
            case Hl7Destination():
                return partial(probe, destination.model_copy(update={"timeout_seconds": ECHO_SECONDS}))
            case DicomwebDestination() | WebhookDestination():
                return partial(_reach, destination)
            case _:
                return None

    def _model(self) -> str:
        card = find_champion(self.service).card
        return f"{card.name} {card.version} ({card.status})"

    def _spool(self) -> str:
        self.service.spool.require_space(0)
        return str(self.service.settings.spool_dir)

    def _listener(self) -> str:
        return self._echo(own_entity(self.service.settings.listener))

    def _echo(self, peer: ApplicationEntity) -> str:
        echo(peer, calling_ae_title=self.calling_ae_title, timeout_seconds=ECHO_SECONDS)
        return f"{peer.ae_title} answers on {peer.host}:{peer.port}"

    def _echo_pacs(self, pacs: DicomDestination) -> str:
        answer = self._echo(pacs.entity)
        allowed = {title.strip() for title in self.service.settings.listener.allowed_callers}
        if not pacs.storage_commitment or not allowed or pacs.ae_title.strip() in allowed:
            return answer
        return f"{answer}; its reports of storage commitment are refused, as listener.allowed_callers does not name it"

    def _way_through(self) -> str:
        study_instance_uid = f"2.25.{uuid.uuid4().int}"
        self._announce(study_instance_uid)
        film = secondary_capture(self_test_pixels(), study_instance_uid)
        began, started = self.service.now(), time.monotonic()
        store(
            own_entity(self.service.settings.listener),
            [film],
            calling_ae_title=self.calling_ae_title,
            timeout_seconds=ECHO_SECONDS,
        )
        logit, model_version_id = self._await_score(study_instance_uid)
        seconds = time.monotonic() - started
        self._compare(logit, model_version_id, find_champion(self.service))
        self._compare_clocks(study_instance_uid, began, self.service.now())
        return f"film scored in {seconds:.2f} s, logit {logit:.3f} as published"

    def _announce(self, study_instance_uid: str) -> None:
        # Only who can write to the database can make a study synthetic; the network cannot.
        now = self.service.now()
        due = now + timedelta(minutes=self.service.settings.screen_within_minutes)
        with self.service.database.begin() as session:
            session.add(
                Study(
                    study_instance_uid=study_instance_uid,
                    synthetic=True,
                    received_at=now,
                    last_received_at=now,
                    due_at=due,
                )
            )

    def _await_score(self, study_instance_uid: str) -> tuple[float, int]:
        end = time.monotonic() + self.patience
        while time.monotonic() < end:
            score = self._score(study_instance_uid)
            if score is not None:
                return score
            time.sleep(POLL_SECONDS)
        raise NotWellError(f"the film was not scored within {self.patience:g} s: are the prepare and score workers up?")

    def _score(self, study_instance_uid: str) -> tuple[float, int] | None:
        statement = (
            select(Image.state, Image.reason, Score.logit, Score.model_version_id)
            .join(Study)
            .outerjoin(Score, Score.image_id == Image.id)
            .where(Study.study_instance_uid == study_instance_uid)
        )
        with self.service.database.read() as session:
            row = session.execute(statement).one_or_none()
        if row is not None and row.state in {ImageState.FAILED, ImageState.OUT_OF_SCOPE}:
            raise NotWellError(f"the film came out {row.state}, reason {row.reason}: see the prepare worker's log")
        return None if row is None or row.logit is None else (row.logit, row.model_version_id)

    def _compare(self, logit: float, model_version_id: int, installed: InstalledChampion) -> None:
        if model_version_id != installed.champion.id:
            raise NotWellError(
                f"the film was scored by another model than {installed.card.version}, which is in service: the score "
                "host cannot load that one; see its log, and `cxr-triage models list` there"
            )
        expected = installed.card.self_test
        if abs(logit - expected.logit) > expected.tolerance:
            raise NotWellError(
                f"the film's logit is {logit:.3f}, published was {expected.logit:.3f}: "
                "the score host computes wrongly; take it out of service"
            )

    def _compare_clocks(self, study_instance_uid: str, began: datetime, ended: datetime) -> None:
        # Each host on the way has written its own time, and must have done so while we waited.
        for process, at in self._times(study_instance_uid):
            late, early = (at - ended).total_seconds(), (began - at).total_seconds()
            if max(late, early) >= Tolerance.of(self.service.settings).told:
                apart = direction(late if late > 0 else -early)
                raise DoubtfulError(
                    f"the film was scored as published, but the clock of the {process} process's host is {apart} this "
                    "host's: keep the clocks of all hosts by NTP"
                )

    def _times(self, study_instance_uid: str) -> Iterator[tuple[str, datetime]]:
        processes = {"image-received": "listener", "image-prepared": "prepare"}
        events = select(Event.kind, Event.at).where(Event.study_instance_uid == study_instance_uid)
        scored = select(Score.scored_at).join(Image).join(Study).where(Study.study_instance_uid == study_instance_uid)
        with self.service.database.read() as session:
            written = session.execute(events.where(Event.kind.in_(processes))).all()
            scores = session.scalars(scored).all()
        yield from ((processes[row.kind], row.at) for row in written)
        yield from (("score", at) for at in scores if at is not None)


def _reach(destination: DicomwebDestination | WebhookDestination) -> str:
    try:
        from worker.delivery.http_probe import reach  # noqa: PLC0415 - only hosts that deliver have what it needs
    except ModuleNotFoundError:
        return "not asked: that takes the extra `deliver`, which is not installed on this host"
    return reach(destination, timeout_seconds=ECHO_SECONDS)
