"""A limit on what a request may bring, and on how long it may take to bring it."""

import asyncio

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY_BYTES = 64 * 1024  # the longest thing that anybody sends is a comment
BODY_SECONDS = 20.0


class LimitedBody:
    """ASGI middleware: a body is read whole before anything looks at it, one that is too large is answered 413."""

    def __init__(self, app: ASGIApp, *, largest: int = LARGEST_BODY_BYTES) -> None:
        self._app = app
        self._largest = largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._read(receive)
        except TimeoutError:
            await _refusal("The request did not arrive in time: send it again.\n", 408)(scope, receive, send)
            return
        if body is None:  # half a form is none
            return
        if len(body) > self._largest:
            text = f"The request is larger than {self._largest} bytes: shorten what you wrote.\n"
            await _refusal(text, 413)(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Return the body, or just more of it than may be; None if whoever sends it went away."""
        body, more = bytearray(), True
        while more and len(body) <= self._largest:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
        return bytes(body)


def _refusal(text: str, status_code: int) -> PlainTextResponse:
    return PlainTextResponse(text, status_code, {"Connection": "close"})  # or the rest would still be waited for


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
