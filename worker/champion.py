"""The model in service: which one SQL names, and where it lies on this host."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from worker.db import Database
from worker.domain import ModelReference
from worker.errors import ConfigurationError
from worker.model.artifact import ModelCard, default_directory, load_card
from worker.repository.model_versions import SHIPPED, Champion, champion, put_shipped_model_in_service


@dataclass(frozen=True, slots=True)
class InstalledChampion:
    """The model in service, found and checked on this host."""

    champion: Champion
    card: ModelCard
    directory: Path


def put_shipped_model_in_place(database: Database, now: datetime) -> None:
    """Put the model that comes with the package in service, unless the site runs one of its own.

    Raises:
        ModelError: if the shipped model is damaged.
    """
    card = load_card(default_directory())
    reference = ModelReference(name=card.name, version=card.version, sha256=card.sha256)
    with database.begin() as session:
        put_shipped_model_in_service(session, reference, now)


def champion_in_service(database: Database) -> Champion:
    """Return which model is in service; its files are not touched.

    Raises:
        ConfigurationError: if none is.
    """
    with database.read() as session:
        in_service = champion(session)
    if in_service is None:
        raise ConfigurationError("no model is in service: run `cxr-triage migrate`")
    return in_service


def find_champion(database: Database) -> InstalledChampion:
    """Return the model in service with its files; reads them whole.

    Raises:
        ConfigurationError: if none is in service, or this host has another one.
        ModelError: if its files are damaged.
    """
    in_service = champion_in_service(database)
    directory = default_directory() if in_service.location == SHIPPED else Path(in_service.location)
    card = load_card(directory)
    if card.sha256 != in_service.reference.sha256:
        raise ConfigurationError(
            f"{directory} holds model {card.version}, in service is {in_service.reference.version}: "
            "install the same version of cxr-triage on every host, then run `cxr-triage migrate`"
        )
    return InstalledChampion(in_service, card, directory)
