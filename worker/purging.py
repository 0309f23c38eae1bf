"""The purge step: what was received and prepared goes after its days, once nobody can need it any more.

The doctor's own studies go after a day, rows and all.

The file goes first, then its row says so, in one transaction that holds the study: a crash between the two leaves a row
that is purged again, and a file that is already gone. Files that no row wants are found by looking at the spool.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from dicom_io.errors import SpoolError
from dicom_io.leftovers import Leftover, discard, files, folders, put_back
from worker.errors import ConfigurationError
from worker.forgetting import forget_months
from worker.repository.audit import record
from worker.repository.prepared_retention import delete_prepared, old_prepared
from worker.repository.retention import (
    KeptFile,
    keepers,
    lock_purgeable,
    note_purged,
    purgeable_files,
    wanted,
)
from worker.repository.synthetic import count_own, delete_own, lock_own, own_studies, shared_contents
from worker.service import Service

FILES_PER_TRANSACTION = 50
ROWS_PER_TRANSACTION = 500
SENT_AGAIN_WITHIN = timedelta(hours=1)  # a file that was touched later than this ago may be about to get a row
STUDIES_PER_TRANSACTION = 200
LEFTOVER_AFTER = timedelta(days=1)
OWN_STUDIES_AFTER = timedelta(days=1)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Purged:
    """What a run took away.

    Attributes:
        files: received ones, with those of the doctor's films.
        prepared: images.
        orphans: files without a row.
        begun: what dead writers had begun.
        bytes: of all files.
        synthetic: the doctor's own studies.
    """

    files: int = 0
    prepared: int = 0
    orphans: int = 0
    begun: int = 0
    bytes: int = 0
    synthetic: int = 0

    def __add__(self, other: "Purged") -> "Purged":
        """Count two runs together."""
        return Purged(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run would take away, and by reason what is old and stays."""

    files: int
    prepared: int
    synthetic: int
    kept: dict[str, int]


@dataclass(frozen=True, slots=True)
class Purger:
    """Purges on a host that sees the spool; harmless when two run at once.

    Attributes:
        clock: monotonic seconds.
    """

    service: Service
    clock: Callable[[], float] = time.monotonic

    def purge(self, *, seconds: float = math.inf, part: int = 0, parts: int = 1) -> Purged:
        """Take away what may go.

        Args:
            seconds: after which nothing new is begun, and the rest left to the next run.
            part: which part of the spool is looked through for files without a row, from 0.
            parts: into how many it is divided.

        Raises:
            ConfigurationError: if there is no spool on this host.
            OSError: if the spool cannot be changed.
        """
        if not self.service.spool.root.is_dir():
            raise ConfigurationError(f"no spool in {self.service.settings.data_dir}: run it where the listener's is")
        end = self.clock() + seconds
        total = self._files(end) + self._prepared(end) + self._synthetic(end)
        total += self._leftovers(folders(self.service.spool.root)[part::parts])
        if total != Purged():
            with self.service.database.begin() as session:
                record(session, "purge", self.service.now(), None, **asdict(total))
            _log.info("purged", **asdict(total))
        self.service.database.shrink()
        self._warn_of_watermark()
        return total

    def forecast(self) -> Forecast:
        """Say what a run would do, and do nothing; files without a row are not looked for."""
        now, before = self.service.now(), self._raw_before()
        with self.service.database.read() as session:
            kept = keepers(session, before=before, now=now)
            may_go = purgeable_files(session, before=before, now=now, limit=None)
            prepared = old_prepared(session, before=self._prepared_before())
            synthetic = count_own(session, before=now - OWN_STUDIES_AFTER)
        return Forecast(len(may_go), prepared, synthetic, kept)

    def _raw_before(self) -> datetime:
        return self.service.now() - timedelta(days=self.service.settings.retention.raw_days)

    def _prepared_before(self) -> datetime:
        return self.service.now() - timedelta(days=self.service.settings.retention.prepared_days)

    def _synthetic(self, end: float) -> Purged:
        total, after, before = Purged(), 0, self.service.now() - OWN_STUDIES_AFTER
        while self.clock() < end:
            with self.service.database.read() as session:
                chunk = own_studies(session, before=before, limit=STUDIES_PER_TRANSACTION, after=after)
            if not chunk:
                break
            total += self._purge_synthetic(chunk, before)
            after = chunk[-1]
        return total

    def _purge_synthetic(self, chunk: Sequence[int], before: datetime) -> Purged:
        touched = (self.service.now() - SENT_AGAIN_WITHIN).timestamp()
        total, gone = Purged(), []
        with self.service.database.begin() as session:
            studies = lock_own(session, chunk, before=before)
            shared = shared_contents(session, studies)
            for study in studies:
                content = study.content_sha256
                if content is not None and content not in shared:
                    path = self.service.spool.path(content)
                    length = _size(path)
                    if not discard(path, unless_touched_since=touched):
                        continue
                    total += Purged(files=1, bytes=length)
                gone.append(study)
            prepared = delete_own(session, gone)
        return total + Purged(prepared=prepared, synthetic=len(gone))

    def _files(self, end: float) -> Purged:
        total, after, before = Purged(), 0, self._raw_before()
        while self.clock() < end:
            with self.service.database.read() as session:
                now, limit = self.service.now(), FILES_PER_TRANSACTION
                chunk = purgeable_files(session, before=before, now=now, limit=limit, after=after)
            if not chunk:
                break
            total += self._purge_files(chunk, before)
            after = chunk[-1].image_id
        return total

    def _purge_files(self, chunk: Sequence[KeptFile], before: datetime) -> Purged:
        now = self.service.now()
        touched = (now - SENT_AGAIN_WITHIN).timestamp()
        size = 0
        gone: list[KeptFile] = []
        with self.service.database.begin() as session:
            for file in lock_purgeable(session, chunk, before=before, now=now):
                path = self.service.spool.path(file.content_sha256)
                length = _size(path)
                if discard(path, unless_touched_since=touched):
                    gone.append(file)
                    size += length
            note_purged(session, gone, now)
        return Purged(files=len(gone), bytes=size)

    def _prepared(self, end: float) -> Purged:
        months = forget_months(self.service, self._prepared_before(), lambda: self.clock() < end)
        total = Purged(prepared=months)
        while self.clock() < end:
            with self.service.database.begin() as session:
                deleted = delete_prepared(session, before=self._prepared_before(), limit=ROWS_PER_TRANSACTION)
            if not deleted:
                break
            total = replace(total, prepared=total.prepared + deleted)
        return total

    def _leftovers(self, parts: Sequence[Path]) -> Purged:
        total = Purged()
        old = (self.service.now() - LEFTOVER_AFTER).timestamp()
        for folder in parts:
            total += self._of_folder([file for file in files(folder) if file.changed_at < old], old)
        return total

    def _of_folder(self, old_files: Sequence[Leftover], old: float) -> Purged:
        with self.service.database.read() as session:
            needed = wanted(session, {file.content_sha256 for file in old_files})
        total = Purged()
        for file in old_files:
            if file.aside and file.content_sha256 in needed:
                put_back(file)
            elif not file.whole:
                file.path.unlink(missing_ok=True)
                total += Purged(begun=1, bytes=file.size)
            elif file.content_sha256 not in needed and discard(file.path, unless_touched_since=old):
                total += Purged(orphans=1, bytes=file.size)
        return total

    def _warn_of_watermark(self) -> None:
        try:
            self.service.spool.require_space(0)
        except SpoolError as error:
            _log.error("disk-watermark", error=str(error))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
