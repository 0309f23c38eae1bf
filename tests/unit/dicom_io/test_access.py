"""The rules of the door, without a socket."""

from ipaddress import ip_network

import pytest

from dicom_io.access import Access, Reason

HOSPITAL = Access(networks=[ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "fd00::1%eth0"])
def test_an_address_of_an_allowed_network_is_let_in(address: str) -> None:
    """Also an IPv4 peer as a socket for both families shows it."""
    assert HOSPITAL.admits(address)


@pytest.mark.parametrize("address", ["11.1.2.3", "::ffff:11.1.2.3", "127.0.0.1", "fe80::1%eth0", "::1"])
def test_any_other_address_is_not(address: str) -> None:
    """The own host is no exception: it must be named, too."""
    assert not HOSPITAL.admits(address)


def test_without_a_list_everybody_is_let_in() -> None:
    """The default asks for nothing."""
    access = Access()
    assert access.admits("203.0.113.9")
    assert access.rejection("ANYBODY", "ANYTHING") is None


def test_the_caller_is_named_before_the_called() -> None:
    """Who may not call at all learns nothing about our title."""
    access = Access(callers=["PACS1"], called="CXRTRIAGE")
    assert access.rejection("STRANGER", "WRONG") is Reason.CALLING_AE_TITLE
    assert access.rejection("PACS1", "WRONG") is Reason.CALLED_AE_TITLE
    assert access.rejection(" PACS1 ", "CXRTRIAGE  ") is None
