"""From the last byte received to the flag stored in Orthanc, one study at a time, warm, on each broker.

Both ends are seen from outside, by one clock: just before the sender opens its association, and the report among what
Orthanc's REST interface finds. What is measured is therefore a little more than what is named.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import Dataset

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.service import RunningService
from tests.servers.orthanc import Orthanc, orthanc
from tests.servers.ports import wait_until
from tests.servers.redis import redis

STUDIES = 100
SEEDS = range(1, 25)


def push(service: RunningService, seed: int) -> Dataset:
    """Push a phantom as a fresh study."""
    film = phantom_dataset(seed, kind="CR")
    store(service.listener, [film], calling_ae_title="BENCH", timeout_seconds=30)
    return film


def flagged_seed(service: RunningService) -> int:
    """Find a phantom that the shipped model flags; it also warms the workers up."""
    pushed = {str(push(service, seed).StudyInstanceUID): seed for seed in SEEDS}
    wait_until(lambda: len(service.concluded()) == len(pushed), "every phantom screened", seconds=120)
    flagged = [pushed[uid] for uid, flag in service.concluded().items() if flag["priority"] == "HIGH"]
    if not flagged:
        sys.exit("the shipped model flags none of the phantoms: no time to a flag can be measured")
    return flagged[0]


def reports(pacs: Orthanc, accession_number: str) -> int:
    """How many reports Orthanc has of the study."""
    query = {"Level": "Series", "Query": {"Modality": "SR", "AccessionNumber": accession_number}}
    return len(pacs.post("/tools/find", query))


def seconds_to_flag(service: RunningService, pacs: Orthanc, seed: int, number: int) -> float:
    """Push a study and wait for its flag in Orthanc; returns the seconds between."""
    accession_number = f"BENCH{number}"
    film = phantom_dataset(seed, kind="CR", accession_number=accession_number)
    begun = time.monotonic()
    store(service.listener, [film], calling_ae_title="BENCH", timeout_seconds=30)
    wait_until(lambda: reports(pacs, accession_number) > 0, "the flag in Orthanc", seconds=60)
    return time.monotonic() - begun


@contextmanager
def service_with_pacs(folder: Path, **settings: object) -> Iterator[tuple[RunningService, Orthanc]]:
    """Run a service that sends its reports to an Orthanc of its own, and its flags to a folder."""
    (folder / "orthanc").mkdir()
    with orthanc(folder / "orthanc") as pacs:
        toml = (
            f'[[destinations]]\nname = "flags"\nkind = "folder"\npath = "{folder / "data" / "flags"}"\n'
            f'[[destinations]]\nname = "pacs"\nkind = "dicom"\nae_title = "{pacs.ae_title}"\n'
            f'host = "{pacs.host}"\nport = {pacs.port}\n'
        )
        service = RunningService(folder, toml=toml, settings=settings)
        try:
            service.start()
            yield service, pacs
        finally:
            service.stop()


def measure(broker: str, **settings: object) -> None:
    """Print the quantiles for one broker."""
    with tempfile.TemporaryDirectory() as folder, service_with_pacs(Path(folder), **settings) as (service, pacs):
        seed = flagged_seed(service)
        wait_until(lambda: not service.json("deliveries"), "an empty outbox", seconds=120)
        seconds = sorted(seconds_to_flag(service, pacs, seed, number) for number in range(STUDIES))
    p95 = seconds[int(0.95 * len(seconds))]
    median, worst = statistics.median(seconds), seconds[-1]
    sys.stdout.write(f"{broker:10} p50 {median:5.2f} s   p95 {p95:5.2f} s   max {worst:5.2f} s   {STUDIES} studies\n")


if __name__ == "__main__":
    sys.stdout.write("last byte to the flag stored in Orthanc\n")
    measure("embedded")
    with tempfile.TemporaryDirectory() as data, redis(Path(data)) as url:
        measure("redis", broker_url=url)
