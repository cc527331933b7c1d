"""Currents, voltages, power and energy between a charger's meter and its car.

Power is constant between two measurements, and each measurement is reported, so that the
integral of the reported power is the energy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from .car import Car
from .engine import Engine
from .hours import HourlyEnergy
from .installation import NetworkType
from .observations import StateId
from .ocmf import Reading
from .telemetry import PULSE_CHARGING, PULSE_IDLE, Pulse, Telemetry

VOLTAGES = (StateId.VOLTAGE_PHASE1, StateId.VOLTAGE_PHASE2, StateId.VOLTAGE_PHASE3)
CURRENTS = (StateId.CURRENT_PHASE1, StateId.CURRENT_PHASE2, StateId.CURRENT_PHASE3)
NO_CURRENT = (0.0, 0.0, 0.0)
_RAMP = (0.35, 0.7, 1.0)


@dataclass(slots=True)
class Settings:
    """What an installer sets in a charger; currents in A per phase.

    Attributes:
        is_stand_alone: Whether it ignores the cloud (StateId 712).
        max_current: What it may draw at most.
        min_current: Below this it does not charge.
        max_phases: 1 or 3.
        offline_current: What it may draw without the cloud; -1 is automatic.
        stand_alone_current: What it draws when it ignores the cloud.
    """

    is_stand_alone: bool
    max_current: float = 32.0
    min_current: float = 6.0
    max_phases: int = 3
    offline_current: float = 6.0
    stand_alone_current: float = 10.0


class Grid(Protocol):
    """What the electrics of a charger need to know of its installation."""

    @property
    def network_type(self) -> NetworkType:
        """The grid."""

    @property
    def three_to_one_phase_switch_current(self) -> float | None:
        """Below this current (A), chargers use one phase: always with 32, never with 0 or None."""


class Electrics:
    """The meter of a charger, and what it measures while a car charges.

    Attributes:
        grid: The grid that the charger is connected to.
        on_full: Called when the car takes no more.
        car: The car at the cable.
        is_charging: Whether the contactor is closed.
        offered_current: What the charger offers the car, A per phase.
        power: What the car draws, W.
        voltages: The last measurement of each phase, V.
    """

    def __init__(
        self,
        engine: Engine,
        telemetry: Telemetry,
        *,
        settings: Settings,
        grid: Grid,
        switches_phases: bool,
        lifetime_energy: float,
    ) -> None:
        """Initialize the electrics of a charger without a car.

        Args:
            engine: The charger's time, timers and chance.
            telemetry: Takes the reports.
            settings: The charger's settings, which may change.
            grid: The grid that the charger is connected to.
            switches_phases: Whether it switches between one and three phases.
            lifetime_energy: The meter's reading, kWh.
        """
        self.grid: Grid = grid
        self.on_full: Callable[[], None] = self.stop
        self.car: Car | None = None
        self.is_charging = False
        self.offered_current = 0.0
        self.power = 0.0
        self.voltages = self._idle_voltages()
        self._engine = engine
        self._telemetry = telemetry
        self._pulse = Pulse(engine, telemetry)
        self._settings = settings
        self._switches_phases = switches_phases
        self._lifetime = lifetime_energy
        self._session_energy = 0.0
        self._hours = HourlyEnergy()
        self._accrued_at = engine.now()
        self._currents = NO_CURRENT
        self._ramp = len(_RAMP)
        self._measured_at = engine.now()
        self._voltages_at = engine.now()

    @property
    def session_energy(self) -> float:
        """Energy of the present (else the last) session until now, kWh, not rounded."""
        return self._session_energy + self._pending_energy()

    @property
    def lifetime_energy(self) -> float:
        """The reading of the meter now, kWh, not rounded."""
        return self._lifetime + self._pending_energy()

    def hourly_energy(self) -> HourlyEnergy:
        """Return what has been drawn in each hour until now."""
        hours = HourlyEnergy()
        hours.merge(self._hours)
        hours.add(self._accrued_at, self._engine.now(), self.power)
        return hours

    def power_up(self) -> None:
        """Send the first pulse."""
        self._pulse.beat()

    def read(self) -> Reading:
        """Return the meter's reading."""
        return Reading(self._engine.now(), self.lifetime_energy)

    def exchange_meter(self, lifetime_energy: float) -> None:
        """Replace the meter by one with another reading (kWh)."""
        self._accrue()
        self._lifetime = lifetime_energy

    def start_session(self) -> None:
        """Count the energy of a session from now on."""
        self._accrue()
        self._session_energy = 0.0

    def close_contactor(self) -> None:
        """Close the contactor; `start` reports the current."""
        self._ramp = 0
        self.is_charging = True
        self.voltages = self._charging_voltages()
        self._voltages_at = self._engine.now()

    def start(self) -> None:
        """Report the voltages, and begin to measure the currents."""
        for state_id, voltage in zip(VOLTAGES, self.voltages, strict=True):
            self._telemetry.observe(state_id, voltage)
        self._pulse.set_interval(PULSE_CHARGING)
        self._report_energy_later()
        self._measure()

    def stop(self) -> None:
        """Stop the current, and report it."""
        self._engine.cancel("measure", "full", "energy")
        if self.is_charging:
            self._set_currents(NO_CURRENT)
            self._telemetry.report(StateId.SESSION_ENERGY, self._session_energy)
            self._pulse.set_interval(PULSE_IDLE)
            self.is_charging = False

    def remeasure(self) -> None:
        """Measure within a second, because something has changed."""
        if self.is_charging:
            self._engine.after("measure", 1, self._measure)

    def _measure(self) -> None:
        """Measure the currents; report small changes once a minute only."""
        car = self.car
        if not car or not self.is_charging:
            return
        self._accrue()
        now = self._engine.now()
        if self._ramp < len(_RAMP):
            factor = _RAMP[self._ramp]
            self._ramp += 1
        else:
            factor = 1.0
        currents = self._drawn_currents(car, factor)
        if now - self._voltages_at >= timedelta(minutes=5):
            self.voltages = self._charging_voltages()
            self._voltages_at = now
        # Report some energy before the second measurement: power together with a session of
        # 0 kWh would look like a fault.
        if self._currents != NO_CURRENT and not float(
            self._telemetry.value(StateId.SESSION_ENERGY) or 0
        ):
            self._telemetry.report(StateId.SESSION_ENERGY, self._session_energy)
        due = now - self._measured_at >= timedelta(seconds=55)
        change = max(abs(a - b) for a, b in zip(currents, self._currents, strict=True))
        if due or change > 0.15:
            self._set_currents(currents)
        interval = (
            4.0 if self._ramp < len(_RAMP) else self._engine.random.uniform(15, 30)
        )
        self._engine.after("measure", interval, self._measure)

    def _drawn_currents(self, car: Car, factor: float) -> tuple[float, float, float]:
        """Return what the car draws from each phase, A."""
        phases = min(car.phases, self._phases())
        current = car.current(self.offered_current) * factor
        one, two, three = (
            round(max(0.0, current - self._engine.random.uniform(0.02, 0.2)), 3)
            if phase < phases
            else 0.0
            for phase in range(3)
        )
        return (one, two, three)

    def _set_currents(self, currents: tuple[float, float, float]) -> None:
        """Report currents and voltages, and count energy by their power from now on."""
        self._accrue()
        self._measured_at = self._engine.now()
        self._currents = currents
        power = sum(v * i for v, i in zip(self.voltages, currents, strict=True))
        self.power = round(power, self._telemetry.family.decimals)
        if power:
            phases = self.grid.network_type.set_phases(self._phases())
            self._telemetry.report(StateId.SET_PHASES, phases)
        for ids, values in ((VOLTAGES, self.voltages), (CURRENTS, currents)):
            for state_id, value in zip(ids, values, strict=True):
                self._telemetry.report(state_id, value)
        self._telemetry.report(StateId.TOTAL_CHARGE_POWER, self.power)
        if self.car and self.power > 0:
            hours = self.car.remaining_kwh * 1000 / self.power
            self._engine.after("full", hours * 3600, self.on_full)
        else:
            self._engine.cancel("full")

    def _report_energy(self) -> None:
        self._telemetry.report(StateId.SESSION_ENERGY, self.session_energy)
        self._report_energy_later()

    def _report_energy_later(self) -> None:
        self._engine.after(
            "energy", self._engine.random.uniform(30, 60), self._report_energy
        )

    def _phases(self) -> int:
        """Return how many phases the charger offers the car now."""
        switch = self.grid.three_to_one_phase_switch_current
        if switch and self._switches_phases:
            # 32 always forces one phase; another limit does below it.
            if switch >= 32 or self.offered_current < switch:
                return 1
        return min(self._settings.max_phases, self.grid.network_type.phases)

    def _pending_energy(self) -> float:
        seconds = (self._engine.now() - self._accrued_at).total_seconds()
        return self.power * seconds / 3_600_000

    def _accrue(self) -> None:
        """Count the energy until now."""
        energy = self._pending_energy()
        now = self._engine.now()
        self._hours.add(self._accrued_at, now, self.power)
        self._accrued_at = now
        self._lifetime += energy
        self._session_energy += energy
        if self.car and energy:
            self.car.charged_kwh += energy

    def _idle_voltages(self) -> tuple[float, float, float]:
        """Return the voltages of an open contactor; a three-phase meter still shows the grid."""
        if self.grid.network_type.phases == 3:
            return (230.4, 231.2, 229.9)
        return (230.4, 4.7, 4.6)

    def _charging_voltages(self) -> tuple[float, float, float]:
        volts = [round(self._engine.random.uniform(226, 234), 3) for _ in range(3)]
        if self.grid.network_type.phases == 1:
            # The unused inputs of the meter show stray volts.
            volts[1:] = [4.725, 4.617]
        return (volts[0], volts[1], volts[2])
