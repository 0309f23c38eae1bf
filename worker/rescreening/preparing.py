"""Preparing again, for a re-screening, what its model takes in another form; on a host that sees the spool."""

import errno
from dataclasses import dataclass
from functools import partial

import structlog
import zstandard

from dicom_io.errors import ImageError
from worker.faults import Fault, describe
from worker.holding import Held
from worker.model.input_spec import InputSpec
from worker.model.preprocessing import prepare
from worker.queues import Queue
from worker.repository.rescreen_preparation import (
    PreparationWork,
    claim_preparation,
    fail_preparation,
    finish_preparation,
    retry_preparation,
)
from worker.service import Service

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RescreenPreparer:
    """Prepares received objects again; the image's state and its study stay as they are."""

    service: Service

    def prepare_next(self) -> bool:
        """Prepare one object that a re-screening waits for; returns whether there was one."""
        with self.service.database.begin() as session:
            work = claim_preparation(session, now=self.service.now(), policy=self.service.image_policy)
        if work is None:
            return False
        with Held(partial(self._retry, work)):
            self._prepare_held(work)
        self.service.wake(Queue.SCORE)
        return True

    def _prepare_held(self, work: PreparationWork) -> None:
        spec = InputSpec.model_validate(work.input_spec)
        try:
            frames = prepare(self.service.spool.path(work.content_sha256), spec)
        except ImageError as error:
            self._fail(work, Fault(str(error), describe(error).traceback))
        except OSError as error:
            self._unreadable(work, error)
        else:
            compressor = zstandard.ZstdCompressor()
            pixels = [compressor.compress(frame.tobytes()) for frame in frames]
            with self.service.database.begin() as session:
                now, spec_sha256 = self.service.now(), spec.sha256
                finish_preparation(session, work, pixels, input_spec_sha256=spec_sha256, now=now)

    def _unreadable(self, work: PreparationWork, error: OSError) -> None:
        here = self.service.spool.root.is_dir()
        if here and error.errno == errno.ENOENT:  # retention was faster
            self._fail(work, describe(error))
        else:
            self._retry(work, describe(error), here)

    def _fail(self, work: PreparationWork, fault: Fault) -> None:
        with self.service.database.begin() as session:
            fail_preparation(session, work, fault, self.service.now())
        _log.warning("rescreen-not-prepared", content_sha256=work.content_sha256, error=fault.error)

    def _retry(self, work: PreparationWork, fault: Fault, counted: bool) -> None:
        now, policy = self.service.now(), self.service.image_policy
        with self.service.database.begin() as session:
            retry_preparation(session, work, fault, now=now, policy=policy, counted=counted)
