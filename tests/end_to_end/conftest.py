"""A running service of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.service import RunningService

StartService = Callable[..., RunningService]


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[StartService]:
    """Call it to start `cxr-triage serve`; keywords are settings, `toml` is appended to the settings file.

    `environment` is added to the environment of its processes; `port` is the listener's, instead of a free one.
    """
    with ExitStack() as running:

        def start(
            *, toml: str = "", environment: dict[str, str] | None = None, port: int | None = None, **settings: object
        ) -> RunningService:
            chosen = {} if port is None else {"port": port}
            service = RunningService(tmp_path, toml=toml, settings=settings, environment=environment or {}, **chosen)
            running.callback(service.stop)
            service.start()
            return service

        yield start
