"""What the doctor finds out of destinations that speak HTTP, without a word that they would file."""

import json
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicom_io.tls import server_context
from tests.results import flagged_result
from tests.servers.certificates import Authority
from tests.servers.http import StartHttp, answered
from tests.servers.orthanc import StartOrthanc, dicomweb
from tests.servers.ports import LOOPBACK, free_port, wait_until
from worker.db import Database
from worker.delivery import webhook
from worker.delivery.http_probe import reach
from worker.destinations import DicomwebDestination, WebhookDestination
from worker.doctor import Doctor
from worker.errors import DestinationDownError
from worker.finding import Finding
from worker.service import Service
from worker.settings import Settings

SECRET = "a key of the test's own"  # noqa: S105  # pragma: allowlist secret
TOKEN = "t0ken"  # noqa: S105  # pragma: allowlist secret


def _webhook(url: str, **settings: object) -> WebhookDestination:
    values = {"kind": "webhook", "name": "hook", "url": f"{url}/a/T0KEN", "secret": SECRET, **settings}
    return WebhookDestination.model_validate(values)


def _dicomweb(url: str, **settings: object) -> DicomwebDestination:
    return DicomwebDestination.model_validate(
        {"kind": "dicomweb", "name": "web", "url": f"{url}/dicom-web", **settings}
    )


def test_a_webhook_is_reached_by_tls_and_asked_for_nothing(http_server: StartHttp, tmp_path: Path) -> None:
    """The handshake shows that it is there and trusted; no request is made."""
    hospital = Authority.make(tmp_path, "hospital")
    server = http_server(server_context(replace(hospital.issue("ris"), authorities=None)))
    hook = _webhook(server.url, tls={"authorities": hospital.certificate})
    assert reach(hook, timeout_seconds=5) == f"{server.url} takes connections; nothing was posted"
    wait_until(lambda: server.connections == 1, "the connection being counted")
    assert server.requests == []
    with pytest.raises(DestinationDownError, match="TLS: certificate: "):
        reach(_webhook(server.url), timeout_seconds=5)


def test_a_webhook_that_wants_our_certificate_is_not_well_without_it(http_server: StartHttp, tmp_path: Path) -> None:
    """TLS 1.3 refuses after the handshake: the doctor waits for that, and a flag that is sent is told why it failed."""
    hospital = Authority.make(tmp_path, "hospital")
    server = http_server(server_context(hospital.issue("ris")))
    hook = _webhook(server.url, tls={"authorities": hospital.certificate})
    with pytest.raises(DestinationDownError, match=r"ended the connection \(.*certificate required\)"):
        reach(hook, timeout_seconds=5)
    with pytest.raises(DestinationDownError) as raised:
        webhook.send(flagged_result(), hook, now=datetime.now(UTC))
    assert str(raised.value).startswith(f"{server.url}: ")
    assert "no HTTP answer" not in str(raised.value)
    own = hospital.issue("cxr")
    known = {"authorities": hospital.certificate, "certificate": own.certificate, "key": own.key}
    assert "takes connections" in reach(_webhook(server.url, tls=known), timeout_seconds=5)
    assert server.requests == []


def test_nobody_there_is_said(http_server: StartHttp) -> None:
    """Refused, unknown and silent, for both kinds, without the URL's path."""
    refused = f"http://{LOOPBACK}:{free_port()}"
    for destination in (_webhook(refused), _dicomweb(refused)):
        with pytest.raises(DestinationDownError, match=f"{refused}: Connection refused"):
            reach(destination, timeout_seconds=5)
    with pytest.raises(DestinationDownError, match="invalid: "):
        reach(_webhook("http://no-such-host.invalid"), timeout_seconds=5)
    with socket.create_server((LOOPBACK, 0)) as silent:
        url = f"{LOOPBACK}:{silent.getsockname()[1]}"
        with pytest.raises(DestinationDownError, match="no answer in time"):
            reach(_webhook(f"https://{url}"), timeout_seconds=0.3)
        with pytest.raises(DestinationDownError, match=r"within 0.3 s"):
            reach(_dicomweb(f"http://{url}"), timeout_seconds=0.3)


def test_orthanc_answers_a_search(orthanc: StartOrthanc) -> None:
    """A real DICOMweb service without a study is well."""
    pacs = orthanc(**dicomweb())
    assert reach(_dicomweb(pacs.url), timeout_seconds=5) == f"{pacs.url} answers QIDO-RS, status 200"


def test_a_service_without_searches_may_still_store(http_server: StartHttp) -> None:
    """One search for one study with our credential, and an answer that leaves the question open."""
    server = http_server()
    server.says(answered(404))
    said = reach(_dicomweb(server.url, token=TOKEN), timeout_seconds=5)
    assert said == f"{server.url} gives no answer to QIDO-RS (status 404); STOW-RS may work"
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/dicom-web/studies?limit=1")
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("status", [301, 401, 403, 418, 500])
def test_who_does_not_let_us_in_is_not_well(status: int, http_server: StartHttp) -> None:
    """The credential, a redirect, a failure: what would stop a report, too."""
    server = http_server()
    server.says(answered(status))
    with pytest.raises(DestinationDownError, match=str(status)):
        reach(_dicomweb(server.url), timeout_seconds=5)


def test_the_doctor_names_each_destination(http_server: StartHttp, tmp_path: Path) -> None:
    """With its answer, or with what is wrong."""
    server, lost = http_server(), f"http://{LOOPBACK}:{free_port()}"
    server.says(answered(200, json.dumps([]).encode(), content_type="application/dicom+json"))
    settings = Settings(data_dir=tmp_path, destinations=(_dicomweb(server.url), _webhook(lost)))
    doctor = Doctor(Service(settings, Database("sqlite://"), lambda _queue: None))
    assert list(doctor.destinations()) == [
        Finding("destination web", f"{server.url} answers QIDO-RS, status 200"),
        Finding("destination hook", "not well", f"{lost}: Connection refused"),
    ]
