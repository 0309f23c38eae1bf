"""`deploy/worker.env.example`: every setting as an environment variable, written from the settings by `make docs`."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from worker.settings import Settings

FILE = "deploy/worker.env.example"
_HEAD = """\
# Settings as variables of the environment, which stand above those of worker.toml: copy to /etc/cxr-triage/worker.env,
# owned by root, mode 0640, group cxr-triage, and take the # from what is to differ. This file is where secrets belong.
# Lists and tables are JSON on one line. Written by `make docs`; the value shown is the default, or else an example.
"""
# For what has no default. `callers` and `destinations` are lists of tables, easier to write in worker.toml.
_EXAMPLES: dict[str, object] = {
    "database_url": "postgresql+psycopg://cxr@db.example.org:5432/cxr_triage",
    "broker_url": "redis://redis.example.org:6379/0",
    "health_dir": "/run/cxr-triage",
    "escalate_after_minutes": 480,
    "web.public_url": "https://triage.example.org",
    "rescreen_at": "01:30",
    "retraining.at": "sat 02:30",
    "retraining.data": "/var/lib/cxr-triage/training/new/manifest.csv",
    "retraining.old": "/var/lib/cxr-triage/training/old",
    "retraining.locked": "/var/lib/cxr-triage/training/locked",
    "retraining.output": "/var/lib/cxr-triage/training/refresh",
    "retraining.site": "hospital",
    "metrics.port": 9464,
    "metrics.folder": "/var/lib/cxr-triage/metrics",
    "reconciliation.pacs.ae_title": "PACS1",
    "reconciliation.pacs.host": "pacs.example.org",
    "reconciliation.pacs.port": 104,
    "destinations": [{"name": "flags", "kind": "folder", "path": "/var/lib/cxr-triage/flags"}],
}
_TLS = {
    "certificate": "/etc/cxr-triage/own.pem",
    "key": "/etc/cxr-triage/own.key",
    "authorities": "/etc/cxr-triage/ca.pem",
}


def example() -> str:
    """The whole file."""
    return _HEAD + "".join(f"\n{text}\n#{variable}={value}\n" for variable, text, value in _lines("", Settings))


def _lines(prefix: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        section = _section(field.annotation)
        if section is not None:
            yield from _lines(f"{path}.", section)
        else:
            variable = f"CXR_{path.replace('.', '__')}".upper()
            yield variable, _comment(field), _written(_value(path, field))


def _section(annotation: Any) -> type[BaseModel] | None:
    """The section that a setting is, alone or beside None; a list of sections is a value."""
    parts = (annotation,) if isinstance(annotation, type) else get_args(annotation)
    if get_origin(annotation) is tuple:
        return None
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def _comment(field: FieldInfo) -> str:
    return "\n".join(textwrap.wrap(field.description or "", 118, initial_indent="# ", subsequent_indent="# "))


def _value(path: str, field: FieldInfo) -> object:
    if path in _EXAMPLES:
        return _EXAMPLES[path]
    parent, _, name = path.rpartition(".")
    if parent.endswith("tls"):
        return _TLS[name]
    return to_jsonable_python(field.default)


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
