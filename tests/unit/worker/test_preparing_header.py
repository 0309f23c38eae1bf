"""The header that preparing keeps for the report."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dicom_io.phantom import phantom_dataset
from worker.domain import ImageState
from worker.model.input_spec import InputSpec
from worker.preparing import Preparer


@pytest.mark.parametrize("kind", ["DX", "CT"])
def test_text_in_a_wrong_character_set_keeps_its_bytes(kind: str, tmp_path: Path) -> None:
    """Name and ID reach the report as the sender wrote them, in scope or not, even where they cannot be decoded."""
    dataset = phantom_dataset(1, rows=64, columns=64, patient_id="IDENTIFIER", patient_age="")
    dataset.Modality = kind
    dataset.save_as(tmp_path / "film", enforce_file_format=True)
    written = (tmp_path / "film").read_bytes()
    for text, bad in ((b"Phantom^Chest", b"Ph\xe4\xff\x81om^\xfc\x1b$Bt"), (b"IDENTIFIER", b"ID\xe4\xff\x81\x1b$BER")):
        assert len(text) == len(bad)
        written = written.replace(text, bad)
    (tmp_path / "film").write_bytes(written)
    card: Any = SimpleNamespace(input_spec=InputSpec(), intended_ages=None)
    service: Any = None
    preparation = Preparer(service, card)._prepare(tmp_path / "film")
    assert preparation.state in {ImageState.PREPARED, ImageState.OUT_OF_SCOPE}
    assert preparation.header is not None
    assert b"Ph\xe4\xff\x81om^\xfc\x1b$Bt" in preparation.header
    assert b"ID\xe4\xff\x81\x1b$BER" in preparation.header
