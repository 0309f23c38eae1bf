"""`cxr-train evaluate`: on archives and manifests, on parts of them, and on what cannot be judged or written."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from dicom_io.phantom import draw
from training import cli
from training.errors import DataError, OutputError
from training.judging import evaluated_part
from training.outputs import writing_to

SICK, WELL = range(1, 6, 2), range(0, 6, 2)


def _film(seed: int) -> np.ndarray:  # type: ignore[type-arg]
    return (draw(seed, opacity=seed % 2 == 1, rows=64, columns=64) >> 4).astype(np.uint8)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with a train part of four films and a test part of six."""
    path = tmp_path_factory.mktemp("archives") / "drawn.npz"
    films, labels = np.stack([_film(seed) for seed in range(6)]), np.array([[0], [1]] * 3)
    np.savez(path, train_images=films[:4], train_labels=labels[:4], test_images=films, test_labels=labels)
    return path


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of six films, all positive, of patients of known age and view."""
    folder = tmp_path_factory.mktemp("listed")
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "patient", "age", "view"))
        for seed in range(6):
            Image.fromarray(_film(seed)).save(folder / f"film{seed}.png")
            rows.writerow((f"film{seed}.png", "PNEUMONIA", seed // 2, 40, "PA"))
    return folder / "labels.csv"


def _evaluate(data: Path, output: Path, *options: str) -> Result:
    command = ["evaluate", "--data", str(data), "--output", str(output), "--device", "cpu", *options]
    return CliRunner().invoke(cli.app, command)


def test_an_archive_is_judged_on_its_test_part(archive: Path, tmp_path: Path) -> None:
    """Scores, figures and report are of its six films, and the floor is printed beside the model."""
    result = _evaluate(archive, tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("6 films, 3 positive: AUC ")
    assert "AUC of mean grey level alone: " in result.stdout
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["floor"]["areas"].keys() >= {"file size", "mean grey level"}
    assert [group["value"] for group in metrics["subgroups"]] == ["unknown", "unknown", "drawn"]
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 7
    assert "drawn, part test" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "figures/roc.png").is_file()


def test_a_manifest_of_one_class_is_judged_as_far_as_it_goes(manifest: Path, tmp_path: Path) -> None:
    """No area, no floor; sensitivity by film and by patient, groups, and the report are there."""
    result = _evaluate(manifest, tmp_path)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("\n") == 1
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["n"], metrics["positives"], metrics["positive_patients"]) == (6, 6, 3)
    assert (metrics["auc"], metrics["specificity"], metrics["floor"]["areas"]) == (None, None, {})
    assert [group["value"] for group in metrics["subgroups"]] == ["18 to 64 years", "PA", manifest.parent.name]
    assert "There is no NORMAL film" in (tmp_path / "report.html").read_text()


def test_a_part_can_be_named(archive: Path) -> None:
    """By default it is `test`; a part that is not there is refused with the names of those that are."""
    assert [len(evaluated_part(archive, part)[1]) for part in (None, "train")] == [6, 4]
    with pytest.raises(DataError, match="divided into train, test: name one of these with --split"):
        evaluated_part(archive, "validation")


def test_parts_without_a_test_part_are_not_mixed(tmp_path: Path) -> None:
    """Of train and val nobody said which is judged; a lone part needs no name."""
    films, labels = np.zeros((2, 8, 8), np.uint8), np.array([0, 1])
    both = {"train_images": films, "train_labels": labels, "val_images": films, "val_labels": labels}
    np.savez(tmp_path / "two.npz", **both)
    with pytest.raises(DataError, match="divided into train, val"):
        evaluated_part(tmp_path / "two.npz")
    np.savez(tmp_path / "one.npz", val_images=films, val_labels=labels)
    assert len(evaluated_part(tmp_path / "one.npz")[1]) == 2


def test_a_patient_in_two_parts_of_a_manifest_is_refused(tmp_path: Path) -> None:
    """Whoever was learned from cannot judge, neither for `evaluate` nor for `compare`."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    manifest = tmp_path / "labels.csv"
    manifest.write_text("path,label,patient,split\na.png,1,4,train\nb.png,0,4,test\n")
    with pytest.raises(DataError, match="line 3: patient 4 is in train and in test"):
        evaluated_part(manifest)


def test_an_output_that_cannot_be_written_is_told_before_the_films_are_read(archive: Path, tmp_path: Path) -> None:
    """A file stands where the folder should be: one line, exit code 2, nothing scored."""
    (tmp_path / "taken").write_text("a file")
    result = _evaluate(archive, tmp_path / "taken" / "out")
    assert result.exit_code == 2
    assert result.stderr.startswith("cxr-train: cannot write to ")
    assert "name another folder with --output" in result.stderr


def test_a_full_disk_is_told_in_one_line() -> None:
    """/dev/full says what a full disk says."""
    with pytest.raises(OutputError, match="No space left on device"), writing_to(Path("/dev/full")):
        Path("/dev/full").write_text("anything")


def test_a_patient_in_two_parts_is_not_judged(manifest: Path) -> None:
    """A model may have learned from the patient's other part; only the audit takes such a manifest."""
    leaking = manifest.with_name("leaking.csv")
    leaking.write_text("path,label,patient,split\nfilm0.png,1,7,train\nfilm1.png,0,7,test\n")
    with pytest.raises(DataError, match="patient 7 is in train and in test"):
        evaluated_part(leaking)
