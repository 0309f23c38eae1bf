"""The outbox, on both kinds of database: in order, one at a time per destination, and nothing forgotten."""

from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime

import pytest
from sqlalchemy import select

from tests.plans import plans
from tests.studies import MINUTE, NOW, POLICY, SECOND, STUDY, incoming, prepare, receive, result, rolled_back, say
from worker.db import Database
from worker.domain import DeliveryState, Stage
from worker.receipt import Receipt
from worker.repository.claims import exhausted, release
from worker.repository.model_versions import RegisteredModel
from worker.repository.outbox import (
    DeliveryWork,
    bury_exhausted_deliveries,
    claim_delivery,
    finish_delivery,
    refuse_delivery,
    retry_dead_deliveries,
)
from worker.tables import Delivery, Event


def take(database: Database, now: datetime = NOW) -> DeliveryWork | None:
    """Claim a delivery in a transaction of its own."""
    with database.begin() as session:
        return claim_delivery(session, now=now, policy=POLICY)


def finish(database: Database, work: DeliveryWork | None) -> DeliveryWork:
    """Let the destination accept it."""
    assert work is not None
    with database.begin() as session:
        finish_delivery(session, work, Receipt("0x0000"), NOW)
    return work


def delivery(database: Database) -> Delivery:
    """The only delivery."""
    with database.read() as session:
        return session.scalars(select(Delivery)).one()


def studies(database: Database, *uids: str) -> None:
    """Receive one film for each study."""
    receive(database, *(incoming(study=uid) for uid in uids))


def test_taking_a_delivery_looks_at_what_is_being_sent_and_not_at_all_that_waits(
    database: Database, champion: RegisteredModel
) -> None:
    """Else fifty thousand results for a destination that is down would slow down every other one."""
    (plan,) = plans(database, lambda: take(database), of="DISTINCT deliveries.destination")
    assert "ix_deliveries_leased" in plan
    assert "ix_deliveries_work" not in plan


def test_a_destination_is_sent_one_result_at_a_time(database: Database, champion: RegisteredModel) -> None:
    """The next one for it waits until the answer; another destination is not held up."""
    studies(database, "2.25.1", "2.25.2")
    say(database, champion, result("2.25.1"), to=("flags", "pacs"))
    say(database, champion, result("2.25.2"), to=("flags", "pacs"))
    first, second = take(database), take(database)
    assert first is not None
    assert second is not None
    assert [first.destination, second.destination] == ["flags", "pacs"]
    assert take(database) is None
    finish(database, first)
    third = take(database)
    assert third is not None
    assert (third.destination, third.study_instance_uid) == ("flags", "2.25.2")


def test_two_senders_at_once_do_not_both_serve_one_destination(database: Database, champion: RegisteredModel) -> None:
    """The second one waits for the first one's claim and then sees that the destination is busy."""
    studies(database, "2.25.1", "2.25.2")
    say(database, champion, result("2.25.1"))
    say(database, champion, result("2.25.2"))
    with ThreadPoolExecutor(1) as thread:
        with database.begin() as session:
            assert claim_delivery(session, now=NOW, policy=POLICY) is not None
            other = thread.submit(take, database)
            wait([other], timeout=0.3)
        assert other.result(timeout=20) is None


def test_flagged_results_go_first_then_the_oldest(database: Database, champion: RegisteredModel) -> None:
    """A backlog does not hold up a finding."""
    uids = [f"2.25.{number}" for number in range(1, 5)]
    studies(database, *uids)
    for uid in uids:
        say(database, champion, result(uid, flagged=uid in {"2.25.2", "2.25.4"}))
    order = [finish(database, take(database)).study_instance_uid for _ in uids]
    assert order == ["2.25.2", "2.25.4", "2.25.1", "2.25.3"]
    assert take(database) is None


def test_a_sender_that_died_holds_its_destination_for_its_lease(database: Database, champion: RegisteredModel) -> None:
    """Then the same result is sent again."""
    studies(database, STUDY)
    said = result()
    say(database, champion, said)
    assert take(database) is not None
    assert take(database, NOW + POLICY.lease - SECOND) is None
    again = take(database, NOW + POLICY.lease)
    assert again is not None
    assert again.result.flag == said


def test_a_delivered_result_is_not_sent_again(database: Database, champion: RegisteredModel) -> None:
    """Its answer and time are kept, and stand in the audit trail."""
    studies(database, STUDY)
    say(database, champion, result())
    finish(database, take(database))
    sent = delivery(database)
    assert (sent.state, sent.answer, sent.delivered_at) == (DeliveryState.DELIVERED, "0x0000", NOW)
    assert take(database, NOW + 60 * MINUTE) is None
    with database.read() as session:
        event = session.scalars(select(Event).where(Event.kind == "delivered")).one()
    assert (event.study_instance_uid, event.detail["destination"], event.detail["answer"]) == (STUDY, "flags", "0x0000")


def test_the_first_answer_stands(database: Database, champion: RegisteredModel) -> None:
    """A slow sender whose work was done by another one changes nothing by its own, late answer."""
    studies(database, STUDY)
    say(database, champion, result())
    work = finish(database, take(database))
    with database.begin() as session:
        refuse_delivery(session, work, "refused", NOW)
        bury_exhausted_deliveries(session, [work.delivery_id], NOW)
    assert (delivery(database).state, delivery(database).answer) == (DeliveryState.DELIVERED, "0x0000")


def test_an_unreachable_destination_is_tried_later_and_blocks_no_other(
    database: Database, champion: RegisteredModel
) -> None:
    """The row waits for its delay; the destination's other results and other destinations go on."""
    studies(database, "2.25.1", "2.25.2")
    say(database, champion, result("2.25.1"), to=("pacs",))
    say(database, champion, result("2.25.2"), to=("pacs",))
    work = take(database)
    assert work is not None
    with database.begin() as session:
        release(session, Delivery, work.delivery_id, "no connection", now=NOW, policy=POLICY)
    assert finish(database, take(database)).study_instance_uid == "2.25.2"
    assert take(database) is None
    assert finish(database, take(database, NOW + 2 * SECOND)).study_instance_uid == "2.25.1"


def test_a_dead_letter_is_kept_and_can_be_sent_again(database: Database, champion: RegisteredModel) -> None:
    """Refused: out of the way, with its cause; retried: work again, with fresh attempts."""
    studies(database, STUDY)
    say(database, champion, result())
    work = take(database)
    assert work is not None
    with database.begin() as session:
        refuse_delivery(session, work, "0xA900", NOW)
    assert (delivery(database).state, delivery(database).last_error) == (DeliveryState.DEAD, "0xA900")
    assert take(database, NOW + 60 * MINUTE) is None
    with database.begin() as session:
        assert retry_dead_deliveries(session, NOW, by="operator") == 1
    assert delivery(database).attempts == 0
    finish(database, take(database))


@pytest.mark.parametrize("later", ["delivered", "waits", "elsewhere"])
def test_a_dead_flag_is_not_sent_after_a_later_word(later: str, database: Database, champion: RegisteredModel) -> None:
    """Sent again after the withdrawal that the destination has, a flag would raise the study once more."""
    studies(database, STUDY)
    say(database, champion, result(flagged=True), to=("pacs",))
    work = take(database)
    assert work is not None
    with database.begin() as session:
        refuse_delivery(session, work, "0xA900", NOW)
    withdrawal = result(revision=2)
    say(database, champion, withdrawal, stage=Stage.WITHDRAWN, to=("flags" if later == "elsewhere" else "pacs",))
    if later != "waits":
        finish(database, take(database))
    with database.begin() as session:
        put_back = retry_dead_deliveries(session, NOW, by="operator")
    assert put_back == (0 if later == "delivered" else 1)
    if later == "waits":
        order = [finish(database, take(database)).result.flag for _ in range(2)]
        assert order[1] == withdrawal


def test_a_delivery_that_uses_up_its_attempts_becomes_a_dead_letter(
    database: Database, champion: RegisteredModel
) -> None:
    """It is exhausted when its last lease is over, and the audit trail says so."""
    studies(database, STUDY)
    say(database, champion, result())
    now = NOW
    for _ in range(POLICY.max_attempts):
        assert take(database, now) is not None
        now += POLICY.lease
    assert take(database, now) is None
    with database.begin() as session:
        bury_exhausted_deliveries(session, exhausted(session, Delivery, now=now, policy=POLICY), now)
    assert delivery(database).state == DeliveryState.DEAD
    with database.read() as session:
        told = session.scalars(select(Event).where(Event.kind == "delivery-dead")).one()
    assert (told.study_instance_uid, told.detail["destination"]) == (STUDY, "flags")


def test_a_delivery_that_arrived_at_the_last_moment_is_no_dead_letter(
    database: Database, champion: RegisteredModel
) -> None:
    """The sweep finds it exhausted while its sender has just had the answer: it stays delivered."""
    studies(database, STUDY)
    say(database, champion, result())
    finish(database, take(database))
    with database.begin() as session:
        bury_exhausted_deliveries(session, [delivery(database).id], NOW)
        assert session.scalars(select(Event.kind).where(Event.kind == "delivery-dead")).all() == []
    assert delivery(database).state == DeliveryState.DELIVERED


def test_the_predecessor_is_the_last_earlier_result_that_this_destination_took(
    database: Database, champion: RegisteredModel
) -> None:
    """Not one it refused, not one that only another destination has, not one of another study, not a later one."""
    studies(database, STUDY, "2.25.2")
    early, overdue, complete = (result(complete=False), result(complete=False), result())
    say(database, champion, result("2.25.2"), to=("pacs",))
    say(database, champion, early, stage=Stage.EARLY, to=("pacs",))
    say(database, champion, overdue, stage=Stage.OVERDUE, to=("pacs", "flags"))
    finish(database, take(database))  # the other study's, to the PACS
    first = finish(database, take(database))
    assert first.result.predecessor_result_uid is None
    refused, to_folder = take(database), take(database)
    assert refused is not None
    assert (refused.result.flag, refused.result.predecessor_result_uid) == (overdue, early.result_uid)
    with database.begin() as session:
        refuse_delivery(session, refused, "refused", NOW)
    assert finish(database, to_folder).result.predecessor_result_uid is None
    say(database, champion, complete, to=("pacs", "flags"))
    last = {work.destination: work.result.predecessor_result_uid for work in (take(database), take(database)) if work}
    assert last == {"pacs": early.result_uid, "flags": overdue.result_uid}


def test_the_headers_of_the_flags_images_go_with_it(database: Database, champion: RegisteredModel) -> None:
    """One per image that the flag names and that came as DICOM; another film's stays."""
    receive(database, incoming(), incoming("2.25.12"))
    prepare(database)
    prepare(database, "2.25.12")
    say(database, champion, result())
    work = take(database)
    assert work is not None
    assert work.result.headers == (b"header",)


def test_a_claim_that_is_rolled_back_holds_nobody_up(database: Database, champion: RegisteredModel) -> None:
    """Lease and attempt go with the transaction."""
    studies(database, STUDY)
    say(database, champion, result())
    with rolled_back(database) as session:
        assert claim_delivery(session, now=NOW, policy=POLICY)
    assert (delivery(database).attempts, delivery(database).lease_until) == (0, None)
    assert take(database) is not None
