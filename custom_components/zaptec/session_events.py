"""Decides which events of sessions have happened at a charger.

A state machine without side effects compares the state of the charger with its previous
state. So a report that is repeated or outdated fires no event, and after a gap only what
is still true fires one. The first update only sets the state to compare with.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from .api import Charger, CompletedSession, StateId, parse_uuid
from .charging_status import ChargingStatus, status_changes_at, status_of_car
from .control.car import has_car, is_authorization_required
from .moments import is_before, is_since
from .state import ChargerState

# Maximum time between the end of a session and its record (StateId 723). Chargers send it
# half a second to seven seconds after the car has left, but do not push every record.
RECORD_TIME = timedelta(seconds=15)

# Maximum time by which the end of a session may fire late because of a reload.
RELOAD_TIME = timedelta(minutes=1)

# Maximum time (s) between the identifier of a session (StateId 721) and the code that has
# authorized it (StateId 722), which arrives in a separate message.
USER_TIME = 1.0

# Maximum time between an authorization and the beginning of its session.
AUTHORIZED_BEFORE = timedelta(seconds=10)

# While one of these is the status, no session runs.
_WITHOUT_SESSION = (ChargingStatus.DISCONNECTED, ChargingStatus.SESSION_ENDED)


class SessionEventType(StrEnum):
    """What can happen in a session."""

    CONNECTED = "connected"
    AUTHORIZED = "authorized"
    CHARGING_STARTED = "charging_started"
    CHARGING_PAUSED = "charging_paused"
    CHARGING_RESUMED = "charging_resumed"
    CHARGING_FINISHED = "charging_finished"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """Something that has happened in a session."""

    type: SessionEventType
    session_id: str | None
    """The id of the session, None if the charger has reported none."""
    code: str | None = field(repr=False)
    """The code of the card or the app, or the id of the user, that has authorized it."""
    start: datetime | None
    """When the session began, as far as the charger has reported it."""
    end: datetime | None = None
    """When the session ended, None while it runs."""
    record: CompletedSession | None = field(default=None, repr=False)
    """The charger's record of the session, None while it runs or if the record is missing."""


@dataclass(slots=True)
class _Session:
    """The session of the connected car."""

    session_id: str | None
    start: datetime | None
    code: str | None = field(default=None, repr=False)
    is_authorized: bool = False
    has_charged: bool = False
    is_unfinished: bool = False
    """Whether the car has charged, and has not ended that itself."""
    status: ChargingStatus | None = None
    mode_since: datetime | None = None

    def event(
        self,
        event_type: SessionEventType,
        *,
        end: datetime | None = None,
        record: CompletedSession | None = None,
    ) -> SessionEvent:
        """Return an event of the session."""
        return SessionEvent(
            type=event_type,
            session_id=self.session_id,
            code=self.code,
            start=self.start,
            end=end,
            record=record,
        )


@dataclass(frozen=True, slots=True)
class _Ending:
    """A session that has ended, and whose record has not arrived yet."""

    session: _Session
    end: datetime | None
    until: datetime
    """The time at which the event fires without the record."""

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return the session that `as_dict` has described."""
        return cls(
            _Session(stored["session_id"], _parsed(stored["start"])),
            _parsed(stored["end"]),
            datetime.fromisoformat(stored["until"]),
        )

    def as_dict(self) -> dict[str, str | None]:
        """Return a description to store, without the code, which is a secret."""
        start, end = self.session.start, self.end
        return {
            "session_id": self.session.session_id,
            "start": start.isoformat() if start else None,
            "end": end.isoformat() if end else None,
            "until": self.until.isoformat(),
        }


def _parsed(stored: str | None) -> datetime | None:
    """Return a moment that was stored."""
    return datetime.fromisoformat(stored) if stored else None


@dataclass(frozen=True, slots=True)
class _Seen:
    """The part of a charger's state that decides which events have happened."""

    state: ChargerState
    status: ChargingStatus | None
    session_id: str | None
    record: CompletedSession | None
    is_required: bool
    """Whether a session has to be authorized."""

    @classmethod
    def of(cls, charger: Charger, state: ChargerState, now: datetime) -> Self:
        """Return this part of the state of a charger."""
        session_id = state.of_the_car(StateId.SESSION_IDENTIFIER)
        identifier = parse_uuid(session_id) if isinstance(session_id, str) else None
        record = state.value(StateId.COMPLETED_SESSION)
        return cls(
            state=state,
            status=status_of_car(
                charger, state, is_held=False, available_current=None, now=now
            ),
            session_id=identifier,
            record=record if isinstance(record, CompletedSession) else None,
            is_required=is_authorization_required(charger, state) is True,
        )

    @property
    def has_session(self) -> bool:
        """Return whether a car is connected whose session has not ended."""
        return self.status not in _WITHOUT_SESSION

    @property
    def is_over(self) -> bool:
        """Return whether no session runs.

        A report that no car is connected does not count if an identifier was reported
        after it: then the report that a car was connected is late or lost.
        """
        state_id = StateId.SESSION_IDENTIFIER
        identified_at = self.state.timestamp(state_id)
        return not self.has_session and not (
            self.status is ChargingStatus.DISCONNECTED
            and state_id in self.state
            and identified_at is not None
            and is_before(
                self.state.timestamp(StateId.CHARGER_OPERATION_MODE), identified_at
            )
        )

    @property
    def since(self) -> datetime | None:
        """Return when the session began, None if that is unknown."""
        state_id = (
            StateId.SESSION_IDENTIFIER
            if self.session_id
            else StateId.CHARGER_OPERATION_MODE
        )
        return self.state.since(state_id)

    @property
    def ended_at(self) -> datetime | None:
        """Return when the previous session ended, None if that is unknown."""
        state_id = (
            StateId.CHARGER_OPERATION_MODE
            if self.status is ChargingStatus.DISCONNECTED
            else StateId.SESSION_IDENTIFIER
        )
        return self.state.since(state_id)

    def record_of(self, session_id: str | None) -> CompletedSession | None:
        """Return the record of a session, None if there is none yet."""
        record = self.record
        if record is None or session_id is None or record.session_id != session_id:
            return None
        return record

    def code_since(self, start: datetime | None) -> str | None:
        """Return the code that has authorized the session that began at this time.

        If one session follows another without a report that the first car has left, the
        state still contains the code of the first session.
        """
        state_id = StateId.CHARGER_CURRENT_USER_UUID
        code = self.state.of_the_car(state_id)
        if not isinstance(code, str):
            return None
        earliest = start - AUTHORIZED_BEFORE if start else None
        return code if is_since(self.state.timestamp(state_id), earliest) else None


class SessionEvents:
    """Decides what has happened in the sessions of a charger.

    A session begins when a car is connected, or when another identifier (StateId 721)
    shows that the cable was moved to another car. It ends when the car leaves, when its
    authorization is withdrawn, when its record (StateId 723) arrives, or when the next one
    begins. The event of the end waits for the record.
    """

    def __init__(self) -> None:
        """Initialize without a previous state."""
        # When to update although the charger reports nothing, None for never.
        self.due: datetime | None = None
        self._is_started = False
        self._session: _Session | None = None
        self._ending: _Ending | None = None
        # The session whose record arrived last. The state may still contain its identifier.
        self._recorded_id: str | None = None
        # Whether that record arrived before the report that the car has left.
        self._is_leaving = False

    @property
    def pending(self) -> dict[str, str | None] | None:
        """Return the session whose end has not fired yet, in a form to store."""
        return self._ending.as_dict() if self._ending else None

    def restore(self, pending: Mapping[str, Any] | None, now: datetime) -> None:
        """Restore the session whose end had not fired before a reload.

        Args:
            pending: The stored `pending`.
            now: The present time.

        """
        if pending and not self._is_started:
            ending = _Ending.from_dict(pending)
            if now < ending.until + RELOAD_TIME:
                self._ending = ending

    def update(
        self, charger: Charger, state: ChargerState, now: datetime
    ) -> list[SessionEvent]:
        """Return the events since the previous update, the oldest first.

        Args:
            charger: The charger as the hourly list describes it.
            state: Its state.
            now: The present time.

        """
        self.due = None
        if state.is_offline:
            self.due = status_changes_at(state, now)
            return []
        if has_car(state) is None:
            return []
        seen = _Seen.of(charger, state, now)
        if not self._is_started:
            self._is_started = True
            self._start(seen)
            if self._ending:
                self._wait_until(now)
            return []
        return [
            *self._follow_end(seen, now),
            *self._follow_begin(seen),
            *self._follow_session(seen, now),
        ]

    def _start(self, seen: _Seen) -> None:
        """Remember the session that runs, and fire no event for what happened before."""
        if (record := seen.record_of(seen.session_id)) is not None:
            self._recorded_id = record.session_id
            self._is_leaving = not seen.is_over
        elif seen.has_session:
            if self._ending and self._ending.session.session_id == seen.session_id:
                # The identifier or the car was missing only for a moment.
                self._ending = None
            energy = seen.state.value(StateId.TOTAL_CHARGE_POWER_SESSION)
            self._session = session = _Session(seen.session_id, seen.since)
            session.code = seen.code_since(None)
            session.is_authorized = bool(session.code or seen.session_id)
            _follow_charging(session, seen)
            session.has_charged |= isinstance(energy, float) and energy > 0
            session.is_unfinished = (
                session.has_charged
                and seen.status is not ChargingStatus.FINISHED_BY_CAR
            )

    def _follow_end(self, seen: _Seen, now: datetime) -> Iterator[SessionEvent]:
        """Yield the end of a session, once its record has arrived or is overdue."""
        session = self._session
        if session and _is_over(session, seen):
            self._session = None
            self._ending = _Ending(session, seen.ended_at, now + RECORD_TIME)
        if seen.is_over:
            self._is_leaving = False
        if (ending := self._ending) is None:
            return
        session = ending.session
        record = seen.record_of(session.session_id)
        if record is not None:
            session.code = session.code or record.authentication_code
            self._recorded_id = session.session_id
            self._is_leaving = not seen.is_over
        elif seen.has_session:
            if session.session_id and session.session_id == seen.session_id:
                # The identifier or the car was missing only for a moment.
                self._session, self._ending = session, None
                return
        elif session.session_id and now < ending.until:
            self._wait_until(ending.until)
            return
        self._ending = None
        yield session.event(SessionEventType.ENDED, end=ending.end, record=record)

    def _follow_begin(self, seen: _Seen) -> Iterator[SessionEvent]:
        """Yield the beginning of a session."""
        if self._session or not seen.has_session:
            return
        is_next = seen.session_id not in (None, self._recorded_id)
        if self._is_leaving and not is_next:
            return
        self._is_leaving = False
        self._session = _Session(seen.session_id if is_next else None, seen.since)
        yield self._session.event(SessionEventType.CONNECTED)

    def _follow_session(self, seen: _Seen, now: datetime) -> Iterator[SessionEvent]:
        """Yield the events of the session that runs."""
        if (session := self._session) is None:
            return
        if session.session_id is None and seen.session_id != self._recorded_id:
            session.session_id = seen.session_id
        code = seen.code_since(session.start)
        session.code = code or session.code
        if seen.status is ChargingStatus.WAITING_FOR_AUTHORIZATION:
            session.is_authorized = False
        elif not session.is_authorized and (
            code or (seen.is_required and session.session_id)
        ):
            left = USER_TIME - seen.state.age(StateId.SESSION_IDENTIFIER)
            if code or left <= 0:
                session.is_authorized = True
                yield session.event(SessionEventType.AUTHORIZED)
            else:
                self._wait_until(now + timedelta(seconds=left))
        if event := _follow_charging(session, seen):
            yield event

    def _wait_until(self, moment: datetime) -> None:
        """Request an update at a time, or earlier."""
        self.due = min(self.due or moment, moment)


def _is_over(session: _Session, seen: _Seen) -> bool:
    """Return whether a session has ended."""
    if seen.is_over or seen.record_of(session.session_id):
        return True
    return None not in (session.session_id, seen.session_id) and (
        session.session_id != seen.session_id
    )


def _follow_charging(session: _Session, seen: _Seen) -> SessionEvent | None:
    """Return that a car has started or stopped charging, None if it has done neither."""
    before, status = session.status, seen.status
    if status is None or status is before:
        return None
    pause_since = seen.state.since(StateId.FINAL_STOP_ACTIVE)
    mode_since = seen.state.since(StateId.CHARGER_OPERATION_MODE)
    had_mode, session.mode_since = session.mode_since, mode_since
    session.status = status
    event_type: SessionEventType | None = None
    match before, status:
        case _, ChargingStatus.CHARGING:
            event_type = (
                SessionEventType.CHARGING_RESUMED
                if session.has_charged
                else SessionEventType.CHARGING_STARTED
            )
            session.has_charged = True
        case ChargingStatus.CHARGING, ChargingStatus.FINISHED_BY_CAR:
            event_type = SessionEventType.CHARGING_FINISHED
        case ChargingStatus.CHARGING, _:
            event_type = SessionEventType.CHARGING_PAUSED
        case _, ChargingStatus.FINISHED_BY_CAR:
            # If a pause ends and the mode stays the same, charging has not ended then.
            if session.is_unfinished and mode_since != had_mode:
                event_type = SessionEventType.CHARGING_FINISHED
        case ChargingStatus.FINISHED_BY_CAR, ChargingStatus.PAUSED:
            # The pause began first, but its report arrived later.
            if session.has_charged and is_since(mode_since, pause_since):
                event_type = SessionEventType.CHARGING_PAUSED
    if event_type is None:
        return None
    session.is_unfinished = event_type is not SessionEventType.CHARGING_FINISHED
    return session.event(event_type)
