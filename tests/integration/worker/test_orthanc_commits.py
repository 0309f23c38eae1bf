"""Storage commitment with Orthanc as the one who asks, on both kinds of database."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from urllib.request import Request, urlopen

from pydicom import Dataset
from sqlalchemy import select

from dicom_io.phantom import phantom_dataset
from dicom_io.scp import StorageSCP
from dicom_io.types import ApplicationEntity
from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import LOOPBACK, free_port
from worker.committing import CommitmentDesk, Committer
from worker.intake import Intake
from worker.sections import PeerSettings
from worker.service import Service
from worker.tables import Image

BuildService = Callable[..., Service]


@contextmanager
def listener(service: Service) -> Iterator[int]:
    """The listener as the service runs it; its port."""
    address = ApplicationEntity("CXRTRIAGE", LOOPBACK, 0)
    with StorageSCP(address, Intake(service).receive, commit=CommitmentDesk(service).take) as scp:
        yield scp.port


def post(url: str, body: bytes) -> Any:
    """What Orthanc answers."""
    with urlopen(Request(url, data=body, method="POST"), timeout=10) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def test_orthanc_is_told_what_is_safe_and_what_is_not(service: BuildService, orthanc: StartOrthanc) -> None:
    """Orthanc asks for two films, one is damaged on our disk: its report says so; sent again, all is well."""
    caller = PeerSettings(ae_title="ORTHANC", host=LOOPBACK, port=free_port())
    built = service(storage_commitment={"enabled": True, "callers": [caller]})
    films = [phantom_dataset(number, kind="CR", rows=16, columns=16) for number in (1, 2)]
    with listener(built) as port:
        peer = orthanc(DicomPort=caller.port, DicomModalities={"cxr": ["CXRTRIAGE", LOOPBACK, port]})
        resources = {"Resources": [post(f"{peer.url}/instances", _encoded(film))["ID"] for film in films]}

        def send() -> None:
            post(f"{peer.url}/modalities/cxr/store", json.dumps(resources).encode())

        def commit() -> dict[str, Any]:
            asked = post(f"{peer.url}/modalities/cxr/storage-commitment", json.dumps(resources).encode())
            assert peer.get(f"/storage-commitment/{asked['ID']}")["Status"] == "Pending"
            assert Committer(built).commit_next()
            report: dict[str, Any] = peer.get(f"/storage-commitment/{asked['ID']}")
            return report

        send()
        safe = commit()
        assert (safe["Status"], len(safe["Success"])) == ("Success", 2)
        _damage(built, films[1])
        damaged = commit()
        assert damaged["Status"] == "Failure"
        assert [one["SOPInstanceUID"] for one in damaged["Success"]] == [films[0].SOPInstanceUID]
        (failure,) = damaged["Failures"]
        assert (failure["SOPInstanceUID"], failure["FailureReason"]) == (films[1].SOPInstanceUID, 0x0110)
        send()
        assert commit()["Status"] == "Success"


def _encoded(film: Dataset) -> bytes:
    buffer = BytesIO()
    film.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _damage(service: Service, film: Dataset) -> None:
    """Turn one bit of the last pixel of a stored film."""
    with service.database.read() as session:
        content = session.scalars(
            select(Image.content_sha256).where(Image.sop_instance_uid == film.SOPInstanceUID)
        ).one()
    path = service.spool.path(content)
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
