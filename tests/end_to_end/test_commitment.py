"""Storage commitment through the processes as they are run."""

import pytest

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.commitment_client import CALLER, Ear, action_information, listening, request_commitment
from tests.end_to_end.conftest import StartService
from tests.servers.ports import LOOPBACK, free_port, wait_until
from worker.sections import PeerSettings


@pytest.mark.parametrize("killed", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_what_was_asked_for_is_reported(start_service: StartService, killed: bool) -> None:
    """A request that was answered 0x0000 outlives the processes; its steps are on the study's timeline."""
    ear = Ear(PeerSettings(ae_title=CALLER, host=LOOPBACK, port=free_port()))
    toml = (
        "[storage_commitment]\nenabled = true\n[[storage_commitment.callers]]\n"
        f'ae_title = "{CALLER}"\nhost = "{LOOPBACK}"\nport = {ear.address.port}\n'
    )
    service = start_service(toml=toml, retry_max_seconds=1)
    film = phantom_dataset(1, kind="CR", rows=64, columns=64)
    store(service.listener, [film], calling_ae_title=CALLER, timeout_seconds=10)
    information = action_information([(film.SOPClassUID, film.SOPInstanceUID)])
    assert request_commitment(service.port, information) == 0x0000
    if killed:
        service.kill_everything()
        service.start()
    with listening(ear):
        wait_until(lambda: bool(ear.reports), "the report", seconds=120)
        wait_until(lambda: service.json("commitments")[0]["state"] == "delivered", "its acknowledgement noted")
    assert ear.outcomes[-1] == (1, [film.SOPInstanceUID], {})
    (request,) = service.json("commitments")
    assert (request["calling_ae_title"], request["references"], request["failed"]) == (CALLER, 1, 0)
    kinds = [event["kind"] for event in service.json("study", film.StudyInstanceUID)["events"]]
    assert [kind for kind in kinds if kind.startswith("commitment-")] == [
        "commitment-requested",
        "commitment-checked",
        "commitment-reported",
    ]
    assert service.run("commitments", "retry").stdout == "0 dead commitments put back\n"
