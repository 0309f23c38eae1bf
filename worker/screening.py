"""Screening files in this process: no database, no queue, no PACS. One flag per file."""

import hashlib
import math
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicom_io.errors import ImageError
from dicom_io.reader import read_header, read_radiograph
from dicom_io.reasons import Reason
from dicom_io.suitability import age_years, assess
from worker.domain import Flag, ImageState, ModelReference, Origin, Prediction, ScreeningStatus
from worker.inference import Engine
from worker.model.artifact import ModelCard
from worker.model.intended_use import age_warnings
from worker.model.judgement import STRANGE_FLAGGED_IMAGE, FrameJudgement, judge_frame
from worker.model.preprocessing import preprocess
from worker.triage import ImageOutcome, judge

_NO_BYTES = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class ScreenedFile:
    """What came of one file.

    Attributes:
        path: as it was given.
        flag: what is said of it.
        failed: whether a film may be in the file that was not screened; not so for an image that is out of scope.
        films: what the network saw, uint8 (frames, size, size); no frames where nothing was scored.
        activation_maps: float16 (frames, h, w), in units of the logit: 7x7 at 224 pixels, 14x14 of a baseline-cnn.
    """

    path: Path
    flag: Flag
    failed: bool
    films: NDArray[np.uint8]
    activation_maps: NDArray[np.float16]


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    path: Path
    content_sha256: str
    films: NDArray[np.uint8]
    state: ImageState = ImageState.PREPARED
    reason: Reason | None = None
    warnings: tuple[str, ...] = ()
    header: Dataset = field(default_factory=Dataset)


def find_files(paths: Iterable[Path]) -> list[Path]:
    """List the files that are named, and every file below the folders that are named, but hidden ones; sorted."""
    found: dict[Path, None] = {}
    for path in paths:
        inside = sorted(filter(_is_listed, path.rglob("*"))) if path.is_dir() else [path]
        found.update(dict.fromkeys(inside))
    return list(found)


def _is_listed(path: Path) -> bool:
    # A link that leads nowhere has its line too; a pipe would be waited for without end.
    return path.name[0] != "." and (path.is_file() or not path.exists())


def screen_files(
    files: Iterable[Path], engine: Engine, *, now: datetime, batch_size: int = 16
) -> Iterator[ScreenedFile]:
    """Screen files in batches.

    Args:
        files: DICOM, PNG or JPEG files; others get their line too.
        engine: the model.
        now: creation time that the flags carry.
        batch_size: files prepared before the network runs.

    Yields:
        One result per file, in order; none is left out.
    """
    waiting = iter(files)
    while batch := list(islice(waiting, batch_size)):
        yield from _screen_batch([_prepare(path, engine.card) for path in batch], engine, now)


def counts_as_lost(screened: ScreenedFile, named: Sequence[Path]) -> bool:
    """Tell whether a film may have been lost.

    A file without pixels that merely lies in a searched folder is no film; one that was named itself should have been.
    """
    harmless = screened.flag.reason in (Reason.NOT_AN_IMAGE, Reason.NO_PIXEL_DATA)
    return screened.failed and (screened.path in named or not harmless)


def _prepare(path: Path, card: ModelCard) -> _Prepared:
    nothing = np.zeros((0, card.input_spec.size, card.input_spec.size), np.uint8)
    header: Dataset | None = None
    try:
        header = read_header(path)
        suitability = assess(header)
        if not suitability.in_scope:
            state, reason = ImageState.OUT_OF_SCOPE, suitability.reason
            return _Prepared(path, _file_sha256(path), nothing, state, reason, header=header or Dataset())
        radiograph = read_radiograph(path, covering=card.input_spec.size, percentiles=card.input_spec.percentiles)
        films = preprocess(radiograph, card.input_spec)
    except ImageError as error:
        return _Prepared(path, _file_sha256(path), nothing, ImageState.FAILED, error.reason, header=header or Dataset())
    except OSError:
        return _Prepared(path, _NO_BYTES, nothing, ImageState.FAILED, Reason.UNREADABLE_FILE)
    warnings = (*suitability.warnings, *age_warnings(card, age_years(header)))
    return _Prepared(path, radiograph.content_sha256, films, warnings=warnings, header=header or Dataset())


def _screen_batch(batch: Sequence[_Prepared], engine: Engine, now: datetime) -> Iterator[ScreenedFile]:
    scores = engine.score(np.concatenate([prepared.films for prepared in batch]))
    start = 0
    for prepared in batch:
        rows = slice(start, start + len(prepared.films))
        start = rows.stop
        frames = zip(scores.logits[rows], scores.scope_distances[rows], strict=True)
        judgements = [judge_frame(engine.card, float(logit), float(distance)) for logit, distance in frames]
        outcome = _outcome(prepared, judgements)
        failed = outcome.state is ImageState.FAILED
        flag = _flag(prepared, outcome, engine.card, now)
        yield ScreenedFile(prepared.path, flag, failed, prepared.films, scores.activation_maps[rows])


def _flag(prepared: _Prepared, outcome: ImageOutcome, card: ModelCard, now: datetime) -> Flag:
    verdict = judge([outcome])
    return Flag(
        result_uid=f"2.25.{uuid.uuid4().int}",  # PS3.5 B.2
        supersedes=None,
        revision=1,
        complete=True,
        origin=Origin.LIVE,
        study_instance_uid=_text(prepared.header, "StudyInstanceUID"),
        accession_number=_text(prepared.header, "AccessionNumber"),
        status=verdict.status,
        reason=outcome.reason,
        priority=verdict.priority,
        priority_reason=verdict.priority_reason,
        finding=verdict.finding,
        warnings=verdict.warnings,
        images=verdict.predictions,
        model=ModelReference(name=card.name, version=card.version, sha256=card.sha256),
        created_at=now,
    )


def _outcome(prepared: _Prepared, judgements: Sequence[FrameJudgement]) -> ImageOutcome:
    if prepared.state is not ImageState.PREPARED:
        unscored = (_unscreened(prepared, 1, prepared.reason),)
        return ImageOutcome(prepared.state, prepared.reason, prepared.warnings, unscored)
    predictions = tuple(_prediction(prepared, frame, said) for frame, said in enumerate(judgements, start=1))
    if not all(math.isfinite(said.logit) for said in judgements):
        return ImageOutcome(ImageState.FAILED, Reason.NO_SCORE, prepared.warnings, predictions)
    if not any(said.in_scope for said in judgements):
        return ImageOutcome(ImageState.OUT_OF_SCOPE, Reason.OUT_OF_SCOPE_IMAGE, prepared.warnings, predictions)
    strange = any(said.strange and said.flagged for said in judgements)
    warnings = (*prepared.warnings, STRANGE_FLAGGED_IMAGE) if strange else prepared.warnings
    return ImageOutcome(ImageState.SCORED, None, warnings, predictions)


def _prediction(prepared: _Prepared, frame: int, said: FrameJudgement) -> Prediction:
    if not math.isfinite(said.logit):
        return _unscreened(prepared, frame, Reason.NO_SCORE)
    if not said.in_scope:
        return _unscreened(prepared, frame, Reason.OUT_OF_SCOPE_IMAGE)
    return Prediction(
        sop_instance_uid=_text(prepared.header, "SOPInstanceUID"),
        content_sha256=prepared.content_sha256,
        frame=frame,
        status=ScreeningStatus.SCREENED,
        probability=said.probability,
        logit=said.logit,
        threshold=said.threshold,
        threshold_logit=said.threshold_logit,
        flagged=said.flagged,
    )


def _unscreened(prepared: _Prepared, frame: int, reason: Reason | None) -> Prediction:
    return Prediction(
        sop_instance_uid=_text(prepared.header, "SOPInstanceUID"),
        content_sha256=prepared.content_sha256,
        frame=frame,
        status=ScreeningStatus.UNSCREENED,
        reason=reason,
    )


def _text(header: Dataset, keyword: str) -> str | None:
    return str(header.get(keyword) or "").strip() or None


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
