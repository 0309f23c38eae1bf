"""What the files of `deploy/` name of this program: commands, settings, queues."""

import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
import yaml

from worker.cli.main import app
from worker.queues import TRAIN, Queue
from worker.roles import Role
from worker.settings import CONFIG_VARIABLE, Settings


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text()))


def unknown_words(command: Sequence[str]) -> list[str]:
    """What is wrong with a command line of `cxr-triage` or `celery`; empty if this version knows all of it."""
    program, *words = command
    if program == "celery":
        return [] if words == ["-A", "worker", "--quiet", "beat"] else list(command)
    if program != "cxr-triage":
        return list(command)
    known: Any = typer.main.get_command(app)
    name, *rest = words
    if name not in known.commands:
        return [name]
    match name, rest:
        case ("doctor", ["--only", role]):
            return [] if role in set(Role) else [role]
        case ("work", [worker]):
            return [] if worker.partition("-")[0] in {*Queue, TRAIN} else [worker]
    return rest


def unknown_settings(names: Sequence[str]) -> list[str]:
    """The CXR_ variables that are no setting."""
    return [name for name in names if name.startswith("CXR_") and name != CONFIG_VARIABLE and not _is_setting(name)]


def _is_setting(name: str) -> bool:
    model: Any = Settings
    *sections, last = name.removeprefix("CXR_").lower().split("__")
    for section in sections:
        if section not in model.model_fields:
            return False
        model = model.model_fields[section].annotation
    return last in model.model_fields


def loads(toml: str) -> Settings:
    """The settings of a TOML text, whatever the environment says."""
    values = tomllib.loads(toml)
    return Settings.model_validate_json(json.dumps(values), strict=False)


def strings(value: Any) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
