"""What a process holds: threads, file descriptors, memory (proc(5))."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_RESIDENT = re.compile(r"^VmRSS:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True)
class Footprint:
    """Of one process at one moment; memory in MiB."""

    threads: int
    descriptors: int
    resident: int

    @classmethod
    def of(cls, process_id: int) -> Self:
        """Read it."""
        process = Path(f"/proc/{process_id}")
        resident = _RESIDENT.search((process / "status").read_text())
        assert resident is not None
        return cls(len(os.listdir(process / "task")), len(os.listdir(process / "fd")), int(resident[1]) // 1024)

    def grown_by(self, later: Self) -> "Footprint":
        """What a later one has more."""
        return Footprint(
            later.threads - self.threads, later.descriptors - self.descriptors, later.resident - self.resident
        )
