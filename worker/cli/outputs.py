"""Where `cxr-triage screen` writes: JSON lines, CSV, and folders of PNG."""

import csv
import fcntl
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from worker.domain import Flag, ScreeningStatus
from worker.errors import ConfigurationError
from worker.screening.record import Record, read_lines, read_record

if TYPE_CHECKING:
    from worker.screening.saying import ScreenedFile

STDOUT = Path("-")
_STUDY_COLUMNS = ("study_instance_uid", "priority")
_IMAGE_COLUMNS = (
    *("sop_instance_uid", "content_sha256", "frame", "status", "reason"),
    *("probability", "logit", "threshold", "threshold_logit", "flagged"),
)

Write = Callable[["ScreenedFile"], None]


@dataclass(frozen=True, slots=True)
class Destinations:
    """What `screen` is to write; `-` is standard output.

    Attributes:
        json_file: one flag and its path per line.
        csv_file: one line per frame.
        prepared: folder of prepared films.
        cam: folder of films with activation maps.
        resume: whether to go on behind the JSON lines that are there.
        overwrite: whether files may be there that are written anew.
    """

    json_file: Path | None = None
    csv_file: Path | None = None
    prepared: Path | None = None
    cam: Path | None = None
    resume: bool = False
    overwrite: bool = False

    @property
    def standard_output_taken(self) -> bool:
        """Whether JSON or CSV goes to standard output."""
        return STDOUT in (self.json_file, self.csv_file)

    @property
    def paths(self) -> list[Path]:
        """The files and folders that are written to, absolute."""
        named = (self.json_file, self.csv_file, self.prepared, self.cam)
        return [path.resolve() for path in named if path is not None and path != STDOUT]


def open_outputs(open_files: ExitStack, to: Destinations, model_sha256: str) -> tuple[list[Write], Record]:
    """Open what was asked for, in the order it is to be written: the JSON line last, as it says that a file is done.

    Args:
        open_files: closes the files at the end.
        to: where to write.
        model_sha256: of the model that screens.

    Returns:
        What writes, and what the JSON lines say already.

    Raises:
        ConfigurationError: if a file or folder cannot be made, is written by another run, holds something that nobody
            said may be lost, or is of another model.
    """
    try:
        record, json_lines = Record(), None
        if to.json_file:
            record, json_lines = _open_json_lines(open_files, to.json_file, to, model_sha256)
        outputs: list[Write] = []
        for folder, write in ((to.prepared, _write_films), (to.cam, _write_overlays)):
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                outputs.append(write(folder))
        if to.csv_file:
            outputs.append(_open_csv_lines(open_files, to.csv_file, to))
    except OSError as error:
        raise ConfigurationError(f"cannot write {error.filename}: {error.strerror}") from None
    return [*outputs, json_lines] if json_lines else outputs, record


def sentence(screened: "ScreenedFile") -> str:
    """Say in one line what came of a file; a film without a flag is said to be screened, never more."""
    flag = screened.flag
    scored = [image.probability for image in flag.images if image.probability is not None]
    parts: list[str] = [flag.status.value]
    if flag.reason:
        parts.append(f"{flag.reason.value} - {flag.reason.meaning}")
    elif flag.status is ScreeningStatus.SCREENED:
        parts.append(f"{flag.priority.value}, {flag.finding}" if flag.priority else "no flag")
        parts.append(f"probability {max(scored):.2f}")
    path = str(screened.path).encode(errors="backslashreplace").decode()  # a name need not be UTF-8
    return f"{path}: {', '.join(parts)}"


def _open_json_lines(open_files: ExitStack, path: Path, to: Destinations, model_sha256: str) -> tuple[Record, Write]:
    if path == STDOUT:
        return Record(), _json_lines(sys.stdout)
    _require_free(path, to)
    file = open_files.enter_context(_open(path, "a"))
    _lock(file, path)
    record = read_record(path, model_sha256) if to.resume else Record()
    if path.is_file():
        file.truncate(record.size)
    return record, _json_lines(file)


def _open_csv_lines(open_files: ExitStack, path: Path, to: Destinations) -> Write:
    if path == STDOUT:
        return _csv_lines(sys.stdout)
    _require_free(path, to)
    file = open_files.enter_context(_open(path, "w"))
    write = _csv_lines(file)
    # Written anew from the JSON lines, so that both tell the same, wherever the earlier run was cut off.
    for line in read_lines(to.json_file) if to.resume and to.json_file else ():
        _write_rows(file, line.path, line.flag)
    return write


def _open(path: Path, mode: Literal["a", "w"]) -> TextIO:
    # A file name need not be UTF-8; its other bytes stand as escapes, which JSON reads back.
    return path.open(mode, encoding="utf-8", newline="", errors="backslashreplace")


def _require_free(path: Path, to: Destinations) -> None:
    if to.resume or to.overwrite or not path.is_file() or not path.stat().st_size:
        return
    raise ConfigurationError(f"{path} is there already: --resume goes on with it, --overwrite loses it")


def _lock(file: TextIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigurationError(f"{path} is being written by another run; wait for its end") from None
    except OSError:  # a file system without locks
        return


def _json_lines(file: TextIO) -> Write:
    def write(screened: "ScreenedFile") -> None:
        line = json.loads(screened.flag.to_json()) | {"path": str(screened.path)}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()

    return write


def _csv_lines(file: TextIO) -> Write:
    csv.writer(file).writerow(("path", *_STUDY_COLUMNS, *_IMAGE_COLUMNS, "warnings"))

    def write(screened: "ScreenedFile") -> None:
        _write_rows(file, str(screened.path), screened.flag)
        file.flush()

    return write


def _write_rows(file: TextIO, path: str, flag: Flag) -> None:
    rows = csv.writer(file)
    said = flag.model_dump(mode="json")
    for image in said["images"]:
        study = [said[column] for column in _STUDY_COLUMNS]
        frame = [image[column] for column in _IMAGE_COLUMNS]
        rows.writerow([path, *study, *frame, "; ".join(said["warnings"])])


def _write_films(folder: Path) -> Write:
    from worker.pictures import save_film

    def write(screened: "ScreenedFile") -> None:
        for film, path in zip(screened.films, _pngs(folder, screened), strict=True):
            save_film(film, path)

    return write


def _write_overlays(folder: Path) -> Write:
    from worker.pictures import save_overlay

    def write(screened: "ScreenedFile") -> None:
        for film, evidence, path in zip(screened.films, screened.activation_maps, _pngs(folder, screened), strict=True):
            save_overlay(film, evidence, path)

    return write


def _pngs(folder: Path, screened: "ScreenedFile") -> list[Path]:
    """Name the frames of a file; the content's hash keeps files of one name apart."""
    names = [f"{screened.path.name}-{image.content_sha256[:8]}-{image.frame}.png" for image in screened.flag.images]
    return [folder / name for name, _ in zip(names, screened.films, strict=False)]
