"""In shadow mode a reader judges first and sees the flag afterwards."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from fastapi import FastAPI
from sqlalchemy import update

from tests.integration.worker.test_shadow import found
from tests.integration.worker.web.conftest import ADMIN, READER, Browser
from tests.studies import STUDY, incoming, prepare, receive, result, say, score_everything
from worker.db import Database
from worker.domain import Origin, PriorityReason
from worker.repository.model_versions import RegisteredModel
from worker.tables import Study

SignIn = Callable[[str], Browser]
FILM = "2.25.11"
TELLING = [
    "/",
    f"/studies/{STUDY}",
    f"/studies/{STUDY}/report",
    f"/studies/{STUDY}/thumbnail.png",
    f"/studies/{STUDY}/images/1/1/heatmap.png",
    "/events",
    "/shadow",
    "/shadow/report.html",
]
TELLING_PROGRAMS = [
    "/api/v1/worklist",
    f"/api/v1/studies/{STUDY}",
    f"/api/v1/studies/{STUDY}/verdicts",
    "/api/v1/status",
    "/api/v1/shadow",
]


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """The page of a service in shadow mode."""
    service = app.state.service
    app.state.service = replace(service, settings=service.settings.model_copy(update={"shadow": True}))
    return app


@pytest.fixture
def flagged(database: Database, champion: RegisteredModel) -> Database:
    """A study that was flagged in shadow mode."""
    receive(database, incoming(FILM))
    prepare(database, FILM)
    score_everything(database, champion, flagged=[FILM])
    flag = result(flagged=True).model_copy(update={"origin": Origin.SHADOW})
    assert say(database, champion, flag, to=())
    return database


def answer(reader: Browser, suspected: str) -> int:
    """Answer the question; returns the status."""
    data = {"suspected": suspected, "comment": "left base", "csrf_token": reader.csrf_token}
    return reader.client.post(f"/blind/{STUDY}", data=data).status_code


def test_nothing_tells_a_reader_of_the_flag(flagged: Database, sign_in: SignIn) -> None:
    """Every page that could leads to the list of studies to judge, and the API refuses."""
    client = sign_in(READER).client
    for path in TELLING:
        told = client.get(path)
        assert (told.status_code, told.headers.get("location")) == (303, "/blind"), path
    assert [client.get(path).status_code for path in TELLING_PROGRAMS] == [403] * len(TELLING_PROGRAMS)
    for path in ("/blind", f"/blind/{STUDY}"):
        page = client.get(path)
        assert page.status_code == 200
        assert 'href="/shadow' not in page.text
        assert not [
            word for word in ("HIGH", "0.92", "flagged", "SCREENED", "heatmap", "thumbnail") if word in page.text
        ]


@pytest.mark.parametrize(("suspected", "means"), [("true", True), ("false", False)])
def test_the_answer_is_kept_and_opens_the_study(
    flagged: Database, sign_in: SignIn, suspected: str, *, means: bool
) -> None:
    """Yes agrees with the hidden flag and no disagrees; then the reader may see what was said of that study."""
    reader = sign_in(READER)
    assert STUDY in reader.client.get("/blind").text
    assert answer(reader, suspected) == 303
    [study] = found(flagged)
    assert (study.suspected, study.blind) == ((means,), True)
    assert STUDY not in reader.client.get("/blind").text
    assert f'href="/studies/{STUDY}"' in reader.client.get(f"/blind?done={STUDY}").text
    assert "/studies/2.25.404" not in reader.client.get("/blind?done=2.25.404").text
    assert reader.client.get(f"/studies/{STUDY}").status_code == 200
    assert reader.client.get("/").status_code == 303


def test_yes_without_a_flag_is_a_miss(flagged: Database, sign_in: SignIn) -> None:
    """The answer is about the films, not about the flag: without one, yes disagrees."""
    with flagged.begin() as session:
        session.execute(update(Study).values(priority=None, priority_reason=None))
    assert answer(sign_in(READER), "true") == 303
    [study] = found(flagged)
    assert study.suspected == (True,)


def test_a_study_raised_for_its_wait_has_no_flag(flagged: Database, sign_in: SignIn) -> None:
    """Waiting is no finding: yes disagrees with there being none."""
    with flagged.begin() as session:
        session.execute(update(Study).values(priority_reason=PriorityReason.WAITING_TIME))
    assert answer(sign_in(READER), "true") == 303
    assert found(flagged)[0].suspected == (True,)


def test_a_new_object_closes_the_study_again(flagged: Database, sign_in: SignIn) -> None:
    """What was judged is not what is there now: the reader judges again, and it does not count as blind."""
    reader = sign_in(READER)
    assert answer(reader, "true") == 303
    receive(flagged, incoming("2.25.12"))
    assert reader.client.get(f"/studies/{STUDY}").status_code == 303
    assert answer(reader, "true") == 303
    assert not found(flagged)[0].blind


def test_administrators_see_everything(flagged: Database, sign_in: SignIn) -> None:
    """Somebody must look after the service; the report keeps their verdicts apart."""
    admin = sign_in(ADMIN)
    assert admin.client.get("/").status_code == 200
    assert answer(admin, "true") == 303
    assert not found(flagged)[0].blind


def test_without_shadow_mode_nothing_is_hidden(flagged: Database, app: FastAPI, sign_in: SignIn) -> None:
    """A reader of a service that sends its flags sees the worklist."""
    service = app.state.service
    app.state.service = replace(service, settings=service.settings.model_copy(update={"shadow": False}))
    client = sign_in(READER).client
    assert [client.get(path).status_code for path in ("/", f"/studies/{STUDY}")] == [200, 200]
    assert client.get("/blind").headers["location"] == "/"
    assert client.get(f"/blind/{STUDY}").headers["location"] == f"/studies/{STUDY}"


def test_what_is_no_answer_is_refused(flagged: Database, sign_in: SignIn) -> None:
    """A form without a choice, of another session or on no study records nothing."""
    reader = sign_in(READER)
    assert answer(reader, "perhaps") == 422
    assert reader.client.post(f"/blind/{STUDY}", data={"suspected": "true"}).status_code == 403
    data = {"suspected": "true", "csrf_token": reader.csrf_token}
    assert reader.client.post("/blind/2.25.404", data=data).status_code == 404
    assert reader.client.get("/blind/2.25.404").status_code == 404
    assert found(flagged)[0].suspected == ()
