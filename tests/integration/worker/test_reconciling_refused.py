"""Reconciliation with a PACS that answers whatever a test wants, or with none."""

import threading
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from pynetdicom import evt

from dicom_io.errors import QueryRefusedError
from tests.archives import DAY, answer, archive
from worker.db import Database
from worker.errors import ConfigurationError
from worker.reconciling.run import Reconciler
from worker.service import Service

BuildService = Callable[..., Service]
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@ONE_DATABASE
def test_without_a_pacs_there_is_nobody_to_ask(service: BuildService) -> None:
    """The setting that is missing is named."""
    with pytest.raises(ConfigurationError, match=r"reconciliation\.pacs: not set"):
        Reconciler(service(), lambda _received: None).reconcile([DAY], by="ada@host")


@ONE_DATABASE
def test_no_more_than_so_many_studies_are_fetched_at_a_time(service: BuildService, database: Database) -> None:
    """The PACS never serves more of our retrievals together than it was promised."""
    together, most, gate = [0], [0], threading.Lock()

    def find(event: evt.Event) -> Any:
        level = event.identifier.QueryRetrieveLevel
        if level == "STUDY":
            yield from ((0xFF00, answer(StudyInstanceUID=f"2.25.{number}")) for number in range(6))
        elif level == "SERIES":
            yield 0xFF00, answer(SeriesInstanceUID="2.25.90", Modality="CR")
        else:
            yield 0xFF00, answer(SOPInstanceUID=f"{event.identifier.StudyInstanceUID}.1")
        yield 0x0000, None

    def get(_event: evt.Event) -> Iterator[Any]:
        with gate:
            together[0] += 1
            most[0] = max(most[0], together[0])
            if together[0] > 2:
                too_many.set()
        too_many.wait(0.3)
        with gate:
            together[0] -= 1
        yield 0

    too_many = threading.Event()
    with archive(find=find, get=get) as pacs:
        peer = {"ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}
        section = {"pacs": peer, "fetch_by": "get", "at_a_time": 2}
        said = Reconciler(service(reconciliation=section), lambda _received: None).reconcile([DAY], by="ada@host")
    assert most == [2]
    assert (said.studies, said.missing) == (6, 6)
    assert {outcome.reason for outcome in said.details} != {None}


@ONE_DATABASE
def test_a_study_that_cannot_be_asked_for_is_unfinished(service: BuildService, database: Database) -> None:
    """A PACS that fails at one study is not one that has nothing of it."""

    def find(event: evt.Event) -> Any:
        if event.identifier.QueryRetrieveLevel == "STUDY":
            return [(0xFF00, answer(StudyInstanceUID="2.25.1")), (0x0000, None)]
        return [(0xC000, None)]

    with archive(find=find) as pacs:
        peer = {"ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}
        reconciler = Reconciler(service(reconciliation={"pacs": peer}), lambda _received: None)
        said = reconciler.reconcile([DAY], by="ada@host")
        planned = reconciler.compare([DAY])
    assert (said.unfinished, planned.unfinished) == (1, 1)
    assert "0xC000" in str(said.details[0].reason)


@ONE_DATABASE
def test_a_query_that_is_refused_is_told(service: BuildService) -> None:
    """What the PACS answered reaches the operator."""
    with archive(find=lambda _event: [(0xA900, None)]) as pacs:
        peer = {"ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}
        with pytest.raises(QueryRefusedError, match="0xA900"):
            Reconciler(service(reconciliation={"pacs": peer}), lambda _received: None).compare([date(2026, 1, 2)])
