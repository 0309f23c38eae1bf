"""`web`: the worklist page alone."""

from worker.cli.common import ConfigOption, one_line_errors
from worker.errors import ConfigurationError
from worker.observability import configure_logging
from worker.settings import load_settings


def web(config: ConfigOption = None) -> None:
    """Serve the worklist page alone."""
    with one_line_errors():
        settings = load_settings(config)
        configure_logging(settings)
        try:
            from worker.web.serving import serve_page
        except ModuleNotFoundError as error:
            raise ConfigurationError(f"web: {error}: install cxr-triage[web] on this host") from error
        serve_page(settings)
