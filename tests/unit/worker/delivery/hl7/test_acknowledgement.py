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
    ],
)
def test_the_error_code_is_read_wherever_it_stands(block: bytes) -> None:
    """ERR-3, else MSA-6; with other delimiters and line ends, too."""
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


@pytest.mark.parametrize(("codes", "errors", "verdict"), ANSWERS)
def test_the_documented_answers_are_what_happens(codes: str, errors: str, verdict: Verdict) -> None:
    """Each row of the conformance statement's table."""
    for code in codes.split(", "):
        for error in {"any": "999", "another, or none": "206"}.get(errors, errors).split(", "):
            assert Acknowledgement(code, "ID1", error).verdict is verdict
    if not errors[0].isdigit():
        assert {Acknowledgement(code, "ID1", None).verdict for code in codes.split(", ")} == {verdict}
