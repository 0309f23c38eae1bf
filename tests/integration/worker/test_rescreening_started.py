"""Starting, joining and ending a re-screening: what was asked for wrongly is told in one line."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests.integration.worker.conftest import Clock, Wakes
from tests.rescreens import BETTER, SICK, WELL, GreyNetwork, archive, finish, promote, rescreener
from tests.studies import NOW
from worker.domain import ModelReference
from worker.errors import ConfigurationError, RescreenError
from worker.maintenance import Sweeper
from worker.model.artifact import default_directory, load_card
from worker.queues import Queue
from worker.repository.model_versions import RegisteredModel
from worker.repository.rescreening import STUDIES_PER_CHUNK, Run, find_run, last_run, open_run
from worker.rescreen_tables import Rescreen, RescreenChunk, RescreenScore
from worker.rescreening.engines import RETRY_SECONDS, Engines
from worker.rescreening.scoring import Rescreener
from worker.rescreening.starting import Order, Starter, start_nightly
from worker.service import Service
from worker.stating import Speaker

DAY = timedelta(days=1)
FILMS = {"2.25.1/2.25.11": SICK, "2.25.2/2.25.21": WELL}


@pytest.fixture
def network() -> GreyNetwork:
    """The other model."""
    return GreyNetwork(load_card(default_directory()))


@pytest.fixture
def site(service: Callable[..., Service], clock: Clock, champion: RegisteredModel, network: GreyNetwork) -> Service:
    """An archive that the champion has judged, a minute later."""
    built = service()
    archive(built.database, champion, network.card, FILMS)
    clock.advance(minutes=1)
    return built


def start(site: Service, by: str = "me@host", **order: object) -> tuple[int, bool]:
    """Start a run, or join one; its number, and whether it was joined."""
    started = Starter(site, by).start(Order(**order))  # type: ignore[arg-type]
    return started.run.id, started.attached


def test_a_run_begins_at_once_and_wakes_the_score_workers(site: Service, wakes: Wakes) -> None:
    """It is planned by those who do it, so a window of a million images begins as fast as this one."""
    promote(site.database)
    start(site)
    assert wakes.queues == [Queue.SCORE]
    with site.database.read() as session:
        assert session.scalars(select(RescreenChunk)).all() == []
        run = last_run(session)
    assert run is not None
    assert (run.expected, run.requested_by, run.window.until) == (2, "me@host", site.now())
    assert run.window.since == site.now() - 400 * DAY


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"since": NOW, "until": NOW - DAY}, "--since is later than --until"),
        ({"since": NOW - 9 * DAY, "until": NOW - 8 * DAY}, "no study was received from 2026-11-11 10:00 to 2026-11-12"),
        ({"model": "9.9.9"}, "no model was ever in service here that is called 9.9.9"),
        ({"model": "aaaaa"}, "no model was ever in service"),
        ({"model": "1.0.0", "deliver": True}, "1.0.0 is not in service, and no other model may raise a flag"),
    ],
)
def test_what_cannot_be_started_is_refused_in_one_line(site: Service, order: dict[str, object], said: str) -> None:
    """The message names what is wrong and what to do; nothing is begun."""
    promote(site.database)
    with pytest.raises(RescreenError, match=said) as refused:
        start(site, **order)
    assert "\n" not in str(refused.value)
    with site.database.read() as session:
        assert last_run(session) is None


def test_two_models_of_one_version_are_told_apart_by_their_hash(site: Service) -> None:
    """A version is no identity; the beginning of the SHA-256 is."""
    promote(site.database)
    promote(site.database, ModelReference(name="resnet50", version="1.1.0", sha256="bc" * 32))
    with pytest.raises(RescreenError, match=r"2 models are called 1\.1\.0"):
        start(site, model="1.1.0")
    assert start(site, model="bcbcbc") == (1, False)


def test_the_same_run_is_joined_and_another_one_is_refused(site: Service) -> None:
    """Starting twice goes on with the first; a different window is refused by a line that names the one that runs."""
    promote(site.database)
    assert start(site, since=NOW - DAY) == (1, False)
    assert start(site, since=NOW - DAY) == (1, True)
    assert start(site) == (1, True)
    for other in ({"since": NOW - 2 * DAY}, {"model": "1.0.0"}, {"deliver": True}):
        with pytest.raises(RescreenError, match=r"\(number 1\) .* begun 2026-11-20 10:01 by me@host, is going on"):
            start(site, **other)


def test_a_run_can_be_stopped_and_what_it_scored_stays(site: Service, network: GreyNetwork) -> None:
    """Its chunks go; a later run scores the rest."""
    better = promote(site.database)
    start(site)
    rescreener(site, better, network).score_next_chunk()
    run = Starter(site, "me@host").stop()
    with site.database.read() as session:
        assert session.scalars(select(RescreenChunk)).all() == []
        assert session.query(RescreenScore).count() == 2
        stopped = find_run(session, run.id)
    assert stopped is not None
    assert (stopped.open, stopped.outcome) == (False, "stopped")
    with pytest.raises(RescreenError, match="none to stop"):
        Starter(site, "me@host").stop()
    assert rescreener(site, better, network).score_next_chunk() is False


def test_a_run_with_nothing_left_to_score_is_over_at_once(site: Service) -> None:
    """The champion has scored everything itself."""
    start(site)
    with site.database.read() as session:
        run = last_run(session)
    assert run is not None
    assert (run.expected, run.outcome) == (0, "finished")


def test_the_nightly_run_begins_unless_one_is_going_on_or_nothing_is_there(site: Service) -> None:
    """Beat starts it every night, whatever became of the last one."""
    promote(site.database)
    first = start_nightly(site)
    assert first is not None
    assert (first.requested_by, first.deliver_after) == ("nightly", None)
    assert start_nightly(site) is None
    Starter(site, "me@host").stop()


def test_two_beats_begin_one_nightly_run_also_where_it_is_over_at_once(site: Service, clock: Clock) -> None:
    """The second message of a night finds that there was one, and leaves nothing; the next night's begins another."""
    with ThreadPoolExecutor(4) as beats:  # the model has judged everything, so that a run has nothing to do
        begun = [run for run in beats.map(start_nightly, [site] * 4) if run is not None]
    assert len(begun) == 1
    assert open_run_of(site) is None
    clock.advance(minutes=59)
    assert start_nightly(site) is None
    with site.database.read() as session:
        assert session.query(Rescreen).count() == 1
    clock.advance(hours=23, minutes=1)
    assert start_nightly(site) is not None


def open_run_of(site: Service) -> Run | None:
    """The run that is going on."""
    with site.database.read() as session:
        return open_run(session)


def test_the_nightly_run_of_an_empty_site_is_no_fault(
    service: Callable[..., Service], champion: RegisteredModel
) -> None:
    """A new site has no studies."""
    assert start_nightly(service(rescreen_deliver=True)) is None


def test_planning_takes_pieces_of_the_window(
    site: Service, champion: RegisteredModel, network: GreyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunk after chunk, without a gap and without the studies outside the window."""
    monkeypatch.setattr("worker.repository.rescreening.STUDIES_PER_CHUNK", 2)
    assert STUDIES_PER_CHUNK > 2
    archive(site.database, champion, network.card, {f"2.25.{n}/2.25.{n}1": WELL for n in range(3, 8)}, at=site.now())
    archive(site.database, champion, network.card, {"2.25.9/2.25.91": WELL}, at=site.now() + DAY)
    better = promote(site.database)
    start(site, until=site.now() + timedelta(hours=1))
    host = rescreener(site, better, network)
    while host.score_next_chunk():
        pass
    assert sum(network.batches) == 7
    with site.database.read() as session:
        assert session.query(Rescreen.scored, Rescreen.outcome).all() == [(7, "finished")]


def test_two_score_hosts_share_a_run(
    site: Service, champion: RegisteredModel, network: GreyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes the next piece; no frame is scored twice."""
    monkeypatch.setattr("worker.repository.rescreening.STUDIES_PER_CHUNK", 1)
    better = promote(site.database)
    start(site)
    other = GreyNetwork(network.card)
    first, second = rescreener(site, better, network), rescreener(site, better, other)

    def meanwhile() -> None:
        if not other.batches:
            second.score_next_chunk()

    finish(Rescreener(site, first.engines, first.speaker_of, meanwhile))
    assert (sum(network.batches), sum(other.batches)) == (1, 1)


def test_the_sweep_wakes_the_score_workers_while_a_run_is_open(site: Service, network: GreyNetwork) -> None:
    """A wake-up that was lost costs a second; when the run is over it asks for nothing."""
    better = promote(site.database)
    start(site)
    sent: list[str] = []
    swept = Service(site.settings, site.database, sent.append, site.now)
    sweeper = Sweeper(swept, Speaker(better, (), shadow=False), lambda step: step())
    sweeper.sweep()
    assert Queue.SCORE in sent
    finish(rescreener(site, better, network))
    sent.clear()
    sweeper.sweep()
    assert Queue.SCORE not in sent


def test_a_host_that_cannot_load_the_model_says_so_and_leaves_the_work(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """Once, on the run; it tries again later, and another host may be able to. A run keeps the model it began with."""
    promote(site.database)
    start(site)
    now = [0.0]
    tries: list[str] = []

    def load(installed: object) -> GreyNetwork:
        tries.append("try")
        return network

    engines = Engines(site, lambda: (champion, network), load, lambda: now[0])  # type: ignore[arg-type, return-value]
    host = Rescreener(site, engines, lambda model: Speaker(model, (), shadow=False), lambda: None)
    assert host.score_next_chunk() is False
    with site.database.read() as session:
        run = last_run(session)
    assert run is not None
    assert run.last_error is not None
    assert BETTER.sha256 in run.last_error
    assert "models add" in run.last_error
    now[0] = RETRY_SECONDS / 2
    assert host.score_next_chunk() is False
    assert tries == []


def test_no_model_in_service_is_the_operators_matter(service: Callable[..., Service]) -> None:
    """A database that was never migrated with a model."""
    with pytest.raises(ConfigurationError, match="no model is in service"):
        Starter(service(), "me@host").start(Order())
