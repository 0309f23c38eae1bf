"""Dockerfile and compose file, by the tools that know them and by what only this program knows."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.manifests import documents, loads, unknown_settings, unknown_words

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def dockerfile(repository: Path) -> str:
    """The Dockerfile, a command on a line."""
    return (repository / "deploy/Dockerfile").read_text().replace("\\\n", " ")


@pytest.fixture(scope="module")
def compose(repository: Path) -> dict[str, Any]:
    """The compose file."""
    (read,) = documents(repository / "deploy/compose.yaml")
    return read


@pytest.fixture(scope="module")
def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that are this program."""
    return {name: service for name, service in compose["services"].items() if "cxr-triage" in service["image"]}


@pytest.mark.parametrize(
    "command",
    [
        ["hadolint", "deploy/Dockerfile"],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml"],
    ],
)
def test_the_tool_that_knows_the_file_finds_nothing(repository: Path, command: list[str]) -> None:
    """Hadolint for the Dockerfile, the schema of the compose specification for the other."""
    checked = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=repository, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_an_image_holds_the_extras_of_what_runs_in_it(repository: Path, dockerfile: str) -> None:
    """Both install extras that exist, by the versions that were tested; torch lies in one of them only."""
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = re.findall(r"pip install --constraint deploy/constraints.txt '\.\[([a-z,]+)\]'", dockerfile)
    assert installed == ["deliver,web", "prepare,score,deliver"]
    assert {extra for names in installed for extra in names.split(",")} <= set(extras)


def test_the_commands_of_the_images_are_known(dockerfile: str) -> None:
    """What a container runs, and what its health check asks, exists."""
    commands = [json.loads(found) for found in re.findall(r"CMD (\[.*\])", dockerfile)]
    assert len(commands) == 4
    assert [unknown_words(command) for command in commands] == [[]] * 4
    assert unknown_settings(re.findall(r"(CXR_\w+)=", dockerfile)) == []


def test_the_images_run_as_nobody_special(dockerfile: str) -> None:
    """A fixed number, no account, and nothing secret among the layers."""
    base = dockerfile[dockerfile.index(" AS base") :]
    assert re.findall(r"^USER (.*)$", base, re.MULTILINE) == ["10001:10001"]
    assert "STOPSIGNAL SIGTERM" in base
    assert not re.search(r"^(ARG|ENV).*(PASSWORD|TOKEN|SECRET|INDEX)", dockerfile, re.MULTILINE)


def test_the_context_of_the_build_holds_what_is_copied_and_no_more(repository: Path, dockerfile: str) -> None:
    """Films, keys and history never reach the builder."""
    first, *rest = [
        line for line in (repository / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]
    }
    assert first == "*"
    assert {line.removeprefix("!") for line in rest if line.startswith("!")} == copied
    assert [path for path in copied if not (repository / path).exists()] == []


def test_every_service_runs_and_asks_what_exists(ours: dict[str, Any]) -> None:
    """Commands, queues, roles and settings are this version's; each is asked after its own role."""
    for name, service in ours.items():
        assert unknown_words(service["command"]) == [], name
        assert unknown_settings(list(service["environment"])) == [], name
        asked = service.get("healthcheck", {}).get("test", ["CMD", "python3"])[1:]
        if asked[0] != "python3":
            assert unknown_words(asked) == [], name
            assert asked[-1] == name.removesuffix("-cpu")
    assert {"listener", "prepare", "score", "deliver", "beat", "metrics", "web", "migrate"} <= set(ours)


def test_only_what_decodes_or_scores_takes_the_large_image(ours: dict[str, Any]) -> None:
    """And only what needs the spool sees it."""
    assert {name for name, service in ours.items() if service["image"].endswith(":full")} == {
        "prepare",
        "score",
        "score-cpu",
    }
    spool = {name for name, service in ours.items() if "data:/var/lib/cxr-triage" in service.get("volumes", ())}
    assert spool == {"listener", "prepare", "migrate"}


def test_every_service_is_held_short(compose: dict[str, Any]) -> None:
    """No root, no capability, a root file system that cannot be written, limits, bounded logs."""
    for name, service in compose["services"].items():
        assert not str(service["user"]).startswith("0"), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert service["logging"]["options"]["max-size"], name


def test_the_databases_are_reached_by_their_names_and_by_nobody_outside(compose: dict[str, Any]) -> None:
    """Every host in a URL is a service on the inner network, and neither has a port or a way out."""
    services = compose["services"]
    inside = {name for name, service in services.items() if service["networks"] == ["inside"]}
    urls = {value for name, value in services["listener"]["environment"].items() if name.endswith("_URL")}
    assert {urlsplit(url).hostname for url in map(_filled, urls)} == {"postgres", "redis"} <= inside
    assert {urlsplit(url).port for url in map(_filled, urls)} == {5432, 6379}
    assert compose["networks"]["inside"]["internal"] is True
    assert not any("ports" in services[name] for name in ("postgres", "redis"))


def test_what_waits_for_another_waits_for_a_service_that_can_tell(compose: dict[str, Any]) -> None:
    """`service_healthy` needs a health check, `service_completed_successfully` a service that ends."""
    services = compose["services"]
    for name, (other, condition) in _waiting(services):
        assert other in services, name
        if condition == "service_healthy":
            assert "healthcheck" in services[other]
        else:
            assert (condition, services[other]["restart"]) == ("service_completed_successfully", "no")


def test_passwords_come_from_a_file_that_is_not_there(repository: Path, compose: dict[str, Any]) -> None:
    """Each variable of the compose file has its line in the example; without a password nothing starts."""
    example = (repository / "deploy/compose.env.example").read_text()
    text = (repository / "deploy/compose.yaml").read_text()
    names = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    assert names | {"COMPOSE_PROFILES"} == set(re.findall(r"^(\w+)=", example, re.MULTILINE))
    assert all(":?" in found for found in re.findall(r"\$\{\w+PASSWORD([^}]*)", text))
    assert set(re.findall(r"^\w+PASSWORD=(.*)$", example, re.MULTILINE)) == {""}
    assert {"/deploy/.env", "/deploy/worker.toml"} <= set((repository / ".gitignore").read_text().split())
    profiles = {profile for service in compose["services"].values() for profile in service.get("profiles", ())}
    assert profiles == {"gpu", "cpu"}


def test_the_example_of_the_settings_file_is_taken(repository: Path) -> None:
    """What a reader copies works."""
    settings = loads((repository / "deploy/worker.toml.example").read_text())
    assert settings.listener.allowed_callers == ("PACS1",)
    assert [destination.name for destination in settings.effective_destinations] == ["pacs", "flags"]


def _filled(url: str) -> str:
    return re.sub(r"\$\{\w+:\?[^}]*\}", "filled", url)


def _waiting(services: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            yield name, (other, how["condition"])


def test_the_doctor_of_the_first_lines_is_let_in_and_finds_the_site_s_models(
    repository: Path, ours: dict[str, Any]
) -> None:
    """It calls as somebody whom the example of settings allows, where the files of the model in service lie."""
    text = (repository / "deploy/compose.yaml").read_text()
    ((where, words),) = re.findall(r"exec (\S+) cxr-triage (doctor.*)", text)
    allowed = loads((repository / "deploy/worker.toml.example").read_text()).listener.allowed_callers
    assert words.split() == ["doctor", "--as", allowed[0]]
    assert "models:/var/lib/cxr-triage/models" in ours[where]["volumes"]


def test_every_process_that_counts_does_so_where_the_exporter_looks(ours: dict[str, Any]) -> None:
    """Beat, too: an alert tells when it has gone."""
    counting = {name for name, service in ours.items() if "metrics:/var/lib/cxr-triage/metrics" in service["volumes"]}
    assert counting == set(ours) - {"migrate"}
