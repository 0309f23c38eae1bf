"""Heatmaps on their way to a PACS, beside the report."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread, uid
from pynetdicom import AE, evt

from dicom_io.identity import content_sha256
from dicom_io.report import derive_uid
from tests.evidence import result_with_evidence
from tests.reports import complaints_of_dciodvfy
from tests.results import RESULT, STUDY
from tests.servers.orthanc import StartOrthanc
from tests.servers.ports import LOOPBACK
from tests.servers.storescp import StartStoreScp
from worker.delivery.send import send
from worker.destinations import DicomDestination
from worker.errors import DeliveryRetryError
from worker.receipt import Receipt

REPORT, CAPTURE = uid.Comprehensive3DSRStorage, uid.SecondaryCaptureImageStorage
STATE = uid.PseudoColorSoftcopyPresentationStateStorage


def deliver(ae_title: str, port: int) -> Receipt:
    """Send the result to a PACS."""
    destination = DicomDestination(
        kind="dicom", name="pacs", ae_title=ae_title, host=LOOPBACK, port=port, timeout_seconds=5, heatmap=True
    )
    return send(result_with_evidence(), destination, calling_ae_title="CXRTRIAGE")


@contextmanager
def pacs(
    classes: Sequence[str], store: Callable[[evt.Event], int], syntax: str = uid.ExplicitVRLittleEndian
) -> Iterator[int]:
    """A PACS that takes some SOP classes in one transfer syntax; its port."""
    entity = AE()
    for sop_class in classes:
        entity.add_supported_context(sop_class, syntax)
    server = entity.start_server((LOOPBACK, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


def test_dcmtk_takes_the_report_and_valid_heatmaps(storescp: StartStoreScp, tmp_path: Path) -> None:
    """Four objects of the study, the report among them; sent again they are the same bytes."""
    first, second = storescp(), storescp()
    answer = deliver(first.ae_title, first.port).answer
    assert answer == "stored, status 0x0000; activation maps: 3 of 3 objects stored"
    deliver(second.ae_title, second.port)
    received = [dcmread(path) for path in first.files()]
    assert {item.StudyInstanceUID for item in received} == {STUDY}
    assert sorted(item.SOPClassUID for item in received) == sorted([REPORT, CAPTURE, CAPTURE, STATE])
    assert [complaints_of_dciodvfy(item, tmp_path) for item in received] == [[]] * 4
    assert list(map(content_sha256, first.files())) == list(map(content_sha256, second.files()))


def test_orthanc_shows_the_film_with_its_map(orthanc: StartOrthanc) -> None:
    """It files all four objects in the study, and its preview of the overlay is what was drawn."""
    peer = orthanc()
    assert deliver(peer.ae_title, peer.port).answer.endswith("activation maps: 3 of 3 objects stored")
    (study,) = peer.get("/studies?expand")
    assert study["MainDicomTags"]["StudyInstanceUID"] == STUDY
    series = peer.get("/series?expand")
    described = [s["MainDicomTags"]["SeriesDescription"] for s in series]
    assert sorted(described) == ["AI TRIAGE: ACTIVATION MAP", "AI TRIAGE: ACTIVATION MAP", "AI TRIAGE: HIGH"]
    shown = {s["MainDicomTags"]["Modality"]: s["Instances"] for s in series}
    assert {modality: len(instances) for modality, instances in shown.items()} == {"OT": 2, "PR": 1, "SR": 1}
    pictures = [np.asarray(preview(f"{peer.url}/instances/{name}/preview")) for name in shown["OT"]]
    (overlay,) = (picture for picture in pictures if picture.ndim == 3)
    assert overlay.shape[1] == 1024
    assert overlay.shape[0] > 1024
    red, _, blue = overlay[20, 20].astype(int)
    assert red > blue + 60
    assert (overlay[600, :1024, 0] == overlay[600, :1024, 2]).all()


def preview(url: str) -> Image.Image:
    """The picture that a viewer gets."""
    with urlopen(url, timeout=10) as answer:  # noqa: S310  # always http on loopback
        return Image.open(io.BytesIO(answer.read()))


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ([REPORT, CAPTURE], f"2 of 3 objects stored, refused: .* takes no SOP class {STATE} "),
        ([REPORT], "0 of 3 objects stored, refused: .* takes no such object"),
    ],
)
def test_a_peer_without_presentation_states_gets_the_report(classes: list[str], said: str) -> None:
    """What it does not negotiate is told in the answer, and is no dead letter."""
    with pacs(classes, lambda _: 0x0000) as port:
        receipt = deliver("ANY", port)
    assert receipt.answer.startswith("stored, status 0x0000; activation maps: ")
    assert re.search(said, receipt.answer)


def test_a_heatmap_that_is_refused_holds_up_no_other() -> None:
    """A failure status for the pictures, out of resources, too, leaves the report delivered and the state stored."""
    taken: list[str] = []

    def store(event: evt.Event) -> int:
        taken.append(event.request.AffectedSOPClassUID)
        return 0xA700 if event.request.AffectedSOPClassUID == CAPTURE else 0x0000

    with pacs([REPORT, CAPTURE, STATE], store) as port:
        answer = deliver("ANY", port).answer
    assert taken == [REPORT, CAPTURE, CAPTURE, STATE]
    assert "1 of 3 objects stored, refused: ANY at" in answer
    assert answer.count("0xA700") == 1


def test_a_peer_of_implicit_vr_gets_the_same_objects() -> None:
    """The pixels and the palette are those of the explicit ones."""
    taken = {}

    def store(event: evt.Event) -> int:
        taken[event.dataset.SOPInstanceUID] = event.dataset
        return 0x0000

    with pacs([REPORT, CAPTURE, STATE], store, uid.ImplicitVRLittleEndian) as port:
        assert "3 of 3" in deliver("ANY", port).answer
    state = taken[derive_uid(RESULT, "heatmap/2.25.1003/1/presentation")]
    assert len(state.RedPaletteColorLookupTableData) == 512
    overlay = taken[derive_uid(RESULT, "heatmap/2.25.1003/1/overlay")]
    assert len(overlay.PixelData) == overlay.Rows * overlay.Columns * 3


def test_a_connection_that_breaks_among_the_heatmaps_leaves_the_report_delivered() -> None:
    """What the flag's next word is must not wait for pictures; the answer says that they may be missing."""
    seen: list[str] = []

    def store(event: evt.Event) -> int:
        seen.append(event.request.AffectedSOPClassUID)
        if seen[-1] == CAPTURE:
            event.assoc.abort()
        return 0x0000

    with pacs([REPORT, CAPTURE, STATE], store) as port:
        answer = deliver("ANY", port).answer
    assert seen == [REPORT, CAPTURE]
    assert answer.startswith("stored, status 0x0000")
    assert "activation maps: none taken for certain" in answer


def test_nothing_is_drawn_for_a_report_that_was_not_taken() -> None:
    """The report comes first, and alone decides."""
    seen: list[str] = []

    def store(event: evt.Event) -> int:
        seen.append(event.request.AffectedSOPClassUID)
        return 0x0110

    with pacs([REPORT, CAPTURE, STATE], store) as port, pytest.raises(DeliveryRetryError):
        deliver("ANY", port)
    assert CAPTURE not in seen
    assert STATE not in seen
