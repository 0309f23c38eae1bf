"""The destination `webhook`: flags out of the outbox to a real server, on both kinds of database."""

import hashlib
import hmac
import json
import logging
import re
import socket
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from jsonschema import Draft202012Validator
from sqlalchemy import update

from tests.integration.worker.conftest import Clock
from tests.outcomes import Outbox
from tests.servers.http import HttpServer, Request, StartHttp, answered
from tests.servers.ports import LOOPBACK, free_port
from worker.delivering import Deliverer
from worker.destinations import WebhookDestination
from worker.observability import configure_logging
from worker.settings import Settings
from worker.tables import Delivery, Study

SECRET = "a key of the test's own, Schlüssel"  # noqa: S105  # pragma: allowlist secret
TOKEN_PATH = "/hooks/T0KEN-in-the-path"  # noqa: S105  # pragma: allowlist secret


def webhook(url: str, **settings: object) -> WebhookDestination:
    """A webhook at a server."""
    values = {"name": "hook", "url": url + TOKEN_PATH, "secret": SECRET, "timeout_seconds": 5, **settings}
    return WebhookDestination.model_validate({"kind": "webhook", **values})


@pytest.fixture
def server(http_server: StartHttp) -> HttpServer:
    """Answers 200 to everything, until it is told otherwise."""
    return http_server()


def verified(request: Request, *, now: float) -> dict[str, object]:
    """What a receiver does, in its own words: the flag of a request that we signed of late."""
    timestamp = request.headers["x-cxr-triage-timestamp"]
    assert abs(now - int(timestamp)) <= 300
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(request.headers["x-cxr-triage-signature"], f"sha256={expected}")
    flag: dict[str, object] = json.loads(request.body)
    return flag


def test_a_receiver_gets_the_flag_signed_and_as_the_schema_says(
    outbox: Outbox, server: HttpServer, clock: Clock, repository: Path
) -> None:
    """The very flag, with our name, a key for doing it once, and a signature over the time of sending."""
    hook = webhook(server.url)
    said = outbox.put(hook)
    clock.advance(hours=2)
    outcome = outbox.deliver(hook)
    assert (outcome.state, outcome.said) == ("delivered", "accepted, status 200")
    assert (outcome.form, outcome.recorded) == (None, ("delivered",))
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", TOKEN_PATH)
    assert request.body == said.to_json().encode()
    flag = verified(request, now=clock().timestamp())
    Draft202012Validator(json.loads((repository / "worker/delivery/flag.schema.json").read_text())).validate(flag)
    assert flag["priority"] == "HIGH"
    headers = request.headers
    assert headers["idempotency-key"] == said.result_uid
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("cxr-triage/")
    assert headers["host"] == server.url.removeprefix("http://")
    assert set(headers).isdisjoint({"cookie", "authorization"})


def test_a_second_sending_has_the_same_key_and_a_new_time(outbox: Outbox, server: HttpServer, clock: Clock) -> None:
    """A receiver that took the first one, but could not say so, knows the second one for the same."""
    hook = webhook(server.url)
    server.says(b"")
    assert outbox.deliver_new(hook).state == "pending"
    server.says(answered(204))
    clock.advance(minutes=10)
    assert outbox.deliver(hook).said == "accepted, status 204"
    first, second = server.requests
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.body == second.body
    assert verified(second, now=clock().timestamp()) == verified(first, now=clock().timestamp() - 600)


def test_what_is_sent_after_a_correction_has_another_key(outbox: Outbox, server: HttpServer) -> None:
    """The accession number in it may be another: the receiver must not take it for what it has."""
    hook = webhook(server.url)
    said = outbox.put(hook)
    outbox.deliver(hook)
    with outbox.database.begin() as session:
        session.execute(update(Study).values(corrections=2))
        session.execute(update(Delivery).values(state="pending"))
    outbox.deliver(hook)
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys == [said.result_uid, f"{said.result_uid}/2"]


PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
LATER = {
    "a page that says so": (answered(200, PAGE, content_type="Text/HTML; charset=utf-8"), "page for people"),
    "a page that calls itself JSON": (answered(200, b"\n " + PAGE, content_type="application/json"), "page for people"),
    "a redirect": (answered(302, location="http://127.0.0.1:9/elsewhere"), "redirects .status 302.*set the new url"),
    "wrong credentials": (answered(401), "status 401: mend"),
    "no such path": (answered(404), "status 404: mend"),
    "a bad request": (answered(400, b"No required SSL certificate was sent"), "status 400: mend"),
    "another media type wanted": (answered(415), "status 415: mend"),
    "too many": (answered(429, retry_after="3600"), "status 429"),
    "its own failure": (answered(500, b"Traceback: PatientName Doe^John"), "status 500$"),
    "no final status": (answered(101), "status 101"),
    "a status that is none": (answered(777), "status 777"),
    "garbage": (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP answer"),
    "a header without end": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "no HTTP answer"),
    "headers that are none": (b"HTTP/1.1 503 No\r\n\xff\xfe no colon here\r\n: x\r\n\r\n", "status 503"),
    "a chunk of less than nothing": (answered(200, b"-5\r\n", transfer_encoding="chunked"), "no HTTP answer"),
    "nothing": (b"", "no HTTP answer"),
    "half an answer": (answered(200, b"half", content_length="9"), "no HTTP answer"),
    "an encoding that is none": (answered(200, b"text", content_encoding="gzip"), "no HTTP answer"),
}
NEVER = [413, 422]


@pytest.mark.parametrize("case", LATER)
def test_what_is_no_word_about_the_flag_is_tried_again(case: str, outbox: Outbox, server: HttpServer) -> None:
    """One attempt, one line in the audit trail that says why; nothing of the URL's path or the answer's words."""
    answer, message = LATER[case]
    server.says(answer)
    outcome = outbox.deliver_new(webhook(server.url))
    assert (outcome.state, outcome.attempts, outcome.recorded) == ("pending", 1, ("delivery-retry",))
    assert outcome.said is not None
    assert re.search(message, outcome.said)
    assert server.url in outcome.said
    assert TOKEN_PATH not in outcome.said
    assert "Doe" not in outcome.said
    assert len(server.requests) == 1  # no redirect was followed, and nothing was tried twice at once


@pytest.mark.parametrize("status", NEVER)
def test_what_will_never_be_taken_is_a_dead_letter(status: int, outbox: Outbox, server: HttpServer) -> None:
    """A flag that the receiver calls wrong stays wrong."""
    server.says(answered(status, b"Doe^John"))
    outcome = outbox.deliver_new(webhook(server.url))
    assert (outcome.state, outcome.recorded) == ("dead", ("delivery-dead",))
    assert outcome.said == f"{server.url} refused with status {status}"


def test_one_that_is_still_at_it_is_asked_again(outbox: Outbox, server: HttpServer, clock: Clock) -> None:
    """409 answers a second sending while the first is in work: only this flag waits, not the destination."""
    hook = webhook(server.url)
    server.says(answered(409))
    assert outbox.deliver_new(hook).state == "pending"
    outbox.put(hook, study="2.25.2")
    assert Deliverer(outbox.service(destinations=(hook,))).deliver_next()
    assert len(server.requests) == 2


def test_ten_megabytes_are_not_read(outbox: Outbox, server: HttpServer) -> None:
    """The status decides; the connection is closed after the first kilobytes."""
    sent = []

    def answer(_request: Request) -> Iterator[bytes]:
        yield answered(200, content_length="1000000000", content_type="application/json")
        for number in range(1000):
            sent.append(number)
            yield bytes(1 << 20)

    server.answer = answer
    assert outbox.deliver_new(webhook(server.url)).said == "accepted, status 200"
    assert len(sent) < 20


def test_what_unpacks_to_much_more_is_not_unpacked(outbox: Outbox, server: HttpServer) -> None:
    """Nobody asked for a packed answer; of one that comes no more is unpacked than is read."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(60)) + packer.flush()
    server.says(answered(200, bomb, content_encoding="gzip", content_type="application/json"))
    hook = webhook(server.url)
    outbox.put(hook)
    tracemalloc.start()
    try:
        assert outbox.deliver(hook).state == "delivered"
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        answered(200, content_length="100000"),
        answered(200).replace(b"Content-Length: 0\r\n", b"").replace(b"content-length: 0\r\n", b""),
    ],
    ids=["status", "header", "body", "body without a length"],
)
def test_a_drip_ends_with_the_time_for_the_whole(start: bytes, outbox: Outbox, server: HttpServer) -> None:
    """A letter now and then keeps no sender busy; an answer that we cut off is none."""
    server.drips(start)
    outcome = outbox.deliver_new(webhook(server.url, timeout_seconds=0.4))  # would not end: the letters do not
    assert (outcome.state, outcome.recorded) == ("pending", ("delivery-retry",))
    assert outcome.said == f"{server.url}: gave no whole answer within 0.4 s"


def test_a_server_that_takes_nothing_in_holds_nobody_up(outbox: Outbox) -> None:
    """A connection without a word ends in time."""
    with socket.create_server((LOOPBACK, 0)) as silent:
        outcome = outbox.deliver_new(webhook(f"http://{LOOPBACK}:{silent.getsockname()[1]}", timeout_seconds=0.3))
    assert (outcome.state, outcome.attempts) == ("pending", 1)
    assert outcome.said is not None
    assert outcome.said.endswith("gave no whole answer within 0.3 s")


@pytest.mark.parametrize(
    ("url", "message"),
    [(f"http://{LOOPBACK}:{{port}}", "Connection refused"), ("http://no-such-host.invalid", "resol|known|name|Name")],
)
def test_nobody_there_is_tried_again(url: str, message: str, outbox: Outbox) -> None:
    """Refused or unknown."""
    outcome = outbox.deliver_new(webhook(url.format(port=free_port())))
    assert (outcome.state, outcome.attempts) == ("pending", 1)
    assert outcome.said is not None
    assert re.search(message, outcome.said)


def test_the_environment_turns_no_flag_aside(
    outbox: Outbox, server: HttpServer, http_server: StartHttp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a proxy nor a password of the account's own is used."""
    proxy = http_server()
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {LOOPBACK} login me password mine\n")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NETRC", str(netrc))
    assert outbox.deliver_new(webhook(server.url)).state == "delivered"
    assert proxy.requests == []
    assert "authorization" not in server.requests[0].headers


def test_neither_secret_nor_token_is_logged(
    outbox: Outbox, server: HttpServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """At the most talkative level, with an answer that urllib3 complains of; nor does `repr` tell."""
    hook = webhook(server.url)
    server.says(LATER["headers that are none"][0])
    with logging_of(Settings(data_dir=tmp_path, log_level="DEBUG")):
        outbox.deliver_new(hook)
    logged = capsys.readouterr().err
    assert "delivery-retry" in logged
    for text in (logged, repr(hook), repr(Settings(data_dir=tmp_path, destinations=(hook,)))):
        assert SECRET not in text
        assert TOKEN_PATH not in text


@contextmanager
def logging_of(settings: Settings) -> Iterator[None]:
    """Log as the service does, and then as before."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    configure_logging(settings)
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.reset_defaults()
