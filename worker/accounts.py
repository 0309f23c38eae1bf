"""Users of the page: added, given a password, disabled, and recognised."""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.exc import IntegrityError

from worker.db import Database
from worker.domain import UserRole
from worker.errors import AccountError
from worker.repository.audit import record
from worker.repository.users import administrators, change_user, find_user, has_users, hold_user
from worker.repository.web_sessions import SignedIn, close_session, open_session, which_program, who_holds
from worker.service import Clock, utc_now
from worker.web_tables import User

FIRST_ADMIN = "admin"
SHORTEST_PASSWORD = 12  # NIST SP 800-63B-4 3.1.1.2 asks for 15 where it stands alone, 8 beside a second factor
LONGEST_PASSWORD = 256
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class Accounts:
    """The users in the database; `hasher` makes passwords dear to guess.

    Passwords are hashed with argon2id, the library's parameters (RFC 9106, low memory). Tokens are 256 random bits, of
    which SHA-256 is enough.
    """

    database: Database
    now: Clock = utc_now
    hasher: PasswordHasher = field(default_factory=PasswordHasher)

    @cached_property
    def _nobodys_hash(self) -> str:
        return self.hasher.hash(secrets.token_urlsafe())

    def add(self, name: str, role: UserRole, by: str, password: str | None = None) -> str | None:
        """Add a user.

        Args:
            name: letters, digits and `._@-`.
            role: what they may do; a program gets a token.
            by: who adds them.
            password: theirs; None: one is drawn, and must be changed.

        Returns:
            The password or token that was drawn, to be shown once; None if a password was given.

        Raises:
            AccountError: if the name is taken or none, or the password is too short.
        """
        if not _NAME.fullmatch(name):
            raise AccountError(f"user {name!r}: a name has 1 to 64 letters, digits, dots, @, - or _")
        drawn = None if password is not None else secrets.token_urlsafe(32 if role is UserRole.INTERFACE else 12)
        secret = self._secret(role, password, drawn)
        try:
            with self.database.begin() as session:
                session.add(User(name=name, role=role, created_at=self.now(), **secret))
                record(session, "user-added", self.now(), None, user=name, role=role.value, by=by)
        except IntegrityError:
            raise AccountError(f"user {name}: there is one of that name; `cxr-triage users` lists them") from None
        return drawn

    def add_first_admin(self) -> str | None:
        """Add the first administrator if there is no user at all; returns the password, to be shown once."""
        with self.database.read() as session:
            if has_users(session):
                return None
        try:
            return self.add(FIRST_ADMIN, UserRole.ADMIN, by="first start")
        except AccountError:  # another process was faster
            return None

    def change_password(self, name: str, password: str | None, by: str) -> str | None:
        """Give a person another password and sign them out everywhere; for a program, another token.

        Args:
            name: of the user.
            password: None: one is drawn, and must be changed.
            by: who does it.

        Returns:
            What was drawn, to be shown once.

        Raises:
            AccountError: if there is no such user, or the password is too short.
        """
        with self.database.read() as session:
            user = find_user(session, name)
        if user is None:
            raise _unknown(name)
        role = UserRole(user.role)
        drawn = None if password is not None else secrets.token_urlsafe(32 if role is UserRole.INTERFACE else 12)
        secret = self._secret(role, password, drawn)  # before any writer waits for it
        with self.database.begin() as session:
            change_user(session, name, **secret)
            record(session, "user-password", self.now(), None, user=name, by=by)
        return drawn

    def disable(self, name: str, by: str) -> None:
        """Keep a user out from now on; what they said stays.

        Raises:
            AccountError: if there is no such user, or nobody else is an administrator.
        """
        with self.database.begin() as session:
            if administrators(session) == [name]:
                raise AccountError(f"user {name}: the only administrator; add another one first")
            if not change_user(session, name, disabled_at=self.now()):
                raise _unknown(name)
            record(session, "user-disabled", self.now(), None, user=name, by=by)

    def enable(self, name: str, by: str) -> None:
        """Let a disabled user in again, with the password that they had.

        Raises:
            AccountError: if there is no such user.
        """
        with self.database.begin() as session:
            if not change_user(session, name, disabled_at=None):
                raise _unknown(name)
            record(session, "user-enabled", self.now(), None, user=name, by=by)

    def sign_in(self, name: str, password: str, lifetime: timedelta) -> str | None:
        """Open a session; returns its token, or None if name and password do not belong together.

        A name that nobody has takes as long as a wrong password.
        """
        known = self._known_by(name, password)
        if known is None:
            return None
        token, now = secrets.token_urlsafe(32), self.now()
        with self.database.begin() as session:
            user = hold_user(session, name)
            if user is None or user.password_hash != known:  # changed while this one was looked at
                return None
            open_session(
                session,
                user,
                token_sha256=_sha256(token),
                csrf_token=secrets.token_urlsafe(32),
                now=now,
                expires_at=now + lifetime,
            )
            record(session, "signed-in", now, None, user=name)
        return token

    def is_right(self, name: str, password: str) -> bool:
        """Tell whether name and password belong together; opens nothing."""
        return self._known_by(name, password) is not None

    def who(self, token: str) -> SignedIn | None:
        """Return who holds the token of a session; None if it is over or was never given."""
        with self.database.read() as session:
            return who_holds(session, _sha256(token), self.now())

    def program(self, token: str) -> SignedIn | None:
        """Return the program that has a token; None if there is none."""
        with self.database.read() as session:
            return which_program(session, _sha256(token))

    def sign_out(self, token: str) -> None:
        """End a session."""
        with self.database.begin() as session:
            close_session(session, _sha256(token))

    def note_failures(self, name: str, failures: int) -> None:
        """Record that somebody tried to sign in as this user too often."""
        with self.database.begin() as session:
            known = _NAME.fullmatch(name) is not None and find_user(session, name) is not None
            record(session, "sign-in-refused", self.now(), None, user=name if known else None, failures=failures)

    def _secret(self, role: UserRole, password: str | None, drawn: str | None) -> dict[str, str | bool | None]:
        if role is UserRole.INTERFACE:
            if drawn is None:
                raise AccountError("a program has a token, which is drawn, and no password")
            return {"token_sha256": _sha256(drawn)}
        chosen = password if password is not None else drawn or ""
        if not SHORTEST_PASSWORD <= len(chosen) <= LONGEST_PASSWORD:
            raise AccountError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
        return {"password_hash": self.hasher.hash(chosen), "must_change": drawn is not None}

    def _known_by(self, name: str, password: str) -> str | None:
        """Return the hash that a user is known by if the password is theirs."""
        with self.database.read() as session:
            user = find_user(session, name) if _NAME.fullmatch(name) else None
        known = None if user is None or user.disabled_at is not None else user.password_hash
        return known if self._matches(known or self._nobodys_hash, password) else None

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self.hasher.verify(password_hash, password[: LONGEST_PASSWORD + 1])
        except (VerificationError, InvalidHashError):
            return False


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _unknown(name: str) -> AccountError:
    return AccountError(f"no user {name}; `cxr-triage users` lists them")
