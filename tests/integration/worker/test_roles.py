"""What a health check finds out of one process: idle, stopped, killed, and without its broker."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.servers.ports import free_port, wait_until
from tests.servers.processes import running
from worker.cli.run import _prepare_database
from worker.finding import Finding
from worker.heartbeat import ages
from worker.listener import listen
from worker.roles import Role, examine_role
from worker.sections import ListenerSettings
from worker.settings import Settings

LEASE_SECONDS = 2.0
CELERY = (sys.executable, "-m", "celery", "-A", "worker", "--quiet")
PREPARE = (*CELERY, "worker", "-Q", "prepare", "-n", "prepare-0@%h", "--pool", "solo")
DELIVER = (*CELERY, "worker", "-Q", "deliver", "-n", "deliver@%h", "--pool", "threads", "--concurrency", "2")


@pytest.fixture
def site(tmp_path: Path) -> Settings:
    """A host with a database and the embedded broker, and leases that end soon."""
    settings = Settings(data_dir=tmp_path / "data", lease_seconds=LEASE_SECONDS, min_free_bytes=0)
    settings.data_dir.mkdir()
    _prepare_database(settings)
    return settings


def examined(role: Role, settings: Settings) -> Finding:
    """What the health check of a role finds, while the broker answers."""
    return examine_role(role, settings, lambda: True)


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The same settings for another process."""
    return {"CXR_DATA_DIR": str(settings.data_dir), "CXR_LEASE_SECONDS": str(settings.lease_seconds), **more}


@contextmanager
def working(role: Role, command: tuple[str, ...], settings: Settings, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is up and gives signs of life."""
    words = ["env", *(f"{key}={value}" for key, value in environment(settings, **more).items()), *command]
    log = settings.data_dir / f"{role}.log"
    with running(words, ready=lambda: bool(ages(settings.effective_health_dir, role)), log=log) as process:
        yield process


def outlives_its_lease(role: Role, settings: Settings) -> None:
    """Wait until every process has worked again a lease after this moment."""
    file = next(settings.effective_health_dir.glob(f"{role}.*"))
    begun = file.stat().st_mtime
    wait_until(lambda: file.stat().st_mtime > begun + LEASE_SECONDS, f"a sign of life of {role}, a lease later")


@pytest.mark.parametrize(
    ("role", "command", "redis"),
    [
        pytest.param(Role.PREPARE, PREPARE, True, id="prepare-redis"),
        pytest.param(Role.DELIVER, DELIVER, False, id="deliver-embedded"),
        pytest.param(Role.BEAT, (*CELERY, "beat"), False, id="beat"),
    ],
)
def test_an_idle_process_is_well_and_a_stopped_one_is_not(
    role: Role, command: tuple[str, ...], redis: bool, site: Settings, request: pytest.FixtureRequest
) -> None:
    """With nothing to do it still proves itself; held by SIGSTOP it is found within its lease, and forgiven after."""
    more = {"CXR_BROKER_URL": str(request.getfixturevalue("redis_url"))} if redis else {}
    with working(role, command, site, **more) as process:
        outlives_its_lease(role, site)
        assert examined(role, site).problem is None
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: examined(role, site).problem is not None, f"{role} found out", seconds=4 * LEASE_SECONDS)
        assert "it hangs, or was killed" in str(examined(role, site).problem)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: examined(role, site).problem is None, f"{role} well again")


def test_a_worker_that_ends_in_good_order_leaves_nothing_behind(site: Settings) -> None:
    """A worker that was renamed or taken away is not missed; that none is left is said."""
    with working(Role.PREPARE, PREPARE, site) as process:
        outlives_its_lease(Role.PREPARE, site)
        process.terminate()
        process.wait(20)
        assert list(site.effective_health_dir.iterdir()) == []
        assert "no prepare process has come up" in str(examined(Role.PREPARE, site).problem)


def test_a_file_of_before_the_host_was_started_is_no_sign_of_life(site: Settings) -> None:
    """The monotonic clock began anew: a worker that did not come up after a power cut must not count as well."""
    site.effective_health_dir.mkdir()
    file = site.effective_health_dir / f"prepare.prepare-0@{os.uname().nodename}"
    file.touch()
    for ahead, well in ((86400.0, False), (0.0, True)):
        at = time.monotonic() + ahead
        os.utime(file, (at, at))
        assert (examined(Role.PREPARE, site).problem is None) is well


def test_no_worker_is_blamed_for_a_broker_that_is_away(site: Settings) -> None:
    """A restart would bring nothing back: `doctor --only` says what it could not prove, and exits with 0."""
    Path(site.effective_health_dir).mkdir()
    node = f"score.score@{os.uname().nodename}"
    (site.effective_health_dir / node).touch()
    os.utime(site.effective_health_dir / node, (0, 0))  # when this host came up
    codes = {}
    with ExitStack() as started:
        for broker in (f"redis://127.0.0.1:{free_port()}/0", ""):
            more = {"CXR_BROKER_URL": broker} if broker else {}
            words = (sys.executable, "-m", "worker.cli", "doctor", "--only", "score", "--json")
            process = subprocess.Popen(
                words, env={**os.environ, **environment(site, **more)}, stdout=subprocess.PIPE, text=True
            )
            codes[broker] = started.enter_context(process)
        away, there = ((process.communicate(timeout=60)[0], process.returncode) for process in codes.values())
    assert away[1] == 0
    assert "not proven, as the broker does not answer" in json.loads(away[0])["answer"]
    assert there[1] == 1


@pytest.mark.parametrize(
    ("access", "problem"),
    [
        ({}, None),
        ({"allowed_callers": ("PACS1",)}, None),
        ({"allowed_networks": ("10.0.0.0/8",)}, "listener.allowed_networks"),
    ],
)
def test_a_listener_is_asked_as_one_whom_it_lets_in(
    access: dict[str, tuple[str, ...]], problem: str | None, site: Settings
) -> None:
    """It answers a C-ECHO; where its own host is shut out the setting is named; gone, it is not well."""
    listener = ListenerSettings.model_validate({"port": free_port(), **access})
    settings = site.model_copy(update={"listener": listener})
    stop, up = threading.Event(), threading.Thread(target=lambda: listen(settings, stop))
    up.start()
    try:
        if problem is None:
            wait_until(lambda: examined(Role.LISTENER, settings).problem is None, "the listener answering")
            assert "has no room" not in examined(Role.LISTENER, settings).answer
        else:
            assert problem in str(examined(Role.LISTENER, settings).problem)
    finally:
        stop.set()
        up.join()
    assert examined(Role.LISTENER, settings).problem is not None
