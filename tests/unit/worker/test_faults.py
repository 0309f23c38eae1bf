"""What is kept of an exception: places and kinds, never what a library says of a patient."""

from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_io.errors import TruncatedDataError
from dicom_io.faults import FIRST_PLACES, LAST_PLACES
from worker.faults import Fault, describe

PATIENT = "Doe^Jane"


def fault_of(*causes: Exception) -> Fault:
    """Raise each exception from the one before it, and describe the last."""
    previous: Exception | None = None
    for error in causes:
        try:
            raise error from previous
        except type(error) as caught:
            previous = caught
    assert previous is not None
    return describe(previous)


def test_a_librarys_words_are_left_out() -> None:
    """A ValueError that quotes the name is told by its kind; so is the one that caused it."""
    fault = fault_of(KeyError(PATIENT), ValueError(f"invalid value: {PATIENT}"))
    assert fault.error == "ValueError"
    assert PATIENT not in fault.traceback
    assert [line for line in fault.traceback.splitlines() if " in " not in line] == [
        "KeyError",
        "and then:",
        "ValueError",
    ]


def test_our_own_words_are_kept() -> None:
    """They name attributes, sizes and UIDs, and say what to do."""
    assert fault_of(TruncatedDataError("12 of 40 bytes")).error == "TruncatedDataError: 12 of 40 bytes"


def test_what_the_system_says_is_kept_without_the_file() -> None:
    """The cause helps the operator; the path is this host's."""
    with pytest.raises(OSError, match="nowhere") as caught:
        Path("/nowhere/at/all").read_bytes()
    fault = describe(caught.value)
    assert fault.error == "FileNotFoundError: No such file or directory"
    assert "nowhere" not in fault.traceback


def test_places_are_named_by_package_and_not_by_this_hosts_folders() -> None:
    """A file of a library is named as its package has it."""
    with pytest.raises(AttributeError) as caught:
        _ = Dataset().PatientBirthDay
    fault = describe(caught.value)
    assert "pydicom/dataset.py:" in fault.traceback
    assert " in __getattr__" in fault.traceback
    assert str(Path.home()) not in fault.traceback
    assert ".venv" not in fault.traceback


def test_an_endless_recursion_is_cut_in_the_middle() -> None:
    """Where it began and where it ended are kept."""

    def fall(depth: int) -> None:
        fall(depth + 1)

    with pytest.raises(RecursionError) as caught:
        fall(0)
    lines = describe(caught.value).traceback.splitlines()
    assert len(lines) == FIRST_PLACES + 1 + LAST_PLACES + 1
    assert lines[FIRST_PLACES].endswith("more …")
