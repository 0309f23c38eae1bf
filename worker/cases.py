"""Which label readers' verdicts give the films of a study. Pure.

A verdict is on a study, a label on a film. Where readers say that there is no pneumonia, no film shows one: all get the
label 0. Where they say that there is one, it is on the flagged films, or on the most suspicious one if none was
flagged; the others get no label, since they need not show it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from worker.domain import ScreeningStatus, VerdictWord


class LeftOut(StrEnum):
    """Why a study, or a film of it, is not exported."""

    WITHDRAWN = "flag withdrawn, and nobody had disagreed with it"
    CHANGED = "changed since the verdict"
    UNSCREENED = "not screened when the verdict was given"
    DISAGREEMENT = "readers disagree"
    GONE = "film not prepared for the model in service, or deleted by retention"
    DAMAGED = "film damaged"
    BURNED_IN = "text is burned into the film"


@dataclass(frozen=True, slots=True)
class Said:
    """The newest word of a reader, and what the service had said: revision of the study, its status, and a flag.

    `of_all_images` is false if an image came later.
    """

    verdict: VerdictWord
    revision: int
    status: str | None
    flagged: bool
    of_all_images: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that the network has judged; `burned_in` if its image says that text is burned in, maybe a name."""

    content_sha256: str
    number: int
    flagged: bool
    probability: float
    burned_in: bool = False


@dataclass(frozen=True, slots=True)
class JudgedStudy:
    """A study that readers have judged.

    Attributes:
        study_instance_uid: its UID.
        revision: its present one.
        withdrawn: whether a flag on one of its images was withdrawn.
        said: the newest word of each reader.
        frames: those that count, as the service judged them.
        header: its newest image's; None if there is none.
    """

    study_instance_uid: str
    revision: int
    withdrawn: bool
    said: Sequence[Said]
    frames: Sequence[Frame]
    header: bytes | None


@dataclass(frozen=True, slots=True)
class Labelled:
    """Frames with one label, 1 for pneumonia, and the readers' word that it comes from."""

    label: int
    verdict: VerdictWord
    frames: Sequence[Frame]


def label_study(study: JudgedStudy) -> Labelled | LeftOut:
    """Label the frames of a study, or say why not. One dissenting reader is enough to leave it out."""
    if study.withdrawn:
        return _label_withdrawn(study)
    current = [said for said in study.said if said.revision == study.revision]
    if not current:
        return LeftOut.CHANGED
    labels = {label: said.verdict for said in current if (label := _label(said)) is not None}
    if not labels or not study.frames:
        return LeftOut.UNSCREENED
    if len(labels) > 1:
        return LeftOut.DISAGREEMENT
    ((label, verdict),) = labels.items()
    return Labelled(label, verdict, _suspicious(study.frames) if label else study.frames)


def _label_withdrawn(study: JudgedStudy) -> Labelled | LeftOut:
    """Take what was said of the flag before it was withdrawn; what was said afterwards may be of either."""
    words = {said.verdict for said in study.said if said.flagged and said.of_all_images}
    if len(words) > 1:
        return LeftOut.DISAGREEMENT
    if words != {VerdictWord.DISAGREES} or not study.frames:
        return LeftOut.WITHDRAWN
    return Labelled(0, VerdictWord.DISAGREES, study.frames)


def _label(said: Said) -> int | None:
    agrees = said.verdict is VerdictWord.AGREES
    if said.flagged:
        return int(agrees)
    return int(not agrees) if said.status == ScreeningStatus.SCREENED else None


def _suspicious(frames: Sequence[Frame]) -> Sequence[Frame]:
    flagged = [frame for frame in frames if frame.flagged]
    return flagged or [max(frames, key=lambda frame: frame.probability)]
