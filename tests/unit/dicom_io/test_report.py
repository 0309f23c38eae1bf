"""UIDs that a result hands down to its objects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID

from dicom_io.report import derive_uid


@given(st.integers(min_value=0, max_value=2**128 - 1))
def test_derived_uids_are_valid_stable_and_distinct(number: int) -> None:
    """Every result UID gives valid UIDs, one per kind, always the same."""
    first, second = derive_uid(f"2.25.{number}", "sr"), derive_uid(f"2.25.{number}", "sr-series")
    assert UID(first).is_valid
    assert first == derive_uid(f"2.25.{number}", "sr")
    assert len({f"2.25.{number}", first, second}) == 3


def test_a_derived_uid_never_changes() -> None:
    """An object sent again after an update of the software still has the UID it had."""
    assert derive_uid("2.25.1", "sr") == "2.25.63072641862768237863679670106517403495"


def test_a_corrected_object_has_a_name_of_its_own() -> None:
    """One per correction; without one the name is what it always was."""
    assert derive_uid("2.25.1", "sr", 0) == derive_uid("2.25.1", "sr")
    assert len({derive_uid("2.25.1", "sr", corrections) for corrections in range(4)}) == 4


@pytest.mark.parametrize("uid", ["1.2.3", "2.25.", "2.25.12x", "../../etc"])
def test_a_foreign_uid_is_refused(uid: str) -> None:
    """A UID that is not made from a UUID derives nothing."""
    with pytest.raises(ValueError, match=r"2\.25"):
        derive_uid(uid, "sr")
