"""As what each peer takes our reports."""

from datetime import datetime

from sqlalchemy.orm import Session

from dicom_io.report import ReportForm
from worker.destination_tables import DestinationForm
from worker.dispatch import TRIED_AGAIN_AFTER, KnownForm
from worker.domain import Flag
from worker.receipt import Receipt
from worker.repository.audit import record
from worker.repository.intake import insert_if_absent


def known_form(session: Session, destination: str) -> KnownForm | None:
    """Return what is remembered of a destination; None before its first report was taken."""
    row = session.get(DestinationForm, destination)
    if row is None:
        return None
    return KnownForm(row.peer, ReportForm(row.form), tuple(map(ReportForm, row.refused)), row.learned_at)


def learn_form(session: Session, destination: str, receipt: Receipt, flag: Flag, now: datetime) -> None:
    """Remember as what a destination took a report, and record in the audit trail when that is another form now.

    Args:
        session: of the transaction that records the delivery.
        destination: its name.
        receipt: what it answered; without a peer or a form there is nothing to learn.
        flag: what the report said.
        now: present time.
    """
    if receipt.peer is None or receipt.form is None:
        return
    known = known_form(session, destination)
    if known is not None and _is_known(known, receipt, now):
        return
    expected = known.form if known is not None and known.peer == receipt.peer else ReportForm.COMPREHENSIVE_3D_SR
    values = {"peer": receipt.peer, "form": receipt.form, "refused": list(receipt.refused), "learned_at": now}
    session.execute(insert_if_absent(session, DestinationForm).values(destination=destination, **values))
    row = session.get_one(DestinationForm, destination, with_for_update=True)
    row.peer, row.form, row.refused, row.learned_at = receipt.peer, receipt.form, list(receipt.refused), now
    if receipt.form is not expected:
        detail = {"destination": destination, "form": receipt.form, "before": expected, "result_uid": flag.result_uid}
        record(session, "destination-form", now, flag.study_instance_uid, **detail)


def _is_known(known: KnownForm, receipt: Receipt, now: datetime) -> bool:
    same = (known.peer, known.form, known.refused) == (receipt.peer, receipt.form, receipt.refused)
    return same and (not known.refused or now - known.learned_at < TRIED_AGAIN_AFTER)
