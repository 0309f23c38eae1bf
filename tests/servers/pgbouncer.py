"""A private PgBouncer before a private PostgreSQL."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url

from tests.servers.ports import LOOPBACK, accepts, free_port
from tests.servers.processes import running
from tests.servers.programs import require_program

PACKAGE = "pgbouncer"


@contextlib.contextmanager
def pgbouncer(database_url: str, mode: str, **options: object) -> Iterator[str]:
    """Run a pooler before a database of the tests' PostgreSQL.

    Args:
        database_url: where it passes statements on to.
        mode: of pooling: session, transaction or statement.
        options: further ones of its `[pgbouncer]` section.

    Yields:
        The SQLAlchemy URL of the same database, through the pooler.
    """
    program, url, port = require_program("pgbouncer", PACKAGE), make_url(database_url), free_port()
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    chosen = {"listen_addr": LOOPBACK, "listen_port": port, "unix_socket_dir": "", "auth_type": "any"}
    lines = [f"{key} = {value}" for key, value in {**chosen, "pool_mode": mode, **options}.items()]
    server = f"* = host={url.host} port={url.port} user={url.username}"
    # Not pytest's own temporary folder: another account may not enter that one.
    with tempfile.TemporaryDirectory(prefix="cxr-pgbouncer-") as name:
        folder = Path(name)
        (folder / "pgbouncer.ini").write_text("\n".join(["[databases]", server, "[pgbouncer]", *lines, ""]))
        if user:
            for path in (folder, folder / "pgbouncer.ini"):
                shutil.chown(path, user)
        command = [program, str(folder / "pgbouncer.ini")]
        with running(command, ready=lambda: accepts(port), log=folder / "log", user=user):
            yield url.set(host=LOOPBACK, port=port).render_as_string(hide_password=False)
