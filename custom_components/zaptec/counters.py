"""Counters of energy for long-term statistics: state machines without side effects.

Home Assistant's recorder adds up what an entity shows. A state class `total` with a
`last_reset` counts the whole value again whenever `last_reset` changes, and a
`total_increasing` counts a lower value as the start of a new cycle. A wrong sum stays in
the statistics permanently. These counters therefore decide only from what the charger
reports, never from the time at which a message arrives, and they store their decisions
over a restart.

All energies are in kWh, all moments are the timestamps of observations in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self, override

from .api import CompletedSession
from .moments import as_text, from_text, is_before, is_since, latest
from .plausibility import CLOCK_SLACK, REPORT_SLACK, Plausibility, could_be_drawn
from .session_facts import ROUNDING, SESSIONS_KEPT, Drop, SessionFacts

# Maximum energy of a session whose start is unknown (kWh).
SESSION_MAX = 1000.0

# Energy that is accepted of a meter beyond what the time stamps allow (kWh), as long as
# not even two readings agree: what was stored or listed before may be of another year.
METER_SLACK = 5000.0
METER_READINGS = 2

# A meter in Wh of 32 bits that overflows is this far off (kWh). No charger gets there.
METER_MAX = 2**32 / 1000

# Lower or absurdly higher readings of a meter are followed, as those of an exchanged
# meter, once so many of them agree over so long.
EXCHANGE_READINGS = 4
EXCHANGE_TIME = timedelta(hours=3)

# Two values of `last_reset` differ by at least this much.
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Total:
    """What an entity with the state class `total` shows."""

    energy: float
    """kWh."""
    reset: datetime | None
    """Start of the cycle; the recorder counts a whole cycle for each new one."""

    def as_list(self) -> list[Any]:
        """Return the total as a list that can be stored as JSON."""
        return [self.energy, as_text(self.reset)]

    @classmethod
    def from_list(cls, stored: list[Any]) -> Self:
        """Return what was stored."""
        energy, reset = stored
        return cls(energy, from_text(reset))


class Cycles:
    """The cycles of a `total`, each of them shown at least once.

    The recorder counts each cycle from 0, except the first one: the first state of an
    entity is its baseline. So that state is always shown, and is a 0 if the first cycle
    is to be counted whole.
    """

    def __init__(self) -> None:
        """Initialize without a cycle."""
        self.energy: float | None = None
        self.reset: datetime | None = None
        self._unshown: list[Total] = []
        # Whether anything was shown before that.
        self._is_shown = False

    def take_unshown(self) -> list[Total]:
        """Return what has to be shown, the last state of each cycle, oldest first.

        Each cycle that is never shown is energy that the recorder never counts. The first
        of them all has its first state, too.
        """
        unshown, self._unshown = self._unshown, []
        self._is_shown = self._is_shown or bool(unshown)
        return unshown

    def _first_start(self) -> datetime | None:
        """Return when the first cycle began, None if it may have begun unobserved."""
        return None

    def _show(self) -> None:
        """Note that energy or reset have changed."""
        if self.energy is None:
            return
        unshown = self._unshown
        if unshown and unshown[-1].reset == self.reset:
            is_baseline = not self._is_shown and len(unshown) == 1
            if not is_baseline or self.energy <= unshown[0].energy:
                unshown.pop()
        elif not unshown and not self._is_shown and self.energy:
            if start := self._first_start():
                self.reset = self.reset or start
                unshown.append(Total(0.0, self.reset))
        unshown.append(Total(self.energy, self.reset))

    def _begin(self, reset: datetime, energy: float | None) -> None:
        """Begin a cycle, whose reset is later than that of the one before."""
        if self.reset is not None and reset <= self.reset:
            reset = self.reset + _TICK
        self.reset, self.energy = reset, energy
        self._show()

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            "energy": self.energy,
            "reset": as_text(self.reset),
            "unshown": [total.as_list() for total in self._unshown],
        }

    def restore(self, document: Mapping[str, Any]) -> Self:
        """Restore what `as_dict` has returned before a restart."""
        self.energy = document["energy"]
        self.reset = from_text(document["reset"])
        self._unshown = [Total.from_list(stored) for stored in document["unshown"]]
        self._is_shown = self.energy is not None and not self._unshown
        return self


class SessionEnergy(Cycles):
    """The energy of the current charge session, one cycle for each.

    A cycle ends when another session is certain, and by nothing else:

    - SessionIdentifier (StateId 721) names another session, and an energy follows that
      is stamped after it;
    - CompletedSession (StateId 723), or an empty identifier together with a car that
      has left (StateId 710), say that the session is over, and the energy falls;
    - neither of them arrives, but the energy falls to what a new session can have drawn
      by then, and rises from there.

    Until then an energy that falls is not shown, because a charger that restarts, and
    the cloud by mistake, report a zero or an older energy in mid-session.
    """

    def __init__(self) -> None:
        """Initialize without a session."""
        super().__init__()
        # Whether the cloud has a value now. A Pro clears it at the end of the session.
        self.is_reported = False
        self._facts = SessionFacts()
        self._plausibility = Plausibility()
        # Energies that may be those of another session, until that is certain.
        self._drop: Drop | None = None
        # When an energy was reported last.
        self._reported_at: datetime | None = None

    def energy_of(self, session_id: str) -> float | None:
        """Return the energy of the current or the previous session, None for any other."""
        return self._facts.energy_of(session_id, self.energy)

    def is_of(self, session_id: str) -> bool:
        """Return whether the energy is that of a session."""
        return session_id == self._facts.session

    def resume(
        self, energy: float | None, reset: datetime | None, until: datetime
    ) -> None:
        """Continue a cycle of which only the recorded states are known.

        Args:
            energy: The energy that was recorded last.
            reset: Its `last_reset`; None for a `total_increasing`, which has none.
            until: The moment of that state. A session that began before is the one
                that was recorded, and must not get another reset.

        """
        self.energy, self.reset, self._is_shown = energy, reset, True
        self._facts.resume(until)

    def catch_up(self, energy: float) -> None:
        """Process what was recorded of the cycle after the counter was stored.

        The timestamps are kept: the time of a recorded state is one of Home Assistant's
        clock, not of the charger's.
        """
        self._is_shown = True
        if energy > (self.energy or 0.0):
            self.energy = energy

    @override
    def _first_start(self) -> datetime | None:
        """Return when the first cycle began, None if it may have begun unobserved."""
        return self._facts.first_start(self.energy or 0.0, self.reset)

    def report_energy(self, energy: float | None, at: datetime) -> None:
        """Process StateId 553, which is None when the cloud has no value."""
        if self._reported_at is not None and is_before(at, self._reported_at):
            return
        self._reported_at = latest(self._reported_at, at)
        self.is_reported = energy is not None
        if energy is None:
            self._drop = None
            self._facts.was_emptied = True
        elif energy < 0:
            return
        elif self._facts.next is not None and self._facts.next_at is not None:
            self._report_after_change(energy, at, self._facts.next, self._facts.next_at)
        elif self.energy is None:
            self._report_first(energy, at)
        elif energy >= self.energy:
            self._report_rise(energy, at)
        else:
            self._report_fall(energy, at)

    def _report_after_change(
        self, energy: float, at: datetime, session: str, started_at: datetime
    ) -> None:
        """Process an energy after the identifier of another session was reported."""
        shown = self.energy
        if (
            shown is not None
            and is_before(at, started_at)
            and (self._facts.completed_at is None or energy <= shown + ROUNDING)
        ):
            # This is the last report of the previous session, which may arrive after the
            # identifier. An energy above its final one shows that the timestamp of the
            # identifier is late.
            if energy > shown:
                self._raise(energy, at)
        elif (
            shown is None
            or energy < shown - ROUNDING
            or self._facts.ends_the_cycle(energy, shown)
            or self._facts.has_gone_on_unseen(energy, shown, started_at, at)
        ):
            self._open(session, started_at, energy, at)
        elif energy > shown + ROUNDING:
            # Only the identifier has changed: the charger has lost the identifier of the
            # running session, and has reported it again with a new timestamp.
            self._facts.adopt(session)
            self._raise(energy, at)
        # Else the energy of the previous session was reported again.

    def _report_first(self, energy: float, at: datetime) -> None:
        """Process the first energy, while none is shown."""
        if self._facts.completed_at is not None or self._facts.has_ended_before(at):
            self._facts.session = self._facts.completed_at = None
        if (
            self._plausibility.accepts(energy, energy, self.reset, at)
            if self.reset
            else energy <= SESSION_MAX
        ):
            self.energy = energy
            self._facts.energy_at = self._facts.confirmed_at = at
            self._show()

    def _report_rise(self, energy: float, at: datetime) -> None:
        """Process an energy that is not below the one that is shown."""
        if self._facts.completed_at is None:
            if self.energy or not self._facts.is_final(energy, self.reset, at):
                self._raise(energy, at)
            return
        self._drop = None
        if energy - (self.energy or 0.0) > ROUNDING and could_be_drawn(
            energy, self._facts.completed_at, at, REPORT_SLACK
        ):
            self._open(None, at, energy, at)

    def _report_fall(self, energy: float, at: datetime) -> None:
        """Process an energy below the one that is shown."""
        drop, facts = self._drop, self._facts
        if not facts.is_resumed and is_before(at, facts.confirmed_at or at):
            # A newer energy has arrived already.
            return
        if facts.completed_at is not None and is_before(at, facts.completed_at):
            # The final energy has arrived already. The time of a recorded energy is one
            # of Home Assistant's clock, but that of the end is one of the charger's.
            return
        if not could_be_drawn(energy, facts.confirmed_at or at, at, REPORT_SLACK):
            # No session since the last report can have drawn it, so it is a correction.
            self._drop = None
            self.energy = energy
            facts.energy_at = facts.confirmed_at = at
            self._show()
        elif drop is None or energy < drop.energy:
            self._drop = Drop(at, energy, at)
        elif energy > drop.energy:
            drop.energy, drop.energy_at = energy, at
            drop.rises += 1
        self._settle_drop()

    def _raise(self, energy: float, at: datetime) -> None:
        """Raise the energy of the cycle, unless the charger cannot have delivered it."""
        drawn = energy - (self.energy or 0.0)
        if not self._plausibility.accepts(
            energy, drawn, self._facts.confirmed_at or at, at
        ):
            return
        self._drop = None
        self._facts.confirmed_at = latest(self._facts.confirmed_at, at)
        if not drawn:
            return
        if self._facts.has_ended_before(at):
            # The energy may be that of another session, whose identifier has not arrived.
            self._facts.session = None
        self._facts.was_emptied = False
        self.energy = energy
        self._facts.energy_at = latest(self._facts.energy_at, at)
        self._show()

    def report_session(self, identifier: str | None, at: datetime) -> None:
        """Process StateId 721, which is None when no session runs."""
        if not self._facts.follow_identifier(identifier, at):
            return
        if identifier is None:
            self._settle_drop()
        elif identifier == self._facts.session:
            self._facts.next = self._facts.next_at = None
        elif identifier == self._facts.next or identifier in self._facts.ended:
            return
        elif self._facts.belongs(self.energy, at):
            self._facts.adopt(identifier)
            if not self.energy and not self._facts.is_resumed:
                self._facts.energy_at = latest(self._facts.energy_at, at)
                self._begin(at, self.energy)
        else:
            self._facts.next, self._facts.next_at = identifier, at
            drop, self._drop = self._drop, None
            if drop and (not drop.energy or is_since(drop.energy_at, at)):
                self._open(identifier, at, drop.energy, drop.energy_at)

    def report_car(self, *, is_connected: bool, at: datetime) -> None:
        """Process whether a car is connected (StateId 710)."""
        if self._facts.follow_car(at, is_connected=is_connected) and not is_connected:
            self._settle_drop()

    def end_reading(self) -> None:
        """Process the end of a reading, in which a zero can mean the end of a session.

        A Go 2 zeroes the energy at the end, and CompletedSession may be missing. Where a
        reading of the whole state has neither a car nor an identifier, no session runs.
        """
        self._facts.is_unread = False
        drop = self._drop
        if drop and not drop.energy and self._facts.has_ended:
            self._open(None, drop.at, drop.energy, drop.energy_at)
        elif drop and (started_at := self._facts.start_after_the_recorded(self.energy)):
            session, self._facts.session = self._facts.session, None
            self._open(session, started_at, drop.energy, drop.energy_at)

    def _settle_drop(self) -> None:
        """Begin a cycle with an energy that fell, once a mistake can be excluded.

        After a session that is completed a zero is enough. Where only the car is known to
        have left, the energy has to rise once, and where nothing is known, twice.
        """
        if (drop := self._drop) is None:
            return
        if self._facts.completed_at is not None:
            if is_before(drop.at, self._facts.completed_at):
                # The energy fell before the session ended, so the fall was a mistake.
                self._drop = None
                return
            rises = 1 if drop.energy else 0
        elif self._facts.car_has_left:
            rises = 1
        elif not self._facts.is_identified:
            rises = 2
        else:
            # The session continues, so the fall is a small correction or a mistake.
            return
        if drop.rises >= rises:
            self._open(None, drop.at, drop.energy, drop.energy_at)

    def report_completed(self, session: CompletedSession, at: datetime) -> None:
        """Process StateId 723, the final energy of a session."""
        identifier, energy = session.session_id, session.energy
        if identifier is None:
            return
        if identifier in self._facts.ended:
            self._count_rest(session)
            return
        if self._facts.session is None and self._facts.overlaps(session):
            if not self.energy and self._facts.was_counted(session):
                self._facts.end(identifier)
                return
            self._facts.session = identifier
        if identifier == self._facts.session:
            self._complete(identifier, energy, session.end or at)
        elif (
            energy is not None
            and session.start is not None
            and (followed_at := self._facts.energy_at or self._facts.idle_at)
            and is_since(session.start, followed_at)
            and (
                self._facts.next in (None, identifier)
                or is_since(self._facts.next_at, session.end or at)
            )
        ):
            # The session began and ended since the last report, so no energy of it has
            # been shown.
            later = self._facts.next, self._facts.next_at
            self._open(identifier, session.start, energy, session.end or at)
            self._facts.completed_at = session.end or at
            if later[0] != identifier:
                self._facts.next, self._facts.next_at = later
        # Else a later session is shown already, or the session ended before this
        # integration was first set up.

    def _complete(self, identifier: str, energy: float | None, at: datetime) -> None:
        """Process the end of the session whose energy is shown."""
        shown = self.energy or 0.0
        if energy is not None and energy < shown - ROUNDING:
            if is_before(at, self._facts.energy_at or at):
                # The cycle contains another session, whose start was not reported.
                self._facts.session = None
                self._facts.end(identifier)
                return
            # The energy that was shown was a mistake, too small to be noticed before.
            self.energy, self._facts.energy_at, self._drop = energy, at, None
            self._show()
        if energy is not None and energy > shown:
            self._raise(energy, at)
        self._facts.completed_at = at
        self._settle_drop()

    def _count_rest(self, session: CompletedSession) -> None:
        """Count what was not shown of the session before, which is completed late.

        That is only certain while the next session has drawn nothing: no energy is then
        counted for both, and the energy that is shown does not fall.
        """
        if self.energy != 0 or self.reset is None:
            return
        if rest := self._facts.rest_of_former(session, self.reset):
            self._facts.former = None
            self._facts.final = session.energy
            self._begin(self.reset, rest)
            self._begin(self.reset, 0.0)

    def _open(
        self, session: str | None, reset: datetime, energy: float, at: datetime
    ) -> None:
        """Begin the cycle of another session, unless its energy is impossible."""
        if not self._plausibility.accepts(energy, energy, min(reset, at), at):
            return
        self._facts.begin(session, at, final=self.energy)
        self._drop = None
        self._begin(reset, energy)

    @override
    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            **super().as_dict(),
            **self._facts.as_dict(),
            "drop": self._drop and self._drop.as_list(),
            "suspect": self._plausibility.as_list(),
            "reported_at": as_text(self._reported_at),
        }

    @override
    def restore(self, document: Mapping[str, Any]) -> Self:
        """Restore what `as_dict` has returned before a restart."""
        super().restore(document)
        self._facts.restore(document)
        self._drop = Drop.from_list(document["drop"]) if document["drop"] else None
        if document["suspect"]:
            self._plausibility = Plausibility.from_list(document["suspect"])
        self._reported_at = from_text(document["reported_at"])
        return self


def recorded_energy(session: CompletedSession, at: datetime) -> float | None:
    """Return the energy of a completed session, None if it is implausible.

    Args:
        session: The session (StateId 723).
        at: When it was reported.

    """
    energy, start, end = session.energy, session.start, session.end or at
    if energy is None or energy < 0:
        return None
    if start is None:
        return energy if energy <= SESSION_MAX else None
    # A clock that is ahead would make any energy possible.
    return energy if could_be_drawn(energy, start, min(end, at)) else None


class CompletedEnergy(Cycles):
    """The energy of the session that ended last, one cycle for each session."""

    def __init__(self) -> None:
        """Initialize without a session."""
        super().__init__()
        # The sessions that were counted, the newest last, and when each was reported.
        self._counted: dict[str, datetime] = {}
        self._until: datetime | None = None
        # From when on a session that begins counts whole, even if it is the first one.
        self._counts_since: datetime | None = None

    def count_since(self, moment: datetime) -> None:
        """Let each session that begins from a moment on count, even the first one."""
        self._counts_since = moment

    @override
    def _first_start(self) -> datetime | None:
        """Return when the first cycle began, None if it may have begun unobserved."""
        since = self._counts_since
        return self.reset if since and self.reset and self.reset >= since else None

    def resume(
        self, energy: float | None, reset: datetime | None, until: datetime
    ) -> None:
        """Continue a cycle of which only the recorded states are known.

        Args:
            energy: The energy that was recorded last.
            reset: Its `last_reset`; None for a `total_increasing`, which has none.
            until: The moment of that state. A session that was reported before has
                been counted, and must not get another reset.

        """
        self.energy, self.reset, self._until = energy, reset, until
        self._is_shown = True

    def catch_up(self, energy: float) -> None:
        """Ignore what was recorded after the counter was stored: it is the same energy."""

    def report(self, session: CompletedSession, at: datetime) -> None:
        """Process StateId 723. Each session is counted once, in any order of arrival."""
        energy, start, end = (
            recorded_energy(session, at),
            session.start,
            session.end or at,
        )
        if energy is None:
            return
        key = session.session_id or str(start or end)
        if key in self._counted:
            if key == next(reversed(self._counted)) and energy != self.energy:
                self.energy = energy
                self._show()
            return
        if len(self._counted) >= SESSIONS_KEPT:
            oldest = next(iter(self._counted))
            if at < self._counted[oldest]:
                return
            del self._counted[oldest]
        newest_at = max(self._counted.values(), default=at)
        self._counted[key] = at
        if at < newest_at:
            self._count_late(energy, start or at)
            return
        until, self._until = self._until, None
        if is_since(until, at) or (until and start and start == self.reset):
            self.energy = energy
            self._show()
        else:
            if start is None or session.reliable_clock is False:
                self._counts_since = None
            self._begin(start or at, energy)

    def _count_late(self, energy: float, reset: datetime) -> None:
        """Count a session that ended before the one that is shown, which stays shown.

        The recorder counts whatever a new cycle shows. So the cycle of the newest
        session is emptied first, and begins again after that of the late one.
        """
        self._counted = dict(sorted(self._counted.items(), key=lambda item: item[1]))
        newest = self.energy
        self.energy = 0.0
        self._show()
        self._begin(reset, energy)
        self._begin(reset, newest)

    @override
    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            **super().as_dict(),
            "counted": {key: as_text(at) for key, at in self._counted.items()},
            "until": as_text(self._until),
        }

    @override
    def restore(self, document: Mapping[str, Any]) -> Self:
        """Restore what `as_dict` has returned before a restart."""
        super().restore(document)
        self._counted = {
            key: datetime.fromisoformat(at) for key, at in document["counted"].items()
        }
        self._until = from_text(document["until"])
        return self


@dataclass(slots=True)
class _Contradiction:
    """Readings that agree with each other, but not with the meter so far."""

    first_at: datetime
    at: datetime
    value: float
    count: int = 1


class Meter:
    """A lifetime meter, which rises, unless it is exchanged.

    A reading that no charger can have reached since the one before is not followed, and
    neither is a lower one, until several readings over hours confirm it: then the meter
    was exchanged, or the one before was a mistake.
    """

    def __init__(self) -> None:
        """Initialize without a reading."""
        self.value: float | None = None
        # When that was read, and how many readings agree with it.
        self._at: datetime | None = None
        self._agreed = 0
        self._contradiction: _Contradiction | None = None

    @property
    def is_resumed(self) -> bool:
        """Return whether the moment of the value is unknown."""
        return self.value is not None and self._at is None

    @property
    def may_be_exchanged(self) -> bool:
        """Return whether a reading was lower than any of this meter can be by now.

        The readings before the last one may be repeated, or those of a session be
        incomplete; they are not as far below it.
        """
        held = self._contradiction
        return (
            held is not None
            and self.value is not None
            and held.value < self.value - CLOCK_SLACK
        )

    def resume(self, value: float) -> None:
        """Continue from a value whose moment is unknown."""
        if value < METER_MAX:
            self.value = value

    def report(self, reading: float, at: datetime) -> bool:
        """Process a reading of StateId 554 or 723; return whether the meter is new.

        Args:
            reading: kWh.
            at: When the meter was read.

        """
        if not 0 < reading < METER_MAX:
            return False
        if self._is_plausible(reading, at):
            if self._contradiction and at > self._contradiction.at:
                self._contradiction = None
            self._accept(reading, at)
            return False
        if self._at is not None and at <= self._at:
            return False
        return self._contradict(reading, at)

    def report_listed(self, reading: float, now: datetime) -> None:
        """Process a reading of the chargers' list, which may be older than others."""
        if 0 < reading < METER_MAX and self._is_plausible(reading, now):
            self._accept(reading, self._at or now)

    def _is_plausible(self, reading: float, at: datetime) -> bool:
        """Return whether the meter can have got from its last value to this one."""
        if self.value is None:
            return True
        slack = METER_SLACK if self._agreed < METER_READINGS else CLOCK_SLACK
        return reading >= self.value and (
            self._at is None
            or could_be_drawn(reading - self.value, self._at, at, slack)
        )

    def _accept(self, reading: float, at: datetime) -> None:
        """Accept a reading as the value of the meter."""
        self.value = reading
        if self._at is None or at > self._at:
            self._agreed += 1
            self._at = at

    def _contradict(self, reading: float, at: datetime) -> bool:
        """Note a reading that is not followed yet; return whether it is now."""
        held = self._contradiction
        if held is None or not (
            reading >= held.value and could_be_drawn(reading - held.value, held.at, at)
        ):
            self._contradiction = _Contradiction(at, at, reading)
            return False
        if at > held.at:
            held.at, held.value = at, reading
            held.count += 1
        if held.count < EXCHANGE_READINGS or at - held.first_at < EXCHANGE_TIME:
            return False
        self._contradiction = None
        self.value, self._at, self._agreed = reading, at, held.count
        return True

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        held = self._contradiction
        return {
            "value": self.value,
            "at": as_text(self._at),
            "agreed": self._agreed,
            "contradiction": held
            and [as_text(held.first_at), as_text(held.at), held.value, held.count],
        }

    def restore(self, document: Mapping[str, Any]) -> Self:
        """Restore what `as_dict` has returned before a restart."""
        self.value = document["value"]
        self._at = from_text(document["at"])
        self._agreed = document["agreed"]
        if held := document["contradiction"]:
            first_at, at, value, count = held
            self._contradiction = _Contradiction(
                datetime.fromisoformat(first_at),
                datetime.fromisoformat(at),
                value,
                count,
            )
        return self
