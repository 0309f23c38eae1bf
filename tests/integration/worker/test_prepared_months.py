"""Prepared images by month on PostgreSQL, and the same films on SQLite, which keeps one table."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from alembic import command
from sqlalchemy import Connection, inspect, select, text
from structlog.testing import capture_logs

from tests.integration.worker.conftest import Clock, opened
from tests.plans import plans
from tests.servers.ports import wait_until
from tests.studies import INPUT_SPEC, POLICY, incoming, prepare, put_in_service, receive, score_everything, sha256
from worker.db import Database
from worker.domain import ImageState
from worker.forgetting import forget_months
from worker.level import require_level
from worker.purging import Purger
from worker.repository.prepared_months import make_months
from worker.repository.prepared_retention import delete_prepared, old_prepared
from worker.repository.scoring import claim_frames
from worker.schema import _config
from worker.service import Service
from worker.settings import Settings
from worker.tables import Image, PreparedImage, Score

FAR = datetime(2040, 1, 31, 23, 59, tzinfo=UTC)  # in a month of its own, whenever the test runs
DAY = timedelta(days=1)
OLD_INSERT = (  # as the release before sends it
    "INSERT INTO prepared_images (content_sha256, frame, input_spec_sha256, pixels, created_at) "
    "VALUES (:content, 1, :spec, :pixels, :at) ON CONFLICT DO NOTHING"
)


def served(database: Database, clock: Clock) -> Service:
    """A service that nobody wakes."""
    return Service(Settings(data_dir=Path("unused")), database, lambda _task: None, clock)


@pytest.fixture
def far(months: Database, clock: Clock) -> Service:
    """A service on it, a minute before a month ends that has a table."""
    clock.time = FAR
    built = served(months, clock)
    forget_months(built, FAR - 400 * DAY)
    return built


def tables(database: Database) -> dict[str, int]:
    """How many prepared images lie in each table that holds any."""
    with database.read() as session:
        rows = session.execute(text("SELECT tableoid::regclass::text, count(*) FROM prepared_images GROUP BY 1"))
        return {row[0]: row[1] for row in rows}


def names(database: Database) -> set[str]:
    """Every part of the prepared images."""
    with database.engine.connect() as connection:
        return {name for name in inspect(connection).get_table_names() if name.startswith("prepared_images_")}


def go_to(connection: Connection, level: str) -> None:
    """Bring the schema to a level below or above."""
    config = _config()
    config.attributes["connection"] = connection
    (command.upgrade if level == "head" else command.downgrade)(config, level)


def a_film(database: Database, film: str, at: datetime) -> None:
    """Receive and prepare a film."""
    receive(database, incoming(film, study=f"{film}.9", at=at))
    prepare(database, film, at=at)


def claim(database: Database, at: datetime) -> list[bytes | None]:
    """The pixels of everything that waits to be scored."""
    with database.begin() as session:
        work = claim_frames(session, limit=99, input_spec_sha256=INPUT_SPEC, now=at, policy=POLICY)
    return [frame.pixels for frame in work]


def locked(database: Database) -> bool:
    """Whether somebody waits for a lock."""
    with database.read() as session:
        return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


def test_a_film_lies_in_the_month_it_was_prepared_in_and_is_found_there(far: Service) -> None:
    """On both sides of midnight, without a look at the months before."""
    a_film(far.database, "2.25.11", FAR)
    a_film(far.database, "2.25.12", FAR + 2 * timedelta(minutes=1))
    assert tables(far.database) == {"prepared_images_2040_01": 1, "prepared_images_2040_02": 1}
    (plan,) = plans(far.database, lambda: claim(far.database, FAR + DAY), of="prepared_images.pixels")
    assert "date_trunc" in plan
    assert all(pixels == b"\0" for pixels in claim(far.database, FAR + DAY))


def test_the_same_film_prepared_in_two_months_is_scored_once(far: Service) -> None:
    """Its pixels stand in both months, and its work is one row as before."""
    a_film(far.database, "2.25.11", FAR)
    with far.database.begin() as session:
        row = session.scalars(select(PreparedImage)).one()
        values = {"content": row.content_sha256, "spec": row.input_spec_sha256, "pixels": row.pixels}
        session.execute(text(OLD_INSERT), {**values, "at": FAR + DAY})
        session.execute(text(OLD_INSERT), {**values, "at": FAR + DAY})
    assert tables(far.database) == {"prepared_images_2040_01": 1, "prepared_images_2040_02": 1}
    assert claim(far.database, FAR + DAY) == [b"\0"]


def test_pixels_of_an_earlier_month_than_the_work_are_found_too(database: Database) -> None:
    """Work that was made anew for a film whose pixels had been there all the while; on SQLite nothing differs."""
    a_film(database, "2.25.11", FAR)
    with database.begin() as session:
        session.execute(text("UPDATE scores SET created_at = :at"), {"at": (FAR + 40 * DAY).replace(tzinfo=None)})
    assert claim(database, FAR + 41 * DAY) == [b"\0"]


def test_an_old_month_goes_whole_and_what_is_needed_moves(far: Service, clock: Clock) -> None:
    """Not before all of it is old; a film whose image failed stays, in the present month."""
    champion = put_in_service(far.database)
    for film in ("2.25.11", "2.25.12"):
        a_film(far.database, film, FAR - DAY)
    score_everything(far.database, champion, at=FAR)
    with far.database.begin() as session:
        session.scalars(select(Image).order_by(Image.id)).all()[1].state = ImageState.FAILED
    clock.advance(days=400)
    assert forget_months(far, clock() - 400 * DAY) == 0
    assert tables(far.database) == {"prepared_images_2040_01": 2}
    clock.advance(days=1)
    assert forget_months(far, clock() - 400 * DAY) == 1
    assert tables(far.database) == {"prepared_images_2041_03": 1}
    assert "prepared_images_2040_01" not in names(far.database)
    with far.database.read() as session:
        assert session.scalar(select(PreparedImage.content_sha256)) == sha256("2.25.12.9 2.25.12 first")


def test_nothing_leaves_a_month_before_the_month_is_old(far: Service) -> None:
    """Row by row only what is in no month goes: a month's rows would all be gone before it is dropped."""
    champion = put_in_service(far.database)
    a_film(far.database, "2.25.11", FAR - 20 * DAY)
    a_film(far.database, "2.25.12", FAR - 2000 * DAY)
    score_everything(far.database, champion, at=FAR)
    assert tables(far.database) == {"prepared_images_2040_01": 1, "prepared_images_default": 1}
    with far.database.begin() as session:
        assert old_prepared(session, before=FAR - 10 * DAY) == 1
        assert delete_prepared(session, before=FAR - 10 * DAY, limit=9) == 1
    assert tables(far.database) == {"prepared_images_2040_01": 1}


def test_a_month_that_nobody_made_is_caught_and_warned_of(months: Database, clock: Clock) -> None:
    """It stays where it is; the months after it get their tables, and with the first of them the warning ends."""
    clock.time = FAR
    a_film(months, "2.25.11", FAR)
    for warned in (True, False):
        with capture_logs() as logs:
            forget_months(served(months, clock), FAR - 400 * DAY)
        assert ("prepared-images-without-a-month" in {entry["event"] for entry in logs}) == warned
        clock.advance(days=1)
    assert tables(months) == {"prepared_images_default": 1}
    assert {f"prepared_images_2040_{month}" for month in ("02", "03", "04")} < names(months)
    assert "prepared_images_2040_01" not in names(months)


def test_months_are_made_when_the_table_of_old_was_dropped(months: Database, clock: Clock) -> None:
    """Once it is empty somebody may tidy it away; every purge would end there."""
    (old,) = (name for name in names(months) if "before" in name)
    with months.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {old}"))
    clock.time = FAR
    assert forget_months(served(months, clock), FAR - 400 * DAY) == 0
    assert "prepared_images_2040_01" in names(months)


def test_two_hosts_make_the_same_months_at_once(months: Database) -> None:
    """One makes them, the other one finds them there."""
    made: list[list[str]] = []

    def make() -> None:
        with months.begin() as session:
            made.append(make_months(session, FAR))

    hosts = [Thread(target=make) for _ in range(4)]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    assert sorted(len(one) for one in made) == [0, 0, 0, 4]


def test_a_user_that_owns_no_tables_prepares_finds_and_forgets(
    months: Database, postgres_url: str, clock: Clock
) -> None:
    """It may do what it might before the upgrade; it cannot make or drop months, and old films go row by row."""
    with months.engine.begin() as connection:
        go_to(connection, "0005")
        connection.execute(text("DROP ROLE IF EXISTS lowly"))
        connection.execute(text("CREATE ROLE lowly LOGIN"))
        connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO lowly"))
        connection.execute(text("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO lowly"))
        go_to(connection, "head")
    with months.begin() as session:
        make_months(session, FAR)
    champion = put_in_service(months)
    clock.time = FAR + 500 * DAY
    with opened(re.sub("//[^@]*@", "//lowly@", postgres_url)) as lowly, capture_logs() as logs:
        require_level(lowly)
        a_film(lowly, "2.25.11", FAR)
        a_film(lowly, "2.25.12", clock())
        score_everything(lowly, champion, at=clock())
        assert tables(lowly) == {"prepared_images_2040_01": 1, "prepared_images_default": 1}
        assert forget_months(served(lowly, clock), clock() - 400 * DAY) == 0
        with lowly.begin() as session:
            assert delete_prepared(session, before=clock() - 400 * DAY, limit=9) == 1
    assert tables(months) == {"prepared_images_default": 1}
    left = [entry for entry in logs if entry["event"] == "prepared-images-month-left"]
    assert [entry["error"] for entry in left] == ["InsufficientPrivilege"] * len(left)
    assert "cxr-triage migrate" in left[0]["advice"]
    with months.engine.begin() as connection:
        connection.execute(text("DROP OWNED BY lowly"))
        connection.execute(text("DROP ROLE lowly"))


def test_a_reader_that_never_ends_puts_the_dropping_off(far: Service, clock: Clock, tmp_path: Path) -> None:
    """The purge gives up after seconds and ends, who came behind it goes on, and the next one drops the month."""
    clock.advance(days=432)
    purger = Purger(Service(Settings(data_dir=tmp_path), far.database, lambda _task: None, clock))
    purger.service.spool.root.mkdir()
    with far.database.engine.connect() as reader, capture_logs() as logs:
        reader.execute(text("SELECT count(*) FROM prepared_images"))
        purge = Thread(target=purger.purge)
        purge.start()
        wait_until(lambda: locked(far.database), "the purge waiting for the reader")
        a_film(far.database, "2.25.11", clock())
        purge.join(60)
        assert not purge.is_alive()
    assert "prepared_images_2040_01" in names(far.database)
    assert "LockNotAvailable" in {entry.get("error") for entry in logs}
    assert claim(far.database, clock()) == [b"\0"]
    purger.purge()
    assert "prepared_images_2040_01" not in names(far.database)


def test_months_are_dropped_one_by_one_while_there_is_time(far: Service, clock: Clock) -> None:
    """A purge that was off for long holds up no other work of its queue; the next one goes on with the next month."""
    clock.advance(days=492)
    left = iter((True, False))
    forget_months(far, clock() - 400 * DAY, lambda: next(left))
    assert "prepared_images_2040_01" not in names(far.database)
    assert "prepared_images_2040_02" in names(far.database)
    forget_months(far, clock() - 400 * DAY)
    assert "prepared_images_2040_02" not in names(far.database)


def test_what_was_prepared_before_the_upgrade_stays_and_the_old_release_goes_on(database: Database) -> None:
    """Rows are neither moved nor lost on the way up and down; a content comes once, also from the statement of old."""
    a_film(database, "2.25.11", FAR)
    with database.engine.begin() as connection:
        go_to(connection, "0006")
        go_to(connection, "head")
    with database.begin() as session:
        row = session.scalars(select(PreparedImage)).one()
        values = {"content": row.content_sha256, "spec": row.input_spec_sha256, "pixels": row.pixels}
        session.execute(text(OLD_INSERT), {**values, "at": FAR.replace(tzinfo=None)})
    assert claim(database, FAR) == [b"\0"]
    with database.read() as session:
        assert len(session.scalars(select(Score)).all()) == len(session.scalars(select(PreparedImage)).all()) == 1
