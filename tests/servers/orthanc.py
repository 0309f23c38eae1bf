"""Orthanc as a whole PACS: DICOM on one port, REST on another."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.servers.ports import LOOPBACK, free_port
from tests.servers.processes import running
from tests.servers.programs import require_file, require_program

_DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc; `port` speaks DICOM, `url` is the root of its REST interface."""

    ae_title: str
    port: int
    url: str
    host: str = LOOPBACK

    def get(self, path: str) -> Any:
        """The JSON answer of its REST interface, e.g. of `/instances`."""
        with urlopen(f"{self.url}{path}", timeout=10) as answer:  # noqa: S310  # always http on loopback
            return json.load(answer)

    def download(self, path: str) -> bytes:
        """The bytes of its REST interface, e.g. of `/instances/ID/file`."""
        with urlopen(f"{self.url}{path}", timeout=60) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content

    def put(self, path: str, body: object) -> None:
        """Set something by its REST interface, e.g. `/modalities/NAME`."""
        request = Request(f"{self.url}{path}", data=json.dumps(body).encode(), method="PUT")  # noqa: S310
        urlopen(request, timeout=60).close()  # noqa: S310

    def post(self, path: str, body: object) -> Any:
        """Its JSON answer to a POST; the body is sent as JSON, or as it is if it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data=data)  # noqa: S310
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.load(answer)

    def is_ready(self) -> bool:
        """Whether the REST interface answers."""
        try:
            self.get("/system")
        except (URLError, ConnectionError):
            return False
        return True


def dicomweb() -> dict[str, Any]:
    """The keys of its configuration with which it offers DICOMweb at `{url}/dicom-web`."""
    return {
        "Plugins": [str(require_file(_DICOMWEB, "orthanc-dicomweb"))],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }


class StartOrthanc(Protocol):
    """The type of the fixture `orthanc`."""

    def __call__(self, ae_title: str = "ORTHANC", **configuration: object) -> Orthanc:
        """Start an Orthanc that runs until the test ends."""


@contextlib.contextmanager
def orthanc(
    folder: Path, *, ae_title: str = "ORTHANC", configuration: Mapping[str, Any] | None = None
) -> Iterator[Orthanc]:
    """Run Orthanc with its storage in the folder.

    Args:
        folder: where its database, objects and log go.
        ae_title: its AE title, which callers must use.
        configuration: further keys of its configuration file, e.g. `DicomModalities` or `Plugins`.
    """
    program = require_program("Orthanc", "orthanc")
    http_port = free_port()
    server = Orthanc(ae_title=ae_title, port=free_port(), url=f"http://{LOOPBACK}:{http_port}")
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomPort": server.port,
        "DicomAet": ae_title,
        "DicomCheckCalledAet": True,
        **(configuration or {}),
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with running([program, str(path)], ready=server.is_ready, log=folder / "orthanc.log"):
        yield server
