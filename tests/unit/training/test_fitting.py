"""A whole small run: it learns, it goes on after a kill, it publishes what the service can load."""

import csv
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.drawn import drawn_classes
from training import checkpoints, cli, fitting, publishing
from training.config import AugmentationSettings, Phase, Recipe
from training.errors import CannotCertifyError, CheckpointError, DataError, DivergedError, OutputError
from training.loop import new_run, train_one_epoch
from training.parts import Parts, read_parts
from worker.errors import ModelError
from worker.inference import load_engine
from worker.model.artifact import load_card
from worker.model.input_spec import InputSpec

CPU = torch.device("cpu")
RECIPE = Recipe(
    name="tiny",
    description="A few steps.",
    seed=3,
    phases=(Phase(size=32, epochs=2),),
    batch_size=8,
    validation_share=0.4,
    ema_decay=0.5,
    target_sensitivity=0.5,
    confidence=0.5,
    augmentation=AugmentationSettings(crop_area=(0.8, 1.0)),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of 40 drawn films."""
    return drawn_classes(tmp_path_factory.mktemp("drawn") / "drawn", 40, side=48)


def _silent(_name: str, _total: int) -> nullcontext[Callable[[], None]]:
    return nullcontext(lambda: None)


@pytest.fixture(scope="module")
def parts(data: Path) -> Parts:
    """The drawn films, divided by patient."""
    return read_parts([data], [], RECIPE, str, _silent)


@pytest.fixture(scope="module")
def unbroken(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a run that was never stopped."""
    output = tmp_path_factory.mktemp("unbroken")
    fitting.fit(parts, RECIPE, output, CPU, str, _silent)
    return output


def test_every_epoch_has_its_row(unbroken: Path) -> None:
    """The history tells of each epoch."""
    with (unbroken / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["size"]) for row in rows] == [("1", "32"), ("2", "32")]


def test_a_few_steps_learn_something(parts: Parts) -> None:
    """On films whose classes differ plainly the loss falls by a fifth within two dozen steps."""
    recipe = RECIPE.model_copy(update={"phases": (Phase(size=64, epochs=8),), "learning_rate": 3e-4})
    run, losses = new_run(recipe, InputSpec(), CPU), []
    for _ in range(recipe.epochs):
        losses.append(train_one_epoch(run, parts.training["drawn"], recipe, CPU))
        run.history.append({"phase": 0, "selection_loss": 1.0})
    assert min(losses[-2:]) < 0.8 * losses[0]


def test_what_is_published_is_what_the_service_loads(unbroken: Path, parts: Parts) -> None:
    """The engine gives the self-test's logit, and the card counts the films of the run."""
    engine = load_engine(unbroken / "model", device="cpu")
    pixels = parts.validation["drawn"].pixels
    assert engine.score(pixels).logits.shape == (len(pixels),)
    assert engine.card.data[0].images == len(parts.training["drawn"])
    assert engine.card.data[0].licence == "not stated"
    assert engine.card.operating_point.positives == (parts.validation["drawn"].labels == 1).sum()


def test_the_published_threshold_misses_no_more_than_it_may(unbroken: Path, parts: Parts) -> None:
    """On the calibration films the shipped fp16 weights miss at most the allowed number of patients."""
    engine = load_engine(unbroken / "model", device="cpu")
    films, point = parts.validation["drawn"], engine.card.operating_point
    logits = engine.score(films.pixels[films.labels == 1]).logits
    assert (logits < point.threshold_logit).sum() <= point.allowed_misses


def test_a_killed_run_goes_on_to_the_same_weights(
    unbroken: Path, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped hard after the first epoch and started again, the run ends where the unbroken one did."""

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "_write_history", die)  # the first thing after the first checkpoint
    with pytest.raises(KeyboardInterrupt):
        fitting.fit(parts, RECIPE, tmp_path, CPU, str, _silent)
    monkeypatch.undo()
    said: list[str] = []
    fitting.fit(parts, RECIPE, tmp_path, CPU, said.append, _silent)
    assert said[0] == "continuing after epoch 1"
    logits = [load_card(folder / "model").self_test.logit for folder in (unbroken, tmp_path)]
    assert logits[0] == pytest.approx(logits[1], abs=1e-3)


def test_a_checkpoint_of_another_recipe_is_refused(unbroken: Path, parts: Parts) -> None:
    """A run never goes on from weights that were trained otherwise."""
    other = RECIPE.model_copy(update={"learning_rate": 0.5})
    with pytest.raises(CheckpointError, match="another recipe"):
        fitting.fit(parts, other, unbroken, CPU, str, _silent)


def test_a_damaged_checkpoint_is_refused(unbroken: Path, parts: Parts, tmp_path: Path) -> None:
    """Half a checkpoint is named, and never unpickled as code."""
    half = (unbroken / "checkpoint.pt").read_bytes()[:1000]
    (tmp_path / "checkpoint.pt").write_bytes(half)
    with pytest.raises(CheckpointError, match="is damaged"):
        fitting.fit(parts, RECIPE, tmp_path, CPU, str, _silent)


def test_flipped_bytes_in_a_checkpoint_are_noticed(unbroken: Path, parts: Parts, tmp_path: Path) -> None:
    """Torch writes checksums and does not look at them; a run that went on would end elsewhere and say nothing."""
    blob = bytearray((unbroken / "checkpoint.pt").read_bytes())
    blob[len(blob) // 2] ^= 0xFF
    (tmp_path / "checkpoint.pt").write_bytes(blob)
    with pytest.raises(CheckpointError, match="is damaged"):
        fitting.fit(parts, RECIPE, tmp_path, CPU, str, _silent)


@pytest.mark.parametrize("other", [[1], {"identity": "x"}, 3])
def test_another_file_in_the_place_of_a_checkpoint_is_refused(parts: Parts, tmp_path: Path, other: object) -> None:
    """What torch can read need not be a checkpoint of a run."""
    torch.save(other, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="no checkpoint of a run"):
        fitting.fit(parts, RECIPE, tmp_path, CPU, str, _silent)


def test_nonsense_in_the_place_of_a_checkpoint_is_refused(parts: Parts, tmp_path: Path) -> None:
    """Random bytes make an unpickler raise all kinds of errors; this is none of them."""
    (tmp_path / "checkpoint.pt").write_bytes(np.random.default_rng(1).bytes(3000))
    with pytest.raises(CheckpointError, match="is damaged"):
        fitting.fit(parts, RECIPE, tmp_path, CPU, str, _silent)


def test_a_full_disk_leaves_the_last_checkpoint(
    unbroken: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When nothing can be written, the file of before stays whole and the message says what to do."""

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "checkpoint.pt").write_bytes(b"the last good one")
    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(CheckpointError, match="free some space"):
        checkpoints.save_checkpoint(new_run(RECIPE, InputSpec(), CPU), RECIPE, "", tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == b"the last good one"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_loss_that_is_no_number_stops_the_run(parts: Parts) -> None:
    """Poisoned weights are noticed at the first step."""
    run = new_run(RECIPE, InputSpec(), CPU)
    torch.nn.init.constant_(next(run.network.parameters()), float("nan"))
    with pytest.raises(DivergedError, match="the loss is nan at step 0; a checkpoint of before is good"):
        train_one_epoch(run, parts.training["drawn"], RECIPE, CPU)


def test_a_gradient_that_is_no_number_moves_no_weight(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finite loss may have an infinite slope; the step that would spoil every weight is not made."""

    def explode(grad: torch.Tensor) -> torch.Tensor:
        return grad * float("inf")

    run = new_run(RECIPE, InputSpec(), CPU)
    first = next(run.network.parameters())
    first.register_hook(explode)
    with pytest.raises(DivergedError, match="gradient"):
        train_one_epoch(run, parts.training["drawn"], RECIPE, CPU)
    assert all(torch.isfinite(parameter).all() for parameter in run.network.parameters())


def test_what_cannot_be_certified_is_refused_before_the_first_epoch(parts: Parts, tmp_path: Path) -> None:
    """Nobody waits a night to hear that the patients are too few."""
    strict = RECIPE.model_copy(update={"target_sensitivity": 0.98, "confidence": 0.95})
    with pytest.raises(CannotCertifyError, match="at least 149"):
        fitting.fit(parts, strict, tmp_path, CPU, str, _silent)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_the_first_data_set_must_have_patients_who_certify(parts: Parts, tmp_path: Path) -> None:
    """Another set's patients do not silently take their place."""
    other = Parts(
        training={"first": parts.training["drawn"], **parts.training}, selection={}, validation=parts.validation, old={}
    )
    with pytest.raises(DataError, match="in first, which is to certify"):
        fitting.fit(other, RECIPE, tmp_path, CPU, str, _silent)


def test_a_half_written_model_has_no_card(
    unbroken: Path, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk fills up the old card is gone with the old weights, and the error is one line."""
    shutil.copytree(unbroken / "model", tmp_path / "model")
    monkeypatch.setattr(publishing, "save_card", lambda *_args: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OutputError, match="make room"):
        fitting.publish_run(new_run(RECIPE, InputSpec(), CPU), RECIPE, parts, tmp_path / "model")
    with pytest.raises(ModelError):
        load_card(tmp_path / "model")


def test_less_than_a_batch_is_refused(parts: Parts) -> None:
    """An epoch without a step would learn nothing and say nothing."""
    run = new_run(RECIPE, InputSpec(), CPU)
    with pytest.raises(DataError, match="less than one batch"):
        train_one_epoch(run, parts.training["drawn"].take([0, 1]), RECIPE, CPU)


def test_too_few_patients_publish_nothing(parts: Parts, tmp_path: Path) -> None:
    """Without enough positives for the promise there is no model directory."""
    strict = RECIPE.model_copy(update={"target_sensitivity": 0.98, "confidence": 0.95})
    with pytest.raises(CannotCertifyError):
        fitting.publish_run(new_run(strict, InputSpec(), CPU), strict, parts, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_kept_out_patients_are_in_no_part(data: Path, tmp_path: Path) -> None:
    """A film that lies in the kept-out folder too is neither trained on nor used for the threshold."""
    (tmp_path / "NORMAL").mkdir()
    (tmp_path / "NORMAL/film0.png").write_bytes((data / "NORMAL/film0.png").read_bytes())
    kept = read_parts([data], [tmp_path], RECIPE, str, _silent)
    names = {name for part in (kept.training, kept.validation) for name in part["drawn"].names.tolist()}
    assert "drawn/NORMAL/film0.png" not in names
    assert len(names) == 39


def test_one_class_is_refused(data: Path, tmp_path: Path) -> None:
    """Films of one class alone cannot be learned from."""
    (tmp_path / "NORMAL").symlink_to(data / "NORMAL")
    with pytest.raises(DataError, match="add films that are PNEUMONIA"):
        read_parts([tmp_path], [], RECIPE, str, _silent)


def test_evaluate_writes_the_promised_fields(unbroken: Path, data: Path, tmp_path: Path) -> None:
    """`cxr-train evaluate` gives metrics.json and scores.csv as the design names them, and lists broken films."""
    folder = tmp_path / "cases"
    for source in sorted(data.rglob("film[0-3].png")):
        (folder / source.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / source.parent.name / source.name).write_bytes(source.read_bytes())
    (folder / "NORMAL/broken.png").write_bytes(b"no image")
    options = ["evaluate", "--model", str(unbroken / "model"), "--data", str(folder), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, options)
    assert result.exit_code == 0, result.output
    assert "NORMAL/broken.png" in result.stderr
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    promised = {
        *("n", "positives", "auc", "accuracy", "sensitivity", "specificity", "precision", "f1", "balanced_accuracy"),
        *("threshold", "confusion", "specificity_at_sensitivity", "intervals"),
    }
    assert promised <= metrics.keys()
    assert set(metrics["confusion"]) == {"tp", "fp", "tn", "fn"}
    assert set(metrics["specificity_at_sensitivity"]) == {"0.95", "0.98", "0.99"}
    with (tmp_path / "out/scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "logit", "probability"]
    assert len(rows) == metrics["n"] == 4


def test_errors_are_told_in_one_line(tmp_path: Path) -> None:
    """A wrong recipe, or an output without a run, ends with exit code 2 and a line that says what to do."""
    (tmp_path / "NORMAL").mkdir()
    result = CliRunner().invoke(
        cli.app, ["fit", "--data", str(tmp_path), "--output", str(tmp_path / "o"), "--recipe", "none"]
    )
    assert result.exit_code == 2
    assert result.stderr.strip().startswith("cxr-train: there is no recipe 'none'")


def test_an_output_that_is_a_file_is_told_in_one_line(data: Path, tmp_path: Path) -> None:
    """No traceback, and the file is as it was."""
    (tmp_path / "file").write_text("mine")
    command = ["fit", "--smoke", "--recipe", "baseline-cnn", "--data", str(data), "--output", str(tmp_path / "file")]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 2
    assert result.output.strip().startswith(f"cxr-train: cannot write to {tmp_path / 'file'} (File exists)")
    assert (tmp_path / "file").read_text() == "mine"
