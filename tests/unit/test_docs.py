"""What the documents say is what the code does."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.reference import TABLES, with_table
from worker.settings import load_settings


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_what_the_code_says(repository: Path, name: str) -> None:
    """Every command, setting and reason code is documented as it is; `make docs` writes them."""
    document, table = TABLES[name]
    text = (repository / document).read_text()
    assert with_table(text, name, table()) == text, "run: make docs"


def test_a_document_without_the_place_for_a_table_is_an_error() -> None:
    """A lost marker cannot make the comparison pass."""
    with pytest.raises(ValueError, match="settings"):
        with_table("# README", "settings", "| setting |")


def test_the_settings_file_of_the_readme_is_accepted(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reader copies works."""
    monkeypatch.delenv("CXR_CONFIG", raising=False)
    example = re.search(r"```toml\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    assert example is not None
    config = tmp_path / "worker.toml"
    config.write_text(example[1])
    monkeypatch.setenv("CXR_CONFIG", str(config))
    assert load_settings().listener.port == tomllib.loads(example[1])["listener"]["port"]


def test_every_file_that_the_readme_links_to_exists(repository: Path) -> None:
    """No link of the README leads nowhere."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (repository / "README.md").read_text())
    assert [link for link in links if not (repository / link).exists()] == []


def test_every_make_target_that_the_readme_names_exists(repository: Path) -> None:
    """No command of the README is unknown to make."""
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (repository / "README.md").read_text(), re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (repository / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets
