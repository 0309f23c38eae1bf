"""What an answer means."""

import pytest

from worker.delivery.hl7.acknowledgement import ANSWERS, Acknowledgement, Verdict, parse_acknowledgement

HEAD = b"MSH|^~\\&|RIS|HOSP|CXRTRIAGE||20261120||ACK^R01^ACK|1|P|2.5.1\r"


@pytest.mark.parametrize("code", ["AA", "AE", "AR", "CA", "CE", "CR"])
def test_every_code_of_both_modes_is_read(code: str) -> None:
    """Original and enhanced mode (table 0008)."""
    answer = parse_acknowledgement(HEAD + b"MSA|" + code.encode() + b"|ID1")
    assert answer == Acknowledgement(code, "ID1", None)


@pytest.mark.parametrize(
    "block",
    [
        HEAD + b"MSA|AR|ID1\rERR||PID^1^5|101^Required field missing^HL70357|E\r",
        HEAD + b"MSA|AR|ID1||||101^Required field missing\r",
        HEAD.replace(b"|", b"#") + b"MSA#AR#ID1\rERR###101",
        HEAD.replace(b"\r", b"\n") + b"MSA|AR|ID1\nERR|||101\n",
        HEAD.replace(b"\r", b"\r\n") + b"MSA|AR|ID1\r\nERR|||101\r\n",
        b"\r\n" + HEAD + b"MSA|ar|ID1\rERR|||101\r",
    ],
)
def test_the_error_code_is_read_wherever_it_stands(block: bytes) -> None:
    """ERR-3, else MSA-6; with other delimiters and line ends, after a blank line and in small letters, too."""
    assert parse_acknowledgement(block) == Acknowledgement("AR", "ID1", "101")


@pytest.mark.parametrize(
    "block",
    [b"", b"OK", b"\x06", HEAD, HEAD + b"MSA", HEAD + b"MSA|ZZ|ID1", b"MSA|AA|ID1", b"MSH", b"MSHA|AA", b"\xff" * 100],
)
def test_what_is_no_acknowledgement_is_none(block: bytes) -> None:
    """No header, no MSA, no code of table 0008, or nothing."""
    assert parse_acknowledgement(block) is None


def test_no_text_of_the_receiver_is_kept() -> None:
    """It may name the patient: MSA-3, the text of ERR, and what stands in the place of a code."""
    block = HEAD + b"MSA|AE|ID1|unknown patient Doe^Jane\rERR|||Doe, Jane^Doe|E||||Doe Jane\r"
    answer = parse_acknowledgement(block)
    assert answer is not None
    assert str(answer) == "MSA-1 AE"


@pytest.mark.parametrize("place", [b"\rERR|||%b", b"|||%b"])
@pytest.mark.parametrize("text", [b"DOE", b"12345678", b"4711^Doe"])
def test_what_may_be_the_patient_s_name_or_id_is_no_code(place: bytes, text: bytes) -> None:
    """In capital letters or digits alone it could pass for one: codes of table 0357 are numbers of three digits."""
    answer = parse_acknowledgement(HEAD + b"MSA|AR|ID1" + place % text)
    assert answer == Acknowledgement("AR", "ID1", None)


@pytest.mark.parametrize(("codes", "errors", "verdict"), ANSWERS)
def test_the_documented_answers_are_what_happens(codes: str, errors: str, verdict: Verdict) -> None:
    """Each row of the conformance statement's table."""
    for code in codes.split(", "):
        for error in {"any": "999", "another, or none": "206"}.get(errors, errors).split(", "):
            assert Acknowledgement(code, "ID1", error).verdict is verdict
    if not errors[0].isdigit():
        assert {Acknowledgement(code, "ID1", None).verdict for code in codes.split(", ")} == {verdict}


@pytest.mark.parametrize("error", ["101", "204"])
def test_a_patient_or_order_that_is_not_known_yet_makes_no_dead_letter(error: str) -> None:
    """The film may come before its registration, and what a RIS requires may be a setting of ours."""
    assert Acknowledgement("AR", "ID1", error).verdict is Verdict.RETRY
