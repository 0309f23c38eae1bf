"""The whole round: Orthanc as the PACS pushes all that it holds, and gets the results back into its studies."""

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO

from tests.end_to_end.conftest import StartService
from tests.end_to_end.test_answer_loop import FORWARD
from tests.evidence import HEATMAP_CLASSES
from tests.reports import complaints, complaints_of_dciodvfy
from tests.servers.orthanc import Orthanc, StartOrthanc
from tests.servers.ports import free_port, wait_until

REPEATED = ("PatientID", "PatientName", "PatientBirthDate", "StudyDate", "StudyID", "AccessionNumber")


def _destination(pacs: Orthanc) -> str:
    return (
        '[[destinations]]\nname = "pacs"\nkind = "dicom"\nheatmap = true\n'
        f'ae_title = "{pacs.ae_title}"\nhost = "{pacs.host}"\nport = {pacs.port}\n'
    )


def _series(pacs: Orthanc, study: str) -> dict[str, list[str]]:
    """The instances of each series of a study, by modality and description."""
    found = pacs.get(f"/studies/{study}/series")
    return {f"{s['MainDicomTags']['Modality']} {_description(s)}": s["Instances"] for s in found}


def _description(series: dict[str, Any]) -> str:
    return str(series["MainDicomTags"].get("SeriesDescription", ""))


def _object(pacs: Orthanc, instance: str) -> Dataset:
    return dcmread(DicomBytesIO(pacs.download(f"/instances/{instance}/file")))


@pytest.fixture
def chest_films(shared_data: Path) -> list[Path]:
    """Three real chest films of three studies."""
    return sorted((shared_data / "dicom" / "chest").glob("*.dcm"))[:3]


def test_a_pacs_pushes_its_studies_and_gets_report_and_heatmap_back_into_them(
    start_service: StartService, orthanc: StartOrthanc, chest_films: list[Path], tmp_path: Path
) -> None:
    """Every study has a report of its own patient beside its film, and the flagged ones a map; all is valid DICOM.

    The PACS sends us everything that it stores, our own pictures too: they are recorded, and no study is opened again.
    """
    port, forward = free_port(), tmp_path / "forward.lua"
    forward.write_text(FORWARD)
    triage = {"AET": "CXRTRIAGE", "Host": "127.0.0.1", "Port": port, "AllowStorageCommitment": True}
    pacs = orthanc("PACS", DicomModalities={"triage": triage}, LuaScripts=[str(forward)])
    service = start_service(toml=_destination(pacs), port=port)
    studies = [pacs.post("/instances", film.read_bytes())["ParentStudy"] for film in chest_films]
    wait_until(lambda: _are_concluded(service.json("worklist"), len(studies)), "three concluded studies", seconds=120)
    wait_until(lambda: not service.json("deliveries"), "an empty outbox", seconds=60)

    entries = {entry["study_instance_uid"]: entry for entry in service.json("worklist")}
    for study, film in zip(studies, chest_films, strict=True):
        source, series = dcmread(film), _series(pacs, study)
        flagged = entries[source.StudyInstanceUID]["priority"] == "HIGH"
        assert ("SR AI TRIAGE: HIGH" in series) == flagged
        assert any("ACTIVATION MAP" in name for name in series) == flagged
        made = [_object(pacs, i) for name, instances in series.items() if "AI TRIAGE" in name for i in instances]
        for dataset in made:
            assert [dataset.get(k) or "" for k in REPEATED] == [source.get(k) or "" for k in REPEATED]
            found = complaints if dataset.Modality == "SR" else complaints_of_dciodvfy
            assert found(dataset, tmp_path) == []
    assert any("OT AI TRIAGE" in name for name in _series(pacs, studies[0]))
    first = dcmread(chest_films[0]).StudyInstanceUID
    wait_until(lambda: _is_committed(service.json("study", first)), "the PACS's commitment", seconds=60)
    wait_until(lambda: _returned(service.json("study", first)) == sorted(HEATMAP_CLASSES), "the maps back", seconds=60)
    history = service.json("study", first)
    assert (history["study"]["revision"], len(history["images"]), len(history["results"])) == (1, 1, 2)


def _are_concluded(entries: list[dict[str, Any]], count: int) -> bool:
    return len([entry for entry in entries if entry["complete"]]) == count


def _is_committed(history: dict[str, Any]) -> bool:
    return all(delivery["commitment"] == "committed" for delivery in history["deliveries"])


def _returned(history: dict[str, Any]) -> list[str]:
    """The SOP classes of our own objects that came back, but for the reports."""
    recorded = [event["detail"]["sop_class_uid"] for event in history["events"] if event["kind"] == "object-recorded"]
    return sorted(sop_class for sop_class in recorded if sop_class in HEATMAP_CLASSES)


def test_shadow_screening_leaves_the_pacs_as_it_is(
    start_service: StartService, orthanc: StartOrthanc, chest_films: list[Path]
) -> None:
    """A site's first weeks: everything is screened and stored here, and nothing at all is sent."""
    pacs = orthanc("PACS")
    service = start_service(toml=_destination(pacs), shadow=True)
    film = pacs.post("/instances", chest_films[0].read_bytes())
    pacs.put("/modalities/triage", {"AET": "CXRTRIAGE", "Host": "127.0.0.1", "Port": service.port})
    pacs.post("/modalities/triage/store", film["ParentStudy"].encode())
    wait_until(lambda: _are_concluded(service.json("worklist"), 1), "a concluded study", seconds=120)
    study = service.json("study", service.json("worklist")[0]["study_instance_uid"])
    assert {result["origin"] for result in study["results"]} == {"shadow"}
    assert study["deliveries"] == []
    assert pacs.get("/statistics")["CountInstances"] == 1
