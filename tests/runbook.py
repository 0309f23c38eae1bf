r"""The commands of deploy/runbook.md, as they stand there, and whether what they print is what it says.

In a block marked `console` a line `$ command` is typed (`\\` at its end goes on in the next line), and what follows is
what one should see: its lines stand in the output in this order, `…` is any text. `(exit 1)` at the end says with what
status the command ends, else it is 0.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.conftest import REPOSITORY

RUNBOOK = REPOSITORY / "deploy" / "runbook.md"
ANYTHING = "…"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)
_EXIT = re.compile(r"\(exit (\d+)\)")


@dataclass(frozen=True)
class Step:
    """A command under a heading, and what one should see."""

    heading: str
    command: str
    expected: tuple[str, ...]
    status: int = 0

    def difference(self, output: str) -> str | None:
        """Say which expected line does not stand in the output, in its place; None if all do."""
        lines = iter(output.splitlines())
        for wanted in self.expected:
            if wanted != ANYTHING and not any(_matches(wanted, line) for line in lines):
                return f"## {self.heading}\n$ {self.command}\nlacks: {wanted}\nin:\n{output}"
        return None


def steps(text: str) -> list[Step]:
    """Every command of the document, in its order."""
    return [
        step for heading, part in _sections(text) for block in _BLOCK.findall(part) for step in _steps(heading, block)
    ]


def opening(text: str) -> list[str]:
    """The commands before the first heading."""
    before = text[: next(_HEADING.finditer(text)).start()]
    return [step.command for block in _BLOCK.findall(before) for step in _steps("", block)]


def steps_of(heading: str) -> list[Step]:
    """The commands under one heading of the runbook."""
    found = [step for step in steps(RUNBOOK.read_text()) if step.heading == heading]
    assert found, f"no command under the heading {heading!r}"
    return found


def _sections(text: str) -> Iterator[tuple[str, str]]:
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=True):
        yield heading[1], text[heading.end() : end]


def _steps(heading: str, block: str) -> Iterator[Step]:
    lines = block.replace("\\\n", " ").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in pairwise([*starts, len(lines)]):
        expected = [line.rstrip() for line in lines[start + 1 : end] if line.strip()]
        status = _EXIT.fullmatch(expected[-1]) if expected else None
        told = tuple(expected[:-1] if status else expected)
        yield Step(heading, re.sub(r"\s{2,}", " ", lines[start][2:]), told, int(status[1]) if status else 0)


def _matches(wanted: str, line: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in wanted.split(ANYTHING))
    return re.fullmatch(pattern, line.rstrip()) is not None
