"""What an HTTP server's answer says of a delivery."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import requests

from worker.destinations import DicomwebDestination, WebhookDestination
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError

HttpDestination = DicomwebDestination | WebhookDestination

LONGEST_ANSWER = 64 << 10  # bytes; what a server says beyond is not read
_CONFLICT = 409
_OF_THE_OBJECT = frozenset((413, 422))
_LATER = frozenset((408, 421, 425, 429))
_PAGES = frozenset(("text/html", "application/xhtml+xml"))


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, as far as it was read.

    Attributes:
        media_type: in small letters, without its parameters; empty if there is none.
        body: its first `LONGEST_ANSWER` bytes.
    """

    status: int
    media_type: str
    body: bytes

    @classmethod
    def of(cls, response: requests.Response) -> Self:
        """Keep what counts of a response."""
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return cls(response.status_code, kind, response.content)

    @property
    def is_page(self) -> bool:
        """Whether it is HTML, by its type or by its first words."""
        start = self.body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        return self.media_type in _PAGES or start.startswith((b"<!doctype html", b"<html"))


def origin(destination: HttpDestination) -> str:
    """Return scheme, host and port of the URL: what may be told of it, since its path may hold a token."""
    parts = urlsplit(destination.url)
    return f"{parts.scheme}://{parts.netloc}"


def require_success(answer: Answer, destination: HttpDestination) -> None:
    """Judge an answer by its status, and tell it from a page for people, which servers send with status 200, too.

    Raises:
        DestinationDownError: for a redirect, for what passes (408, 421, 425, 429, 5xx), for every other 4xx, as it
            would answer any object of ours so until an operator mends one end (400, too: of a wrong signature, a client
            certificate that has expired, or plain HTTP to a port of HTTPS), for what is no final status (RFC 9110 15),
            and for a success with an HTML page: that is a login or an error.
        DeliveryRetryError: for 409: an earlier sending of the same is still in work.
        DeliveryRefusedError: for 413 and 422: this object will never be taken.
    """
    where, status = origin(destination), answer.status
    if 200 <= status < 300:
        if answer.is_page:
            raise DestinationDownError(f"{where} answered with a page for people: is it the right url?")
        return
    if 300 <= status < 400:
        raise DestinationDownError(f"{where} redirects (status {status}), which is not followed: set the new url")
    if status == _CONFLICT:
        raise DeliveryRetryError(f"{where} answered status 409")
    if status in _OF_THE_OBJECT:
        raise DeliveryRefusedError(f"{where} refused with status {status}")
    if 400 <= status < 500 and status not in _LATER:
        raise DestinationDownError(f"{where} answered status {status}: mend the url, the credentials or the server")
    raise DestinationDownError(f"{where} answered status {status}")
