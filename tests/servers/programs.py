"""Finding the programs that the tests use as real peers."""

import os
import shutil

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
        message = f"{name} is missing: install the Debian package {package} (make test does so as root)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path
