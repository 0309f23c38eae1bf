"""What may be told of an exception: its kind and its places in the code, never what a library says of the data.

A library's message may quote what a header says of a patient; our own errors name attributes, sizes and UIDs only.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from dicom_io.errors import DicomIoError

FIRST_PLACES, LAST_PLACES = 10, 30  # of each exception; what a recursion repeats a thousand times lies between
LONGEST_TRACEBACK = 16_000  # characters


@dataclass(frozen=True, slots=True)
class Fault:
    """An exception as it is kept on a row, logged and shown.

    Attributes:
        error: one line.
        traceback: the places in the code, the cause first, as `package/file.py:line in function`.
    """

    error: str
    traceback: str


def describe(error: BaseException, own: tuple[type[Exception], ...] = (DicomIoError,)) -> Fault:
    """Say where an exception came from, without what it says unless it is one of ours.

    Args:
        error: to be told of.
        own: the kinds whose words are ours.
    """
    parts = ["\n".join([*_places(link), _name(link, own)]) for link in _chain(error)]
    return Fault(_name(error, own), "\nand then:\n".join(parts)[-LONGEST_TRACEBACK:])


def _name(error: BaseException, own: tuple[type[Exception], ...]) -> str:
    kind = type(error).__name__
    if isinstance(error, own):
        return f"{kind}: {error}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{kind}: {os.strerror(error.errno)}"
    return kind


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.insert(0, link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links


def _places(error: BaseException) -> Iterator[str]:
    places = [f"{_file(frame)}:{line} in {frame.f_code.co_name}" for frame, line in walk_tb(error.__traceback__)]
    left_out = len(places) - FIRST_PLACES - LAST_PLACES
    if left_out <= 0:
        yield from places
        return
    yield from places[:FIRST_PLACES]
    yield f"… {left_out} more …"
    yield from places[-LAST_PLACES:]


def _file(frame: FrameType) -> str:
    # By the module's name, since a file's whole path would tell of this host.
    file = Path(frame.f_code.co_filename).name
    module = str(frame.f_globals.get("__name__", ""))
    package = module if file == "__init__.py" else module.rpartition(".")[0]
    return "/".join([*package.split("."), file] if package in sys.modules else [file])
