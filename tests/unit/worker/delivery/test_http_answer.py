"""What an HTTP status says of a delivery."""

import re
from pathlib import Path

import pytest

from worker.delivery.http_answer import Answer, require_success
from worker.destinations import DicomwebDestination
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError

WEB = DicomwebDestination(kind="dicomweb", name="web", url="https://pacs:8443/T0KEN/dicom-web")
# How the conformance statement calls each outcome.
SAID = {None: "delivered", DestinationDownError: "5xx", DeliveryRetryError: "this one", DeliveryRefusedError: "a dead"}


def _outcome(answer: Answer) -> type[Exception] | None:
    try:
        require_success(answer, WEB)
    except (DeliveryRetryError, DeliveryRefusedError) as error:
        return type(error)
    return None


def _documented(repository: Path) -> dict[int, str]:
    text = (repository / "deploy" / "conformance.md").read_text()
    table = re.search(r"<!-- http-statuses -->(.*)<!-- /http-statuses -->", text, re.DOTALL)
    assert table is not None
    rows = re.findall(r"^\| ([0-9x,\- ]+) \| (.*) \|$", table[1], re.MULTILINE)
    said: dict[int, str] = {}
    for statuses, outcome in rows:
        for first, last in re.findall(r"(\w+)(?:-(\d+))?", statuses):
            numbers = range(int(first.replace("x", "0")), int((last or first).replace("x", "9")) + 1)
            assert said.keys().isdisjoint(numbers)
            said |= dict.fromkeys(numbers, f"{statuses}: {outcome}")
    return said


def test_every_status_means_what_the_conformance_statement_says(repository: Path) -> None:
    """From 200 to 599, none left out."""
    documented = _documented(repository)
    assert sorted(documented) == list(range(200, 600))
    for status, said in documented.items():
        outcome = _outcome(Answer(status, "application/json", b""))
        if outcome is None:
            assert ": delivered" in said, status
        else:
            assert SAID[outcome] in said, status
            assert ": delivered" not in said, status


@pytest.mark.parametrize("status", [302, 401, 409, 422, 500])
def test_a_message_names_the_server_and_not_the_path(status: int) -> None:
    """A path may hold a token."""
    with pytest.raises((DeliveryRetryError, DeliveryRefusedError), match=r"^https://pacs:8443 ") as caught:
        require_success(Answer(status, "", b""), WEB)
    assert "T0KEN" not in str(caught.value)


@pytest.mark.parametrize("status", [0, 100, 101, 600, 999])
def test_what_is_no_final_status_is_tried_again(status: int) -> None:
    """No server of ours says so: something else answers there."""
    assert _outcome(Answer(status, "", b"")) is DestinationDownError


@pytest.mark.parametrize(
    ("media_type", "body", "page"),
    [
        ("text/html", b"", True),
        ("application/xhtml+xml", b"", True),
        ("", b"\xef\xbb\xbf \r\n<!DOCTYPE html><title>", True),
        ("text/plain", b"<HTML>", True),
        ("application/json", b'{"html": "<html>"}', False),
        ("application/dicom+xml", b"<?xml version=", False),
        ("", b"", False),
    ],
)
def test_a_page_for_people_is_told_by_its_type_or_its_first_words(media_type: str, body: bytes, page: bool) -> None:
    """A success with a page is none."""
    assert _outcome(Answer(200, media_type, body)) is (DestinationDownError if page else None)
