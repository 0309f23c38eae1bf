"""A score host in its own process, which a test may kill: `python -m tests.rescreen_host DATABASE_URL DATA_DIR`."""

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.rescreens import GreyNetwork, rescreener
from tests.studies import FOLDER
from worker.db import Database
from worker.feeding import Feeder
from worker.inference import Scores
from worker.model.artifact import default_directory, load_card
from worker.repository.model_versions import champion
from worker.rescreening.scoring import make_way
from worker.scoring import Scorer
from worker.service import Service
from worker.settings import Settings
from worker.stating import Speaker

BATCH_SECONDS = 0.02


class SlowNetwork(GreyNetwork):
    """Takes a while for each batch, as a network does."""

    def score(self, pixels: NDArray[np.uint8]) -> Scores:
        """Score a batch."""
        time.sleep(BATCH_SECONDS)
        return super().score(pixels)


def serve(url: str, data_dir: Path) -> None:
    """Score what comes live, and a re-screening when nothing does, for ever."""
    database = Database(url)
    service = Service(Settings(data_dir=data_dir, lease_seconds=1), database, lambda _task: None)
    with database.read() as session:
        model = champion(session)
    assert model is not None
    network = SlowNetwork(load_card(default_directory()))
    scorer = Scorer(service, network, Speaker(model, (FOLDER,), shadow=False))  # type: ignore[arg-type]
    live = Feeder(lambda: scorer)

    def between() -> None:
        make_way(service, live.score_next_batch)
        live.finish()

    host = rescreener(service, model, network, between=between)
    while True:
        if not (live.score_next_batch() or host.score_next_chunk()):
            time.sleep(0.02)


if __name__ == "__main__":
    serve(sys.argv[1], Path(sys.argv[2]))
