"""What tables and DICOM headers say about a film besides its label. Pure."""

from dataclasses import dataclass

from pydicom import Dataset

from dicom_io.suitability import age_string_years, age_years

OLDEST = 120.0  # years; public tables hold ages such as 411
_VIEW_CODES = {"399348003": "AP", "272479007": "PA", "R-10206": "AP", "R-10214": "PA"}  # PS3.16 CID 4010, SCT and SRT


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a film; None: unknown.

    Attributes:
        age: of the patient, years.
        view: `PA`, `AP` and the like, upper case.
    """

    age: float | None = None
    view: str | None = None


def stated_facts(age: str | None, view: str | None) -> Facts:
    """Read the cells of a table.

    Args:
        age: `46`, `46.5`, `046Y` or `018M`; anything else is unknown.
        view: any word.
    """
    return Facts(_possible(_years((age or "").strip().upper())), (view or "").strip().upper() or None)


def header_facts(header: Dataset | None) -> Facts:
    """Read a DICOM header; None (PNG, JPEG) says nothing.

    Source: DICOM PS3.3 C.7.2.2 (Patient's Age), C.7.3.1.1.1 and C.8.11.5 (View Position, View Code Sequence).
    """
    if header is None:
        return Facts()
    stated = str(header.get("ViewPosition") or "").strip().upper()
    return Facts(_possible(age_years(header)), stated or _coded_view(header))


def _years(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return age_string_years(text)


def _possible(age: float | None) -> float | None:
    return age if age is not None and 0 <= age <= OLDEST else None


def _coded_view(header: Dataset) -> str | None:
    codes = [str(item.get("CodeValue") or "") for item in header.get("ViewCodeSequence") or ()]
    return next((_VIEW_CODES[code] for code in codes if code in _VIEW_CODES), None)
