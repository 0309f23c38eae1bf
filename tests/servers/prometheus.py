"""A private Prometheus that scrapes one exporter every half second."""

import contextlib
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from tests.servers.ports import LOOPBACK, free_port
from tests.servers.processes import running
from tests.servers.programs import require_program

_CONFIG = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: cxr-triage
    static_configs: [{{targets: ["{target}"]}}]
"""


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    port: int

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now; raises what the server says if it cannot be evaluated."""
        asked = urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/api/v1/query?{asked}", timeout=10) as answer:
                result: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
        except URLError as error:
            said = error.read().decode() if hasattr(error, "read") else str(error)
            raise ValueError(f"{expression}: {said}") from error
        return result


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/-/ready", timeout=10):
            return True
    except (URLError, ConnectionError):
        return False


@contextlib.contextmanager
def prometheus(folder: Path, exporter_port: int) -> Iterator[Prometheus]:
    """Run a server that scrapes an exporter on this machine."""
    program, port = require_program("prometheus", "prometheus"), free_port()
    config = folder / "prometheus.yaml"
    config.write_text(_CONFIG.format(target=f"{LOOPBACK}:{exporter_port}"))
    words = [f"--config.file={config}", f"--storage.tsdb.path={folder}", f"--web.listen-address={LOOPBACK}:{port}"]
    with running([program, *words], ready=lambda: _is_ready(port), log=folder / "prometheus.log"):
        yield Prometheus(port)
