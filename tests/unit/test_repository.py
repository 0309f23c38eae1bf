"""Rules for the files themselves that neither ruff nor mypy knows."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LONGEST_FILE = 300
LARGEST_FILE = 1_000_000
WEIGHTS = "worker/model/champion/"
MEDICAL_IMAGES = {".dcm", ".jpg", ".jpeg", ".npz", ".nii"}
# Spelled so that this file is not its own finding.
MACHINE_BOUND = re.compile(rb"(?<![\w.$}])/(?:home|root|Users|wor[k])/|(?:extra-)?inde[x]-url|find-link[s]|file:/{3}")


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    """The files that git keeps and that lie in the working tree."""
    if not (repository / ".git").exists():
        pytest.skip("no git repository: only a clone can say which files belong to it")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=repository, check=True, capture_output=True, text=True)
    return [path for name in listing.stdout.split("\0") if name and (path := repository / name).is_file()]


def _source(tracked: list[Path]) -> list[Path]:
    return [path for path in tracked if path.suffix == ".py" and "migrations" not in path.parts]


def test_no_file_is_long(tracked: list[Path]) -> None:
    """Every Python file can be read in one sitting."""
    lengths = {path.name: len(path.read_bytes().splitlines()) for path in _source(tracked)}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_nothing_names_the_machine_it_was_written_on(tracked: list[Path]) -> None:
    """No tracked file holds a home folder or where packages came from."""
    found = {path.name: match[0] for path in tracked if (match := MACHINE_BOUND.search(path.read_bytes()))}
    assert found == {}


def test_no_image_of_a_patient_is_kept(tracked: list[Path]) -> None:
    """Real films are read from the shared folder and never committed."""
    assert [path.name for path in tracked if path.suffix.lower() in MEDICAL_IMAGES] == []


def test_only_weights_are_large(tracked: list[Path], repository: Path) -> None:
    """A clone stays quick: past one megabyte there is nothing but the shipped model."""
    large = [str(path.relative_to(repository)) for path in tracked if path.stat().st_size > LARGEST_FILE]
    assert [name for name in large if not name.startswith(WEIGHTS)] == []


@pytest.mark.parametrize("package", ["dicom_io", "worker", "worker/model"])
def test_importing_a_package_imports_nothing_else(repository: Path, package: str) -> None:
    """The package file is empty, so that a process loads only the modules it names."""
    assert (repository / package / "__init__.py").read_text() == ""


def _dependencies(repository: Path) -> list[Requirement]:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    listed = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in listed if requirement.name != project["name"]]


def test_every_dependency_is_bounded_and_pinned_within_its_bounds(repository: Path) -> None:
    """Next month's installation gives the versions that were tested, and the declared bounds admit them."""
    lines = (repository / "deploy/constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    for requirement in _dependencies(repository):
        assert "<" in str(requirement.specifier), requirement
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
