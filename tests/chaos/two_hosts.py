"""The service on two hosts: listener, prepare and beat on one, score and deliver on the other, servers on a third."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicom_io.types import ApplicationEntity
from tests.chaos.data_host import DataHost, data_host
from tests.chaos.outages import Pacs
from tests.chaos.parts import Part
from tests.chaos.service import AE_TITLE, ChaosService
from tests.conftest import REPOSITORY
from tests.servers.hosts import Host, Network, network
from tests.servers.processes import running
from tests.servers.programs import require_program
from worker.cli.run import _listeners, _workers
from worker.db import Database
from worker.settings import CONFIG_VARIABLE

LISTENER, SCORE, DATA, PACS = "listener", "score", "data", "pacs"
_HOST_OF = {"listener": LISTENER, "prepare": LISTENER, "beat": LISTENER, "score": SCORE, "deliver": SCORE}
_PORT, _PACS_PORT = 11112, 104


@dataclass
class HostPacs(Pacs):
    """DCMTK's storescp on a host of its own, which is also the sender."""

    host: Host | None = None

    @property
    def toml(self) -> str:
        """The destination in the settings."""
        assert self.host is not None
        address = f'ae_title = "PACS"\nhost = "{self.host.address}"\nport = {_PACS_PORT}\ntimeout_seconds = 5\n'
        return f'[[destinations]]\nname = "pacs"\nkind = "dicom"\n{address}'

    def start(self) -> None:
        """Start it and wait until it answers."""
        assert self.host is not None
        host, received = self.host, self.folder / "received"
        received.mkdir()
        options = ("--aetitle", "PACS", "--output-directory", str(received), "--accept-all", "--fork")
        command = [*host.within, require_program("storescp", "dcmtk"), *options, str(_PACS_PORT)]
        server = running(command, ready=lambda: host.accepts(_PACS_PORT), log=self.folder / "storescp.log")
        self._running.enter_context(server)


@dataclass
class TwoHosts(ChaosService):
    """The processes of `serve`, each on its host; a host's folder is hidden from the other one."""

    network: Network | None = None
    data: DataHost | None = None

    @property
    def listener(self) -> ApplicationEntity:
        """Where to push, for whoever is on the network."""
        return ApplicationEntity(AE_TITLE, self._host(LISTENER).address, _PORT)

    @property
    def sender(self) -> tuple[str, ...]:
        """The words before a command that make it run where the films come from."""
        return self._host(PACS).within

    @property
    def data_dir(self) -> Path:
        """What the listener's host keeps."""
        return self.data_dir_of(LISTENER)

    @property
    def flags_folder(self) -> Path:
        """The destination `flags`, on the host that delivers."""
        return self.data_dir_of(SCORE) / "flags"

    @property
    def database(self) -> Database:
        """A look of our own into SQL, past the network."""
        assert self.data is not None
        if self._database is None:
            self._database = Database(self.data.database_door)
        return self._database

    def data_dir_of(self, host: str) -> Path:
        """What a host keeps."""
        return self.folder / host / "data"

    def _host(self, name: str) -> Host:
        assert self.network is not None
        return self.network[name]

    def _config_text(self) -> str:
        return super()._config_text().replace(f"port = {self.port}", f'host = "0.0.0.0"\nport = {_PORT}')

    def _prepare_database(self) -> None:
        super()._prepare_database()
        shutil.copytree(self._in_process().models_dir, self.data_dir_of(SCORE) / "models", symlinks=True)
        for name, other in ((LISTENER, SCORE), (SCORE, LISTENER)):
            self._host(name).hide(self.folder / other)
            text = self.config.read_text().replace(json.dumps(str(self.data_dir)), json.dumps(self._own(name)))
            self._config_of(name).write_text(text)

    def _own(self, name: str) -> str:
        return str(self.data_dir_of(name))

    def _config_of(self, name: str) -> Path:
        return self.folder / f"{name}.toml"

    def make_parts(self, tree: Path = REPOSITORY) -> list[Part]:
        """The parts, not started, each on its host."""
        assert tree == REPOSITORY
        settings = self._in_process()
        return [self._part(child.name, child.command) for child in (*_listeners(settings), *_workers(settings))]

    def _part(self, name: str, command: tuple[str, ...]) -> Part:
        host = _HOST_OF[name]
        settings = {CONFIG_VARIABLE: str(self._config_of(host))}
        words = (*self._host(host).within, *command)
        return Part(name, words, {**os.environ, **settings, **self.environment}, self.folder / f"{name}.log")


@contextmanager
def two_hosts(folder: Path) -> Iterator[TwoHosts]:
    """Run the service until the block ends; the test is skipped where there may be no namespaces."""
    for name in (LISTENER, SCORE, DATA, PACS):
        (folder / name).mkdir()
    with network(LISTENER, SCORE, DATA, PACS) as net, data_host(net[DATA], folder / DATA) as data:
        pacs = HostPacs(folder / PACS, host=net[PACS])
        pacs.start()
        settings = {"database_url": data.database_url, "broker_url": data.broker_url, "lease_seconds": 10}
        service = TwoHosts(folder, pacs=pacs, settings=settings, network=net, data=data)
        service.data_dir_of(SCORE).mkdir(mode=0o700)
        try:
            service.start()
            yield service
        finally:
            service.stop()
            pacs.stop()
