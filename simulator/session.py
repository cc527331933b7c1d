"""A charging session, from plugging in to unplugging."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
import json

from .accounts import Account, Card
from .observations import Family
from .ocmf import Meter, Reading

# The first firmware of a Pro whose sessions have energy details; those of a Go always have.
# Source: reported by an integrator who reads the archive (July 2026).
_DETAILS_SINCE = (3, 2)


@dataclass(slots=True)
class Session:
    """One session of one charger; energies in kWh, times in UTC.

    Attributes:
        user: The account that has authorized it, if the charger knows.
        card: The card that has authorized it.
        recognized: When the cloud has received the completed session.
        offline: Whether the charger was offline when it started or ended.
        details: The energy until each report of the meter, without the start and the end.
        is_anonymous: Whether the cloud does not know who has charged.
        external_id: The id that a web hook has given it.
        reliable_clock: Whether its times are right.
        stopped_by_card: Whether the driver has stopped it with the card.
        aborted: Whether it ended before it began properly; its energy means nothing.
        voided: Whether charging never started; its energy means nothing.
        externally_abandoned: Whether another system has ended it.
        replaced_by: The id of the session that corrects it.
        replaced_at: When that one has reached the cloud; it is void from then on.
        truth: The session as it was, if it was recorded with a wrong energy and not corrected.
    """

    id: str
    charger_id: str
    charger_name: str
    installation_id: str
    meter: Meter
    number: int
    started: datetime
    readings: list[Reading]
    user: Account | None = None
    ended: datetime | None = None
    recognized: datetime | None = None
    energy: float = 0.0
    offline: bool = False
    prioritized_current: float | None = None
    details: list[tuple[datetime, float]] = field(default_factory=list)
    card: Card | None = None
    is_anonymous: bool = False
    external_id: str | None = None
    reliable_clock: bool = True
    stopped_by_card: bool = False
    aborted: bool = False
    voided: bool = False
    externally_abandoned: bool = False
    replaced_by: str | None = None
    replaced_at: datetime | None = None
    truth: Session | None = None

    @property
    def signed_session(self) -> str:
        """The session's OCMF document.

        As in the energy details, a reading at which nothing has been drawn since the one before
        is left out.
        """
        first, *between, last = self.readings
        rows = [first]
        before = 0.0
        for reading in between:
            energy = round(reading.energy - first.energy, 3)
            if energy != before:
                rows.append(reading)
            before = energy
        return self.meter.transaction(
            [*rows, last], self.number, self.id, self.identity
        )

    @property
    def identity(self) -> str:
        """Who has authorized it, as the charger reports it (StateId 722)."""
        if self.card:
            return self.card.identity
        return self.user.id if self.user else ""

    @property
    def has_energy_details(self) -> bool:
        """Whether the charger's firmware records the energy over time."""
        version = tuple(int(part) for part in self.meter.firmware.split(".")[:2])
        return self.meter.family is Family.GO or version >= _DETAILS_SINCE

    def energy_details(self) -> list[tuple[datetime, float]]:
        """Return the energy of each interval, with its end; the first is 0, at the start.

        A report of the meter is left out if nothing has been drawn since the one before. The last
        interval ends with the session.
        """
        assert self.ended
        points = [(self.started, 0.0)]
        before = 0.0
        for time, energy in [*self.details, (self.ended, self.energy)]:
            # Differences of rounded numbers, so that their sum is the session's energy.
            energy = round(energy, 3)
            if energy != before or time == self.ended:
                points.append((time, round(energy - before, 3)))
            before = energy
        return points

    def is_void(self, now: datetime) -> bool:
        """Return whether it does not count (any more)."""
        return self.voided or (self.replaced_at is not None and self.replaced_at <= now)

    def scaled(self, share: float) -> Session:
        """Return the session as if only this share of its energy had been measured."""
        start = self.readings[0].energy
        return replace(
            self,
            truth=self,
            energy=self.energy * share,
            details=[(time, energy * share) for time, energy in self.details],
            readings=[
                Reading(reading.time, start + (reading.energy - start) * share)
                for reading in self.readings
            ],
        )

    def correct(self, session_id: str, received: datetime) -> Session:
        """Return the session that replaces this one, whose energy is wrong.

        Args:
            session_id: The id of the new session.
            received: When the cloud receives it; this one is void from then on.
        """
        assert self.truth
        new = replace(self.truth, id=session_id, recognized=received)
        self.replaced_by, self.replaced_at = new.id, received
        self.truth = None
        return new

    def shifted(self, offset: timedelta) -> Session:
        """Return the session as a charger with a wrong clock records it."""
        assert self.ended
        return replace(
            self,
            reliable_clock=False,
            started=self.started + offset,
            ended=self.ended + offset,
            details=[(time + offset, energy) for time, energy in self.details],
            readings=[
                Reading(reading.time + offset, reading.energy)
                for reading in self.readings
            ],
        )

    def completed(self) -> str:
        """Return the JSON of StateId 723; energy is rounded to 3 decimals."""
        assert self.ended
        return json.dumps(
            {
                "SessionId": self.id,
                "Energy": round(self.energy, 3),
                "StartDateTime": _microseconds(self.started),
                "EndDateTime": _microseconds(self.ended),
                "ReliableClock": self.reliable_clock,
                "StoppedByRFID": self.stopped_by_card,
                "AuthenticationCode": self.card.identity if self.card else "",
                "FirstAuthenticatedDateTime": _microseconds(self.started)
                if self.identity
                else "",
                "SignedSession": self.signed_session,
            },
            separators=(",", ":"),
        )


def _microseconds(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
