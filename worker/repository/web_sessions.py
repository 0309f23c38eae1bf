"""Who is signed in."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from worker.domain import UserRole
from worker.web_tables import User, WebSession


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who asks, and the token that the forms of their session carry; None for a program, which has no forms."""

    name: str
    role: UserRole
    must_change: bool = False
    csrf_token: str | None = None


def open_session(
    session: Session, user: User, *, token_sha256: str, csrf_token: str, now: datetime, expires_at: datetime
) -> None:
    """Let a user in, and forget sessions that are over."""
    session.execute(delete(WebSession).where(WebSession.expires_at <= now))
    session.add(
        WebSession(
            token_sha256=token_sha256, user_id=user.id, csrf_token=csrf_token, created_at=now, expires_at=expires_at
        )
    )


def who_holds(session: Session, token_sha256: str, now: datetime) -> SignedIn | None:
    """Return whose session this is; None if it is over, or its user was disabled."""
    held = (
        select(User, WebSession.csrf_token)
        .join(WebSession, WebSession.user_id == User.id)
        .where(WebSession.token_sha256 == token_sha256, WebSession.expires_at > now, User.disabled_at.is_(None))
    )
    row = session.execute(held).one_or_none()
    if row is None:
        return None
    return SignedIn(row.User.name, UserRole(row.User.role), row.User.must_change, row.csrf_token)


def which_program(session: Session, token_sha256: str) -> SignedIn | None:
    """Return the program that has this token; None if there is none."""
    has_it = select(User).where(User.token_sha256 == token_sha256, User.disabled_at.is_(None))
    user = session.scalars(has_it).one_or_none()
    return None if user is None else SignedIn(user.name, UserRole(user.role))


def close_session(session: Session, token_sha256: str) -> None:
    """Sign somebody out."""
    session.execute(delete(WebSession).where(WebSession.token_sha256 == token_sha256))
