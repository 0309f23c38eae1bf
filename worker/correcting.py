"""What a person corrects: the withdrawal of a wrong flag, the one thing that lowers a priority."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.domain import PriorityReason
from worker.errors import WithdrawalError
from worker.free_text import is_text
from worker.queues import Queue
from worker.repository.audit import record
from worker.repository.results import result_destinations
from worker.repository.verdicts import note_read
from worker.repository.withdrawals import is_flagged_in_part, study_to_correct, withdraw_flag
from worker.service import Service
from worker.stating import Speaker

LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The result that withdraws a flag, and where it goes."""

    result_uid: str
    destinations: Sequence[str]


@dataclass(frozen=True, slots=True)
class Correction:
    """Who corrects what the service said.

    Attributes:
        service: settings and database.
        speaker: says the new result.
        by: the reader or operator, for the audit trail.
    """

    service: Service
    speaker: Speaker
    by: str

    def withdraw(self, study_instance_uid: str, reason: str) -> Withdrawal:
        """Withdraw the flag of a study: a new result without a priority takes the place of the last one.

        The images that are flagged now never raise the study again; a new flagged image does.

        Args:
            study_instance_uid: of the study.
            reason: why, at most `LONGEST_REASON` characters. It stands in the audit trail only: a free text may name a
                patient, and results travel.

        Raises:
            WithdrawalError: if the reason is empty, too long or no text, the study is unknown or has no flag, or an
                image of it is flagged and still being scored.
        """
        reason = reason.strip()
        if not reason or len(reason) > LONGEST_REASON:
            raise WithdrawalError(f"--reason: say why in 1 to {LONGEST_REASON} characters, for the audit trail")
        if not is_text(reason):
            raise WithdrawalError("--reason: it holds characters that are no text; type it anew")
        now = self.service.now()
        with self.service.database.begin() as session:
            study = study_to_correct(session, study_instance_uid)
            if study is None:
                raise WithdrawalError(
                    f"no study {study_instance_uid} was received; `cxr-triage worklist` lists those that were"
                )
            if study.priority is None:
                raise WithdrawalError(f"study {study_instance_uid} has no flag, so there is none to withdraw")
            if study.priority_reason != PriorityReason.FINDING:
                raise WithdrawalError(
                    f"study {study_instance_uid} was raised for its waiting time, without a finding: no flag is there "
                    "to withdraw; who has read it says so by a verdict"
                )
            if is_flagged_in_part(session, study):
                raise WithdrawalError(
                    f"study {study_instance_uid}: a flagged image has frames still to be scored; try again soon"
                )
            images = withdraw_flag(session, study)
            result_uid = self.speaker.state_withdrawal(session, study, now)
            note_read(session, study, self.by, now)  # it was looked at: its wait must not raise it again
            said = {"result_uid": result_uid, "by": self.by, "reason": reason}
            record(session, "flag-withdrawn", now, study_instance_uid, **said, sop_instance_uids=images)
            destinations = result_destinations(session, result_uid)
        self.service.wake(Queue.DELIVER)
        return Withdrawal(result_uid, destinations)
