"""The sections `[[destinations]]` of the settings: where results go, one class per kind."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dicom_io.types import TransportSecurity
from worker.sections import AETitle, Host, Name, PeerSettings, Port, Seconds, Section, host_name


def _with_a_host(url: str) -> str:
    parts = urlsplit(url)
    _ = parts.port  # raises where it is none
    if not parts.hostname:
        raise ValueError("no host in it")
    host_name(parts.hostname)
    return url


def _fit_for_a_header(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~\u00a1-\U0010ffff]+", token.get_secret_value()):
        raise ValueError("no token: it is empty, or holds a blank or a line end")
    return token


Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"), AfterValidator(_with_a_host)]
# MSH-3 to MSH-6 (HL7 v2.5.1 2.14.9): printable ASCII without the delimiters that MSH-2 declares.
Hl7Name = Annotated[str, Field(max_length=180, pattern=r"^[ !-%'-\[\]_-{}]*$")]


class ClientTlsSettings(Section):
    """TLS towards a server that speaks HL7 or HTTPS, or a broker."""

    authorities: Path | None = Field(
        default=None,
        description="PEM file of the authorities that the server's certificate must come from; empty: the system's.",
    )
    certificate: Path | None = Field(default=None, description="PEM file of our own certificate, if it asks for one.")
    key: Path | None = Field(default=None, description="PEM file of its private key, readable by this account only.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key: give both, or neither")
        return self

    @property
    def own(self) -> TransportSecurity | None:
        """Our own certificate with its key; None if we have none to show."""
        if self.certificate is None or self.key is None:
            return None
        return TransportSecurity(self.certificate, self.key, self.authorities)


class _Destination(Section):
    """What every kind may say of the results that it wants."""

    name: Name = Field(description="Name in the outbox and in reports.")
    only: Literal["flagged", "all"] | None = Field(
        default=None,
        description="`flagged`: flags and their withdrawal; `all`: every result; empty: what the kind gets by default.",
    )
    callers: tuple[AETitle, ...] = Field(
        default=(), description="Studies of which an image came from one of these calling AE titles; empty: of any."
    )
    complete_only: bool = Field(
        default=False, description="Nothing before the study is complete: no early flag, and no overdue notice."
    )


class FolderDestination(_Destination):
    """Writes one JSON flag, and one DICOM SR where the sources are DICOM, per result."""

    kind: Literal["folder"]
    path: Path = Field(description="Folder the files are renamed into.")


class DicomDestination(PeerSettings, _Destination):
    """Sends a Comprehensive 3D SR by C-STORE; to a peer that refuses it, a Comprehensive SR or a Secondary Capture."""

    kind: Literal["dicom"]
    timeout_seconds: Seconds = Field(default=30, description="Longest wait for each answer of the peer.")
    heatmap: bool = Field(
        default=False, description="Send pictures of where the model looked on flagged images, too; off by default."
    )
    storage_commitment: bool = Field(
        default=True, description="Ask the peer for storage commitment of what we sent, where it offers that."
    )

    @property
    def peer(self) -> str:
        """The peer's title and address in one text."""
        return f"{self.ae_title} at {self.host}:{self.port}"


class Hl7Destination(_Destination):
    """Sends an ORU^R01 by MLLP."""

    kind: Literal["hl7"]
    host: Host = Field(description="Host name or address of the receiver.")
    port: Port = Field(description="TCP port of the receiver.")
    timeout_seconds: Seconds = Field(default=30, description="Longest wait for the connection and for the answer.")
    tls: ClientTlsSettings | None = Field(default=None, description="TLS towards the receiver; empty: plain TCP.")
    sending_application: Hl7Name = Field(default="CXRTRIAGE", description="MSH-3.")
    sending_facility: Hl7Name = Field(default="", description="MSH-4.")
    receiving_application: Hl7Name = Field(default="", description="MSH-5.")
    receiving_facility: Hl7Name = Field(default="", description="MSH-6.")
    character_set: Literal["UNICODE UTF-8", "8859/1", "8859/2", "8859/5", "8859/7", "8859/15", "ASCII"] = Field(
        default="UNICODE UTF-8", description="MSH-18, in which the message is written."
    )
    result_status: Literal["P", "R"] = Field(
        default="P",
        description="OBR-25 and OBX-11: P is preliminary; R, not verified, if the RIS needs it.",
    )
    processing_id: Literal["P", "T", "D"] = Field(default="P", description="MSH-11: production, training, debugging.")


class _HttpDestination(_Destination):
    url: Url
    timeout_seconds: Seconds = Field(default=30, description="Longest wait for the connection and for the answer.")
    tls: ClientTlsSettings = Field(default=ClientTlsSettings(), description="TLS of an https URL.")


class DicomwebDestination(_HttpDestination):
    """Sends the SR by STOW-RS."""

    kind: Literal["dicomweb"]
    url: Url = Field(description="Base URL of the DICOMweb service, such as https://pacs/dicom-web.")
    token: Annotated[SecretStr, AfterValidator(_fit_for_a_header)] | None = Field(
        default=None, description="Bearer token."
    )
    user: str | None = Field(default=None, description="User name of HTTP basic authentication.")
    password: SecretStr | None = Field(default=None, description="Password of HTTP basic authentication.")

    @model_validator(mode="after")
    def _has_one_credential(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password: give both, or neither")
        if self.token is not None and self.user is not None:
            raise ValueError("token, or user and password, not both")
        return self


class WebhookDestination(_HttpDestination):
    """Posts the JSON flag, signed."""

    kind: Literal["webhook"]
    url: Url = Field(repr=False, description="Where the flag is posted.")
    secret: SecretStr = Field(min_length=16, description="Key of the HMAC-SHA256 signature, 16 characters at least.")


# What is spoken to over a connection of our own, and not by an association.
WireDestination = Hl7Destination | DicomwebDestination | WebhookDestination

Destination = Annotated[
    FolderDestination | DicomDestination | Hl7Destination | DicomwebDestination | WebhookDestination,
    Field(discriminator="kind"),
]
