"""Who may look at the page."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from worker.domain import UserRole
from worker.web_tables import User, WebSession


class UserView(BaseModel):
    """A user as an administrator sees them; no hash."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    name: str
    role: str
    must_change: bool
    created_at: datetime
    disabled_at: datetime | None


def users(session: Session) -> Sequence[UserView]:
    """Return every user, by name."""
    return [UserView.model_validate(row) for row in session.scalars(select(User).order_by(User.name))]


def has_users(session: Session) -> bool:
    """Tell whether anybody may look yet."""
    return bool(session.scalar(select(exists().where(User.id.is_not(None)))))


def administrators(session: Session) -> Sequence[str]:
    """Return the names of those who may do everything, and hold them as they are until the transaction ends."""
    may = select(User.name).where(User.role == UserRole.ADMIN, User.disabled_at.is_(None)).order_by(User.id)
    return session.scalars(may.with_for_update()).all()


def find_user(session: Session, name: str) -> User | None:
    """Return a user by name, disabled ones included; None if there is none of that name."""
    return session.scalars(select(User).where(User.name == name)).one_or_none()


def hold_user(session: Session, name: str) -> User | None:
    """Return a user who may come in, and hold them as they are until the transaction ends; None if there is none."""
    may = select(User).where(User.name == name, User.disabled_at.is_(None)).with_for_update()
    return session.scalars(may).one_or_none()


def change_user(session: Session, name: str, **values: str | bool | datetime | None) -> bool:
    """Set columns of a user and end their sessions; returns False if there is none of that name."""
    user_id = session.scalar(update(User).where(User.name == name).values(**values).returning(User.id))
    if user_id is None:
        return False
    session.execute(delete(WebSession).where(WebSession.user_id == user_id))
    return True
