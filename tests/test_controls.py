"""Controls: the request of each, and the error for the user if it fails."""

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

from custom_components.zaptec.const import DOMAIN
from simulator.accounts import UserRole
from simulator.car import Car
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

from .conftest import add_entry, set_up, wait_until
from .home import Home

RESIDENT = "resident@example.com"


@dataclass(frozen=True)
class Control:
    """A control: an entity, and the action that uses it."""

    platform: str
    key: str
    service: str
    path: str
    data: dict[str, Any] = field(default_factory=dict)
    of_installation: bool = False
    # Whether charging is paused before the control is used.
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
# The cloud carries out 10001, but answers 528 all the same.
REFUSED_AS_10001_IS = Rejection(528, "The charger reports a relay error")
# Of the numbers, test_a_failed_control_says_why_and_is_sent_once tries the refusals.
REFUSABLE = {
    name: control for name, control in CONTROLS.items() if control.platform != "number"
} | ACTIONS


class User:
    """Uses controls."""

    def __init__(self, home: Home) -> None:
        """Initialize the user."""
        self._home = home

    def entity_id(self, control: Control) -> str:
        """Return the entity of a control."""
        return self._home.entity_id(control.platform, control.key)

    def state(self, control: Control) -> str:
        """Return the state of a control."""
        return self._home.state(control.platform, control.key)

    def _target(self, control: Control) -> dict[str, str]:
        """Return the target of the action: the device or the entity."""
        if control.platform != DOMAIN:
            return {ATTR_ENTITY_ID: self.entity_id(control)}
        if control.of_installation:
            return {"installation_id": self._home.installation.id}
        return {"charger_id": self._home.charger.id}

    async def use(self, control: Control) -> None:
        """Use a control."""
        await self._home.hass.services.async_call(
            control.platform,
            control.service,
            {**self._target(control), **control.data},
            blocking=True,
        )


@pytest.fixture
def user(new_home: Home) -> User:
    """Return a user of the controls."""
    return User(new_home)


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with one Go, whose firmware is old, with an owner and a resident."""
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
    """Shorten the time limit of commands, and retry them without a pause."""
    requester = "custom_components.zaptec.api.requester"
    transport = "custom_components.zaptec.api.transport"
    monkeypatch.setattr(f"{requester}.COMMAND_TIMEOUT", 0.5)
    # Retried without a pause, a command mostly waits for a slot of the limiter.
    monkeypatch.setattr("custom_components.zaptec.api.action.ACTION_TIMEOUT", 2.0)
    monkeypatch.setattr(f"{requester}.BACKOFF_BASE", 0.0)
    monkeypatch.setattr(f"{transport}.RETRY_AFTER_MAX", 0.0)


@pytest.fixture(autouse=True)
def _all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the entities that are disabled by default."""
    monkeypatch.setattr(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    )


def sent(home: Home) -> list[str]:
    """Return the requests that wrote to the cloud."""
    return [
        record.path.removeprefix("/api/")
        for record in home.sim.rest.requests
        if record.method == "POST"
    ]


async def prepare(home: Home, name: str) -> None:
    """Let a car charge, or be paused, for a control that needs one."""
    control = CONTROLS.get(name) or ACTIONS[name]
    if name not in CHARGING and control.platform != DOMAIN:
        return
    paused = control.resumes
    home.charger.plug_in(Car())
    await home.travel(15)
    if paused:
        home.charger.stop_charging()
        await home.travel(15)
    await home.wait_for(
        "sensor",
        "charger_operation_mode",
        "connected_finished" if paused else "connected_charging",
    )


async def wait_for_firmware(home: Home) -> None:
    """Wait for the firmware list, without which no upgrade is possible."""
    await wait_until(lambda: bool(home.entry.runtime_data.firmware.data))


@pytest.mark.parametrize("name", CONTROLS)
async def test_a_control_sends_one_request(home: Home, user: User, name: str) -> None:
    """Each control sends exactly one request, even if the cloud refuses a deauthorization."""
    control = CONTROLS[name]
    await prepare(home, name)
    await wait_for_firmware(home)
    home.clear()
    await user.use(control)
    await home.travel(30)
    (path,) = sent(home)
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
    home: Home, user: User, name: str, observed: tuple[StateId, str]
) -> None:
    """A number shows the value that the charger reports, not the requested one."""
    control = CONTROLS[name]
    before = user.state(control)
    home.charger.observe, observe = (lambda *_: None), home.charger.observe
    await user.use(control)
    assert user.state(control) == before

    home.charger.observe = observe
    observe(observed[0], float(observed[1]))
    await wait_until(lambda: float(user.state(control)) == float(observed[1]))


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
async def test_a_failed_control_says_why_and_is_sent_once(
    home: Home, user: User, name: str, fault: Fault, sentence: str
) -> None:
    """Each failure has its own error text, sends one request, and changes nothing."""
    control = CONTROLS[name]
    await prepare(home, name)
    await wait_for_firmware(home)
    before = {**home.charger.observations, StateId.PULSE: None}
    home.sim.rest.fail("/(update|sendCommand)", fault=fault)
    home.clear()
    with pytest.raises(HomeAssistantError) as raised:
        await user.use(control)
    assert raised.value.translation_key == sentence
    assert len(sent(home)) == 1
    assert {**home.charger.observations, StateId.PULSE: None} == before


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("name", ["switch off", "max current", "available current"])
async def test_a_busy_cloud_is_reported(home: Home, user: User, name: str) -> None:
    """A busy cloud is retried until the time limit, and then the error says that it is busy.

    The last attempt may still be waiting for a slot of the limiter.
    """
    await prepare(home, name)
    home.sim.rest.fail("/(update|sendCommand)", fault=503)
    with pytest.raises(HomeAssistantError) as raised:
        await user.use(CONTROLS[name])
    assert raised.value.translation_key in (
        "cloud_busy",
        "cannot_connect",
        "not_sent",
        "pause_waits",
    )


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("name", ["switch off", "max current", "available current"])
async def test_a_cloud_that_is_busy_once(home: Home, user: User, name: str) -> None:
    """If the cloud is busy once, the command is retried, as it was certainly not carried out."""
    await prepare(home, name)
    home.sim.rest.fail("/(update|sendCommand)", fault=429, times=1)
    await user.use(CONTROLS[name])


@pytest.mark.usefixtures("_impatient")
async def test_a_control_with_a_password_that_no_longer_counts(
    home: Home, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the password is no longer valid, the error says so, and a reauthentication starts."""
    # Sign-ins are at least a second apart.
    monkeypatch.setattr("custom_components.zaptec.api.requester.COMMAND_TIMEOUT", 10.0)
    home.sim.set_password(next(iter(home.sim.accounts)), "another")
    with pytest.raises(HomeAssistantError) as raised:
        await user.use(CONTROLS["max current"])
    assert raised.value.translation_key == "authentication_failed"
    await home.hass.async_block_till_done()
    assert len(home.hass.config_entries.flow.async_progress()) == 1


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
    home: Home, name: str, value: float, sentence: str
) -> None:
    """A value that makes no sense is refused without a request; no car charges below 6 A."""
    control = CONTROLS[name]
    home.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await home.set_value(control.key, value)
    assert raised.value.translation_key == sentence
    assert not home.sim.rest.requests


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("max current", value) for value in (0, 1, 5.9, 6, 6.1, 24.9, 31.9)],
        *[("min current", value) for value in (6.1, 24.9, 32)],
        *[("available current", value) for value in (0, 6, 6.1, 24.9)],
    ],
)
async def test_the_currents_that_are_accepted(
    home: Home, name: str, value: float
) -> None:
    """Tenths are accepted, and 0 as a charger's maximum, with which load balancers pause it."""
    control = CONTROLS[name]
    await home.set_value(control.key, value)
    await wait_until(lambda: float(home.state("number", control.key)) == value)


@pytest.mark.parametrize("name", CHARGING)
async def test_a_press_that_has_nothing_to_do_succeeds_quietly(
    home: Home, user: User, name: str
) -> None:
    """A button without an effect succeeds without a request, as the vendor asks."""
    control = CONTROLS[name]
    home.clear()
    await user.use(control)
    assert not sent(home)


@pytest.mark.parametrize("name", ["upgrade"])
async def test_no_upgrade_to_what_is_installed(
    home: Home, user: User, name: str
) -> None:
    """No upgrade is sent if the firmware list has no newer version."""
    await wait_for_firmware(home)
    home.charger.observe(StateId.COMPUTER_VERSION, home.charger.available_firmware)
    await wait_until(
        lambda: (
            home.entry.runtime_data.states[home.charger.id].value(
                StateId.COMPUTER_VERSION
            )
            == home.charger.available_firmware
        )
    )
    home.clear()
    await user.use(CONTROLS[name])
    assert not sent(home)


@pytest.mark.parametrize(
    ("name", "change"),
    [("switch off", "stop_charging"), ("switch on", "resume_charging")],
)
async def test_a_refusal_because_it_is_so_already_is_a_success(
    home: Home, user: User, name: str, change: str
) -> None:
    """A refusal is a success if another program had just done the same."""
    control = CONTROLS[name]
    await prepare(home, name)
    # The cloud answers a reading from a cache of 15 s.
    await home.travel(20)
    home.sim.bus.freeze()
    getattr(home.charger, change)()
    home.sim.clock.advance(20)
    home.clear()
    await user.use(control)
    assert len(sent(home)) == 1
    assert user.state(control) == ("off" if name == "switch off" else "on")


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
    home: Home,
    user: User,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    sentence: str,
    placeholders: dict[str, str] | None,
) -> None:
    """A refusal shows the vendor's reason, if there is one, and nothing is shown as done."""
    # A Retry-After beyond the time limit of a command ends the command at once.
    transport = "custom_components.zaptec.api.transport"
    monkeypatch.setattr(f"{transport}.RETRY_AFTER_MAX", 3600.0)
    await prepare(home, name)
    await wait_for_firmware(home)
    before = {**home.charger.observations, StateId.PULSE: None}
    home.sim.rest.fail("/(update|sendCommand)", fault=fault)
    if "deauthorize" in name and fault is REFUSED_AS_10001_IS:
        await user.use(REFUSABLE[name])
        return
    with pytest.raises(HomeAssistantError) as raised:
        await user.use(REFUSABLE[name])
    assert raised.value.translation_key == sentence
    assert raised.value.translation_placeholders == placeholders
    assert {**home.charger.observations, StateId.PULSE: None} == before
    update = home.hass.states.get(home.entity_id("update", "firmware_update"))
    assert update
    assert update.attributes["in_progress"] is False
    assert home.switch == ("off" if REFUSABLE[name].resumes else "on")


async def leave_the_cloud(home: Home) -> None:
    """Put the charger into stand-alone mode, and wait until the integration knows."""
    home.charger.set_stand_alone(True)
    state = home.entry.runtime_data.states[home.charger.id]
    await wait_until(lambda: state.value(StateId.IS_STAND_ALONE) is True)


@pytest.mark.parametrize("name", [*CHARGING, "max current", "min current"])
async def test_a_charger_in_stand_alone_mode_is_not_controlled(
    home: Home, user: User, name: str
) -> None:
    """A stand-alone charger ignores the cloud, so commands fail at once without a request."""
    await leave_the_cloud(home)
    home.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await user.use(CONTROLS[name])
    assert raised.value.translation_key == "charger_is_stand_alone"
    assert not home.sim.rest.requests


@pytest.mark.parametrize("name", ["available current", "phase switch current"])
@pytest.mark.parametrize(
    ("mode", "sentence"),
    [(1, "schedule_controls_current"), (2, "power_meter_controls_current")],
)
@pytest.mark.parametrize("known", [True, False])
async def test_an_installation_whose_current_something_else_controls(
    home: Home, user: User, name: str, mode: int, sentence: str, known: bool
) -> None:
    """The error names what else controls the current, even if that was not known before."""
    home.installation.available_current_mode = mode
    await home.travel(3700 if known else 0, step=15)
    with pytest.raises(ServiceValidationError) as raised:
        await user.use(CONTROLS["available current"])
    assert raised.value.translation_key == sentence
    # The current can be set again, without waiting for the hourly list.
    home.installation.available_current_mode = 0
    home.clear()
    with pytest.raises(ServiceValidationError):
        await user.use(CONTROLS[name])
    assert not home.sim.rest.requests
    await home.travel(75, step=15)
    await user.use(CONTROLS[name])
    assert user.state(CONTROLS["available current"]) == (
        "12.5" if name == "available current" else "25.0"
    )


async def test_an_installation_of_chargers_in_stand_alone_mode(
    home: Home, user: User
) -> None:
    """The available current of stand-alone chargers is refused, as it would have no effect."""
    await leave_the_cloud(home)
    with pytest.raises(ServiceValidationError) as raised:
        await user.use(CONTROLS["available current"])
    assert raised.value.translation_key == "chargers_are_stand_alone"


@pytest.mark.parametrize(
    ("kind", "futile"), [(2, set(CHARGING) - {"deauthorize"}), (3, set(CHARGING))]
)
@pytest.mark.parametrize("name", CHARGING)
async def test_an_ocpp_system_controls_charging(
    new_home: Home, user: User, name: str, kind: int, futile: set[str]
) -> None:
    """With OCPP, start and stop are refused; deauthorization still works with one kind of OCPP."""
    new_home.installation.authentication_type = kind
    await new_home.start()
    control = CONTROLS[name]
    await prepare(new_home, name)
    new_home.clear()
    if name not in futile:
        await user.use(control)
        assert len(sent(new_home)) == 1
        return
    with pytest.raises(ServiceValidationError) as raised:
        await user.use(control)
    assert raised.value.translation_key == "ocpp_controls_charging"
    assert not sent(new_home)


async def test_a_user_is_offered_no_controls(
    hass: HomeAssistant, sim: Simulator, entity_registry: er.EntityRegistry
) -> None:
    """A user without the role of owner or service has no controls, which could only fail."""
    entry = add_entry(hass, sim, RESIDENT)
    await set_up(hass, entry)
    await wait_until(lambda: bool(entry.runtime_data.firmware.data))
    await hass.async_block_till_done()
    found = er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    assert {entity.domain for entity in found} == {
        "binary_sensor",
        "event",
        "sensor",
        "update",
    }
    assert {
        entity.supported_features for entity in found if entity.domain == "update"
    } == {0}


async def test_buttons_of_a_charger_that_is_offline(home: Home, user: User) -> None:
    """Buttons of an offline charger are unavailable; its settings stay available."""
    assert user.state(CONTROLS["restart"]) == STATE_UNKNOWN
    home.charger.set_offline()
    await wait_until(lambda: user.state(CONTROLS["restart"]) == STATE_UNAVAILABLE)
    assert user.state(CONTROLS["switch on"]) == STATE_UNAVAILABLE
    assert user.state(CONTROLS["max current"]) == "32.0"
    home.charger.set_online()
    await wait_until(lambda: user.state(CONTROLS["restart"]) == STATE_UNKNOWN)


async def test_a_charger_that_has_just_left_the_account(home: Home, user: User) -> None:
    """A control of a charger that has just left the account fails with an error that says so."""
    runtime = home.entry.runtime_data
    entity_id = user.entity_id(CONTROLS["restart"])
    entity = home.hass.data["entity_components"]["button"].get_entity(entity_id)
    del runtime.coordinator.data.chargers[home.charger.id]
    with pytest.raises(ServiceValidationError) as raised:
        await entity.async_press()
    assert raised.value.translation_key == "charger_gone"
    assert raised.value.translation_domain == DOMAIN
