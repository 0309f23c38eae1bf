"""How processes start on a database that this version cannot work on, or that is not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.conftest import REPOSITORY
from tests.servers.ports import LOOPBACK, free_port
from worker.cli.run import _find_database
from worker.db import Database
from worker.errors import ConfigurationError
from worker.level import LEVEL, OLDEST_LEVEL, read_standing, require_level, state_support
from worker.repository.model_versions import champion
from worker.schema import migrate
from worker.settings import Settings
from worker.tasks.starting import look_around

LATER = "9999"
CELERY = ("celery", "-A", "worker", "worker", "--pool", "solo", "-Q", "deliver")
LISTEN = ("worker.cli", "listen")
MIGRATE = ("worker.cli", "migrate")


@pytest.fixture
def of_a_later_version(tmp_path: Path) -> Path:
    """The folder of a service whose database a later version has migrated, and which takes no older version."""
    (tmp_path / "data").mkdir()
    database = Database(Settings(data_dir=tmp_path / "data").effective_database_url)
    migrate(database)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :level"), {"level": LATER})
        state_support(connection, LATER)
    database.dispose()
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("words", "status"), [(CELERY, 1), (LISTEN, 2), (MIGRATE, 2)], ids=["worker", "listen", "migrate"]
)
def test_an_old_process_refuses_to_start_in_one_line(
    words: tuple[str, ...], status: int, of_a_later_version: Path
) -> None:
    """After an upgrade that old versions cannot work with, each says what to install, and touches nothing."""
    environment = {**os.environ, "CXR_DATA_DIR": str(of_a_later_version)}
    ended = subprocess.run(
        [sys.executable, "-m", *words],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == status
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("cxr-triage: ")]
    assert f"this version (level {LEVEL}) is too old for the database" in line
    assert "install that version or a newer one" in line
    assert "Traceback" not in ended.stderr


def test_a_worker_starts_without_the_database_and_waits_for_it(tmp_path: Path) -> None:
    """It may come back any moment; only the log tells."""
    url = f"postgresql+psycopg://postgres@{LOOPBACK}:{free_port()}/away"
    with capture_logs() as log:
        look_around(Settings(data_dir=tmp_path, database_url=SecretStr(url)), lambda _queue: None)
    assert [entry["event"] for entry in log] == ["database-away"]


def test_serve_sets_up_an_empty_postgresql_and_leaves_an_older_one_to_its_operator(
    postgres_url: str, tmp_path: Path
) -> None:
    """Nobody works on an empty one; on another many hosts may, and `serve` goes on with it as it is, or refuses."""
    settings, database = Settings(data_dir=tmp_path, database_url=SecretStr(postgres_url)), Database(postgres_url)
    _find_database(settings)
    require_level(database)
    with database.read() as session:
        assert champion(session) is not None
    for level, works in ((OLDEST_LEVEL, True), ("0001", False)):
        with database.begin() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :level"), {"level": level})
        if works:
            _find_database(settings)
        else:
            with pytest.raises(ConfigurationError, match=r"at level 0001.*run `cxr-triage migrate`"):
                _find_database(settings)
        with database.read() as session:
            standing = read_standing(session.connection())
        assert standing is not None
        assert standing.level == level
    database.dispose()


def test_serve_migrates_an_sqlite_file_by_itself(tmp_path: Path) -> None:
    """Only this host can be working on it."""
    settings = Settings(data_dir=tmp_path)
    _find_database(settings)
    database = Database(settings.effective_database_url)
    require_level(database)
    database.dispose()


def test_a_role_without_rights_is_told_in_one_line(postgres_url: str, tmp_path: Path) -> None:
    """What is forbidden and what to do, from the look that every process takes first, and from the migration."""
    database = Database(postgres_url)
    migrate(database)
    with database.begin() as session:
        session.execute(text("DROP ROLE IF EXISTS rightless"))
        session.execute(text("CREATE ROLE rightless LOGIN"))
    database.dispose()
    url = postgres_url.replace("postgres@", "rightless@")
    rightless = Database(url)
    with pytest.raises(ConfigurationError, match="permission denied for table alembic_version: the role of database_u"):
        require_level(rightless)
    rightless.dispose()
    environment = {**os.environ, "CXR_DATA_DIR": str(tmp_path), "CXR_DATABASE_URL": url}
    words = [sys.executable, "-m", *MIGRATE]
    ended = subprocess.run(words, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("cxr-triage: database: permission denied for table alembic_version")
