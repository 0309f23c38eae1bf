"""What the fast preparation changes in the end: the shipped model's probability."""

import sys
from pathlib import Path

import numpy as np

from tests.slow_preparation import prepare_slowly
from worker.inference import load_engine
from worker.model.artifact import default_directory
from worker.model.preprocessing import prepare


def test_the_probability_moves_by_at_most_one_point(shared_data: Path) -> None:
    """On every real file, the model gives the fast and the slow preparation the same probability within 0.01."""
    engine = load_engine(default_directory(), device="cpu")
    paths = sorted((shared_data / "dicom").glob("*/*.dcm"))
    moved = {}
    for path in paths:
        exact = np.rint(prepare_slowly(path)).astype(np.uint8)
        logits = [engine.score(frames).logits[0] for frames in (exact, prepare(path, engine.card.input_spec))]
        slow, fast = (engine.card.operating_point.probability(float(logit)) for logit in logits)
        moved[path.stem] = abs(slow - fast)
    for name, difference in moved.items():
        sys.stdout.write(f"{name[:60]:62}{difference:7.4f}\n")
    assert len(moved) == 24
    assert max(moved.values()) <= 0.01
