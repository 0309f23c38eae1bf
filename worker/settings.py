"""Settings: environment `CXR_*` over a TOML file over these defaults; read once, then frozen."""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from worker.destinations import ClientTlsSettings, Destination, FolderDestination, WireDestination
from worker.errors import ConfigurationError
from worker.sections import (
    Days,
    ListenerSettings,
    MetricsSettings,
    ReconciliationSettings,
    RetentionSettings,
    RetrainingSettings,
    Seconds,
    StorageCommitmentSettings,
)
from worker.web_section import WebSettings

CONFIG_VARIABLE = "CXR_CONFIG"


class Settings(BaseSettings):
    """Everything an operator can set; `CXR_LISTENER__PORT=104` sets `port` of `[listener]`."""

    # An input that is wrong may be a password, and the traceback of a worker that does not start is logged.
    model_config = SettingsConfigDict(
        env_prefix="CXR_", env_nested_delimiter="__", frozen=True, extra="forbid", hide_input_in_errors=True
    )

    data_dir: Path = Field(
        default=Path("cxr-triage-data"), description="Folder of spool, models, database and broker files."
    )
    database_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL; by default an SQLite file under data_dir."
    )
    broker_url: SecretStr | None = Field(
        default=None,
        description=(
            "redis:// or amqp:// (RabbitMQ, quorum queues), with TLS rediss:// or amqps://; by default an embedded "
            "broker under data_dir."
        ),
    )
    broker_tls: ClientTlsSettings = Field(
        default=ClientTlsSettings(),
        description="Of rediss:// and amqps://; the broker's certificate must name the host of broker_url.",
    )
    health_dir: Path | None = Field(
        default=None,
        description="Folder of the signs of life that `doctor --only` reads; by default `health` under data_dir.",
    )
    study_quiet_seconds: float = Field(
        default=30, ge=0, le=86400, description="A study is complete when nothing has arrived for it for this long."
    )
    screen_within_minutes: float = Field(
        default=30,
        gt=0,
        le=7 * 1440,
        description="A study not screened after this time is reported UNSCREENED, reason overdue.",
    )
    shadow: bool = Field(default=False, description="Screen and store, but send nothing.")
    batch_size: int = Field(default=16, ge=1, le=1024, description="Images scored in one forward pass.")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description=(
            "auto, fp32 or bf16; auto is bf16 where the device has instructions for it. Films near the threshold are "
            "scored again in fp32, so that the flags are the same."
        ),
    )
    prepare_processes: int = Field(default=2, ge=1, description="Decoding processes that `serve` starts.")
    lease_seconds: Seconds = Field(
        default=120, description="Work claimed by a worker that died is free again after this time."
    )
    max_attempts: int = Field(default=5, ge=1, description="Attempts on one image before it is set aside.")
    delivery_max_attempts: int = Field(
        default=60_000, ge=1, description="Attempts on one delivery before it is a dead letter: a month or more."
    )
    retry_seconds: Seconds = Field(default=2, description="First delay before a retry; it doubles each time.")
    retry_max_seconds: Seconds = Field(default=300, description="Longest delay before a retry.")
    sweep_seconds: Seconds = Field(default=1, description="How often beat looks for work that stands still.")
    min_free_bytes: int = Field(
        default=512 * 1024 * 1024, ge=0, description="Below this free space objects are refused with 0xA700."
    )
    log_json: bool = Field(default=True, description="Log lines as JSON; false: for people.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least log level.")
    rescreen_at: str | None = Field(
        default=None,
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="When beat starts a re-screening, UTC: `01:30`; empty: never.",
    )
    rescreen_days: Days = Field(
        default=400, description="How many days back a re-screening looks where no `--since` says otherwise."
    )
    rescreen_deliver: bool = Field(
        default=False, description="Tell what a nightly re-screening newly flags; false: a report only."
    )
    rescreen_deliver_days: Days = Field(
        default=2, description="Newly flagged studies that were received longer ago are only reported."
    )
    retraining: RetrainingSettings = Field(
        default=RetrainingSettings(), description="Continuing from the model in service on new films."
    )
    listener: ListenerSettings = Field(default=ListenerSettings(), description="The DICOM listener.")
    metrics: MetricsSettings = Field(
        default=MetricsSettings(), description="What Prometheus reads of the processes of this host."
    )
    retention: RetentionSettings = Field(default=RetentionSettings(), description="How long what was received is kept.")
    storage_commitment: StorageCommitmentSettings = Field(
        default=StorageCommitmentSettings(), description="Answering storage commitment requests."
    )
    reconciliation: ReconciliationSettings = Field(
        default=ReconciliationSettings(), description="Asking the PACS what never came here."
    )
    escalate_after_minutes: float | None = Field(
        default=None,
        gt=0,
        le=60 * 24 * 60,
        description=(
            "A study that nobody has read after this time is raised, reason waiting-time; empty: never. Only for sites "
            "whose RIS, or whose readers, say what was read: while they have said nothing for a day, nothing is raised."
        ),
    )
    web: WebSettings = Field(default=WebSettings(), description="The worklist page.")
    destinations: tuple[Destination, ...] | None = Field(
        default=None, description="Where results go; by default the folder `flags` under data_dir."
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [destination.name for destination in self.destinations or ()]
        if len(names) != len(set(names)):
            raise ValueError("destinations: every destination needs a name of its own")
        return self

    @model_validator(mode="after")
    def _leases_outlast_senders(self) -> Self:
        # Past its lease a delivery is taken by another sender, which a server that hangs then holds, too, and so on.
        for destination in self.destinations or ():
            if isinstance(destination, WireDestination) and 3 * destination.timeout_seconds > self.lease_seconds:
                raise ValueError(
                    f"destination {destination.name}: timeout_seconds must be a third of lease_seconds at most, as "
                    "connection, TLS and answer may take as long each: lower the one or raise the other"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over defaults; dotenv and secret files are not read."""
        del dotenv_settings, file_secret_settings
        file = os.environ.get(CONFIG_VARIABLE)
        toml = (TomlConfigSettingsSource(settings_cls, toml_file=file),) if file else ()
        return (init_settings, env_settings, *toml)

    @property
    def spool_dir(self) -> Path:
        """Where received objects lie."""
        return self.data_dir / "spool"

    @property
    def metrics_dir(self) -> Path:
        """Where the processes of this host count."""
        return self.metrics.folder or self.data_dir / "metrics"

    @property
    def models_dir(self) -> Path:
        """Where this host keeps the site's own models."""
        return self.data_dir / "models"

    @property
    def broker_dir(self) -> Path:
        """Folders of the embedded broker."""
        return self.data_dir / "broker"

    @property
    def effective_health_dir(self) -> Path:
        """Where the processes of this host give signs of life."""
        return self.health_dir or self.data_dir / "health"

    @property
    def effective_database_url(self) -> str:
        """The database URL with its password; never log it."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{(self.data_dir / 'cxr-triage.sqlite').absolute()}"

    @property
    def effective_destinations(self) -> tuple[Destination, ...]:
        """The configured destinations, or the embedded default."""
        if self.destinations is None:
            return (FolderDestination(kind="folder", name="flags", path=self.data_dir / "flags"),)
        return self.destinations


def load_settings(config: Path | None = None) -> Settings:
    """Read the settings once, at the start of a process.

    Args:
        config: the TOML file; None for the one named by `CXR_CONFIG`, if any. A named file is also exported to
            `CXR_CONFIG`, so that child processes read the same.

    Raises:
        ConfigurationError: one line that names the file or the key, and what is wrong with it.
    """
    if config is not None:
        os.environ[CONFIG_VARIABLE] = str(config.absolute())
    file = os.environ.get(CONFIG_VARIABLE)
    if file and not Path(file).is_file():
        raise ConfigurationError(f"settings file {file}: not found")
    _refuse_unknown_variables()
    try:
        return Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"settings file {file}: not valid TOML: {error}") from error
    except SettingsError as error:
        raise ConfigurationError(f"settings: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"settings: {_first_line(error)}") from error


def _refuse_unknown_variables() -> None:
    # A misspelt CXR_DATABASE_URL would leave the embedded database in use without a word. Others' variables may begin
    # so, too: container platforms set CXR_TRIAGE_PORT for a service of that name.
    known = [f"CXR_{name}".upper() for name in Settings.model_fields] + [CONFIG_VARIABLE]
    for name in sorted(os.environ):
        stem = name.split("__")[0]
        meant = difflib.get_close_matches(stem, known, n=1, cutoff=0.85) if name.startswith("CXR_") else []
        if meant and stem not in known:
            raise ConfigurationError(f"environment: {name}: no such setting; did you mean {meant[0]}?")


def _first_line(error: ValidationError) -> str:
    problems = [f"{'.'.join(str(part) for part in e['loc']) or 'file'}: {e['msg']}" for e in error.errors()]
    return "; ".join(problems)
