"""A result on its way to a RIS: real sockets, and receivers that answer right, wrong, late or not at all."""

import asyncio
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hl7
import pytest
from hl7.mllp import HL7StreamReader, HL7StreamWriter, start_hl7_server

from tests.oru import result_of, value
from tests.results import flagged_result
from tests.servers.certificates import Authority
from tests.servers.mllp import Behaviour, answering, block, client_tls, closing, dripping, mllp_server, saying, silent
from tests.servers.ports import LOOPBACK
from worker.delivery.hl7.mllp import probe
from worker.delivery.send import send
from worker.destinations import ClientTlsSettings, Hl7Destination
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError

PATIENT = "Secretname^Jane"
RESULT = result_of(PatientName=PATIENT.encode(), PatientID=b"P1", AccessionNumber=b"ACC1")


def deliver(destination: Hl7Destination) -> str:
    """Send a flag; what was answered."""
    return send(RESULT, destination, calling_ae_title="CXRTRIAGE").answer


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_a_receiver_takes_the_message(code: str) -> None:
    """In original and in enhanced mode; it reads the patient and the order."""
    with mllp_server(answering(code)) as server:
        assert deliver(server.destination()) == f"accepted, MSA-1 {code}"
    (message,) = map(hl7.parse, server.received)
    assert (value(message, "PID", 5), value(message, "OBR", 18)) == ("Secretname", "ACC1")


def test_the_server_of_the_hl7_library_takes_the_message() -> None:
    """An independent implementation of the protocol finds one message in one block."""
    seen: list[hl7.Message] = []

    async def receive(reader: HL7StreamReader, writer: HL7StreamWriter) -> None:
        seen.append(await reader.readmessage())
        writer.writemessage(seen[-1].create_ack("AA"))
        await writer.drain()
        writer.close()

    async def run() -> str:
        server = await start_hl7_server(receive, LOOPBACK, 0, encoding="utf-8")
        async with server:
            port = server.sockets[0].getsockname()[1]
            ris = Hl7Destination(kind="hl7", name="ris", host=LOOPBACK, port=port, timeout_seconds=5)
            return await asyncio.to_thread(deliver, ris)

    assert asyncio.run(run()) == "accepted, MSA-1 AA"
    assert [value(message, "PID", 3) for message in seen] == ["P1"]


def test_sending_again_is_the_same_message() -> None:
    """Byte for byte, so that a receiver can drop it."""
    with mllp_server(answering("AA")) as server:
        for _ in range(2):
            deliver(server.destination())
    first, second = server.received
    assert first == second


@pytest.mark.parametrize(
    ("behave", "error", "told"),
    [
        (answering("AE"), DeliveryRetryError, "MSA-1 AE"),
        (answering("CE"), DeliveryRetryError, "MSA-1 CE"),
        (answering("AR"), DeliveryRetryError, "MSA-1 AR"),
        (answering("AR", more="ERR|||206\r"), DeliveryRetryError, "MSA-1 AR, error code 206"),
        (answering("CR", more="ERR|||203\r"), DestinationDownError, "MSA-1 CR, error code 203"),
        (answering("AR", more="ERR||PID^1^5|102^Type\r"), DeliveryRefusedError, "MSA-1 AR, error code 102"),
        (answering("AA", control_id="another"), DeliveryRetryError, "of another message"),
        (answering("AA", control_id=""), DeliveryRetryError, "of another message"),
        (silent, DestinationDownError, "no answer in time"),
        (dripping, DestinationDownError, "no answer in time"),
        (closing, DestinationDownError, "closed the connection without an answer"),
        (saying(b"\x0bMSH|^~\\&|"), DestinationDownError, "closed the connection without an answer"),
        (saying(b"\x0b" + b"x" * 10_000_000), DestinationDownError, "more than 64 KiB"),
        (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n\x1c\r"), DestinationDownError, "no HL7 acknowledgement"),
        (saying(block(b"\x06")), DestinationDownError, "no HL7 acknowledgement"),
        (saying(block(b"\xff\xfe")), DestinationDownError, "no HL7 acknowledgement"),
    ],
    ids=[
        "AE", "CE", "AR", "AR locked", "CR version", "AR content", "other id", "no id", "silent", "dripping", "closes",
        "closes inside", "10 MB", "HTTP", "release 2", "garbage",
    ],
)  # fmt: skip
def test_each_wrong_answer_has_its_outcome(behave: Behaviour, error: type[Exception], told: str) -> None:
    """Within the time-out, with a message that says what happened and not about whom."""
    with mllp_server(behave) as server, pytest.raises(error, match=told) as raised:
        deliver(server.destination(timeout_seconds=1))  # would not end: who is silent or drips does so for ever
    assert raised.type is error
    assert "Secret" not in str(raised.value)


def test_a_text_of_the_receiver_is_not_repeated() -> None:
    """MSA-3 and ERR may name the patient."""
    more = "ERR|||Secretname^unknown patient Secretname|E||||Secretname\r"
    with mllp_server(answering("AE", more=more)) as server, pytest.raises(DeliveryRetryError) as raised:
        deliver(server.destination())
    assert str(raised.value) == "not accepted, MSA-1 AE"


@pytest.mark.parametrize("before", [b"", b"\r\n", b"welcome\r\n"])
def test_what_stands_before_a_block_is_no_part_of_it(before: bytes) -> None:
    """And an answer may come in pieces, its last carriage return never."""

    def behave(connection: object, message: bytes) -> None:
        answer = before + block(acknowledged(message))[:-1]
        for piece in (answer[:20], answer[20:]):
            connection.sendall(piece)  # type: ignore[attr-defined]

    with mllp_server(behave) as server:
        assert deliver(server.destination()) == "accepted, MSA-1 AA"


def acknowledged(message: bytes) -> bytes:
    """The acceptance of a message."""
    return str(hl7.parse(message.decode()).create_ack("AA")).encode()


def test_a_receiver_that_is_not_there_is_down(free_port: Callable[[], int]) -> None:
    """Also one whose name does not exist."""
    nobody = Hl7Destination(kind="hl7", name="ris", host=LOOPBACK, port=free_port(), timeout_seconds=2)
    with pytest.raises(DestinationDownError, match="cannot be reached: Connection refused"):
        deliver(nobody)
    with pytest.raises(DestinationDownError, match=r"ris\.invalid:2575 cannot be reached"):
        deliver(nobody.model_copy(update={"host": "ris.invalid", "port": 2575}))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The hospital's authority."""
    return Authority.make(tmp_path_factory.mktemp("hospital"), "hospital")


def test_a_message_goes_out_by_tls(hospital: Authority) -> None:
    """To a receiver that demands our certificate; without it, by plain TCP or to another host it is down."""
    ris, own = hospital.issue("ris"), hospital.issue("own")
    with mllp_server(answering("AA"), ris) as server:
        secured = server.destination(tls=client_tls(own), timeout_seconds=2)
        assert deliver(secured) == "accepted, MSA-1 AA"
        assert probe(secured) == f"{LOOPBACK}:{server.port} takes connections by TLS"
        for wrong in (ClientTlsSettings(authorities=hospital.certificate), None):
            with pytest.raises(DestinationDownError, match="answer"):
                deliver(server.destination(tls=wrong, timeout_seconds=1))
        with pytest.raises(DestinationDownError, match=r"ended the connection \(.*certificate required\)"):
            probe(server.destination(tls=ClientTlsSettings(authorities=hospital.certificate)))
    assert len(server.received) == 1


def expired(hospital: Authority) -> None:
    """Issue a certificate that ended yesterday, as `expired.pem`."""
    hospital.issue("expired")
    command = [
        "openssl", "x509", "-req", "-in", "expired.csr", "-CA", "hospital.pem", "-CAkey", "hospital.key",
        "-extfile", "expired.ext", "-days", "-1", "-out", "expired.pem",
    ]  # fmt: skip
    subprocess.run(command, cwd=hospital.folder, check=True, capture_output=True)


@pytest.mark.parametrize("case", ["stranger", "other name", "expired"])
def test_a_certificate_that_is_not_good_is_named(case: str, hospital: Authority, tmp_path: Path) -> None:
    """Of another authority, for another host, or too old: nothing is sent, and the doctor says the same."""
    own = hospital.issue("own")
    if case == "stranger":
        theirs, told = Authority.make(tmp_path, "elsewhere").issue("ris"), "certificate: self-signed certificate in"
    elif case == "other name":
        theirs, told = hospital.issue("other", names="DNS:other.example"), "certificate: IP address mismatch"
    else:
        theirs, told = hospital.issue("expired"), "certificate: certificate has expired"
        expired(hospital)
    with mllp_server(answering("AA"), theirs) as server:
        secured = server.destination(tls=client_tls(own))
        for attempt in (deliver, probe):
            with pytest.raises(DestinationDownError, match=told):
                attempt(secured)
    assert server.received == []


def test_files_of_ours_that_cannot_be_used_are_named(hospital: Authority, tmp_path: Path) -> None:
    """Missing, no certificate, or a key that everybody can read: down until they are mended."""
    own = hospital.issue("open")
    own.key.chmod(0o644)
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    for tls, told in (
        (client_tls(own), "open.key: everybody on this machine can read"),
        (ClientTlsSettings(authorities=tmp_path / "none.pem"), "none.pem: No such file"),
        (ClientTlsSettings(authorities=junk), "junk.pem: holds no PEM certificates"),
    ):
        ris = Hl7Destination(kind="hl7", name="ris", host=LOOPBACK, port=1, tls=tls)
        with pytest.raises(DestinationDownError, match=told):
            send(flagged_result(), ris, calling_ae_title="CXRTRIAGE")


def test_a_receiver_that_does_not_let_us_in_is_not_well() -> None:
    """It takes the connection and ends it at once, as one does that knows its callers by address."""
    with socket.create_server((LOOPBACK, 0)) as listening, ThreadPoolExecutor(1) as threads:

        def hang_up() -> None:
            listening.accept()[0].close()

        threads.submit(hang_up)
        ris = Hl7Destination(kind="hl7", name="ris", host=LOOPBACK, port=listening.getsockname()[1])
        with pytest.raises(DestinationDownError, match="ended the connection at once"):
            probe(ris)


def test_the_doctor_sends_no_message() -> None:
    """It connects and hangs up: nothing that a RIS would file."""
    with mllp_server(answering("AA")) as server:
        assert probe(server.destination()) == f"{LOOPBACK}:{server.port} takes connections by TCP"
    assert server.received == []
