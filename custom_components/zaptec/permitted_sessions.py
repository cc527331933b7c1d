"""Which sessions Home Assistant has permitted, to whom, and which of them have ended.

The vendor's sessions are anonymous where web hooks decide, so this is the only place that
says who charged. Nothing here knows Home Assistant or the network.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from .authorization import EndedSession
from .persons import ANONYMOUS, Identity

# Time for which it is kept whom a session was permitted to. The sweeps of the history read
# the sessions of this time again.
KEPT_FOR: Final = timedelta(days=90)

# Time after which a session that has not ended moves to the large store.
OPEN_MAX: Final = timedelta(days=1)


@dataclass(slots=True)
class PermittedSession:
    """A session that was permitted."""

    charger_id: str
    permitted_at: datetime
    identity: Identity
    """Whom it was permitted to."""
    ended: EndedSession | None = None
    ended_at: datetime | None = None
    """When its end was reported."""
    is_handed_over: bool = False
    """Whether the history has its end."""

    def as_list(self, session_id: str) -> list[Any]:
        """Return what has to survive a restart, as JSON can store it."""
        ended = self.ended
        return [
            session_id,
            self.charger_id,
            self.permitted_at.timestamp(),
            list(self.identity),
            ended and [_stamp(ended.start), _stamp(ended.end), ended.energy],
            _stamp(self.ended_at),
            self.is_handed_over,
        ]

    @classmethod
    def from_list(cls, stored: Iterable[Any]) -> tuple[str, Self]:
        """Return what `as_list` has returned before a restart, and the id."""
        session_id, charger_id, permitted_at, identity, ended, ended_at, done = stored
        return session_id, cls(
            charger_id,
            datetime.fromtimestamp(permitted_at, UTC),
            Identity(*identity),
            ended
            and EndedSession(
                session_id, _moment(ended[0]), _moment(ended[1]), ended[2]
            ),
            _moment(ended_at),
            done,
        )


class PermittedSessions:
    """The sessions of an account that were permitted in the last 90 days.

    They are stored in two parts. What is stored before an answer has to be small, so what
    will hardly change moves to a large part now and then: it is filed.
    """

    def __init__(self) -> None:
        """Initialize without a session."""
        self._sessions: dict[str, PermittedSession] = {}
        self._unfiled: set[str] = set()

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self._sessions)

    def items(self) -> list[tuple[str, PermittedSession]]:
        """Return all sessions with their ids."""
        return list(self._sessions.items())

    def identity_of(self, session_id: str) -> Identity:
        """Return whom a session was permitted to."""
        session = self._sessions.get(session_id)
        return session.identity if session else ANONYMOUS

    def charger_of(self, session_id: str) -> str | None:
        """Return the charger of a session, None if the session is unknown."""
        session = self._sessions.get(session_id)
        return session.charger_id if session else None

    def permit(
        self, session_id: str, charger_id: str, identity: Identity, now: datetime
    ) -> bool:
        """Note that a session was permitted; return whether that is news."""
        session = self._sessions.get(session_id)
        if session is None:
            self._sessions[session_id] = PermittedSession(charger_id, now, identity)
        elif identity in (session.identity, ANONYMOUS):
            return False
        else:
            session.identity = identity
        self._unfiled.add(session_id)
        return True

    def end(self, ended: EndedSession, now: datetime) -> bool:
        """Note that a session has ended; return whether it is known and that is news."""
        session = self._sessions.get(ended.session_id)
        if session is None or session.ended is not None:
            return False
        session.ended = ended
        session.ended_at = now
        self._unfiled.add(ended.session_id)
        return True

    def due(self) -> list[tuple[str, PermittedSession]]:
        """Return the sessions that have ended, and that the history may not have."""
        return [
            (session_id, session)
            for session_id in self._unfiled
            if (session := self._sessions[session_id]).ended
            and not session.is_handed_over
        ]

    def forget_old(self, now: datetime) -> None:
        """Forget the sessions that are too old to be kept."""
        for session_id, session in self.items():
            if now - session.permitted_at > KEPT_FOR:
                del self._sessions[session_id]
                self._unfiled.discard(session_id)

    def unfiled(self) -> list[list[Any]]:
        """Return the small part, as JSON can store it."""
        return [self._sessions[key].as_list(key) for key in self._unfiled]

    def to_file(self, now: datetime) -> frozenset[str]:
        """Return the ids of the sessions that may move to the large part."""
        return frozenset(
            session_id
            for session_id in self._unfiled
            if (session := self._sessions[session_id]).is_handed_over
            or (session.ended is None and now - session.permitted_at > OPEN_MAX)
        )

    def filed(self, also: Iterable[str]) -> list[list[Any]]:
        """Return the large part, as JSON can store it.

        Args:
            also: The sessions that move to it.

        """
        kept = self._unfiled - set(also)
        return [
            session.as_list(session_id)
            for session_id, session in self.items()
            if session_id not in kept
        ]

    def note_filed(self, stored: Mapping[str, list[Any]]) -> None:
        """Note that sessions are stored in the large part, unless they changed since."""
        for session_id, item in stored.items():
            session = self._sessions.get(session_id)
            if session and session.as_list(session_id) == item:
                self._unfiled.discard(session_id)

    def restore(self, filed: Iterable[Any], unfiled: Iterable[Any]) -> None:
        """Restore both parts."""
        newer = _restored(unfiled)
        self._sessions = _restored(filed) | newer
        self._unfiled = set(newer)


def _restored(stored: Iterable[Any]) -> dict[str, PermittedSession]:
    """Return stored sessions by their ids, without those that are damaged."""
    sessions = {}
    for item in stored:
        with suppress(AttributeError, IndexError, OverflowError, TypeError, ValueError):
            session_id, session = PermittedSession.from_list(item)
            sessions[session_id] = session
    return sessions


def _stamp(moment: datetime | None) -> float | None:
    """Return a moment as seconds since 1970."""
    return moment.timestamp() if moment else None


def _moment(stamp: float | None) -> datetime | None:
    """Return a moment from seconds since 1970."""
    return None if stamp is None else datetime.fromtimestamp(stamp, UTC)
