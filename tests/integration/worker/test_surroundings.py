"""What the doctor says of real servers that are set up wrongly."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.servers import redis as redis_server
from tests.servers.ports import LOOPBACK, free_port
from tests.servers.postgres import postgres
from worker.broker_checks import examine_broker
from worker.clocks import warn_of_clock
from worker.db import Database
from worker.finding import Finding
from worker.level import LEVEL
from worker.schema import migrate
from worker.service import Service, utc_now
from worker.settings import Settings
from worker.surroundings import MOUNTS, examine_surroundings, file_system

PASSWORD = "geheim-4711"  # noqa: S105 # pragma: allowlist secret


def own_address() -> str:
    """An address of this host that others could reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737; nothing is sent
        except OSError:
            pytest.skip("this host has the loopback interface only")
        return str(probe.getsockname()[0])


@contextmanager
def broker(folder: Path, *options: str, password: str = "") -> Iterator[dict[str, Finding]]:
    """What is said of a Redis with options, by name."""
    port = free_port()
    with redis_server.serving(folder, port, *options):
        url = f"redis://{password and f':{password}@'}{LOOPBACK}:{port}/0"
        yield {finding.name: finding for finding in examine_broker(Settings(broker_url=SecretStr(url)))}


def test_a_redis_that_keeps_what_it_is_given_is_well(redis_url: str) -> None:
    """On the loopback interface no password is asked for."""
    findings = list(examine_broker(Settings(broker_url=SecretStr(redis_url))))
    assert [(finding.name, finding.problem, finding.warning) for finding in findings] == [
        ("broker", None, None),
        ("broker's memory", None, None),
        ("broker's door", None, None),
    ]


@pytest.mark.parametrize(
    ("options", "when"),
    [
        (("--maxmemory", "10mb", "--maxmemory-policy", "allkeys-lru"), "beyond its maxmemory of 10485760 bytes"),
        (("--maxmemory-policy", "volatile-ttl"), "as soon as it is given a maxmemory"),
    ],
)
def test_a_redis_that_drops_keys_is_warned_of(options: tuple[str, ...], when: str, tmp_path: Path) -> None:
    """The line names the policy, when it drops and what to set; the service is well, as a sweep finds what is lost."""
    with broker(tmp_path, *options) as said:
        memory = said["broker's memory"]
    assert memory.problem is None
    assert memory.warning is not None
    assert options[-1] in memory.warning
    assert when in memory.warning
    assert memory.warning.endswith("set maxmemory-policy noeviction")


def test_a_redis_that_anybody_may_reach_without_a_password_is_warned_of(tmp_path: Path) -> None:
    """Also where this host reaches it on the loopback interface, as it tells where else it listens."""
    with broker(tmp_path, "--bind", "0.0.0.0", "--protected-mode", "no") as said:  # noqa: S104 - what is warned of
        door = said["broker's door"]
    assert door.problem is None
    assert door.warning is not None
    assert "without a password (bind 0.0.0.0, protected-mode no): set requirepass" in door.warning


def test_a_redis_on_another_address_without_a_password_is_warned_of(tmp_path: Path) -> None:
    """Whatever address of this host is not of the loopback interface stands for another host's."""
    address = own_address()
    port = free_port()
    options = ("--bind", f"{LOOPBACK} {address}", "--protected-mode", "no")
    with redis_server.serving(tmp_path, port, *options):
        findings = examine_broker(Settings(broker_url=SecretStr(f"redis://{address}:{port}/0")))
        warnings = {finding.name: finding.warning for finding in findings}
    assert f"takes whoever reaches {address} without a password" in (warnings["broker's door"] or "")


def test_a_password_is_enough_and_is_never_shown(tmp_path: Path) -> None:
    """Neither where it is right, nor where it is wrong and the broker cannot be used."""
    options = ("--requirepass", PASSWORD, "--bind", "0.0.0.0")  # noqa: S104
    with broker(tmp_path, *options, password=PASSWORD) as said:
        assert {finding.warning or finding.problem for finding in said.values()} == {None}
    with broker(tmp_path, *options, password=f"{PASSWORD}-wrong") as refused:
        assert list(refused) == ["broker"]
        assert "cannot be used" in (refused["broker"].problem or "")
    assert PASSWORD not in str((said, refused))


def test_a_broker_that_is_away_is_not_well() -> None:
    """One line with where it should be and what to do; nothing more is asked of it."""
    (finding,) = examine_broker(Settings(broker_url=SecretStr(f"redis://{LOOPBACK}:{free_port()}/0")))
    assert finding.problem is not None
    assert "check broker_url" in finding.problem
    assert len(finding.problem.splitlines()) == 1


def named(service: Service, name: str) -> Finding:
    """What is said of one thing."""
    return next(finding for finding in examine_surroundings(service) if finding.name == name)


def test_a_postgresql_that_may_lose_what_it_committed_is_warned_of(postgres_url: str, tmp_path: Path) -> None:
    """The server of the tests is one; the line names what is off, and the level is told of one that is durable."""
    service = Service(Settings(data_dir=tmp_path), Database(postgres_url), lambda _queue: None)
    migrate(service.database)
    doubtful = named(service, "database")
    with service.database.begin() as session:
        session.execute(text("ALTER ROLE postgres SET synchronous_commit = 'on'"))
    service.database.dispose()
    half = named(service, "database")
    with service.database.begin() as session:
        session.execute(text("ALTER ROLE postgres RESET synchronous_commit"))
    service.database.dispose()
    assert doubtful.problem is None
    assert "fsync and full_page_writes and synchronous_commit off" in (doubtful.warning or "")
    assert "fsync and full_page_writes off" in (half.warning or "")


def test_a_durable_postgresql_is_well(tmp_path: Path) -> None:
    """As Debian sets it up."""
    with postgres(durable=True) as server, server.database() as url:
        service = Service(Settings(data_dir=tmp_path), Database(url), lambda _queue: None)
        migrate(service.database)
        found = named(service, "database")
        service.database.dispose()
    assert (found.warning, found.problem) == (None, None)
    assert found.answer == f"PostgreSQL, schema at level {LEVEL}"


@pytest.mark.parametrize(
    ("seconds", "warning", "problem"),
    [
        (0, None, None),
        (4, "this host's clock is 4.0 s ahead of the database server's", None),
        (-4, "this host's clock is 4.0 s behind the database server's", None),
        (40, None, "concludes studies, and takes work that others hold, too early"),
        (-40, None, "it does so too late"),
    ],
)
def test_a_clock_apart_from_the_database_s_is_told_with_its_direction(
    seconds: int, warning: str | None, problem: str | None, postgres_url: str, tmp_path: Path
) -> None:
    """From a tenth of `study_quiet_seconds` on, an error from the whole of it on; processes log it when they start."""
    database = Database(postgres_url)
    settings = Settings(data_dir=tmp_path, study_quiet_seconds=30, lease_seconds=120)
    service = Service(settings, database, lambda _queue: None, now=lambda: utc_now() + timedelta(seconds=seconds))
    said = named(service, "clock")
    with capture_logs() as log:
        warn_of_clock(service)
    database.dispose()
    assert (said.warning is None, said.problem is None) == (warning is None, problem is None)
    assert (warning or "") in (said.warning or "")
    assert (problem or "") in (said.problem or "")
    told = [(entry["event"], round(entry["seconds_ahead_of_database"])) for entry in log]
    assert told == ([("clock-apart", seconds)] if seconds else [])


def test_sqlite_has_no_other_clock(tmp_path: Path) -> None:
    """Nothing to compare, and nothing to say."""
    service = Service(Settings(data_dir=tmp_path), Database(f"sqlite:///{tmp_path / 'a.sqlite'}"), lambda _queue: None)
    assert (named(service, "clock").warning, named(service, "clock").problem) == (None, None)


@pytest.mark.parametrize(("kind", "is_told"), [("ext4", False), ("nfs4", True), ("fuse.sshfs", True)])
def test_an_embedded_service_on_a_network_file_system_is_warned_of(
    kind: str, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names the folder, the file system and the settings that would help."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {tmp_path} rw shared:1 - {kind} server:/x rw\n")
    monkeypatch.setattr("worker.surroundings.MOUNTS", mounts)
    found = named(Service(Settings(data_dir=tmp_path / "data"), Database("sqlite://"), lambda _queue: None), "data_dir")
    assert found.problem is None
    assert (found.warning is not None) == is_told
    if is_told:
        assert f"{tmp_path}/data on {kind}" in str(found.warning)
        assert "set database_url and broker_url" in str(found.warning)


def test_this_machine_s_own_mounts_are_read() -> None:
    """`/proc` is one, under that name."""
    assert file_system(Path("/proc/self/fd"), MOUNTS.read_text()) == "proc"
