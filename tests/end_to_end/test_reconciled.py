"""A film that never came is fetched from the PACS, by hand and by night, and screened like every other."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from dicom_io.scu import store_files
from tests.archives import OUR_TITLE, entity, fill, film, orthanc_that_sends_to
from tests.end_to_end.conftest import StartService
from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import LOOPBACK, free_port, wait_until

_WAKE = 'from worker.celery import app; app.send_task("worker.reconcile", queue="prepare", ignore_result=True)'


def test_what_never_came_is_fetched_and_screened(
    start_service: StartService, orthanc: StartOrthanc, tmp_path: Path
) -> None:
    """Of four films of a day two were pushed: a person has the other two fetched; one of today comes by night."""
    port = free_port()
    pacs = orthanc(**orthanc_that_sends_to(port))
    films = [film(number, f"2.25.{100 + number}", rows=256, columns=256, opacity=True) for number in range(5)]
    films[4].StudyDate = datetime.now(UTC).strftime("%Y%m%d")
    fill(entity(pacs), films, tmp_path)
    toml = (
        '[reconciliation]\nwindow = "00:00-00:00"\n'
        f'[reconciliation.pacs]\nae_title = "{pacs.ae_title}"\nhost = "{LOOPBACK}"\nport = {pacs.port}\n'
    )
    service = start_service(port=port, toml=toml)
    pushed = [tmp_path / "0.dcm", tmp_path / "1.dcm"]
    store_files(service.listener, pushed, calling_ae_title="MODALITY", timeout_seconds=30)

    done = service.run("reconcile", "--date", "2026-01-02")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line[:5] in {"here\t", "fetch"}] == ["here\t2", "fetched\t2"]

    # Beat does the same every minute.
    environment = {**os.environ, "CXR_CONFIG": str(tmp_path / "settings.toml")}
    subprocess.run([sys.executable, "-c", _WAKE], check=True, env=environment, timeout=60)
    wait_until(lambda: len(service.concluded()) == 5, f"five concluded studies, see {service.log}", seconds=120)
    assert {flag["status"] for flag in service.concluded().values()} == {"SCREENED"}
    fetched = service.json("study", "2.25.104")
    assert {image["calling_ae_title"] for image in fetched["images"]} == {pacs.ae_title}
    assert "reconciled" in [event["kind"] for event in fetched["events"]]
    assert service.json("study", "2.25.100")["images"][0]["calling_ae_title"] != pacs.ae_title
    assert OUR_TITLE in service.log.read_text()
