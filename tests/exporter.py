"""An exporter in this process, and what it answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

from tests.servers.ports import LOOPBACK, accepts, wait_until
from worker.exporting.exporter import export
from worker.service import Service


@contextmanager
def exporting(service: Service) -> Iterator[None]:
    """An exporter that answers while the block runs."""
    stop = threading.Event()
    thread = threading.Thread(target=export, args=(service, stop))
    thread.start()
    try:
        wait_until(lambda: accepts(service.settings.metrics.port or 0), "the exporter")
        yield
    finally:
        stop.set()
        thread.join()


def scraped(service: Service) -> dict[str, float]:
    """What it answers: `name{labels}` and value."""
    with urlopen(f"http://{LOOPBACK}:{service.settings.metrics.port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}
