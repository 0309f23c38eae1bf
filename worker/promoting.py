"""Putting another model in service, and the one before it back: checked, recorded, and picked up by running workers."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from dicom_io.phantom import self_test_pixels
from worker.admission import check, check_promise, find_promotion, read_promotion
from worker.champion import champion_in_service, predecessors, reference_of
from worker.domain import ModelReference
from worker.errors import PromotionError
from worker.model.artifact import ModelCard, default_directory, load_card
from worker.model_store import check_directory
from worker.queues import Queue
from worker.repository.model_versions import CHOSEN, SHIPPED, Entry, RegisteredModel, put_in_service, withdrawn_at
from worker.service import Service


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes the model in service.

    Attributes:
        service: settings and database.
        by: the operator, for the audit trail.
    """

    service: Service
    by: str

    def promote(self, directory: Path, promotion_file: Path | None = None) -> RegisteredModel:
        """Put a version directory in service, if a judgement against the model in service allows it.

        Args:
            directory: as `cxr-train publish` or `cxr-train calibrate` writes it; copied to the service's own folder.
            promotion_file: the judgement; None for `promotion.json` in the directory, else beside it.

        Raises:
            ModelError: if the directory is damaged or incomplete.
            PromotionError: if the judgement is absent, of other models, from before a rollback of this one, or says no;
                if the threshold promises less than that of the model in service.
            ConfigurationError: if no model is in service, or this host has no files of it.
        """
        card = check_directory(directory)
        current = champion_in_service(self.service.database)
        text, promotion = read_promotion(promotion_file or find_promotion(directory))
        with self.service.database.read() as session:
            withdrawn = withdrawn_at(session, card.sha256)
        check(promotion, challenger=card.sha256, champion=current.reference.sha256, withdrawn_at=withdrawn)
        check_promise(card, self.service.models.find(current.reference).card)
        _require_known_self_test(card)
        self._keep_shipped(current)
        self.service.models.install(directory)
        digest = hashlib.sha256(text).hexdigest()
        return self._put(reference_of(card), current, Entry.PROMOTED, promotion_sha256=digest)

    def roll_back(self, reason: str) -> RegisteredModel:
        """Put the model that was in service before back; again, and the one before that.

        Args:
            reason: why, for the audit trail.

        Raises:
            PromotionError: if there was none before.
            ConfigurationError: if this host has no files of it.
            ModelError: if they are damaged.
        """
        current = champion_in_service(self.service.database)
        before = predecessors(self.service.database)
        if not before:
            raise PromotionError(f"no model was in service before {current.reference.version}: there is no way back")
        self.service.models.find(before[0].reference)
        return self._put(before[0].reference, current, Entry.ROLLED_BACK, reason=reason)

    def _put(self, reference: ModelReference, current: RegisteredModel, entry: Entry, **detail: str) -> RegisteredModel:
        follows_package = reference == reference_of(load_card(default_directory()))
        with self.service.database.begin() as session:
            chosen = put_in_service(
                session,
                reference,
                self.service.now(),
                replacing=current,
                location=SHIPPED if follows_package else CHOSEN,
                entry=entry,
                by=self.by,
                **detail,
            )
        for queue in (Queue.PREPARE, Queue.SCORE):  # a worker that stands idle changes now, not at the next study
            self.service.wake(queue)
        return chosen

    def _keep_shipped(self, current: RegisteredModel) -> None:
        # The next version of the package brings other weights; a rollback must find these.
        if current.location == SHIPPED:
            self.service.models.keep(self.service.models.find(current.reference))


def _require_known_self_test(card: ModelCard) -> None:
    # Score hosts ask the model for its answer when they load it; here the question at least must be ours.
    if card.self_test.pixels_sha256 != hashlib.sha256(self_test_pixels().tobytes()).hexdigest():
        raise PromotionError(
            "the model's self test is of another version of cxr-triage: publish it again with this one"
        )
