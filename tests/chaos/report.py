"""The table that `make chaos` ends with: one row per fault, kept on disk so that a run that is cut short shows what it did."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.chaos.invariants import Tally

_COLUMNS = {
    "fault": "fault, while studies are being pushed",
    "rounds": "rounds",
    "pushed": "objects pushed",
    "accepted": "answered 0x0000",
    "refused": "0xA700",
    "unanswered": "no answer",
    "concluded": "studies concluded",
    "delivered": "results delivered",
    "duplicates": "twice",
    "lost": "lost",
    "half_stored": "half stored",
    "seconds": "seconds",
    "held": "held",
}


@dataclass
class FaultRow:
    """What a fault did.

    Attributes:
        rounds: how often the fault was made so far.
        planned: how often it is to be made.
        counts: of `Tally`; those that a fault has no use for are absent.
        notes: further measurements.
        held: whether everything that must hold did; None while it runs.
    """

    fault: str
    planned: int
    rounds: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, float | str] = field(default_factory=dict)
    seconds: float = 0.0
    held: bool | None = None

    def take(self, tally: Tally) -> None:
        """Put a tally into the row; it adds to what is there."""
        for key, count in tally.counts().items():
            self.counts[key] = self.counts.get(key, 0) + count


@dataclass
class Report:
    """Rows by name in a JSON file, which is written anew after every change; rows of earlier runs stay in it."""

    path: Path
    rows: dict[str, FaultRow] = field(default_factory=dict)

    @contextmanager
    def row(self, name: str, fault: str, *, planned: int) -> Iterator[FaultRow]:
        """Open the row of a fault; it holds unless the block raises."""
        row = self.rows[name] = FaultRow(fault, planned)
        begun = time.monotonic()
        row.held = False
        try:
            yield row
            row.held = True
        finally:
            row.seconds = round(time.monotonic() - begun, 1)
            self.save()

    def save(self) -> None:
        """Write what is known so far."""
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        known.update({name: asdict(row) for name, row in self.rows.items()})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(known, indent=2) + "\n")

    def markdown(self) -> str:
        """Return every row in the file as a table."""
        known = json.loads(self.path.read_text()) if self.path.exists() else {}
        lines = [_line(_COLUMNS.values()), _line("---" for _ in _COLUMNS)]
        for row in known.values():
            cells = {**row, **row["counts"], "held": {True: "yes", False: "NO", None: "not finished"}[row["held"]]}
            if row["rounds"] < row["planned"]:
                cells["rounds"] = f"{row['rounds']} of {row['planned']}"
            lines.append(_line(str(cells.get(column, "")) for column in _COLUMNS))
        return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
