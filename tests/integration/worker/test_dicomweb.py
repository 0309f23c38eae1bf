"""The destination `dicomweb`: reports out of the outbox to Orthanc and to a server that says what it is told to say."""

import base64
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import update

from dicom_io.report import ReportForm, derive_uid
from dicom_io.tls import server_context
from tests.integration.worker.conftest import Clock
from tests.outcomes import Outbox
from tests.results import STUDY, flagged_result
from tests.servers.certificates import Authority
from tests.servers.http import HttpServer, Request, StartHttp, answered
from tests.servers.orthanc import StartOrthanc, dicomweb
from worker.delivery.reporting import encode_file, structured_report
from worker.delivery.send import send
from worker.destinations import ClientTlsSettings, DicomwebDestination
from worker.domain import Flag
from worker.errors import DestinationDownError
from worker.tables import Delivery

JSON = "application/dicom+json; charset=utf-8"


def service_at(url: str, **settings: object) -> DicomwebDestination:
    """A DICOMweb service."""
    values = {"name": "web", "url": f"{url}/dicom-web", "timeout_seconds": 10, **settings}
    return DicomwebDestination.model_validate({"kind": "dicomweb", **values})


@pytest.fixture
def server(http_server: StartHttp) -> HttpServer:
    """A server that the test tells what to answer."""
    return http_server()


def files(request: Request) -> list[bytes]:
    """The DICOM files of a store request, byte for byte (RFC 2046 5.1.1)."""
    kind, *parameters = (part.strip() for part in request.headers["content-type"].split(";"))
    assert kind == "multipart/related"
    told = dict(parameter.split("=", 1) for parameter in parameters)
    assert told["type"] == '"application/dicom"'
    delimiter = b"\r\n--" + told["boundary"].strip('"').encode()
    _preamble, *parts, end = (b"\r\n" + request.body).split(delimiter)
    assert end == b"--"
    heads = [part.partition(b"\r\n\r\n")[0] for part in parts]
    assert [head.strip().lower() for head in heads] == [b"content-type: application/dicom"] * len(parts)
    return [part.partition(b"\r\n\r\n")[2] for part in parts]


def told(uid: str, *, warning: int | None = None, failure: int | None = None, status: int = 200) -> bytes:
    """The answer that an object is stored, maybe with a warning, or not, with a failure reason."""
    sequence, tag, reason = ("00081199", "00081196", warning) if failure is None else ("00081198", "00081197", failure)
    item = {"00081155": {"vr": "UI", "Value": [uid]}}
    if reason is not None:
        item[tag] = {"vr": "US", "Value": [reason]}  # type: ignore[list-item]
    body = json.dumps({sequence: {"vr": "SQ", "Value": [item]}}).encode()
    return answered(status, body, content_type=JSON)


def report_uid(said: Flag) -> str:
    """The SOP Instance UID of a result's report."""
    return derive_uid(said.result_uid, "sr")


def test_orthanc_takes_the_report_into_the_study(outbox: Outbox, orthanc: StartOrthanc) -> None:
    """Its DICOMweb plug-in stores it, once, however often it is sent, and its REST interface shows it."""
    pacs = orthanc(**dicomweb())
    web = service_at(pacs.url)
    said = outbox.put(web)
    outcome = outbox.deliver(web)
    assert (outcome.state, outcome.said) == ("delivered", "stored, status 200")
    assert (outcome.form, outcome.recorded) == (ReportForm.COMPREHENSIVE_3D_SR, ("delivered",))
    (instance,) = pacs.get("/instances")
    tags = pacs.get(f"/instances/{instance}/simplified-tags")
    assert (tags["SOPInstanceUID"], tags["StudyInstanceUID"]) == (report_uid(said), STUDY)
    assert tags["SeriesDescription"] == "AI TRIAGE: HIGH"
    with outbox.database.begin() as session:
        session.execute(update(Delivery).values(state="pending"))
    assert outbox.deliver(service_at(f"{pacs.url}/")).said == "stored, status 200"
    assert pacs.get("/instances") == [instance]


def test_the_service_gets_the_very_bytes_of_the_report(outbox: Outbox, server: HttpServer) -> None:
    """One request to /studies with one part, which is the file that a folder would get."""
    web = service_at(server.url)
    said = outbox.put(web)
    server.says(told(report_uid(said)))
    assert outbox.deliver(web).said == "stored, status 200"
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/dicom-web/studies")
    (file,) = files(request)
    assert dcmread(BytesIO(file)).SOPInstanceUID == report_uid(said)
    assert request.headers["accept"] == "application/dicom+json"
    assert request.headers["host"] == server.url.removeprefix("http://")
    assert "authorization" not in request.headers


def test_a_second_sending_is_the_identical_object(outbox: Outbox, server: HttpServer, clock: Clock) -> None:
    """Whoever took the first one, but could not say so, gets the same bytes again."""
    web = service_at(server.url)
    said = outbox.put(web)
    server.says(b"")
    assert outbox.deliver(web).state == "pending"
    server.says(told(report_uid(said)))
    clock.advance(minutes=10)
    assert outbox.deliver(web).state == "delivered"
    first, second = server.requests
    assert first.body == second.body


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        ({"token": "t0ken-Ω"}, "Bearer t0ken-Ω"),  # pragma: allowlist secret
        (
            {"user": "röntgen", "password": "Ω:hush"},  # pragma: allowlist secret
            "Basic " + base64.b64encode("röntgen:Ω:hush".encode()).decode(),
        ),
    ],
)
def test_a_credential_is_shown_and_never_told(
    credential: dict[str, str], header: str, outbox: Outbox, server: HttpServer
) -> None:
    """As bytes of UTF-8; when it is not good enough, the operator is told so without it."""
    web = service_at(server.url, **credential)
    server.says(answered(401))
    outcome = outbox.deliver_new(web)
    assert server.requests[0].headers["authorization"].encode("latin-1").decode() == header
    assert (outcome.state, outcome.said) == (
        "pending",
        f"{server.url} answered status 401: mend the url, the credentials or the server",
    )
    assert "hush" not in repr(web)
    assert "t0ken" not in repr(web)


STORED = {
    "with a coercion": ({"warning": 0xB000}, "stored, status 200, warning reason 0xB000"),
    "with a warning for some": ({"warning": 0xB007, "status": 202}, "stored, status 202, warning reason 0xB007"),
    "and accepted only": ({"status": 202}, "stored, status 202"),
}


@pytest.mark.parametrize("case", STORED)
def test_a_warning_is_recorded(case: str, outbox: Outbox, server: HttpServer) -> None:
    """What the server stored is delivered, and the audit trail has what it remarked."""
    web = service_at(server.url)
    values, answer = STORED[case]
    server.says(told(report_uid(outbox.put(web)), **values))
    outcome = outbox.deliver(web)
    assert (outcome.state, outcome.said, outcome.recorded) == ("delivered", answer, ("delivered",))


FAILED = [
    (200, 0xA700, "pending", "failure reason 0xA700: out of resources"),
    (202, 0x0110, "pending", "failure reason 0x0110"),
    (200, 0x0122, "pending", "failure reason 0x0122: SOP class not supported"),
    (202, 0xA900, "dead", "failure reason 0xA900"),
    (409, 0xC000, "dead", "failure reason 0xC000"),
    (409, 0xA7FF, "pending", "failure reason 0xA7FF: out of resources"),
    (409, 0x0213, "pending", "failure reason 0x0213: out of resources"),
    (409, 0x0124, "pending", "failure reason 0x0124: not authorized"),
    (409, 0xB00F, "pending", "failure reason 0xB00F"),
]


@pytest.mark.parametrize(("status", "reason", "state", "message"), FAILED)
def test_a_failure_counts_whatever_the_status_is(
    status: int, reason: int, state: str, message: str, outbox: Outbox, server: HttpServer
) -> None:
    """The list of failures names the report: not stored, tried again or not by its reason."""
    web = service_at(server.url)
    server.says(told(report_uid(outbox.put(web)), failure=reason, status=status))
    outcome = outbox.deliver(web)
    assert (outcome.state, outcome.form) == (state, None)
    assert outcome.said == f"{server.url} did not store the report, {message}"
    assert outcome.recorded == ("delivery-retry" if state == "pending" else "delivery-dead",)


@pytest.mark.parametrize("reason", [0x0111, 0xB00E])
def test_a_report_that_is_there_is_delivered(reason: int, outbox: Outbox, server: HttpServer) -> None:
    """A server that overwrites nothing, and whose first answer was lost, must not make a dead letter of what it has."""
    web = service_at(server.url)
    server.says(told(report_uid(outbox.put(web)), failure=reason, status=409))
    outcome = outbox.deliver(web)
    assert (outcome.state, outcome.recorded) == ("delivered", ("delivered",))
    assert outcome.said == f"stored before, status 409, failure reason 0x{reason:04X}"


def test_a_failure_without_a_reason_is_tried_again(outbox: Outbox, server: HttpServer) -> None:
    """Nothing says that it would not be taken later."""
    web = service_at(server.url)
    item = {"00081155": {"vr": "UI", "Value": [report_uid(outbox.put(web))]}}
    server.says(answered(409, json.dumps({"00081198": {"vr": "SQ", "Value": [item]}}).encode(), content_type=JSON))
    outcome = outbox.deliver(web)
    assert (outcome.state, outcome.said) == ("pending", f"{server.url} did not store the report and gives no reason")


OTHER = {
    "200 and nothing": (answered(200), "delivered", "status 200, which does not name the report"),
    "200 about another object": (told("2.25.9"), "delivered", "status 200, which does not name the report"),
    "202 and nothing": (answered(202), "pending", "does not say what became of the report"),
    "202 about another object": (told("2.25.9", failure=0xA700, status=202), "pending", "does not say"),
    "201": (answered(201), "pending", "no STOW-RS answer, status 201: is it the right url"),
    "200 of another service": (answered(200, b'["fine"]', content_type="application/json"), "pending", "no STOW-RS"),
    "200 in plain text": (answered(200, b"OK", content_type="text/plain"), "pending", "no STOW-RS answer"),
    "200 without an end": (answered(200, b"[" * 99_000, content_type=JSON), "pending", "no STOW-RS answer"),
    "a page": (answered(200, b"<html>", content_type="text/html"), "pending", "page for people"),
    "a redirect": (answered(307, location="http://127.0.0.1:9/studies"), "pending", "redirects"),
    "409 without a reason": (answered(409), "pending", "status 409 without a reason"),
    "409 with a page": (answered(409, b"<html>", content_type="text/html"), "pending", "status 409 without a reason"),
    "a request that it calls bad": (answered(400), "pending", "answered status 400: mend the url"),
    "a report that it calls wrong": (answered(422), "dead", "refused with status 422"),
    "garbage": (b"\x16\x03\x01 garbage\r\n\r\n", "pending", "no HTTP answer"),
}


@pytest.mark.parametrize("case", OTHER)
def test_every_other_answer_has_one_outcome(case: str, outbox: Outbox, server: HttpServer) -> None:
    """Recorded once, and asked once: the library's own retries are off."""
    answer, state, message = OTHER[case]
    server.says(answer)
    outcome = outbox.deliver_new(service_at(server.url))
    assert outcome.state == state
    assert outcome.said is not None
    assert message in outcome.said
    assert len(outcome.recorded) == len(server.requests) == 1


def test_a_drip_ends_with_the_time_for_the_whole(outbox: Outbox, server: HttpServer) -> None:
    """Through the library, too."""
    server.drips(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    outcome = outbox.deliver_new(service_at(server.url, timeout_seconds=0.4))
    assert (outcome.state, outcome.said) == ("pending", f"{server.url}: gave no whole answer within 0.4 s")


def test_the_report_goes_out_by_tls_both_ways(http_server: StartHttp, tmp_path: Path) -> None:
    """The service demands our certificate, and is checked against its authority."""
    hospital = Authority.make(tmp_path, "hospital")
    pacs, own = hospital.issue("pacs"), hospital.issue("cxr")
    server = http_server(server_context(pacs))
    server.says(told(str(structured_report(flagged_result()).SOPInstanceUID)))
    tls = ClientTlsSettings(certificate=own.certificate, key=own.key, authorities=hospital.certificate)
    assert send(flagged_result(), service_at(server.url, tls=tls), calling_ae_title="US").answer == "stored, status 200"
    assert files(server.requests[0]) == [encode_file(structured_report(flagged_result()))]
    stranger = ClientTlsSettings(authorities=hospital.certificate)
    with pytest.raises(DestinationDownError):
        send(flagged_result(), service_at(server.url, tls=stranger), calling_ae_title="US")
    assert len(server.requests) == 1


@pytest.mark.parametrize("names", ["DNS:localhost,IP:127.0.0.1", "DNS:elsewhere"], ids=["authority", "name"])
def test_a_bad_certificate_gets_nothing(
    names: str, http_server: StartHttp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an authority that the settings do not name, though requests would trust it, or of another host."""
    hospital, other = Authority.make(tmp_path, "hospital"), Authority.make(tmp_path, "other")
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(hospital.certificate))
    server = http_server(server_context(replace(hospital.issue("pacs", names=names), authorities=None)))
    trusted = other if names.startswith("DNS:localhost") else hospital
    tls = ClientTlsSettings(authorities=trusted.certificate)
    with pytest.raises(DestinationDownError, match="TLS: certificate: "):
        send(flagged_result(), service_at(server.url, tls=tls), calling_ae_title="US")
    assert server.requests == []
    assert server.connections == 1
