"""The example of an environment file says what the settings say, and every line of it can be used."""

import re
from pathlib import Path

import pytest

from tests import environment
from worker.settings import Settings, load_settings

LINE = re.compile(r"^#(CXR_\w+)=(.*)$", re.MULTILINE)


def test_the_example_names_every_setting_and_no_other(repository: Path) -> None:
    """It is what `make docs` writes: names, meanings and defaults come from the settings."""
    assert (repository / environment.FILE).read_text() == environment.example(), "run: make docs"
    stems = {name.split("__")[0].removeprefix("CXR_").lower() for name, _ in LINE.findall(environment.example())}
    assert stems == set(Settings.model_fields)


def test_every_line_of_the_example_is_taken(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of them uncommented the settings load, and hold what the lines say."""
    monkeypatch.delenv("CXR_CONFIG", raising=False)
    for name, value in LINE.findall((repository / environment.FILE).read_text()):
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.retraining.site == "hospital"
    assert settings.listener.tls is not None
    assert settings.reconciliation.pacs is not None
    assert settings.reconciliation.pacs.ae_title == "PACS1"
    assert [destination.name for destination in settings.effective_destinations] == ["flags"]
