"""One labelled film, before it is read."""

from dataclasses import dataclass
from pathlib import Path

CLASSES = ("NORMAL", "PNEUMONIA")  # the index is the label
ANONYMOUS = "file/"  # how the key of a patient begins of whom nothing is known but the film
STATED = "stated/"  # and of one whom a table names: the same id is the same patient in every table


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled film.

    Attributes:
        path: the file; for a film inside an archive the archive's path.
        name: what reports call it: the path below the data folder, or `archive.npz#split/index`.
        label: 1 for pneumonia, else 0.
        patient: patient key; films of one patient are never split.
        index: split and position in an archive, else None.
        source: name of the data set, as `training.datasets.source_name` gives it.
        age: the patient's age in years, where a table says it; a DICOM file's own header is asked when it is read.
        view: `PA`, `AP` and the like, from the same places.
    """

    path: Path
    name: str
    label: int
    patient: str
    index: tuple[str, int] | None = None
    source: str = ""
    age: float | None = None
    view: str | None = None
