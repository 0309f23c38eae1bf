"""DCMTK's dcmqrscp as a small PACS that is asked and fetched from."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.servers.ports import LOOPBACK, accepts, free_port
from tests.servers.processes import running
from tests.servers.programs import require_program


@dataclass(frozen=True)
class QueryRetrieveScp:
    """A running dcmqrscp; push objects to it to fill it."""

    ae_title: str
    port: int
    log: Path
    host: str = LOOPBACK


class StartQueryRetrieveScp(Protocol):
    """The type of the fixture `dcmqrscp`."""

    def __call__(
        self, *options: str, ae_title: str = "DCMQRSCP", destinations: Mapping[str, int] | None = None
    ) -> QueryRetrieveScp:
        """Start a dcmqrscp that runs until the test ends."""


@contextlib.contextmanager
def dcmqrscp(
    folder: Path, *options: str, ae_title: str = "DCMQRSCP", destinations: Mapping[str, int] | None = None
) -> Iterator[QueryRetrieveScp]:
    """Run dcmqrscp with its storage in the folder.

    Args:
        folder: where its configuration, its objects and its log go.
        options: further options, e.g. `--disable-get` or `--refuse`.
        ae_title: its AE title, which callers must use.
        destinations: AE titles on the loopback interface that it may send to, with their ports.
    """
    program = require_program("dcmqrscp", "dcmtk")
    storage, configuration, log, port = folder / "storage", folder / "dcmqrscp.cfg", folder / "log", free_port()
    storage.mkdir()
    known = [
        f"peer{number} = ({title}, {LOOPBACK}, {at})" for number, (title, at) in enumerate((destinations or {}).items())
    ]
    lines = [
        f"NetworkTCPPort = {port}",
        "MaxPDUSize = 16384",
        "MaxAssociations = 16",
        *("HostTable BEGIN", *known, "HostTable END"),
        *("VendorTable BEGIN", "VendorTable END"),
        *("AETable BEGIN", f"{ae_title} {storage} RW (200, 1024mb) ANY", "AETable END"),
    ]
    configuration.write_text("\n".join([*lines, ""]))
    command = [program, "--log-level", "info", "--config", str(configuration), *options]
    with running(command, ready=lambda: accepts(port), log=log):
        yield QueryRetrieveScp(ae_title=ae_title, port=port, log=log)
