"""Composing the score step for a model that this host cannot run."""

from pathlib import Path

import pytest

from tests.studies import MODEL
from worker import bootstrap_score
from worker.champion import InstalledChampion
from worker.db import Database
from worker.errors import ModelError
from worker.model.artifact import default_directory, load_card
from worker.repository.model_versions import SHIPPED, RegisteredModel
from worker.service import Service
from worker.settings import Settings


@pytest.mark.parametrize("fault", [RuntimeError("CUDA out of memory.\nTried to allocate"), MemoryError()])
def test_a_model_that_does_not_fit_on_the_device_is_a_model_error(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a running worker goes on with the model that it has; the first line of the cause is told."""

    def load(*_arguments: object, **_options: object) -> None:
        raise fault

    monkeypatch.setattr(bootstrap_score, "load_engine", load)
    service = Service(Settings(data_dir=tmp_path), Database(f"sqlite:///{tmp_path}/x.sqlite"), lambda _queue: None)
    directory = default_directory()
    installed = InstalledChampion(RegisteredModel(1, SHIPPED, MODEL), load_card(directory), directory)
    cause = "CUDA out of memory.$" if fault.args else "MemoryError$"
    with pytest.raises(ModelError, match=rf"cannot be run on device auto: {cause}"):
        bootstrap_score.build_scorer(service, installed)
