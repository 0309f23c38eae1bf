"""`metrics`: answering Prometheus."""

from worker.cli.common import ConfigOption, one_line_errors, stop_on_signals
from worker.db import Database
from worker.observability import configure_logging, name_process
from worker.private_files import keep_files_private
from worker.service import Service
from worker.settings import load_settings


def metrics(config: ConfigOption = None) -> None:
    """Answer Prometheus for all processes of this host, at `metrics.port`; `serve` does where that is set."""
    from worker.exporting.exporter import export

    stop = stop_on_signals()
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        name_process("metrics")
        keep_files_private()
        database = Database(settings.effective_database_url)  # of whatever level: its facts are missing at most
        export(Service(settings, database, lambda _queue: None), stop)
