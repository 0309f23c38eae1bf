"""Keeping the device busy: the next batch is claimed and unpacked while the present one is computed."""

from collections.abc import Callable
from dataclasses import dataclass, field

from worker.scoring import Batch, Scorer


@dataclass
class Feeder:
    """Scores batch after batch with one batch ahead; for one thread.

    A more urgent frame waits for the batch under way and for no other one: the batch ahead gives way to it. A frame
    that failed before is scored with nothing beside it, so that one which kills its worker takes no other with it.

    Attributes:
        scorer: returns the scorer of the model that is in service now.
    """

    scorer: Callable[[], Scorer]
    _ahead: Batch | None = field(default=None, init=False)

    def score_next_batch(self) -> bool:
        """Score a batch, most urgent first, and leave the next one on the device; returns whether there was any.

        Every error leaves no frame claimed.
        """
        try:
            scorer = self.scorer()
            return self._score(self._take() or scorer.claim(), scorer)
        except BaseException:
            self._give_back()
            raise

    def finish(self) -> bool:
        """Finish what is on the device, and claim no more; returns whether there was anything."""
        batch = self._take()
        if batch is not None:
            batch.score()
        return batch is not None

    def _score(self, batch: Batch | None, scorer: Scorer) -> bool:
        if batch is None:
            return False
        with batch.held():
            batch.start()
            if not batch.is_retried:
                self._ahead = scorer.claim()
                batch.wait()
                self._start_next(scorer)
            batch.finish()
        return True

    def _start_next(self, scorer: Scorer) -> None:
        """Let the device go on while the batch before is written."""
        if self._ahead is not None and self._ahead.is_overtaken():
            self._give_back()
            self._ahead = scorer.claim()
        if self._ahead is not None and not self._ahead.is_retried:
            self._ahead.start()

    def _take(self) -> Batch | None:
        batch, self._ahead = self._ahead, None
        return batch

    def _give_back(self) -> None:
        batch = self._take()
        if batch is not None:
            batch.give_back()
