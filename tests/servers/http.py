"""An HTTP server that answers what it is told to answer, byte for byte: real servers cannot be made to misbehave."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from tests.servers.ports import LOOPBACK


@dataclass(frozen=True)
class Request:
    """A request that came in; header names are in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def answered(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """A whole answer; `_` in the name of a header stands for `-`."""
    told = {"content_length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status} Said", *(f"{name.replace('_', '-')}: {value}" for name, value in told.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class HttpServer:
    """A running server; `answer` makes the parts of an answer, after which the connection is closed.

    Attributes:
        connections: how many came, with or without a request.
        stopped: set at the end, so that an answer that waits ends.
    """

    url: str
    answer: Callable[[Request], Iterable[bytes]] = lambda _request: [answered()]
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def says(self, *parts: bytes) -> None:
        """Answer these bytes from now on."""
        self.answer = lambda _request: parts

    def drips(self, start: bytes) -> None:
        """Answer a start at once and then a letter every 50 ms, for ever."""

        def answer(_request: Request) -> Iterator[bytes]:
            yield start
            while not self.stopped.wait(0.05):
                yield b"x"

        self.answer = answer


class StartHttp(Protocol):
    """The type of the fixture `http_server`."""

    def __call__(self, context: ssl.SSLContext | None = None) -> HttpServer:
        """Start a server that runs until the test ends; with a context it speaks TLS."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # whoever drips does so until it is stopped

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what is tested."""


@contextlib.contextmanager
def http_server(context: ssl.SSLContext | None = None) -> Iterator[HttpServer]:
    """Run a server on a free port of the loopback interface; with a context it speaks TLS."""
    server = HttpServer("")

    class Handler(BaseHTTPRequestHandler):
        def setup(self) -> None:
            server.connections += 1
            super().setup()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _take(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            request = Request(self.command, self.path, headers, body)
            server.requests.append(request)
            with contextlib.suppress(OSError):
                for part in server.answer(request):
                    self.wfile.write(part)
            self.close_connection = True

        do_GET = do_POST = _take  # noqa: N815 - the names that http.server looks for

    listening = _Server((LOOPBACK, 0), Handler)
    if context is not None:
        # The handshake is made by the thread of the connection, at its first read.
        listening.socket = context.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
    server.url = f"{'http' if context is None else 'https'}://{LOOPBACK}:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stopped.set()
        listening.shutdown()
        thread.join(10)
        listening.server_close()
