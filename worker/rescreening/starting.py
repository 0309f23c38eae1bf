"""Starting a re-screening, or going on with the one that runs; no torch here."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import func, select

from worker.champion import champion_in_service
from worker.errors import RescreenError
from worker.queues import Queue
from worker.repository.model_versions import RegisteredModel, registered_models
from worker.repository.rescreen_frames import count_frames
from worker.repository.rescreening import Run, Window, begin_run, find_run, finish_run, open_run, runs_begun, stop_run
from worker.service import Service
from worker.tables import Study

SHORTEST_HASH = 6  # hex digits that may stand for a model
NIGHTLY = "nightly"
ONE_NIGHT = timedelta(hours=12)  # in which one nightly run begins, however many beats ask for it

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for; None where anything will do.

    Attributes:
        since, until: of when the study was received; from the one on, before the other, aware.
        model: version, or the beginning of the SHA-256, of a model that is or was in service; None for the one that is.
        deliver: tell what is newly flagged.
    """

    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    deliver: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A run, and whether it was going on before."""

    run: Run
    attached: bool


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts runs.

    Attributes:
        by: who asks, for the audit trail.
        once_within: begin nothing if who asks has begun a run so short a time ago; None: as often as asked.
    """

    service: Service
    by: str
    once_within: timedelta | None = None

    def start(self, order: Order) -> Started:
        """Start a run, or attach to the one that is going on if it is what is asked for.

        Raises:
            RescreenError: if the window is empty or ends before it begins, the model is unknown or may not be
                delivered from, another run is going on, or one was begun within `once_within`.
            ConfigurationError: if no model is in service.
        """
        if order.since is not None and order.until is not None and order.since >= order.until:
            raise RescreenError("--since is later than --until: give the earlier day first")
        model = self._model(order)
        run = self._going_on(order, model)
        if run is None:
            run, attached = self._begin(order, model)
        else:
            attached = True
        self.service.wake(Queue.SCORE)
        return Started(run, attached)

    def stop(self) -> Run:
        """End the run that is going on; what it has scored stays.

        Raises:
            RescreenError: if none is.
        """
        with self.service.database.begin() as session:
            run = open_run(session)
            if run is None or not stop_run(session, run, by=self.by, now=self.service.now()):
                raise RescreenError("no re-screening is going on, so there is none to stop")
        return run

    def _going_on(self, order: Order, model: RegisteredModel) -> Run | None:
        with self.service.database.read() as session:
            run = open_run(session)
        if run is None or _is_asked_for(run, order, model):
            return run
        raise RescreenError(
            f"{describe(run)} is going on: wait for its end (`cxr-triage rescreen` shows it), or end it with "
            "`cxr-triage rescreen --stop`"
        )

    def _begin(self, order: Order, model: RegisteredModel) -> tuple[Run, bool]:
        now, settings = self.service.now(), self.service.settings
        window = Window(order.since or now - timedelta(days=settings.rescreen_days), order.until or now)
        deliver_after = now - timedelta(days=settings.rescreen_deliver_days) if order.deliver else None
        with self.service.database.read() as session:  # the long part; it locks nothing
            expected = count_frames(session, window, model.id)
        with self.service.database.begin() as session:
            detail = {"by": self.by, "expected": expected, "deliver_after": deliver_after}
            run_id = begin_run(session, model, window, now=now, **detail)  # type: ignore[arg-type]
            # Asked once the row is there, for which whoever else begins one has to wait; it goes if this raises.
            if self.once_within is not None and runs_begun(session, self.by, now - self.once_within) > 1:
                raise RescreenError("a run was begun already, and has ended since")
            run = None if run_id is None else find_run(session, run_id)
            if run is not None and finish_run(session, run, now=now, policy=self.service.image_policy):
                run = find_run(session, run.id)  # there was nothing to do
        if run is not None:
            return run, False
        other = self._going_on(order, model)  # begun at the same moment
        if other is None:
            raise RescreenError(self._nothing_in(window))
        return other, True

    def _nothing_in(self, window: Window) -> str:
        with self.service.database.read() as session:
            first = session.scalar(select(func.min(Study.received_at)).where(~Study.synthetic))
            last = session.scalar(select(func.max(Study.received_at)).where(~Study.synthetic))
        known = f"they came from {_minute(first)} to {_minute(last)}" if first and last else "none ever was"
        return f"no study was received from {_minute(window.since)} to {_minute(window.until)} (UTC); {known}"

    def _model(self, order: Order) -> RegisteredModel:
        current = champion_in_service(self.service.database)
        if order.model is None:
            return current
        with self.service.database.read() as session:
            known = registered_models(session)
        found = [model for model in known if _is_named(model, order.model)]
        if len(found) != 1:
            several = f"{len(found)} models are called" if found else "no model was ever in service here that is called"
            raise RescreenError(
                f"--model: {several} {order.model}: give the version or SHA-256 that `cxr-triage models list` shows"
            )
        if order.deliver and found[0].id != current.id:
            raise RescreenError(
                f"--deliver: {order.model} is not in service, and no other model may raise a flag: leave it out for a "
                "report, or promote the model first"
            )
        return found[0]


def start_nightly(service: Service) -> Run | None:
    """Start the nightly run; None where there is nothing to look at, or it is begun already or another one goes on."""
    starter = Starter(service, NIGHTLY, once_within=ONE_NIGHT)
    try:
        started = starter.start(Order(deliver=service.settings.rescreen_deliver))
    except RescreenError as error:
        _log.info("rescreen-not-started", reason=str(error))
        return None
    return None if started.attached else started.run


def describe(run: Run) -> str:
    """Name a run in a line."""
    what = "a re-screening" if run.deliver_after is None else "a re-screening that delivers"
    reference = run.model.reference
    return (
        f"{what} (number {run.id}) of studies received from {_minute(run.window.since)} to {_minute(run.window.until)} "
        f"(UTC) with {reference.name} {reference.version}, begun {_minute(run.started_at)} by {run.requested_by},"
    )


def _is_asked_for(run: Run, order: Order, model: RegisteredModel) -> bool:
    same_model = order.model is None or model.id == run.model.id
    same_start = order.since in (None, run.window.since)
    same_end = order.until in (None, run.window.until)
    return same_model and same_start and same_end and (not order.deliver or run.deliver_after is not None)


def _is_named(model: RegisteredModel, name: str) -> bool:
    reference = model.reference
    return reference.version == name or (len(name) >= SHORTEST_HASH and reference.sha256.startswith(name.lower()))


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"
