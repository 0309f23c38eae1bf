"""What a delivery sends: the result, and what its destination knows already."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain import DeliveryState, Flag, ScreeningResult
from worker.repository.corrections import newest_header
from worker.tables import Delivery, Image, Result, Study


def outgoing_result(session: Session, delivery: Delivery) -> ScreeningResult:
    """Load what is sent, with the patient and study as they are known now."""
    said = session.get_one(Result, delivery.result_id)
    study = session.get_one(Study, said.study_id)
    flag = Flag.model_validate_json(said.flag)
    if study.corrections:
        flag = flag.model_copy(update={"accession_number": study.accession_number})
    delivery.corrections = study.corrections
    return ScreeningResult(
        flag=flag,
        headers=_headers(session, study.id, flag),
        newest_header=newest_header(session, study.id),
        corrections=study.corrections,
        **_predecessor(session, delivery, said),
    )


def _headers(session: Session, study_id: int, flag: Flag) -> tuple[bytes, ...]:
    statement = select(Image.content_sha256, Image.header).where(Image.study_id == study_id)
    headers = {sha256: header for sha256, header in session.execute(statement) if header is not None}
    named = dict.fromkeys(image.content_sha256 for image in flag.images)
    return tuple(headers[sha256] for sha256 in named if sha256 in headers)


def _predecessor(session: Session, delivery: Delivery, result: Result) -> dict[str, Any]:
    statement = (
        select(
            Result.result_uid.label("predecessor_result_uid"),
            Delivery.corrections.label("predecessor_corrections"),
            Delivery.form.label("predecessor_form"),
        )
        .join(Delivery)
        .where(
            Result.study_id == result.study_id,
            Result.id < result.id,
            Delivery.destination == delivery.destination,
            Delivery.state == DeliveryState.DELIVERED,
        )
        .order_by(Result.id.desc())
        .limit(1)
    )
    row = session.execute(statement).mappings().one_or_none()
    return {} if row is None else dict(row)
