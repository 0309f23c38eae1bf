"""A codec that kills its process takes no other study with it."""

from pathlib import Path

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.conftest import StartService
from tests.servers.ports import wait_until

# Imported by every Python process of the service at its start; only the prepare workers decode.
_SEGFAULT = """
import os, signal, sys
if "prepare" in sys.orig_argv:
    from dicom_io import reader
    whole = reader.read_frames
    def read_frames(parsed, description, covering):
        if str(parsed.header.StudyInstanceUID) == "2.25.666":
            os.kill(os.getpid(), signal.SIGSEGV)
        return whole(parsed, description, covering)
    reader.read_frames = read_frames
"""


def test_a_codec_that_segfaults_costs_only_its_own_study(start_service: StartService, tmp_path: Path) -> None:
    """The poisoned film is set aside after its attempts with a reason; the films around it are screened."""
    (tmp_path / "sitecustomize.py").write_text(_SEGFAULT)
    service = start_service(environment={"PYTHONPATH": str(tmp_path)}, lease_seconds=2, max_attempts=2)
    films = [
        phantom_dataset(seed, kind="CR", rows=256, columns=256, study_instance_uid="2.25.666" if seed == 1 else None)
        for seed in range(4)
    ]
    for film in films:
        assert store(service.listener, [film], calling_ae_title="PACS", timeout_seconds=10) == [0]
    wait_until(lambda: len(service.concluded()) == len(films), "every study concluded", seconds=120)
    said = [service.concluded()[str(film.StudyInstanceUID)] for film in films]
    assert [flag["status"] for flag in said] == ["SCREENED", "UNSCREENED", "SCREENED", "SCREENED"]
    assert said[1]["reason"] == "incomplete"
    assert [image["reason"] for image in said[1]["images"]] == ["attempts-exhausted"]
    (set_aside,) = service.json("quarantine")
    assert (set_aside["study_instance_uid"], set_aside["attempts"]) == ("2.25.666", 2)
    assert set_aside["last_error"] == "the worker died, or outlived its lease, in attempt 2"
    assert "1 images put back" in service.run("quarantine", "retry", "--study", "2.25.666").stdout
