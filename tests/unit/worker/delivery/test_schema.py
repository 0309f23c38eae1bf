"""The published schema of the JSON flag."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tests.results import flagged_result, screened_result, unscreened_result
from worker.delivery.schema import flag_schema
from worker.domain import ScreeningResult


def test_the_published_schema_is_that_of_the_flag(repository: Path) -> None:
    """`flag.schema.json` is what `python -m worker.delivery.schema` prints."""
    assert (repository / "worker" / "delivery" / "flag.schema.json").read_text() == flag_schema()


@pytest.mark.parametrize("result", [flagged_result(), screened_result(), unscreened_result()])
def test_flags_obey_the_schema(result: ScreeningResult) -> None:
    """The schema takes real flags and refuses a word it does not know."""
    validator = Draft202012Validator(json.loads(flag_schema()))
    flag = json.loads(result.flag.to_json())
    validator.validate(flag)
    with pytest.raises(ValidationError, match="NORMAL"):
        validator.validate({**flag, "status": "NORMAL"})
