"""Settings: environment `CXR_*` over a TOML file over these defaults; read once, then frozen."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from worker.errors import ConfigurationError

AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[\x20-\x5b\x5d-\x7e]*[\x21-\x5b\x5d-\x7e][\x20-\x5b\x5d-\x7e]*$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ListenerSettings(_Section):
    """The DICOM listener."""

    ae_title: AETitle = Field(default="CXRTRIAGE", description="AE title of the listener.")
    host: str = Field(default="127.0.0.1", description="Address to bind; 0.0.0.0 for every interface.")
    port: Port = Field(default=11112, description="TCP port of the listener.")
    allowed_callers: tuple[AETitle, ...] = Field(
        default=(), description="Calling AE titles that are let in; empty: every caller."
    )


class FolderDestination(_Section):
    """Writes one JSON flag, and one DICOM SR where the sources are DICOM, per result."""

    kind: Literal["folder"]
    name: Name = Field(description="Name in the outbox and in reports.")
    path: Path = Field(description="Folder the files are renamed into.")


class DicomDestination(_Section):
    """Sends a Comprehensive 3D SR by C-STORE."""

    kind: Literal["dicom"]
    name: Name = Field(description="Name in the outbox and in reports.")
    ae_title: AETitle = Field(description="AE title of the peer.")
    host: str = Field(description="Host name or address of the peer.")
    port: Port = Field(description="TCP port of the peer.")
    timeout_seconds: float = Field(default=30, gt=0, description="Longest wait for each answer of the peer.")


Destination = Annotated[FolderDestination | DicomDestination, Field(discriminator="kind")]
