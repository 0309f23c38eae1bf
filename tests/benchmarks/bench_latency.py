"""From the last byte received to the HIGH flag in the folder, one study at a time, warm, on each broker."""

import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from dicom_io.phantom import phantom_dataset
from dicom_io.scu import store
from tests.end_to_end.service import RunningService
from tests.servers.ports import wait_until
from tests.servers.redis import redis

STUDIES = 20
SEEDS = range(1, 25)


def push(service: RunningService, seed: int) -> str:
    """Push a phantom as a fresh study; returns its UID."""
    film = phantom_dataset(seed, kind="CR")
    store(service.listener, [film], calling_ae_title="BENCH", timeout_seconds=30)
    return str(film.StudyInstanceUID)


def flagged_seed(service: RunningService) -> int:
    """Find a phantom that the shipped model flags; it also warms the workers up."""
    pushed = {push(service, seed): seed for seed in SEEDS}
    wait_until(lambda: len(service.concluded()) == len(pushed), "every phantom screened", seconds=120)
    flagged = [pushed[uid] for uid, flag in service.concluded().items() if flag["priority"] == "HIGH"]
    if not flagged:
        sys.exit("the shipped model flags none of the phantoms: no time to a flag can be measured")
    return flagged[0]


def seconds_to_flag(service: RunningService, uid: str) -> float:
    """Wait for a study's first flag; returns the seconds from its receipt to its delivery, by the service's clock."""
    wait_until(lambda: service.first_flag(uid) is not None, "the flag", seconds=60)
    history = service.json("study", uid)
    received = datetime.fromisoformat(history["images"][0]["received_at"])
    delivered = [datetime.fromisoformat(row["delivered_at"]) for row in history["deliveries"] if row["delivered_at"]]
    return (min(delivered) - received).total_seconds()


def measure(broker: str, **settings: object) -> None:
    """Print the quantiles for one broker."""
    with tempfile.TemporaryDirectory() as folder:
        service = RunningService(Path(folder), toml="", settings=settings)
        try:
            service.start()
            seed = flagged_seed(service)
            seconds = sorted(seconds_to_flag(service, push(service, seed)) for _ in range(STUDIES))
        finally:
            service.stop()
    p95 = seconds[int(0.95 * len(seconds))]
    sys.stdout.write(f"{broker:10} p50 {statistics.median(seconds):5.2f} s   p95 {p95:5.2f} s   {STUDIES} studies\n")


if __name__ == "__main__":
    sys.stdout.write("last byte to HIGH flag in the folder\n")
    measure("embedded")
    with tempfile.TemporaryDirectory() as data, redis(Path(data)) as url:
        measure("redis", broker_url=url)
