"""Storage commitment reports on the network: what is taken, and what is answered to the rest."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage

from dicom_io.commitment import CommitmentRequest, ObjectReference
from dicom_io.commitment_outcome import CommitmentOutcome
from dicom_io.errors import CommitmentRequestError, OutOfResourcesError
from dicom_io.scp import StorageSCP
from dicom_io.types import ApplicationEntity
from tests.commitment_client import action_information, request_commitment
from tests.report_pacs import AE_TITLE, event_information, report_to
from tests.servers.ports import LOOPBACK

ADDRESS = ApplicationEntity("CXRTRIAGE", LOOPBACK, 0)
ONE, OTHER = (ComprehensiveSRStorage, "2.25.11"), (ComprehensiveSRStorage, "2.25.12")


@dataclass
class Ear:
    """Takes every outcome, or raises `fault`."""

    fault: Exception | None = None
    heard: list[CommitmentOutcome] = field(default_factory=list)

    def __call__(self, outcome: CommitmentOutcome) -> None:
        """Take an outcome."""
        if self.fault is not None:
            raise self.fault
        self.heard.append(outcome)


@pytest.fixture(scope="module")
def _listener() -> Iterator[tuple[StorageSCP, Ear]]:
    ear = Ear()
    with StorageSCP(ADDRESS, lambda _: None, hear=ear) as scp:
        yield scp, ear


@pytest.fixture
def ear(_listener: tuple[StorageSCP, Ear]) -> Ear:
    """What stands behind the listener."""
    _listener[1].fault = None
    _listener[1].heard.clear()
    return _listener[1]


@pytest.fixture
def port(_listener: tuple[StorageSCP, Ear], ear: Ear) -> int:
    """Where it listens."""
    return _listener[0].port


def test_a_report_is_taken_from_a_peer_that_proposes_itself_as_provider(port: int, ear: Ear) -> None:
    """With who reports, the transaction, what is committed and what is not, each object once."""
    assert report_to(port, event_information("2.25.7", [ONE, ONE])) == 0x0000
    assert report_to(port, event_information("2.25.8", [ONE], [OTHER]), event_type=2) == 0x0000
    assert report_to(port, event_information("2.25.9", [], [OTHER]), event_type=2) == 0x0000
    one, other = ObjectReference(*ONE), ObjectReference(*OTHER)
    assert ear.heard == [
        CommitmentOutcome(AE_TITLE, "2.25.7", (one,), {}),
        CommitmentOutcome(AE_TITLE, "2.25.8", (one,), {other: 0x0110}),
        CommitmentOutcome(AE_TITLE, "2.25.9", (), {other: 0x0110}),
    ]


def _without(keyword: str) -> Dataset:
    information = event_information("2.25.7", [ONE])
    delattr(information, keyword)
    return information


@pytest.mark.parametrize(
    ("information", "event_type", "status"),
    [
        (event_information("2.25.7", [ONE]), 3, 0x0113),
        (None, 1, 0x0115),
        (_without("TransactionUID"), 1, 0x0115),
        (_without("ReferencedSOPSequence"), 1, 0x0115),
        (event_information("2.25.7", [(ComprehensiveSRStorage, "")]), 1, 0x0115),
        (event_information("2.25.7", [ONE], [OTHER]), 1, 0x0115),
        (event_information("2.25.7", [ONE]), 2, 0x0115),
    ],
    ids=["unknown event", "nothing", "no transaction", "no objects", "no UID", "success with failures", "no failures"],
)
def test_a_report_that_cannot_be_believed_is_refused(
    information: Dataset | None, event_type: int, status: int, port: int, ear: Ear
) -> None:
    """A report that contradicts itself commits to nothing; the status says what is wrong."""
    assert report_to(port, information, event_type=event_type) == status
    assert ear.heard == []


def test_a_report_of_another_instance_is_refused(port: int, ear: Ear) -> None:
    """Only the well-known SOP instance of storage commitment reports."""
    assert report_to(port, event_information("2.25.7", [ONE]), instance_uid="1.2.3") == 0x0112
    assert ear.heard == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (CommitmentRequestError("unknown", status=0x0115), 0x0115),
        (OutOfResourcesError("database"), 0x0213),
        (ArithmeticError(), 0x0110),
    ],
)
def test_a_report_that_cannot_be_kept_is_refused(fault: Exception, status: int, port: int, ear: Ear) -> None:
    """The peer may report again; the listener goes on."""
    ear.fault = fault
    assert report_to(port, event_information("2.25.7", [ONE])) == status
    ear.fault = None
    assert report_to(port, event_information("2.25.7", [ONE])) == 0x0000


def test_who_only_hears_commits_to_nothing(port: int, ear: Ear) -> None:
    """A request of storage commitment at the same listener is answered 0124, not authorized."""
    assert request_commitment(port, action_information([ONE])) == 0x0124


def test_who_hears_and_commits_does_both() -> None:
    """One presentation context serves both roles."""
    taken: list[CommitmentRequest] = []
    ear = Ear()
    with StorageSCP(ADDRESS, lambda _: None, commit=taken.append, hear=ear) as scp:
        assert request_commitment(scp.port, action_information([ONE])) == 0x0000
        assert report_to(scp.port, event_information("2.25.7", [ONE])) == 0x0000
    assert ([one.transaction_uid for one in taken], len(ear.heard)) == (["2.25.7"], 1)


def test_who_asks_nobody_hears_nothing() -> None:
    """Without a destination that is asked, the class is refused at negotiation."""
    with StorageSCP(ADDRESS, lambda _: None) as scp:
        assert report_to(scp.port, event_information("2.25.7", [ONE])) is None
