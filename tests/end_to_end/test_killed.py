"""What was answered 0x0000 is never lost, whoever is killed when."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_io.errors import PeerError
from dicom_io.identity import content_sha256
from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.conftest import StartService
from tests.end_to_end.service import RunningService
from tests.servers.ports import wait_until

STUDIES = 40
KILL_AFTER = 15


class Sender:
    """A PACS that pushes studies one by one and remembers which were answered 0x0000."""

    def __init__(self, service: RunningService, films: list[Dataset]) -> None:
        self.accepted: list[str] = []
        self._service = service
        self._films = films

    def push(self) -> None:
        """Push every film once; what is not answered is not sent again."""
        for film in self._films:
            try:
                store(self._service.listener, [film], calling_ae_title="PACS", timeout_seconds=10)
            except PeerError:
                continue
            self.accepted.append(str(film.StudyInstanceUID))


def films(count: int) -> Iterator[Dataset]:
    """Draw small films of one study each."""
    for seed in range(count):
        yield phantom_dataset(seed, kind="CR", rows=256, columns=256)


# pynetdicom leaves a socket that was refused a connection to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_every_accepted_study_is_flagged_after_everything_was_killed(start_service: StartService) -> None:
    """SIGKILL to every process while 40 studies come in: each that was answered 0x0000 ends with one conclusion."""
    service = start_service(lease_seconds=5)
    sender = Sender(service, list(films(STUDIES)))
    pushing = threading.Thread(target=sender.push)
    pushing.start()
    wait_until(lambda: len(sender.accepted) >= KILL_AFTER, f"{KILL_AFTER} accepted studies", seconds=120)
    service.kill_everything()
    pushing.join()
    assert KILL_AFTER <= len(sender.accepted) < STUDIES

    service.start()
    wait_until(lambda: set(sender.accepted) <= set(service.concluded()), "a flag per accepted study", seconds=120)
    said = [(f["study_instance_uid"], f["revision"], f["complete"]) for f in service.flags()]
    assert len(said) == len(set(said))
    assert _half_written(service.folder / "data" / "spool") == []


def _half_written(spool: Path) -> list[Path]:
    """Return files under a final name that do not hash to it."""
    final = [path for path in spool.rglob("*.dcm") if not path.name.startswith(".")]
    return [path for path in final if content_sha256(path) != path.stem]
