"""DICOM TLS with real peers: DCMTK's clients and server, OpenSSL's, and our own."""

import socket
import ssl
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from dicom_io.access import Limits, Reason
from dicom_io.errors import PeerUnreachableError, TlsFilesError
from dicom_io.scu import echo, store
from dicom_io.tls import client_context, server_context
from dicom_io.types import ApplicationEntity, TransportSecurity
from tests.servers.certificates import Authority
from tests.servers.door import Door, dcmtk, door, film
from tests.servers.rude import rude_peer
from tests.servers.storescp import StartStoreScp


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The hospital's."""
    return Authority.make(tmp_path_factory.mktemp("hospital"), "hospital")


@pytest.fixture(scope="module")
def own(authority: Authority) -> TransportSecurity:
    """The listener's certificate; callers need one of the hospital's."""
    return authority.issue("listener")


@pytest.fixture(scope="module")
def pacs(authority: Authority) -> TransportSecurity:
    """The PACS's certificate."""
    return authority.issue("pacs")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> TransportSecurity:
    """A certificate of somebody else's authority, whose holder trusts the hospital."""
    other = Authority.make(tmp_path_factory.mktemp("elsewhere"), "elsewhere")
    return replace(other.issue("stranger"), authorities=authority.certificate)


def options(tls: TransportSecurity) -> tuple[str | Path, ...]:
    """DCMTK's options for a peer that holds this certificate."""
    assert tls.authorities is not None
    return ("+tls", tls.key, tls.certificate, "+cf", tls.authorities)


def secured_echo(port: int, tls: TransportSecurity) -> subprocess.CompletedProcess[str]:
    """DCMTK's C-ECHO."""
    return dcmtk("echoscu", port, *options(tls))


def entity(inside: Door, tls: TransportSecurity) -> ApplicationEntity:
    """The listener as our own client calls it."""
    return ApplicationEntity("CXRTRIAGE", "127.0.0.1", inside.port, tls)


def test_films_come_in_by_tls(own: TransportSecurity, pacs: TransportSecurity, tmp_path: Path) -> None:
    """DCMTK's storescu and our own client, byte for byte; large ones span many TLS records."""
    dataset = film(PixelData=bytes(range(256)) * 8192)
    dataset.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    with door(tls=own) as inside:
        answer = dcmtk("storescu", inside.port, *options(pacs), tmp_path / "film.dcm")
        assert answer.returncode == 0, answer.stdout + answer.stderr
        assert store(entity(inside, pacs), [dataset], calling_ae_title="PACS1", timeout_seconds=10) == [0]
    assert not inside.reasons
    assert inside.taken[0] == inside.taken[1]
    assert inside.taken[0].endswith(dataset.PixelData)


def test_silent_peers_hold_up_nobody(own: TransportSecurity, pacs: TransportSecurity) -> None:
    """Ten that connect and never shake hands: others go through, and the silent ones cost no line when they go."""
    with door(tls=own, limits=Limits(idle_seconds=30)) as inside, ExitStack() as peers:
        silent = [peers.enter_context(rude_peer(inside.port)) for _ in range(10)]
        silent[0].send(b"\x16\x03\x01")  # half a ClientHello
        assert secured_echo(inside.port, pacs).returncode == 0
        echo(entity(inside, pacs), calling_ae_title="PACS1", timeout_seconds=5)
        assert not any(peer.is_closed(0.02) for peer in silent)
        peers.close()
    assert not inside.reasons


def test_a_handshake_that_never_ends_is_ended(own: TransportSecurity, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the time of the request, and its place is free again afterwards."""
    monkeypatch.setattr("dicom_io.acceptor.REQUEST_SECONDS", 0.3)
    with door(tls=own) as inside, rude_peer(inside.port) as peer, capture_logs() as lines:
        peer.send(b"\x16")
        assert peer.is_closed()
        inside.await_reason(Reason.TLS)
    assert [(line["event"], line["detail"]) for line in lines] == [("association-refused", "no answer in time")]


def _anonymous(port: int, pacs: TransportSecurity, stranger: TransportSecurity) -> bool:
    context = ssl.create_default_context(cafile=pacs.authorities)
    return _is_served(context, port)


def _foreign(port: int, pacs: TransportSecurity, stranger: TransportSecurity) -> bool:
    return secured_echo(port, stranger).returncode == 0


def _old(port: int, pacs: TransportSecurity, stranger: TransportSecurity) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pacs.authorities)
    context.load_cert_chain(pacs.certificate, pacs.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return _is_served(context, port)


def _weak(port: int, pacs: TransportSecurity, stranger: TransportSecurity) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pacs.authorities)
    context.load_cert_chain(pacs.certificate, pacs.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA")  # no forward secrecy, no authenticated encryption
    return _is_served(context, port)


def _plain(port: int, pacs: TransportSecurity, stranger: TransportSecurity) -> bool:
    return dcmtk("echoscu", port).returncode == 0


def _is_served(context: ssl.SSLContext, port: int) -> bool:
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secured,
        ):
            return secured.recv(1) != b""
    except OSError:  # in TLS 1.3 a client learns only afterwards that its certificate is not taken
        return False


@pytest.mark.parametrize("attempt", [_anonymous, _foreign, _old, _weak, _plain])
def test_who_has_no_right_is_refused_with_one_line(
    attempt: object, own: TransportSecurity, pacs: TransportSecurity, stranger: TransportSecurity
) -> None:
    """No certificate, a foreign one, TLS 1.1, a cipher without forward secrecy, no TLS; the next caller is served."""
    with door(tls=own) as inside, capture_logs() as lines:
        assert not attempt(inside.port, pacs, stranger)  # type: ignore[operator]
        inside.await_reason(Reason.TLS)
        assert secured_echo(inside.port, pacs).returncode == 0
    assert inside.reasons == {Reason.TLS: 1}
    (line,) = lines
    assert (line["event"], line["reason"]) == ("association-refused", Reason.TLS)
    assert line["detail"]
    assert "exc_info" not in line


@pytest.mark.parametrize(("version", "name"), [(None, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")])
def test_what_is_agreed_on_is_the_profile(own: TransportSecurity, version: ssl.TLSVersion | None, name: str) -> None:
    """TLS 1.3 where the peer can, else 1.2 with ephemeral keys and authenticated encryption."""
    context = ssl.create_default_context(cafile=own.authorities)
    context.maximum_version = version or context.maximum_version
    with (
        door(tls=replace(own, authorities=None)) as inside,
        socket.create_connection(("127.0.0.1", inside.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        cipher = secured.cipher()
        assert secured.version() == name
        assert cipher is not None
        assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
        assert name == "TLSv1.3" or cipher[0].startswith("ECDHE-")


def test_without_authorities_every_caller_may_shake_hands(own: TransportSecurity, stranger: TransportSecurity) -> None:
    """The line is secret, whoever calls."""
    with door(tls=replace(own, authorities=None)) as inside:
        assert secured_echo(inside.port, stranger).returncode == 0


def test_a_destination_is_spoken_to_by_tls(
    storescp: StartStoreScp, own: TransportSecurity, pacs: TransportSecurity
) -> None:
    """DCMTK's storescp demands our certificate, and takes the object."""
    server = storescp(*(str(option) for option in options(pacs)), "--require-peer-cert")
    peer = ApplicationEntity(server.ae_title, "localhost", server.port, own)
    echo(peer, calling_ae_title="CXRTRIAGE", timeout_seconds=5)
    assert store(peer, [film()], calling_ae_title="CXRTRIAGE", timeout_seconds=5) == [0]
    assert len(server.files()) == 1


def test_a_destination_that_is_somebody_else_gets_nothing(
    own: TransportSecurity, authority: Authority, stranger: TransportSecurity
) -> None:
    """A certificate of another authority, or of another host; the error says which."""
    for tls, problem in (
        (replace(stranger, authorities=None), "unable to get local issuer certificate"),
        (replace(authority.issue("elsewhere", names="DNS:other.example"), authorities=None), "mismatch"),
    ):
        with door(tls=tls) as inside, pytest.raises(PeerUnreachableError, match=problem):
            echo(entity(inside, own), calling_ae_title="CXRTRIAGE", timeout_seconds=5)


def test_a_destination_without_tls_is_named(own: TransportSecurity) -> None:
    """A plain listener answers a ClientHello with an A-ABORT or silence."""
    with door() as inside, pytest.raises(PeerUnreachableError, match="agree on no TLS"):
        echo(entity(inside, own), calling_ae_title="CXRTRIAGE", timeout_seconds=2)


def _missing(tls: TransportSecurity, folder: Path) -> TransportSecurity:
    return replace(tls, certificate=folder / "none.pem")


def _no_pem(tls: TransportSecurity, folder: Path) -> TransportSecurity:
    (folder / "text.pem").write_text("no certificate")
    return replace(tls, certificate=folder / "text.pem")


def _open_key(tls: TransportSecurity, folder: Path) -> TransportSecurity:
    (folder / "open.key").write_bytes(tls.key.read_bytes())
    (folder / "open.key").chmod(0o644)
    return replace(tls, key=folder / "open.key")


def _locked_key(tls: TransportSecurity, folder: Path) -> TransportSecurity:
    command = ["openssl", "ec", "-in", tls.key, "-aes256", "-passout", "pass:test", "-out", folder / "locked.key"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "locked.key").chmod(0o600)
    return replace(tls, key=folder / "locked.key")


def _no_authorities(tls: TransportSecurity, folder: Path) -> TransportSecurity:
    (folder / "empty.pem").write_text("")
    return replace(tls, authorities=folder / "empty.pem")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (_missing, r"none\.pem: No such file"),
        (_no_pem, r"text\.pem and .*: no PEM certificate"),
        (_open_key, r"open\.key: everybody .* chmod 600"),
        (_locked_key, "unencrypted key"),
        (_no_authorities, r"empty\.pem: holds no PEM certificates"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    fault: object, message: str, own: TransportSecurity, tmp_path: Path
) -> None:
    """At the start, in one line; nobody is asked for a password on a terminal."""
    broken = fault(own, tmp_path)  # type: ignore[operator]
    for make in (server_context, client_context):
        with pytest.raises(TlsFilesError, match=message):
            make(broken)


def test_a_key_of_another_certificate_is_named(own: TransportSecurity, pacs: TransportSecurity) -> None:
    """A renewed certificate with the old key."""
    with pytest.raises(TlsFilesError, match="key values mismatch"):
        server_context(replace(own, key=pacs.key))
