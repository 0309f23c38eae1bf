"""Back-ups of a host: of one moment while it works, whole or not there, and refused where they would do harm."""

import hashlib
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.integration.worker.conftest import opened
from tests.integration.worker.test_upgrade import go_back
from tests.models import small_version
from worker.backup.manifest import DATABASE_NAME, MANIFEST_NAME, MODELS_NAME, SPOOL_NAME
from worker.cli.main import app
from worker.cli.run import only_one
from worker.model.artifact import WEIGHTS_NAME
from worker.settings import Settings

USAGE_ERROR, NOT_WHOLE = 2, 1
FILM = b"a film " * 100
ROWS, COMMITS = 50, 40


class Host:
    """An embedded service's folder, its settings file, and commands on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.backup = folder, folder / "data", folder / "backup"
        self.config = folder / "worker.toml"
        self.config.write_text(f'data_dir = "{self.data}"\nmin_free_bytes = 0\nlog_level = "ERROR"\n')

    @property
    def database(self) -> Path:
        """Its database."""
        return self.data / DATABASE_NAME

    def run(self, *words: str) -> Result:
        """Run a command."""
        with pytest.MonkeyPatch.context() as environment:  # which `--config` changes
            environment.setenv("CXR_CONFIG", str(self.config))
            return CliRunner().invoke(app, words)

    def done(self, *words: str) -> str:
        """Run a command that succeeds; returns what it prints."""
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, *words: str) -> str:
        """Run a command that is refused in one line; returns the line."""
        result = self.run(*words)
        assert result.exit_code == USAGE_ERROR, result.output
        (line,) = result.stderr.splitlines()
        return line

    def lose(self) -> None:
        """Lose the disk."""
        self.data.rename(self.folder / "lost")

    def receive(self, content: bytes) -> Path:
        """Put a file into the spool under the hash of its content."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = self.data / SPOOL_NAME / sha256[:2] / f"{sha256}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A host with a database, a model of its site and a received file; made once, as migrating takes longest."""
    host = Host(tmp_path_factory.mktemp("made"))
    host.done("migrate")
    small_version(host.folder / "site", "1.0.0+site")
    host.done("models", "add", str(host.folder / "site"))
    host.receive(FILM)
    return host.data


@pytest.fixture
def host(tmp_path: Path, _made: Path) -> Host:
    """A host of a test's own."""
    host = Host(tmp_path)
    shutil.copytree(_made, host.data)
    return host


def test_what_was_copied_is_there_again(host: Host) -> None:
    """Database with its rows, model and film come back as they were, readable by their account only."""
    assert "models: 1; received files: 1" in host.done("backup", str(host.backup))
    names = {path.relative_to(host.data) for path in host.data.rglob("*") if path.is_file()}
    host.lose()
    assert "models: 1; received files: 1" in host.done("restore", str(host.backup))
    found = {path.relative_to(host.data) for path in host.data.rglob("*") if path.is_file()}
    assert found - names == {Path("serve.lock")}
    assert names - found == set()
    assert host.receive(FILM).read_bytes() == FILM
    assert {oct(path.stat().st_mode)[-3:] for path in (host.database, host.backup / DATABASE_NAME)} == {"600"}
    assert "True" in host.done("models", "list")
    assert "missing\t0" in host.done("spool")


def test_a_copy_under_writers_is_of_one_moment(host: Host) -> None:
    """Of transactions that write many rows each, a back-up holds whole ones only, and no writer is refused."""
    with closing(sqlite3.connect(host.database)) as database:
        database.execute("CREATE TABLE ledger (number INTEGER)")
    refused: list[Exception] = []
    writing = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(host.database, timeout=10)) as database:
            for number in range(COMMITS):
                try:
                    with database:
                        database.executemany("INSERT INTO ledger VALUES (?)", [(number,)] * ROWS)
                except sqlite3.Error as error:
                    refused.append(error)
                writing.set()

    writer = threading.Thread(target=write)
    writer.start()
    writing.wait()
    host.done("backup", str(host.backup))
    writer.join()
    assert refused == []
    with closing(sqlite3.connect(host.backup / DATABASE_NAME)) as copy:
        counts = {count for (count,) in copy.execute("SELECT count(*) FROM ledger GROUP BY number")}
    assert counts == {ROWS}
    assert not list(host.backup.glob("*-wal"))


@pytest.mark.parametrize("name", [DATABASE_NAME, MODELS_NAME, MANIFEST_NAME])
def test_a_damaged_backup_is_refused(host: Host, name: str) -> None:
    """One wrong byte in database, model or manifest: one line that names the file, and nothing is put in place."""
    host.done("backup", str(host.backup))
    path = next((host.backup / name).rglob(WEIGHTS_NAME)) if name == MODELS_NAME else host.backup / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    host.lose()
    assert name in host.refused("restore", str(host.backup))
    assert {path.name for path in host.data.iterdir()} == {"serve.lock"}


def test_a_folder_that_is_no_backup_is_refused(host: Host) -> None:
    """A folder without its manifest, as a broken-off back-up would be, is none."""
    host.backup.mkdir()
    assert "no back-up" in host.refused("restore", str(host.backup))


def test_a_damaged_film_is_left_out_and_told(host: Host) -> None:
    """One film of the back-up that is not what its name says is not put in place; everything else is."""
    whole = host.receive(b"another film")
    host.done("backup", str(host.backup))
    damaged = host.receive(FILM)
    (host.backup / damaged.relative_to(host.data)).write_bytes(FILM[:-1])
    host.lose()
    result = host.run("restore", str(host.backup))
    assert (result.exit_code, damaged.exists(), whole.exists()) == (NOT_WHOLE, False, True)
    assert "damaged received files, left out: 1" in result.stderr
    assert host.database.exists()


def test_nothing_is_restored_over_a_service(host: Host) -> None:
    """Neither while `serve` runs on data_dir, nor where a database lies; both say what to do."""
    host.done("backup", str(host.backup))
    before = host.database.read_bytes()
    with only_one(Settings(data_dir=host.data)):
        assert "another `serve` runs" in host.refused("restore", str(host.backup))
    assert "stop the service and move data_dir away" in host.refused("restore", str(host.backup))
    assert host.database.read_bytes() == before


def test_a_database_of_another_kind_is_refused(host: Host, postgres_url: str) -> None:
    """A back-up with an SQLite database is none for a PostgreSQL host, nor one without for an SQLite host."""
    host.done("backup", str(host.backup))
    embedded = host.config.read_text()
    host.config.write_text(f'{embedded}database_url = "{postgres_url}"\n')
    assert "database_url names a server" in host.refused("restore", str(host.backup))
    files = host.folder / "files"
    assert "pg_dump" in host.done("backup", str(files))
    assert not (files / DATABASE_NAME).exists()
    host.config.write_text(embedded)
    host.lose()
    assert "holds no database" in host.refused("restore", str(files))


def test_a_backup_needs_a_place_of_its_own(host: Host) -> None:
    """A folder that holds something, one inside data_dir and one on a disk that is not there are refused."""
    host.backup.mkdir()
    (host.backup / "other").touch()
    assert "not empty" in host.refused("backup", str(host.backup))
    assert "lies in data_dir" in host.refused("backup", str(host.data / "backup"))
    assert "no such folder" in host.refused("backup", str(host.folder / "not" / "mounted"))
    assert not [path for path in host.folder.iterdir() if path.name.startswith(".")]


def test_a_damaged_database_makes_no_backup(host: Host) -> None:
    """A broken page is found while it is copied: no folder is left that looks like a back-up."""
    host.done("backup", str(host.backup))
    content = bytearray((host.backup / DATABASE_NAME).read_bytes())
    content[8192:12288] = b"\xff" * 4096
    for path in host.data.glob(f"{DATABASE_NAME}*"):
        path.unlink()
    host.database.write_bytes(content)
    assert "damaged" in host.refused("backup", str(host.folder / "second"))
    assert not (host.folder / "second").exists()


def test_a_damaged_model_is_left_out_and_told(host: Host) -> None:
    """The rest is backed up all the same; the status says that something is not well."""
    weights = next((host.data / MODELS_NAME).rglob(WEIGHTS_NAME))
    weights.write_bytes(b"other bytes")
    result = host.run("backup", str(host.backup))
    assert result.exit_code == NOT_WHOLE
    assert weights.parent.name in result.stderr
    host.lose()
    assert "models: 0; received files: 1" in host.done("restore", str(host.backup))


def test_received_files_may_be_left_out(host: Host) -> None:
    """`--no-spool` copies database and models only."""
    assert "received files: left out" in host.done("backup", str(host.backup), "--no-spool")
    assert not (host.backup / SPOOL_NAME).exists()


def test_a_backup_of_an_older_version_is_migrated_after_it(host: Host) -> None:
    """It comes back at the level that it had, on which nothing works until `migrate` has run."""
    with opened(f"sqlite:///{host.database}") as database:
        go_back(database)
    assert "level 0003" in host.done("backup", str(host.backup))
    host.lose()
    assert "level 0003" in host.done("restore", str(host.backup))
    assert "run `cxr-triage migrate`" in host.refused("status")
    host.done("migrate")
    assert "studies\t0" in host.done("status")


def test_without_a_database_there_is_no_backup(host: Host) -> None:
    """A wrong data_dir is told, and makes neither a back-up nor a database."""
    host.lose()
    assert "check data_dir and database_url" in host.refused("backup", str(host.backup))
    assert not host.backup.exists()
    assert not host.data.exists()
