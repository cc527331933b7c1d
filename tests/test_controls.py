"""Controls: what each sends, and what a person is told when it does not succeed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from homeassistant.components.button import SERVICE_PRESS
from homeassistant.components.number import ATTR_VALUE, SERVICE_SET_VALUE
from homeassistant.components.update import SERVICE_INSTALL
from homeassistant.const import (
    ATTR_ENTITY_ID,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.accounts import UserRole
from simulator.car import Car
from simulator.charger import Charger
from simulator.faults import Busy, Fault, Rejection
from simulator.observations import StateId
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, add_entry, set_up, wait_until

RESIDENT = "resident@example.com"


@dataclass(frozen=True)
class Control:
    """Something that a person may use."""

    platform: str
    key: str
    service: str
    path: str
    data: dict[str, Any] = field(default_factory=dict)
    of_installation: bool = False
    # Whether charging is paused before it is used.
    resumes: bool = False
    enable: bool = False


CONTROLS = {
    "switch off": Control(
        "switch", "charger_operation_mode", SERVICE_TURN_OFF, "sendCommand/506"
    ),
    "switch on": Control(
        "switch",
        "charger_operation_mode",
        SERVICE_TURN_ON,
        "sendCommand/507",
        resumes=True,
    ),
    "stop": Control("button", "stop_charging_final", SERVICE_PRESS, "sendCommand/506"),
    "resume": Control(
        "button", "resume_charging", SERVICE_PRESS, "sendCommand/507", resumes=True
    ),
    "deauthorize": Control(
        "button", "deauthorize_and_stop", SERVICE_PRESS, "sendCommand/10001"
    ),
    "restart": Control("button", "restart_charger", SERVICE_PRESS, "sendCommand/102"),
    "upgrade": Control("button", "upgrade_firmware", SERVICE_PRESS, "sendCommand/200"),
    "install": Control("update", "firmware_update", SERVICE_INSTALL, "sendCommand/200"),
    "max current": Control(
        "number",
        "charger_max_current",
        SERVICE_SET_VALUE,
        "chargers/.*/update",
        {ATTR_VALUE: 11.3},
    ),
    "min current": Control(
        "number",
        "charger_min_current",
        SERVICE_SET_VALUE,
        "chargers/.*/update",
        {ATTR_VALUE: 7.5},
    ),
    "offline current": Control(
        "number",
        "offline_current",
        SERVICE_SET_VALUE,
        "chargers/.*/update",
        {ATTR_VALUE: -1},
        enable=True,
    ),
    "meter value interval": Control(
        "number",
        "meter_value_interval",
        SERVICE_SET_VALUE,
        "chargers/.*/update",
        {ATTR_VALUE: 900},
        enable=True,
    ),
    "available current": Control(
        "number",
        "available_current",
        SERVICE_SET_VALUE,
        "installation/.*/update",
        {ATTR_VALUE: 12.5},
        of_installation=True,
    ),
    "phase switch current": Control(
        "number",
        "three_to_one_phase_switch_current",
        SERVICE_SET_VALUE,
        "installation/.*/update",
        {ATTR_VALUE: 10},
        of_installation=True,
        enable=True,
    ),
}
CHARGING = ["switch off", "switch on", "stop", "resume", "deauthorize"]

ACTIONS = {
    "stop action": Control(DOMAIN, "", "stop_charging", "sendCommand/506"),
    "resume action": Control(
        DOMAIN, "", "resume_charging", "sendCommand/507", resumes=True
    ),
    "deauthorize action": Control(
        DOMAIN, "", "deauthorize_charging", "sendCommand/10001"
    ),
    "restart action": Control(DOMAIN, "", "restart_charger", "sendCommand/102"),
    "upgrade action": Control(DOMAIN, "", "upgrade_firmware", "sendCommand/200"),
    "command action": Control(
        DOMAIN, "", "send_command", "sendCommand/506", {"command": 506}
    ),
    "limit action": Control(
        DOMAIN,
        "",
        "limit_current",
        "installation/.*/update",
        {"available_current": 12.5},
        of_installation=True,
    ),
}
# The cloud carries 10001 out and answers 528 all the same.
REFUSED_AS_10001_IS = Rejection(528, "The charger reports a relay error")
# Of the numbers, test_a_failed_control_tells_why_and_is_sent_once tries the refusals.
REFUSABLE = {
    name: control for name, control in CONTROLS.items() if control.platform != "number"
} | ACTIONS


class Person:
    """Uses controls."""

    def __init__(
        self, hass: HomeAssistant, charger: Charger, entities: EntityFinder
    ) -> None:
        """Initialize the person."""
        self._hass = hass
        self._charger = charger
        self._entities = entities

    def entity_id(self, control: Control) -> str:
        """Return the entity of a control."""
        device = (
            self._charger.installation if control.of_installation else self._charger
        )
        return self._entities.id(control.platform, device.id, control.key)

    def state(self, control: Control) -> str:
        """Return the state of a control."""
        state = self._hass.states.get(self.entity_id(control))
        assert state
        return state.state

    def attribute(self, entity_id: str, name: str) -> object:
        """Return an attribute of an entity."""
        state = self._hass.states.get(entity_id)
        assert state
        return state.attributes[name]

    def _target(self, control: Control) -> dict[str, str]:
        """Return what names the device that is controlled."""
        if control.platform != DOMAIN:
            return {ATTR_ENTITY_ID: self.entity_id(control)}
        if control.of_installation:
            return {"installation_id": self._charger.installation.id}
        return {"charger_id": self._charger.id}

    async def use(self, control: Control) -> None:
        """Use a control."""
        await self._hass.services.async_call(
            control.platform,
            control.service,
            {**self._target(control), **control.data},
            blocking=True,
        )


@pytest.fixture
def person(hass: HomeAssistant, charger: Charger, entities: EntityFinder) -> Person:
    """Return somebody who uses controls."""
    return Person(hass, charger, entities)


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with one Go, whose firmware is old, and somebody who lives there."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=25,
                available_current=25,
                chargers=(
                    ChargerScenario(
                        serial="ZAP000101", name="Carport", firmware="2.4.2.3"
                    ),
                ),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="owner@example.com", password="x", roles={"Home": OWNER}
            ),
            AccountScenario(
                user_name=RESIDENT, password="x", roles={"Home": UserRole.USER}
            ),
        ),
    )


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a command up sooner, and repeat it without a pause."""
    requester = "custom_components.zaptec.api.requester"
    transport = "custom_components.zaptec.api.transport"
    monkeypatch.setattr(f"{requester}.COMMAND_TIMEOUT", 0.5)
    # Repeated without a pause, a command waits for its turn most of the time.
    monkeypatch.setattr("custom_components.zaptec.api.action.ACTION_TIMEOUT", 2.0)
    monkeypatch.setattr(f"{requester}.BACKOFF_BASE", 0.0)
    monkeypatch.setattr(f"{transport}.RETRY_AFTER_MAX", 0.0)


@pytest.fixture(autouse=True)
def _all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable what is disabled by default."""
    monkeypatch.setattr(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    )


def sent(sim: Simulator) -> list[str]:
    """Return what was written to the cloud."""
    return [
        record.path.removeprefix("/api/")
        for record in sim.rest.requests
        if record.method == "POST"
    ]


async def prepare(
    time_machine: TimeMachine, charger: Charger, entities: EntityFinder, name: str
) -> None:
    """Let a car charge, or be paused, for a control that needs one."""
    control = CONTROLS.get(name) or ACTIONS[name]
    if name not in CHARGING and control.platform != DOMAIN:
        return
    paused = control.resumes
    charger.plug_in(Car())
    await time_machine.travel(15)
    if paused:
        charger.stop_charging()
        await time_machine.travel(15)
    await entities.wait_for(
        "sensor",
        charger.id,
        "charger_operation_mode",
        "connected_finished" if paused else "connected_charging",
    )


@pytest.mark.parametrize("name", CONTROLS)
async def test_a_control_sends_one_request(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    person: Person,
    name: str,
) -> None:
    """No more than one, whatever the cloud answers to a deauthorization."""
    control = CONTROLS[name]
    await prepare(time_machine, charger, entities, name)
    await wait_until(lambda: bool(live_entry.runtime_data.firmware.data))
    sim.rest.clear()
    await person.use(control)
    await time_machine.travel(30)
    (path,) = sent(sim)
    assert path.endswith(control.path.rpartition("/")[2])


@pytest.mark.parametrize(
    ("name", "observed"),
    [
        ("max current", (StateId.MAX_CURRENT, "11.300")),
        ("min current", (StateId.MIN_CURRENT, "7.500")),
        ("offline current", (StateId.OFFLINE_CURRENT, "-1.000")),
        ("meter value interval", (StateId.SIGNED_METER_VALUE_INTERVAL, "900")),
    ],
)
async def test_a_number_follows_its_confirmation(
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    person: Person,
    name: str,
    observed: tuple[StateId, str],
) -> None:
    """It shows what the charger tells, not what was asked for."""
    control = CONTROLS[name]
    before = person.state(control)
    charger.observe, observe = (lambda *_: None), charger.observe  # type: ignore[method-assign]
    await person.use(control)
    assert person.state(control) == before

    charger.observe = observe  # type: ignore[method-assign]
    observe(observed[0], float(observed[1]))
    await wait_until(lambda: float(person.state(control)) == float(observed[1]))


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (403, "not_permitted"),
        ("reset", "cannot_connect"),
        ("hang", "cannot_connect"),
        (500, "rejected_without_reason"),
        (502, "uncertain"),
        (404, "command_failed"),
    ],
)
@pytest.mark.parametrize("name", CONTROLS)
async def test_a_failed_control_tells_why_and_is_sent_once(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    person: Person,
    name: str,
    fault: Fault,
    sentence: str,
) -> None:
    """Each failure has its sentence, and nothing is changed."""
    control = CONTROLS[name]
    await prepare(time_machine, charger, entities, name)
    await wait_until(lambda: bool(live_entry.runtime_data.firmware.data))
    before = {**charger.observations, StateId.PULSE: None}
    sim.rest.fail("/(update|sendCommand)", fault=fault)
    sim.rest.clear()
    with pytest.raises(HomeAssistantError) as raised:
        await person.use(control)
    assert raised.value.translation_key == sentence
    assert len(sent(sim)) == 1
    assert {**charger.observations, StateId.PULSE: None} == before


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("name", ["switch off", "max current", "available current"])
async def test_a_busy_cloud_is_told_of(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    person: Person,
    name: str,
) -> None:
    """It is asked again for a while; the last attempt may not have had its turn."""
    await prepare(time_machine, charger, entities, name)
    sim.rest.fail("/(update|sendCommand)", fault=503)
    with pytest.raises(HomeAssistantError) as raised:
        await person.use(CONTROLS[name])
    assert raised.value.translation_key in (
        "cloud_busy",
        "cannot_connect",
        "not_sent",
        "pause_waits",
    )


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("name", ["switch off", "max current", "available current"])
async def test_a_cloud_that_is_busy_once(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    person: Person,
    name: str,
) -> None:
    """What was certainly not carried out is repeated."""
    await prepare(time_machine, charger, entities, name)
    sim.rest.fail("/(update|sendCommand)", fault=429, times=1)
    await person.use(CONTROLS[name])


@pytest.mark.usefixtures("_impatient")
async def test_a_control_with_a_password_that_no_longer_counts(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
    person: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says so, and the reauthentication starts."""
    # Sign-ins are a second apart.
    monkeypatch.setattr("custom_components.zaptec.api.requester.COMMAND_TIMEOUT", 10.0)
    sim.set_password(next(iter(sim.accounts)), "another")
    with pytest.raises(HomeAssistantError) as raised:
        await person.use(CONTROLS["max current"])
    assert raised.value.translation_key == "authentication_failed"
    await hass.async_block_till_done()
    assert len(hass.config_entries.flow.async_progress()) == 1


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("min current", 0, "min_current_too_low"),
        ("min current", 5.9, "min_current_too_low"),
        ("available current", 5.9, "current_too_low"),
        ("offline current", -0.5, "offline_current_invalid"),
        ("offline current", 2, "offline_current_invalid"),
        ("offline current", 5.9, "offline_current_invalid"),
        ("phase switch current", 3, "phase_switch_current_too_low"),
        ("max current", float("nan"), "not_a_number"),
        ("meter value interval", float("nan"), "not_a_number"),
        ("available current", float("nan"), "not_a_number"),
        ("phase switch current", float("nan"), "not_a_number"),
    ],
)
async def test_a_value_that_makes_no_sense_is_refused_unsent(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
    person: Person,
    name: str,
    value: float,
    sentence: str,
) -> None:
    """No car charges with less than 6 A."""
    control = CONTROLS[name]
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await hass.services.async_call(
            "number",
            SERVICE_SET_VALUE,
            {ATTR_ENTITY_ID: person.entity_id(control), ATTR_VALUE: value},
            blocking=True,
        )
    assert raised.value.translation_key == sentence
    assert not sim.rest.requests


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max current", value) for value in (0, 1, 5.9, 6, 6.1, 24.9, 31.9)],
        *[("min current", value) for value in (6.1, 24.9, 32)],
        *[("available current", value) for value in (0, 6, 6.1, 24.9)],
    ],
)
async def test_the_currents_that_are_accepted(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    person: Person,
    name: str,
    value: float,
) -> None:
    """Tenths, and for a charger's maximum also what pauses it: balancers use that."""
    control = CONTROLS[name]
    await hass.services.async_call(
        "number",
        SERVICE_SET_VALUE,
        {ATTR_ENTITY_ID: person.entity_id(control), ATTR_VALUE: value},
        blocking=True,
    )
    await wait_until(lambda: float(person.state(control)) == value)


@pytest.mark.parametrize("name", CHARGING)
async def test_a_press_that_has_nothing_to_do_succeeds_quietly(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    person: Person,
    name: str,
) -> None:
    """The vendor asks not to send a command that changes nothing."""
    control = CONTROLS[name]
    sim.rest.clear()
    await person.use(control)
    assert not sent(sim)


@pytest.mark.parametrize("name", ["upgrade"])
async def test_no_upgrade_to_what_is_installed(
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    person: Person,
    name: str,
) -> None:
    """The firmware list says that there is nothing newer."""
    await wait_until(lambda: bool(live_entry.runtime_data.firmware.data))
    charger.observe(StateId.COMPUTER_VERSION, charger.available_firmware)
    await wait_until(
        lambda: (
            live_entry.runtime_data.states[charger.id].value(StateId.COMPUTER_VERSION)
            == charger.available_firmware
        )
    )
    sim.rest.clear()
    await person.use(CONTROLS[name])
    assert not sent(sim)


@pytest.mark.parametrize(
    ("name", "change"),
    [("switch off", "stop_charging"), ("switch on", "resume_charging")],
)
async def test_a_refusal_because_it_is_so_already_is_a_success(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    person: Person,
    name: str,
    change: str,
) -> None:
    """Somebody else was faster, and the message did not reach us yet."""
    control = CONTROLS[name]
    await prepare(time_machine, charger, entities, name)
    # The cloud answers a reading from a cache of 15 s.
    await time_machine.travel(20)
    sim.bus.freeze()
    getattr(charger, change)()
    sim.clock.advance(20)
    sim.rest.clear()
    await person.use(control)
    assert len(sent(sim)) == 1
    assert person.state(control) == ("off" if name == "switch off" else "on")


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(
    ("fault", "sentence", "placeholders"),
    [
        (
            REFUSED_AS_10001_IS,
            "rejected",
            {"reason": "The charger reports a relay error"},
        ),
        (Rejection(520, "No answer"), "rejected", {"reason": "No answer"}),
        (Rejection(505), "rejected_without_reason", {"code": "505"}),
        (Rejection(None), "uncertain", None),
        (403, "not_permitted", None),
        (404, "command_failed", {"error": "The cloud does not know this"}),
        (Busy(60), "cloud_busy", None),
    ],
    ids=["528", "520", "no words", "no code", "403", "404", "429"],
)
@pytest.mark.parametrize("name", REFUSABLE)
async def test_a_refused_control_shows_why(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    person: Person,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    sentence: str,
    placeholders: dict[str, str] | None,
) -> None:
    """In the vendor's words where there are any; nothing is shown as done."""
    # A pause that is longer than the time of a command ends that at once.
    transport = "custom_components.zaptec.api.transport"
    monkeypatch.setattr(f"{transport}.RETRY_AFTER_MAX", 3600.0)
    await prepare(time_machine, charger, entities, name)
    await wait_until(lambda: bool(live_entry.runtime_data.firmware.data))
    before = {**charger.observations, StateId.PULSE: None}
    sim.rest.fail("/(update|sendCommand)", fault=fault)
    if "deauthorize" in name and fault is REFUSED_AS_10001_IS:
        await person.use(REFUSABLE[name])
        return
    with pytest.raises(HomeAssistantError) as raised:
        await person.use(REFUSABLE[name])
    assert raised.value.translation_key == sentence
    assert raised.value.translation_placeholders == placeholders
    assert {**charger.observations, StateId.PULSE: None} == before
    update = entities.id("update", charger.id, "firmware_update")
    assert person.attribute(update, "in_progress") is False
    switch = entities.state("switch", charger.id, "charger_operation_mode")
    assert switch == ("off" if REFUSABLE[name].resumes else "on")


@pytest.mark.parametrize("name", [*CHARGING, "max current", "min current"])
async def test_a_charger_in_stand_alone_mode_is_not_controlled(
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    person: Person,
    name: str,
) -> None:
    """It does not obey the cloud, so a person is told at once."""
    charger.set_stand_alone(True)
    await wait_until(
        lambda: (
            live_entry.runtime_data.states[charger.id].value(StateId.IS_STAND_ALONE)
            is True
        )
    )
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await person.use(CONTROLS[name])
    assert raised.value.translation_key == "charger_is_stand_alone"
    assert not sim.rest.requests


@pytest.mark.parametrize("name", ["available current", "phase switch current"])
@pytest.mark.parametrize(
    ("mode", "sentence"),
    [(1, "schedule_controls_current"), (2, "power_meter_controls_current")],
)
@pytest.mark.parametrize("known", [True, False])
async def test_an_installation_whose_current_something_else_controls(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    person: Person,
    name: str,
    mode: int,
    sentence: str,
    known: bool,
) -> None:
    """A person is told what it is, whether it was known before or not."""
    charger.installation.available_current_mode = mode
    await time_machine.travel(3700 if known else 0, step=15)
    with pytest.raises(ServiceValidationError) as raised:
        await person.use(CONTROLS["available current"])
    assert raised.value.translation_key == sentence
    # It is ours again, and an hour need not pass until that is known.
    charger.installation.available_current_mode = 0
    sim.rest.clear()
    with pytest.raises(ServiceValidationError):
        await person.use(CONTROLS[name])
    assert not sim.rest.requests
    await time_machine.travel(75, step=15)
    await person.use(CONTROLS[name])
    assert person.state(CONTROLS["available current"]) == (
        "12.5" if name == "available current" else "25.0"
    )


async def test_an_installation_of_chargers_in_stand_alone_mode(
    sim: Simulator, charger: Charger, live_entry: MockConfigEntry, person: Person
) -> None:
    """Its available current changes nothing."""
    charger.set_stand_alone(True)
    await wait_until(
        lambda: (
            live_entry.runtime_data.states[charger.id].value(StateId.IS_STAND_ALONE)
            is True
        )
    )
    with pytest.raises(ServiceValidationError) as raised:
        await person.use(CONTROLS["available current"])
    assert raised.value.translation_key == "chargers_are_stand_alone"


@pytest.mark.parametrize(
    ("kind", "futile"), [(2, set(CHARGING) - {"deauthorize"}), (3, set(CHARGING))]
)
@pytest.mark.parametrize("name", CHARGING)
async def test_an_ocpp_system_controls_charging(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    entry: MockConfigEntry,
    set_up_live: Callable[[MockConfigEntry], Any],
    entities: EntityFinder,
    person: Person,
    name: str,
    kind: int,
    futile: set[str],
) -> None:
    """Start and stop are its own; the cloud's deauthorization still works with one kind."""
    charger.installation.authentication_type = kind
    await set_up_live(entry)
    control = CONTROLS[name]
    await prepare(time_machine, charger, entities, name)
    sim.rest.clear()
    if name not in futile:
        await person.use(control)
        assert len(sent(sim)) == 1
        return
    with pytest.raises(ServiceValidationError) as raised:
        await person.use(control)
    assert raised.value.translation_key == "ocpp_controls_charging"
    assert not sent(sim)


async def test_a_user_is_offered_no_controls(
    hass: HomeAssistant, sim: Simulator, entity_registry: er.EntityRegistry
) -> None:
    """Neither owner nor service: what can only fail is not there."""
    entry = add_entry(hass, sim, RESIDENT)
    await set_up(hass, entry)
    await wait_until(lambda: bool(entry.runtime_data.firmware.data))
    await hass.async_block_till_done()
    found = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    assert {entity.domain for entity in found} == {"binary_sensor", "sensor", "update"}
    assert {
        entity.supported_features for entity in found if entity.domain == "update"
    } == {0}


async def test_buttons_of_a_charger_that_is_offline(
    charger: Charger, live_entry: MockConfigEntry, person: Person
) -> None:
    """It can't hear them; its settings stay."""
    assert person.state(CONTROLS["restart"]) == STATE_UNKNOWN
    charger.set_offline()
    await wait_until(lambda: person.state(CONTROLS["restart"]) == STATE_UNAVAILABLE)
    assert person.state(CONTROLS["switch on"]) == STATE_UNAVAILABLE
    assert person.state(CONTROLS["max current"]) == "32.0"
    charger.set_online()
    await wait_until(lambda: person.state(CONTROLS["restart"]) == STATE_UNKNOWN)


async def test_a_charger_that_has_just_left_the_account(
    hass: HomeAssistant, live_entry: MockConfigEntry, person: Person, charger: Charger
) -> None:
    """A control that is still there says so."""
    runtime = live_entry.runtime_data
    entity_id = person.entity_id(CONTROLS["restart"])
    entity = hass.data["entity_components"]["button"].get_entity(entity_id)
    del runtime.coordinator.data.chargers[charger.id]
    with pytest.raises(ServiceValidationError) as raised:
        await entity.async_press()
    assert raised.value.translation_key == "charger_gone"
    assert raised.value.translation_domain == DOMAIN
