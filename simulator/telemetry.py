"""What a charger reports to the cloud, and when.

`Telemetry` carries single observations, and the reports that belong together in their order.
`Pulse` repeats its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import json
from types import MappingProxyType

from .car import Car
from .engine import Engine
from .nbfx import encode
from .observations import Family, Mode, StateId, Value, value_as_string
from .session import Session

PULSE_IDLE = 600
PULSE_CHARGING = 180
METER_INTERVAL: Mapping[Family, int] = MappingProxyType(
    {Family.PRO: 900, Family.GO: 3600}
)
# Two reports of one StateId are at least this far apart, so that their order is known even when
# the clock stands still.
_REPORT_GAP = timedelta(milliseconds=10)
# Time between the values of an initial state.
_INITIAL_GAP = timedelta(milliseconds=137)


@dataclass(frozen=True, slots=True)
class StoredObservation:
    """The last report of a StateId; the value is None if it has none."""

    timestamp: datetime
    value: str | None


class Telemetry:
    """The connection of a charger to the cloud, and what the cloud has received over it.

    Attributes:
        family: The family, whose number format and extra reports it uses.
        is_online: Whether the charger is connected.
        observations: What the cloud has last received, by StateId.
    """

    def __init__(
        self,
        engine: Engine,
        publish: Callable[[bytes], None],
        *,
        charger_id: str,
        serial: str,
        family: Family,
    ) -> None:
        """Initialize the telemetry of a charger that is online.

        Args:
            engine: The charger's time, timers and chance.
            publish: Takes each message body on its way to the Service Bus.
            charger_id: The charger's UUID.
            serial: The charger's DeviceId.
            family: Pro or Go.
        """
        self.family = family
        self.is_online = True
        self.observations: dict[int, StoredObservation] = {}
        self._engine = engine
        self._publish = publish
        # The last report of each StateId that an offline charger has not sent.
        self._unsent: dict[int, StoredObservation] = {}
        self._head = (
            f'{{"DeviceId":{json.dumps(serial)},"DeviceType":{family.value},'
            f'"ChargerId":"{charger_id}","StateId":'
        )

    def value(self, state_id: int) -> str | None:
        """Return what the cloud has for a StateId, None for nothing."""
        stored = self.observations.get(state_id)
        return stored.value if stored else None

    def observe(self, state_id: int, value: Value) -> None:
        """Report a value, or None for "has no value any more", to the cloud.

        An offline charger keeps its last report of each StateId until it is back.
        """
        report = StoredObservation(
            self._stamp(state_id), value_as_string(state_id, value, self.family)
        )
        if self.is_online or state_id == StateId.IS_ONLINE:
            self._send(state_id, report)
        elif state_id != StateId.PULSE:
            self._unsent[state_id] = report

    def report(self, state_id: int, value: Value) -> None:
        """Report a value if it differs from the last report."""
        last = self._unsent.get(state_id) or self.observations.get(state_id)
        if last is None or last.value != value_as_string(state_id, value, self.family):
            self.observe(state_id, value)

    def preload(self, start: datetime, values: Mapping[StateId, Value]) -> None:
        """Store values as if they had been reported, one shortly after the other."""
        for index, (state_id, value) in enumerate(values.items()):
            self.observations[state_id] = StoredObservation(
                start + _INITIAL_GAP * index,
                value_as_string(state_id, value, self.family),
            )

    def disconnect(self) -> None:
        """Go offline; the cloud notices at once."""
        self.is_online = False
        self.observe(StateId.IS_ONLINE, False)

    def connect(self) -> None:
        """Go online, and send what was reported in between."""
        self.is_online = True
        self.observe(StateId.IS_ONLINE, True)
        unsent, self._unsent = self._unsent, {}
        for state_id, report in unsent.items():
            self._send(state_id, report)

    # Reports that belong together, in the order of the vendor's chargers.

    def report_car(self, car: Car) -> None:
        """Report that a car was plugged in."""
        self.observe(StateId.OPERATION_MODE, Mode.REQUESTING)
        self.observe(StateId.CABLE_TYPE, car.cable_rating)
        if self.family is Family.GO:
            self.observe(StateId.CHARGE_MODE, 9)

    def report_no_car(self) -> None:
        """Report that the car was unplugged."""
        self.observe(StateId.OPERATION_MODE, Mode.DISCONNECTED)
        if self.family is Family.GO:
            self.observe(StateId.CHARGE_MODE, 12)

    def report_session_start(self, session: Session) -> None:
        """Report a new session: 721, 722 if a user or a card is known, 553."""
        self.observe(StateId.SESSION_IDENTIFIER, session.id)
        if session.identity:
            self.observe(StateId.CURRENT_USER, session.identity)
        self.observe(StateId.SESSION_ENERGY, 0.0)

    def report_session_end(self, session: Session) -> None:
        """Report the end of a session; StateId 723 follows some seconds later.

        The energy (553) comes before the session's id (721) goes. A Pro then clears the energy,
        a Go keeps it until the next session.
        """
        self.report(StateId.SESSION_ENERGY, session.energy)
        self.report(StateId.SESSION_IDENTIFIER, None)
        if session.identity:
            self.report(StateId.CURRENT_USER, None)
        if self.family is Family.PRO:
            self.observe(StateId.SESSION_ENERGY, None)

    def report_versions(self, firmware: str) -> None:
        """Report a firmware."""
        self.observe(StateId.MAINBOARD_VERSION, firmware)
        self.observe(StateId.COMPUTER_VERSION, firmware)
        if self.family is Family.GO:
            self.observe(StateId.SOURCE_VERSION, firmware)

    def report_restart(self) -> None:
        """Report why the charger has started."""
        self.observe(StateId.MCU_RESET_SOURCE, 6 if self.family is Family.GO else 1)

    def _stamp(self, state_id: int) -> datetime:
        stamp = self._engine.now() + timedelta(
            microseconds=self._engine.random.randrange(999)
        )
        last = self._unsent.get(state_id) or self.observations.get(state_id)
        return max(stamp, last.timestamp + _REPORT_GAP) if last else stamp

    def _send(self, state_id: int, report: StoredObservation) -> None:
        self.observations[state_id] = report
        body = f'{self._head}{state_id},"Timestamp":"{_bus_time(report.timestamp)}"'
        if report.value is not None:
            body += f',"ValueAsString":{json.dumps(report.value)}'
        self._publish(encode(f"{body}}}"))


class Pulse:
    """The pulse, StateId -1, by which the cloud recognizes a charger that is online."""

    def __init__(self, engine: Engine, telemetry: Telemetry) -> None:
        """Initialize the pulse; `beat` starts it."""
        self._engine = engine
        self._telemetry = telemetry
        self._interval = PULSE_IDLE

    def beat(self) -> None:
        """Send a pulse now, and the next one after the interval."""
        self._telemetry.observe(StateId.PULSE, None)
        self._engine.after("pulse", self._interval, self.beat)

    def set_interval(self, seconds: int) -> None:
        """Send the next pulse after so many seconds, and so on."""
        self._interval = seconds
        if self._telemetry.family is Family.GO:
            self._telemetry.report(StateId.PULSE_INTERVAL, seconds)
        self._engine.after("pulse", seconds, self.beat)


def _bus_time(stamp: datetime) -> str:
    """Write a time as the bus does: `Z`, five to seven fractional digits."""
    digit = stamp.microsecond * 7 % 10
    fraction = f"{stamp.microsecond:06d}{digit}".rstrip("0").ljust(5, "0")
    return f"{stamp.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{fraction}Z"
