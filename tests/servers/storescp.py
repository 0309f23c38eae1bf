"""DCMTK's storescp as the PACS that takes our objects."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.servers.ports import LOOPBACK, accepts, free_port
from tests.servers.processes import running
from tests.servers.programs import require_program


@dataclass(frozen=True)
class StoreScp:
    """A running storescp; `folder` takes each object byte for byte as it was sent, with a file meta header."""

    ae_title: str
    port: int
    folder: Path
    log: Path
    host: str = LOOPBACK

    def files(self) -> list[Path]:
        """The files received so far, by name: modality, point, SOP Instance UID."""
        return sorted(self.folder.iterdir())


class StartStoreScp(Protocol):
    """The type of the fixture `storescp`."""

    def __call__(self, *options: str, ae_title: str = "STORESCP", port: int | None = None) -> StoreScp:
        """Start a storescp that runs until the test ends."""


@contextlib.contextmanager
def storescp(folder: Path, *options: str, ae_title: str = "STORESCP", port: int | None = None) -> Iterator[StoreScp]:
    """Run storescp for every SOP class and transfer syntax, unless the options bring a `--config-file`.

    Args:
        folder: where its log and a new folder `received` go.
        options: further options, e.g. `--refuse` to reject associations or `--sleep-before 1`.
        ae_title: its AE title.
        port: a port to listen on instead of a free one, to start a peer again where it was.
    """
    program = require_program("storescp", "dcmtk")
    received, log, port = folder / "received", folder / "storescp.log", port or free_port()
    received.mkdir(exist_ok=True)
    fixed = ["--aetitle", ae_title, "--output-directory", str(received), "--bit-preserving"]
    fixed += [] if "--config-file" in options else ["--accept-all"]
    with running([program, *fixed, *options, str(port)], ready=lambda: accepts(port), log=log):
        yield StoreScp(ae_title=ae_title, port=port, folder=received, log=log)
