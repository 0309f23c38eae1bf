"""Composing the service for the processes that need no torch."""

from worker.certificates import require_broker_files
from worker.db import Database
from worker.level import require_level
from worker.private_files import keep_files_private
from worker.queues import Wake
from worker.repository.model_versions import RegisteredModel
from worker.service import Service
from worker.settings import Settings
from worker.stating import Speaker


def build_service(settings: Settings, wake: Wake, *, answer_seconds: float | None = None) -> Service:
    """Open the database and hand the parts over; every file that this process makes from now on is its user's only.

    Args:
        settings: of the service.
        wake: sends wake-ups.
        answer_seconds: as of `Database`; for processes for whose answer somebody waits.

    Raises:
        ConfigurationError: if the database is of another level, its URL is wrong, or a file of `broker_tls` cannot be
            used, which would show only when the first wake-up is sent.
        sqlalchemy.exc.OperationalError: if the database cannot be reached.
    """
    keep_files_private()
    require_broker_files(settings)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.effective_database_url, answer_seconds=answer_seconds)
    require_level(database)
    return Service(settings=settings, database=database, wake=wake)


def build_speaker(service: Service, champion: RegisteredModel) -> Speaker:
    """Say results for the model in service, to the configured destinations."""
    settings = service.settings
    return Speaker(champion, settings.effective_destinations, shadow=settings.shadow)
