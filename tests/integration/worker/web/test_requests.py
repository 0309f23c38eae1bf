"""Requests that no browser of ours sends, to the page as it is served: a real server and raw bytes."""

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from tests.integration.worker.conftest import Clock
from tests.integration.worker.web.conftest import READER, Browser
from tests.servers.ports import LOOPBACK, wait_until
from tests.studies import NOW
from worker.tables import Event
from worker.web import live, patience, size
from worker.web.live import MOST_LISTENERS, News
from worker.web.serving import MOST_CONNECTIONS, _configuration
from worker.web_section import WebSettings

Address = tuple[str, int]
_FORM = "Content-Type: application/x-www-form-urlencoded"
_ODD_ADDRESSES = (
    ("GET /?text=" + "x" * 70_000, {303, 400}),
    ("GET /login?" + "&".join(f"a{number}=1" for number in range(5000)), {200, 400}),
    ("GET /static/../../web/app.py", {404}),
    ("GET /static/..%2f..%2fapp.py", {404}),
    ("GET /static/%2e%2e/%2e%2e/app.py", {404}),
    ("GET /static//etc/passwd", {404}),
    ("GET /static/page.css%00.png", {404}),
    ("GET /static/", {404}),
    ("GET /static", {307, 404}),
    ("GET //evil.example/login/", {404, 307}),
    ("GET http://evil.example/login", {404}),
    ("POST /static/page.css", {405}),
    ("TRACE /login", {405}),
    ("CONNECT localhost:22", {400, 404}),
    ("OPTIONS *", {400, 404}),
    ("HEAD /static/page.css", {200}),
)
_ODD_HEADERS = (
    "X-Long: " + "x" * 70_000,
    "Cookie: session=" + "x" * 5000,
    "Cookie: session=\xff; session; =; session=a=b; ;;",
    "Authorization: Bearer",
    "Authorization: Bearer \xe9\xff",
    "Authorization: Bearer " + "x" * 5000,
    "Authorization: Basic cmVhZGVyOng=",
    "Authorization: Bearer null\tnull",
)


@pytest.fixture
def database_url(_migrated_sqlite: Path, tmp_path: Path) -> str:
    """One kind of database is enough for requests that never reach it."""
    return f"sqlite:///{shutil.copy(_migrated_sqlite, tmp_path / 'test.sqlite')}"


@contextmanager
def served(app: FastAPI) -> Iterator[Address]:
    """Serve the page as its process does, in a thread."""
    server = uvicorn.Server(_configuration(WebSettings(), app))
    with closing(socket.create_server((LOOPBACK, 0))) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started, "the page answering")
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def address(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[Address]:
    """Where the page is; it is less patient than in earnest."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(size, "BODY_SECONDS", 0.3)
    with served(app) as listening:
        yield listening


def told(address: Address, *parts: str | bytes) -> bytes:
    """Send these bytes, and return everything that is answered until the page hangs up."""
    with socket.create_connection(address, timeout=10) as connection:
        for part in parts:
            connection.sendall(part if isinstance(part, bytes) else part.encode())
        answer = b""
        while more := _received(connection):
            answer += more
        return answer


def asked(address: Address, line: str, *headers: str, body: str = "") -> bytes:
    """Ask one thing with headers of one's own; returns the whole answer."""
    head = "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", "Connection: close", *headers])
    return told(address, f"{head}\r\n\r\n{body}")


def status(answer: bytes) -> int:
    """The status code of an answer."""
    return int(answer.split(b" ", 2)[1])


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:  # it hung up on what we were still sending
        return b""


@pytest.mark.parametrize("begun", ["", "GET /login HTT", "GET /login HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_half_a_head_is_not_waited_for(address: Address, begun: str) -> None:
    """A connection that asks nothing is closed in time, be it the first request on it or a later one."""
    assert told(address, begun) == b""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = connection.recv(65536)
        while b"</svg>" not in answer:
            answer += connection.recv(65536)
        connection.sendall(begun.encode() or b"G")
        assert _received(connection) == b""


def test_half_a_body_is_not_waited_for(address: Address) -> None:
    """Who sends a form in drops is told so, and hung up on."""
    assert status(asked(address, "POST /login", _FORM, "Content-Length: 100", body="name=reader")) == 408
    chunked = asked(address, "POST /login", _FORM, "Transfer-Encoding: chunked", body="3\r\nnam\r\n")
    assert status(chunked) == 408


def test_half_a_form_does_nothing(address: Address, app: FastAPI, sign_in: Callable[[str], Browser]) -> None:
    """A form whose sender goes away in the middle is not taken for a whole one."""
    reader = sign_in(READER)
    cookie = f"Cookie: session={reader.client.cookies['session']}"
    form = f"csrf_token={reader.csrf_token}"
    with socket.create_connection(address, timeout=10) as connection:
        head = f"POST /logout HTTP/1.1\r\nHost: localhost\r\n{_FORM}\r\n{cookie}\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall((head + form).encode())
    assert status(asked(address, "GET /login")) == 200  # whoever comes next is answered after that
    assert reader.client.get("/password").status_code == 200


def test_a_body_of_any_announced_length_is_limited(address: Address) -> None:
    """Two megabytes are refused before they are read, however their length is told."""
    body = ("10000\r\n" + "x" * 0x10000 + "\r\n") * 30 + "0\r\n\r\n"
    assert status(asked(address, "POST /login", _FORM, "Content-Length: 2000000", body=body)) == 413
    assert status(asked(address, "POST /login", _FORM, "Transfer-Encoding: chunked", body=body)) == 413


def test_a_request_of_two_lengths_is_refused(address: Address) -> None:
    """What a proxy in front may read otherwise than we do is not guessed at."""
    for lengths in (("Content-Length: 9", "Content-Length: 10"), ("Content-Length: -1",), ("Content-Length: +9",)):
        assert status(asked(address, "POST /login", _FORM, *lengths, body="name=a&b=c")) == 400
    both = asked(
        address, "POST /login", _FORM, "Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\nGET /"
    )
    assert both.count(b"HTTP/1.1") == 1


def test_odd_addresses_get_nothing(address: Address) -> None:
    """Neither a file outside the folder, nor an echo, nor the way to another host."""
    for line, expected in _ODD_ADDRESSES:
        answer = asked(address, line)
        assert status(answer) in expected, line
        assert b"root:" not in answer
        assert b"build_app" not in answer
        assert b"location: http://evil" not in answer.lower()


def test_odd_headers_open_nothing(address: Address) -> None:
    """A token or cookie that nobody gave is none, whatever its bytes."""
    for header in _ODD_HEADERS:
        raw = f"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n\r\n"
        assert status(told(address, raw.encode("latin-1"))) in {400, 401}, header


def test_only_our_own_names_are_answered(address: Address) -> None:
    """A name that somebody else pointed at this address opens nothing; ours do, with any port."""
    for host in ("evil.example", "localhost.evil.example", "localhost@evil.example", "", "[::1"):
        assert status(told(address, f"GET /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")) == 400
    for own in ("localhost", "LOCALHOST:8484", "127.0.0.1:1", "[::1]:8484"):
        assert status(told(address, f"GET /login HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n")) == 200


def test_a_value_does_not_become_a_header(address: Address) -> None:
    """Line breaks in what somebody sends come back in no header."""
    for line in ("GET /static%0d%0aSet-Cookie:%20a=b", "GET /%0d%0aSet-Cookie:%20a=b/", "GET /login/%0d%0aX:%20y"):
        assert b"set-cookie" not in asked(address, line).lower()


def test_without_a_session_there_is_no_news(address: Address) -> None:
    """The stream of news leads to the form like every page."""
    assert b"location: /login" in asked(address, "GET /events", "Accept: text/event-stream")


def test_listeners_are_limited_and_leave(address: Address, app: FastAPI, sign_in: Callable[[str], Browser]) -> None:
    """More than may listen are told to come later, the page answers all the same, and who leaves makes room."""
    news: News = app.state.news
    cookie = f"Cookie: session={sign_in(READER).client.cookies['session']}"
    head = f"GET /events HTTP/1.1\r\nHost: localhost\r\n{cookie}\r\n\r\n".encode()
    with ExitStack() as open_pages:
        for _ in range(MOST_LISTENERS):
            open_pages.enter_context(socket.create_connection(address, timeout=10)).sendall(head)
        wait_until(lambda: news.listeners == MOST_LISTENERS, "every listener")
        assert b"retry: 30000" in asked(address, "GET /events", cookie)
        assert status(asked(address, "GET /api/v1/status", cookie)) == 200
    wait_until(lambda: news.listeners == 0, "nobody listening any more")


@pytest.mark.parametrize("act", ["sign out", "disable", "another password", "expiry"])
def test_the_news_end_with_the_session(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, sign_in: Callable[[str], Browser], clock: Clock, act: str
) -> None:
    """A page that stays open after its session learns within moments that it is over, and shows the form."""
    monkeypatch.setattr(live, "QUIET_SECONDS", 0.2)
    reader, accounts, news = sign_in(READER), app.state.accounts, app.state.news
    cookie = f"Cookie: session={reader.client.cookies['session']}"
    with ThreadPoolExecutor(1) as open_page, served(app) as address:
        told = open_page.submit(asked, address, "GET /events", cookie)
        wait_until(lambda: news.listeners == 1, "the open page")
        if act == "sign out":
            reader.client.post("/logout", data={"csrf_token": reader.csrf_token})
        elif act == "disable":
            accounts.disable(READER, by="test")
        elif act == "another password":
            accounts.change_password(READER, None, by="test")
        else:
            clock.advance(hours=13)
        assert b"hello" in told.result(timeout=60)
        assert news.listeners == 0


def test_an_event_that_is_committed_late_is_news(app: FastAPI) -> None:
    """PostgreSQL numbers events before they are committed: a smaller number may come after a greater one."""
    news: News = app.state.news
    seen = []
    for number in (10, 9):
        with news.database.begin() as session:
            session.add(Event(id=number, at=NOW, kind="result", detail={}))
        seen.append(news._look())
    assert seen[0] != seen[1] == news._look()


def test_more_connections_than_can_be_are_told_so(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch, sign_in: Callable[[str], Browser]
) -> None:
    """Who keeps connections open for nothing does not use up the files of the process; it is over in time."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 1.0)
    with served(app) as address, ExitStack() as idle:
        for _ in range(MOST_CONNECTIONS):
            idle.enter_context(socket.create_connection(address, timeout=10))
        assert status(asked(address, "GET /login")) == 503
        wait_until(lambda: status(asked(address, "GET /login")) == 200, "room again")
