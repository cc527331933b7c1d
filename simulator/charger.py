"""A simulated charger: what its users and the cloud can do with it.

How it charges is in `charging`, what it measures in `electrics`, and what it reports in
`telemetry`. All times are of the simulated clock.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType

from .accounts import Account, Card
from .authorization import Answer, Application, Authorization, Phase
from .car import Car
from .charging import Charging, Recording
from .clock import Clock
from .electrics import Electrics, Settings
from .engine import Engine
from .hours import HourlyEnergy
from .initial_state import configuration, idle_state
from .installation import Circuit, Demand, Installation
from .observations import Family, Mode, StateId, Value
from .ocmf import Meter, Reading
from .periodic import PeriodicReports
from .scenario import ChargerScenario
from .session import Session
from .telemetry import StoredObservation, Telemetry

LATEST_FIRMWARE: Mapping[Family, str] = MappingProxyType(
    {Family.PRO: "3.2.4.1", Family.GO: "2.4.2.4"}
)
# DeviceType of a Sense (Apm), which is listed among the chargers.
# Source: GET /api/constants, DeviceTypes.
_POWER_METER = 5


type Ask = Callable[[Device, Application, Callable[[Answer], None]], None]


class CommandRejectedError(Exception):
    """The charger's cloud refuses a command; `details` is the vendor's text, or None."""

    def __init__(self, details: str | None) -> None:
        """Keep the text."""
        super().__init__(details)
        self.details = details


class Device:
    """The identity, the parts and the present state of a charger.

    Attributes:
        publish: Takes each message body on its way to the Service Bus.
        installation: The installation that it belongs to.
        circuit: Its circuit there.
        name: The name that the user has given it.
        firmware: The version that it runs.
        available_firmware: The version that an upgrade installs.
        is_power_meter: Whether the lists show a power meter in its place.
    """

    def __init__(
        self,
        clock: Clock,
        publish: Callable[[Device, bytes], None],
        installation: Installation[Charger],
        item: ChargerScenario,
        *,
        id: str,
        seed: str,
        ask: Ask,
    ) -> None:
        """Initialize the device; see `Charger` for the arguments."""
        self.clock = clock
        self.publish = publish
        self.installation = installation
        self.circuit: Circuit = installation.circuits[item.circuit]
        self.id = id
        self.serial, self.name = item.serial, item.name
        self.family = item.family
        latest = LATEST_FIRMWARE[item.family]
        self.available_firmware = item.available_firmware or latest
        self.firmware = item.firmware or self.available_firmware
        self.communication = item.communication
        self.created = installation.created
        self.is_power_meter = False
        self._sessions = 0
        self._settings = Settings(is_stand_alone=item.stand_alone)
        self._engine = Engine(clock, seed)
        self._telemetry = Telemetry(
            self._engine,
            self.publish_raw,
            charger_id=id,
            serial=item.serial,
            family=self.family,
        )
        self._electrics = Electrics(
            self._engine,
            self._telemetry,
            settings=self._settings,
            grid=installation,
            switches_phases=item.switches_phases,
            lifetime_energy=item.lifetime_energy,
        )
        self._charging = Charging(
            self._engine,
            self._telemetry,
            self._electrics,
            settings=self._settings,
            site=installation,
            new_session=self._new_session,
        )
        self._authorization = self._new_authorization(ask)
        self._periodic = PeriodicReports(
            self._engine,
            self._telemetry,
            self._electrics,
            meter=lambda: self.meter,
            on_reading=self._keep_reading,
            is_mobile=item.communication == "LTE",
        )

    def _new_authorization(self, ask: Ask) -> Authorization:
        authorization = Authorization(
            self._engine, self, ask=partial(ask, self), permit=self._charging.permit
        )
        self._charging.on_reconnect = authorization.plugged_in
        return authorization

    def _new_session(
        self, user: Account | None, card: Card | None, session_id: str | None
    ) -> Session:
        self._sessions += 1
        reading = self._electrics.read()
        return Session(
            id=session_id or self._engine.uuid(),
            external_id=session_id,
            charger_id=self.id,
            charger_name=self.name,
            installation_id=self.installation.id,
            meter=self.meter,
            number=self._sessions,
            started=reading.time,
            readings=[reading],
            user=user,
            card=card,
            offline=not self.is_online,
        )

    def _keep_reading(self, reading: Reading) -> None:
        """Add a reading of the meter to the session's."""
        if self.session:
            self.session.readings.append(reading)
            self.session.details.append((reading.time, self.session_energy))

    # The charger now.

    @property
    def observations(self) -> dict[int, StoredObservation]:
        """What the cloud has last received, by StateId."""
        return self._telemetry.observations

    @observations.setter
    def observations(self, observations: dict[int, StoredObservation]) -> None:
        self._telemetry.observations = observations

    @property
    def mode(self) -> Mode:
        """The operating mode; while the charger is offline, the cloud may have an older one."""
        return self._charging.mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        self._charging.mode = mode

    @property
    def final_stop(self) -> bool:
        """Whether charging was stopped until it is resumed (StateId 718)."""
        return self._charging.final_stop

    @final_stop.setter
    def final_stop(self, final_stop: bool) -> None:
        self._charging.final_stop = final_stop

    @property
    def session(self) -> Session | None:
        """The running session."""
        return self._charging.session

    @property
    def recording(self) -> Recording:
        """How well it records its completed sessions."""
        return self._charging.recording

    @property
    def is_authorized(self) -> bool:
        """Whether the car may charge."""
        return self._charging.is_authorized

    @property
    def authorization(self) -> Phase:
        """How far the authorization of the car by a web hook is."""
        return self._authorization.phase

    @property
    def is_light_red(self) -> bool:
        """Whether it shows that a card or a car was refused."""
        return self._authorization.is_light_red

    @property
    def demand(self) -> Demand | None:
        """The current that it asks the installation for, None while it does not ask."""
        return self._charging.demand

    @property
    def car(self) -> Car | None:
        """The car that is plugged in."""
        return self._electrics.car

    @property
    def power(self) -> float:
        """What the car draws, W."""
        return self._electrics.power

    @property
    def allocated_current(self) -> float:
        """The current that the installation allocates to it now, A per phase."""
        return self._electrics.offered_current

    @property
    def session_energy(self) -> float:
        """Energy of the present (else the last) session until now, kWh, not rounded."""
        return self._electrics.session_energy

    @property
    def lifetime_energy(self) -> float:
        """The reading of the meter now, kWh, not rounded."""
        return self._electrics.lifetime_energy

    @property
    def hourly_energy(self) -> HourlyEnergy:
        """What has been drawn in each hour until now, the integral of the power."""
        return self._electrics.hourly_energy()

    @property
    def reported_meter(self) -> float:
        """The last meter reading that reached the cloud, kWh."""
        return self._periodic.reported_meter

    @property
    def is_online(self) -> bool:
        """Whether it is connected to the cloud."""
        return self._telemetry.is_online

    @property
    def is_stand_alone(self) -> bool:
        """Whether it ignores the cloud (StateId 712)."""
        return self._settings.is_stand_alone

    @property
    def is_reachable(self) -> bool:
        """Whether the installation's load balancing reaches it."""
        return self.is_online and not self.is_stand_alone

    @property
    def max_current(self) -> float:
        """What it may draw at most, A."""
        return self._settings.max_current

    @property
    def min_current(self) -> float:
        """Below this it does not charge, A."""
        return self._settings.min_current

    @property
    def offline_current(self) -> float:
        """What it may draw without the cloud, A; -1 is automatic."""
        return self._settings.offline_current

    @property
    def device_type(self) -> int:
        """The DeviceType that the lists show."""
        return _POWER_METER if self.is_power_meter else self.family.value

    @property
    def meter(self) -> Meter:
        """The identification in its meter documents."""
        return Meter(self.family, self.serial, self.firmware)

    def value(self, state_id: int) -> str | None:
        """Return what the cloud has for a StateId, None for nothing."""
        return self._telemetry.value(state_id)

    # Reports.

    def observe(self, state_id: int, value: Value) -> None:
        """Report a value to the cloud; None means that the StateId has no value any more."""
        self._telemetry.observe(state_id, value)

    def publish_raw(self, body: bytes) -> None:
        """Publish bytes on the installation's topic without a change."""
        self.publish(self, body)


class Charger(Device):
    """One simulated charger, with everything that its users and the cloud can do with it."""

    def __init__(
        self,
        clock: Clock,
        publish: Callable[[Device, bytes], None],
        installation: Installation[Charger],
        item: ChargerScenario,
        *,
        id: str,
        seed: str,
        ask: Ask,
    ) -> None:
        """Initialize a charger that is online, with nothing plugged in.

        Args:
            clock: The simulated time.
            publish: Takes each message body on its way to the Service Bus.
            installation: Where it stands; it is added there.
            item: What the scenario says about it.
            id: Its UUID.
            seed: Two chargers with the same seed behave the same.
            ask: Calls the installation's web hook, and passes its answer on.
        """
        super().__init__(clock, publish, installation, item, id=id, seed=seed, ask=ask)
        lately = clock.now() - timedelta(hours=2)
        reading = Reading(lately, self.lifetime_energy)
        self._telemetry.preload(
            self.created,
            configuration(item, self.firmware, installation, self._settings),
        )
        self._telemetry.preload(
            lately,
            idle_state(
                self.family,
                self._settings,
                self._electrics,
                self.meter.fiscal(reading, 0),
            ),
        )
        installation.chargers.append(self)
        self._electrics.power_up()
        self._periodic.start()

    def preload_session(self, session: Session) -> None:
        """Store a completed session as if it had been reported when it ended."""
        assert session.ended
        self._telemetry.preload(
            session.ended, {StateId.COMPLETED_SESSION: session.completed()}
        )

    # The user at the charger.

    def plug_in(self, car: Car) -> None:
        """Plug in a car.

        Raises:
            ValueError: A car is plugged in already.
        """
        if self.car:
            raise ValueError(f"{self.name} has a car already")
        self._charging.plug_in(car)
        self._authorization.plugged_in()

    def unplug(self) -> None:
        """Unplug the car; the completed session is reported some seconds later.

        Raises:
            ValueError: No car is plugged in.
        """
        if not self.car:
            raise ValueError(f"{self.name} has no car")
        self._authorization.unplugged()
        self._charging.unplug()

    def authorize(
        self, account: Account | None = None, card: Card | None = None
    ) -> None:
        """Authorize the car, as the vendor's app or a card at the charger does.

        Raises:
            ValueError: A webhook authorizes at this installation.
        """
        if self.installation.uses_web_hooks:
            raise ValueError(f"A webhook authorizes at {self.name}")
        self._charging.authorize(account, card)

    def show_card(self, code: str) -> None:
        """Hold a card to the charger.

        A web hook is called with its code. Else the card authorizes if it is a driver's, and
        otherwise the charger's light turns red.

        Raises:
            ValueError: There is no car that waits for a card, or the charger is offline.
        """
        if not self.car or self.is_authorized:
            raise ValueError(f"No car waits for a card at {self.name}")
        if not self.is_online:
            raise ValueError(f"{self.name} is offline")
        if self.installation.uses_web_hooks:
            self._authorization.show_card(code)
            return
        for driver in self.installation.drivers:
            for card in driver.cards:
                if card.code == code:
                    self.authorize(driver, card)
                    return
        self._authorization.refuse_card()

    def stop_with_card(self) -> None:
        """Stop charging as a driver does who shows the card again.

        Raises:
            ValueError: No session is running.
        """
        if not self.session:
            raise ValueError(f"{self.name} has no session")
        self.session.stopped_by_card = True
        self._charging.finish()

    def set_car_wants(self, wants: bool) -> None:
        """Let the car start or stop asking for charge.

        Raises:
            ValueError: No car is plugged in.
        """
        if not self.car:
            raise ValueError(f"{self.name} has no car")
        self.car.wants = wants
        self._charging.follow_car(self.car)

    def set_schedule(self, seconds: float, text: str | None = None) -> None:
        """Delay charging (StateId 763), as a schedule of the installation does.

        Args:
            seconds: Time from now until charging begins.
            text: The value of StateId 763, whose format the vendor does not document; a
                timestamp when left out.
        """
        self._charging.schedule(seconds, text)

    def set_offline(self) -> None:
        """Disconnect the charger; it continues to charge, and the cloud keeps its last values."""
        if self.is_online:
            self._authorization.pause()
            self._telemetry.disconnect()

    def set_online(self) -> None:
        """Reconnect the charger; it sends what it could not report meanwhile."""
        if not self.is_online:
            self._engine.cancel("restart")
            self._telemetry.connect()
            self._charging.send_completed()
            if self.car and not self.is_authorized:
                self._authorization.resume()
            self.installation.rebalance()

    def stop_pulse(self) -> None:
        """Send no pulse until the car starts or stops charging."""
        self._engine.cancel("pulse")

    def exchange_meter(self, lifetime_energy: float) -> None:
        """Replace the meter by one with another reading (kWh)."""
        self._electrics.exchange_meter(lifetime_energy)

    # Commands of the cloud.

    def stop_charging(self) -> None:
        """Command 506, StopChargingFinal: 718 at once, 710=5 about five seconds later.

        Source: vendor's "Charger command validation update".

        Raises:
            CommandRejectedError: Charging is stopped already, or no car is connected.
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
        if not self.is_stand_alone:
            self._charging.stop()

    def resume_charging(self) -> None:
        """Command 507, ResumeCharging: 718 at once, 710=2 a second later, then 3.

        Source: vendor's "Charger command validation update".

        Raises:
            CommandRejectedError: Charging is neither paused by 506 nor scheduled.
        """
        paused = (
            self.value(StateId.OPERATION_MODE) == "5"
            and self.value(StateId.FINAL_STOP_ACTIVE) == "1"
        )
        if not paused and self.value(StateId.NEXT_SCHEDULE_EVENT) is None:
            raise CommandRejectedError(
                "Charging is not Paused nor Scheduled; Resume command cannot be sent"
            )
        if not self.is_stand_alone:
            self._charging.resume(was_paused=paused)

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
        """End the session while the car stays connected, as the vendor's portal can."""
        self._charging.end_session()

    def restart(self) -> None:
        """Command 102, RestartCharger: offline within a second, back after half a minute."""
        self._engine.after("restart", 1, lambda: self._go_down(30, None))

    def upgrade_firmware(self) -> None:
        """Command 200, UpgradeFirmware: a longer restart, then the new version."""
        if self.firmware != self.available_firmware:
            self._engine.after(
                "restart", 1, lambda: self._go_down(90, self.available_firmware)
            )

    # Settings.

    def set_max_current(self, current: float) -> None:
        """Set the maximum current, A; less than the minimum current stops charging."""
        self._settings.max_current = current
        self.observe(StateId.MAX_CURRENT, current)
        self.installation.rebalance()

    def set_min_current(self, current: float) -> None:
        """Set the minimum current, A; the charger does not charge with less."""
        self._settings.min_current = current
        self.observe(StateId.MIN_CURRENT, current)
        self.installation.rebalance()

    def set_max_phases(self, phases: int) -> None:
        """Set the number of phases to charge on, 1 or 3."""
        self._settings.max_phases = phases
        self.observe(StateId.MAX_PHASES, phases)
        self.remeasure()

    def set_offline_current(self, current: float) -> None:
        """Set the current without a connection to the cloud, A; -1 is automatic."""
        self._settings.offline_current = current
        self.observe(StateId.OFFLINE_CURRENT, current)

    def set_offline_phase(self, phase: int) -> None:
        """Set the phases without a connection to the cloud, a PhaseId (StateId 522)."""
        self.observe(StateId.OFFLINE_PHASE, phase)

    def set_meter_interval(self, seconds: int) -> None:
        """Set the interval between two meter readings, s."""
        self.observe(StateId.SIGNED_METER_VALUE_INTERVAL, seconds)
        self._periodic.set_meter_interval(seconds)

    def set_stand_alone(self, stand_alone: bool) -> None:
        """Let the charger ignore the cloud, or follow it again."""
        self._settings.is_stand_alone = stand_alone
        self.observe(StateId.IS_STAND_ALONE, stand_alone)
        if stand_alone:
            self.allocate(self._settings.stand_alone_current if self.demand else 0.0)
        self.installation.rebalance()

    def report_authentication(self) -> None:
        """Report whether the cloud has to authorize a session, if that has changed."""
        self._telemetry.report(
            StateId.AUTHENTICATION_REQUIRED, self.installation.cloud_authorizes
        )

    def remeasure(self) -> None:
        """Measure within a second, because a setting of the installation has changed."""
        self._electrics.remeasure()

    # The installation.

    def allocate(self, current: float) -> None:
        """Use the current that the installation allocates, A; 0 pauses without a final stop."""
        self._charging.allocate(current)

    def remove(self) -> None:
        """Remove the charger; it reports nothing afterwards."""
        self._authorization.unplugged()
        self._engine.cancel_all()
        self.installation.chargers.remove(self)
        self.installation.rebalance()

    def move(self, installation: Installation[Charger]) -> None:
        """Move the charger to the first circuit of another installation."""
        former, self.installation = self.installation, installation
        former.chargers.remove(self)
        former.rebalance()
        self._electrics.grid = self._charging.site = installation
        self.circuit = installation.circuits[0]
        installation.chargers.append(self)
        self._telemetry.report(StateId.INSTALLATION_ID, installation.id)
        installation.rebalance()

    # Restart.

    def _go_down(self, seconds: float, firmware: str | None) -> None:
        self.set_offline()
        resumes = self._charging.interrupt()
        self._engine.after(
            "restart", seconds, lambda: self._come_up(firmware, resumes=resumes)
        )

    def _come_up(self, firmware: str | None, *, resumes: bool) -> None:
        self._periodic.started_at = self.clock.now()
        if firmware:
            self.firmware = firmware
            self._telemetry.report_versions(firmware)
        self._telemetry.report_restart()
        self.set_online()
        if resumes:
            self._charging.request_later(3)
