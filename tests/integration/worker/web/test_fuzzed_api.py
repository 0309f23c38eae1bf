"""The API, asked with everything that its own OpenAPI allows, and with much that it does not."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.integration.worker.web.conftest import ADMIN, Browser
from tests.studies import STUDY, incoming, prepare, receive, score_everything, state
from worker.db import Database
from worker.repository.model_versions import RegisteredModel
from worker.stating import Speaker
from worker.web.access import CSRF_HEADER

EXAMPLES = 60
_TRUE_TO_ITS_WORD = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
_fuzzing = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def schema(app: FastAPI, database: Database, champion: RegisteredModel, speaker: Speaker) -> schemathesis.BaseSchema:
    """What the application says of its API, with a flagged study behind it."""
    receive(database, incoming())
    prepare(database)
    score_everything(database, champion, flagged=["2.25.11"])
    state(database, speaker.state_finding)
    loaded = schemathesis.openapi.from_dict(app.openapi())
    loaded.app = app
    return loaded


def _cases(schema: schemathesis.BaseSchema) -> st.SearchStrategy[schemathesis.Case]:
    """Cases that the API should take and cases that it should refuse, of the study that is there and of others."""
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    drawn = st.one_of(*(schema.as_strategy(generation_mode=mode) for mode in modes))
    return st.builds(_of_the_study, drawn, st.booleans())


def _of_the_study(case: schemathesis.Case, there: bool) -> schemathesis.Case:
    if there and "uid" in (case.path_parameters or {}):
        case.path_parameters["uid"] = STUDY
    return case


def _ask(case: schemathesis.Case, **headers: str) -> schemathesis.Response:
    return case.call(base_url="http://localhost", headers={"Host": "localhost", **headers}, allow_redirects=False)


def test_the_api_keeps_its_word(schema: schemathesis.BaseSchema, sign_in: Callable[[str], Browser]) -> None:
    """With a session nothing is an error of ours, and every answer is one that the document announces."""
    admin = sign_in(ADMIN)
    headers = {"Cookie": f"session={admin.client.cookies['session']}", CSRF_HEADER: admin.csrf_token}
    seen: set[int] = set()

    @_fuzzing
    @given(case=_cases(schema))
    def ask(case: Any) -> None:
        answer = _ask(case, **headers)
        seen.add(answer.status_code)
        case.validate_response(answer, checks=_TRUE_TO_ITS_WORD)

    ask()
    assert {200, 404, 422} <= seen


@pytest.mark.parametrize("token", [None, "garbage", "é"])
def test_without_a_session_every_request_is_refused(schema: schemathesis.BaseSchema, token: str | None) -> None:
    """Whatever is asked, nobody learns more than that they must sign in, or that there is no such address."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    @_fuzzing
    @given(case=_cases(schema))
    def ask(case: Any) -> None:
        answer = _ask(case, **headers)
        assert answer.status_code in {401, 404, 405}, answer.status_code
        assert b"ACC1" not in answer.content
        assert b"resnet50" not in answer.content

    ask()
