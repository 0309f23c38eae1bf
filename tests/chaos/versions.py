"""The next version of the service: the present code with one more migration, and one more column that it works with."""

import shutil
from pathlib import Path

from tests.conftest import REPOSITORY
from worker.level import LEVEL, OLDEST_LEVEL

NEXT_LEVEL = "9000"
_MIGRATION = f'''"""a ward for every study."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT_LEVEL}"
down_revision = "{LEVEL}"
branch_labels = None
depends_on = None
oldest_level = "{LEVEL}"


def upgrade() -> None:
    op.add_column("studies", sa.Column("ward", sa.String(length=16), nullable=True))
'''
_CORRECTIONS = "    corrections: Mapped[int] = mapped_column(default=0)\n    received_at"
_WARD = "    ward: Mapped[str | None] = mapped_column(String(16), default='A')\n"


def next_version(tree: Path) -> Path:
    """Make the tree of a version whose migration adds a column, which it writes and which the present one ignores."""
    for package in ("worker", "dicom_io"):
        shutil.copytree(REPOSITORY / package, tree / package, copy_function=_copy)
    (tree / "worker/migrations/versions" / f"{NEXT_LEVEL}_ward.py").write_text(_MIGRATION)
    _replace(tree / "worker/level.py", f'\nLEVEL = "{LEVEL}"', f'\nLEVEL = "{NEXT_LEVEL}"')
    _replace(tree / "worker/level.py", f'\nOLDEST_LEVEL = "{OLDEST_LEVEL}"', f'\nOLDEST_LEVEL = "{NEXT_LEVEL}"')
    _replace(tree / "worker/tables.py", _CORRECTIONS, _WARD + _CORRECTIONS)
    return tree


def _copy(source: str, target: str) -> None:
    if source.endswith(".safetensors"):
        Path(target).symlink_to(source)
    else:
        shutil.copy2(source, target)  # with its time, so that what is compiled of it is used


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new))
