"""What is known of the session whose energy is shown, and of what was reported."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from .api import CompletedSession
from .moments import as_text, from_text, is_before, is_since, latest
from .plausibility import REPORT_SLACK, could_be_drawn

# StateIds 553 and 723 report the same energy with different numbers of decimals (kWh).
ROUNDING = 0.002

# An energy this close to the final one of the session before is that one, reported
# again after a zero by mistake (kWh).
FINAL_ROUNDING = 0.01

# Number of ended sessions of each charger that are remembered, so that none is counted
# again. All of them are stored whenever a session begins.
SESSIONS_KEPT = 20

# The moments that are stored. Whether a car is connected is not stored, because the
# first reading reports it again.
_MOMENTS = (
    "completed_at",
    "confirmed_at",
    "energy_at",
    "next_at",
    "identifier_at",
    "unplugged_at",
    "idle_at",
    "plugged_at",
)


class SessionFacts:
    """What is known of the session of a cycle, and what follows from it."""

    def __init__(self) -> None:
        """Initialize without a session."""
        # The session of the cycle, when its energy changed last, and when the session was
        # completed.
        self.session: str | None = None
        self.energy_at: datetime | None = None
        self.completed_at: datetime | None = None
        # When the energy was last reported, whether it had changed or not.
        self.confirmed_at: datetime | None = None
        # The final energy of the previous session.
        self.final: float | None = None
        # The session of the cycle before, until all its energy is counted, and the last
        # report of that cycle. They are not stored: after a restart, what is missing of
        # that session is not counted.
        self.former: str | None = None
        self.former_at: datetime | None = None
        # Whether the cloud has had no energy since the last one.
        self.was_emptied = False
        # Whether another program, or another version, has begun the cycle.
        self.is_resumed = False
        # Whether the charger has not been read since the cycle was resumed.
        self.is_unread = False
        # The session that comes next, and its start.
        self.next: str | None = None
        self.next_at: datetime | None = None
        # The newest reports of the identifier and of the car.
        self.identifier: str | None = None
        self.identifier_at: datetime | None = None
        self.car_at: datetime | None = None
        self.unplugged_at: datetime | None = None
        self.is_unplugged = False
        # When the charger was first known to be without a session, and when the car was
        # connected to a charger that was known to be without one.
        self.idle_at: datetime | None = None
        self.plugged_at: datetime | None = None
        self.ended: list[str] = []

    @property
    def car_has_left(self) -> bool:
        """Return whether the car has left since the energy changed last."""
        return is_since(self.unplugged_at, self.energy_at)

    @property
    def is_identified(self) -> bool:
        """Return whether the newest identifier is that of the session of the cycle."""
        return bool(self.identifier) and self.identifier == self.session

    @property
    def has_ended(self) -> bool:
        """Return whether the car has left and the session has no identifier any more."""
        return (
            not self.identifier
            and self.is_unplugged
            and (self.is_resumed or self.car_has_left)
        )

    def resume(self, until: datetime) -> None:
        """Continue a cycle that was recorded until a moment."""
        self.energy_at = self.confirmed_at = until
        self.is_resumed = self.is_unread = True

    def begin(self, session: str | None, at: datetime, *, final: float | None) -> None:
        """Begin another cycle.

        Args:
            session: Its session, if that is known.
            at: The timestamp of its first energy.
            final: The last energy of the cycle before it.

        """
        if self.session is not None:
            self.end(self.session)
        self.former, self.former_at = self.session, self.confirmed_at
        self.session, self.final = session, final
        self.energy_at = self.confirmed_at = at
        self.is_resumed = self.was_emptied = False
        self.next = self.next_at = self.completed_at = None

    def follow_identifier(self, identifier: str | None, at: datetime) -> bool:
        """Note the newest identifier; return False if a newer one is known."""
        if self.identifier_at is not None and is_before(at, self.identifier_at):
            return False
        self.identifier_at = latest(self.identifier_at, at)
        self.identifier = identifier
        if identifier is None:
            self.idle_at = self.idle_at or at
        return True

    def follow_car(self, at: datetime, *, is_connected: bool) -> bool:
        """Note whether a car is connected; return False if a newer report is known."""
        if self.car_at is not None and is_before(at, self.car_at):
            return False
        self.car_at = latest(self.car_at, at)
        if not is_connected:
            self.unplugged_at = at
            self.idle_at = self.idle_at or at
            self.plugged_at = None
        elif self.unplugged_at is not None:
            self.plugged_at = self.plugged_at or at
        self.is_unplugged = not is_connected
        return True

    def adopt(self, session: str) -> None:
        """Make the cycle that of a session."""
        if self.session is not None:
            self.end(self.session)
        self.session = session
        self.next = self.next_at = None
        self.was_emptied = False

    def end(self, identifier: str) -> None:
        """Remember a session that is over."""
        self.ended = [*self.ended[1 - SESSIONS_KEPT :], identifier]

    def ends_the_cycle(self, energy: float, shown: float) -> bool:
        """Return whether an energy that has not fallen is one of another session."""
        return not energy or (
            energy > shown + ROUNDING
            and (self.completed_at is not None or self.car_has_left)
        )

    def has_gone_on_unseen(
        self, energy: float, shown: float, started_at: datetime, at: datetime
    ) -> bool:
        """Return whether an energy can be that of a session whose beginning was not seen.

        Once the state was read, no session begins without an energy that falls. Nor does
        one without a car that is connected, or begins to charge.
        """
        return (
            self.is_unread
            and (self.car_at is None or is_since(self.car_at, self.energy_at))
            and energy > shown + ROUNDING
            and could_be_drawn(energy, started_at, at, REPORT_SLACK)
        )

    def is_final(self, energy: float, reset: datetime | None, at: datetime) -> bool:
        """Return whether an energy is that of the session before, reported again.

        The zero that began the cycle may have been a mistake. But an energy with a
        timestamp after the start of another session belongs to that one.
        """
        return (
            self.final is not None
            and abs(energy - self.final) <= FINAL_ROUNDING
            and (self.session is None or is_before(at, reset or at))
        )

    def has_ended_before(self, at: datetime) -> bool:
        """Return whether the session has ended since the last energy, as it seems."""
        return (
            self.was_emptied
            or (self.identifier is None and is_before(self.identifier_at, at))
            or (self.car_has_left and is_before(self.unplugged_at, at))
        )

    def belongs(self, shown: float | None, at: datetime) -> bool:
        """Return whether a session that began is the one whose energy is shown."""
        if self.energy_at is not None and is_before(at, self.energy_at):
            # It began before that energy, so the previous identifier is outdated.
            return True
        if self.is_resumed:
            return is_since(self.energy_at, at)
        return self.session is None and (not shown or not self.car_has_left)

    def first_start(self, energy: float, reset: datetime | None) -> datetime | None:
        """Return when the first session began, if it certainly drew all of its energy since.

        The charger was known to be without a session before. None if the energy may be
        that of a session that ran already when the counter began to follow the charger.

        Args:
            energy: The first energy that is known of the session.
            reset: The start of its cycle, None if no identifier has said it.

        """
        start = reset or self.plugged_at
        if (
            self.is_resumed
            or start is None
            or self.energy_at is None
            or not is_before(self.idle_at, start)
            or not could_be_drawn(energy, start, self.energy_at, REPORT_SLACK)
        ):
            return None
        return start

    def start_after_the_recorded(self, shown: float | None) -> datetime | None:
        """Return the start of the session if what was recorded is of one before it.

        The energy was recorded after the session had begun, but the car cannot have drawn
        so much by then. None if the energy may be of this session.
        """
        started_at, recorded_at = self.identifier_at, self.energy_at
        if (
            not self.is_resumed
            or not self.is_identified
            or started_at is None
            or recorded_at is None
            or could_be_drawn(shown or 0.0, started_at, recorded_at, REPORT_SLACK)
        ):
            return None
        return started_at

    def overlaps(self, session: CompletedSession) -> bool:
        """Return whether a session ran when the energy that is shown was reported."""
        return (
            session.start is not None
            and session.end is not None
            and is_since(self.energy_at, session.start)
            and is_since(session.end, self.energy_at)
        )

    def was_counted(self, session: CompletedSession) -> bool:
        """Return whether a session that is completed is that of the cycle before.

        It ran when the last energy of that cycle was reported, and ended with the same
        energy. A zero that was reported before its end has begun the present cycle.
        """
        return (
            session.energy is not None
            and self.final is not None
            and abs(session.energy - self.final) <= FINAL_ROUNDING
            and is_since(self.former_at, session.start)
        )

    def rest_of_former(self, session: CompletedSession, reset: datetime) -> float:
        """Return what is certainly missing of the session before, which is completed late.

        Args:
            session: The session that is completed.
            reset: The start of the present cycle.

        """
        reported_at, end = self.former_at, session.end
        if reported_at is None or session.energy is None or end is None:
            return 0.0
        rest = session.energy - (self.final or 0.0)
        is_certain = (
            session.session_id == self.former
            and self.session is not None
            and rest > ROUNDING
            and is_since(end, reported_at)
            and is_since(reset, end)
            and could_be_drawn(rest, reported_at, end, REPORT_SLACK)
        )
        return rest if is_certain else 0.0

    def energy_of(self, session_id: str, shown: float | None) -> float | None:
        """Return the energy of one of the last two sessions, None for any other.

        Args:
            session_id: The session.
            shown: The energy of the current cycle.

        """
        if session_id == self.session:
            return shown
        return self.final if session_id == self.former else None

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            "session": self.session,
            "next": self.next,
            "identifier": self.identifier,
            "ended": self.ended,
            "is_resumed": self.is_resumed,
            "is_unread": self.is_unread,
            "was_emptied": self.was_emptied,
            "final": self.final,
            **{name: as_text(getattr(self, name)) for name in _MOMENTS},
        }

    def restore(self, document: Mapping[str, Any]) -> None:
        """Restore what `as_dict` has returned before a restart."""
        self.session = document["session"]
        self.next = document["next"]
        self.identifier = document["identifier"]
        self.ended = list(document["ended"])
        self.is_resumed = document["is_resumed"]
        # An earlier version did not store it.
        self.is_unread = document.get("is_unread", False)
        self.was_emptied = document["was_emptied"]
        self.final = document["final"]
        for name in _MOMENTS:
            # An earlier version did not store all of them.
            setattr(self, name, from_text(document.get(name)))


@dataclass(slots=True)
class Drop:
    """Energies below the one that is shown, which may be those of another session."""

    at: datetime
    """When it began."""
    energy: float
    energy_at: datetime
    rises: int = 0

    def as_list(self) -> list[Any]:
        """Return the drop as a list that can be stored as JSON."""
        return [
            self.at.isoformat(),
            self.energy,
            self.energy_at.isoformat(),
            self.rises,
        ]

    @classmethod
    def from_list(cls, stored: list[Any]) -> Self:
        """Return what was stored."""
        at, energy, energy_at, rises = stored
        return cls(
            datetime.fromisoformat(at), energy, datetime.fromisoformat(energy_at), rises
        )
