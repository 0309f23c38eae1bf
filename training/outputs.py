"""Writing results, and saying in one line when they cannot be written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import OutputError


@contextmanager
def writing_to(output: Path) -> Iterator[None]:
    """Run code that writes into a folder and reads nothing.

    Raises:
        OutputError: if it cannot write.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to {error.filename or output} ({error.strerror or error}); "
            "make room or name another folder with --output, and run it again"
        ) from None


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one rename: whoever stops in between leaves the old one, or none.

    Raises:
        OSError: if it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
