"""The deliver step: claim a row of the outbox, send it, record the answer."""

from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from worker.delivery.send import send
from worker.errors import DeliveryRefusedError, DeliveryRetryError
from worker.repository.claims import release
from worker.repository.outbox import DeliveryWork, claim_delivery, finish_delivery, refuse_delivery
from worker.sections import Destination
from worker.service import Service
from worker.tables import Delivery

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Sends results to the configured destinations."""

    service: Service

    def deliver_next(self) -> bool:
        """Send the most urgent result that is due; returns whether there was one."""
        with self.service.database.begin() as session:
            work = claim_delivery(session, now=self.service.now(), policy=self.service.delivery_policy)
        if work is None:
            return False
        with ExitStack() as at_fault:  # a lease that nobody ends would hold up the destination
            at_fault.callback(self._give_back, work, "a fault of the service: see its log")
            self._deliver(work)
            at_fault.pop_all()
        return True

    def _deliver(self, work: DeliveryWork) -> None:
        log = _log.bind(study_instance_uid=work.study_instance_uid, destination=work.destination)
        try:
            answer = self._send(work)
        except DeliveryRetryError as error:
            log.warning("delivery-retry", error=str(error))
            self._give_back(work, str(error))
        except DeliveryRefusedError as error:
            log.error("delivery-dead", error=str(error))  # noqa: TRY400 - the error is the peer's answer, not a bug
            self._refuse(work, str(error))
        else:
            log.info("delivered", answer=answer)
            self._finish(work, answer)

    def _send(self, work: DeliveryWork) -> str:
        settings = self.service.settings
        return send(work.result, self._destination(work.destination), calling_ae_title=settings.listener.ae_title)

    def _destination(self, name: str) -> Destination:
        for destination in self.service.settings.effective_destinations:
            if destination.name == name:
                return destination
        raise DeliveryRetryError(f"destination {name!r} is not in the settings of this host: add it")

    def _finish(self, work: DeliveryWork, answer: str) -> None:
        with self.service.database.begin() as session:
            finish_delivery(session, work, answer, self.service.now())

    def _refuse(self, work: DeliveryWork, error: str) -> None:
        with self.service.database.begin() as session:
            refuse_delivery(session, work, error, self.service.now())

    def _give_back(self, work: DeliveryWork, error: str) -> None:
        with self.service.database.begin() as session:
            release(
                session, Delivery, work.delivery_id, error, now=self.service.now(), policy=self.service.delivery_policy
            )
