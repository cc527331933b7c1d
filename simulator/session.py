"""A charging session, from plugging in to unplugging."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
import json

from .accounts import Account
from .ocmf import Meter, Reading


@dataclass(slots=True)
class Session:
    """One session of one charger; energies in kWh, times in UTC."""

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

    @property
    def signed_session(self) -> str:
        """The session's OCMF document."""
        return self.meter.transaction(
            self.readings, self.number, self.id, self.user.id if self.user else ""
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
                "ReliableClock": True,
                "StoppedByRFID": False,
                "AuthenticationCode": "",
                "FirstAuthenticatedDateTime": _microseconds(self.started)
                if self.user
                else "",
                "SignedSession": self.signed_session,
            },
            separators=(",", ":"),
        )


def _microseconds(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
