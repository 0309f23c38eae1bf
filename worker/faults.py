"""What the service may tell of an exception; see `dicom_io.faults`."""

from dicom_io import faults
from dicom_io.errors import DicomIoError
from dicom_io.faults import Fault
from worker.errors import TriageError

__all__ = ["Fault", "describe"]


def describe(error: BaseException) -> Fault:
    """Say where an exception came from, without what it says unless it is one of ours."""
    return faults.describe(error, (TriageError, DicomIoError))
