"""What people do about a study: with a button that asks first, or by the API."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from tests.integration.worker.conftest import Wakes
from tests.integration.worker.web.conftest import ADMIN, READER, Browser
from tests.studies import FOLDER, STUDY, incoming, prepare, receive, result, say, score_everything, the_study
from worker.db import Database
from worker.domain import DeliveryState, ImageState, PriorityReason
from worker.queues import Queue
from worker.repository.model_versions import RegisteredModel
from worker.tables import Delivery, Event, Image, Study

SignIn = Callable[[str], Browser]
HERE = f"/studies/{STUDY}"


@pytest.fixture
def flagged(database: Database, champion: RegisteredModel) -> None:
    """A flagged study whose result is a dead letter."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged={"2.25.11"})
    say(database, champion, result(STUDY, flagged=True), to=(FOLDER.name,))
    with database.begin() as session:
        session.execute(update(Delivery).values(state=DeliveryState.DEAD))


def _events(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Event.kind).order_by(Event.id)))


@pytest.mark.usefixtures("flagged")
def test_a_flag_is_withdrawn_after_a_second_look(database: Database, sign_in: SignIn) -> None:
    """The first form changes nothing and shows what the second will do; then the page says that it is done."""
    browser = sign_in(READER)
    form = {"csrf_token": browser.csrf_token, "reason": "a <b>skin</b> fold"}
    asked = browser.client.post(f"{HERE}/withdraw", data=form)
    assert asked.status_code == 200
    assert "a &lt;b&gt;skin&lt;/b&gt; fold" in asked.text
    assert the_study(database).priority == "HIGH"
    done = browser.client.post(f"{HERE}/withdraw", data=form | {"confirmed": "true"})
    assert the_study(database).priority is None
    assert "The flag is withdrawn" in browser.client.get(done.headers["location"]).text
    again = browser.client.post(f"{HERE}/withdraw", data=form | {"confirmed": "true"})
    assert (again.status_code, "has no flag" in again.text) == (409, True)


@pytest.mark.usefixtures("flagged")
def test_a_withdrawal_without_a_reason_is_refused(database: Database, sign_in: SignIn) -> None:
    """It is told what is missing, before anything is asked."""
    browser = sign_in(READER)
    answer = browser.client.post(f"{HERE}/withdraw", data={"csrf_token": browser.csrf_token, "reason": " "})
    assert (answer.status_code, "Say why" in answer.text) == (422, True)
    assert the_study(database).priority == "HIGH"


@pytest.mark.usefixtures("flagged")
def test_what_is_raised_for_its_wait_has_no_flag_to_withdraw(database: Database, sign_in: SignIn) -> None:
    """No button offers what would be refused."""
    client = sign_in(READER).client
    assert 'data-action="withdraw"' in client.get(HERE).text
    with database.begin() as session:
        session.execute(update(Study).values(priority_reason=PriorityReason.WAITING_TIME))
    assert 'data-action="withdraw"' not in client.get(HERE).text


@pytest.mark.usefixtures("flagged")
def test_a_reason_that_moves_the_operators_terminal_is_refused(database: Database, sign_in: SignIn) -> None:
    """`cxr-triage study` prints it: control characters in it are no text."""
    browser = sign_in(READER)
    form = {"csrf_token": browser.csrf_token, "reason": "a fold\x1b]0;all is well\x07", "confirmed": "true"}
    for base in (HERE, f"/api/v1{HERE}"):
        answer = browser.client.post(f"{base}/withdraw", data=form)
        assert (answer.status_code, "no text" in answer.text) == (409, True)
    assert the_study(database).priority == "HIGH"


@pytest.mark.usefixtures("flagged")
def test_a_dead_letter_is_sent_again(database: Database, sign_in: SignIn, wakes: Wakes) -> None:
    """By the administrator, to the destination that the button names; a second time there is none."""
    browser = sign_in(ADMIN)
    form = {"csrf_token": browser.csrf_token, "destination": FOLDER.name, "confirmed": "true"}
    assert f"Send to {FOLDER.name} again" in browser.client.get(HERE).text
    other = browser.client.post(f"{HERE}/send-again", data=form | {"destination": "elsewhere"})
    assert other.headers["location"].endswith("?done=nothing-to-send#done")
    assert browser.client.post(f"{HERE}/send-again", data=form).headers["location"].endswith("?done=sent-again#done")
    with database.read() as session:
        assert session.scalars(select(Delivery.state)).all() == [DeliveryState.PENDING]
    assert Queue.DELIVER in wakes.queues
    assert "delivery-put-back" in _events(database)


@pytest.mark.parametrize(("purged", "done"), [(False, "tried-again"), (True, "files-gone")])
@pytest.mark.usefixtures("champion")
def test_an_image_that_was_set_aside_is_tried_again(
    app: FastAPI, database: Database, sign_in: SignIn, *, purged: bool, done: str
) -> None:
    """Unless its file is gone, which the page says."""
    receive(database, incoming())
    prepare(database, state=ImageState.FAILED)
    if purged:
        with database.begin() as session:
            session.execute(update(Image).values(purged_at=app.state.service.now()))
    browser = sign_in(ADMIN)
    form = {"csrf_token": browser.csrf_token, "confirmed": "true"}
    answer = browser.client.post(f"{HERE}/try-again", data=form)
    assert answer.headers["location"] == f"{HERE}?done={done}#done"
    assert ("image-put-back" in _events(database)) is not purged


@pytest.mark.usefixtures("flagged")
def test_a_reader_sends_nothing_again(database: Database, sign_in: SignIn) -> None:
    """403, on the page as in the API, and no button."""
    browser = sign_in(READER)
    token = {"csrf_token": browser.csrf_token, "confirmed": "true"}
    page = browser.client.get(HERE).text
    for action in ("send-again", "try-again"):
        for base in (HERE, f"/api/v1{HERE}"):
            assert browser.client.post(f"{base}/{action}", data=token).status_code == 403
        assert f'data-action="{action}"' not in page
    assert "delivery-put-back" not in _events(database)


def test_a_form_of_another_session_does_nothing(database: Database, sign_in: SignIn) -> None:
    """403 without the session's own token."""
    receive(database, incoming())
    client = sign_in(ADMIN).client
    before = _events(database)
    form = {"csrf_token": "0" * 64, "reason": "x", "verdict": "agrees", "confirmed": "true"}
    for action in ("withdraw", "send-again", "try-again"):
        assert client.post(f"{HERE}/{action}", data=form).status_code == 403
        assert client.post(f"/api/v1{HERE}/{action}", data=form).status_code == 403
    for action in ("verdict", "read"):
        assert client.post(f"{HERE}/{action}", data=form).status_code == 403
    assert _events(database) == before


@pytest.mark.usefixtures("flagged")
def test_the_api_does_the_same(database: Database, sign_in: SignIn) -> None:
    """It answers what was done, and 404 and 409 where there is nothing to do it to."""
    browser = sign_in(ADMIN)
    client, token = browser.client, {"csrf_token": browser.csrf_token}
    api = f"/api/v1{HERE}"
    assert client.post(f"{api}/send-again", data=token).json() == {"deliveries": 1}
    assert client.post(f"{api}/try-again", data=token).json() == {"images": [], "purged": []}
    withdrawn = client.post(f"{api}/withdraw", data=token | {"reason": "a skin fold"}).json()
    assert withdrawn["destinations"] == [FOLDER.name]
    assert the_study(database).priority is None
    assert client.post(f"{api}/withdraw", data=token | {"reason": "again"}).status_code == 409
    for action in ("withdraw", "send-again", "try-again"):
        missing = client.post(f"/api/v1/studies/9.9.9/{action}", data=token | {"reason": "x"})
        assert (missing.status_code, set(missing.json())) == (404, {"detail"})
