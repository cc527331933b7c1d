"""Commands: which are sent, which are not needed, and which are refused without a request."""

from collections.abc import Awaitable, Callable
from typing import Any

from homeassistant.components.button import SERVICE_PRESS
from homeassistant.const import (
    ATTR_ENTITY_ID,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_ON,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import CONF_CHARGERS, DOMAIN
from simulator.car import Car
from simulator.charger import Charger, CommandRejectedError
from simulator.faults import Rejection
from simulator.observations import StateId
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, wait_until, wait_until_live

type GoLive = Callable[[MockConfigEntry], Awaitable[None]]

STOPS = ["switch off", "stop button", "stop action"]
RESUMES = ["switch on", "resume button", "resume action"]

# Every way to send a command: platform, service, and key of the entity (None: an action).
WAYS: dict[str, tuple[str, str, str | None]] = {
    "switch off": ("switch", SERVICE_TURN_OFF, "charger_operation_mode"),
    "stop button": ("button", SERVICE_PRESS, "stop_charging_final"),
    "stop action": (DOMAIN, "stop_charging", None),
    "switch on": ("switch", SERVICE_TURN_ON, "charger_operation_mode"),
    "resume button": ("button", SERVICE_PRESS, "resume_charging"),
    "resume action": (DOMAIN, "resume_charging", None),
    "deauthorize button": ("button", SERVICE_PRESS, "deauthorize_and_stop"),
    "restart button": ("button", SERVICE_PRESS, "restart_charger"),
    "restart action": (DOMAIN, "restart_charger", None),
}


class Remote:
    """Controls the charger through Home Assistant."""

    def __init__(
        self, hass: HomeAssistant, sim: Simulator, charger: Charger, found: EntityFinder
    ) -> None:
        """Initialize the remote."""
        self._hass = hass
        self._sim = sim
        self._charger = charger
        self._found = found

    async def use(self, way: str) -> list[str]:
        """Trigger a command in one of the ways; return the commands that were sent."""
        platform, service, key = WAYS[way]
        data = (
            {ATTR_ENTITY_ID: self._found.id(platform, self._charger.id, key)}
            if key
            else {"charger_id": self._charger.id}
        )
        self._sim.rest.clear()
        await self._hass.services.async_call(platform, service, data, blocking=True)
        return self.sent()

    def sent(self) -> list[str]:
        """Return the commands that were sent since the last call."""
        return [
            record.path.rpartition("/")[2]
            for record in self._sim.rest.requests
            if record.method == "POST"
        ]

    def state(self, platform: str, key: str) -> str:
        """Return the state of an entity of the charger."""
        return self._found.state(platform, self._charger.id, key)


@pytest.fixture(autouse=True)
def _all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the entities that are disabled by default."""
    monkeypatch.setattr(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    )


@pytest.fixture
def remote(
    hass: HomeAssistant, sim: Simulator, charger: Charger, entities: EntityFinder
) -> Remote:
    """Return the remote of the charger."""
    return Remote(hass, sim, charger, entities)


async def wait_for_value(
    entry: MockConfigEntry, charger: Charger, state_id: StateId, text: str | None
) -> None:
    """Wait until the integration has received the value of a StateId."""
    state = entry.runtime_data.states[charger.id]
    await wait_until(
        lambda: any(
            observation.state_id == state_id and observation.value == text
            for observation, _, _ in state.observations()
        ),
        lambda: f"StateId {state_id} is not {text}",
    )


# Refused commands.


@pytest.mark.parametrize("way", ["restart button", "restart action"])
@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (Rejection(528, "The charger is busy with an update"), "rejected"),
        (Rejection(528), "rejected_without_reason"),
        (Rejection(505, "The charger does not answer"), "rejected"),
    ],
)
async def test_a_refused_restart_shows_the_vendors_reason(
    sim: Simulator,
    live_entry: MockConfigEntry,
    remote: Remote,
    way: str,
    refusal: Rejection,
    sentence: str,
) -> None:
    """A refused restart is always an error, because no state can show that it was not needed."""
    sim.rest.fail("/sendCommand/102", fault=refusal)
    with pytest.raises(HomeAssistantError) as raised:
        await remote.use(way)
    assert raised.value.translation_key == sentence


async def test_a_refused_upgrade_to_the_installed_version_succeeds(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refused upgrade succeeds if a reading shows that the version is already installed."""
    await wait_until(lambda: bool(live_entry.runtime_data.firmware.data))
    state = live_entry.runtime_data.states[charger.id]
    charger.observe(StateId.COMPUTER_VERSION, "1.0.0.0")
    await wait_until(lambda: state.value(StateId.COMPUTER_VERSION) == "1.0.0.0")
    # The cloud caches readings for 15 s.
    await time_machine.travel(20)
    sim.bus.freeze()
    charger.observe(StateId.COMPUTER_VERSION, charger.available_firmware)

    def refuse() -> None:
        raise CommandRejectedError("There is nothing newer")

    monkeypatch.setattr(charger, "upgrade_firmware", refuse)
    await hass.services.async_call(
        DOMAIN, "upgrade_firmware", {"charger_id": charger.id}, blocking=True
    )


# A command is done when the charger shows its effect.


@pytest.mark.parametrize("way", STOPS)
@pytest.mark.parametrize("mode", [3, 2])
async def test_a_car_that_charges_in_spite_of_a_pause_is_stopped(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
    way: str,
    mode: int,
) -> None:
    """A stop is sent while the car charges, even if StateId 718 says that it is paused.

    The cloud refuses 506 only if 718=1 and 710=5.
    """
    charger.plug_in(Car())
    await time_machine.travel(30)
    charger.observe(StateId.OPERATION_MODE, mode)
    charger.observe(StateId.FINAL_STOP_ACTIVE, True)
    await wait_for_value(live_entry, charger, StateId.FINAL_STOP_ACTIVE, "1")
    await time_machine.travel(1)
    assert await remote.use(way) == ["506"]
    await time_machine.travel(10)
    assert remote.state("sensor", "charger_operation_mode") == "connected_finished"
    assert await remote.use(way) == []


@pytest.mark.parametrize("way", RESUMES)
async def test_no_resume_is_sent_for_a_car_that_charges_in_spite_of_a_pause(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
    way: str,
) -> None:
    """A car that charges needs no resume, and the cloud would refuse it (710 is not 5)."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    charger.observe(StateId.FINAL_STOP_ACTIVE, True)
    await wait_for_value(live_entry, charger, StateId.FINAL_STOP_ACTIVE, "1")
    await time_machine.travel(20)
    assert await remote.use(way) == []


@pytest.mark.parametrize("way", RESUMES)
async def test_a_refused_resume_of_a_car_that_charges_succeeds(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
    way: str,
) -> None:
    """A refused resume succeeds if a reading shows that nothing keeps the car from charging."""
    charger.plug_in(Car())
    charger.set_schedule(100)
    await time_machine.travel(30)
    sim.bus.freeze()
    sim.clock.advance(200)
    assert await remote.use(way) == ["507"]


@pytest.mark.parametrize("way", STOPS)
async def test_a_full_car_is_paused(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
    way: str,
) -> None:
    """A full car (710=5 without 718=1) can be paused, because it may start again by itself."""
    charger.plug_in(Car(wants=False))
    await time_machine.travel(30)
    assert remote.state("sensor", "charger_operation_mode") == "connected_finished"
    assert await remote.use(way) == ["506"]


# A value that cannot be parsed must not be taken for a missing one.


@pytest.mark.parametrize("way", RESUMES)
@pytest.mark.parametrize(
    "text",
    ["22:00", "1795730400", '{"Start":"22:00","Days":127}', "2036-11-27T22:00:00Z"],
)
async def test_a_schedule_that_cannot_be_read_is_started_before_its_time(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
    way: str,
    text: str,
) -> None:
    """A schedule in an unknown format can be overridden; the vendor documents none for 763."""
    charger.plug_in(Car())
    charger.set_schedule(7200, text)
    await time_machine.travel(30)
    assert remote.state("sensor", "charger_operation_mode") == "connected_requesting"
    assert await remote.use(way) == ["507"]
    await time_machine.travel(30)
    assert remote.state("sensor", "charger_operation_mode") == "connected_charging"
    assert await remote.use(way) == []


async def test_a_pause_that_cannot_be_read_is_not_taken_for_none(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """If the pause cannot be parsed, the switch is unknown, and a resume is sent."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    charger.stop_charging()
    await time_machine.travel(10)
    charger.observe(StateId.FINAL_STOP_ACTIVE, "Yes")
    await wait_for_value(live_entry, charger, StateId.FINAL_STOP_ACTIVE, "Yes")
    assert remote.state("switch", "charger_operation_mode") == STATE_UNKNOWN
    sim.rest.fail("/sendCommand/507", fault=Rejection(528, "Not now"))
    with pytest.raises(HomeAssistantError, match="Not now"):
        await remote.use("switch on")
    assert remote.sent() == ["507"]


async def test_a_resume_is_sent_while_the_mode_cannot_be_read(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """If the mode cannot be parsed, a resume is sent, because it may be needed."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    charger.observe(StateId.OPERATION_MODE, "Charging")
    await wait_for_value(live_entry, charger, StateId.OPERATION_MODE, "Charging")
    with pytest.raises(HomeAssistantError, match="not Paused nor Scheduled"):
        await remote.use("resume button")
    assert remote.sent() == ["507"]


# Sessions that have ended while the car stays connected.


@pytest.fixture
def authentication_required(charger: Charger, request: pytest.FixtureRequest) -> bool:
    """Set whether the installation requires authentication."""
    required = bool(request.param)
    charger.installation.authentication_required = required
    charger.observe(StateId.AUTHENTICATION_REQUIRED, required)
    return required


async def start(remote: Remote, way: str, *, is_authorized: bool) -> None:
    """Start a car that nothing pauses; only a missing authorization is an error."""
    if is_authorized:
        assert await remote.use(way) == []
        return
    with pytest.raises(ServiceValidationError) as raised:
        await remote.use(way)
    assert raised.value.translation_key == "authorization_missing"
    assert remote.sent() == []


both_ways = pytest.mark.parametrize(
    "authentication_required",
    [True, False],
    ids=["authentication", "no authentication"],
    indirect=True,
)


async def end_session(
    charger: Charger, time_machine: TimeMachine, remote: Remote, by: str
) -> None:
    """Let a car charge, and end its session while it stays connected."""
    charger.plug_in(Car())
    charger.authorize()
    await time_machine.travel(60)
    assert remote.state("sensor", "charger_operation_mode") == "connected_charging"
    if "paused" in by:
        await remote.use("stop button")
        await time_machine.travel(60)
    if "button" in by:
        await remote.use("deauthorize button")
    else:
        charger.end_session()
    await time_machine.travel(30)


@both_ways
@pytest.mark.parametrize("by", ["the button", "the button, paused", "the cloud"])
@pytest.mark.parametrize("way", RESUMES)
async def test_a_session_that_has_ended_cannot_be_resumed(
    time_machine: TimeMachine,
    charger: Charger,
    authentication_required: bool,
    live_entry: MockConfigEntry,
    remote: Remote,
    by: str,
    way: str,
) -> None:
    """Resuming an ended session is refused with advice: plug the car in again, or authorize it."""
    await end_session(charger, time_machine, remote, by)
    assert remote.state("binary_sensor", "car_connected") == STATE_ON
    with pytest.raises(ServiceValidationError) as raised:
        await remote.use(way)
    assert raised.value.translation_key == "session_ended"
    assert remote.sent() == []

    # Following the advice in the error helps.
    if authentication_required:
        charger.authorize()
    else:
        charger.unplug()
        await time_machine.travel(30)
        charger.plug_in(Car())
    await time_machine.travel(30)
    assert remote.state("sensor", "charger_operation_mode") == "connected_charging"
    assert await remote.use(way) == []


@both_ways
async def test_an_ended_session_is_known_after_a_reload(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    authentication_required: bool,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """After a reload, the timestamps of the charger show that the session has ended."""
    await end_session(charger, time_machine, remote, "the button")
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    with pytest.raises(ServiceValidationError) as raised:
        await remote.use("switch on")
    assert raised.value.translation_key == "session_ended"


@both_ways
async def test_an_ended_session_that_no_message_reported(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    authentication_required: bool,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """While the push is down, the charger is read before a resume is refused or sent."""
    charger.plug_in(Car())
    charger.authorize()
    await time_machine.travel(60)
    await sim.bus.cut()
    await time_machine.travel(30)
    charger.end_session()
    sim.clock.advance(20)
    with pytest.raises(HomeAssistantError) as raised:
        await remote.use("switch on")
    assert raised.value.translation_key == "session_ended"


async def test_a_session_that_no_message_reported_is_resumed(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """A session that no message reported is resumed: the car was plugged in again, and paused."""
    await end_session(charger, time_machine, remote, "the cloud")
    await sim.bus.cut()
    await time_machine.travel(30)
    charger.unplug()
    charger.plug_in(Car())
    sim.clock.advance(20)
    charger.stop_charging()
    sim.clock.advance(20)
    assert await remote.use("switch on") == ["507"]


async def test_an_ended_session_while_the_charger_cannot_be_read(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """If the charger cannot be read, the held state decides."""
    await end_session(charger, time_machine, remote, "the cloud")
    await sim.bus.cut()
    await time_machine.travel(30)
    sim.rest.fail("/state", fault=403)
    with pytest.raises(ServiceValidationError) as raised:
        await remote.use("switch on")
    assert raised.value.translation_key == "session_ended"


@both_ways
@pytest.mark.parametrize("seconds", [0, 0.5, 5, 60])
@pytest.mark.parametrize("gap", [None, 15, 600], ids=["first car", "15 s", "10 min"])
@pytest.mark.parametrize("way", ["switch on", "resume action"])
async def test_a_car_that_was_just_plugged_in_is_no_ended_session(
    time_machine: TimeMachine,
    charger: Charger,
    authentication_required: bool,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    remote: Remote,
    seconds: float,
    gap: float | None,
    way: str,
) -> None:
    """A car without a session yet, or one that waits for authorization, has no ended session."""
    if gap is not None:
        charger.plug_in(Car())
        charger.authorize()
        await time_machine.travel(60)
        charger.unplug()
        await time_machine.travel(gap)
    charger.plug_in(Car())
    if seconds:
        await time_machine.travel(seconds)
    await wait_for_value(live_entry, charger, StateId.CABLE_TYPE, "32")
    await wait_until(lambda: remote.state("binary_sensor", "car_connected") == STATE_ON)
    await start(remote, way, is_authorized=not authentication_required)


async def test_a_car_that_was_plugged_in_again_at_once_is_no_ended_session(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """A car that is plugged in again at once gets a session a second later, so none has ended."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    charger.unplug()
    await time_machine.travel(3)
    charger.plug_in(Car())
    await wait_until(lambda: remote.state("binary_sensor", "car_connected") == STATE_ON)
    assert await remote.use("switch on") == []


async def test_a_session_that_was_paused_at_its_beginning_is_no_ended_session(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """A session that was paused at its beginning has not ended."""
    charger.plug_in(Car())
    await time_machine.travel(3)
    await remote.use("switch off")
    await time_machine.travel(6)
    assert remote.state("sensor", "charger_operation_mode") == "connected_finished"
    assert await remote.use("switch on") == ["507"]


async def test_a_car_that_waits_for_its_authorization_over_a_reload(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """A car that waits for authorization during a reload has no ended session.

    The hourly list shows its mode before the first reading, but without a timestamp.
    """
    charger.installation.authentication_required = True
    charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    charger.plug_in(Car())
    await time_machine.travel(60)
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await start(remote, "switch on", is_authorized=False)


@both_ways
async def test_a_session_that_ends_just_before_the_resume(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    authentication_required: bool,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """If the command that ended the session is not confirmed yet, the charger is read."""
    charger.plug_in(Car())
    charger.authorize()
    await time_machine.travel(60)
    sim.bus.freeze()
    await remote.use("deauthorize button")
    sim.clock.advance(5)
    with pytest.raises(HomeAssistantError) as raised:
        await remote.use("switch on")
    assert raised.value.translation_key == "session_ended"


@both_ways
async def test_a_paused_session_is_no_ended_session(
    time_machine: TimeMachine,
    charger: Charger,
    authentication_required: bool,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """A paused session can be resumed after any time."""
    charger.plug_in(Car())
    charger.authorize()
    await time_machine.travel(60)
    await remote.use("switch off")
    await time_machine.travel(3600, step=30)
    assert await remote.use("switch on") == ["507"]


async def test_a_car_that_was_paused_before_its_authorization_is_no_ended_session(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """A car that was paused before its authorization can be resumed, although it has no session."""
    charger.installation.authentication_required = True
    charger.plug_in(Car())
    charger.authorize()
    await time_machine.travel(60)
    charger.unplug()
    await time_machine.travel(60)
    charger.plug_in(Car())
    await time_machine.travel(30)
    assert await remote.use("switch off") == ["506"]
    await time_machine.travel(30)
    assert await remote.use("switch on") == ["507"]
    await time_machine.travel(10)
    charger.authorize()
    await time_machine.travel(10)
    assert remote.state("sensor", "charger_operation_mode") == "connected_charging"


async def test_a_charger_that_restarts_does_not_lose_its_car(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """A charger that restarts reports all values with new timestamps, which ends no session."""
    charger.installation.authentication_required = True
    charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    charger.plug_in(Car())
    await time_machine.travel(60)
    charger.restart()
    await time_machine.travel(60)
    charger.observe(StateId.OPERATION_MODE, 2)
    charger.observe(StateId.SESSION_IDENTIFIER, None)
    charger.observe(StateId.FINAL_STOP_ACTIVE, False)
    await time_machine.travel(5)
    await start(remote, "switch on", is_authorized=False)


# Cars that wait for their authorization.


async def test_a_start_lets_an_authorized_car_charge(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """A start says that the authorization is missing, and succeeds once it is there.

    Where authorization is required, a car that is resumed has to be authorized again.
    """
    charger.installation.authentication_required = True
    charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    charger.plug_in(Car())
    await time_machine.travel(30)
    await start(remote, "switch on", is_authorized=False)
    charger.authorize()
    await time_machine.travel(30)
    await start(remote, "switch on", is_authorized=True)
    assert await remote.use("switch off") == ["506"]
    await time_machine.travel(30)
    assert await remote.use("switch on") == ["507"]
    await time_machine.travel(30)
    await start(remote, "switch on", is_authorized=False)


async def test_a_start_ends_the_wait_for_a_schedule_before_the_authorization(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """A start ends the schedule of a car that is not authorized, because that is possible."""
    charger.installation.authentication_required = True
    charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    charger.plug_in(Car())
    charger.set_schedule(7200)
    await time_machine.travel(30)
    assert await remote.use("switch on") == ["507"]
    await time_machine.travel(30)
    await start(remote, "switch on", is_authorized=False)


async def test_a_missing_authorization_while_no_messages_arrive(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """While the push is down, a reading shows whether the car was authorized."""
    charger.installation.authentication_required = True
    charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    charger.plug_in(Car())
    await time_machine.travel(30)
    await sim.bus.cut()
    await time_machine.travel(30)
    charger.authorize()
    sim.clock.advance(20)
    await start(remote, "switch on", is_authorized=True)


# The cloud refuses a command that has no effect; see "Charger command validation update".


@pytest.mark.parametrize(
    ("change", "way"), [("stop_charging", "switch off"), ("unplug", "stop button")]
)
async def test_no_command_is_refused_while_no_messages_arrive(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
    change: str,
    way: str,
) -> None:
    """While the push is down, a reading shows that a command would have no effect."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    await sim.bus.cut()
    await time_machine.travel(30)
    getattr(charger, change)()
    sim.clock.advance(20)
    assert await remote.use(way) == []


async def test_a_start_after_a_pause_that_was_lost(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resume is sent while a pause is not confirmed: the charger may have carried it out.

    If it has not, the cloud refuses the resume, and the car charges, so it succeeds.
    """
    charger.plug_in(Car())
    await time_machine.travel(30)
    monkeypatch.setattr(charger, "stop_charging", lambda: None)
    assert await remote.use("stop button") == ["506"]
    await time_machine.travel(1)
    assert await remote.use("resume button") == ["507"]


async def test_a_command_is_sent_although_the_charger_cannot_be_read(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    remote: Remote,
) -> None:
    """If a reading fails while the push is down, the command is sent: it may be needed."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    await sim.bus.cut()
    await time_machine.travel(30)
    sim.rest.fail("/state", fault=403)
    assert await remote.use("stop button") == ["506"]


# Chargers that do not follow the cloud.


@pytest.mark.parametrize("scenario", [Scenario.of(3)], ids=["three chargers"])
@pytest.mark.parametrize(
    ("stand_alone", "chosen", "refused"),
    [
        ((0, 1, 2), None, True),
        ((0, 1), None, False),
        # The states of chargers that were not chosen are unknown.
        ((0, 1, 2), (0, 1), False),
        ((0,), (0,), False),
    ],
)
async def test_an_installation_whose_chargers_are_stand_alone(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    set_up_live: GoLive,
    stand_alone: tuple[int, ...],
    chosen: tuple[int, ...] | None,
    refused: bool,
) -> None:
    """Setting the current is refused if all chargers of the installation are stand-alone."""
    chargers = list(sim.chargers.values())
    if chosen is not None:
        hass.config_entries.async_update_entry(
            entry, options={CONF_CHARGERS: [chargers[index].id for index in chosen]}
        )
    for index in stand_alone:
        chargers[index].set_stand_alone(True)
    await set_up_live(entry)
    await _limit(hass, chargers[0], refused=refused)


@pytest.mark.parametrize("scenario", [Scenario.of(2)], ids=["two devices"])
@pytest.mark.parametrize(
    ("stand_alone", "refused"), [((0,), True), ((1,), False), ((), False)]
)
async def test_a_power_meter_is_no_charger(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    set_up_live: GoLive,
    monkeypatch: pytest.MonkeyPatch,
    stand_alone: tuple[int, ...],
    refused: bool,
) -> None:
    """A power meter in the list does not count as a charger that follows the cloud."""
    chargers = list(sim.chargers.values())
    sense = chargers[1]
    sense.is_power_meter = True
    for index in stand_alone:
        chargers[index].set_stand_alone(True)
    await set_up_live(entry)
    await _limit(hass, chargers[0], refused=refused)


@pytest.mark.parametrize("scenario", [Scenario.of(2)], ids=["two chargers"])
async def test_a_charger_whose_state_is_not_known_is_not_counted_as_stand_alone(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    set_up_live: GoLive,
) -> None:
    """A charger of unknown state does not count as stand-alone, because it may follow the cloud."""
    first, second = sim.chargers.values()
    first.set_stand_alone(True)
    second.observations.pop(StateId.IS_STAND_ALONE)
    await set_up_live(entry)
    await _limit(hass, first, refused=False)


async def _limit(hass: HomeAssistant, charger: Charger, *, refused: bool) -> None:
    """Set the available current of a charger's installation."""
    data: dict[str, Any] = {
        "installation_id": charger.installation.id,
        "available_current": 10,
    }
    if not refused:
        await hass.services.async_call(DOMAIN, "limit_current", data, blocking=True)
        assert charger.installation.available_current == (10, 10, 10)
        return
    with pytest.raises(ServiceValidationError) as raised:
        await hass.services.async_call(DOMAIN, "limit_current", data, blocking=True)
    assert raised.value.translation_key == "chargers_are_stand_alone"
