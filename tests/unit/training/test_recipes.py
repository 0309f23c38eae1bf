"""Every recipe that ships runs as its user would start it, learns something, and publishes a model that is served."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.drawn import drawn_classes
from tests.labelled import labelled
from training import cli, initial
from training.config import load_recipe, recipe_names
from training.errors import PretrainedError
from training.fitting import epoch_films
from training.parts import Parts
from worker.inference import load_engine
from worker.model.architectures import ARCHITECTURES
from worker.model.artifact import default_directory, load_card
from worker.model.promotion import Promotion

FEW = (("new", 10, 0), ("old", 60, 20), ("locked", 4, 90))  # folder, films, the first's number


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty drawn films."""
    return drawn_classes(tmp_path_factory.mktemp("films") / "drawn", 80)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No download, as in a hospital's network."""

    def refuse(*_args: object) -> None:
        raise PretrainedError("cannot be downloaded")

    monkeypatch.setattr(initial, "imagenet_weights", refuse)


def _history(output: Path) -> list[dict[str, float]]:
    with (output / "history.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def _smoke(name: str, data: Path, output: Path) -> list[float]:
    """Run a recipe as a user would; the loss of each epoch."""
    options = ["fit", "--recipe", name, "--data", str(data), "--output", str(output), "--smoke"]
    result = CliRunner().invoke(cli.app, options)
    assert result.exit_code == 0, result.output
    return [row["loss"] for row in _history(output)]


# Others have the same networks, or the same phases, or run in a test of their own; these took longest.
_NIGHTLY = {
    "champion-finish",
    "densenet161",
    "keras-two-phase",
    "matlab-resnet50",
    "pneumoniamnist-resnet50",
    "refresh",
    "resnet50-cam",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.nightly] if name in _NIGHTLY else []) for name in recipe_names()]
)
def test_a_smoke_run_learns_and_publishes(name: str, data: Path, tmp_path: Path, offline: None) -> None:
    """The loss falls, the card names the recipe's architecture, and the engine answers with finite logits."""
    losses = _smoke(name, data, tmp_path)
    assert losses[-1] < 0.9 * losses[0], losses
    engine = load_engine(tmp_path / "model", device="cpu")
    scores = engine.score(np.zeros((1, 224, 224), np.uint8))
    recipe = load_recipe(name)
    assert engine.card.architecture == recipe.architecture
    assert engine.card.operating_point.promises == (recipe.threshold == "certified")
    assert np.isfinite(scores.logits).all()
    page = (tmp_path / "report.html").read_text()
    assert "history" in page
    assert recipe.name in page
    scored = (tmp_path / "scores.csv").read_text().splitlines()[1:]
    assert json.loads((tmp_path / "metrics.json").read_text())["n"] == len(scored) > 0
    assert scores.activation_maps.shape[1:] == ((14, 14) if name == "baseline-cnn" else (7, 7))


def test_a_smoke_run_on_real_films(shared_data: Path, tmp_path: Path) -> None:
    """Films of children: the same command, a falling loss."""
    losses = _smoke("baseline-cnn", shared_data / "kermany_224", tmp_path)
    assert min(losses[1:]) < losses[0]


def test_frozen_layers_stay_as_they_came(data: Path, tmp_path: Path) -> None:
    """While only the head learns, neither weights nor statistics of the ImageNet layers move."""
    torch.manual_seed(0)
    theirs = ARCHITECTURES["resnet50"].build(1000).state_dict()
    torch.save(theirs, tmp_path / "imagenet.pth")
    options = ["fit", "--recipe", "pneumoniamnist-resnet50", "--data", str(data), "--output", str(tmp_path), "--smoke"]
    result = CliRunner().invoke(cli.app, [*options, "--imagenet", str(tmp_path / "imagenet.pth")])
    assert result.exit_code == 0, result.output
    ours = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]
    for name, moves in {
        "conv1.weight": False,
        "layer2.0.bn1.running_mean": False,
        "layer3.0.conv1.weight": True,
        "layer4.0.bn1.running_mean": True,
    }.items():
        assert torch.equal(ours[f"backbone.{name}"], theirs[name]) != moves, name
    assert [row["phase"] for row in _history(tmp_path)] == [0, 1]


@pytest.mark.nightly  # test_fitting breaks a run off without a kill
def test_a_run_killed_in_the_middle_of_an_epoch_ends_as_an_unbroken_one(data: Path, tmp_path: Path) -> None:
    """Kill -9 after the first checkpoint, the same command again: the same course and the same answer."""
    command = [
        sys.executable,
        "-c",
        "from training.cli import app; app()",
        "fit",
        "--recipe",
        "baseline-cnn",
        "--smoke",
    ]
    outputs = [tmp_path / "unbroken", tmp_path / "killed"]
    for output in outputs:
        options = [*command, "--data", str(data), "--output", str(output), "--device", "cpu"]
        if output.name == "killed":
            with subprocess.Popen(options, stderr=subprocess.PIPE) as process:
                _wait_for(output / "checkpoint.pt", process)
                process.send_signal(signal.SIGKILL)
            assert process.returncode == -signal.SIGKILL
        done = subprocess.run(options, capture_output=True, text=True, check=True, timeout=120)
    assert "continuing after epoch" in done.stderr
    histories = [_history(output) for output in outputs]
    for unbroken, killed in zip(*histories, strict=True):
        assert killed == pytest.approx(unbroken, abs=1e-5)
    logits = [load_card(output / "model").self_test.logit for output in outputs]
    assert logits[1] == pytest.approx(logits[0], abs=1e-4)


def _wait_for(file: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while not file.exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_champion_is_refreshed_and_judged_but_not_promoted(tmp_path: Path) -> None:
    """New and old cases make a challenger from the shipped weights; locked ones judge it; a ledger line is kept."""
    folders = {
        name: drawn_classes(tmp_path / name, 40, first=first)
        for name, first in (("new", 0), ("old", 40), ("locked", 80))
    }
    output = tmp_path / "out"
    options = [option for name, folder in folders.items() for option in (f"--{name}", str(folder))]
    options[0] = "--data"
    command = ["refresh", *options, "--output", str(output), "--site", "ward7", "--smoke"]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    judged = Promotion.model_validate_json((folder / "promotion.json").read_text())
    card = load_card(folder / "model")
    again = CliRunner().invoke(cli.app, command)
    assert "nothing new" in again.stderr
    assert judged.champion == load_card(default_directory()).sha256
    assert judged.challenger == card.sha256
    assert judged.cases == 40
    assert judged.champion in card.recipe
    assert card.version == f"{load_card(default_directory()).version}+ward7"
    assert {source.name for source in card.data} == {"new", "old"}
    assert len((output / "ledger.jsonl").read_text().splitlines()) == 1
    assert json.loads((output / "ledger.jsonl").read_text())["models"] == [judged.champion, judged.challenger]


def test_too_few_new_cases_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    """Less than a batch: one line, and no folder of a run is made."""
    new, old, locked = (drawn_classes(tmp_path / name, count, first=first) for name, count, first in FEW)
    options = ["--data", str(new), "--old", str(old), "--locked", str(locked), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, ["refresh", *options])
    assert result.exit_code == 2
    assert "less than one batch of 32: wait for more new cases" in result.stderr
    assert not (tmp_path / "out").exists()


def test_old_cases_take_their_share_of_each_epoch() -> None:
    """As many old films as new ones at a share of one half, others in every epoch, the same ones on a second look."""
    new = labelled(np.zeros((10, 4, 4), np.uint8), [0, 1] * 5)
    old = labelled(np.zeros((100, 4, 4), np.uint8), [0, 1] * 50, hashes=[f"old{row}" for row in range(100)])
    parts = Parts(training={"new": new}, selection={}, validation={}, old={"old": old})
    recipe = load_recipe("refresh")
    drawn = [set(epoch_films(parts, recipe, epoch).hashes.tolist()) for epoch in (0, 0, 1)]
    assert set(new.hashes.tolist()) <= drawn[0]
    assert len(drawn[0]) == 20
    assert drawn[0] == drawn[1] != drawn[2]
