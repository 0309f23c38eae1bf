"""The worklist: what it shows, in which order, and what it does not take."""

from collections.abc import Callable

import pytest
from sqlalchemy import update

from tests.integration.worker.conftest import Clock
from tests.integration.worker.web.conftest import READER, Browser
from tests.studies import MINUTE, NOW, incoming, prepare, receive, result, say, score_everything
from worker.db import Database
from worker.repository.model_versions import RegisteredModel
from worker.tables import Score

SignIn = Callable[[str], Browser]

_ALL = ["2.25.13.9", "2.25.11.9", "2.25.12.9"]
_FOUND = {
    "show=raised": ["2.25.13.9"],
    "show=unscreened": [],
    "reason=lateral-view": [],
    "text=B": ["2.25.12.9"],
    "text=2.25.13": ["2.25.13.9"],
    "text=%25": [],
    "sender=PACS1&text=C3": ["2.25.13.9"],
    "sender=ELSEWHERE": [],
    "show=unread&reason=&text=&sender=&days=": _ALL,
    "page=200": _ALL,
}
_NO_QUERIES = ("page=0", "page=x", "show=x", "days=0", "sender=" + 17 * "A", "text=%00", "other=1")


@pytest.fixture
def three(database: Database, champion: RegisteredModel, clock: Clock) -> None:
    """Three studies of which the youngest is raised; the oldest has a script for an accession number."""
    clock.advance(hours=1)
    names = {"2.25.11": "<script>alert(1)</script>", "2.25.12": "B2", "2.25.13": "C3"}
    for minute, (film, accession) in enumerate(names.items()):
        receive(database, incoming(film, study=f"{film}.9", at=NOW + minute * MINUTE, accession_number=accession))
        prepare(database, film)
    score_everything(database, champion, flagged={"2.25.13"})
    say(database, champion, result("2.25.13.9", flagged=True))


def _order(text: str) -> list[str]:
    return [part.partition('"')[0] for part in text.split('data-study="')[1:]]


@pytest.mark.usefixtures("three")
def test_raised_studies_come_first_then_the_longest_waiting(sign_in: SignIn) -> None:
    """The page and the API show the same in the same order, with how many are raised."""
    client = sign_in(READER).client
    page, listed = client.get("/").text, client.get("/api/v1/worklist").json()
    assert _order(page) == _ALL == [study["entry"]["study_instance_uid"] for study in listed["studies"]]
    assert (listed["found"], listed["raised"], listed["more"]) == (3, 1, False)
    assert "<title>(1) Worklist" in page
    assert "<strong>1 raised</strong> of 3 studies" in page


@pytest.mark.usefixtures("three")
def test_a_script_in_an_accession_number_is_text(sign_in: SignIn) -> None:
    """What a sender wrote is escaped, on the worklist, the study's page and its report."""
    client = sign_in(READER).client
    for path in ("/", "/studies/2.25.11.9", "/studies/2.25.11.9/report"):
        page = client.get(path).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "<script>alert" not in page


@pytest.mark.usefixtures("three")
def test_the_filter_finds(sign_in: SignIn) -> None:
    """Each field narrows, an empty one does not, a percent sign is itself; the last page stands for those beyond."""
    client = sign_in(READER).client
    found = {query: _order(client.get(f"/?{query}").text) for query in _FOUND}
    assert found == _FOUND


@pytest.mark.usefixtures("three")
def test_what_is_read_leaves_the_worklist(sign_in: SignIn) -> None:
    """It is under `all`, with the verdict."""
    browser = sign_in(READER)
    said = {"csrf_token": browser.csrf_token, "verdict": "agrees"}
    assert browser.client.post("/studies/2.25.13.9/verdict", data=said).status_code == 303
    assert _order(browser.client.get("/").text) == ["2.25.11.9", "2.25.12.9"]
    assert "agrees" in browser.client.get("/?show=all").text


@pytest.mark.usefixtures("three")
def test_a_wait_is_that_of_what_nobody_has_read(database: Database, sign_in: SignIn, clock: Clock) -> None:
    """A study that was read waits no longer; one that got another film waits since that, behind the others."""
    browser = sign_in(READER)
    token = {"csrf_token": browser.csrf_token}
    for uid in ("2.25.11.9", "2.25.12.9"):
        assert browser.client.post(f"/studies/{uid}/read", data=token).status_code == 303
    receive(database, incoming("2.25.14", study="2.25.11.9", at=clock.time))
    clock.advance(minutes=5)
    page = browser.client.get("/?show=all").text
    assert _order(page) == ["2.25.13.9", "2.25.12.9", "2.25.11.9"]
    assert f'<time datetime="{NOW.replace(hour=11).isoformat()}">5 min</time>' in page
    assert '<td class="c-waiting"><span class="why">read</span></td>' in page
    assert "5 min</time>" in browser.client.get("/studies/2.25.11.9").text


@pytest.mark.usefixtures("three")
def test_a_probability_near_the_threshold_is_told_from_it(database: Database, sign_in: SignIn) -> None:
    """The shipped threshold is below 0.03: two digits would show what was flagged and what was not as the same."""
    with database.begin() as session:
        session.execute(update(Score).values(probability=0.0231, threshold=0.0249))
    assert '<span class="number">0.023</span>' in sign_in(READER).client.get("/").text


def test_an_empty_worklist_says_so(sign_in: SignIn) -> None:
    """It is no broken page, and offers to show all."""
    page = sign_in(READER).client.get("/").text
    assert "Nothing here that is unread" in page
    assert 'href="/?show=all"' in page


def test_a_query_that_is_none_is_told_in_words(sign_in: SignIn) -> None:
    """A page to people, with the way back; the API answers as its description says, without repeating the input."""
    client = sign_in(READER).client
    for query in _NO_QUERIES:
        page = client.get(f"/?{query}")
        assert (page.status_code, page.headers["content-type"]) == (422, "text/html; charset=utf-8")
        assert "does not understand" in page.text
        assert 'href="/"' in page.text
        answer = client.get(f"/api/v1/worklist?{query}")
        assert answer.status_code == 422
        assert [set(one) for one in answer.json()["detail"]] == [{"type", "loc", "msg"}]


@pytest.mark.usefixtures("three")
def test_a_live_update_is_the_changing_part_alone(sign_in: SignIn) -> None:
    """What the script fetches has the rows, the strip and the counts, and no second form."""
    part = sign_in(READER).client.get("/", headers={"X-Live": "1"}).text
    assert _order(part) == _ALL
    assert 'id="strip"' in part
    assert 'data-raised="1"' in part
    assert "<form" not in part
