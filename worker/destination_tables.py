"""The tables of what is known of the destinations themselves."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from worker.table_base import Base, Code


class DestinationOutage(Base):
    """A destination that took nothing of late: how often in a row, and until when nothing is sent to it."""

    __tablename__ = "destination_outages"

    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    paused_until: Mapped[datetime | None]


class DestinationForm(Base):
    """As which kind of DICOM object a peer takes our reports; `peer` is its address, whose change makes it unknown.

    `refused` are those whose SOP class it negotiates, and then says that it does not support.
    """

    __tablename__ = "destination_forms"

    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    peer: Mapped[str] = mapped_column(Text)
    form: Mapped[str] = mapped_column(Code)
    refused: Mapped[list[str]]
    learned_at: Mapped[datetime]
