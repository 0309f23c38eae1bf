"""The prepare step: claim a received image, judge whether it is in scope, make of it what the network sees."""

import errno
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
import zstandard

from dicom_io.errors import ImageError
from dicom_io.header import encode_header
from dicom_io.part10 import settle
from dicom_io.reader import read_raw_header
from dicom_io.suitability import age_years, assess
from worker.domain import ImageState
from worker.faults import Fault, describe
from worker.holding import Held
from worker.model.artifact import ModelCard
from worker.model.intended_use import age_warnings
from worker.model.preprocessing import prepare
from worker.observability import about_study
from worker.queues import Queue
from worker.repository.preparation import ImageWork, Preparation, claim_image, finish_image, retry_image
from worker.service import Service

# What opening one file can answer while its disk is well; None where a library raised OSError of its own. Any other
# errno (EIO, ESTALE, ENOTCONN …) is the disk's fault, and not held against the images that wait.
_FAULTS_OF_THE_FILE = (None, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares images for the model of `card`."""

    service: Service
    card: ModelCard

    def prepare_next(self) -> bool:
        """Prepare the most urgent image; returns whether there was one."""
        with self.service.database.begin() as session:
            work = claim_image(session, now=self.service.now(), policy=self.service.image_policy)
        if work is None:
            return False
        with about_study(work.study_instance_uid), Held(partial(self._give_back, work)):
            self._prepare_held(work)
        return True

    def _prepare_held(self, work: ImageWork) -> None:
        try:
            preparation = self._prepare(self.service.spool.path(work.content_sha256))
        except OSError as error:  # the spool is away, not the image broken
            counted = self.service.spool.root.is_dir() and error.errno in _FAULTS_OF_THE_FILE
            self._give_back(work, describe(error), counted)
        else:
            self._finish(work, preparation)

    def _prepare(self, path: Path) -> Preparation:
        try:
            return self._prepare_readable(path)
        except ImageError as error:
            fault = Fault(str(error), describe(error).traceback)
            return Preparation(ImageState.FAILED, reason=error.reason, fault=fault, header=_header_of(path))

    def _prepare_readable(self, path: Path) -> Preparation:
        header = read_raw_header(path)
        encoded = None if header is None else encode_header(header)  # before anything decodes its text
        if header is not None:
            settle(header)
        suitability = assess(header)
        if not suitability.in_scope:
            return Preparation(ImageState.OUT_OF_SCOPE, reason=suitability.reason, header=encoded)
        frames = prepare(path, self.card.input_spec)
        warnings = (*suitability.warnings, *age_warnings(self.card, age_years(header)))
        compressor = zstandard.ZstdCompressor()
        return Preparation(
            ImageState.PREPARED,
            frames=tuple(compressor.compress(frame.tobytes()) for frame in frames),
            warnings=warnings,
            header=encoded,
        )

    def _finish(self, work: ImageWork, preparation: Preparation) -> None:
        with self.service.database.begin() as session:
            moved = finish_image(
                session,
                work,
                preparation,
                input_spec_sha256=self.card.input_spec.sha256,
                now=self.service.now(),
            )
        if moved and preparation.state is ImageState.PREPARED:
            self.service.wake(Queue.SCORE)
        _log.info(
            f"image-{preparation.state}" if moved else "image-prepared-twice",
            image_id=work.image_id,
            reason=preparation.reason,
            error=None if preparation.fault is None else preparation.fault.error,
        )

    def _give_back(self, work: ImageWork, fault: Fault, counted: bool) -> None:
        now, policy = self.service.now(), self.service.image_policy
        with self.service.database.begin() as session:
            retry_image(session, work, fault, now=now, policy=policy, counted=counted)
        _log.warning("prepare-retry", error=fault.error, image_id=work.image_id)


def _header_of(path: Path) -> bytes | None:
    try:
        header = read_raw_header(path)
    except ImageError:
        return None
    return None if header is None else encode_header(header)
