"""What every answer of the page tells the browser: nothing from elsewhere, nothing inline, nothing kept."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_KEPT_FOR_GOOD = "max-age=31536000"


def safe_headers(*, https: bool) -> dict[str, str]:
    """Return what every answer carries; dynamic answers are never cached, as the next person at the screen is another.

    Args:
        https: whether browsers speak HTTPS to the page.
    """
    kept = {"Strict-Transport-Security": _KEPT_FOR_GOOD} if https else {}
    return _ALWAYS | kept | {"Cache-Control": "no-store"}


class SafeHeaders:
    """ASGI middleware: sets them where an answer has none of that name."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._fixed = safe_headers(https=https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._fixed.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
