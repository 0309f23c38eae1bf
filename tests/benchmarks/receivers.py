"""The receivers that are compared: ours on SQLite and on PostgreSQL, DCMTK's storescp, and Orthanc."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from dicom_io.types import ApplicationEntity
from tests.servers.orthanc import orthanc
from tests.servers.ports import LOOPBACK, accepts, free_port
from tests.servers.postgres import postgres
from tests.servers.processes import running
from tests.servers.storescp import storescp

LARGEST_PDU_OF_DCMTK = 131072  # storescp(1), also of Orthanc, which is built on it


@dataclass(frozen=True)
class Receiver:
    """Somebody to send to; `clear` throws away what it has received."""

    name: str
    peer: ApplicationEntity
    clear: Callable[[], object]


@contextmanager
def ours(folder: Path, name: str, *, processes: int = 1, database_url: str | None = None) -> Iterator[Receiver]:
    """Our listener, alone: nobody prepares what it receives."""
    port, data = free_port(), folder / "data"
    top = {"data_dir": str(data), "log_level": "WARNING"} | ({"database_url": database_url} if database_url else {})
    config = folder / "settings.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    config.write_text("\n".join([*lines, "[listener]", f"port = {port}", f"processes = {processes}", ""]))
    command = [sys.executable, "-m", "worker.cli"]
    subprocess.run([*command, "migrate", "--config", str(config)], check=True)
    listen = [*command, "listen", "--config", str(config)]
    with running(listen, ready=lambda: accepts(port), log=folder / "listen.log"):
        yield Receiver(
            name, ApplicationEntity("CXRTRIAGE", LOOPBACK, port), lambda: rmtree(data / "spool", ignore_errors=True)
        )


@contextmanager
def ours_on_postgres(folder: Path, *, processes: int = 1) -> Iterator[Receiver]:
    """Our listener with a PostgreSQL that is as durable as its default settings make it."""
    with (
        postgres(durable=True) as server,
        server.database() as url,
        ours(folder, "ours, PostgreSQL", processes=processes, database_url=url) as receiver,
    ):
        yield receiver


@contextmanager
def theirs(folder: Path) -> Iterator[list[Receiver]]:
    """DCMTK and Orthanc with the largest PDU they know; storescp with a process for each association."""
    with ExitStack() as running_servers:
        pdu = str(LARGEST_PDU_OF_DCMTK)
        for name in ("storescp", "orthanc"):
            (folder / name).mkdir()
        dcmtk = running_servers.enter_context(storescp(folder / "storescp", "--max-pdu", pdu, "--fork"))
        archive = running_servers.enter_context(
            orthanc(folder / "orthanc", configuration={"MaximumPduLength": LARGEST_PDU_OF_DCMTK})
        )
        yield [
            Receiver(
                "DCMTK storescp",
                ApplicationEntity(dcmtk.ae_title, dcmtk.host, dcmtk.port),
                lambda: [file.unlink() for file in dcmtk.files()],
            ),
            Receiver("Orthanc", ApplicationEntity(archive.ae_title, archive.host, archive.port), lambda: None),
        ]


def durable_write(folder: Path, data: bytes | bytearray, count: int) -> None:
    """Write as many new files and make each durable, with its name: the least that any honest receiver must do."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        path = folder / f"{number}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, data)
        os.fsync(descriptor)
        os.close(descriptor)
        path.rename(folder / f"{number}.dcm")
        directory = os.open(folder, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
