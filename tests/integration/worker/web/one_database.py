"""For tests of what does not depend on the kind of database, such as who gets in: they run on one."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def database_url(_migrated_sqlite: Path, tmp_path: Path) -> str:
    """URL of a migrated SQLite database without a row; takes the place of the fixture that runs a test on each kind."""
    return f"sqlite:///{shutil.copy(_migrated_sqlite, tmp_path / 'test.sqlite')}"
