"""Judged cases become films that training reads, and tell nothing of patients; on both kinds of database."""

import csv
import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import zstandard
from numpy.typing import NDArray
from sqlalchemy import delete, select
from typer.testing import CliRunner

from dicom_io.header import encode_header
from tests.integration.worker.conftest import Clock
from tests.results import film
from tests.studies import MINUTE, NOW, incoming, receive, score_everything
from training.cli import app as training_app
from training.datasets import find_cases
from worker.cases import LeftOut
from worker.db import Database
from worker.domain import ImageState, VerdictWord
from worker.errors import ExportError
from worker.model.artifact import load_card
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import prepare
from worker.reading import Reading
from worker.repository.model_versions import RegisteredModel
from worker.repository.preparation import ImageWork, Preparation, finish_image
from worker.service import Service
from worker.stating import Speaker
from worker.tables import Image, PreparedImage, Study
from worker.teaching.exporting import Exporter, Tally

SPEC = InputSpec()
Export = Callable[..., Tally]


def pixels(seed: int) -> NDArray[np.uint8]:
    """What the network saw of a film."""
    return np.random.default_rng(seed).integers(0, 256, (SPEC.size, SPEC.size), dtype=np.uint8)


@pytest.fixture
def judged(
    database: Database, champion: RegisteredModel, speaker: Speaker, service: Callable[..., Service]
) -> Callable[..., None]:
    """Call it for a concluded study of one film with the verdict of a reader."""
    built = service()

    def study(
        number: int, patient: str, word: VerdictWord, *, flagged: bool = False, by: str = "roe", text: str = "NO"
    ) -> None:
        uid, name = f"2.25.{number}", f"2.25.{number}1"
        receive(database, incoming(name, study=uid))
        source = film(name)
        source.PatientID, source.BurnedInAnnotation = patient, text
        with database.begin() as session:
            row = session.scalars(select(Image).where(Image.sop_instance_uid == name)).one()
            frames = (zstandard.compress(pixels(number).tobytes()),)
            preparation = Preparation(ImageState.PREPARED, frames=frames, header=encode_header(source))
            work = ImageWork(row.id, uid, row.content_sha256)
            finish_image(session, work, preparation, input_spec_sha256=SPEC.sha256, now=NOW)
        score_everything(database, champion, flagged={name} if flagged else ())
        with database.begin() as session:
            study_id = session.scalars(select(Study.id).where(Study.study_instance_uid == uid)).one()
            speaker.state_conclusion(session, study_id, NOW)
        Reading(built, by).say(uid, word, "Mrs. Doe")

    return study


@pytest.fixture
def export(service: Callable[..., Service], tmp_path: Path) -> Export:
    """Call it to export everything to `out`, or as said."""
    built = service()
    built.settings.data_dir.mkdir(exist_ok=True)

    def call(output: Path = tmp_path / "out", since: timedelta = -MINUTE, until: timedelta = MINUTE) -> Tally:
        return Exporter(built, SPEC).export(NOW + since, NOW + until, output)

    return call


def test_verdicts_become_films_that_training_reads(judged: Callable[..., None], export: Export, tmp_path: Path) -> None:
    """Labels are the readers', pixels those that the network saw, and a patient is one patient."""
    judged(1, "P1", VerdictWord.AGREES, flagged=True)
    judged(2, "P1", VerdictWord.DISAGREES, flagged=True)
    judged(3, "P2", VerdictWord.AGREES)
    judged(4, "", VerdictWord.DISAGREES)
    tally = export()
    assert (tally.studies, len(tally.rows), tally.positives, +tally.left_out) == (4, 4, 2, {})
    cases = find_cases(tmp_path / "out" / "manifest.csv")
    found = {seed: c for c in cases for seed in range(1, 5) if np.array_equal(prepare(c.path)[0], pixels(seed))}
    assert {seed: case.label for seed, case in sorted(found.items())} == {1: 1, 2: 0, 3: 0, 4: 1}
    assert found[1].patient == found[2].patient
    assert len({case.patient for case in cases}) == 3


def test_nothing_in_the_folder_tells_who_or_when(judged: Callable[..., None], export: Export, tmp_path: Path) -> None:
    """No ID, UID, date or comment in any name or byte; only this account may look, and the key lies elsewhere."""
    judged(1, "PAT4711", VerdictWord.AGREES, flagged=True)
    export()
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    told = b"".join(path.read_bytes() + str(path.relative_to(tmp_path)).encode() for path in files)
    for secret in (b"PAT4711", b"2.25.1", b"2026", b"Doe", b"roe", (tmp_path / "data" / "training.key").read_bytes()):
        assert secret not in told
    assert {stat.S_IMODE(path.stat().st_mode) for path in ((tmp_path / "out"), tmp_path / "out" / "films")} == {0o700}
    assert stat.S_IMODE((tmp_path / "data" / "training.key").stat().st_mode) == 0o600
    (row,) = csv.DictReader((tmp_path / "out" / "manifest.csv").read_text().splitlines())
    assert set(row) == {"path", "label", "patient", "verdict"}


def test_the_same_export_again_is_the_same_folder_and_follows_a_change_of_mind(
    judged: Callable[..., None], export: Export, tmp_path: Path, service: Callable[..., Service]
) -> None:
    """Names are stable over exports; a case on which readers now differ leaves the folder."""
    judged(1, "P1", VerdictWord.AGREES, flagged=True)
    judged(3, "P2", VerdictWord.AGREES)
    export()
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    export()
    export(tmp_path / "other")
    for folder in ("out", "other"):
        assert {path.name: path.read_bytes() for path in (tmp_path / folder).rglob("*") if path.is_file()} == before
    Reading(service(), "poe").say("2.25.1", VerdictWord.DISAGREES)
    assert +export().left_out == {LeftOut.DISAGREEMENT: 1}
    assert len(list((tmp_path / "out" / "films").iterdir())) == 1
    summary = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (summary["finished"], summary["films"], summary["left_out"]["readers disagree"]) == (True, 1, 1)
    Reading(service(), "poe").say("2.25.1", VerdictWord.AGREES)  # whose first word counts no more
    assert len(export().rows) == 2


def test_what_cannot_teach_is_counted(
    judged: Callable[..., None], export: Export, database: Database, clock: Clock
) -> None:
    """A film that retention deleted, a damaged one, a study that changed, text in the film: left out by reason."""
    for number in (1, 2, 3):
        judged(number, f"P{number}", VerdictWord.AGREES)
    judged(4, "P4", VerdictWord.AGREES, text="YES")
    receive(database, incoming("2.25.39", study="2.25.3", at=NOW + MINUTE))
    with database.begin() as session:
        contents = list(session.scalars(select(Image.content_sha256).order_by(Image.id)))
        session.execute(delete(PreparedImage).where(PreparedImage.content_sha256 == contents[0]))
        stored = session.scalars(select(PreparedImage).where(PreparedImage.content_sha256 == contents[1])).one()
        stored.pixels = b"torn"
    tally = export()
    assert (tally.rows, tally.studies) == ([], 0)
    assert tally.left_out == {LeftOut.GONE: 1, LeftOut.DAMAGED: 1, LeftOut.CHANGED: 1, LeftOut.BURNED_IN: 1}
    assert export(since=MINUTE, until=2 * MINUTE).left_out == {}


def test_a_folder_of_somebody_else_is_left_alone(export: Export, tmp_path: Path) -> None:
    """Nor is a file written over, an empty window exported, or a key used that others can read or that is damaged."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("mine")
    with pytest.raises(ExportError, match="not empty and no earlier export"):
        export(tmp_path / "theirs")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["thesis.txt"]
    with pytest.raises(ExportError, match="is a file"):
        export(tmp_path / "theirs" / "thesis.txt")
    with pytest.raises(ExportError, match="no day is left"):
        export(since=MINUTE, until=MINUTE)
    key = tmp_path / "data" / "training.key"
    key.chmod(0o644)
    with pytest.raises(ExportError, match="chmod 600"):
        export()
    key.chmod(0o600)
    key.write_text("short")
    with pytest.raises(ExportError, match="restore it from a backup"):
        export()


@pytest.mark.nightly
def test_a_model_is_trained_on_from_verdicts(judged: Callable[..., None], export: Export, tmp_path: Path) -> None:
    """What was exported goes into `cxr-train fit` as it is, from the weights in service to a version directory."""
    key = tmp_path / "data" / "training.key"
    key.touch(0o600)
    key.write_text("5a" * 32)  # always the same patients are held out
    for number in range(1, 33):
        judged(number, f"P{number}", VerdictWord.AGREES, flagged=number % 2 == 0)
    assert export().positives == 16
    words = ["--init", "champion", "--recipe", "champion-finish", "--smoke", "--device", "cpu"]
    data = ["--data", str(tmp_path / "out" / "manifest.csv"), "--output", str(tmp_path / "run")]
    ran = CliRunner().invoke(training_app, ["fit", *words, *data])
    assert ran.exit_code == 0, ran.output
    assert load_card(tmp_path / "run" / "model").status == "provisional"
