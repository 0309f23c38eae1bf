"""The model in service: which one SQL names, and where it lies on this host."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from worker.db import Database
from worker.domain import ModelReference
from worker.errors import ConfigurationError
from worker.model.artifact import ModelCard, default_directory, load_card
from worker.repository.model_versions import (
    RegisteredModel,
    champion,
    put_shipped_model_in_service,
    registered_models,
    succession,
)
from worker.service import Service


@dataclass(frozen=True, slots=True)
class InstalledChampion:
    """A model that is or was in service, found and checked on this host."""

    champion: RegisteredModel
    card: ModelCard
    directory: Path


def put_shipped_model_in_place(database: Database, now: datetime) -> None:
    """Put the model that comes with the package in service, unless the site runs one of its own.

    Raises:
        ModelError: if the shipped model is damaged.
    """
    reference = reference_of(load_card(default_directory()))
    with database.begin() as session:
        put_shipped_model_in_service(session, reference, now)


def reference_of(card: ModelCard) -> ModelReference:
    """Return how results name the model of a card."""
    return ModelReference(name=card.name, version=card.version, sha256=card.sha256)


def champion_in_service(database: Database) -> RegisteredModel:
    """Return which model is in service; its files are not touched.

    Raises:
        ConfigurationError: if none is.
    """
    with database.read() as session:
        in_service = champion(session)
    if in_service is None:
        raise ConfigurationError("no model is in service: run `cxr-triage migrate`")
    return in_service


def predecessors(database: Database) -> list[RegisteredModel]:
    """Return the models that rollbacks would lead to, the next one first."""
    with database.read() as session:
        known = {model.reference.sha256: model for model in registered_models(session)}
        return [known[sha256] for sha256 in reversed(succession(session)[:-1])]


def find_installed(service: Service, model: RegisteredModel) -> InstalledChampion:
    """Return a registered model with its files on this host; reads them whole.

    Raises:
        ConfigurationError: if this host has none of them.
        ModelError: if they are damaged.
    """
    installed = service.models.find(model.reference)
    return InstalledChampion(model, installed.card, installed.directory)


def find_champion(service: Service) -> InstalledChampion:
    """Return the model in service with its files; reads them whole.

    Raises:
        ConfigurationError: if none is in service, or this host has no files of it.
        ModelError: if they are damaged.
    """
    return find_installed(service, champion_in_service(service.database))
