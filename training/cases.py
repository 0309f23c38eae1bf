"""One labelled film, before it is read."""

from dataclasses import dataclass
from pathlib import Path

CLASSES = ("NORMAL", "PNEUMONIA")  # the index is the label


@dataclass(frozen=True, slots=True)
class Case:
    """One labelled film.

    Attributes:
        path: the file; for a film inside an archive the archive's path.
        name: what reports call it: the path below the data folder, or `archive.npz#split/index`.
        label: 1 for pneumonia, else 0.
        patient: patient key; films of one patient are never split.
        index: split and position in an archive, else None.
    """

    path: Path
    name: str
    label: int
    patient: str
    index: tuple[str, int] | None = None
