"""The broker without a server: Celery's file-system transport, hardened.

kombu writes message files in place, and a reader that meets one before it is whole makes its worker exit. Here a
message is written aside and renamed, and a file that is no message is set aside instead of raised. A lost message is
only a late one: it is a wake-up, and the sweep looks in SQL anyway.
"""

import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps, loads

URL = "cxr-embedded://localhost"  # kombu wants a host; there is none
POLLING_INTERVAL_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 0.25  # between two looks at whether the worker is to stop; Celery would wait 2 s

_log = structlog.get_logger()


def configure(folder: Path) -> dict[str, Any]:
    """Make the transport known to kombu and its folders, mode 0700; returns Celery's settings for it."""
    TRANSPORT_ALIASES["cxr-embedded"] = "worker.embedded_broker:Transport"
    for name in ("queue", "control", "aside"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {
        "data_folder_in": str(folder / "queue"),
        "data_folder_out": str(folder / "queue"),
        "control_folder": str(folder / "control"),
        "processed_folder": str(folder / "aside"),
        "polling_interval": POLLING_INTERVAL_SECONDS,
    }
    return {"broker_url": URL, "broker_transport_options": options}


class Channel(filesystem.Channel):  # type: ignore[misc]
    """One message, one file `<time>_<random>.<queue>.msg`, whole or not there."""

    supports_fanout = False  # remote control and events are off

    def _put(self, queue: str, payload: dict[str, Any], **_kwargs: Any) -> None:
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        temporary = folder / f".{name}"  # a leading dot: no reader takes it
        temporary.write_bytes(dumps(payload).encode())
        temporary.rename(folder / name)

    def _get(self, queue: str) -> dict[str, Any]:
        folder = Path(self.data_folder_in)
        for name in sorted(entry.name for entry in folder.iterdir()):
            if _queue_of(name) != queue:
                continue
            payload = self._take(folder / name)
            if payload is not None:
                return payload
        raise Empty

    def _take(self, path: Path) -> dict[str, Any] | None:
        taken = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.rename(taken)
        except FileNotFoundError:  # another worker was faster
            return None
        payload = _parse(taken)
        if payload is None or not self._is_message(payload):
            _log.warning("broker-file-set-aside", file=path.name)
            taken.rename(Path(self.processed_folder) / path.name)
            return None
        taken.unlink()
        return payload

    def _is_message(self, payload: dict[str, Any]) -> bool:
        try:
            self.Message(payload, channel=self)
        except (AttributeError, KeyError, TypeError, ValueError):
            return False
        return True


class Transport(filesystem.Transport):  # type: ignore[misc]
    """The hardened transport; known to kombu by the scheme of `URL`."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        """Wait for a message, but never so long that a worker told to stop seems to hang.

        Raises:
            TimeoutError: if none came.
        """
        super().drain_events(connection, min(timeout or LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS))


def _queue_of(name: str) -> str | None:
    # <time>_<random>.<queue>.msg
    parts = name.split(".")
    return parts[1] if len(parts) == 3 and parts[0] and parts[2] == "msg" else None


def _parse(path: Path) -> dict[str, Any] | None:
    try:
        payload = loads(path.read_bytes())
    except (OSError, RecursionError, ValueError):  # a folder that is called like a message, for instance
        return None
    return payload if isinstance(payload, dict) else None
