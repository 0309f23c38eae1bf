"""Small drawn films, a new object each time: on one side of the threshold of the model in service, or on the other."""

import threading
import uuid
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydicom import Dataset

from dicom_io.phantom import phantom_dataset

SIDE = 256  # pixels
THRESHOLD_LOGIT = -1.5  # of the model in service; the shipped weights say -0.8 of the first film and -2.3 of the other
_DRAWN = {True: 2, False: 3}  # flagged or not: seed

PATIENT_NAME = "Zweifelhaft^Chaosine"
PATIENT_ID = "PID-4711-0815"
BIRTH_DATE = "19340229"


@dataclass(frozen=True)
class Film:
    """A film as a file; one out of scope is neither scored nor flagged."""

    path: Path
    study_instance_uid: str
    sop_instance_uid: str
    flagged: bool
    in_scope: bool


@dataclass
class Films:
    """Writes films into a folder; safe to call from many threads.

    Attributes:
        in_scope: False for lateral views, for a service that scores nothing.
    """

    folder: Path
    in_scope: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new(self, *, flagged: bool = True, study_instance_uid: str | None = None) -> Film:
        """Write a film with fresh UIDs, of a study of its own or of a given one."""
        with self._lock:
            dataset = deepcopy(drawn(flagged=flagged))
        if not self.in_scope:
            dataset.ViewPosition = "LL"
        dataset.StudyInstanceUID = study_instance_uid or _uid()
        dataset.SeriesInstanceUID = _uid()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = _uid()
        path = self.folder / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        return Film(
            path, str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID), flagged and self.in_scope, self.in_scope
        )


@cache
def drawn(*, flagged: bool) -> Dataset:
    """Draw the film that all of its kind are copies of."""
    dataset = phantom_dataset(_DRAWN[flagged], opacity=True, kind="CR", rows=SIDE, columns=SIDE)
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = PATIENT_NAME, PATIENT_ID, BIRTH_DATE
    return dataset


def _uid() -> str:
    return f"2.25.{uuid.uuid4().int}"
