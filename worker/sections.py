"""The sections of the settings, but the destinations: `[listener]` and the like; frozen, and strict about keys."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from dicom_io.access import Access, Limits
from dicom_io.types import ApplicationEntity, TransportSecurity
from worker.model.site import SITE_PATTERN

# PS3.5 Table 6.2-1, AE: printable ASCII without backslash, not only spaces.
AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*$")]
Port = Annotated[int, Field(ge=1, le=65535)]


def _network(text: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text if isinstance(text, IPv4Network | IPv6Network) else str(text))
    except ValueError as error:
        raise ValueError(f"{error}; write it like 10.0.0.0/8") from None


def host_name(text: str) -> str:
    """Return the text if it can be looked up as the name or address of a host.

    Raises:
        ValueError: if a label of it is empty or longer than 63 characters, or is none by RFC 3490.
    """
    try:
        text.encode("idna")  # as every look-up of it does
    except UnicodeError as error:
        raise ValueError(f"no host name: {error}") from None
    return text


Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)]
Host = Annotated[str, Field(min_length=1, pattern=r"^\S+$"), AfterValidator(host_name)]
# What lies past these bounds is infinity, or a slip of the unit, which clocks, sockets and dates cannot count with.
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]
Days = Annotated[float, Field(gt=0, le=36_500)]
Modality = Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9_ ]{0,15}$")]  # PS3.5 Table 6.2-1, CS
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class Section(BaseModel):
    """A table of the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TlsSettings(Section):
    """DICOM TLS (PS3.15 B.12, the BCP 195 profile)."""

    certificate: Path = Field(description="PEM file of our own certificate, with its chain.")
    key: Path = Field(description="PEM file of its private key, readable by this account only.")
    authorities: Path | None = Field(
        default=None,
        description=(
            "PEM file of the authorities that a peer's certificate must come from; empty: the listener takes every "
            "caller, a peer that is called is checked against the operating system's authorities."
        ),
    )

    @property
    def security(self) -> TransportSecurity:
        """The same in the words of dicom_io."""
        return TransportSecurity(self.certificate, self.key, self.authorities)


def _security(tls: TlsSettings | None) -> TransportSecurity | None:
    return None if tls is None else tls.security


class ListenerSettings(Section):
    """The DICOM listener."""

    ae_title: AETitle = Field(default="CXRTRIAGE", description="AE title of the listener.")
    host: Host = Field(default="127.0.0.1", description="Address to bind; 0.0.0.0 for every interface.")
    port: Port = Field(default=11112, description="TCP port of the listener.")
    allowed_callers: tuple[AETitle, ...] = Field(
        default=(), description="Calling AE titles that are let in; empty: every caller."
    )
    urgent_callers: tuple[AETitle, ...] = Field(
        default=(),
        description="Calling AE titles whose images are screened first, as if each had been sent with priority HIGH.",
    )
    allowed_networks: tuple[Network, ...] = Field(
        default=(), description="Networks that are let in, such as 10.0.0.0/8; empty: every address."
    )
    require_called_ae_title: bool = Field(
        default=False, description="Reject associations that are not addressed to our own AE title."
    )
    processes: int = Field(default=1, ge=1, le=64, description="Listener processes on the one port (SO_REUSEPORT).")
    max_associations: int = Field(default=64, ge=1, description="Associations at a time, per listener process.")
    max_pdu_bytes: int = Field(default=256 * 1024, ge=16384, description="Longest PDU that is taken.")
    max_object_bytes: int = Field(default=1024**3, ge=1024, description="Largest object that is taken.")
    idle_seconds: Seconds = Field(default=60, description="An association that is silent for this long is ended.")
    association_seconds: Seconds = Field(
        default=3600, description="An association that lasts this long is ended, whatever it does."
    )
    tls: TlsSettings | None = Field(default=None, description="DICOM TLS; empty: plain TCP.")

    @model_validator(mode="before")
    @classmethod
    def _metrics_moved(cls, given: object) -> object:
        if isinstance(given, dict) and "metrics_port" in given:
            raise ValueError(
                "metrics_port is gone: write port = … under [metrics], which one exporter serves for all processes"
            )
        return given

    @property
    def access(self) -> Access:
        """Who is let in."""
        called = self.ae_title if self.require_called_ae_title else None
        return Access(self.allowed_callers, self.allowed_networks, called)

    @property
    def limits(self) -> Limits:
        """How much of it."""
        return Limits(
            associations=self.max_associations,
            pdu_bytes=self.max_pdu_bytes,
            object_bytes=self.max_object_bytes,
            idle_seconds=self.idle_seconds,
            association_seconds=self.association_seconds,
        )

    @property
    def entity(self) -> ApplicationEntity:
        """The listener as an application entity, at the address it binds."""
        return ApplicationEntity(self.ae_title, self.host, self.port, _security(self.tls))


class PeerSettings(Section):
    """A DICOM peer that we call."""

    ae_title: AETitle = Field(description="AE title of the peer.")
    host: Host = Field(description="Host name or address of the peer.")
    port: Port = Field(description="TCP port of the peer.")
    tls: TlsSettings | None = Field(default=None, description="DICOM TLS towards the peer; empty: plain TCP.")

    @property
    def entity(self) -> ApplicationEntity:
        """Whom to call."""
        return ApplicationEntity(self.ae_title, self.host, self.port, _security(self.tls))


class RetrainingSettings(Section):
    """Continuing from the model in service on newly labelled films; nothing is ever promoted by it."""

    at: str | None = Field(
        default=None,
        pattern=r"^((mon|tue|wed|thu|fri|sat|sun) )?([01]\d|2[0-3]):[0-5]\d$",
        description="When beat starts `cxr-train refresh`, UTC: `02:30`, or `sat 02:30`; empty: never.",
    )
    data: Path | None = Field(default=None, description="Manifest of newly labelled films.")
    old: Path | None = Field(default=None, description="Films of earlier trainings, mixed in against forgetting.")
    locked: Path | None = Field(default=None, description="Locked films that judge the new model.")
    output: Path | None = Field(default=None, description="Folder for the new model and its promotion.json.")
    site: str | None = Field(
        default=None, pattern=SITE_PATTERN, description="Short name of the site; becomes part of the version."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        missing = [name for name in ("data", "old", "locked", "output") if getattr(self, name) is None]
        if self.at is not None and missing:
            raise ValueError(f"at needs {', '.join(missing)}, too")
        return self


class StorageCommitmentSettings(Section):
    """Storage commitment: a modality may delete its copy on our word."""

    enabled: bool = Field(default=False, description="Answer requests; off, they are refused at negotiation.")
    callers: tuple[PeerSettings, ...] = Field(
        default=(), description="Who may ask, and where each is called back with the report."
    )

    @model_validator(mode="after")
    def _names_callers(self) -> Self:
        titles = [caller.ae_title.strip() for caller in self.callers]
        if self.enabled and not titles:
            raise ValueError("enabled needs callers: who may ask, and where each is called back")
        if len(titles) != len(set(titles)):
            raise ValueError("callers: every caller needs an AE title of its own")
        return self


class MetricsSettings(Section):
    """What Prometheus reads."""

    host: Host = Field(default="127.0.0.1", description="Address where Prometheus asks; 0.0.0.0 for every interface.")
    port: Port | None = Field(
        default=None, description="Port of `cxr-triage metrics`, which `serve` starts where this is set; empty: none."
    )
    folder: Path | None = Field(
        default=None,
        description=(
            "Folder that the processes of this host count into, on a disk of its own; one exporter for each. Empty: "
            "`metrics` under data_dir."
        ),
    )


class RetentionSettings(Section):
    """How long what was received is kept; nothing is purged that is not screened and delivered."""

    raw_days: Days = Field(default=14, description="Days that received objects are kept in the spool.")
    prepared_days: Days = Field(default=400, description="Days that prepared images are kept for re-screening.")


class ReconciliationSettings(Section):
    """Asking the PACS every night which studies of the day never came here, and fetching them."""

    pacs: PeerSettings | None = Field(default=None, description="The PACS that is asked; empty: nobody is.")
    window: str = Field(
        default="22:00-05:00",
        pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$",
        description="Time of day in UTC in which the nightly run may ask and fetch.",
    )
    days: int = Field(default=1, ge=1, le=31, description="How many days back the nightly run looks, today included.")
    modalities: tuple[Modality, ...] = Field(
        default=("CR", "DX"), min_length=1, description="Modalities in Study that are looked for."
    )
    fetch_by: Literal["move", "get"] = Field(default="move", description="C-MOVE to the listener, or C-GET.")
    at_a_time: int = Field(default=2, ge=1, le=16, description="Studies that are fetched at the same time, at most.")
    timeout_seconds: Seconds = Field(default=60, description="Longest wait for each answer of the PACS.")
