"""The service as separate processes: the commands of `cxr-triage serve` without its supervisor."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dicom_io.types import ApplicationEntity
from tests.chaos.films import THRESHOLD_LOGIT
from tests.chaos.outages import Pacs
from tests.chaos.parts import Keeper, Part
from tests.conftest import REPOSITORY
from tests.models import real_version
from tests.servers.ports import LOOPBACK, free_port, wait_until
from worker.champion import champion_in_service, put_shipped_model_in_place, reference_of
from worker.cli.run import _listeners, _workers
from worker.db import Database
from worker.repository.model_versions import CHOSEN, Entry, put_in_service
from worker.schema import migrate
from worker.sections import ListenerSettings
from worker.service import utc_now
from worker.settings import CONFIG_VARIABLE, Settings
from worker.web_section import WebSettings

START_SECONDS = 120.0
AE_TITLE = "CXRTRIAGE"
LEASE_SECONDS = 5.0  # of work that a killed worker held
_SAYS = {
    "listener": "listening",
    "prepare": "ready.",
    "score": "model-loaded",
    "deliver": "ready.",
}  # once it is at work


@dataclass
class ChaosService:
    """A service in a folder, with a model in service that flags one of the two drawn films.

    Attributes:
        folder: for everything that it makes.
        pacs: a second destination beside the folder.
        settings: top-level settings.
        environment: added to that of its processes.
        only: the parts that are started; empty: all.
    """

    folder: Path
    pacs: Pacs | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    parts: dict[str, Part] = field(default_factory=dict)
    _keeper: Keeper | None = None
    _database: Database | None = None

    @property
    def listener(self) -> ApplicationEntity:
        """Where to push."""
        return ApplicationEntity(AE_TITLE, LOOPBACK, self.port)

    @property
    def data_dir(self) -> Path:
        """Everything that the service keeps."""
        return self.folder / "data"

    @property
    def flags_folder(self) -> Path:
        """The destination `flags`."""
        return self.data_dir / "flags"

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "settings.toml"

    @property
    def database(self) -> Database:
        """A look of our own into SQL."""
        if self._database is None:
            settings = self._in_process()
            self._database = Database(settings.effective_database_url)
        return self._database

    def start(self) -> None:
        """Make the database, put the model in service, start every part and wait until each is at work."""
        self.data_dir.mkdir(mode=0o700)
        self.config.write_text(self._config_text())
        self._prepare_database()
        self.parts = {part.name: part for part in self.make_parts()}
        self._keeper = Keeper(tuple(self.parts.values()))
        self._keeper.start()
        wait_until(
            self.is_up, f"every part of the service at work, see {self.folder}", seconds=START_SECONDS, every=0.1
        )

    def stop(self) -> None:
        """End every part."""
        if self._keeper is not None:
            self._keeper.stop()
        if self._database is not None:
            self._database.dispose()

    def is_up(self) -> bool:
        """Whether every part is at work."""
        return all(self.is_at_work(name) for name in self.parts)

    def is_at_work(self, name: str) -> bool:
        """Whether a part is past its start; asked of its log, since a connection would count as a caller."""
        return is_at_work(self.parts[name])

    def _config_text(self) -> str:
        top = {
            "data_dir": str(self.data_dir),
            "study_quiet_seconds": 0.5,
            "min_free_bytes": 0,
            "prepare_processes": 1,
            "device": "cpu",
            "lease_seconds": LEASE_SECONDS,
            "retry_seconds": 0.5,
            "retry_max_seconds": 2,
            "sweep_seconds": 0.5,
            "max_attempts": 1000,  # a killed worker is no fault of the film that it held
            **self.settings,
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
        return "\n".join([*lines, "[listener]", f"port = {self.port}", self._destinations()])

    def _destinations(self) -> str:
        folder = f'[[destinations]]\nname = "flags"\nkind = "folder"\npath = "{self.flags_folder}"\n'
        return folder + (self.pacs.toml if self.pacs else "")

    def _in_process(self) -> Settings:
        url = self.settings.get("database_url")
        return Settings(
            data_dir=self.data_dir,
            database_url=None if url is None else SecretStr(url),
            prepare_processes=self.settings.get("prepare_processes", 1),
            listener=ListenerSettings(port=self.port),
            web=WebSettings(enabled=False),
        )

    def _prepare_database(self) -> None:
        migrate(self.database)
        put_shipped_model_in_place(self.database, utc_now())
        models = self._in_process().models_dir
        card = real_version(models / "chaos", "1.0.0+chaos", threshold_logit=THRESHOLD_LOGIT)
        (models / "chaos").rename(models / card.sha256)
        shipped = champion_in_service(self.database)
        with self.database.begin() as session:
            put_in_service(
                session, reference_of(card), utc_now(), replacing=shipped, location=CHOSEN, entry=Entry.PROMOTED
            )

    def make_parts(self, tree: Path = REPOSITORY) -> list[Part]:
        """The parts, not started, with the code of a tree; a log of each tree's own."""
        settings = self._in_process()
        logs = self.folder if tree == REPOSITORY else tree
        environment = {**os.environ, CONFIG_VARIABLE: str(self.config), **self.environment}
        return [
            Part(child.name, child.command, environment, logs / f"{child.name}.log", tree=tree)
            for child in (*_listeners(settings), *_workers(settings))
            if not self.only or _kind(child.name) in self.only
        ]


def is_at_work(part: Part) -> bool:
    """Whether a part is past its start."""
    return bool(part.processes()) and _SAYS.get(_kind(part.name), "") in part.said()


def _kind(name: str) -> str:
    # Of several processes of a kind each has its number.
    return name.partition("-")[0]
