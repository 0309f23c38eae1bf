"""Claiming work: who gets which row, and when it is free again."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from tests.studies import MINUTE, NOW, POLICY, SECOND, incoming, prepare, receive, rolled_back
from worker.db import Database
from worker.domain import ImageState, Urgency
from worker.repository.claims import LONGEST_ERROR, claim, exhausted, has_standing_work, release
from worker.tables import Image, Score


def take(database: Database, *, limit: int = 1, now: datetime = NOW) -> Sequence[int]:
    """Claim images in a transaction of its own."""
    with database.begin() as session:
        return claim(session, Image, limit=limit, now=now, policy=POLICY)


def image(database: Database) -> Image:
    """The only image."""
    with database.read() as session:
        return session.scalars(select(Image)).one()


def set_all(database: Database, **values: object) -> None:
    """Write the same values on every image."""
    with database.begin() as session:
        session.execute(update(Image).values(**values))


def test_the_most_urgent_is_taken_first_then_the_oldest(database: Database) -> None:
    """High before medium before low before re-screening; within one urgency in order of arrival."""
    urgencies = [Urgency.LOW, Urgency.MEDIUM, Urgency.RESCREEN, Urgency.HIGH, Urgency.MEDIUM, Urgency.HIGH]
    receive(database, *(incoming(f"2.25.{n}", urgency=urgency) for n, urgency in enumerate(urgencies, start=1)))
    taken = [take(database)[0] for _ in urgencies]
    with database.read() as session:
        films = dict(session.execute(select(Image.id, Image.sop_instance_uid)).all())
    assert [films[row] for row in taken] == [f"2.25.{n}" for n in (4, 6, 2, 5, 1, 3)]


def test_a_claim_holds_for_its_lease_and_not_longer(database: Database) -> None:
    """A second worker finds nothing until the lease ends; then the work of a dead one is taken again, and counted."""
    receive(database, incoming())
    assert len(take(database)) == 1
    assert image(database).lease_until == NOW + POLICY.lease
    assert take(database, now=NOW + POLICY.lease - SECOND) == []
    assert len(take(database, now=NOW + POLICY.lease)) == 1
    assert image(database).attempts == 2


@pytest.mark.parametrize(("beyond", "free"), [(timedelta(0), False), (SECOND, True)])
def test_a_lease_from_a_clock_that_was_set_back_does_not_hold(
    database: Database, beyond: timedelta, free: bool
) -> None:
    """A lease further ahead than any present claim could reach is a relic; without this the work would wait a year."""
    receive(database, incoming())
    set_all(database, lease_until=NOW + 2 * POLICY.lease + beyond)
    assert bool(take(database)) is free


@pytest.mark.parametrize(("ahead", "free"), [(timedelta(0), True), (SECOND, False), (365 * 24 * 60 * MINUTE, True)])
def test_a_delayed_retry_waits_for_its_time(database: Database, ahead: timedelta, free: bool) -> None:
    """Not before its time, at its time, and at once where the delay is longer than any that is given."""
    receive(database, incoming())
    set_all(database, not_before=NOW + ahead)
    assert bool(take(database)) is free


def test_only_work_is_taken(database: Database) -> None:
    """Images in every other state than received stay where they are."""
    states = list(ImageState)
    receive(database, *(incoming(f"2.25.{n}") for n in range(len(states))))
    with database.begin() as session:
        for row, state in zip(session.scalars(select(Image).order_by(Image.id)), states, strict=True):
            row.state = state
    assert len(take(database, limit=100)) == 1
    with database.read() as session:
        assert set(session.scalars(select(Image.state).where(Image.attempts > 0))) == {ImageState.RECEIVED}


def test_attempts_end(database: Database) -> None:
    """After the last attempt the row is taken no more; it is exhausted once its last lease is over, not before."""
    receive(database, incoming())
    now = NOW
    for _ in range(POLICY.max_attempts):
        assert len(take(database, now=now)) == 1
        now += POLICY.lease
    last_lease = now - SECOND
    assert take(database, now=now) == []
    with database.read() as session:
        assert exhausted(session, Image, now=last_lease, policy=POLICY) == []
        assert exhausted(session, Image, now=now, policy=POLICY) == [image(database).id]


def test_what_is_given_back_waits_longer_each_time(database: Database) -> None:
    """The lease ends at once, the delay doubles up to its cap, and the cause is kept, cut to what a person reads."""
    receive(database, incoming())
    now, delays = NOW, []
    for _ in range(2):
        (row,) = take(database, now=now)
        with database.begin() as session:
            release(session, Image, row, "x" * 9999, now=now, policy=POLICY)
        given_back = image(database)
        assert (given_back.lease_until, given_back.last_error) == (None, "x" * LONGEST_ERROR)
        assert given_back.not_before is not None
        delays.append(given_back.not_before - now)
        now = given_back.not_before
    assert delays == [2 * SECOND, 4 * SECOND]


def test_the_delay_doubles_up_to_its_cap_for_any_number_of_attempts() -> None:
    """No overflow on the way to the hundredth attempt."""
    assert [POLICY.delay(n) / SECOND for n in (1, 2, 3, 8, 9, 100, 10_000)] == [2, 4, 8, 256, 300, 300, 300]


def test_standing_work_is_free_and_due(database: Database) -> None:
    """The sweep wakes for a row that nobody holds, not for one that is being worked on or that waits."""

    def stands(now: datetime = NOW) -> bool:
        with database.read() as session:
            return has_standing_work(session, Image, now=now, policy=POLICY)

    assert not stands()
    receive(database, incoming())
    assert stands()
    take(database)
    assert not stands()
    assert stands(NOW + POLICY.lease)
    set_all(database, lease_until=None, not_before=NOW + SECOND)
    assert not stands()
    set_all(database, not_before=None, state=ImageState.SCORED)
    assert not stands()


def test_workers_that_claim_at_once_share_the_rows(database: Database) -> None:
    """Two threads empty 200 rows: none is taken twice, none is left."""
    receive(database, *(incoming(f"2.25.{n}") for n in range(200)))

    def drain(_: int) -> list[int]:
        taken: list[int] = []
        while rows := take(database, limit=7):
            taken.extend(rows)
        return taken

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(drain, range(2))
    assert len(first) + len(second) == len({*first, *second}) == 200
    with database.read() as session:
        assert set(session.scalars(select(Image.attempts))) == {1}


def test_a_claim_that_is_not_committed_is_none(database: Database) -> None:
    """A worker that dies while claiming has taken nothing and used up no attempt."""
    receive(database, incoming())
    with rolled_back(database) as session:
        assert claim(session, Image, limit=1, now=NOW, policy=POLICY)
    assert (image(database).attempts, image(database).lease_until) == (0, None)


def test_frames_are_claimed_like_images(database: Database) -> None:
    """The rules are of the row, not of the table: urgency, lease and limit hold for scores."""
    receive(database, incoming("2.25.1"), incoming("2.25.2", urgency=Urgency.HIGH))
    prepare(database, "2.25.1", frames=2)
    prepare(database, "2.25.2")
    with database.begin() as session:
        (first,) = claim(session, Score, limit=1, now=NOW, policy=POLICY)
        rest = claim(session, Score, limit=10, now=NOW, policy=replace(POLICY, max_attempts=1))
        urgent = session.scalars(select(Score.id).join(Image).where(Image.sop_instance_uid == "2.25.2")).one()
    assert first == urgent
    assert len(rest) == 2
