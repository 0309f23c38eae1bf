"""The section of the settings that the page reads."""

from ipaddress import ip_address
from pathlib import Path
from typing import Self

from pydantic import AnyHttpUrl, Field, model_validator

from worker.sections import Host, Port, Section

_EVERY_ADDRESS = ("0.0.0.0", "::", "[::]")  # noqa: S104 - compared, not bound
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class WebTlsSettings(Section):
    """HTTPS of the page."""

    certificate: Path = Field(description="PEM file of the page's certificate, with its chain.")
    key: Path = Field(description="PEM file of its private key, readable by this account only.")


class WebSettings(Section):
    """The worklist page."""

    enabled: bool = Field(default=True, description="Whether `serve` starts the page.")
    host: Host = Field(default="127.0.0.1", description="Address to bind; anything but loopback needs HTTPS.")
    port: Port = Field(default=8484, description="TCP port of the page.")
    tls: WebTlsSettings | None = Field(default=None, description="HTTPS; empty: plain HTTP, for loopback or a proxy.")
    public_url: AnyHttpUrl | None = Field(
        default=None,
        description="Address by which browsers reach the page, through a proxy or not: `https://triage.hospital`.",
    )
    session_hours: float = Field(
        default=12, gt=0, le=7 * 24, description="Who signed in is signed out after this time."
    )

    @model_validator(mode="after")
    def _passwords_are_not_sent_in_the_clear(self) -> Self:
        reached_at = self.host if self.public_url is None else self.public_url.host or ""
        if not (self.is_https or _is_loopback(reached_at)):
            raise ValueError(
                f"host: passwords would cross the network in the clear to {reached_at}: set [web.tls], or public_url "
                "to the https:// address of the proxy in front"
            )
        return self

    @model_validator(mode="after")
    def _browsers_have_a_name_for_us(self) -> Self:
        if self.host in _EVERY_ADDRESS and self.public_url is None:
            raise ValueError(
                f"public_url: {self.host} is no address that a browser can name, and requests for other names are "
                "refused: set it to the address of the page, such as https://triage.hospital:8484"
            )
        return self

    @property
    def is_https(self) -> bool:
        """Whether browsers speak HTTPS to the page, or to the proxy in front of it."""
        return self.tls is not None or (self.public_url is not None and self.public_url.scheme == "https")

    @property
    def is_behind_a_proxy(self) -> bool:
        """Whether browsers reach the page by the address of another server, which names them in a header."""
        return self.tls is None and self.public_url is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts by which browsers may call the page; any other is somebody else's name for our address."""
        public = () if self.public_url is None else (self.public_url.host or "",)
        return tuple(dict.fromkeys((*_LOCAL_NAMES, self.host, *public)))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
