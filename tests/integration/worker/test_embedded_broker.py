"""The broker without a server: whole messages, each to one reader, whatever else lies in its folder."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Consumer, Producer
from kombu import Queue as KombuQueue

from dicom_io.reasons import Reason
from tests.servers.ports import wait_until
from tests.studies import STUDY, incoming, prepare, put_in_service, receive, study_id
from worker.db import Database
from worker.destinations import FolderDestination
from worker.domain import ImageState
from worker.embedded_broker import configure
from worker.repository.model_versions import RegisteredModel
from worker.schema import migrate
from worker.service import utc_now
from worker.stating import Speaker

# What a crash, a full disk, a person or another program may leave in the folder of the queue.
HOSTILE: dict[str, bytes] = {
    "1_a.deliver.msg": b"",
    "2_a.deliver.msg": b'{"body": "W10=", "prop',
    "3_a.deliver.msg": b"\x00\xff\xfe not json",
    "4_a.deliver.msg": b"[]",
    "5_a.deliver.msg": b'{"colour": "blue"}',
    "6_a.deliver.msg": b'{"body": "W10=", "properties": {}}',
    "7_a.deliver.msg": b'{"body": 7, "properties": 8}',
    "8_a.deliver.msg": b'{"body": "W1", "properties": {"delivery_tag": "x", "body_encoding": "base64"}}',
    "9_a.deliver.msg": b"[" * 100_000,
}
# Messages in form, of which Celery makes nothing.
UNKNOWN = {
    "9_b.deliver.msg": b'{"body": "", "properties": {"delivery_tag": "x", "delivery_info": {}}, "headers": {}}',
    "9_c.deliver.msg": b'{"body": "W10=", "properties": {"delivery_tag": "x", "body_encoding": "base64"}}',
}
IGNORED = {"notes.txt": b"hello", ".5_b.deliver.msg": b"", "deliver.msg": b"", "a.b.deliver.msg": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The broker's folder."""
    return tmp_path / "data" / "broker"


@contextmanager
def connection(folder: Path) -> Iterator[Connection]:
    """A connection as Celery opens it."""
    settings = configure(folder)
    with Connection(settings["broker_url"], transport_options=settings["broker_transport_options"]) as connected:
        yield connected


def publish(channel: Any, body: object, queue: str = "deliver") -> None:
    """Send a message to a queue by its name, as Celery does."""
    Producer(channel).publish(body, routing_key=queue, serializer="json")


def fetch(channel: Any, queue: str = "deliver") -> object:
    """The body of the next message; None if there is none."""
    message = KombuQueue(queue)(channel).get(no_ack=True)
    return None if message is None else message.payload


def plant(folder: Path, files: dict[str, bytes]) -> None:
    """Leave files in the folder of the queue."""
    for name, content in files.items():
        (folder / "queue" / name).write_bytes(content)


def queued(folder: Path) -> list[str]:
    """The names in the folder of the queue."""
    return sorted(path.name for path in (folder / "queue").iterdir())


def test_a_message_comes_back_as_it_was_sent(folder: Path) -> None:
    """Body and order of sending; each queue for itself; nothing is left."""
    with connection(folder) as connected, connected.channel() as channel:
        for number in range(3):
            publish(channel, {"number": number})
        publish(channel, "other", queue="score")
        assert [fetch(channel) for _ in range(4)] == [{"number": 0}, {"number": 1}, {"number": 2}, None]
        assert fetch(channel, "score") == "other"
    assert queued(folder) == []


def test_a_consumer_is_handed_messages(folder: Path) -> None:
    """The way Celery reads: a consumer, an event loop, an acknowledgement."""
    taken: list[object] = []

    def take(body: object, message: Any) -> None:
        taken.append(body)
        message.ack()

    with connection(folder) as connected, connected.channel() as channel:
        publish(channel, "wake")
        with Consumer(connected, [KombuQueue("deliver")], callbacks=[take]):
            connected.drain_events(timeout=5)
    assert taken == ["wake"]


def test_a_message_of_another_process_is_found(folder: Path) -> None:
    """Only the folder is shared."""
    with connection(folder) as sender, sender.channel() as channel:
        publish(channel, "from the listener")
    with connection(folder) as reader, reader.channel() as channel:
        assert fetch(channel) == "from the listener"


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_message_is_set_aside_and_stops_nobody(folder: Path, name: str) -> None:
    """The reader takes the message behind it, and the file is kept where a person can look at it."""
    with connection(folder) as connected, connected.channel() as channel:
        plant(folder, {name: HOSTILE[name]})
        publish(channel, "wake")
        assert [fetch(channel), fetch(channel)] == ["wake", None]
    assert (folder / "aside" / name).read_bytes() == HOSTILE[name]
    assert queued(folder) == []


def test_a_folder_with_the_name_of_a_message_is_set_aside_too(folder: Path) -> None:
    """Whatever cannot be read as a file is in nobody's way."""
    with connection(folder) as connected, connected.channel() as channel:
        (folder / "queue" / "0_folder.deliver.msg").mkdir()
        publish(channel, "wake")
        assert [fetch(channel), fetch(channel)] == ["wake", None]
    assert (folder / "aside" / "0_folder.deliver.msg").is_dir()


def test_names_that_are_no_messages_are_left_alone(folder: Path) -> None:
    """A message that is being written has a hidden name; notes and files of other tools stay where they are."""
    with connection(folder) as connected, connected.channel() as channel:
        plant(folder, IGNORED)
        publish(channel, "wake")
        assert [fetch(channel), fetch(channel)] == ["wake", None]
    assert queued(folder) == sorted(IGNORED)


def test_a_message_has_its_name_only_when_it_is_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that dies in the middle leaves a hidden file, not half a message."""

    def die(_: Path, data: bytes) -> None:
        raise KeyboardInterrupt

    with connection(folder) as connected, connected.channel() as channel:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", die)
            with pytest.raises(KeyboardInterrupt):
                publish(channel, "wake")
        assert all(name.startswith(".") for name in queued(folder))
        assert fetch(channel) is None


def test_no_message_is_read_twice(folder: Path) -> None:
    """Two readers empty a folder of 200: none gets what the other got, none is left."""
    with connection(folder) as connected, connected.channel() as channel:
        for number in range(200):
            publish(channel, number)

    def read(_: int) -> list[object]:
        bodies = []
        with connection(folder) as connected, connected.channel() as channel:
            while (body := fetch(channel)) is not None:
                bodies.append(body)
        return bodies

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(read, range(2))
    assert sorted([*first, *second]) == list(range(200))  # type: ignore[type-var]


def test_an_idle_reader_looks_up_long_before_the_end_of_its_wait(folder: Path) -> None:
    """A worker is not deaf to SIGTERM for as long as Celery lets a read take."""
    with connection(folder) as receiver, Consumer(receiver, [KombuQueue("deliver")]):
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            receiver.drain_events(timeout=60.0)
        assert time.monotonic() - started < 30


def test_only_the_service_can_look_into_the_folders(folder: Path) -> None:
    """Folders have mode 0700; making them again is no error."""
    configure(folder)
    configure(folder)
    assert {oct((folder / name).stat().st_mode & 0o777) for name in ("queue", "control", "aside")} == {"0o700"}


def say(database: Database, champion: RegisteredModel, study: str, film: str, flags: Path) -> None:
    """Put a result of a study into the outbox."""
    receive(database, incoming(film, study=study))
    prepare(database, film, state=ImageState.FAILED, reason=Reason.TRUNCATED)
    speaker = Speaker(champion, (FolderDestination(kind="folder", name="flags", path=flags),), shadow=False)
    with database.begin() as session:
        assert speaker.state_conclusion(session, study_id(database, study), utc_now())


@contextmanager
def worker(data: Path, repository: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`celery -A worker worker -Q deliver`, as the manual says."""
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "-Q", "deliver", "--pool", "solo"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CXR_")}
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=repository, env={**environment, "CXR_DATA_DIR": str(data)}, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_a_worker_goes_on_among_files_that_are_no_messages(folder: Path, repository: Path) -> None:
    """Before its start and while it runs, in both folders; what is woken for afterwards is still done."""
    data, app = folder.parent, Celery(set_as_current=False)
    app.conf.update(configure(folder))
    database = Database(f"sqlite:///{data / 'cxr-triage.sqlite'}")
    migrate(database)
    champion = put_in_service(database)
    say(database, champion, STUDY, "2.25.11", data / "flags")
    plant(folder, {**HOSTILE, **UNKNOWN, **IGNORED})
    (folder / "queue" / "0_folder.deliver.msg").mkdir()
    for name in ("deliver.exchange", "celery.exchange", ".exchange"):
        (folder / "control" / name).write_bytes(b"")

    def delivered(count: int) -> Callable[[], bool]:
        def look() -> bool:
            if process.poll() is not None:
                pytest.fail(f"the worker ended: {(data / 'log').read_text()[-3000:]}")
            return len(list((data / "flags").glob("*.json"))) == count

        return look

    with worker(data, repository) as process:
        wait_until(delivered(1), "the first flag")
        say(database, champion, "2.25.2", "2.25.12", data / "flags")
        plant(folder, {**HOSTILE, **UNKNOWN})
        app.send_task("worker.deliver", queue="deliver", ignore_result=True)
        wait_until(delivered(2), "the second flag")
    assert process.returncode == 0
    assert {json.loads(path.read_text())["study_instance_uid"] for path in (data / "flags").glob("*.json")} == {
        STUDY,
        "2.25.2",
    }
    database.dispose()
