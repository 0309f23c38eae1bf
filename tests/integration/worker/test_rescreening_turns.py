"""The turns of re-screening: how long a score host goes on with it, and when it looks up from it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from sqlalchemy import func, select, update

from tests.integration.worker.conftest import Clock
from tests.rescreens import SICK, WELL, GreyNetwork, archive, archive_film, finish, promote, rescreener
from tests.studies import flags
from worker.model.artifact import default_directory, load_card
from worker.repository.model_versions import RegisteredModel
from worker.rescreen_tables import Rescreen, RescreenChunk, RescreenScore
from worker.rescreening.scoring import TURN_SECONDS, Rescreener, make_way
from worker.rescreening.starting import Order, Starter
from worker.service import Service
from worker.tables import Event, Image

ARCHIVE = {"2.25.1/2.25.11": SICK, "2.25.2/2.25.21": WELL, "2.25.3/2.25.31": SICK, "2.25.4/2.25.41": WELL}


@pytest.fixture
def network() -> GreyNetwork:
    """The other model."""
    return GreyNetwork(load_card(default_directory()))


@pytest.fixture
def site(service: Callable[..., Service], clock: Clock) -> Service:
    """A service, a minute after its studies came."""
    clock.advance(minutes=1)
    return service(batch_size=2)


def answers(site: Service) -> int | None:
    """How many frames were scored again."""
    with site.database.read() as session:
        return session.scalar(select(func.count()).select_from(RescreenScore))


def outcome(site: Service) -> str | None:
    """How the run ended."""
    with site.database.read() as session:
        return session.scalars(select(Rescreen.outcome)).one()


def test_live_work_goes_between_two_batches(site: Service, champion: RegisteredModel, network: GreyNetwork) -> None:
    """The host is asked before each batch of two whether something more urgent waits."""
    archive(site.database, champion, network.card, ARCHIVE)
    better = promote(site.database)
    seen: list[int] = []
    Starter(site, "me@host").start(Order())
    finish(rescreener(site, better, network, between=lambda: seen.append(len(network.batches))))
    assert seen == [0, 1]


def test_a_turn_is_short_however_slow_the_host(site: Service, champion: RegisteredModel, network: GreyNetwork) -> None:
    """What is scored is written and the rest put back: a worker can be stopped, and one that is killed loses little."""
    archive(site.database, champion, network.card, ARCHIVE)
    better = promote(site.database)
    Starter(site, "me@host").start(Order())
    host = rescreener(site, better, network, clock=lambda: 100.0 * len(network.batches))
    for scored in (2, 4):
        assert host.score_next_chunk() is True
        with site.database.read() as session:
            assert session.query(RescreenScore).count() == scored
            (chunk,) = session.scalars(select(RescreenChunk)).all()
        assert (chunk.attempts, chunk.lease_until) == ((0, None) if scored == 2 else (1, None))
    finish(host)
    assert (answers(site), outcome(site)) == (4, "finished")


@pytest.mark.parametrize("attempts", [0, 2])
def test_a_turn_is_short_however_large_its_batches(
    site: Service, champion: RegisteredModel, network: GreyNetwork, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    """It ends after a batch of all the films that are loaded at once, too, and where they are scored alone."""
    monkeypatch.setattr("worker.rescreening.scoring.FILMS_AT_ONCE", 1)
    archive(site.database, champion, network.card, ARCHIVE)
    better = promote(site.database)
    Starter(site, "me@host").start(Order())
    host = rescreener(site, better, network, clock=lambda: 100.0 * len(network.batches))
    assert host.score_next_chunk()
    with site.database.begin() as session:
        session.execute(update(RescreenChunk).values(attempts=attempts))
    assert host.score_next_chunk()
    assert network.batches == [1, 1]
    finish(host)
    assert (answers(site), outcome(site)) == (4, "finished")


def test_live_work_that_does_not_end_lets_the_turn_end(
    site: Service, champion: RegisteredModel, network: GreyNetwork
) -> None:
    """A worker that is told to stop under a long backlog looks up from it after some seconds."""
    archive_film(site.database, network.card, "2.25.9", "2.25.91", WELL)
    seconds = count()
    batches = count()
    make_way(site, lambda: next(batches) >= 0, clock=lambda: float(next(seconds)))
    assert next(batches) == TURN_SECONDS - 1


def test_two_hosts_share_a_run_and_each_film_keeps_its_own_answer(
    site: Service, champion: RegisteredModel, network: GreyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunk by chunk, at the same time: no frame is scored twice, none is left out, and the run ends once."""
    monkeypatch.setattr("worker.repository.rescreening.STUDIES_PER_CHUNK", 2)
    films = {f"2.25.{level}/2.25.{level}.1": level for level in range(110, 130)}
    archive(site.database, champion, network.card, films)
    better = promote(site.database)
    run = Starter(site, "me@host").start(Order(deliver=True)).run
    both = threading.Barrier(2)
    hosts = [rescreener(site, better, GreyNetwork(network.card)) for _ in range(2)]

    def serve(host: Rescreener) -> None:
        both.wait(timeout=30)
        finish(host)

    with ThreadPoolExecutor(2) as threads:
        for served in [threads.submit(serve, host) for host in hosts]:
            served.result(timeout=60)
    finish(hosts[0])  # whoever came last may have met a chunk of the other one
    with site.database.read() as session:
        rows = session.execute(select(Image.sop_instance_uid, RescreenScore.logit).join(RescreenScore)).all()
        ended = session.scalars(select(Event.kind).where(Event.kind == "rescreen-finished")).all()
        row = session.get_one(Rescreen, run.id)
    assert {uid: logit for uid, logit in rows} == {f"2.25.{level}.1": level - 100 for level in films.values()}  # noqa: C416
    assert (row.scored, row.told, len(ended)) == (20, 20, 1)
    assert len(flags(site.database)) == 20
