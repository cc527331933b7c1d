"""Seeded walks of cars at a charger: what it reports, and which events that has to be.

A walk says what happens, and when each fact of it is reported. How the reports arrive is
decided by the test: each by itself or several at once, repeated, late, or not at all.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
import json
from random import Random
from uuid import UUID

from custom_components.zaptec.api import StateId

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

MODE = StateId.CHARGER_OPERATION_MODE
PAUSE = StateId.FINAL_STOP_ACTIVE
SESSION = StateId.SESSION_IDENTIFIER
USER = StateId.CHARGER_CURRENT_USER_UUID
RECORD = StateId.COMPLETED_SESSION
DISCONNECTED, REQUESTING, CHARGING, FINISHED = "1", "2", "3", "5"

# Longest time between the end of a session and its record (s).
RECORD_MAX = 7.0


def record(session_id: str, start: float, end: float, code: str = "") -> str:
    """Return the record of a session, from one time to another (seconds after noon)."""
    return json.dumps(
        {
            "SessionId": session_id,
            "Energy": 1.5,
            "StartDateTime": f"{at(start):%Y-%m-%dT%H:%M:%S.%f}Z",
            "EndDateTime": f"{at(end):%Y-%m-%dT%H:%M:%S.%f}Z",
            "AuthenticationCode": code,
        }
    )


def at(seconds: float) -> datetime:
    """Return a moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Report:
    """What a charger reports, and when (seconds after noon)."""

    seconds: float
    state_id: StateId
    value: str | None


@dataclass(slots=True)
class Walk:
    """Cars that come and go at a charger."""

    random: Random
    is_required: bool
    """Whether each session has to be authorized."""
    seconds: float = 0.0
    reports: list[Report] = field(default_factory=list)
    events: list[tuple[float, str, str | None]] = field(default_factory=list)
    """Each event with its time and its session, None while that has no identifier."""
    _session_id: str | None = None
    _code: str | None = None
    _began: float = 0.0
    _has_charged: bool = False
    _mode: str = DISCONNECTED
    _is_paused: bool = False
    _is_authorized: bool = False
    _is_over: bool = False
    _cards: int = 0

    def __post_init__(self) -> None:
        """Report the state of a charger without a car."""
        for state_id, value in {
            StateId.IS_ONLINE: "1",
            StateId.AUTHENTICATION_REQUIRED: str(int(self.is_required)),
            StateId.IS_ENABLED: "1",
            PAUSE: "0",
            SESSION: None,
            USER: None,
            MODE: DISCONNECTED,
        }.items():
            self._report(state_id, value)
        self.wait(20, 30)

    def wait(self, low: float, high: float) -> None:
        """Let a time pass."""
        self.seconds += self.random.uniform(low, high)

    def step(self) -> None:
        """Let something happen that can happen now, and some time pass."""
        acts = [self._plug_in] if self._mode == DISCONNECTED else [self._unplug]
        if self._session_id and not self._is_over:
            acts += [self._deauthorize, self._swap]
            if self._is_paused:
                acts += [self._resume] * 3
            elif self._mode == CHARGING:
                acts += [self._finish, self._pause, self._lose_current] * 2
            elif self._is_authorized:
                acts += [self._charge] * 4
        elif self._mode != DISCONNECTED and self.is_required:
            acts += [self._authorize] * 3
        self.random.choice(acts)()
        self.wait(20, 600)

    def _report(self, state_id: StateId, value: str | None) -> None:
        # Facts of the same moment have times that differ a little, in any order.
        seconds = self.seconds + self.random.uniform(0, 0.002)
        self.reports.append(Report(seconds, state_id, value))

    def _set_mode(self, mode: str) -> None:
        self._mode = mode
        self._report(MODE, mode)

    def _event(self, event_type: str) -> None:
        self.events.append((self.seconds, event_type, self._session_id))

    def _begin(self) -> None:
        """Begin a session, which is authorized."""
        self._session_id = str(UUID(int=self.random.getrandbits(128), version=4))
        self._began = self.seconds
        self._is_authorized = True
        if self.is_required:
            self._cards += 1
            self._code = f"nfc-{self._cards:08}"
        self._report(SESSION, self._session_id)
        if self._code:
            self._report(USER, self._code)
            self._event("authorized")

    def _end(self, *, leaves: bool) -> None:
        """End the session, and report its record some seconds later."""
        session_id, code = self._session_id, self._code
        ended = self.seconds
        self._report(SESSION, None)
        if code:
            self._report(USER, None)
        if self._is_paused:
            self._report(PAUSE, "0")
        if not leaves:
            # The cloud ends the session, and only then stops the charger.
            self.wait(0.6, 2)
        if leaves or self.is_required:
            self._set_mode(DISCONNECTED)
        else:
            self._set_mode(FINISHED)
        if session_id:
            self.wait(0.5, RECORD_MAX)
            self._report(
                RECORD, record(session_id, self._began, ended, self._code or "")
            )
        self._event("ended")
        self._forget()

    def _forget(self) -> None:
        """Forget the session that has ended."""
        self._session_id = self._code = None
        self._has_charged = self._is_paused = self._is_authorized = False

    def _plug_in(self) -> None:
        self._is_over = False
        self._set_mode(REQUESTING)
        self._event("connected")
        if not self.is_required:
            self.wait(0.5, 2)
            self._begin()

    def _authorize(self) -> None:
        if self._is_over:
            # The next session of the same car.
            self._is_over = False
            self._event("connected")
        self._begin()

    def _unplug(self) -> None:
        if self._is_over:
            # Its session has ended before.
            self._set_mode(DISCONNECTED)
            self._is_over = False
        else:
            self._end(leaves=True)

    def _deauthorize(self) -> None:
        self._end(leaves=False)
        self._is_over = True
        if self.is_required:
            # Such a charger even reports for a moment that there is no car. The record may
            # come before or after that.
            mode = Report(self._ended_at() + 2, MODE, REQUESTING)
            self.reports.append(mode)
            self._mode = REQUESTING

    def _ended_at(self) -> float:
        """Return when the identifier of the last session was cleared."""
        return next(
            item.seconds
            for item in reversed(self.reports)
            if item.state_id is SESSION and item.value is None
        )

    def _swap(self) -> None:
        """Move the cable to another car, which only the identifier shows."""
        self._event("ended")
        assert self._session_id
        if self.random.random() < 0.5:
            ended = record(self._session_id, self._began, self.seconds)
            seconds = self.seconds + self.random.uniform(0.5, RECORD_MAX)
            self.reports.append(Report(seconds, RECORD, ended))
        mode, is_paused = self._mode, self._is_paused
        self._forget()
        self._mode, self._is_paused = mode, is_paused
        self.events.append((self.seconds, "connected", None))
        self._begin()
        if mode == CHARGING:
            self._event("charging_started")
            self._has_charged = True

    def _charge(self) -> None:
        if self._mode == FINISHED:
            self._set_mode(REQUESTING)
            self.wait(1, 5)
        self._set_mode(CHARGING)
        self._event("charging_resumed" if self._has_charged else "charging_started")
        self._has_charged = True

    def _finish(self) -> None:
        self._set_mode(FINISHED)
        self._event("charging_finished")

    def _lose_current(self) -> None:
        self._set_mode(REQUESTING)
        self._event("charging_paused")

    def _pause(self) -> None:
        self._is_paused = True
        self._report(PAUSE, "1")
        self.wait(3, 6)
        self._set_mode(FINISHED)
        self._event("charging_paused")

    def _resume(self) -> None:
        self._is_paused = False
        self._report(PAUSE, "0")
        self.wait(0.5, 2)
        self._set_mode(REQUESTING)
        if self.is_required:
            # Such a session has to be authorized again.
            self.wait(5, 20)
            self._cards += 1
            self._code = f"nfc-{self._cards:08}"
            self._report(USER, self._code)
            self._event("authorized")
