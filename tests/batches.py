"""The score step without a batch ahead."""

from worker.scoring import Scorer


def score_batch(scorer: Scorer) -> bool:
    """Claim a batch and score it; returns whether there was one."""
    batch = scorer.claim()
    if batch is not None:
        batch.score()
    return batch is not None
