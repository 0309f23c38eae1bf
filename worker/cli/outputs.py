"""Where `cxr-triage screen` writes: JSON lines, CSV, and folders of PNG."""

import csv
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from worker.domain import ScreeningStatus
from worker.errors import ConfigurationError

if TYPE_CHECKING:
    from worker.screening import ScreenedFile

STDOUT = Path("-")
_STUDY_COLUMNS = ("study_instance_uid", "priority")
_IMAGE_COLUMNS = (
    *("sop_instance_uid", "content_sha256", "frame", "status", "reason"),
    *("probability", "logit", "threshold", "threshold_logit", "flagged"),
)

Write = Callable[["ScreenedFile"], None]


def open_outputs(
    open_files: ExitStack, *, json_file: Path | None, csv_file: Path | None, prepared: Path | None, cam: Path | None
) -> list[Write]:
    """Open what was asked for.

    Args:
        open_files: closes the files at the end.
        json_file: one flag and its path per line; `-` is standard output.
        csv_file: one line per frame; `-` is standard output.
        prepared: folder of prepared films.
        cam: folder of films with activation maps.

    Raises:
        ConfigurationError: if a file or folder cannot be made.
    """
    outputs: list[Write] = []
    try:
        if json_file:
            outputs.append(_json_lines(_open(open_files, json_file)))
        if csv_file:
            outputs.append(_csv_lines(_open(open_files, csv_file)))
        for folder, write in ((prepared, _write_films), (cam, _write_overlays)):
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
                outputs.append(write(folder))
    except OSError as error:
        raise ConfigurationError(f"cannot write {error.filename}: {error.strerror}") from None
    return outputs


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
    return f"{screened.path}: {', '.join(parts)}"


def _open(open_files: ExitStack, path: Path) -> TextIO:
    return sys.stdout if path == STDOUT else open_files.enter_context(path.open("w", encoding="utf-8", newline=""))


def _json_lines(file: TextIO) -> Write:
    def write(screened: "ScreenedFile") -> None:
        line = json.loads(screened.flag.to_json()) | {"path": str(screened.path)}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()

    return write


def _csv_lines(file: TextIO) -> Write:
    rows = csv.writer(file)
    rows.writerow(("path", *_STUDY_COLUMNS, *_IMAGE_COLUMNS, "warnings"))

    def write(screened: "ScreenedFile") -> None:
        flag = screened.flag.model_dump(mode="json")
        for image in flag["images"]:
            study = [flag[column] for column in _STUDY_COLUMNS]
            frame = [image[column] for column in _IMAGE_COLUMNS]
            rows.writerow([str(screened.path), *study, *frame, "; ".join(flag["warnings"])])

    return write


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
