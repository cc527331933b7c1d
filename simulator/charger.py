"""A charger that behaves: what it does with a car, and what it reports when.

All times are of the simulated clock. Power is constant between two measurements, and each
measurement is reported, so that the integral of the reported power is the energy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import json
import random
from types import MappingProxyType
from typing import TYPE_CHECKING

from .accounts import Account
from .clock import Clock, Handle
from .installation import Circuit, Demand, Installation
from .nbfx import encode
from .observations import Family, Mode, StateId, Value, value_as_string
from .ocmf import Meter, Reading
from .session import Session

if TYPE_CHECKING:
    from .car import Car

PULSE_IDLE = 600
PULSE_CHARGING = 180
METER_INTERVAL: Mapping[Family, int] = MappingProxyType(
    {Family.PRO: 900, Family.GO: 3600}
)
LATEST_FIRMWARE: Mapping[Family, str] = MappingProxyType(
    {Family.PRO: "3.2.4.1", Family.GO: "2.4.2.4"}
)
_VOLTAGES = (StateId.VOLTAGE_PHASE1, StateId.VOLTAGE_PHASE2, StateId.VOLTAGE_PHASE3)
_CURRENTS = (StateId.CURRENT_PHASE1, StateId.CURRENT_PHASE2, StateId.CURRENT_PHASE3)
_RAMP = (0.35, 0.7, 1.0)
_NO_CURRENT = (0.0, 0.0, 0.0)
# DeviceType of a Sense (Apm), which is listed among the chargers.
# Source: GET /api/constants, DeviceTypes.
_POWER_METER = 5
# Two reports of one StateId are at least this far apart, so that their order is known even when
# the clock stands still.
_REPORT_GAP = timedelta(milliseconds=10)


class CommandRejectedError(Exception):
    """The charger's cloud refuses a command; `details` is the vendor's text, or None."""

    def __init__(self, details: str | None) -> None:
        """Keep the text."""
        super().__init__(details)
        self.details = details


@dataclass(frozen=True, slots=True)
class StoredObservation:
    """The last report of a StateId; `value` None: it has none."""

    timestamp: datetime
    value: str | None


class Charger:
    """One simulated charger.

    Attributes:
        publish: Takes each message body on its way to the Service Bus.
        observations: What the cloud has last heard, by StateId.
        mode: What the charger is doing (the cloud may not know yet when it is offline).
        allocated_current: What the installation allows it now, A.
        reported_meter: The last meter reading that reached the cloud, kWh.
    """

    def __init__(
        self,
        clock: Clock,
        publish: Callable[[Charger, bytes], None],
        installation: Installation[Charger],
        circuit: Circuit,
        *,
        id: str,
        serial: str,
        name: str,
        family: Family,
        seed: str,
        firmware: str | None = None,
        available_firmware: str | None = None,
        lifetime_energy: float = 0.0,
        communication: str = "LTE",
        stand_alone: bool = False,
    ) -> None:
        """Make a charger that is online, with nothing plugged in.

        Args:
            clock: The simulated time.
            publish: Takes each message body on its way to the Service Bus.
            installation: Where it stands; it is added there.
            circuit: Its circuit.
            id: Its UUID.
            serial: Its DeviceId; the first three letters tell the model.
            name: What people call it.
            family: Pro or Go.
            seed: Two chargers with the same seed behave the same.
            firmware: Its version; the latest when left out.
            available_firmware: What an upgrade brings.
            lifetime_energy: Its meter, kWh.
            communication: How it reaches the cloud: "LTE", "Wifi" or "PLC".
            stand_alone: Whether it ignores the cloud (StateId 712).
        """
        self.clock = clock
        self.installation = installation
        self.circuit = circuit
        self.id = id
        self.serial = serial
        self.name = name
        self.family = family
        self.available_firmware = available_firmware or LATEST_FIRMWARE[family]
        self.firmware = firmware or self.available_firmware
        self.communication = communication
        self.created = installation.created
        self.observations: dict[int, StoredObservation] = {}
        self.mode = Mode.DISCONNECTED
        self.car: Car | None = None
        self.session: Session | None = None
        self.power = 0.0
        self.allocated_current = 0.0
        self.max_current = 32.0
        self.min_current = 6.0
        self.max_phases = 3
        self.offline_current = 6.0
        self.stand_alone_current = 10.0
        self.meter_interval = METER_INTERVAL[family]
        self.is_online = True
        self.is_stand_alone = stand_alone
        # Whether the lists show a power meter in its place.
        self.is_power_meter = False
        self.final_stop = False
        self.is_authorized = False
        self._asking_since = clock.now()
        self._asks = False
        self._user: Account | None = None
        self._schedule: datetime | None = None
        self._lifetime = lifetime_energy
        self.reported_meter = lifetime_energy
        self._session_energy = 0.0
        self._accrued_at = clock.now()
        self._currents = _NO_CURRENT
        self._voltages = self._idle_voltages()
        self._ramp = len(_RAMP)
        self._measured_at = clock.now()
        self._voltages_at = clock.now()
        self._sessions = 0
        self._fiscal_readings = 0
        self._started_at = clock.now() - timedelta(hours=30)
        self.publish = publish
        self._random = random.Random(seed)
        self._timers: dict[str, Handle] = {}
        self._unsent: dict[int, StoredObservation] = {}
        self._head = (
            f'{{"DeviceId":{json.dumps(serial)},"DeviceType":{family.value},'
            f'"ChargerId":"{id}","StateId":'
        )
        self._store_initial_state()
        installation.chargers.append(self)
        self._pulse()
        self._climate()
        self._schedule_meter()

    # What others ask of it.

    @property
    def is_reachable(self) -> bool:
        """Whether the installation's load balancing reaches it."""
        return self.is_online and not self.is_stand_alone

    @property
    def demand(self) -> Demand | None:
        """What it asks the installation for, None while it does not ask."""
        if not self._asks:
            return None
        prioritized = self.session.prioritized_current if self.session else None
        return Demand(
            self._asking_since, self.min_current, self.max_current, prioritized
        )

    @property
    def session_energy(self) -> float:
        """Energy of the present (else the last) session until now, kWh, not rounded."""
        return self._session_energy + self._pending_energy()

    @property
    def lifetime_energy(self) -> float:
        """The meter until now, kWh, not rounded."""
        return self._lifetime + self._pending_energy()

    def exchange_meter(self, lifetime_energy: float) -> None:
        """Put in another meter, which has counted so much until now (kWh)."""
        self._accrue()
        self._lifetime = lifetime_energy

    @property
    def device_type(self) -> int:
        """The DeviceType that the lists show."""
        return _POWER_METER if self.is_power_meter else self.family.value

    @property
    def meter(self) -> Meter:
        """What its meter documents are headed with."""
        return Meter(self.family, self.serial, self.firmware)

    def value(self, state_id: int) -> str | None:
        """Return what the cloud has for a StateId, None for nothing."""
        stored = self.observations.get(state_id)
        return stored.value if stored else None

    # Reports.

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

    def publish_raw(self, body: bytes) -> None:
        """Put any bytes on the installation's topic, as they are."""
        self.publish(self, body)

    def _stamp(self, state_id: int) -> datetime:
        stamp = self.clock.now() + timedelta(microseconds=self._random.randrange(999))
        last = self._unsent.get(state_id) or self.observations.get(state_id)
        return max(stamp, last.timestamp + _REPORT_GAP) if last else stamp

    def _send(self, state_id: int, report: StoredObservation) -> None:
        self.observations[state_id] = report
        body = f'{self._head}{state_id},"Timestamp":"{_bus_time(report.timestamp)}"'
        if report.value is not None:
            body += f',"ValueAsString":{json.dumps(report.value)}'
        self.publish(self, encode(f"{body}}}"))

    def _report(self, state_id: int, value: Value) -> None:
        """Report a value if it is new."""
        last = self._unsent.get(state_id) or self.observations.get(state_id)
        if last is None or last.value != value_as_string(state_id, value, self.family):
            self.observe(state_id, value)

    # A person at the charger.

    def plug_in(self, car: Car) -> None:
        """Plug a car in.

        Raises:
            ValueError: There is one already.
        """
        if self.car:
            raise ValueError(f"{self.name} has a car already")
        self.car = car
        self.mode = Mode.REQUESTING
        self.observe(StateId.OPERATION_MODE, self.mode)
        self.observe(StateId.CABLE_TYPE, car.cable_rating)
        if self.family is Family.GO:
            self.observe(StateId.CHARGE_MODE, 9)
        if not self.installation.authentication_required:
            self.is_authorized = True
        self._after("session", 1, self._open_session)

    def unplug(self) -> None:
        """Take the cable out; the session is complete some seconds later.

        Raises:
            ValueError: There is no car.
        """
        if not self.car:
            raise ValueError(f"{self.name} has no car")
        self._stop_current()
        self.car = None
        self.is_authorized = False
        self.mode = Mode.DISCONNECTED
        self.observe(StateId.OPERATION_MODE, self.mode)
        if self.family is Family.GO:
            self.observe(StateId.CHARGE_MODE, 12)
        if self.final_stop:
            self.final_stop = False
            self.observe(StateId.FINAL_STOP_ACTIVE, False)
        self._end_schedule()
        self._cancel("session", "final stop", "resume", "reconnect")
        self._close_session()
        self.installation.rebalance()

    def authorize(self, account: Account | None = None) -> None:
        """Let the car charge, as the vendor's app or a card at the charger does."""
        self.is_authorized = True
        self._user = account
        if self.session:
            self.session.user = account
            self._report(StateId.CURRENT_USER, account.id if account else None)
            self._request_soon(1)
        elif self.car:
            self._after("session", 1, self._open_session)

    def set_car_wants(self, wants: bool) -> None:
        """Let the car start or stop asking for charge.

        Raises:
            ValueError: There is no car.
        """
        if not self.car:
            raise ValueError(f"{self.name} has no car")
        self.car.wants = wants
        if wants:
            self._request_soon(2)
        elif self.mode == Mode.CHARGING:
            self._finish()

    def set_schedule(self, seconds: float, text: str | None = None) -> None:
        """Hold charging back until then (StateId 763), as a schedule of the installation does.

        Args:
            seconds: Time from now until charging begins.
            text: The value of StateId 763, whose format the vendor does not document; a
                timestamp when left out.
        """
        self._schedule = self.clock.now() + timedelta(seconds=seconds)
        self.observe(
            StateId.NEXT_SCHEDULE_EVENT, text or f"{self._schedule:%Y-%m-%dT%H:%M:%SZ}"
        )
        self._withdraw()
        if self.mode == Mode.CHARGING:
            self._pause()
        self.installation.rebalance()
        self._after("schedule", seconds, self._scheduled)

    def set_offline(self) -> None:
        """Cut the charger's own connection; it goes on charging, the cloud's values freeze."""
        if self.is_online:
            self.is_online = False
            self.observe(StateId.IS_ONLINE, False)

    def set_online(self) -> None:
        """Connect the charger again; what it had to say in between follows."""
        if self.is_online:
            return
        self._cancel("restart")
        self.is_online = True
        self.observe(StateId.IS_ONLINE, True)
        unsent, self._unsent = self._unsent, {}
        for state_id, report in unsent.items():
            self._send(state_id, report)
        self.installation.rebalance()

    # Commands and settings of the cloud.

    def stop_charging(self) -> None:
        """Command 506, StopChargingFinal: 718 at once, 710=5 about five seconds later.

        Source: vendor's "Charger command validation update".

        Raises:
            CommandRejectedError: It is stopped, or no car is connected.
        """
        mode = self.value(StateId.OPERATION_MODE)
        if mode == "1":
            raise CommandRejectedError(
                "Charger is disconnected; Stop command cannot be sent"
            )
        if mode == "5" and self.value(StateId.FINAL_STOP_ACTIVE) == "1":
            raise CommandRejectedError(
                "Charging is already Paused; Stop command cannot be sent"
            )
        if self.is_stand_alone:
            return
        self.final_stop = True
        self.observe(StateId.FINAL_STOP_ACTIVE, True)
        self._after("final stop", 5, self._finish)

    def resume_charging(self) -> None:
        """Command 507, ResumeCharging: 718 at once, 710=2 a second later, then 3.

        Source: vendor's "Charger command validation update".

        Raises:
            CommandRejectedError: It is neither paused by 506 nor scheduled.
        """
        paused = (
            self.value(StateId.OPERATION_MODE) == "5"
            and self.value(StateId.FINAL_STOP_ACTIVE) == "1"
        )
        if not paused and self.value(StateId.NEXT_SCHEDULE_EVENT) is None:
            raise CommandRejectedError(
                "Charging is not Paused nor Scheduled; Resume command cannot be sent"
            )
        if self.is_stand_alone:
            return
        self._end_schedule()
        if paused:
            self.final_stop = False
            self.observe(StateId.FINAL_STOP_ACTIVE, False)
            if self.installation.authentication_required:
                self.is_authorized = False
        self._after("resume", 1, self._resume)

    def deauthorize_and_stop(self) -> None:
        """Command 10001: the session ends, and the charger waits for authorization.

        StateIds 721 and 722 are cleared. Where authentication is required, the charger reports
        that the car has left, and a few seconds later that it asks again. Without required
        authentication the charger is done until the next car. A pause was one of the session.

        Source: vendor's "Understanding commands"; custom-components/zaptec, issue 55 (the modes).

        Raises:
            CommandRejectedError: Always; the vendor's cloud says so even though it is executed.
        """
        if self.car and not self.is_stand_alone:
            self.end_session()
        raise CommandRejectedError(None)

    def end_session(self) -> None:
        """End the session while the car stays connected, as the portal can, too."""
        self._stop_current()
        self.is_authorized = False
        self._cancel("session", "final stop", "resume")
        self._close_session()
        if self.final_stop:
            self.final_stop = False
            self.observe(StateId.FINAL_STOP_ACTIVE, False)
        if self.installation.authentication_required:
            self.mode = Mode.DISCONNECTED
            self._after("reconnect", 2, self._reconnect)
        else:
            self.mode = Mode.FINISHED
        self._report(StateId.OPERATION_MODE, self.mode)
        self.installation.rebalance()

    def _reconnect(self) -> None:
        """Find the car that is still connected, after its session was ended."""
        self.mode = Mode.REQUESTING
        self._report(StateId.OPERATION_MODE, self.mode)

    def restart(self) -> None:
        """Command 102: away within a second, back after half a minute."""
        self._after("restart", 1, lambda: self._go_down(30, None))

    def upgrade_firmware(self) -> None:
        """Command 200: a longer restart, and the new version after it."""
        if self.firmware != self.available_firmware:
            self._after(
                "restart", 1, lambda: self._go_down(90, self.available_firmware)
            )

    def set_max_current(self, current: float) -> None:
        """Set what it may allocate at most, A; less than the minimum stops it."""
        self.max_current = current
        self.observe(StateId.MAX_CURRENT, current)
        self.installation.rebalance()

    def set_min_current(self, current: float) -> None:
        """Set below which current it does not charge, A."""
        self.min_current = current
        self.observe(StateId.MIN_CURRENT, current)
        self.installation.rebalance()

    def set_max_phases(self, phases: int) -> None:
        """Charge on 1 or 3 phases."""
        self.max_phases = phases
        self.observe(StateId.MAX_PHASES, phases)
        self._remeasure()

    def set_offline_current(self, current: float) -> None:
        """Set what it may use without the cloud, A; -1 is automatic."""
        self.offline_current = current
        self.observe(StateId.OFFLINE_CURRENT, current)

    def set_offline_phase(self, phase: int) -> None:
        """Set the phases it uses without the cloud, a PhaseId (StateId 522)."""
        self.observe(StateId.OFFLINE_PHASE, phase)

    def set_meter_interval(self, seconds: int) -> None:
        """Set how often it reports its meter, s."""
        self.meter_interval = seconds
        self.observe(StateId.SIGNED_METER_VALUE_INTERVAL, seconds)
        self._schedule_meter()

    def set_stand_alone(self, stand_alone: bool) -> None:
        """Let it ignore the cloud, or obey it again."""
        self.is_stand_alone = stand_alone
        self.observe(StateId.IS_STAND_ALONE, stand_alone)
        if stand_alone:
            self.allocate(self.stand_alone_current if self._asks else 0.0)
        self.installation.rebalance()

    def remeasure(self) -> None:
        """Follow a changed setting of the installation within a second."""
        self._remeasure()

    def allocate(self, current: float) -> None:
        """Take what the installation gives, A; none pauses the charger without a final stop."""
        changed = current != self.allocated_current
        self.allocated_current = current
        if changed and (self._asks or current):
            self.observe(StateId.CHARGE_CURRENT_SET, current)
        if current >= max(self.min_current, 0.1):
            if self.mode == Mode.CHARGING:
                if changed:
                    self._remeasure()
            elif self._asks and "start" not in self._timers:
                self._after("start", 2, self._start_charging)
            return
        self._cancel("start")
        if self.mode == Mode.CHARGING:
            self._pause()

    def remove(self) -> None:
        """Take the charger down for good: no more reports."""
        self._cancel(*self._timers)
        self.installation.chargers.remove(self)
        self.installation.rebalance()

    def move(self, installation: Installation[Charger]) -> None:
        """Take the charger to another installation, to the first circuit there."""
        former, self.installation = self.installation, installation
        former.chargers.remove(self)
        former.rebalance()
        self.circuit = installation.circuits[0]
        installation.chargers.append(self)
        self._report(StateId.INSTALLATION_ID, installation.id)
        installation.rebalance()

    # The session.

    def _open_session(self) -> None:
        if not self.is_authorized or self.session:
            return
        self._accrue()
        self._session_energy = 0.0
        self._sessions += 1
        now = self.clock.now()
        self.session = Session(
            id=_uuid(self._random),
            charger_id=self.id,
            charger_name=self.name,
            installation_id=self.installation.id,
            meter=self.meter,
            number=self._sessions,
            started=now,
            readings=[Reading(now, self._lifetime)],
            user=self._user,
            offline=not self.is_online,
        )
        self.observe(StateId.SESSION_IDENTIFIER, self.session.id)
        if self._user:
            self.observe(StateId.CURRENT_USER, self._user.id)
        self.observe(StateId.SESSION_ENERGY, 0.0)
        self._request_soon(1)

    def _close_session(self) -> None:
        session, self.session = self.session, None
        self._user = None
        if not session:
            return
        now = self.clock.now()
        session.ended = now
        session.energy = self._session_energy
        session.readings.append(Reading(now, self._lifetime))
        self._report(StateId.SESSION_ENERGY, self._session_energy)
        self._report(StateId.SESSION_IDENTIFIER, None)
        if session.user:
            self._report(StateId.CURRENT_USER, None)
        if self.family is Family.PRO:
            self.observe(StateId.SESSION_ENERGY, None)
        self._after(
            f"completed {session.id}",
            self._random.uniform(1, 7),
            lambda: self._complete(session),
        )

    def _complete(self, session: Session) -> None:
        session.recognized = self.clock.now()
        session.offline = session.offline or not self.is_online
        self.installation.archive.append(session)
        self.observe(StateId.COMPLETED_SESSION, session.completed())

    def _request_soon(self, seconds: float) -> None:
        self._after("request", seconds, self._request)

    def _request(self) -> None:
        """Ask the installation for current, if the car does."""
        car = self.car
        held = self.final_stop or self._schedule or not self.is_authorized
        if not car or not self.session or held or self._asks:
            return
        if not car.wants or car.is_full:
            if self.mode == Mode.REQUESTING:
                self._after("request", 8, self._finish)
            return
        self._asks = True
        self._asking_since = self.clock.now()
        if self.is_stand_alone:
            self.allocate(self.stand_alone_current)
        elif not self.is_online:
            self.allocate(
                self.offline_current if self.offline_current >= 0 else self.max_current
            )
        else:
            self.installation.rebalance()

    def _resume(self) -> None:
        if self.mode == Mode.FINISHED:
            self.mode = Mode.REQUESTING
            self.observe(StateId.OPERATION_MODE, self.mode)
        self._request_soon(1)

    def _scheduled(self) -> None:
        self._end_schedule()
        self._request_soon(1)

    def _end_schedule(self) -> None:
        self._cancel("schedule")
        if self._schedule:
            self._schedule = None
            self.observe(StateId.NEXT_SCHEDULE_EVENT, None)

    # The current.

    def _start_charging(self) -> None:
        self._ramp = 0
        self.mode = Mode.CHARGING
        self._voltages = self._charging_voltages()
        self._voltages_at = self.clock.now()
        self.observe(StateId.OPERATION_MODE, self.mode)
        for state_id, voltage in zip(_VOLTAGES, self._voltages, strict=True):
            self.observe(state_id, voltage)
        self._set_pulse_interval(PULSE_CHARGING)
        self._after("energy", self._random.uniform(30, 60), self._report_energy)
        self._measure()

    def _measure(self) -> None:
        """Take and report the currents; small changes are left for the next minute."""
        car = self.car
        if not car or self.mode != Mode.CHARGING:
            return
        self._accrue()
        now = self.clock.now()
        if self._ramp < len(_RAMP):
            factor = _RAMP[self._ramp]
            self._ramp += 1
        else:
            factor = 1.0
        phases = min(car.phases, self._phases())
        current = car.current(self.allocated_current) * factor
        currents = tuple(
            round(max(0.0, current - self._random.uniform(0.02, 0.2)), 3)
            if phase < phases
            else 0.0
            for phase in range(3)
        )
        if now - self._voltages_at >= timedelta(minutes=5):
            self._voltages = self._charging_voltages()
            self._voltages_at = now
        # A power beside a session of 0 kWh would look like a fault.
        if self._currents != _NO_CURRENT and not float(
            self.value(StateId.SESSION_ENERGY) or 0
        ):
            self._report(StateId.SESSION_ENERGY, self._session_energy)
        due = now - self._measured_at >= timedelta(seconds=55)
        change = max(abs(a - b) for a, b in zip(currents, self._currents, strict=True))
        if due or change > 0.15:
            self._set_currents((currents[0], currents[1], currents[2]))
        interval = 4.0 if self._ramp < len(_RAMP) else self._random.uniform(15, 30)
        self._after("measure", interval, self._measure)

    def _set_currents(self, currents: tuple[float, float, float]) -> None:
        """Report currents and voltages, and from now on count their power."""
        self._accrue()
        self._measured_at = self.clock.now()
        self._currents = currents
        power = sum(v * i for v, i in zip(self._voltages, currents, strict=True))
        self.power = round(power, self.family.decimals)
        if power:
            phases = self.installation.network_type.set_phases(self._phases())
            self._report(StateId.SET_PHASES, phases)
        for ids, values in ((_VOLTAGES, self._voltages), (_CURRENTS, currents)):
            for state_id, value in zip(ids, values, strict=True):
                self._report(state_id, value)
        self._report(StateId.TOTAL_CHARGE_POWER, self.power)
        if self.car and self.power > 0:
            hours = self.car.remaining_kwh * 1000 / self.power
            self._after("full", hours * 3600, self._finish)
        else:
            self._cancel("full")

    def _finish(self) -> None:
        """End the charge, not the session: full, held back by the car, or stopped for good."""
        self._stop_current()
        if self.mode != Mode.FINISHED:
            self.mode = Mode.FINISHED
            self.observe(StateId.OPERATION_MODE, self.mode)
        self.installation.rebalance()

    def _pause(self) -> None:
        """Go back to asking: there is no current for it now."""
        self._end_current()
        self.mode = Mode.REQUESTING
        self.observe(StateId.OPERATION_MODE, self.mode)

    def _stop_current(self) -> None:
        """Charge no more, and ask for nothing."""
        self._withdraw()
        self._end_current()

    def _withdraw(self) -> None:
        self._asks = False
        self.allocated_current = 0.0
        self._cancel("request", "start")

    def _end_current(self) -> None:
        self._cancel("measure", "full", "energy")
        if self.mode == Mode.CHARGING:
            self._set_currents(_NO_CURRENT)
            self._report(StateId.SESSION_ENERGY, self._session_energy)
            self._set_pulse_interval(PULSE_IDLE)

    def _remeasure(self) -> None:
        if self.mode == Mode.CHARGING:
            self._after("measure", 1, self._measure)

    def _report_energy(self) -> None:
        self._report(StateId.SESSION_ENERGY, self.session_energy)
        self._after("energy", self._random.uniform(30, 60), self._report_energy)

    def _phases(self) -> int:
        """How many phases it offers the car now."""
        phases = min(self.max_phases, self.installation.network_type.phases)
        switch = self.installation.three_to_one_phase_switch_current
        if switch and self.family is Family.PRO:
            # 32 forces one phase; else one phase is used below the limit.
            if switch >= 32 or self.allocated_current < switch:
                return 1
        return phases

    def _pending_energy(self) -> float:
        seconds = (self.clock.now() - self._accrued_at).total_seconds()
        return self.power * seconds / 3_600_000

    def _accrue(self) -> None:
        """Count the energy until now."""
        energy = self._pending_energy()
        self._accrued_at = self.clock.now()
        self._lifetime += energy
        if self.session:
            self._session_energy += energy
        if self.car and energy:
            self.car.charged_kwh += energy

    def _idle_voltages(self) -> tuple[float, float, float]:
        """Without a contactor closed, a three-phase charger still shows its grid."""
        if self.installation.network_type.phases == 3:
            return (230.4, 231.2, 229.9)
        return (230.4, 4.7, 4.6)

    def _charging_voltages(self) -> tuple[float, float, float]:
        volts = [round(self._random.uniform(226, 234), 3) for _ in range(3)]
        if self.installation.network_type.phases == 1:
            # The unused inputs of the meter show stray volts.
            volts[1:] = [4.725, 4.617]
        return (volts[0], volts[1], volts[2])

    # Periodic reports.

    def _set_pulse_interval(self, seconds: int) -> None:
        if self.family is Family.GO:
            self._report(StateId.PULSE_INTERVAL, seconds)
        self._after("pulse", seconds, self._pulse)

    def _pulse(self) -> None:
        self.observe(StateId.PULSE, None)
        charging = self.mode == Mode.CHARGING
        self._after("pulse", PULSE_CHARGING if charging else PULSE_IDLE, self._pulse)

    def _climate(self) -> None:
        """Report what changes slowly; it follows the clock's hour and the power."""
        now = self.clock.now()
        warmth = 12 + 6 * (1 - abs(now.hour + now.minute / 60 - 14) / 12)
        warmth += self.power / 1500 + self._random.uniform(-0.4, 0.4)
        self._report(StateId.TEMPERATURE_INTERNAL5, round(warmth + 6, 3))
        self._report(StateId.TEMPERATURE_INTERNAL6, round(warmth + 1.5, 3))
        self._report(
            StateId.HUMIDITY, round(46 - warmth + self._random.uniform(-2, 2), 3)
        )
        signal = round(self._random.uniform(-68, -60), 0)
        self._report(
            StateId.SIGNAL_STRENGTH,
            signal + 120 if self.communication == "LTE" else signal,
        )
        uptime = (now - self._started_at).total_seconds() / 3600
        if self.family is Family.PRO:
            self._report(StateId.UPTIME, round(uptime, 4))
        self._after("climate", self._random.uniform(280, 420), self._climate)

    def _schedule_meter(self) -> None:
        now = self.clock.now()
        interval = self.meter_interval
        wait = interval - now.timestamp() % interval
        self._after("meter", wait + 0.06, self._report_meter)

    def _report_meter(self) -> None:
        self._fiscal_readings += 1
        reading = Reading(self.clock.now(), self.lifetime_energy)
        if self.is_online:
            self.reported_meter = reading.energy
        self.observe(
            StateId.SIGNED_METER_VALUE,
            self.meter.fiscal(reading, self._fiscal_readings),
        )
        if self.session:
            self.session.readings.append(reading)
            self.session.details.append((reading.time, self.session_energy))
        self._schedule_meter()

    # Restart.

    def _go_down(self, seconds: float, firmware: str | None) -> None:
        self.set_offline()
        resumes = self._asks
        self._withdraw()
        if self.mode == Mode.CHARGING:
            self._pause()
        self.installation.rebalance()
        self._after("restart", seconds, lambda: self._come_up(firmware, resumes))

    def _come_up(self, firmware: str | None, resumes: bool) -> None:
        self._started_at = self.clock.now()
        if firmware:
            self.firmware = firmware
            self._report_versions()
        self.observe(StateId.MCU_RESET_SOURCE, 6 if self.family is Family.GO else 1)
        self.set_online()
        if resumes:
            self._request_soon(3)

    def _report_versions(self) -> None:
        self.observe(StateId.MAINBOARD_VERSION, self.firmware)
        self.observe(StateId.COMPUTER_VERSION, self.firmware)
        if self.family is Family.GO:
            self.observe(StateId.SOURCE_VERSION, self.firmware)

    # Before anything happened.

    def _store_initial_state(self) -> None:
        """Fill the state with what a charger has reported in its life so far."""
        network = self.installation.network_type
        phases = network.set_phases(network.phases)
        long_ago = self.installation.created
        lately = self.clock.now() - timedelta(hours=2)
        old: dict[StateId, Value] = {
            StateId.IS_OCPP_CONNECTED: False,
            StateId.OFFLINE_MODE: False,
            StateId.CAPABILITIES: self._capabilities(),
            StateId.AUTHENTICATION_REQUIRED: self.installation.authentication_required,
            StateId.COMMUNICATION_MODE: self.communication,
            StateId.PERMANENT_CABLE_LOCK: False,
            StateId.HMI_BRIGHTNESS: 0.5,
            StateId.MAX_CURRENT: self.max_current,
            StateId.MIN_CURRENT: self.min_current,
            StateId.SET_PHASES: phases,
            StateId.OFFLINE_PHASE: phases,
            StateId.OFFLINE_CURRENT: self.offline_current,
            StateId.IS_ENABLED: True,
            StateId.IS_STAND_ALONE: self.is_stand_alone,
            StateId.NETWORK_TYPE: network,
            StateId.AUTHENTICATION_LIST_VERSION: 1,
            StateId.INSTALLATION_ID: self.installation.id,
            StateId.ROUTING_ID: "default",
            StateId.WARNINGS: 0,
            StateId.DIAGNOSTICS_MODE: 0,
            StateId.CERTIFICATE_VERSION: 8,
            StateId.MAINBOARD_VERSION: self.firmware,
            StateId.COMPUTER_VERSION: self.firmware,
            StateId.TIME_ZONE: self.installation.time_zone,
        }
        recent: dict[StateId, Value] = {
            StateId.IS_ONLINE: True,
            StateId.TOTAL_CHARGE_POWER: 0.0,
            StateId.CHARGE_CURRENT_SET: self.max_current,
            StateId.OPERATION_MODE: Mode.DISCONNECTED,
            StateId.CABLE_TYPE: 32,
            StateId.FINAL_STOP_ACTIVE: False,
            StateId.SESSION_IDENTIFIER: None,
            StateId.CURRENT_USER: None,
            StateId.NOTIFICATIONS: 0,
            StateId.MCU_RESET_SOURCE: 1,
        }
        recent |= dict(zip(_VOLTAGES, self._voltages, strict=True))
        recent |= dict(zip(_CURRENTS, _NO_CURRENT, strict=True))
        if self.family is Family.GO:
            old |= {
                StateId.TRANSMIT_INTERVAL: 3600,
                StateId.MAX_PHASES: self.max_phases,
                StateId.INSTALLATION_MAX_LIMIT: self.installation.max_current,
                StateId.STAND_ALONE_CURRENT: self.stand_alone_current,
                StateId.PHASE_ROTATION: phases,
                StateId.GRID_TEST_RESULT: "\r\n 4: VG:1.31 L12:402.12",
                StateId.NUMBER_OF_CHARGE_CARDS: 0,
                StateId.CHARGE_POINT_NAME: self.name,
                StateId.SOURCE_VERSION: self.firmware,
            }
            recent |= {
                StateId.PULSE_INTERVAL: PULSE_IDLE,
                StateId.SESSION_ENERGY: 0.0,
                StateId.CHARGE_MODE: 12,
                StateId.TEMPERATURE_PHASE2: 17.122,
                StateId.TEMPERATURE_POWER_BOARD: 17.804,
                StateId.DIAGNOSTICS_STRING: "1d 06h00m12s T_EM: 17.12 17.80",
            }
        else:
            old |= {
                StateId.PRODUCT_NAME: "Zaptec Pro",
                StateId.PRODUCT_CODE: "PRO",
                StateId.SIGNED_METER_VALUE_INTERVAL: self.meter_interval,
                StateId.DETECTED_CAR: 0,
                StateId.GRID_TEST_RESULT: '{"AllowedNetworkTypes":3}',
                StateId.LOCATION: None,
                StateId.MAX_START_DELAY: 600,
            }
            recent |= {
                StateId.SESSION_ENERGY: None,
                StateId.TEMPERATURE_POWER_BOARD: 23.96,
            }
        reading = Reading(lately, self._lifetime)
        recent[StateId.SIGNED_METER_VALUE] = self.meter.fiscal(reading, 0)
        for moment, values in ((long_ago, old), (lately, recent)):
            for index, (state_id, value) in enumerate(values.items()):
                self.observations[state_id] = StoredObservation(
                    moment + timedelta(milliseconds=137 * index),
                    value_as_string(state_id, value, self.family),
                )

    def _capabilities(self) -> str:
        if self.family is Family.GO:
            capabilities: dict[str, object] = {
                "DeviceType": "Go",
                "SerialNumber": self.serial,
                "MeterCalibrated": False,
            }
            if self.serial.startswith("GP"):
                capabilities["ProductVariant"] = "Go2"
        else:
            capabilities = {
                "DeviceType": "Pro",
                "ConnectorType": "ITT_Socket",
                "SerialNumber": self.serial,
                "MeterCalibrated": True,
            }
        return json.dumps(capabilities, separators=(",", ":"))

    # Timers: one of each name.

    def _after(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._cancel(name)

        def fire() -> None:
            self._timers.pop(name, None)
            action()

        self._timers[name] = self.clock.call_later(seconds, fire)

    def _cancel(self, *names: str) -> None:
        for name in names:
            if handle := self._timers.pop(name, None):
                handle.cancel()


def _bus_time(stamp: datetime) -> str:
    """Write a time as the bus does: `Z`, five to seven fractional digits."""
    digit = stamp.microsecond * 7 % 10
    fraction = f"{stamp.microsecond:06d}{digit}".rstrip("0").ljust(5, "0")
    return f"{stamp.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{fraction}Z"


def _uuid(source: random.Random) -> str:
    text = f"{source.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
