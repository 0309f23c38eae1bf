"""The deliver step: claim a row of the outbox, send it, record the answer."""

from dataclasses import dataclass
from functools import partial

import structlog

from dicom_io.report import ReportForm
from worker.committed import CommitmentEar, asked_destinations
from worker.delivery.routing import wants_every_result
from worker.delivery.send import send
from worker.destinations import Destination, DicomDestination
from worker.dispatch import Dispatch
from worker.domain import ScreeningResult
from worker.errors import DeliveryRefusedError, DeliveryRetryError, DestinationDownError
from worker.faults import Fault
from worker.holding import Held
from worker.metrics.definitions import LATENCY, SENDINGS
from worker.observability import about_study
from worker.receipt import Receipt
from worker.repository.asked_commitments import send_again_if_uncommitted
from worker.repository.evidence import load_evidence
from worker.repository.measures import told_since
from worker.repository.outbox import (
    DeliveryWork,
    claim_delivery,
    finish_delivery,
    leave_overtaken,
    refuse_delivery,
    retry_delivery,
)
from worker.service import Service

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Sends results to the configured destinations."""

    service: Service

    def deliver_next(self) -> bool:
        """Send the most urgent result that is due; returns whether there was one."""
        committing = {destination.name for destination in asked_destinations(self.service.settings)}
        now, policy = self.service.now(), self.service.delivery_policy
        with self.service.database.begin() as session:
            work = claim_delivery(session, now=now, policy=policy, committing=committing)
        if work is None:
            return False
        # A lease that nobody ends would hold up the destination.
        with about_study(work.study_instance_uid), Held(partial(self._give_back, work)):
            self._deliver(work)
        return True

    def _deliver(self, work: DeliveryWork) -> None:
        log = _log.bind(destination=work.destination)
        try:
            receipt = self._send(work)
        except DeliveryRetryError as error:
            log.warning("delivery-retry", error=str(error))
            self._give_back(work, Fault(str(error), ""), down=isinstance(error, DestinationDownError))
        except DeliveryRefusedError as error:
            log.error("delivery-dead", error=str(error))  # noqa: TRY400 - the error is the peer's answer, not a bug
            self._refuse(work, str(error))
        else:
            log.info("delivered", answer=receipt.answer)
            self._finish(work, receipt)

    def _send(self, work: DeliveryWork) -> Receipt:
        destination, own = self._destination(work.destination), self.service.settings.listener.ae_title
        result, dispatch = self._with_evidence(work, destination), self._dispatch(work, destination)
        return send(result, destination, calling_ae_title=own, dispatch=dispatch, now=self.service.now)

    def _with_evidence(self, work: DeliveryWork, destination: Destination) -> ScreeningResult:
        if not isinstance(destination, DicomDestination) or not destination.heatmap:
            return work.result
        with self.service.database.read() as session:
            evidence = load_evidence(session, work.result.flag, work.destination)
        return work.result.model_copy(update={"evidence": evidence})

    def _dispatch(self, work: DeliveryWork, destination: Destination) -> Dispatch:
        refused: tuple[ReportForm, ...] = ()
        if work.known_form is not None and isinstance(destination, DicomDestination):
            refused = work.known_form.refused_lately(destination.peer, self.service.now())
        return Dispatch(refused, work.transaction_uid, CommitmentEar(self.service).hear, work.attempt)

    def _destination(self, name: str) -> Destination:
        for destination in self.service.settings.effective_destinations:
            if destination.name == name:
                return destination
        raise DeliveryRetryError(f"destination {name!r} is not in the settings of this host: add it")

    def _finish(self, work: DeliveryWork, receipt: Receipt) -> None:
        now, policy, destination = self.service.now(), self.service.delivery_policy, self._destination(work.destination)
        with self.service.database.begin() as session:
            finish_delivery(session, work, receipt, now)
            send_again_if_uncommitted(session, work.delivery_id, now=now, policy=policy)
            leave_overtaken(session, work, now, every_result=wants_every_result(destination))
            told = told_since(session, work.result.flag)
        SENDINGS.labels(work.destination, "delivered").inc()
        if told is not None:
            stage, since = told
            latency = LATENCY.labels(destination.kind, stage, work.result.flag.priority or "")
            latency.observe((now - since).total_seconds())

    def _refuse(self, work: DeliveryWork, error: str) -> None:
        with self.service.database.begin() as session:
            refuse_delivery(session, work, error, self.service.now())
        SENDINGS.labels(work.destination, "refused").inc()

    def _give_back(self, work: DeliveryWork, fault: Fault, counted: bool = True, *, down: bool = False) -> None:
        now, policy = self.service.now(), self.service.delivery_policy
        with self.service.database.begin() as session:
            retry_delivery(session, work, fault, now=now, policy=policy, down=down, counted=counted)
        SENDINGS.labels(work.destination, "retry").inc()
