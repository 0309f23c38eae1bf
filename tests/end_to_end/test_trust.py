"""What a run of the whole service leaves behind and says: nothing of the patient, nothing for others to read."""

import json
import os
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_IMODE

import pytest
from pydicom import dcmread
from sqlalchemy import func, inspect, select, text
from typer.testing import CliRunner

from tests.end_to_end import hostile
from tests.end_to_end.service import CXR_TRIAGE, RunningService
from tests.servers.ports import free_port, wait_until
from tests.servers.programs import require_program
from worker.cli.main import app
from worker.db import Database
from worker.domain import DeliveryState
from worker.settings import CONFIG_VARIABLE
from worker.tables import Delivery, Study

OTHERS = 0o077
HOSTILE_UIDS = {
    "climbing": "../../../../../../../../tmp/evil",
    "absolute": "/tmp/evil/1",  # noqa: S108 - nothing is written there, which is the point
    "nul": "1.2.3\0.dcm/../evil",
    "endless": "9" * 70,
}
CALLER = "../../evil"
# By design: the header holds what the report must repeat; the pixels are no text.
_PATIENT_COLUMNS = {("images", "header")}


@dataclass
class Watched:
    """What lay in the broker's folders at any time: contents, and modes of files and folders."""

    folder: Path
    seen: bytes = b""
    modes: dict[str, int] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look all the time until the block ends."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for path in list(self.folder.rglob("*")):
                self._look(path)

    def _look(self, path: Path) -> None:
        try:
            self.modes[str(path)] = S_IMODE(path.stat().st_mode)
            self.seen += path.read_bytes() if path.is_file() else b""
        except FileNotFoundError:
            return


_STEPS = (
    "object-received",
    "image-prepared",
    "image-failed",
    "image-out-of-scope",
    "scored",
    "result-said",
    "delivered",
)


@dataclass(frozen=True)
class Run:
    """A service that was pushed good, bad and hostile objects, and everything it said."""

    service: RunningService
    broker: Watched
    said: dict[str, str]

    @property
    def data_dir(self) -> Path:
        """Everything that the service made."""
        return self.service.folder / "data"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The run that every test here looks at; under a umask that forbids nothing."""
    folder = tmp_path_factory.mktemp("trust")
    films = tmp_path_factory.mktemp("films")
    metrics = free_port()
    service = RunningService(
        folder, toml=f"[metrics]\nport = {metrics}\n", settings={"study_quiet_seconds": 0.5, "log_level": "DEBUG"}
    )
    broker = Watched(folder / "data" / "broker")
    before = os.umask(0)
    try:
        with broker.watching():
            service.start()
            answers = "".join(_push(service, path) for path in _objects(films).values())
            accepted = answers.count("Received Store Response (Success)")
            wait_until(lambda: _is_done(service, accepted), "the end of all work", seconds=120, every=0.2)
            yield Run(service, broker, {"storescu": answers, **_commands(service, films), "metrics": _metrics(metrics)})
            service.stop()
    finally:
        os.umask(before)
        service.stop()


def _objects(folder: Path) -> dict[str, Path]:
    good = {f"good{seed}": hostile.film(seed, opacity=True) for seed in (1, 2)}
    bad = {"lateral": hostile.lateral(), "truncated": hostile.truncated(), "malformed": hostile.malformed()}
    evil = {name: hostile.misnamed(uid) for name, uid in HOSTILE_UIDS.items()}
    objects = {**good, **bad, **evil}
    return {name: hostile.save(dataset, folder / f"{name}.dcm") for name, dataset in objects.items()}


def _push(service: RunningService, path: Path) -> str:
    program = require_program("storescu", "dcmtk")
    waits = ["--acse-timeout", "10", "--dimse-timeout", "10"]
    address = ["--aetitle", CALLER, "--call", "CXRTRIAGE", "127.0.0.1", str(service.port)]
    done = subprocess.run(
        [program, "--verbose", "--required", *waits, *address, str(path)], capture_output=True, check=False, timeout=60
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def _is_done(service: RunningService, accepted: int) -> bool:
    # Asked of SQL, and not of the folder: a file that went elsewhere is for the tests to find.
    with _database(service.folder / "data") as database, database.read() as session:
        concluded = select(func.count()).where(Study.concluded_revision == Study.revision)
        pending = select(func.count()).where(Delivery.state == DeliveryState.PENDING)
        return session.scalar(concluded) == accepted and session.scalar(pending) == 0


@contextmanager
def _database(data_dir: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{data_dir / 'cxr-triage.sqlite'}")
    yield database
    database.dispose()


def _commands(service: RunningService, films: Path) -> dict[str, str]:
    looks = [["worklist"], ["study", hostile.MALFORMED_STUDY], ["deliveries"], ["status"], ["quarantine"]]
    commands = [*looks, *([*look, "--json"] for look in looks), ["study", "9.9.9"]]
    answers = {" ".join(command): _look(service, command) for command in commands}
    # In a process of its own, as it would print what a library warns of.
    words = [str(CXR_TRIAGE), "screen", str(films / "malformed.dcm"), str(films / "truncated.dcm"), "--json", "-"]
    screened = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    return {**answers, "screen": screened.stdout + screened.stderr}


def _look(service: RunningService, command: list[str]) -> str:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(CONFIG_VARIABLE, str(service.folder / "settings.toml"))
        result = CliRunner().invoke(app, command)
    return f"{result.output}{result.exception or ''}"


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def _screen(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(CXR_TRIAGE), *command], capture_output=True, text=True, check=False, timeout=120)


def leaks(words: str | bytes) -> set[str]:
    """What is said of the patient, in whatever case."""
    flat = (words if isinstance(words, bytes) else words.encode()).lower()
    return {secret for secret in hostile.SECRETS if secret.lower().encode() in flat}


def test_no_process_and_no_command_says_anything_of_the_patient(run: Run) -> None:
    """Logs of every process, answers of the commands and to Prometheus, errors over bad input included."""
    assert "object-received" in run.service.log.read_text()
    assert "store-refused" in run.service.log.read_text()
    assert 'cxr_triage_c_store_total{status="0xC000"}' in run.said["metrics"]
    assert leaks(run.service.log.read_text()) == set()
    assert {name: leaks(said) for name, said in run.said.items() if leaks(said)} == {}


def test_the_way_of_a_study_is_found_by_its_uid(run: Run) -> None:
    """Each process says what it did to which study; every line about an image, a destination or an object names one."""
    lines = [json.loads(line) for line in run.service.log.read_text().splitlines() if line.startswith("{")]
    assert {line["role"] for line in lines} >= {"listener", "prepare", "score", "deliver", "metrics"}
    about = [line for line in lines if line["event"] in _STEPS or "image_id" in line]
    assert [line for line in about if not {"study_instance_uid", "study_instance_uids"} & line.keys()] == []
    for flag in run.service.flags():
        uid = flag["study_instance_uid"]
        named = [x for x in about if uid in (x.get("study_instance_uid"), *x.get("study_instance_uids", ()))]
        scored = {"scored"} if flag["status"] == "SCREENED" else set()
        assert {line["event"] for line in named} >= {"object-received", "result-said", "delivered", *scored}


def test_the_exporter_tells_of_every_process(run: Run) -> None:
    """What the listener, prepare, score and deliver counted stands in one answer."""
    metrics = run.said["metrics"]
    for name in ('objects_received_total{receipt="new"}', 'images_total{reason="",state="prepared"}'):
        assert f"cxr_triage_{name} 0.0" not in metrics
        assert f"cxr_triage_{name} " in metrics
    for role in ("listener", "prepare", "score", "deliver", "beat"):
        assert f'cxr_triage_processes{{role="{role}"}}' in metrics
    assert 'cxr_triage_delivery_latency_seconds_count{kind="folder",priority="HIGH",stage="early"}' in metrics


def test_no_flag_and_no_message_says_anything_of_the_patient(run: Run) -> None:
    """The JSON flags; the messages that passed through the broker."""
    flags = {path.name: path.read_bytes() for path in run.service.flags_folder.glob("*.json")}
    assert len(flags) >= 5
    assert {name: leaks(content) for name, content in flags.items() if leaks(content)} == {}
    assert b"worker.prepare" in run.broker.seen
    assert leaks(run.broker.seen) == set()


def test_only_the_header_column_holds_the_patient(run: Run) -> None:
    """The report has to repeat the header; no other column of any table has a use for it."""
    holding = set()
    with _database(run.data_dir) as database, database.read() as session:
        for table in inspect(database.engine).get_table_names():
            for row in session.execute(text(f'SELECT * FROM "{table}"')).mappings():  # noqa: S608 - names of our own
                holding |= {(table, column) for column, value in row.items() if leaks(_as_bytes(value))}
    assert holding == _PATIENT_COLUMNS


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_report_names_the_patient(run: Run) -> None:
    """A report without a patient would be of no use; it is the only thing that goes out with one."""
    reports = [dcmread(path) for path in run.service.flags_folder.glob("*.dcm")]
    assert hostile.PATIENT_NAME in {str(report.PatientName) for report in reports}
    assert hostile.PATIENT_ID in {str(report.PatientID) for report in reports}


def test_nobody_else_can_read_what_the_service_made(run: Run) -> None:
    """0600 and 0700 for everything under the data folder, whatever the umask; messages of the broker included."""
    modes = {str(path): S_IMODE(path.stat().st_mode) for path in [run.data_dir, *run.data_dir.rglob("*")]}
    assert any(path.endswith("-wal") for path in modes)
    assert any(path.endswith(".msg") for path in run.broker.modes)
    open_to_others = {path: oct(mode) for path, mode in {**run.broker.modes, **modes}.items() if mode & OTHERS}
    assert open_to_others == {}


def test_no_path_comes_from_a_received_string(run: Run) -> None:
    """UIDs and AE titles that climb, start at the root, end early or never end make no file of their name."""
    names = [str(path.relative_to(run.service.folder)) for path in run.service.folder.rglob("*")]
    assert [name for name in names if "evil" in name or "999999" in name] == []
    assert {name.split("/")[0] for name in names} == {"data", "serve.log", "settings.toml"}
    assert not Path("/tmp/evil").exists()  # noqa: S108 - see above
    spooled = [path.name for path in (run.data_dir / "spool").rglob("*") if path.is_file()]
    assert all(len(name) == len("f" * 64 + ".dcm") for name in spooled)


def _as_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
