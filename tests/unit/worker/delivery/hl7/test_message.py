"""What an ORU says, read by position by an independent parser."""

import hl7
import pytest

from dicom_io.reasons import Reason
from tests.oru import DESTINATION, message_of, result_of, rows, value
from tests.results import (
    RESULT,
    STUDY,
    flag,
    flagged_result,
    prediction,
    screened_result,
    unscreened_result,
)
from worker.delivery.hl7.message import build_message
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError

ALL = [flagged_result(), flagged_result(complete=False), screened_result(), unscreened_result()]


def withdrawn_result() -> ScreeningResult:
    """A flag that a reader took back."""
    image = prediction(flagged=True).model_copy(update={"withdrawn": True})
    said = flag(image).model_copy(
        update={"withdrawn": True, "priority": None, "priority_reason": None, "finding": None}
    )
    return flagged_result().model_copy(update={"flag": said})


def said(message: hl7.Message, code: str) -> list[tuple[str, str, str]]:
    """Value type, sub-ID and the value's first component of every row with this code."""
    return [(row[2], row[4], row[5].split("^")[0]) for row in rows(message) if row[3].split("^")[0] == code]


def test_the_message_header() -> None:
    """Settings, time with offset, type, version and character set stand where HL7 v2.5.1 2.14.9 has them."""
    settings = {
        "sending_application": "CXR", "sending_facility": "RAD", "receiving_application": "RIS",
        "receiving_facility": "HOSP", "processing_id": "T", "character_set": "8859/1",
    }  # fmt: skip
    message = message_of(flagged_result(), **settings)
    assert [value(message, "MSH", place) for place in (3, 4, 5, 6)] == ["CXR", "RAD", "RIS", "HOSP"]
    assert value(message, "MSH", 7) == "20261120100000+0000"
    assert str(message.segment("MSH")(9)) == "ORU^R01^ORU_R01"
    assert [value(message, "MSH", place) for place in (11, 12, 18)] == ["T", "2.5.1", "8859/1"]


def test_the_patient() -> None:
    """Identifier with its authority, name, birth date and sex stand where HL7 v2.5.1 3.4.2 has them."""
    message = message_of(
        result_of(
            PatientName=b"Doe^Jane^Mary^Dr.^MD",
            PatientID=b" P-1 ",
            IssuerOfPatientID=b"HOSP",
            PatientBirthDate=b"19500203",
            PatientSex=b"F",
        )
    )
    assert str(message.segment("PID")) == "PID|1||P-1^^^HOSP||Doe^Jane^Mary^MD^Dr.^^L^A||19500203|F"


@pytest.mark.parametrize(
    "wrong",
    [{"PatientBirthDate": b"19509999"}, {"PatientBirthDate": b"1950"}, {"PatientSex": b"X"}, {"PatientSex": b""}],
)
def test_what_is_no_date_and_no_sex_is_left_out(wrong: dict[str, bytes]) -> None:
    """And a patient without a name has one that is said to be unspecified."""
    assert str(message_of(result_of(**wrong)).segment("PID")) == "PID|1||||^^^^^^U|||"


def test_the_order() -> None:
    """Numbers that the image states, accession number, procedure, section and status stand where 4.5.3 has them."""
    message = message_of(
        result_of(
            AccessionNumber=b"ACC9",
            RequestedProcedureID=b"RP1",
            PlacerOrderNumberImagingServiceRequest=b"PL1",
            FillerOrderNumberImagingServiceRequest=b"FI1",
        )
    )
    assert [value(message, "OBR", place) for place in (2, 3, 18, 19, 22, 24, 25)] == [
        "PL1", "FI1", "ACC9", "RP1", "20261120100000+0000", "RAD", "P"
    ]  # fmt: skip
    assert str(message.segment("OBR")(4)) == "399208008^Plain X-ray of chest^SCT"


@pytest.mark.parametrize(
    ("date", "time", "offset", "told"),
    [
        (b"20261120", b"093015.123456", b"+0100", "20261120093015.1234+0100"),
        (b"20261120", b"0930", b"-0330", "202611200930-0330"),
        (b"20261120", b"093015", b"", "20261120"),
        (b"20261120", b"", b"+0100", "20261120"),
        (b"20261120", b"99", b"+0100", "20261120"),
        (b"20261120", b"093015", b"+9900", "20261120"),
        (b"2026", b"093015", b"+0100", ""),
    ],
)
def test_the_time_of_the_study(date: bytes, time: bytes, offset: bytes, told: str) -> None:
    """To the second only with an offset: without one it would be read in the zone of MSH-7."""
    message = message_of(result_of(StudyDate=date, StudyTime=time, TimezoneOffsetFromUTC=offset))
    assert value(message, "OBR", 7) == told
    assert {row[14] for row in rows(message)} == {told}


def test_a_flag() -> None:
    """A coded finding that is only suspected, its abnormal flag, the priority and the probability with its unit."""
    message = message_of(flagged_result(complete=False))
    assert said(message, "121071") == [("CWE", "1", "233604007"), ("CWE", "1.1", "233604007")]
    assert said(message, "408729009") == [("CWE", "1", "415684004"), ("CWE", "1.1", "415684004")]
    assert [(row[5], row[8]) for row in rows(message) if row[8]] == [
        ("233604007^Pneumonia^SCT^^^^^^suspected pneumonia", "A")
    ] * 2
    assert said(message, "triage-priority") == [("CWE", "1", "high")]
    assert said(message, "result-stage") == [("CWE", "1", "interim")]
    assert said(message, "111012") == [("NM", "1.1", "93.46")]
    assert [row[6] for row in rows(message) if row[6]] == ["%^Percent^UCUM"]
    assert said(message, "111002")[1] == ("ST", "1.1", "threshold = 0.3125")


@pytest.mark.parametrize("result", ALL)
def test_every_result_names_study_result_and_model(result: ScreeningResult) -> None:
    """So that a RIS can link it, and a reader know what gave it."""
    message = message_of(result)
    assert said(message, "113014") == [("ST", "1", STUDY)]
    assert said(message, "112040") == [("ST", "1", RESULT)]
    assert [said(message, code)[0][2] for code in ("111001", "111003")] == ["resnet50", "1.0.0"]
    assert said(message, "111002")[0][2] == "model card sha256 = " + "5e" * 32


def test_a_film_without_a_flag_is_screened_and_nothing_more() -> None:
    """No finding, probability, priority or abnormal flag, and no word of absence."""
    message = message_of(screened_result())
    assert said(message, "screening-status") == [("CWE", "1", "screened"), ("CWE", "1.1", "screened")]
    assert not any(said(message, code) for code in ("121071", "408729009", "111012", "triage-priority", "flag"))
    assert {row[8] for row in rows(message)} == {""}
    assert "normal" not in str(message).lower()


def test_an_unscreened_study_says_why() -> None:
    """Of the study and of the image, with the warning as text."""
    message = message_of(unscreened_result())
    assert said(message, "screening-status") == [("CWE", "1", "unscreened"), ("CWE", "1.1", "unscreened")]
    assert said(message, "status-reason") == [("CWE", "1", "lateral-view"), ("CWE", "1.1", "lateral-view")]
    assert said(message, "warning") == [("TX", "1", "age outside the model's")]
    assert value(message, "OBR", 4) == "363679005"


def test_a_withdrawn_flag_is_coded_and_states_no_finding() -> None:
    """Of the study and of the image; it says nothing of absence either."""
    message = message_of(withdrawn_result())
    assert said(message, "flag") == [("CWE", "1", "withdrawn"), ("CWE", "1.1", "withdrawn")]
    assert not any(said(message, code) for code in ("121071", "111012", "triage-priority"))
    assert {row[8] for row in rows(message)} == {""}


@pytest.mark.parametrize("status", ["P", "R"])
@pytest.mark.parametrize("result", [*ALL, withdrawn_result()])
def test_nothing_is_final(result: ScreeningResult, status: str) -> None:
    """Order and every row have the status of the settings, no row is called normal, and the rows are numbered."""
    message = message_of(result, result_status=status)
    assert value(message, "OBR", 25) == status
    assert {row[11] for row in rows(message)} == {status}
    assert {row[8] for row in rows(message)} <= {"", "A"}
    assert [row[1] for row in rows(message)] == [str(n) for n in range(1, len(rows(message)) + 1)]


def test_the_same_result_is_the_same_message_and_another_is_not() -> None:
    """MSH-10 has 20 characters, and changes with the result, its corrections, the patient and the settings."""
    first, again = (build_message(flagged_result(), DESTINATION) for _ in range(2))
    assert first == again
    assert value(hl7.parse(first.encoded.decode()), "MSH", 10) == first.control_id
    later = flag(prediction(flagged=True)).model_copy(update={"result_uid": "2.25.5"})
    others = [
        build_message(flagged_result().model_copy(update={"corrections": 1}), DESTINATION),
        build_message(flagged_result().model_copy(update={"flag": later}), DESTINATION),
        build_message(result_of(PatientID=b"other"), DESTINATION),
        build_message(flagged_result(), DESTINATION.model_copy(update={"result_status": "R"})),
    ]
    ids = {first.control_id, *(other.control_id for other in others)}
    assert len(ids) == 5
    assert {len(control_id) for control_id in ids} == {20}


def test_a_result_without_a_header_speaks_of_nobody() -> None:
    """It is refused, not sent without a patient."""
    with pytest.raises(DeliveryRefusedError, match="no DICOM image"):
        build_message(ScreeningResult(flag=flag(prediction(uid=None, flagged=True))), DESTINATION)


def test_the_newest_header_states_the_patient() -> None:
    """After a correction the message names the patient as corrected."""
    message = message_of(result_of(PatientID=b"corrected"))
    assert value(message, "PID", 3) == "corrected"


def test_a_study_without_reason_is_incomplete() -> None:
    """An unscreened image never lacks a reason."""
    image = prediction(reason=Reason.LATERAL_VIEW).model_copy(update={"reason": None})
    message = message_of(flagged_result().model_copy(update={"flag": flag(image, reason=Reason.INCOMPLETE)}))
    assert said(message, "status-reason")[1] == ("CWE", "1.1", "incomplete")
