"""Finding the programs that the tests use as real peers."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def require_program(name: str, package: str, *, folder: str | None = None) -> str:
    """The path of a program; without it the test is skipped on a developer's machine and fails in CI.

    Args:
        name: the program.
        package: the Debian package that brings it.
        folder: where it lies, if that is not on PATH.
    """
    path = shutil.which(name, path=folder) or shutil.which(name, path="/usr/sbin")
    if path is None:
        _missing(name, package)
    return path


def require_file(path: Path, package: str) -> Path:
    """The path of a file that a Debian package brings, such as a plug-in; without it as without a program."""
    if not path.exists():
        _missing(path.name, package)
    return path


def _missing(name: str, package: str) -> NoReturn:
    message = f"{name} is missing: install the Debian package {package} (make test does so as root)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
