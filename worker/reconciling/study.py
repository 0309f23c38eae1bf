"""One study: what the PACS has of it, what is here, and fetching the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from dicom_io.errors import MoveDestinationUnknownError, PeerUnreachableError, QueryRefusedError, RetrieveRefusedError
from dicom_io.query import find_instances
from dicom_io.retrieve import MOST_IMAGES, Retrieval, get, move
from dicom_io.scp import Receive
from dicom_io.types import ApplicationEntity, SOPInstanceReference
from worker.reconciling.outcome import StudyOutcome
from worker.repository.reconciliation import images_here
from worker.service import Service

_ANSWERS = 10  # a retrieval lasts at most as long as so many answers may

Images = Sequence[SOPInstanceReference]


@dataclass(frozen=True, slots=True)
class StudyReconciler:
    """Sees to one study at a time; safe to call from many threads.

    Attributes:
        service: its settings and database.
        pacs: whom to ask.
        receive: takes responsibility for what comes by C-GET, as the listener does for what comes by C-STORE.
    """

    service: Service
    pacs: ApplicationEntity
    receive: Receive

    def see_to(self, study_instance_uid: str, *, fetch: bool) -> StudyOutcome:
        """Compare a study with what is here, and fetch what is not.

        Raises:
            MoveDestinationUnknownError: if the PACS has no address for our AE title, which holds for every study.
        """
        try:
            images = find_instances(
                self.pacs, study_instance_uid, self.service.settings.reconciliation.modalities, **self._titles
            )
        except PeerUnreachableError as error:
            return StudyOutcome(study_instance_uid=study_instance_uid, reason=str(error), again=True)
        except QueryRefusedError as error:
            return StudyOutcome(study_instance_uid=study_instance_uid, reason=str(error))
        absent = self._absent(study_instance_uid, images)
        counts = {"images": len(images), "here": len(images) - len(absent)}
        if not absent or not fetch:
            return StudyOutcome(study_instance_uid=study_instance_uid, missing=len(absent), **counts)
        tried = self._fetch(absent)
        missing = len(self._absent(study_instance_uid, absent))
        return StudyOutcome(
            study_instance_uid=study_instance_uid,
            fetched=len(absent) - missing,
            missing=missing,
            refused=tried.refused,
            reason=(tried.problem or self._nothing_came()) if missing else None,
            again=tried.again and missing > 0,
            **counts,
        )

    def _absent(self, study_instance_uid: str, images: Images) -> list[SOPInstanceReference]:
        with self.service.database.read() as session:
            here = images_here(session, study_instance_uid, [image.sop_instance_uid for image in images])
        return [image for image in images if image.sop_instance_uid not in here]

    def _fetch(self, images: Images) -> "_Tried":
        refused, problem = 0, None
        for part in _requests(images):
            try:
                failed = self._retrieve(part).failed or 0
            except MoveDestinationUnknownError:
                raise
            except RetrieveRefusedError as error:
                problem = str(error)
            except PeerUnreachableError as error:
                return _Tried(refused, str(error), again=True)
            else:
                refused += failed
                problem = f"{failed} images could not be sent; see the logs of both sides" if failed else problem
        return _Tried(refused, problem, again=False)

    def _retrieve(self, images: Images) -> Retrieval:
        options: dict[str, Any] = {**self._titles, "within_seconds": _ANSWERS * self._titles["timeout_seconds"]}
        if self.service.settings.reconciliation.fetch_by == "get":
            return get(self.pacs, images, self.receive, **options)
        return move(self.pacs, images, self.service.settings.listener.ae_title, **options)

    def _nothing_came(self) -> str:
        return (
            "the PACS says that it was sent, but it is not here; check the host and port that the PACS has for "
            f"{self.service.settings.listener.ae_title}"
        )

    @property
    def _titles(self) -> dict[str, Any]:
        settings = self.service.settings
        return {
            "calling_ae_title": settings.listener.ae_title,
            "timeout_seconds": settings.reconciliation.timeout_seconds,
        }


@dataclass(frozen=True, slots=True)
class _Tried:
    refused: int
    problem: str | None
    again: bool


def _requests(images: Images) -> Iterator[Images]:
    """Cut into parts that one request can ask for: of one series, and not too many."""
    for _series, group in groupby(images, key=lambda image: image.series_instance_uid):
        part = list(group)
        for start in range(0, len(part), MOST_IMAGES):
            yield part[start : start + MOST_IMAGES]
