"""What somebody wants to see of the worklist, as conditions on its studies."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import ColumnElement, or_, select

from dicom_io.reasons import Reason
from worker.domain import ScreeningStatus
from worker.tables import Image, Study

ROWS_PER_PAGE = 50
MOST_COUNTED = 10_000  # more are "more than"
_NO_CONTROLS = r"^[^\x00-\x1f\x7f]*$"  # PostgreSQL takes no NUL in a text


class Show(StrEnum):
    """Which studies are shown."""

    UNREAD = "unread"
    RAISED = "raised"
    UNSCREENED = "unscreened"
    ALL = "all"


class WorklistQuery(BaseModel):
    """What somebody wants to see; `text` begins an accession number or a Study Instance UID."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    show: Show = Field(default=Show.UNREAD, description="All but `all` leave out what was read.")
    reason: Reason | None = Field(default=None, description="Only studies that were not screened for this reason.")
    text: str = Field(
        default="", max_length=64, pattern=_NO_CONTROLS, description="Begins an accession number or Study Instance UID."
    )
    sender: str = Field(default="", max_length=16, pattern=_NO_CONTROLS, description="Calling AE title of an image.")
    days: int = Field(default=7, ge=1, le=3650, description="Only studies received in these last days.")
    page: int = Field(default=1, ge=1, le=MOST_COUNTED // ROWS_PER_PAGE)

    @model_validator(mode="before")
    @classmethod
    def _what_is_left_empty_is_not_asked(cls, asked: Any) -> Any:
        return {name: value for name, value in asked.items() if value != ""} if isinstance(asked, dict) else asked


def conditions_of(query: WorklistQuery, now: datetime) -> list[ColumnElement[bool]]:
    """Return what a study must meet to be shown."""
    conditions = [~Study.synthetic, Study.received_at >= now - timedelta(days=query.days)]
    if query.show is not Show.ALL:
        conditions.append(Study.read_at.is_(None))
    if query.show is Show.RAISED:
        conditions.append(Study.priority.is_not(None))
    if query.show is Show.UNSCREENED:
        conditions.append(Study.status == ScreeningStatus.UNSCREENED)
    if query.reason is not None:
        conditions.append(Study.reason == query.reason)
    if query.text:
        columns = (Study.accession_number, Study.study_instance_uid)
        conditions.append(or_(*(column.startswith(query.text, autoescape=True) for column in columns)))
    if query.sender:
        sent = select(Image.study_id).where(Image.calling_ae_title == query.sender, Image.study_id == Study.id)
        conditions.append(sent.exists())
    return conditions
