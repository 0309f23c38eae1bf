"""The tables of the page: who may look, who is signed in, and what readers said."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from worker.table_base import SHA256, Base, Code


class User(Base):
    """Somebody, or some program, that may look.

    A person has a password (argon2), a program a token, of which the SHA-256 is kept. `must_change` says that the
    password is one that somebody else has seen.
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(Code)
    password_hash: Mapped[str | None] = mapped_column(Text)
    token_sha256: Mapped[str | None] = mapped_column(SHA256, unique=True)
    must_change: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class WebSession(Base):
    """Somebody who is signed in; the cookie holds the token, here is only its SHA-256."""

    __tablename__ = "web_sessions"

    token_sha256: Mapped[str] = mapped_column(SHA256, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    csrf_token: Mapped[str] = mapped_column(SHA256)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]

    __table_args__ = (Index("ix_web_sessions_expires", "expires_at"), Index("ix_web_sessions_user", "user_id"))


class ReaderVerdict(Base):
    """What a reader said of a study; never changed afterwards. The newest of each reader counts.

    `revision` is the study's when it was said. `flagged` says whether the study had a flag then, by its own finding;
    `status` is what had been said of it, null if nothing had.
    """

    __tablename__ = "reader_verdicts"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("studies.id"))
    revision: Mapped[int]
    reader: Mapped[str] = mapped_column(String(64))
    verdict: Mapped[str] = mapped_column(Code)
    flagged: Mapped[bool]
    status: Mapped[str | None] = mapped_column(Code)
    comment: Mapped[str | None] = mapped_column(Text)
    said_at: Mapped[datetime]

    __table_args__ = (
        Index("ix_reader_verdicts_study", "study_id", "id"),
        Index("ix_reader_verdicts_said", "said_at"),
    )
