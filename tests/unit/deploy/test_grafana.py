"""The dashboard, as far as it can be judged without Grafana: its documented JSON model, and the names it uses."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from worker.metrics.definitions import DEFINITIONS, PREFIX

_UNITS = {"s", "none", "opm", "percentunit", "bytes"}  # ids of @grafana/data's value formats


@pytest.fixture(scope="module")
def dashboard(repository: Path) -> dict[str, Any]:
    """What an operator imports."""
    loaded: dict[str, Any] = json.loads((repository / "deploy/grafana/dashboard.json").read_text())
    return loaded


def _panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def test_every_panel_is_whole(dashboard: dict[str, Any]) -> None:
    """A title, a unit that Grafana has, an expression, and the data source that the operator chooses at the top."""
    source = {"type": "prometheus", "uid": "${datasource}"}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids) > 25
    for panel in _panels(dashboard):
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in _UNITS
        assert panel["datasource"] == source
        assert panel["targets"]
        assert all(target["expr"] and target["datasource"] == source for target in panel["targets"])
    assert {"name": "datasource", "type": "datasource", "query": "prometheus"}.items() <= dashboard["templating"][
        "list"
    ][0].items()


def test_no_two_panels_lie_over_each_other(dashboard: dict[str, Any]) -> None:
    """Each has its place in the 24 columns."""
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


def test_the_dashboard_shows_what_there_is_and_all_of_it(dashboard: dict[str, Any]) -> None:
    """It names no metric that does not exist, and leaves none out."""
    text = " ".join(target["expr"] for panel in _panels(dashboard) for target in panel["targets"])
    shown = set(re.findall(rf"{PREFIX}[a-z0-9_]+", text))
    served = {name for definition in DEFINITIONS.values() for name in definition.sample_names}
    assert shown <= served
    assert [name for name in DEFINITIONS if not any(part.startswith(name) for part in shown)] == []
