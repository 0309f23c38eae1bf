"""Screening files in this process and its children: no database, no queue, no PACS. One flag per file."""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from worker.inference import Engine
from worker.screening.ahead import InterruptedRunError, ahead
from worker.screening.preparation import Prepared
from worker.screening.processes import PreparingProcesses
from worker.screening.record import Record
from worker.screening.saying import ScreenedFile, judge_frames, say

# Films per forward pass: on a CPU more of them are no faster.
FILMS_ON_CPU = 16
FILMS_ON_GPU = 64
FILES_AHEAD = 64
_FILES_PER_BATCH = 64
_BATCHES_AT_A_TIME = 2  # one is in the network while the other is unpacked, judged and said

_Batch = list[tuple[Path, Prepared]]


@dataclass
class Screener:
    """Screens files: children prepare, threads of this process score.

    Attributes:
        engine: the model.
        processes: what prepares.
        now: clock for the flags.
        stop: ends a run early when set.
        batch_size: films per forward pass.
        unchanged: files so far that were left out because their content had its line.
    """

    engine: Engine
    processes: PreparingProcesses
    now: Callable[[], datetime]
    stop: threading.Event = field(default_factory=threading.Event)
    batch_size: int = 0
    unchanged: int = 0

    def __post_init__(self) -> None:
        """Choose the size of a batch."""
        on_cpu = self.engine.device.type == "cpu"
        self.batch_size = self.batch_size or (FILMS_ON_CPU if on_cpu else FILMS_ON_GPU)

    def screen(self, files: Iterable[Path], record: Record | None = None) -> Iterator[ScreenedFile]:
        """Screen files.

        Args:
            files: DICOM, PNG or JPEG files; others get their line too.
            record: what was said already; a file whose content has its line is left out.

        Yields:
            One result per file, in order.

        Raises:
            InterruptedRunError: if `stop` was set.
            ConfigurationError: if no preparing process can be started.
        """
        scoring = ThreadPoolExecutor(_BATCHES_AT_A_TIME)
        preparing = ThreadPoolExecutor(self.processes.count)
        try:
            prepared = ahead(preparing, self._prepare, files, pieces=FILES_AHEAD, stop=self.stop)
            batches = self._batches(self._new(prepared, record or Record()))
            for screened in ahead(scoring, self._score, batches, pieces=_BATCHES_AT_A_TIME + 1, stop=self.stop):
                yield from screened
        except InterruptedRunError:
            self.processes.kill()  # or its thread would be waited for
            raise
        finally:
            preparing.shutdown(cancel_futures=True)
            scoring.shutdown(cancel_futures=True)

    def _prepare(self, path: Path) -> tuple[Path, Prepared]:
        return path, self.processes.prepare(path)

    def _new(self, files: Iterable[tuple[Path, Prepared]], record: Record) -> Iterator[tuple[Path, Prepared]]:
        for path, prepared in files:
            if record.has(path, prepared.facts.content_sha256):
                self.unchanged += 1
            else:
                yield path, prepared

    def _batches(self, files: Iterable[tuple[Path, Prepared]]) -> Iterator[_Batch]:
        batch: _Batch = []
        films = 0
        for path, prepared in files:
            batch.append((path, prepared))
            films += prepared.facts.frames
            if films >= self.batch_size or len(batch) >= _FILES_PER_BATCH:
                yield batch
                batch, films = [], 0
        if batch:
            yield batch

    def _score(self, batch: _Batch) -> list[ScreenedFile]:
        scores = self.engine.score(np.concatenate([prepared.films for _, prepared in batch]))
        screened, start = [], 0
        for path, prepared in batch:
            rows = slice(start, start + len(prepared.films))
            start = rows.stop
            judgements = judge_frames(self.engine.card, scores.logits[rows], scores.scope_distances[rows])
            flag = say(prepared.facts, judgements, self.engine.card, self.now())
            screened.append(ScreenedFile(path, flag, prepared.films, scores.activation_maps[rows]))
        return screened
