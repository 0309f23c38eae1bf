"""The tables of the documents that are written from the code, so that they stay true: `make docs` writes them.

A table stands between `<!-- NAME -->` and `<!-- /NAME -->`; a test compares it with what the code says today.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import typer
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydicom.sr.coding import Code

from dicom_io import sr_content
from dicom_io.reasons import Reason
from dicom_io.transfer_syntaxes import ACCEPTED
from tests import capacity_tables, environment
from training.cli import app as training_app
from training.config import load_recipe, recipe_names
from worker.cli.main import app
from worker.delivery.hl7.acknowledgement import ANSWERS
from worker.delivery.hl7.encoding import CODECS
from worker.delivery.hl7.observations import STATEMENTS
from worker.delivery.hl7.segments import LAYOUT
from worker.metrics.definitions import DEFINITIONS
from worker.settings import Settings

REPOSITORY = Path(__file__).parents[1]


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.default
    if value is None or value in ((), ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _rows(prefix: str, model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        inner = _models_in(field.annotation)
        if not inner:
            yield f"`{prefix}{name}`", _default(field), field.description or ""
            continue
        repeated = get_origin(field.annotation) is tuple or any(
            get_origin(part) is tuple for part in get_args(field.annotation)
        )
        yield f"`[[{prefix}{name}]]`" if repeated else f"`[{prefix}{name}]`", "", field.description or ""
        yield from _inner_rows(f"{prefix}{name}.", inner)


def _inner_rows(prefix: str, sections: list[type[BaseModel]]) -> Iterator[tuple[str, ...]]:
    """What the kinds of a section share once, then each kind's own."""
    rows = [list(_rows(prefix, section)) for section in sections]
    shared = [row for row in rows[0] if all(row in others for others in rows)]
    yield from (row for row in shared if row[0] != f"`{prefix}kind`")
    for section, own in zip(sections, rows, strict=True) if len(sections) > 1 else ():
        kind = get_args(section.model_fields["kind"].annotation)[0]
        yield f'`{prefix}kind = "{kind}"`', "", (section.__doc__ or "").strip()
        yield from (row for row in own if row not in shared)


def settings() -> str:
    """Every setting with its default and meaning."""
    return _table(("setting", "default", "meaning"), _rows("", Settings))


def reasons() -> str:
    """Every reason code with its meaning."""
    return _table(("code", "meaning"), ((f"`{reason.value}`", reason.meaning) for reason in Reason))


def commands() -> str:
    """Every command of cxr-triage with its one-line help."""
    return _table(("command", "what it does"), _commands("cxr-triage", typer.main.get_command(app)))


def _commands(name: str, command: Any) -> Iterator[tuple[str, str]]:
    commands = getattr(command, "commands", None)
    if commands is None:
        yield f"`{name}`", command.get_short_help_str(200)
        return
    for word, inner in sorted(commands.items()):
        yield from _commands(f"{name} {word}", inner)


def training_commands() -> str:
    """Every command of cxr-train with its one-line help."""
    return _table(("command", "what it does"), _commands("cxr-train", typer.main.get_command(training_app)))


def recipes() -> str:
    """Every recipe with its description."""
    return _table(("recipe", "what it is"), ((f"`{name}`", load_recipe(name).description) for name in recipe_names()))


def transfer_syntaxes() -> str:
    """Every transfer syntax that the listener takes."""
    return _table(("transfer syntax", "UID"), ((syntax.name, f"`{syntax}`") for syntax in ACCEPTED))


def private_codes() -> str:
    """Every private code that a structured report uses, without the reasons."""
    codes = (value for value in vars(sr_content).values() if isinstance(value, Code))
    private = (code for code in codes if code.scheme_designator == sr_content.PRIVATE_SCHEME)
    return _table(("code", "meaning"), ((f"`{code.value}`", code.meaning) for code in private))


def hl7_fields() -> str:
    """Every field of the ORU that is not always empty."""
    fields = ((f"{name}-{place}", holds) for name, places in LAYOUT.items() for place, holds in places.items())
    return _table(("field", "holds"), fields)


def hl7_statements() -> str:
    """Everything that an OBX may state."""
    rows = ((_identifier(code), kind, says) for code, (kind, says) in STATEMENTS.items())
    return _table(("OBX-3", "OBX-2", "OBX-5"), rows)


def _identifier(code: Code) -> str:
    return f"`{code.value}^{code.meaning}^{code.scheme_designator}`"


def hl7_answers() -> str:
    """What each acknowledgement means."""
    answers = ((codes, error, verdict.value) for codes, error, verdict in ANSWERS)
    return _table(("MSA-1", "error code", "what happens"), answers)


def hl7_character_sets() -> str:
    """Every term that MSH-18 may have."""
    return _table(("MSH-18", "encoded as"), ((f"`{term}`", codec) for term, codec in CODECS.items()))


def hosts_needed() -> str:
    """Hosts, disk and network by studies a day."""
    return _table(capacity_tables.HOST_COLUMNS, capacity_tables.host_rows())


def flags_worth() -> str:
    """Mean waits in minutes by how busy the readers are."""
    return _table(capacity_tables.FLAG_COLUMNS, capacity_tables.flag_rows())


def metrics() -> str:
    """Every metric with its kind, labels and meaning."""
    rows = (
        (f"`{metric.name}`", metric.kind, ", ".join(f"`{label}`" for label in metric.labels), metric.meaning)
        for metric in DEFINITIONS.values()
    )
    return _table(("metric", "kind", "labels", "meaning"), rows)


def alerts() -> str:
    """Every alert with what it means and what to do."""
    document = yaml.safe_load((REPOSITORY / "deploy/prometheus/alerts.yaml").read_text())
    rules = (rule for group in document["groups"] for rule in group["rules"] if "alert" in rule)
    rows = ((rule["alert"], rule["labels"]["severity"], rule["annotations"]["description"]) for rule in rules)
    return _table(("alert", "severity", "what it means, and what to do"), rows)


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "settings": ("README.md", settings),
    "commands": ("README.md", commands),
    "training-commands": ("README.md", training_commands),
    "recipes": ("README.md", recipes),
    "transfer-syntaxes": ("deploy/conformance.md", transfer_syntaxes),
    "private-codes": ("deploy/conformance.md", private_codes),
    "reasons": ("deploy/conformance.md", reasons),
    "hl7-fields": ("deploy/conformance.md", hl7_fields),
    "hl7-statements": ("deploy/conformance.md", hl7_statements),
    "hl7-answers": ("deploy/conformance.md", hl7_answers),
    "metrics": ("deploy/metrics.md", metrics),
    "alerts": ("deploy/metrics.md", alerts),
    "hl7-character-sets": ("deploy/conformance.md", hl7_character_sets),
    "hosts-needed": ("deploy/capacity.md", hosts_needed),
    "flags-worth": ("deploy/capacity.md", flags_worth),
}


def with_table(document: str, name: str, table: str) -> str:
    """The document with what stands between a table's markers replaced.

    Raises:
        ValueError: if the document has no such markers.
    """
    block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not block.search(document):
        raise ValueError(f"no <!-- {name} --> … <!-- /{name} --> in the document")
    return block.sub(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", document)


def write() -> None:
    """Write every table into its document."""
    for name, (document, table) in TABLES.items():
        path = REPOSITORY / document
        path.write_text(with_table(path.read_text(), name, table()))
    (REPOSITORY / environment.FILE).write_text(environment.example())


if __name__ == "__main__":
    write()
