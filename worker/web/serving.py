"""The page as a process."""

import logging
import socket
import sys

import structlog
import uvicorn
from fastapi import FastAPI

from worker.bootstrap import build_service
from worker.celery import wake
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.web.app import build_app
from worker.web.live import News
from worker.web.patience import PatientProtocol
from worker.web_section import WebSettings

MOST_CONNECTIONS = 400  # twice as many as may listen for news
ANSWER_SECONDS = 30.0  # for a database that hangs: longer than a report of a year takes, and then 503
FAREWELL_SECONDS = 2  # for what is being answered; a page that listens for news comes again by itself

_log = structlog.get_logger()


def serve_page(settings: Settings) -> None:
    """Answer browsers until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: if the address cannot be bound, a file of the certificate cannot be used, or the database
            is of another level.
    """
    web = settings.web
    service = build_service(settings, wake, answer_seconds=ANSWER_SECONDS)
    try:
        with _bound(web) as listening:
            app = build_app(service)
            server = _Server(_configuration(web, app), app.state.news)
            _greet(app)
            _log.info("page-listening", host=web.host, port=web.port, https=web.is_https)
            server.run(sockets=[listening])
    finally:
        service.database.dispose()


class _Server(uvicorn.Server):
    """Tells those who listen for news that it ends, or they would keep it from ending."""

    def __init__(self, configuration: uvicorn.Config, news: News) -> None:
        super().__init__(configuration)
        self._news = news

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: no more news, then what is being answered, then the application."""
        await self._news.end()
        await super().shutdown(sockets)


def _bound(web: WebSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in web.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((web.host.strip("[]"), web.port))
    except OSError as error:
        listening.close()
        raise ConfigurationError(
            f"web: cannot listen on {web.host}:{web.port}: {error.strerror}; free the port, or change web.port"
        ) from error
    return listening


def _configuration(web: WebSettings, app: FastAPI) -> uvicorn.Config:
    files = {} if web.tls is None else {"ssl_certfile": str(web.tls.certificate), "ssl_keyfile": str(web.tls.key)}
    # The application says a fault in its own words; the server's traceback may quote what a header says.
    logging.getLogger("uvicorn.error").addFilter(_has_no_traceback)
    configuration = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http=PatientProtocol,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        proxy_headers=web.is_behind_a_proxy,  # without one anybody could say to be somebody else
        timeout_graceful_shutdown=FAREWELL_SECONDS,
        **files,  # type: ignore[arg-type]
    )
    try:
        configuration.load()
    except OSError as error:
        raise ConfigurationError(f"web.tls: {error.strerror or error}: check certificate and key") from error
    return configuration


def _has_no_traceback(record: logging.LogRecord) -> bool:
    return record.exc_info is None


def _greet(app: FastAPI) -> None:
    password = app.state.accounts.add_first_admin()
    if password is not None:  # not to the log: shown once, kept nowhere
        print(f"cxr-triage: first sign-in to the page: admin / {password} (to be changed there)", file=sys.stderr)  # noqa: T201
