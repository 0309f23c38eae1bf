"""Composing the service for the processes that need no torch."""

from worker.db import Database
from worker.level import require_level
from worker.private_files import keep_files_private
from worker.queues import Wake
from worker.repository.model_versions import RegisteredModel
from worker.service import Service
from worker.settings import Settings
from worker.stating import Speaker


def build_service(settings: Settings, wake: Wake) -> Service:
    """Open the database and hand the parts over; every file that this process makes from now on is its user's only.

    Raises:
        ConfigurationError: if the database is of another level, or its URL is wrong.
        sqlalchemy.exc.OperationalError: if the database cannot be reached.
    """
    keep_files_private()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.effective_database_url)
    require_level(database)
    return Service(settings=settings, database=database, wake=wake)


def build_speaker(service: Service, champion: RegisteredModel) -> Speaker:
    """Say results for the model in service, to the configured destinations."""
    settings = service.settings
    return Speaker(champion, settings.effective_destinations, shadow=settings.shadow)
