"""A whole radiology department in a temporary folder: our service, and a PACS that pushes films and takes reports."""

import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from dicom_io.errors import PeerError
from dicom_io.scp import ReceivedObject, StorageSCP
from dicom_io.scu import echo, store_files
from dicom_io.types import ApplicationEntity
from worker.demo.films import Film
from worker.settings import Settings, load_settings

LOOPBACK = "127.0.0.1"
PACS = "DEMOPACS"
PUSH_SECONDS = 30.0
STOP_SECONDS = 30.0

_SETTINGS = """\
data_dir = "{folder}/data"
study_quiet_seconds = 2
[listener]
port = {listener_port}
[web]
enabled = false
[[destinations]]
name = "flags"
kind = "folder"
path = "{folder}/flags"
[[destinations]]
name = "pacs"
kind = "dicom"
ae_title = "{pacs}"
host = "127.0.0.1"
port = {pacs_port}
"""


@dataclass
class Site:
    """Starts with the block and ends with it; the folder stays.

    Attributes:
        folder: where everything lies: `flags/`, `serve.log`, `settings.toml`, `data/`.
        reports: how many structured reports the PACS has taken.
        refused: films that the listener did not take, with its answer.
    """

    folder: Path
    reports: int = 0
    refused: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._pacs = StorageSCP(ApplicationEntity(PACS, LOOPBACK, 0), self._take_report)
        self._port = _free_port()
        self.config.write_text(
            _SETTINGS.format(folder=self.folder, listener_port=self._port, pacs=PACS, pacs_port=self._pacs.port)
        )
        self.settings: Settings = load_settings(self.config)
        with (self.folder / "serve.log").open("wb") as log:
            command = (sys.executable, "-m", "worker.cli", "serve", "--config", str(self.config))
            self._serve = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._serve.terminate()
        self._serve.wait(STOP_SECONDS)
        self._pacs.__exit__(kind, error, traceback)

    @property
    def config(self) -> Path:
        """The settings file of the service."""
        return self.folder / "settings.toml"

    @property
    def ended(self) -> bool:
        """Whether the service has stopped by itself, which it should not."""
        return self._serve.poll() is not None

    def answers(self) -> bool:
        """Whether the listener answers a C-ECHO."""
        try:
            echo(self._listener(), calling_ae_title=PACS, timeout_seconds=PUSH_SECONDS)
        except PeerError:
            return False
        return True

    def push(self, films: Sequence[Film]) -> threading.Thread:
        """Push the films one study after the other, as a PACS would; returns the running thread."""
        thread = threading.Thread(target=self._push, args=(films,), daemon=True)
        thread.start()
        return thread

    def _push(self, films: Sequence[Film]) -> None:
        for film in films:
            try:
                store_files(self._listener(), [film.path], calling_ae_title=PACS, timeout_seconds=PUSH_SECONDS)
            except PeerError as error:
                self.refused.append(f"{film.label}: {error}")

    def _listener(self) -> ApplicationEntity:
        return ApplicationEntity(self.settings.listener.ae_title, LOOPBACK, self._port)

    def _take_report(self, received: ReceivedObject) -> None:
        del received
        self.reports += 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
