"""The settings of destinations that are reached by HTTP."""

import pytest
from pydantic import SecretStr, ValidationError

from worker.destinations import DicomwebDestination, WebhookDestination

SECRET = "a key of the test's own"  # noqa: S105  # pragma: allowlist secret


@pytest.mark.parametrize(
    "url",
    [
        "ftp://pacs/dicom-web",
        "pacs/dicom-web",
        "https://",
        "https:///dicom-web",
        "https://me:hush@pacs/",  # pragma: allowlist secret
        "https://pacs:port/",
        "https://pacs:99999/",
        "https://[::1/",
        "https://:8443/",
        "https://pacs..example/",
        "https://pacs/a b",
        "https://pacs/?key=hush",
        "https://pacs/#part",
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    """At the start and not at the first flag; nor may a password stand in it."""
    with pytest.raises(ValidationError, match="url"):
        DicomwebDestination.model_validate({"kind": "dicomweb", "name": "web", "url": url})


@pytest.mark.parametrize("url", ["http://pacs", "https://pacs:8443/dicom-web/", "https://[::1]:8042/dicom-web"])
def test_a_url_is_kept_as_it_is(url: str) -> None:
    """With and without port and path, and of an IPv6 address."""
    assert DicomwebDestination(kind="dicomweb", name="web", url=url).url == url


def test_what_must_not_be_seen_is_masked() -> None:
    """The key, the credential, and a webhook's URL, whose path often is one."""
    hook = WebhookDestination.model_validate(
        {"kind": "webhook", "name": "hook", "url": "https://ris/T0KEN", "secret": SECRET}
    )
    web = DicomwebDestination.model_validate(
        {"kind": "dicomweb", "name": "web", "url": "https://pacs", "user": "cxr", "password": SECRET}
    )
    for text in (repr(hook), str(hook), repr(web), str(web)):
        assert SECRET not in text
        assert "T0KEN" not in text


@pytest.mark.parametrize("token", ["", "two words", "t0ken\n", "t0ken\r\nX-Other: 1"])
def test_what_no_header_can_hold_is_no_token(token: str) -> None:
    """Such as one with the line end of the file that it was copied from; said at the start, without the token."""
    with pytest.raises(ValidationError, match="no token") as raised:
        DicomwebDestination.model_validate({"kind": "dicomweb", "name": "web", "url": "https://pacs", "token": token})
    assert "t0ken" not in str(raised.value)


def test_a_short_key_is_refused() -> None:
    """Whoever can guess it can sign."""
    with pytest.raises(ValidationError, match="secret"):
        WebhookDestination(kind="webhook", name="hook", url="https://ris", secret=SecretStr("x" * 15))
