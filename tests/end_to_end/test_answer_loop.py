"""The answer loop is closed: a PACS that sends us everything it holds, our own reports included."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_io.phantom import phantom_dataset
from dicom_io.report import derive_uid
from dicom_io.scu import store
from dicom_io.types import ApplicationEntity
from tests.end_to_end.conftest import StartService
from tests.notes import key_objects
from tests.servers.orthanc import Orthanc, StartOrthanc
from tests.servers.ports import free_port, wait_until
from worker.db import Database
from worker.repository.views import StudyHistory, study_history, worklist
from worker.settings import load_settings

FORWARD = """
function OnStoredInstance(id, tags, metadata)
  SendToModality(id, 'triage')
end
"""


def _pacs(orthanc: StartOrthanc, folder: Path, port: int) -> Orthanc:
    """An Orthanc that forwards whatever it stores, the films and what comes back for them."""
    script = folder / "forward.lua"
    script.write_text(FORWARD)
    return orthanc(
        "PACS",
        LuaScripts=[str(script)],
        DicomModalities={"triage": ["CXRTRIAGE", "127.0.0.1", port]},
        OverwriteInstances=True,  # also one that it has, so that an object which came back would go round again
    )


def _destinations(pacs: Orthanc) -> str:
    return (
        f'[[destinations]]\nname = "pacs"\nkind = "dicom"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
    )


def _push(pacs: Orthanc, *films: Dataset) -> None:
    address = ApplicationEntity(pacs.ae_title, pacs.host, pacs.port)
    store(address, films, calling_ae_title="MODALITY", timeout_seconds=30)


def _reports(pacs: Orthanc) -> list[str]:
    """SOP Instance UIDs of the structured reports that the PACS holds."""
    found = pacs.post("/tools/find", {"Level": "Instance", "Query": {"Modality": "SR"}, "Expand": True})
    return sorted(instance["MainDicomTags"]["SOPInstanceUID"] for instance in found)


@dataclass(frozen=True)
class Study:
    """What the service knows of the film's study, asked of its database: a command would take a second each time."""

    database: Database
    uid: str

    def history(self) -> StudyHistory:
        """All of it."""
        with self.database.read() as session:
            history = study_history(session, self.uid)
        assert history is not None
        return history

    def is_said(self, revision: int) -> bool:
        """Whether this revision is concluded, sent, and every report of it came back."""
        with self.database.read() as session:
            history = study_history(session, self.uid)
        if history is None or (history.study.revision, history.study.complete) != (revision, True):
            return False
        sent = all(delivery.state in {"delivered", "overtaken"} for delivery in history.deliveries)
        return sent and set(self.expected()) <= set(self.returned())

    def expected(self) -> list[str]:
        """The name of the one report of each result that went to the PACS."""
        sent = [delivery for delivery in self.history().deliveries if delivery.state == "delivered"]
        return sorted(derive_uid(delivery.result_uid, "sr") for delivery in sent)

    def returned(self) -> list[str]:
        """SOP Instance UIDs of the objects without pixels that came, in order."""
        return [e.detail["sop_instance_uid"] for e in self.history().events if e.kind == "object-recorded"]


@pytest.fixture
def film() -> Dataset:
    """A drawn film; what is said of it is of no concern here."""
    return phantom_dataset(7, kind="CR", rows=512, columns=512, accession_number="ACC1", patient_name="Loop^Lena")


def test_a_pacs_that_forwards_everything_gets_one_report_per_result(
    start_service: StartService, orthanc: StartOrthanc, film: Dataset, tmp_path: Path
) -> None:
    """The report comes back, is recorded, and starts nothing; a rejection note of the PACS is said once, too."""
    port = free_port()
    pacs = _pacs(orthanc, tmp_path, port)
    service = start_service(toml=_destinations(pacs), port=port)
    database = Database(load_settings(service._config).effective_database_url)
    study = Study(database, str(film.StudyInstanceUID))
    _push(pacs, film)
    wait_until(lambda: study.is_said(1), "a result, and its report back", seconds=120)
    results = len(study.history().results)
    assert _reports(pacs) == study.expected()

    _push(pacs, key_objects({study.uid: (str(film.SOPInstanceUID),)}))
    wait_until(lambda: study.is_said(2), "a result of the rejection, and its report back", seconds=120)
    history = study.history()
    assert (history.study.reason, history.images[0].rejection, len(history.results)) == (
        "rejected",
        "113001",
        results + 1,
    )
    assert _reports(pacs) == study.expected()

    # Everything once more, as a migrating PACS would: nothing is said of it.
    before = study.returned()
    for instance in pacs.get("/instances"):
        _send_again(pacs, instance)
    assert sorted(study.returned()[len(before) :]) == sorted(set(before))
    last = study.history()
    assert (last.study.revision, last.study.complete, len(last.results)) == (2, True, results + 1)
    assert _reports(pacs) == study.expected()
    with database.read() as session:
        assert len(worklist(session, limit=9)) == 1
    database.dispose()


def _send_again(pacs: Orthanc, instance: str) -> None:
    assert pacs.post("/modalities/triage/store", instance.encode())["FailedInstancesCount"] == 0
