"""`cxr-triage screen` on real files: every file has its line, and the right one."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from dicom_io.phantom import phantom_dataset, self_test_pixels
from worker.cli.screen import screen
from worker.domain import Flag

SCOPE = {"not-a-radiograph", "wrong-body-part", "lateral-view", "derived-image", "not-an-image"}


def _screen(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(screen)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _lines(text: str) -> dict[str, dict[str, object]]:
    lines = [json.loads(line) for line in text.splitlines()]
    return {Path(str(line["path"])).name: line for line in lines}


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `screen` makes of the real DICOM files."""
    folder = tmp_path_factory.mktemp("real")
    result = _screen(
        *(shared_data / "dicom", "--json", folder / "out.jsonl", "--csv", folder / "out.csv"),
        *("--prepared", folder / "seen", "--cam", folder / "cam"),
    )
    assert result.exit_code == 0, result.output
    return folder


def test_every_file_has_its_line(real: Path, shared_data: Path) -> None:
    """As many lines as files, and each is a flag of the published form."""
    lines = _lines((real / "out.jsonl").read_text())
    assert set(lines) == {path.name for path in (shared_data / "dicom").rglob("*") if path.is_file()}
    for line in lines.values():
        path = line.pop("path")
        assert Flag.model_validate(line).images, path


def test_chest_films_are_screened_and_the_rest_is_not(real: Path, shared_data: Path) -> None:
    """The chest folder is scored; of the others only the dog that calls itself a chest is, and each has its reason."""
    lines = _lines((real / "out.jsonl").read_text())
    chest = {path.name for path in (shared_data / "dicom/chest").glob("*.dcm")}
    assert {name for name, line in lines.items() if line["status"] == "SCREENED"} == chest | {"highdicom__dx_image.dcm"}
    assert {line["reason"] for name, line in lines.items() if line["status"] == "UNSCREENED"} <= SCOPE


def test_nothing_is_ever_called_normal(real: Path) -> None:
    """No output says that a film is normal or a finding absent."""
    text = (real / "out.jsonl").read_text() + (real / "out.csv").read_text()
    assert "normal" not in text.lower()
    assert "absent" not in text.lower()


def test_the_table_has_one_row_per_frame(real: Path) -> None:
    """CSV and JSON tell the same of every frame."""
    lines = _lines((real / "out.jsonl").read_text())
    with (real / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(line["images"]) for line in lines.values())  # type: ignore[arg-type]
    for row in rows:
        assert row["status"] == lines[Path(row["path"]).name]["images"][int(row["frame"]) - 1]["status"]  # type: ignore[index]


def test_pictures_are_saved_for_what_was_scored(real: Path) -> None:
    """What the network saw and where it looked are 224-pixel pictures, one of each per scored frame."""
    seen, cam = sorted((real / "seen").iterdir()), sorted((real / "cam").iterdir())
    assert [path.name for path in seen] == [path.name for path in cam]
    assert len(seen) == 5
    for path in (*seen, *cam):
        with Image.open(path) as picture:
            assert (picture.size, picture.mode) == ((224, 224), "L" if path in seen else "RGB")


def test_a_phantom_is_flagged_through_every_door(tmp_path: Path) -> None:
    """The self-test film as PNG scores what the card says and is flagged, with its hash for an identity."""
    Image.fromarray(self_test_pixels()).save(tmp_path / "film.png")
    result = _screen(tmp_path / "film.png", "--json", "-")
    assert result.exit_code == 0, result.output
    (line,) = _lines(result.stdout).values()
    (image,) = line["images"]  # type: ignore[misc]
    assert (line["priority"], line["finding"], line["study_instance_uid"]) == ("HIGH", "suspected pneumonia", None)
    assert image["flagged"]
    assert image["sop_instance_uid"] is None
    assert len(image["content_sha256"]) == 64


def test_an_age_outside_the_intended_ones_is_a_warning(tmp_path: Path) -> None:
    """The film of a patient of 70 is screened, and the flag says that the model was not made for that age."""
    dataset = phantom_dataset(1, opacity=True, patient_age="070Y")
    dataset.save_as(tmp_path / "old.dcm", enforce_file_format=True)
    (line,) = _lines(_screen(tmp_path, "--json", "-").stdout).values()
    assert line["status"] == "SCREENED"
    assert any("age outside" in warning for warning in line["warnings"])  # type: ignore[attr-defined]


def test_a_broken_film_is_told_and_counts(tmp_path: Path) -> None:
    """A truncated film is UNSCREENED with its reason, and the exit code says that a film may be lost."""
    Image.fromarray(np.arange(65_536, dtype=np.uint8).reshape(256, 256)).save(tmp_path / "a.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    (tmp_path / "notes.txt").write_text("no film")
    result = _screen(tmp_path)
    assert result.exit_code == 3
    by_name = dict(line.removeprefix(f"{tmp_path}/").split(": ", 1) for line in result.stdout.splitlines())
    assert by_name["a.png"].startswith("SCREENED")
    assert by_name["half.png"].startswith("UNSCREENED")
    assert by_name["notes.txt"].startswith("UNSCREENED, not-an-image")


def test_a_text_file_in_a_folder_is_no_lost_film_but_a_named_one_may_be(tmp_path: Path) -> None:
    """Only what was named itself, or looked like a film, raises the exit code."""
    (tmp_path / "notes.txt").write_text("no film")
    assert _screen(tmp_path).exit_code == 0
    assert _screen(tmp_path / "notes.txt").exit_code == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "nowhere"), "a model directory holds"),
        (("--json", "nowhere/out.jsonl"), "cannot write nowhere/out.jsonl"),
        (("--device", "abacus"), "device"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    """Exit code 2 and a line that says what to change."""
    result = _screen(tmp_path, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_file_that_cannot_be_opened_has_its_line(tmp_path: Path) -> None:
    """A dangling link is told as unreadable, and the films beside it are screened."""
    (tmp_path / "gone.dcm").symlink_to(tmp_path / "nowhere")
    Image.fromarray(self_test_pixels()).save(tmp_path / "film.png")
    result = _screen(tmp_path, "--json", "-")
    lines = _lines(result.stdout)
    assert result.exit_code == 3
    assert (lines["gone.dcm"]["status"], lines["gone.dcm"]["reason"]) == ("UNSCREENED", "unreadable-file")
    assert lines["film.png"]["status"] == "SCREENED"
