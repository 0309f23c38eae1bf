"""As what each PACS takes our reports: remembered, told, and tried again, on both kinds of database."""

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import select, update

from dicom_io.header import encode_header
from dicom_io.report import ReportForm
from tests.integration.worker.conftest import Clock
from tests.report_pacs import ReportPacs, report_pacs
from tests.results import film
from tests.studies import incoming, receive, result, say
from worker.db import Database
from worker.delivering import Deliverer
from worker.dispatch import TRIED_AGAIN_AFTER
from worker.repository.model_versions import RegisteredModel
from worker.repository.outages import destinations
from worker.repository.views import deliveries
from worker.service import Service
from worker.tables import Event, Image

BEST, SECOND, PICTURE = ReportForm
UNSUPPORTED = 0x0122
BuildService = Callable[..., Service]
Deliver = Callable[..., Sequence[ReportForm]]


@pytest.fixture
def deliver(database: Database, champion: RegisteredModel, service: BuildService) -> Deliver:
    """Call it with what a PACS takes; it says a new result, and returns what the PACS was sent."""
    header = encode_header(film("2.25.11"))

    def deliver(pacs: ReportPacs, *forms: ReportForm) -> Sequence[ReportForm]:
        study = f"2.25.{len(forms_of(database)) + 1}"
        receive(database, incoming(study=study))
        with database.begin() as session:
            session.execute(update(Image).values(header=header))
        say(database, champion, result(study, flagged=True), to=("pacs",))
        before = len(pacs.stored)
        with report_pacs(pacs, forms=forms or tuple(ReportForm)):
            assert Deliverer(service(destinations=(pacs.destination(),))).deliver_next()
        return pacs.stored[before:]

    return deliver


def forms_of(database: Database) -> list[str | None]:
    """As what each delivery was taken, the oldest first."""
    with database.read() as session:
        return [delivery.form for delivery in deliveries(session)]


def changes(database: Database) -> list[tuple[str, str]]:
    """What the audit trail says of changes: from which form to which."""
    with database.read() as session:
        details = session.scalars(select(Event.detail).where(Event.kind == "destination-form").order_by(Event.id))
        return [(detail["before"], detail["form"]) for detail in details]


def test_what_a_pacs_refused_is_not_sent_to_it_again_for_a_week(
    deliver: Deliver, database: Database, clock: Clock
) -> None:
    """Each delivery says its form; the change is one event; after a week the better form is tried, and taken now."""
    pacs = ReportPacs(statuses={BEST: UNSUPPORTED})
    assert deliver(pacs) == [BEST, SECOND]
    assert deliver(pacs) == [SECOND]
    clock.time += TRIED_AGAIN_AFTER
    assert deliver(pacs) == [BEST, SECOND]
    assert deliver(pacs) == [SECOND]
    assert changes(database) == [(BEST, SECOND)]
    clock.time += TRIED_AGAIN_AFTER
    pacs.statuses = {}
    assert deliver(pacs) == [BEST]
    assert forms_of(database) == [SECOND] * 4 + [BEST]
    assert changes(database) == [(BEST, SECOND), (SECOND, BEST)]
    with database.read() as session:
        assert [view.form for view in destinations(session)] == [BEST]


def test_negotiation_tells_of_a_better_form_at_once(deliver: Deliver, database: Database) -> None:
    """A PACS that learned a class gets it with the next result; one that lost it gets the lesser form."""
    pacs = ReportPacs()
    assert deliver(pacs, PICTURE) == [PICTURE]
    assert deliver(pacs) == [BEST]
    assert deliver(pacs, SECOND) == [SECOND]
    assert changes(database) == [(BEST, PICTURE), (PICTURE, BEST), (BEST, SECOND)]


def test_another_address_is_another_pacs(deliver: Deliver) -> None:
    """What one refused is tried with the one that comes in its place."""
    assert deliver(ReportPacs(statuses={BEST: UNSUPPORTED})) == [BEST, SECOND]
    assert deliver(ReportPacs(statuses={BEST: UNSUPPORTED})) == [BEST, SECOND]


def test_the_best_form_is_nothing_to_tell_of(deliver: Deliver, database: Database) -> None:
    """A PACS that always took the best form has no event."""
    pacs = ReportPacs()
    assert [deliver(pacs), deliver(pacs)] == [[BEST], [BEST]]
    assert changes(database) == []


def test_one_odd_object_lowers_the_form_of_no_other(deliver: Deliver, database: Database) -> None:
    """A data set that the PACS cannot understand says nothing of the next one: that goes out in the best form."""
    pacs = ReportPacs(statuses={BEST: 0xA900})
    assert deliver(pacs) == [BEST, SECOND]
    pacs.statuses = {}
    assert deliver(pacs) == [BEST]
    assert changes(database) == [(BEST, SECOND), (SECOND, BEST)]


def test_a_pacs_that_fails_at_a_form_gets_the_flag_in_the_next_one(
    database: Database, champion: RegisteredModel, service: BuildService, clock: Clock
) -> None:
    """Twice it is a passing failure; from the third attempt on the flag is not held back for the best form."""
    receive(database, incoming())
    with database.begin() as session:
        session.execute(update(Image).values(header=encode_header(film("2.25.11"))))
    say(database, champion, result(flagged=True), to=("pacs",))
    with report_pacs(ReportPacs(statuses={BEST: 0x0110})) as pacs:
        deliverer = Deliverer(service(destinations=(pacs.destination(),)))
        for _ in range(3):
            assert deliverer.deliver_next()
            clock.advance(minutes=10)
    assert pacs.stored == [BEST, BEST, BEST, SECOND]
    assert forms_of(database) == [SECOND]
