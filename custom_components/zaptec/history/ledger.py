"""What is known of the sessions of one charger, and the energy of each hour."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import batched, chain
from typing import Any, Self

from ..persons import ANONYMOUS, Identity
from .doubts import Doubts
from .hours import HOUR

# Maximum number of sessions of a charger of which it is kept whether they have changed.
OLD_MAX = 5000


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one session adds to the hours of its charger."""

    content: int
    """Changes with whatever may change the hours."""
    end: int
    """Seconds since 1970 (UTC)."""
    hours: Mapping[int, int]
    """Energy (Wh) by the hour, counted from 1970 (UTC)."""
    is_final: bool
    """Whether the archive has the session."""
    identity: Identity = ANONYMOUS
    """Who has charged."""

    @property
    def energy(self) -> int:
        """Return the energy of the session (Wh)."""
        return sum(self.hours.values())

    @property
    def last(self) -> int:
        """Return the last hour of the session."""
        return max(self.hours, default=self.end // HOUR)

    @property
    def first(self) -> int:
        """Return the first hour of the session in which anything was drawn."""
        return min(self.hours, default=self.last)


@dataclass(frozen=True, slots=True)
class _Old:
    """A session whose hours are not kept any more."""

    content: int
    first: int
    last: int


type OnChange = Callable[[Contribution | None, Contribution], None]
"""Called with a session before and after a change, and before the change is made."""


def _ignore(before: Contribution | None, after: Contribution) -> None:
    """Ignore that a session changes."""


class _Reported:
    """What a charger has reported of who has charged; the archive does not contain it."""

    def __init__(self) -> None:
        """Initialize without a session."""
        # The identity and the last hour by session.
        self._sessions: dict[int, tuple[Identity, int]] = {}

    def note(self, key: int, identity: Identity, hour: int) -> None:
        """Note what was reported, in addition to what was reported before."""
        known, _ = self._sessions.get(key, (ANONYMOUS, 0))
        noted = Identity(
            identity.code or known.code,
            user=identity.user or known.user,
            permitted=identity.permitted or known.permitted,
        )
        self._sessions[key] = noted, hour

    def merged(self, key: int, identity: Identity) -> Identity:
        """Return an identity with what the charger has reported in addition."""
        reported, _ = self._sessions.get(key, (ANONYMOUS, 0))
        return Identity(
            reported.code or identity.code,
            identity.card,
            identity.user or reported.user,
            identity.permitted or reported.permitted,
        )

    def limit(self) -> None:
        """Forget the oldest reports if there are too many."""
        self._sessions = dict(list(self._sessions.items())[-OLD_MAX:])

    def as_list(self) -> list[list[int]]:
        """Return what has to survive a restart, as JSON can store it."""
        return [
            [key, hour, *identity]
            for key, (identity, hour) in list(self._sessions.items())
        ]

    @classmethod
    def from_list(cls, stored: Iterable[list[int]]) -> Self:
        """Return what `as_list` has returned before a restart."""
        reported = cls()
        reported._sessions = {
            key: (Identity(*identity), hour) for key, hour, *identity in stored
        }
        return reported


class Ledger:
    """The sessions of one charger.

    An hour is the sum of what all sessions say about it, so it is computed again whenever
    one of them changes. The hours of sessions that ended long ago are not kept. If one of
    those changes, the archive has to be read again, from then on.

    The statistics follow later, and Home Assistant may stop before they do. So what is
    stored includes the first hour that may have to be written again.
    """

    def __init__(self) -> None:
        """Initialize the ledger of a charger without a session."""
        self._sessions: dict[int, Contribution] = {}
        self._old: dict[int, _Old] = {}
        # Old sessions that began before the reading in progress does, and their contents.
        self._begun_before: dict[int, int] = {}
        self._reported = _Reported()
        self.doubts = Doubts()
        # Rises with each change that has to be written.
        self.revision = 0
        # The first hour whose energy is known completely; None before the first session.
        self.complete_from: int | None = None
        # The same if a reading is broken off. The statistics may then have hours of sessions
        # that stay unknown, which must not be overwritten.
        self._complete_before: int | None = None
        # The first hour whose row in the database may be wrong; None if all are right.
        self.changed_from: int | None = None
        # From when on the archive has to be read, None once all of it is read, and how far
        # that has come, None before it began (seconds since 1970, ends of sessions).
        self.read_from: int | None = None
        self.read_until: int | None = None
        # The roles with which the cloud has refused to show the archive.
        self.refused_roles: int | None = None

    def __len__(self) -> int:
        """Return the number of sessions whose hours are known."""
        return len(self._sessions)

    @property
    def old_count(self) -> int:
        """Return the number of sessions whose hours are not kept any more."""
        return len(self._old)

    @property
    def sessions(self) -> Collection[Contribution]:
        """Return the sessions whose hours are known."""
        return self._sessions.values()

    @property
    def is_reading(self) -> bool:
        """Return whether a part of the archive has to be read."""
        return self.read_from is not None

    @property
    def has_energy(self) -> bool:
        """Return whether there is an hour with energy that is known."""
        return any(session.hours for session in self._sessions.values())

    def is_settled(self, key: int) -> bool:
        """Return whether the archive's version of a session is known."""
        session = self._sessions.get(key)
        return session.is_final if session else key in self._old

    def has_session(self, key: int) -> bool:
        """Return whether a session is known."""
        return key in self._sessions or key in self._old

    def identity(self, key: int) -> Identity:
        """Return who has charged in a session, as far as the ledger knows."""
        if session := self._sessions.get(key):
            return session.identity
        return self._reported.merged(key, ANONYMOUS)

    def add(
        self, key: int, new: Contribution, on_change: OnChange = _ignore
    ) -> int | None:
        """Add or replace a session.

        What the archive says counts, whatever the charger says later. Only the charger
        knows the code of a card, though.

        Returns:
            The first hour that it changes, if the other sessions of that time are not
            known any more; then it is not added. Otherwise None.

        """
        session = self._sessions.get(key)
        before = session or self._old.get(key)
        new = self._identified(key, new)
        if before and self.is_settled(key):
            # A session with the same content keeps its hours, although a setting of the
            # charger that they depend on may have changed since.
            if not new.is_final or before.content == new.content:
                if session and session.identity != new.identity:
                    after = replace(session, identity=new.identity)
                    on_change(session, after)
                    self._sessions[key] = after
                return None
        first = min(self._changed_hours(key, new), default=None)
        if first is not None:
            if self.complete_from is None and not self.is_reading:
                self.complete_from = first
            if first < (self.complete_from or 0):
                if self._begun_before.get(key) != new.content:
                    return first
                # The statistics have its hours from before the reading.
                first = self.complete_from or 0
            # Before the session is added, so that whatever is stored meanwhile says that
            # the statistics do not have it.
            self._mark(first)
        on_change(session, new)
        self._sessions[key] = new
        self._old.pop(key, None)
        self.doubts.add(key, is_reading=self.is_reading)
        return None

    def note_identity(
        self, key: int, identity: Identity, hour: int, on_change: OnChange = _ignore
    ) -> None:
        """Note who has charged in a session, as the charger reports it.

        Args:
            key: The session, which may be added later.
            identity: Who has charged.
            hour: The hour of the report.
            on_change: Called if the session is known, and another identity was.

        """
        self._reported.note(key, identity, hour)
        if session := self._sessions.get(key):
            after = self._identified(key, session)
            if after is not session:
                on_change(session, after)
                self._sessions[key] = after

    def _identified(self, key: int, new: Contribution) -> Contribution:
        """Return a session with all that is known of who has charged."""
        if not new.is_final and new.identity != ANONYMOUS:
            self._reported.note(key, new.identity, new.last)
        session = self._sessions.get(key)
        archived = session.identity if session and not new.is_final else new.identity
        identity = self._reported.merged(key, archived)
        return new if identity == new.identity else replace(new, identity=identity)

    def _changed_hours(self, key: int, new: Contribution) -> Iterable[int]:
        """Return the hours that a session changes."""
        if old := self._old.get(key):
            return {old.first, *new.hours}
        session = self._sessions.get(key)
        before = session.hours if session else {}
        return {
            hour
            for hour in before.keys() | new.hours.keys()
            if before.get(hour) != new.hours.get(hour)
        }

    def _mark(self, hour: int) -> None:
        """Note the first hour that has to be written."""
        self.revision += 1
        if self.changed_from is None or hour < self.changed_from:
            self.changed_from = hour

    def hours_from(
        self, first: int, counts: Callable[[Identity], bool] = lambda identity: True
    ) -> dict[int, int]:
        """Return the energy of each hour (Wh), from an hour on; this runs in a thread.

        Args:
            first: The first hour.
            counts: Returns whether the sessions of an identity count; by default all do.

        """
        hours: dict[int, int] = {}
        for session in list(self._sessions.values()):
            if not counts(session.identity):
                continue
            for hour, energy in session.hours.items():
                if hour >= first:
                    hours[hour] = hours.get(hour, 0) + energy
        return hours

    def written(self, revision: int) -> None:
        """Note that the statistics have everything that was known at a revision."""
        if self.revision == revision:
            self.changed_from = None

    def write_again(self) -> None:
        """Note that the statistics have to be written again, as far as they are known."""
        self._mark(self.complete_from or 0)

    def request_reading(self, start: int) -> None:
        """Note that the archive has to be read.

        Args:
            start: The end of the earliest session to read (seconds since 1970).

        """
        if self.read_from is None or start < self.read_from:
            self._break_off()
            self.read_from = start

    def _break_off(self) -> None:
        """Break off a reading, whose rest stays unknown."""
        if self.read_until is not None:
            self.complete_from = self._complete_before
        self.read_from = self.read_until = None

    def begin_reading(self, complete_from: int) -> None:
        """Note that the archive is read from now on.

        Args:
            complete_from: The first hour of which all sessions will be known then; 0 if
                there are no statistics that could have sessions which are not known.

        """
        is_lost = complete_from > 0 and self.complete_from is None
        self.doubts.begin(self.read_from or 0, is_lost=is_lost)
        self._complete_before = self.complete_from if complete_from else 0
        self.read_until = self.read_from
        if self.complete_from is None or complete_from < self.complete_from:
            self.complete_from = complete_from
        # Their hours have to be known again.
        dropped = {k: old for k, old in self._old.items() if old.last >= complete_from}
        self._old = {k: old for k, old in self._old.items() if k not in dropped}
        self._begun_before = {
            key: old.content
            for key, old in dropped.items()
            if old.first < complete_from
        }

    def end_reading(self, now: float) -> None:
        """Note that all of the archive was read.

        Hours of the statistics that no session claims have no energy, unless there are
        doubts about the archive.
        """
        self.doubts.end(self.read_from or 0, now, len(self))
        self.read_from = self.read_until = None
        self.write_again()

    def refuse(self, roles: int) -> None:
        """Note that the cloud does not show the archive to an account with these roles.

        Only the charger's own reports are used, and nothing is known of the time before.
        """
        self.refused_roles = roles
        self._break_off()
        self.doubts.refuse()
        if self.complete_from is None and self.has_energy:
            self.complete_from = min(
                session.first for session in self._sessions.values() if session.hours
            )

    def compact(
        self,
        limit: int,
        sessions_max: int,
        forget_before: int,
        *,
        is_needed: Callable[[Contribution, int], bool] = lambda session, newest: False,
        on_forget: Callable[[Contribution], None] = lambda session: None,
    ) -> None:
        """Drop the hours of old sessions, once the statistics have them.

        Args:
            limit: The hours of sessions that ended before this hour are dropped.
            sessions_max: Maximum number of sessions whose hours are kept.
            forget_before: A session that ended before this hour is dropped completely.
            is_needed: Returns whether the hours of a session have to be kept; called with
                the session, and the first hour of the newest `sessions_max` sessions.
            on_forget: Called with each session whose hours are dropped, before they are.

        """
        if self.changed_from is not None or self.is_reading or not self._sessions:
            return
        by_last = sorted(session.last for session in self._sessions.values())
        newest = by_last[-min(sessions_max, len(by_last))]
        if len(by_last) > sessions_max:
            limit = max(limit, newest)
        # The charger may report the newest session again at any time.
        limit = min(limit, by_last[-1])
        dropped = {
            key: session
            for key, session in self._sessions.items()
            if session.last < limit and not is_needed(session, newest)
        }
        for key, session in dropped.items():
            on_forget(session)
            self._old[key] = _Old(session.content, session.first, session.last)
        if dropped:
            # A dictionary keeps the memory of its largest size, so this is a new one.
            self._sessions = {
                key: session
                for key, session in self._sessions.items()
                if key not in dropped
            }
            self.complete_from = max(self.complete_from or 0, limit)
        kept = sorted(self._old.items(), key=lambda item: item[1].last)[-OLD_MAX:]
        self._old = {key: old for key, old in kept if old.last >= forget_before}
        self._reported.limit()

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it.

        This runs in a thread. The sessions are copied first: `add` notes what has to be
        written before it adds a session, so none is stored without that.
        """
        sessions = list(self._sessions.items())
        old = list(self._old.items())
        return {
            "sessions": [[key, *_as_list(session)] for key, session in sessions],
            "identities": [
                [key, *session.identity]
                for key, session in sessions
                if session.identity != ANONYMOUS
            ],
            "reported": self._reported.as_list(),
            "doubts": self.doubts.as_list(),
            "old": [[key, item.content, item.first, item.last] for key, item in old],
            "complete_from": self.complete_from,
            "complete_before": self._complete_before,
            "changed_from": self.changed_from,
            "read_from": self.read_from,
            "read_until": self.read_until,
            "refused_roles": self.refused_roles,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return what `as_dict` has returned before a restart."""
        ledger = cls()
        # Earlier versions did not store who has charged, and what was complete before.
        identities = {
            key: Identity(*identity) for key, *identity in stored.get("identities", ())
        }
        for key, *item in stored["sessions"]:
            identity = identities.get(key, ANONYMOUS)
            ledger._sessions[key] = _from_list(item, identity)
        ledger._reported = _Reported.from_list(stored.get("reported", ()))
        if doubts := stored.get("doubts"):
            ledger.doubts = Doubts.from_list(doubts)
        ledger._old = {key: _Old(*item) for key, *item in stored["old"]}
        ledger.complete_from = stored["complete_from"]
        ledger._complete_before = stored.get("complete_before")
        ledger.changed_from = stored["changed_from"]
        ledger.read_from = stored["read_from"]
        ledger.read_until = stored["read_until"]
        ledger.refused_roles = stored["refused_roles"]
        return ledger


def _as_list(session: Contribution) -> list[int]:
    """Return what is stored of a session, but for who has charged."""
    return [
        session.content,
        session.end,
        int(session.is_final),
        *chain.from_iterable(session.hours.items()),
    ]


def _from_list(stored: list[int], identity: Identity) -> Contribution:
    """Return what `_as_list` has returned before a restart."""
    content, end, is_final, *hours = stored
    return Contribution(
        content, end, dict(batched(hours, 2, strict=True)), bool(is_final), identity
    )
