"""A site's own threshold: same weights, new promise, or a refusal that says what is missing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from typer.testing import CliRunner

from dicom_io.phantom import draw
from training import cli
from training.calibrating import calibrate, checked_site
from training.errors import CannotCertifyError, DataError
from worker.inference import load_engine
from worker.model.artifact import default_directory, load_card
from worker.model.preprocessing import prepare
from worker.sections import RetrainingSettings


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn films in class folders, and a copy of one of them under another name."""
    root = tmp_path_factory.mktemp("local")
    for seed in range(12):
        folder = root / ("PNEUMONIA" if seed % 2 else "NORMAL")
        folder.mkdir(exist_ok=True)
        film = Image.fromarray((draw(seed, opacity=seed % 2 == 1, rows=48, columns=48) >> 4).astype(np.uint8))
        film.save(folder / f"film{seed}.png")
    film.save(root / "PNEUMONIA/copy.png")
    return root


def test_only_threshold_and_figures_change(local: Path, tmp_path: Path) -> None:
    """The weights and the self-test stay, the version names the site, and copies of a film count once."""
    card = calibrate(default_directory(), local, tmp_path, site="ward.7", target=0.5, confidence=0.9)
    shipped = load_card(default_directory())
    assert load_card(tmp_path) == card
    assert (card.weights_sha256, card.self_test) == (shipped.weights_sha256, shipped.self_test)
    assert card.version == f"{shipped.version}+ward.7"
    assert card.sha256 != shipped.sha256
    assert (card.operating_point.positives, card.operating_point.target_sensitivity) == (6, 0.5)
    assert [measured.images for measured in card.measurements] == [12]
    again = calibrate(tmp_path, local, tmp_path / "again", site="ward.8", target=0.5, confidence=0.9)
    assert again.version == f"{shipped.version}+ward.8"


def test_the_new_threshold_keeps_its_count(local: Path, tmp_path: Path) -> None:
    """Scored by the service's own engine, the site's positive films are missed as often as allowed and no more."""
    calibrate(default_directory(), local, tmp_path, site="w", target=0.5, confidence=0.85)
    engine = load_engine(tmp_path, device="cpu")
    films = np.concatenate([prepare(path) for path in local.glob("PNEUMONIA/film*.png")])
    missed = (engine.score(films).logits < engine.card.operating_point.threshold_logit).sum()
    assert missed <= engine.card.operating_point.allowed_misses == 1


def test_a_model_is_not_calibrated_over_itself(local: Path) -> None:
    """Its card would be lost."""
    with pytest.raises(DataError, match="name another folder"):
        calibrate(default_directory(), local, default_directory(), site="w", target=0.5, confidence=0.5)


def test_too_few_positives_are_refused(local: Path, tmp_path: Path) -> None:
    """Six patients certify no 98 %, and nothing is written."""
    with pytest.raises(CannotCertifyError, match="at least 149"):
        calibrate(default_directory(), local, tmp_path / "new", site="w", target=0.98, confidence=0.95)
    assert not (tmp_path / "new").exists()


def test_an_unreadable_film_is_refused(local: Path, tmp_path: Path) -> None:
    """A promise that leaves out the films it could not read is none."""
    for source in local.rglob("*.png"):
        (tmp_path / source.parent.name).mkdir(exist_ok=True)
        (tmp_path / source.parent.name / source.name).write_bytes(source.read_bytes())
    (tmp_path / "PNEUMONIA/broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 films cannot be read, first: PNEUMONIA/broken\.png"):
        calibrate(default_directory(), tmp_path, tmp_path / "new", site="w", target=0.5, confidence=0.9)


def test_the_command_tells_the_promise(local: Path, tmp_path: Path) -> None:
    """`cxr-train calibrate` says which sensitivity is promised, from how many patients; a bad name is refused."""
    options = ["calibrate", "--data", str(local), "--output", str(tmp_path / "new"), "--sensitivity", "0.5"]
    told = CliRunner().invoke(cli.app, [*options, "--confidence", "0.9", "--site", "ward"])
    assert told.exit_code == 0, told.output
    assert "sensitivity at least 0.5 at 90% confidence, from 6 positive patients" in told.stdout
    refused = CliRunner().invoke(cli.app, [*options, "--site", "../ward"])
    assert refused.exit_code == 2
    assert "letters, digits and dots" in refused.stderr


@pytest.mark.parametrize("site", ["w", "7", "Ward.7", "a" * 32])
def test_a_site_is_the_same_to_training_and_to_the_settings_that_start_it(site: str) -> None:
    """A short name of letters, digits and dots."""
    assert checked_site(site) == RetrainingSettings(site=site).site == site


@pytest.mark.parametrize("site", ["", ".w", "ward-7", "ward_7", "w\n", "w\u00e4", "a" * 33])
def test_a_site_that_cannot_be_part_of_a_version_is_refused_by_both(site: str) -> None:
    """By the settings when the service starts, not by every night's training."""
    with pytest.raises(DataError, match="up to 32 letters, digits and dots, the first a letter or digit"):
        checked_site(site)
    with pytest.raises(ValidationError, match="site"):
        RetrainingSettings(site=site)
