"""What leaves the service, word for word: a change here is a change for every receiver.

After a wanted change: `TEST_UPDATE_GOLDEN=1 pytest tests/golden/test_outgoing.py`, and read the difference.
"""

import json
import os
import re
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_io.report import ReportForm
from dicom_io.result_picture import lines
from tests.oru import DESTINATION
from tests.results import flagged_result, unscreened_result, waiting_result
from worker.delivery.hl7.message import build_message
from worker.delivery.reporting import report_as, screening_report, structured_report
from worker.domain import ScreeningResult

FOLDER = Path(__file__).parent


def _compare(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("TEST_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("flagged.json", flagged_result(complete=False)),
        ("unscreened.json", unscreened_result()),
        ("waiting.json", waiting_result()),
    ],
)
def test_the_json_flag(name: str, result: ScreeningResult) -> None:
    """The flag has the recorded fields, in the recorded order, with the recorded values."""
    _compare(name, result.flag.to_json() + "\n")


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("flagged_sr.json", flagged_result(complete=False)),
        ("unscreened_sr.json", unscreened_result()),
        ("waiting_sr.json", waiting_result()),
    ],
)
def test_the_structured_report(name: str, result: ScreeningResult) -> None:
    """The report has the recorded attributes and content tree, in DICOM's JSON model (PS3.18 F)."""
    file = BytesIO()
    structured_report(result).save_as(file, enforce_file_format=True)
    report = dcmread(BytesIO(file.getvalue()))
    _compare(name, json.dumps(report.to_json_dict(), indent=1, ensure_ascii=False) + "\n")


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("flagged.hl7", flagged_result(complete=False)),
        ("unscreened.hl7", unscreened_result()),
        ("waiting.hl7", waiting_result()),
    ],
)
def test_the_hl7_message(name: str, result: ScreeningResult) -> None:
    """The ORU has the recorded segments and fields, control ID included; here one segment a line."""
    _compare(name, build_message(result, DESTINATION).encoded.decode().replace("\r", "\n"))


@pytest.mark.parametrize("form", ReportForm)
def test_a_study_that_merely_waited_is_nowhere_said_to_show_anything(form: ReportForm) -> None:
    """HIGH for its waiting time in every form: no finding, no probability, no word of pneumonia."""
    result = waiting_result()
    texts = [result.flag.to_json(), build_message(result, DESTINATION).encoded.decode()]
    texts += [str(report_as(form, result)), *lines(screening_report(result))]
    forbidden = re.compile("pneumonia|suspected|certainty of finding|233604007", re.IGNORECASE)
    assert not [text for text in texts if forbidden.search(text)]
    assert str(report_as(form, result).SeriesDescription) == "AI TRIAGE: HIGH, WAITING TIME"
