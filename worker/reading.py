"""What readers, and the RIS for them, say of studies: that one was read, and whether they agree with what was said."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from worker.domain import PriorityReason, VerdictWord
from worker.errors import ReadingError, UnknownStudyError
from worker.free_text import is_text
from worker.repository.verdicts import VerdictView, add_verdict, note_read, verdicts
from worker.repository.withdrawals import study_to_correct
from worker.service import Service
from worker.tables import Study

LONGEST_COMMENT = 2000


@dataclass(frozen=True, slots=True)
class Reading:
    """Who has read.

    Attributes:
        service: settings and database.
        by: the reader or the program, for the audit trail.
    """

    service: Service
    by: str

    def mark_read(self, study_instance_uid: str, read_at: datetime | None = None) -> datetime | None:
        """Note that a person has read a study; again is no news. It lowers no priority.

        Args:
            study_instance_uid: of the study.
            read_at: when that was, aware, if the sender says so; None: just now. An image that came later was not read.

        Returns:
            Since when it counts as read; None if an image came after `read_at`: the study is still to be read.

        Raises:
            UnknownStudyError: if the study was not received.
            ReadingError: if `read_at` has no time zone.
        """
        if read_at is not None and read_at.tzinfo is None:
            raise ReadingError("read_at: say the time zone, as in 2026-11-20T10:00:00+01:00")
        with self.service.database.begin() as session:
            study = _study(session, study_instance_uid)
            if read_at is None or study.last_received_at <= read_at:
                note_read(session, study, self.by, self.service.now())
            return study.read_at

    def say(self, study_instance_uid: str, verdict: VerdictWord, comment: str | None = None) -> list[VerdictView]:
        """Record whether a reader agrees with what the service said of a study, which is read by that.

        Args:
            study_instance_uid: of the study.
            verdict: the reader's word; the newest of each reader counts, the earlier ones are kept.
            comment: at most `LONGEST_COMMENT` characters. It may name the patient, and stands nowhere but beside the
                verdict: in no event, log or result.

        Returns:
            All verdicts on the study, oldest first.

        Raises:
            UnknownStudyError: if the study was not received.
            ReadingError: if the comment is too long, or holds control characters.
        """
        text = _comment(comment)
        with self.service.database.begin() as session:
            self._record(session, _study(session, study_instance_uid), verdict, text)
            return verdicts(session, study_instance_uid)

    def judge(self, study_instance_uid: str, *, suspected: bool, comment: str | None = None) -> None:
        """Record whether a reader who does not know the flag suspects the finding: agrees with it, or disagrees.

        Args:
            study_instance_uid: of the study.
            suspected: the reader's answer.
            comment: as of `say`.

        Raises:
            UnknownStudyError, ReadingError: as of `say`.
        """
        text = _comment(comment)
        with self.service.database.begin() as session:
            study = _study(session, study_instance_uid)
            flagged = study.priority_reason == PriorityReason.FINDING
            self._record(session, study, VerdictWord.AGREES if suspected == flagged else VerdictWord.DISAGREES, text)

    def _record(self, session: Session, study: Study, verdict: VerdictWord, comment: str | None) -> None:
        now = self.service.now()
        add_verdict(session, study, reader=self.by, verdict=verdict, comment=comment, now=now)
        note_read(session, study, self.by, now)


def _study(session: Session, study_instance_uid: str) -> Study:
    study = study_to_correct(session, study_instance_uid)
    if study is None:
        raise UnknownStudyError(
            f"no study {study_instance_uid} was received; `cxr-triage worklist` lists those that were"
        )
    return study


def _comment(text: str | None) -> str | None:
    told = (text or "").replace("\r\n", "\n").strip()
    if len(told) > LONGEST_COMMENT:
        raise ReadingError(f"comment: {len(told)} characters are too many; say it in {LONGEST_COMMENT}")
    if not is_text(told):
        raise ReadingError("comment: it holds characters that are no text; type it anew")
    return told or None
