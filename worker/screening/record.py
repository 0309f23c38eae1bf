"""The JSON lines of earlier runs: what has been said already, so that a run can go on where another one ended."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dicom_io.reasons import Reason
from worker.domain import Flag, Priority
from worker.errors import ConfigurationError

NO_BYTES = hashlib.sha256().hexdigest()  # the content of a file that could not be read
# Clocks of a share and of this host differ, and a file may change between its reading and its line.
_DOUBT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of `screen --json`.

    Attributes:
        path: of the file, as it was given then.
        flag: what was said of it.
        length: bytes of the line, its end included.
    """

    path: str
    flag: Flag
    length: int


class Said(NamedTuple):
    """What is kept of a line.

    Attributes:
        content_sha256: the hash of the content that it is of.
        at: seconds since 1970.
        reason, priority: as in the flag.
    """

    content_sha256: str
    at: float
    reason: Reason | None
    priority: Priority | None


@dataclass
class Record:
    """What a file of JSON lines says; the last line of a path counts.

    Attributes:
        size: bytes of its whole lines; what stands behind them was torn off.
        lines: by path.
    """

    size: int = 0
    lines: dict[str, Said] = field(default_factory=dict)

    def note(self, path: str, flag: Flag) -> None:
        """Take in what is said of a file."""
        self.lines[path] = Said(flag.images[0].content_sha256, flag.created_at.timestamp(), flag.reason, flag.priority)

    def has(self, path: Path, content_sha256: str) -> bool:
        """Tell whether a file has its line with this content."""
        said = self.lines.get(str(path))
        return said is not None and said.content_sha256 == content_sha256

    def settles(self, path: Path, changed_at: float) -> bool:
        """Tell whether a file has its line and cannot have changed since; a file that could not be read has none.

        One that may have changed is prepared again, and its content decides.

        Args:
            path: as it was given.
            changed_at: seconds since 1970, by the file's own dates.
        """
        said = self.lines.get(str(path))
        return said is not None and said.content_sha256 != NO_BYTES and changed_at < said.at - _DOUBT_SECONDS


def last_change(path: Path) -> float:
    """Return when a file was changed last, content or name, in seconds since 1970; of one that is not there: never."""
    try:
        status = path.stat()
    except OSError:
        return math.inf
    return max(status.st_mtime, status.st_ctime)


def read_record(path: Path, model_sha256: str) -> Record:
    """Read what was said in a file of JSON lines.

    Args:
        path: the file; one that is not there says nothing.
        model_sha256: of the model that goes on.

    Raises:
        ConfigurationError: if a whole line is no flag with a path, or is of another model.
    """
    record = Record()
    for line in read_lines(path):
        model = line.flag.model
        if model.sha256 != model_sha256:
            raise ConfigurationError(
                f"{path} was written with {model.name} {model.version} ({model.sha256[:12]}), not with this model; "
                "name that one with --model, or write another file"
            )
        record.size += line.length
        record.note(line.path, line.flag)
    return record


def read_lines(path: Path) -> Iterator[Line]:
    """Read the whole lines of a file, one by one; a last one that has no end is left out.

    Args:
        path: the file; one that is not there has no lines.

    Raises:
        ConfigurationError: if a whole line is no flag with a path.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.endswith(b"\n"):
                return
            yield _parse(raw, path, number)


def _parse(raw: bytes, path: Path, number: int) -> Line:
    try:
        # Not pydantic's own parser: it refuses the escapes that stand for a path's bytes where they are no UTF-8.
        flag = json.loads(raw)
        return Line(str(flag.pop("path")), Flag.model_validate(flag), len(raw))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ConfigurationError(
            f"{path}, line {number}, is no line of screen --json; name the file of the run that is to go on"
        ) from None
