"""What other tools expect: their contracts, each acted out against the simulator.

Each tool does here what its own code does: it calls actions, asks Home Assistant's REST
API, writes states, or starts before or after us. The version that was looked at stands
above each of them, and in the table of docs/ecosystem.md. What is copied from that page
is read from there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
import json
from pathlib import Path
import re
from typing import Any, override

from aiohttp.hdrs import AUTHORIZATION
from aiohttp.test_utils import TestClient
from homeassistant.auth.models import TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN
from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.components.blueprint.models import Blueprint, BlueprintInputs
from homeassistant.components.blueprint.schemas import BLUEPRINT_SCHEMA
from homeassistant.components.button import DOMAIN as BUTTON_DOMAIN, SERVICE_PRESS
from homeassistant.components.conversation import async_converse
from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.components.number import (
    ATTR_VALUE,
    DOMAIN as NUMBER_DOMAIN,
    SERVICE_SET_VALUE,
)
from homeassistant.components.script import DOMAIN as SCRIPT_DOMAIN
from homeassistant.components.sensor import ATTR_OPTIONS, ATTR_STATE_CLASS
from homeassistant.components.switch import (
    DATA_COMPONENT,
    DOMAIN as SWITCH_DOMAIN,
    SwitchEntity,
)
from homeassistant.const import (
    ATTR_DEVICE_CLASS,
    ATTR_ENTITY_ID,
    ATTR_UNIT_OF_MEASUREMENT,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import Context, HomeAssistant, State
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    llm,
    translation,
)
from homeassistant.helpers.template import Template
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import Input, parse_yaml
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.scenario import (
    DEMO_PASSWORD,
    DEMO_USER,
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator

from .conftest import TimeMachine, wait_until, wait_until_live
from .time_machine import PATIENCE, real_seconds

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "ecosystem.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")

NO_STATE = {STATE_UNKNOWN, STATE_UNAVAILABLE}

# What a car may get until the charger has obeyed, kWh.
A_FEW_SECONDS = 0.02

# What is named in the page and comes from elsewhere.
ELSEWHERE = {
    "input_boolean.peaqev_charges",
    "sensor.ev_smart_charging_charging",
    "switch.ev_smart_charging_smart_charging_activated",
    "binary_sensor.predbat_car_charging_slot",
    "input_boolean.turn_off",
    "input_boolean.turn_on",
    "input_boolean.zaptec_scheduled_charge_enabled",
    "input_datetime.zaptec_scheduled_start_time",
    "script.zaptec_cancel_scheduled_charging",
    "script.zaptec_schedule_charging",
    "script.zaptec_start_charging_now",
    "sensor.ev_energy_today",
    "sensor.your_electricity_price",
    "sensor.your_meter_current_l1",
    "sensor.your_meter_current_l2",
    "sensor.your_meter_current_l3",
    "switch.ev_smart_charging_ev_connected",
    # The action that a template completes.
    "switch.turn_",
}

# What is disabled by default, which the page says where it names it.
ENABLED_FIRST = {"button.garage_deauthorize_charging"}


@pytest.fixture
def scenario() -> Scenario:
    """Return the cloud of the page: a charger "Garage" at an installation "Home"."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=32,
                available_current=20,
                installation_type=1,
                chargers=(ChargerScenario(serial="ZAP000101", name="Garage"),),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name=DEMO_USER, password=DEMO_PASSWORD, roles={"Home": OWNER}
            ),
        ),
    )


@pytest.fixture
def sim(sim: Simulator) -> Simulator:
    """Return the cloud, with a session that ended before we came."""
    for charger in sim.chargers.values():
        charger.observe(StateId.COMPLETED_SESSION, json.dumps({"Energy": 12.3}))
    return sim


@pytest.fixture
def device(
    charger: Charger,
    live_entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
) -> dr.DeviceEntry:
    """Return the device of the charger."""
    device = device_registry.async_get_device_by_identifier(
        (DOMAIN, charger.id), live_entry.entry_id
    )
    assert device
    return device


def blocks(heading: str) -> list[Any]:
    """Return what is to be copied from a section of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [
        parse_yaml(block)
        for block in re.findall(
            r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL
        )
    ]


def table(heading: str) -> dict[str, str]:
    """Return what is to be entered, by field, from a section of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `?([\w ]+?)`? \| `([\w.]+)`", section, re.MULTILINE))


def entity_ids(value: object) -> set[str]:
    """Return the entities of the charger and the installation in a text."""
    return set(re.findall(r"\b[a-z_]+\.(?:garage|home)_[a-z0-9_]+", f"{value}"))


def state_of(hass: HomeAssistant, entity_id: str) -> State:
    """Return the state of an entity, which exists and has a value."""
    state = hass.states.get(entity_id)
    assert state, f"There is no {entity_id}"
    assert state.state not in NO_STATE, f"{entity_id} is {state.state}"
    return state


def number_of(hass: HomeAssistant, entity_id: str) -> float:
    """Return the state of an entity as a number."""
    return float(state_of(hass, entity_id).state)


async def wait_for(hass: HomeAssistant, entity_id: str, expected: str) -> None:
    """Wait until an entity has a state."""
    await wait_until(
        lambda: state_of(hass, entity_id).state == expected,
        lambda: f"{entity_id} is {hass.states.get(entity_id)}, not {expected}",
    )


async def call(
    hass: HomeAssistant, action: str, data: Mapping[str, object] | None = None
) -> None:
    """Call an action as a tool does, and wait until it is done."""
    domain, service = action.split(".")
    await hass.services.async_call(domain, service, dict(data or {}), blocking=True)


async def switch(hass: HomeAssistant, entity_id: str, service: str) -> None:
    """Turn a switch on or off."""
    await call(hass, f"{SWITCH_DOMAIN}.{service}", {ATTR_ENTITY_ID: entity_id})


def available_current(charger: Charger) -> tuple[float, ...] | None:
    """Return what the cloud holds for the charger's installation, A by phase."""
    return charger.installation.available_current


# evcc 0.313: charger/homeassistant.go, util/homeassistant/connection.go, and the
# template homeassistant.yaml. It asks the REST API, with a long-lived token.

EVCC = {
    "type": "template",
    "template": "homeassistant",
    "status": "sensor.garage_charger_mode",
    "statusB": "connected_requesting, connected_finished",
    "statusC": "connected_charging",
    "enabled": "switch.garage_charging",
    "enable": "switch.garage_charging",
    "setMaxCurrent": "number.garage_charger_max_current",
    "power": "sensor.garage_charge_power",
    "currentL1": "sensor.garage_current_phase_1",
    "currentL2": "sensor.garage_current_phase_2",
    "currentL3": "sensor.garage_current_phase_3",
    "voltageL1": "sensor.garage_voltage_phase_1",
    "voltageL2": "sensor.garage_voltage_phase_2",
    "voltageL3": "sensor.garage_voltage_phase_3",
}
EVCC_UNITS = {"power": "W"} | {
    f"{kind}L{phase}": unit
    for kind, unit in (("current", "A"), ("voltage", "V"))
    for phase in (1, 2, 3)
}
# The words that evcc knows by itself.
EVCC_WORDS = {
    **dict.fromkeys(("a", "disconnected", "not_plugged"), "A"),
    **dict.fromkeys(
        (
            "b",
            "connected",
            "plugged",
            "starting",
            "stopped",
            "paused",
            "complete",
            "charging_completed",
        ),
        "B",
    ),
    **dict.fromkeys(("c", "charging"), "C"),
}
EVCC_BOOLEANS = {"on": True, "off": False}


@dataclass(frozen=True)
class Evcc:
    """A charger as evcc drives it through Home Assistant's REST API."""

    client: TestClient[Any, Any]
    config: Mapping[str, str]

    @property
    def words(self) -> dict[str, str]:
        """Return the status of each word, with those of the configuration."""
        return EVCC_WORDS | {
            word.strip().lower(): status
            for status in "ABC"
            for word in self.config.get(f"status{status}", "").split(",")
        }

    async def read(self, parameter: str) -> dict[str, Any]:
        """Return the state of the entity of a parameter, which has a value."""
        response = await self.client.get(f"/api/states/{self.config[parameter]}")
        assert response.status == HTTPStatus.OK
        state: dict[str, Any] = await response.json()
        assert state["state"] not in NO_STATE, state
        return state

    async def post(self, action: str, data: Mapping[str, object]) -> HTTPStatus:
        """Call an action; return how Home Assistant answers."""
        response = await self.client.post(f"/api/services/{action}", json=data)
        return HTTPStatus(response.status)

    async def status(self) -> str:
        """Return A (no car), B (connected) or C (charging)."""
        return self.words[(await self.read("status"))["state"].lower()]

    async def enabled(self) -> bool:
        """Return whether charging is allowed."""
        return EVCC_BOOLEANS[(await self.read("enabled"))["state"]]

    async def value(self, parameter: str) -> float:
        """Return a measurement."""
        return float((await self.read(parameter))["state"])

    async def enable(self, service: str) -> None:
        """Allow charging, or do not."""
        data = {ATTR_ENTITY_ID: self.config["enable"]}
        assert await self.post(f"switch/{service}", data) == HTTPStatus.OK

    async def set_max_current(self, current: float) -> HTTPStatus:
        """Set the current, A; evcc sends a floating point number."""
        return await self.post(
            "number/set_value",
            {ATTR_ENTITY_ID: self.config["setMaxCurrent"], ATTR_VALUE: float(current)},
        )

    async def wait_for(self, status: str, *, enabled: bool) -> None:
        """Wait until evcc reads this."""
        end = real_seconds() + PATIENCE
        while (found := (await self.status(), await self.enabled())) != (
            status,
            enabled,
        ):
            assert real_seconds() < end, found
            await asyncio.sleep(0.005)


@pytest.fixture
async def evcc(
    hass: HomeAssistant,
    hass_client_no_auth: ClientSessionGenerator,
    hass_admin_user: MockUser,
    live_entry: MockConfigEntry,
) -> Evcc:
    """Return an evcc with the configuration of the page."""
    assert await async_setup_component(hass, "api", {})
    token = await hass.auth.async_create_refresh_token(
        hass_admin_user,
        client_name="evcc",
        token_type=TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN,
        access_token_expiration=timedelta(days=3650),
    )
    client = await hass_client_no_auth()
    client.session.headers[AUTHORIZATION] = (
        f"Bearer {hass.auth.async_create_access_token(token)}"
    )
    [document] = blocks("evcc")
    [config] = document["chargers"]
    assert config.pop("name")
    assert config.pop("uri")
    return Evcc(client, config)


async def test_evcc_reads_numbers_in_units_that_it_knows(evcc: Evcc) -> None:
    """Each parameter of the template names an entity with a number and its unit."""
    assert evcc.config == EVCC
    for parameter, unit in EVCC_UNITS.items():
        state = await evcc.read(parameter)
        assert state["attributes"][ATTR_UNIT_OF_MEASUREMENT] == unit
        assert await evcc.value(parameter) >= 0


async def test_evcc_knows_each_word_of_the_charger_mode(evcc: Evcc) -> None:
    """With the two lists of the page there is no mode that is an error to evcc."""
    options = (await evcc.read("status"))["attributes"][ATTR_OPTIONS]
    statuses = {word: evcc.words[word] for word in set(options) - {STATE_UNKNOWN}}
    assert statuses == {
        "disconnected": "A",
        "connected_requesting": "B",
        "connected_charging": "C",
        "connected_finished": "B",
    }


async def test_evcc_decides_from_before_the_car_comes_until_the_next_one(
    time_machine: TimeMachine, charger: Charger, evcc: Evcc
) -> None:
    """What evcc wrote is what it reads at each step, so it is never out of sync."""
    await evcc.wait_for("A", enabled=True)
    await evcc.enable(SERVICE_TURN_OFF)
    await evcc.wait_for("A", enabled=False)

    charger.plug_in(Car(capacity_kwh=1.0))
    await time_machine.travel(120)
    await evcc.wait_for("B", enabled=False)
    assert await evcc.value("power") == 0
    assert charger.power == 0

    await evcc.enable(SERVICE_TURN_ON)
    await time_machine.travel(90)
    await evcc.wait_for("C", enabled=True)
    assert await evcc.value("power") > 4000
    for phase in (1, 2, 3):
        assert await evcc.value(f"currentL{phase}") > 6
        assert 200 < await evcc.value(f"voltageL{phase}") < 250

    await evcc.enable(SERVICE_TURN_OFF)
    await time_machine.travel(60)
    await evcc.wait_for("B", enabled=False)
    await evcc.enable(SERVICE_TURN_OFF)
    await evcc.wait_for("B", enabled=False)

    await evcc.enable(SERVICE_TURN_ON)
    await time_machine.travel(90)
    await evcc.wait_for("C", enabled=True)
    await time_machine.travel(1800, step=10)
    # The car is full, and charging is still allowed.
    await evcc.wait_for("B", enabled=True)
    assert charger.session_energy == pytest.approx(1.0, abs=0.01)
    await evcc.enable(SERVICE_TURN_ON)
    await evcc.wait_for("B", enabled=True)

    await evcc.enable(SERVICE_TURN_OFF)
    charger.unplug()
    await time_machine.travel(60)
    await evcc.wait_for("A", enabled=False)
    charger.plug_in(Car())
    await time_machine.travel(120)
    await evcc.wait_for("B", enabled=False)
    assert charger.session_energy < A_FEW_SECONDS


async def test_evcc_would_see_a_session_stand_still_by_the_energy_meter(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger, evcc: Evcc
) -> None:
    """So the page leaves `energy` out, and evcc counts what the power says."""
    # The meter is reported at each full hour.
    await travel_to(time_machine, (dt_util.now().hour + 1) % 24)
    charger.plug_in(Car())
    await time_machine.travel(60)
    meter = number_of(hass, "sensor.garage_energy_meter")
    power = 0.0
    for _ in range(20):
        await time_machine.travel(30)
        power += await evcc.value("power")
    assert number_of(hass, "sensor.garage_energy_meter") == meter
    assert power * 30 / 3_600_000 == pytest.approx(charger.session_energy, rel=0.1)


@pytest.mark.parametrize("current", [6, 6.5, 10, 15.9, 16, 25.5, 32])
async def test_evcc_sets_whole_and_fractional_amperes(
    hass: HomeAssistant, charger: Charger, evcc: Evcc, current: float
) -> None:
    """The charger gets what evcc has sent, whatever its installation allows."""
    assert current > 20 or min(available_current(charger) or ()) == 20
    assert await evcc.set_max_current(current) == HTTPStatus.OK
    assert charger.max_current == current
    await wait_for(hass, evcc.config["setMaxCurrent"], str(float(current)))


async def test_evcc_is_refused_more_than_a_charger_is_built_for(
    charger: Charger, evcc: Evcc
) -> None:
    """The page says so, and the charger keeps what it had."""
    assert await evcc.set_max_current(40) == HTTPStatus.BAD_REQUEST
    assert charger.max_current == 32


# EV Smart Charging 2.6: coordinator.py, const.py, helpers/config_flow.py.

EV_SMART_CHARGING = {
    "Charger control switch entity": "switch.garage_charging",
    "Charging state entity": "binary_sensor.garage_charging",
}
EV_CONNECTED = "switch.ev_smart_charging_ev_connected"
EV_ACTIVE = "switch.ev_smart_charging_smart_charging_activated"
EV_CHARGING = "sensor.ev_smart_charging_charging"


async def test_ev_smart_charging_holds_the_car_until_its_hours(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Its switch is there without a car; it turns on again until charging is on."""
    fields = table("EV Smart Charging")
    assert fields == EV_SMART_CHARGING
    control, charging = fields.values()
    assert control.startswith("switch.")
    assert state_of(hass, charging).state == STATE_OFF
    # What it does when a car leaves.
    await switch(hass, control, SERVICE_TURN_OFF)
    await wait_for(hass, control, STATE_OFF)

    charger.plug_in(Car())
    await time_machine.travel(300)
    assert state_of(hass, charging).state == STATE_OFF
    assert charger.session_energy < A_FEW_SECONDS

    # What it does while it wants to charge and the charging state is not on.
    await switch(hass, control, SERVICE_TURN_ON)
    await switch(hass, control, SERVICE_TURN_ON)
    await time_machine.travel(90)
    await wait_for(hass, charging, STATE_ON)
    await switch(hass, control, SERVICE_TURN_OFF)
    await time_machine.travel(30)
    await wait_for(hass, charging, STATE_OFF)


class EvSmartCharging(SwitchEntity):
    """EV Smart Charging's switch "EV connected", and what it does with the charger."""

    _attr_should_poll = False
    _attr_is_on = False

    def __init__(self, control: str) -> None:
        """Initialize the tool; it has seen no car yet.

        Args:
            control: The switch of the charger.

        """
        self.entity_id = EV_CONNECTED
        self._control = control

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Take note of a car."""
        self._attr_is_on = True
        self.async_write_ha_state()

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Turn the charger off, because the car is gone, unless it is not active."""
        self._attr_is_on = False
        self.async_write_ha_state()
        if self.hass.states.is_state(EV_ACTIVE, STATE_ON):
            await self.charge(SERVICE_TURN_OFF)

    async def charge(self, service: str) -> None:
        """Show what it wants, and call the action, without waiting for it."""
        state = STATE_ON if service == SERVICE_TURN_ON else STATE_OFF
        self.hass.states.async_set(EV_CHARGING, state)
        await self.hass.services.async_call(
            SWITCH_DOMAIN, service, target={ATTR_ENTITY_ID: self._control}
        )

    async def start(self, hass: HomeAssistant, active: str = STATE_ON) -> None:
        """Add its entities."""
        assert await async_setup_component(hass, SWITCH_DOMAIN, {})
        hass.states.async_set(EV_ACTIVE, active)
        hass.states.async_set(EV_CHARGING, STATE_OFF)
        await hass.data[DATA_COMPONENT].async_add_entities([self])


@pytest.fixture
async def ev_smart_charging(hass: HomeAssistant) -> EvSmartCharging:
    """Return the tool, not started, and set up the automations of the page."""
    [config] = blocks("EV Smart Charging")
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    return EvSmartCharging(table("EV Smart Charging")["Charger control switch entity"])


@pytest.mark.parametrize("starts_first", [True, False])
async def test_ev_smart_charging_learns_of_the_car_in_any_order_of_start(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    entry: MockConfigEntry,
    set_up_live: Callable[[MockConfigEntry], Awaitable[None]],
    ev_smart_charging: EvSmartCharging,
    starts_first: bool,
) -> None:
    """Its switch may appear after Home Assistant's start, and before or after ours."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    if starts_first:
        await ev_smart_charging.start(hass)
    await set_up_live(entry)
    if not starts_first:
        await time_machine.travel(30)
        await ev_smart_charging.start(hass)
    await wait_for(hass, EV_CONNECTED, STATE_ON)
    assert (
        state_of(hass, "binary_sensor.garage_car_connected").attributes[
            ATTR_DEVICE_CLASS
        ]
        == "plug"
    )
    charger.unplug()
    await time_machine.travel(30)
    await wait_for(hass, EV_CONNECTED, STATE_OFF)
    await wait_for(hass, "switch.garage_charging", STATE_OFF)
    charger.plug_in(Car())
    await time_machine.travel(30)
    await wait_for(hass, EV_CONNECTED, STATE_ON)
    assert charger.session_energy < A_FEW_SECONDS


async def become_unavailable(
    hass: HomeAssistant, sim: Simulator, time_machine: TimeMachine
) -> None:
    """Let the cloud be out of reach until our switch shows it."""
    sim.rest.fail("/", fault="reset")
    sim.bus.drop_connections()
    for _ in range(60):
        await time_machine.travel(30)
        if hass.states.is_state("switch.garage_charging", STATE_UNAVAILABLE):
            return
    pytest.fail("The switch is still available")


@pytest.mark.parametrize("away", ["outage", "reload"])
@pytest.mark.parametrize("wanted", [SERVICE_TURN_OFF, SERVICE_TURN_ON])
async def test_a_command_of_ev_smart_charging_that_was_lost_is_repeated(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    ev_smart_charging: EvSmartCharging,
    away: str,
    wanted: str,
) -> None:
    """Home Assistant sends no command to a switch that is not available."""
    await ev_smart_charging.start(hass)
    charger.plug_in(Car())
    await time_machine.travel(60)
    if wanted == SERVICE_TURN_ON:
        await ev_smart_charging.charge(SERVICE_TURN_OFF)
        await time_machine.travel(30)
    if away == "outage":
        await become_unavailable(hass, sim, time_machine)
    else:
        await hass.config_entries.async_unload(live_entry.entry_id)
    await ev_smart_charging.charge(wanted)
    await hass.async_block_till_done()
    if away == "outage":
        sim.rest.heal()
        await time_machine.travel(900, step=10)
    else:
        await hass.config_entries.async_setup(live_entry.entry_id)
        await wait_until_live(hass, live_entry)
        await time_machine.travel(60)
    is_on = wanted == SERVICE_TURN_ON
    await wait_for(hass, "switch.garage_charging", STATE_ON if is_on else STATE_OFF)
    assert charger.final_stop is not is_on


async def test_ev_smart_charging_that_is_not_active_is_left_alone(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    ev_smart_charging: EvSmartCharging,
) -> None:
    """It wants nothing then, although its sensor is off."""
    await ev_smart_charging.start(hass, active=STATE_OFF)
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(60)
    await wait_for(hass, "switch.garage_charging", STATE_ON)


# EVSE Load Balancer 1.0.9: chargers/zaptec_charger.py, ha_device.py, coordinator.py.

EVSE_LOAD_BALANCER = {
    "charger_max_current": "number.garage_charger_max_current",
    "available_current": "sensor.garage_available_current",
    "charger_operation_mode": "sensor.garage_charger_mode",
}


@pytest.fixture
def find(
    entity_registry: er.EntityRegistry, device: dr.DeviceEntry
) -> Callable[[str], er.RegistryEntry]:
    """Return what finds the first entity of the charger with a translation key."""

    def first(translation_key: str) -> er.RegistryEntry:
        return next(
            entity
            for entity in entity_registry.entities.get_entries_for_device_id(
                device.id, include_disabled_entities=True
            )
            if entity.translation_key == translation_key
        )

    return first


async def test_the_evse_load_balancer_finds_its_entities(
    device: dr.DeviceEntry,
    entity_registry: er.EntityRegistry,
    find: Callable[[str], er.RegistryEntry],
) -> None:
    """On the charger's device, whatever a person has done to them before."""
    assert {domain for domain, _ in device.identifiers} == {DOMAIN}
    assert table("EVSE Load Balancer") == EVSE_LOAD_BALANCER
    for translation_key, entity_id in EVSE_LOAD_BALANCER.items():
        assert find(translation_key).entity_id == entity_id
        assert not find(translation_key).disabled
        # A change moves it to the end of the device's entities.
        entity_registry.async_update_entity(entity_id, icon="mdi:ev-station")
        assert find(translation_key).entity_id == entity_id


async def test_the_evse_load_balancer_reads_the_charger_mode(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    find: Callable[[str], er.RegistryEntry],
) -> None:
    """The words of its status map."""
    entity_id = find("charger_operation_mode").entity_id
    await wait_for(hass, entity_id, "disconnected")
    charger.plug_in(Car(capacity_kwh=0.5))
    await wait_for(hass, entity_id, "connected_requesting")
    await time_machine.travel(60)
    await wait_for(hass, entity_id, "connected_charging")
    await time_machine.travel(1200, step=10)
    await wait_for(hass, entity_id, "connected_finished")


async def test_the_evse_load_balancer_sets_and_reads_its_limits(
    hass: HomeAssistant,
    charger: Charger,
    live_entry: MockConfigEntry,
    find: Callable[[str], er.RegistryEntry],
) -> None:
    """It writes whole amperes, and its upper limit is that of the installation."""
    limit = find("charger_max_current").entity_id
    for current in (16, 6, 0, 20):
        await call(
            hass,
            f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
            {ATTR_ENTITY_ID: limit, ATTR_VALUE: current},
        )
        await wait_until(lambda: int(number_of(hass, limit)) == charger.max_current)
        assert charger.max_current == current

    upper = find("available_current").entity_id
    assert int(number_of(hass, upper)) == 20
    await call(
        hass,
        f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
        {ATTR_ENTITY_ID: "number.home_available_current", ATTR_VALUE: 13},
    )
    assert int(number_of(hass, upper)) == 13


@pytest.mark.parametrize("current", [5, 3, 2, 1])
async def test_the_evse_load_balancer_pauses_a_charger_when_the_fuse_is_overloaded(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    find: Callable[[str], er.RegistryEntry],
    current: int,
) -> None:
    """It asks for less than a car can use, and raises the current when it may."""
    mode = find("charger_operation_mode").entity_id
    limit = find("charger_max_current").entity_id

    async def set_current(value: int) -> None:
        await call(
            hass,
            f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
            {ATTR_ENTITY_ID: limit, ATTR_VALUE: value},
        )

    charger.plug_in(Car())
    await time_machine.travel(90)
    await wait_for(hass, mode, "connected_charging")
    for value in (13, current):
        await set_current(value)
        await time_machine.travel(30)
        assert int(number_of(hass, limit)) == value
    assert charger.power == 0
    # It goes on only while a car is connected that may charge.
    assert state_of(hass, mode).state == "connected_requesting"
    await wait_for(hass, "switch.garage_charging", STATE_ON)
    await set_current(16)
    await time_machine.travel(60)
    await wait_for(hass, mode, "connected_charging")
    assert charger.power > 0


@pytest.fixture
def all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable what is disabled by default."""
    monkeypatch.setattr(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    )


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("number.garage_charger_min_current", "min_current_too_low"),
        ("number.garage_offline_current", "offline_current_invalid"),
        ("number.home_available_current", "current_too_low"),
    ],
)
@pytest.mark.parametrize("current", [1, 5, 5.9])
@pytest.mark.usefixtures("all_enabled", "live_entry")
async def test_other_currents_of_less_than_a_car_can_use_are_refused(
    hass: HomeAssistant, sim: Simulator, number: str, reason: str, current: float
) -> None:
    """Each with a sentence of its own, because each of them means something else."""
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await call(
            hass,
            f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
            {ATTR_ENTITY_ID: number, ATTR_VALUE: current},
        )
    assert raised.value.translation_key == reason
    assert not [item for item in sim.rest.requests if item.method == "POST"]


# peaqev 3.7.5: peaqservice/chargertypes/types/zaptec.py and outlet.py, and
# peaqservice/chargecontroller/charger/charger.py, which writes a state and calls nothing.

PEAQEV = {
    "Power switch": "input_boolean.peaqev_charges",
    "Power meter": "sensor.garage_charge_power",
}


def peaqev_writes(hass: HomeAssistant, power_switch: str, state: str) -> None:
    """Turn an outlet on or off as peaqev does."""
    hass.states.async_set(power_switch, state)


async def test_peaqev_drives_the_charger_through_a_helper(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The automation of the page carries over what peaqev writes."""
    fields = table("peaqev")
    assert fields == PEAQEV
    config, _ = blocks("peaqev")
    for domain in config:
        assert await async_setup_component(hass, domain, config)
    charger.plug_in(Car())
    await time_machine.travel(90)
    await wait_until(lambda: number_of(hass, fields["Power meter"]) > 4000)
    for _ in range(2):
        peaqev_writes(hass, fields["Power switch"], STATE_ON)
        await time_machine.travel(60)
        await wait_until(lambda: number_of(hass, fields["Power meter"]) > 4000)
        peaqev_writes(hass, fields["Power switch"], STATE_OFF)
        await time_machine.travel(60)
        await wait_until(lambda: number_of(hass, fields["Power meter"]) == 0)
        assert charger.power == 0
    # What it writes while the cloud is out of reach is carried over afterwards.
    await become_unavailable(hass, sim, time_machine)
    peaqev_writes(hass, fields["Power switch"], STATE_ON)
    await time_machine.travel(30)
    sim.rest.heal()
    await time_machine.travel(900, step=10)
    assert charger.power > 0


async def test_peaqev_does_not_stop_a_charger_by_our_switch(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """It overwrites what the switch shows, and sends nothing; so says the page."""
    assert "do not choose `switch.garage_charging` there" in PAGE
    charger.plug_in(Car())
    await time_machine.travel(90)
    sim.rest.clear()
    peaqev_writes(hass, "switch.garage_charging", STATE_OFF)
    await time_machine.travel(60)
    assert not [item for item in sim.rest.requests if item.method == "POST"]
    assert charger.power > 0


async def test_peaqevs_actions_take_the_vendors_ids(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The GUID of the charger, or of the installation."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    await wait_for(hass, "sensor.garage_charger_mode", "connected_charging")
    await call(hass, f"{DOMAIN}.stop_charging", {"charger_id": charger.id})
    await time_machine.travel(30)
    await wait_for(hass, "sensor.garage_charger_mode", "connected_finished")
    await call(hass, f"{DOMAIN}.resume_charging", {"charger_id": charger.id})
    await time_machine.travel(30)
    await wait_for(hass, "sensor.garage_charger_mode", "connected_charging")
    await call(
        hass,
        f"{DOMAIN}.limit_current",
        {"installation_id": charger.installation.id, "available_current": 10},
    )
    assert available_current(charger) == (10, 10, 10)
    await call(hass, f"{DOMAIN}.restart_charger", {"charger_id": charger.id})
    await time_machine.travel(5)
    assert not charger.is_online
    await wait_for(hass, "binary_sensor.garage_online", STATE_OFF)
    await time_machine.travel(60)
    await wait_for(hass, "binary_sensor.garage_online", STATE_ON)


async def test_the_scripts_for_peaqev_find_the_ids(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """They are attributes of the charger's binary sensor."""
    _, config = blocks("peaqev")
    assert await async_setup_component(hass, SCRIPT_DOMAIN, config)
    charger.plug_in(Car())
    await time_machine.travel(60)
    await call(hass, "script.pause_the_garage")
    await time_machine.travel(30)
    await wait_for(hass, "switch.garage_charging", STATE_OFF)
    await call(hass, "script.resume_the_garage")
    await time_machine.travel(30)
    await wait_for(hass, "switch.garage_charging", STATE_ON)
    await call(hass, "script.limit_the_home")
    assert available_current(charger) == (10, 10, 10)


# Predbat 8.51: docs/car-charging.md, its apps.yaml templates.

PREDBAT = {
    "num_cars": 1,
    "car_charging_planned": ["binary_sensor.garage_car_connected"],
    "car_charging_energy": "sensor.ev_energy_today",
    "car_charging_power": "sensor.garage_charge_power",
}
PREDBAT_PLANNED = {"yes", "on", "true", "connected", "charging", "paused", "waiting"}
PREDBAT_SLOT = "binary_sensor.predbat_car_charging_slot"


@pytest.mark.parametrize("expected_lingering_timers", [True])
async def test_predbat_understands_the_car_and_counts_its_energy(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Its words come with the car, and the day's energy is that of the charge."""
    apps, home_assistant = blocks("Predbat")
    config = apps["pred_bat"]
    assert config == PREDBAT
    [planned] = config["car_charging_planned"]
    energy, power = config["car_charging_energy"], config["car_charging_power"]
    assert await async_setup_component(hass, "utility_meter", home_assistant)
    await hass.async_block_till_done()
    meter = state_of(hass, "sensor.garage_energy_meter")
    assert meter.attributes[ATTR_UNIT_OF_MEASUREMENT] == "kWh"
    assert meter.attributes[ATTR_STATE_CLASS] == "total_increasing"
    assert state_of(hass, power).attributes[ATTR_UNIT_OF_MEASUREMENT] == "W"
    assert state_of(hass, planned).state.lower() not in PREDBAT_PLANNED

    charger.plug_in(Car(capacity_kwh=1.5))
    await time_machine.travel(60)
    await wait_until(lambda: state_of(hass, planned).state.lower() in PREDBAT_PLANNED)
    assert number_of(hass, power) > 0
    await time_machine.travel(1500, step=10)
    assert state_of(hass, planned).state.lower() in PREDBAT_PLANNED
    charger.unplug()
    await time_machine.travel(60)
    await wait_until(lambda: number_of(hass, energy) == pytest.approx(1.5, abs=0.02))
    assert state_of(hass, energy).attributes[ATTR_UNIT_OF_MEASUREMENT] == "kWh"


@pytest.fixture
async def predbat(hass: HomeAssistant, live_entry: MockConfigEntry) -> None:
    """Set up the automation of the page, in a slot in which the car may charge."""
    _, config = blocks("Predbat")
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    hass.states.async_set(PREDBAT_SLOT, STATE_ON)


@pytest.mark.usefixtures("predbat")
async def test_predbats_slot_is_when_the_car_charges(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger
) -> None:
    """Its plan may begin before the car comes, and while it charges."""
    hass.states.async_set(PREDBAT_SLOT, STATE_OFF)
    await hass.async_block_till_done()
    await wait_for(hass, "switch.garage_charging", STATE_OFF)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert charger.power == 0
    for _ in range(2):
        hass.states.async_set(PREDBAT_SLOT, STATE_ON)
        await time_machine.travel(60)
        await wait_for(hass, "binary_sensor.garage_charging", STATE_ON)
        hass.states.async_set(PREDBAT_SLOT, STATE_OFF)
        await time_machine.travel(60)
        await wait_for(hass, "binary_sensor.garage_charging", STATE_OFF)


@pytest.mark.usefixtures("predbat")
@pytest.mark.parametrize("slot", [STATE_OFF, STATE_ON])
async def test_predbat_decides_on_a_car_that_returns(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger, slot: str
) -> None:
    """The slot does not change when the car comes, and counts for it all the same."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    hass.states.async_set(PREDBAT_SLOT, STATE_OFF)
    await time_machine.travel(60)
    charger.unplug()
    await time_machine.travel(60)
    hass.states.async_set(PREDBAT_SLOT, slot)
    await hass.async_block_till_done()
    # Another program has changed the switch meanwhile.
    other = SERVICE_TURN_ON if slot == STATE_OFF else SERVICE_TURN_OFF
    await switch(hass, "switch.garage_charging", other)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert (charger.power > 0) is (slot == STATE_ON)


@pytest.mark.usefixtures("predbat")
@pytest.mark.parametrize("slot", [STATE_UNAVAILABLE, STATE_UNKNOWN])
async def test_predbat_that_is_not_running_changes_nothing(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger, slot: str
) -> None:
    """Without a plan, the car charges as it did."""
    hass.states.async_set(PREDBAT_SLOT, slot)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert charger.power > 0


# EV Charger Card, as of November 2026: src/templates/const_zaptec.ts, src/editor.ts, src/charger-card.ts.

CHARGER_CARD_MAIN = "binary_sensor.garage_charger"
CHARGER_CARD_BASE = "_charger"
# What of its built-in template this integration is to have, by the prefix.
CHARGER_CARD_TEMPLATE = (
    "binary_sensor.{}_online",
    "binary_sensor.{}_permanent_cable_lock",
    "sensor.{}_charge_power",
    "sensor.{}_charger_mode",
    "sensor.{}_completed_session_energy",
    "sensor.{}_energy_meter",
    "sensor.{}_voltage_phase_1",
)


async def test_the_charger_cards_own_template_finds_its_entities(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    device: dr.DeviceEntry,
) -> None:
    """All names follow from that of the charger's binary sensor."""
    prefix = CHARGER_CARD_MAIN.split(".")[1].replace(CHARGER_CARD_BASE, "")
    main = state_of(hass, CHARGER_CARD_MAIN)
    assert main.attributes["name"] == "Garage"
    assert main.attributes["installation_name"] == "Home"
    entity = entity_registry.async_get(CHARGER_CARD_MAIN)
    assert entity
    assert entity.device_id == device.id
    for template in CHARGER_CARD_TEMPLATE:
        assert hass.states.get(template.format(prefix)), template


async def test_the_charger_card_shows_and_does_what_the_page_says(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Its texts know each mode, its buttons work, and its list sets the current."""
    [card] = blocks("EV Charger Card")
    details = card["details"]
    # Anything else shows a stray 0 below the mode: the card prints a text that is empty.
    assert details["substatus"] == " "
    assert set(details["statetext"]) == set(
        state_of(hass, card["entity"]).attributes[ATTR_OPTIONS]
    )
    assert entity_ids(card) - set(hass.states.async_entity_ids()) == set()
    stop, resume = details["toolbar_left"]["default"]
    [restart] = details["toolbar_right"]["default"]
    charger.plug_in(Car())
    await time_machine.travel(60)
    await call(hass, stop["service"], stop["service_data"])
    await time_machine.travel(30)
    await wait_for(hass, card["entity"], "connected_finished")
    await call(hass, resume["service"], resume["service_data"])
    await time_machine.travel(30)
    await wait_for(hass, card["entity"], "connected_charging")

    [limit] = details["group1"]
    for current in details["currentlimits"]:
        # The card replaces a text by a text.
        await call(
            hass,
            limit["service"],
            {
                key: value.replace("#SERVICEVAL#", str(current))
                for key, value in limit["service_data"].items()
            },
        )
        assert charger.max_current == current
    await wait_for(hass, limit["entity_id"], "32.0")

    await call(hass, restart["service"], restart["service_data"])
    await time_machine.travel(5)
    assert not charger.is_online


# Zaptec Go 2 Charger Card, as of November 2026: src/zaptec-charger-card.js.

ZAPTEC_CARD = {
    "entity_charger_mode": "sensor.garage_charger_mode",
    "entity_charging_switch": "switch.garage_charging",
    "entity_deauthorize_button": "button.garage_deauthorize_charging",
    "entity_session_energy": "sensor.garage_session_total_charge",
    "entity_power": "sensor.garage_charge_power",
    "entity_current": "sensor.garage_current_phase_1",
}
ZAPTEC_CARD_UNITS = {
    "entity_session_energy": "kWh",
    "entity_power": "W",
    "entity_current": "A",
}


async def test_the_zaptec_card_reads_its_entities(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """It converts the power by its unit, and knows four words of the mode."""
    card, _ = blocks("Zaptec Go 2 Charger Card")
    assert {key: card[key] for key in ZAPTEC_CARD} == ZAPTEC_CARD
    assert "entity_authorize_button" not in card
    # As the page says: this one is disabled by default.
    entity_registry.async_update_entity(
        card["entity_deauthorize_button"], disabled_by=None
    )
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    mode = card["entity_charger_mode"]
    await wait_for(hass, mode, "disconnected")
    charger.plug_in(Car(capacity_kwh=0.5))
    await wait_for(hass, mode, "connected_requesting")
    await time_machine.travel(60)
    await wait_for(hass, mode, "connected_charging")
    for key, unit in ZAPTEC_CARD_UNITS.items():
        assert state_of(hass, card[key]).attributes[ATTR_UNIT_OF_MEASUREMENT] == unit
        assert number_of(hass, card[key]) >= 0
    # Its button "Stop charging".
    await switch(hass, card["entity_charging_switch"], SERVICE_TURN_OFF)
    await time_machine.travel(30)
    await wait_for(hass, mode, "connected_finished")
    await call(
        hass,
        f"{BUTTON_DOMAIN}.{SERVICE_PRESS}",
        {ATTR_ENTITY_ID: card["entity_deauthorize_button"]},
    )
    assert not charger.is_authorized


@pytest.mark.parametrize("current", [6, 11, 16])
async def test_the_zaptec_cards_slider_limits_the_installation(
    hass: HomeAssistant, charger: Charger, device: dr.DeviceEntry, current: int
) -> None:
    """It sends the device that was chosen: the charger, or its installation."""
    assert device.via_device_id
    for device_id in (device.id, device.via_device_id):
        await call(
            hass,
            f"{DOMAIN}.limit_current",
            {"device_id": device_id, "available_current": current},
        )
        assert available_current(charger) == (current,) * 3


@pytest.mark.parametrize("expected_lingering_timers", [True])
async def test_the_zaptec_cards_scripts_hold_the_car_until_the_scheduled_start(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The helpers, scripts and automation of the page, with the switch alone."""
    card, config = blocks("Zaptec Go 2 Charger Card")
    for domain in config:
        assert await async_setup_component(hass, domain, config)
    await hass.async_block_till_done()
    scheduled = card["entity_schedule_enabled"]
    assert hass.states.get(card["entity_schedule_time"])
    await call(hass, card["script_schedule"])
    await wait_for(hass, scheduled, STATE_ON)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert charger.session_energy < A_FEW_SECONDS

    [automation] = hass.states.async_entity_ids(AUTOMATION_DOMAIN)
    run = {ATTR_ENTITY_ID: automation, "skip_condition": False}
    await call(hass, "automation.trigger", run)
    await time_machine.travel(60)
    await wait_for(hass, card["entity_charger_mode"], "connected_charging")
    await wait_for(hass, scheduled, STATE_OFF)

    await call(hass, card["script_schedule"])
    await call(hass, card["script_cancel_schedule"])
    await wait_for(hass, scheduled, STATE_OFF)
    await time_machine.travel(30)
    await call(hass, "automation.trigger", run)
    await time_machine.travel(60)
    await wait_for(hass, card["entity_charger_mode"], "connected_finished")
    await call(hass, card["script_start_now"])
    await time_machine.travel(60)
    await wait_for(hass, card["entity_charger_mode"], "connected_charging")


# The blueprint, as published in November 2026: zaptec/charger-balancing-blueprint.yaml.

BLUEPRINT = {
    "number.*available_current": "number.home_available_current",
    "sensor.*_charger_mode": "sensor.garage_charger_mode",
    "binary_sensor.*_installation": "binary_sensor.home_installation",
}
BLUEPRINT_DEVICE = "{{ integration_entities('zaptec') | first | device_id }}"
# Whether the last change is so long ago that the next may come.
BLUEPRINT_MAY_CHANGE = """
    {% set updated_on = as_datetime(state_attr('INSTALLATION', 'updated_on')) %}
    {{ utcnow().replace(tzinfo=None) - updated_on > timedelta(minutes=5) }}
""".replace("INSTALLATION", BLUEPRINT["binary_sensor.*_installation"])


def rendered(hass: HomeAssistant, template: str) -> Any:
    """Return what Home Assistant makes of a template."""
    return Template(template.strip(), hass).async_render()


# Its published inputs, and whether each has a default.
BLUEPRINT_INPUTS = {
    "input_main_current_l1": False,
    "input_main_current_l2": False,
    "input_main_current_l3": False,
    "input_main_fuse": True,
    "input_charger_fuse": True,
}


def test_the_blueprint_accepts_the_inputs_of_the_page() -> None:
    """Home Assistant refuses an automation in which one is missing."""
    [config] = blocks("Load-balancing blueprint")
    [automation] = config["automation"]
    published = Blueprint(
        {
            "blueprint": {
                "name": "Zaptec EV Charger Balancing",
                "domain": AUTOMATION_DOMAIN,
                "input": {
                    name: {"default": 16} if has_default else {}
                    for name, has_default in BLUEPRINT_INPUTS.items()
                },
            },
            "variables": {name: Input(name) for name in BLUEPRINT_INPUTS},
        },
        schema=BLUEPRINT_SCHEMA,
    )
    inputs = BlueprintInputs(published, automation)
    inputs.validate()
    assert set(inputs.inputs) == set(BLUEPRINT_INPUTS)
    used = inputs.async_substitute()["variables"]
    assert used["input_main_fuse"] == 20
    assert used["input_charger_fuse"] == 16
    # A fuse of the charger that is not below the main one makes it do nothing.
    assert used["input_charger_fuse"] < used["input_main_fuse"]


@pytest.mark.parametrize(("pattern", "entity_id"), BLUEPRINT.items())
async def test_the_blueprint_finds_its_entities(
    hass: HomeAssistant, live_entry: MockConfigEntry, pattern: str, entity_id: str
) -> None:
    """Each of its patterns fits one entity, so the first is the right one."""
    assert rendered(
        hass,
        f"{{{{ integration_entities('zaptec') | select('match', '{pattern}') | list }}}}",
    ) == [entity_id]
    assert entity_id in PAGE
    state_of(hass, entity_id)


async def test_the_blueprint_limits_the_current_with_the_first_device(
    hass: HomeAssistant, charger: Charger, live_entry: MockConfigEntry
) -> None:
    """Whether the first entity is of the installation or of a charger."""
    await call(
        hass,
        f"{DOMAIN}.limit_current",
        {"device_id": rendered(hass, BLUEPRINT_DEVICE), "available_current": 14},
    )
    assert available_current(charger) == (14, 14, 14)
    number = BLUEPRINT["number.*available_current"]
    assert number_of(hass, number) == 14
    # What a version of it does instead.
    await call(
        hass,
        f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
        {ATTR_ENTITY_ID: number, ATTR_VALUE: 0},
    )
    assert available_current(charger) == (0, 0, 0)


async def test_the_blueprint_limits_the_current_of_any_zaptec_device(
    hass: HomeAssistant,
    charger: Charger,
    live_entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
) -> None:
    """Which entity comes first is chance."""
    devices = dr.async_entries_for_config_entry(device_registry, live_entry.entry_id)
    assert len(devices) == 2
    for device, current in zip(devices, (14, 12), strict=True):
        await call(
            hass,
            f"{DOMAIN}.limit_current",
            {"device_id": device.id, "available_current": current},
        )
        assert available_current(charger) == (current,) * 3


async def test_the_blueprint_waits_five_minutes_after_a_change(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The time of the last change can be taken from the time without a zone."""
    await time_machine.travel(360, step=30)
    assert rendered(hass, BLUEPRINT_MAY_CHANGE) is True
    await call(
        hass,
        f"{DOMAIN}.limit_current",
        {"device_id": rendered(hass, BLUEPRINT_DEVICE), "available_current": 14},
    )
    assert rendered(hass, BLUEPRINT_MAY_CHANGE) is False
    await time_machine.travel(240, step=30)
    assert rendered(hass, BLUEPRINT_MAY_CHANGE) is False
    await time_machine.travel(90, step=30)
    assert rendered(hass, BLUEPRINT_MAY_CHANGE) is True


async def test_the_blueprint_may_call_as_often_as_it_does(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
) -> None:
    """The same current again is no error, and no request to the cloud."""
    data = {"device_id": rendered(hass, BLUEPRINT_DEVICE), "available_current": 14}
    for _ in range(12):
        await call(hass, f"{DOMAIN}.limit_current", data)
        await time_machine.travel(60, step=20)
    assert [record.path for record in sim.rest.requests if record.method == "POST"] == [
        "/oauth/token",
        f"/api/installation/{next(iter(sim.installations))}/update",
    ]


async def test_the_blueprint_may_raise_the_current_with_an_override(
    hass: HomeAssistant, charger: Charger, live_entry: MockConfigEntry
) -> None:
    """As the page says; without one, a rise waits and is no error."""
    data = {"installation_id": charger.installation.id}
    await call(hass, f"{DOMAIN}.limit_current", data | {"available_current": 8})
    await call(hass, f"{DOMAIN}.limit_current", data | {"available_current": 12})
    assert available_current(charger) == (8, 8, 8)
    await call(
        hass,
        f"{DOMAIN}.limit_current",
        data | {"available_current": 12, "override": True},
    )
    assert available_current(charger) == (12, 12, 12)


# Assist and MCP, in Home Assistant 2026.10: components/conversation, mcp_server, which
# offers the tools of helpers/llm.py.


@pytest.fixture
async def exposed(hass: HomeAssistant, live_entry: MockConfigEntry) -> dict[str, str]:
    """Expose the switch and the binary sensor; return what to say, by entity."""
    for domain in ("homeassistant", "intent", "conversation"):
        assert await async_setup_component(hass, domain, {})
    section = PAGE.split("\n## Assist and MCP\n")[1].split("\n## ")[0]
    sentences = {
        entity_id: sentence
        for sentence, entity_id in re.findall(r"\| \"(.+?)\" \| `(.+?)` \|", section)
    }
    assert list(sentences) == [
        "switch.garage_charging",
        "binary_sensor.garage_charging",
    ]
    for entity_id in sentences:
        async_expose_entity(hass, "conversation", entity_id, True)
    return sentences


async def say(hass: HomeAssistant, sentence: str) -> tuple[str, str]:
    """Say something to Assist; return the type of its answer, and the answer."""
    answer = await async_converse(hass, sentence, None, Context())
    return answer.response.response_type.value, str(
        answer.response.speech["plain"]["speech"]
    )


async def test_assist_finds_the_switch_beside_the_binary_sensor(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    exposed: dict[str, str],
) -> None:
    """Two entities of one name are an error to it."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    kind, answer = await say(hass, exposed["switch.garage_charging"])
    assert kind == "action_done", answer
    await time_machine.travel(30)
    assert charger.final_stop
    kind, answer = await say(
        hass, exposed["switch.garage_charging"].replace("off", "on")
    )
    assert kind == "action_done", answer
    await time_machine.travel(60)
    assert charger.power > 0
    kind, answer = await say(hass, exposed["binary_sensor.garage_charging"])
    assert kind == "query_answer", answer
    assert answer.startswith("Yes"), answer


async def test_an_mcp_client_finds_the_switch_beside_the_binary_sensor(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    exposed: dict[str, str],
) -> None:
    """A language model calls the tool with the name that it was shown."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    api = await llm.async_get_api(
        hass,
        llm.LLM_API_ASSIST,
        llm.LLMContext(
            platform="mcp_server",
            context=Context(),
            language="*",
            assistant="conversation",
            device_id=None,
        ),
    )
    names = [hass.states.get(entity_id) for entity_id in exposed]
    shown = [state.name for state in names if state]
    assert len(set(shown)) == len(exposed)
    [tool] = [tool for tool in api.tools if tool.name.endswith("HassTurnOff")]
    answer = await api.async_call_tool(
        llm.ToolInput(tool_name=tool.name, tool_args={"name": shown[0]})
    )
    assert not answer.error
    assert answer.data["response_type"] == "action_done"
    await time_machine.travel(30)
    assert charger.final_stop


# Scenes, in Home Assistant 2026.10: components/scene, components/number/reproduce_state.py.


@pytest.fixture
async def scenes(hass: HomeAssistant, live_entry: MockConfigEntry) -> None:
    """Set up the scene of the page."""
    [config] = blocks("Scenes")
    for domain in ("homeassistant", "scene"):
        assert await async_setup_component(hass, domain, config)
    await hass.async_block_till_done()
    assert hass.states.async_entity_ids("scene") == ["scene.guests_are_charging"]


@pytest.mark.usefixtures("scenes")
@pytest.mark.parametrize("limit", [25, 16])
async def test_a_scene_sets_what_the_charger_is_built_for(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger, limit: float
) -> None:
    """An installation of less, or a maximum of less, is no limit of the range."""
    charger.installation.max_current = limit
    charger.observe(StateId.INSTALLATION_MAX_LIMIT, limit)
    charger.set_max_current(limit)
    await time_machine.travel(30)
    await switch(hass, "switch.garage_charging", SERVICE_TURN_OFF)
    await call(hass, "scene.turn_on", {ATTR_ENTITY_ID: "scene.guests_are_charging"})
    assert charger.max_current == 32
    await wait_for(hass, "switch.garage_charging", STATE_ON)


@pytest.mark.parametrize("current", [32, 25, 6, 3, 0])
async def test_a_scene_remembers_a_maximum_and_sets_it_again(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    current: float,
) -> None:
    """Whatever it was, and whatever it is when the scene is turned on."""
    assert await async_setup_component(hass, "scene", {})
    charger.set_max_current(current)
    await time_machine.travel(10)
    await call(
        hass,
        "scene.create",
        {
            "scene_id": "before",
            "snapshot_entities": ["number.garage_charger_max_current"],
        },
    )
    charger.set_max_current(10)
    await time_machine.travel(10)
    await call(hass, "scene.turn_on", {ATTR_ENTITY_ID: "scene.before"})
    assert charger.max_current == current


# The README's own examples, in Home Assistant 2026.10.


async def travel_to(time_machine: TimeMachine, hour: int) -> None:
    """Let time pass until some minutes after an hour of the day."""
    now = dt_util.now()
    moment = now.replace(hour=hour, minute=2, second=0)
    await time_machine.travel((moment - now).total_seconds() % 86400, step=60)


@pytest.mark.parametrize("expected_lingering_timers", [True])
async def test_the_readmes_night_is_the_only_time_to_charge(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """A car that comes during the day, after a paused one has left, waits."""
    section = README.split("\nCharge at night only")[1]
    [example] = re.findall(r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[
        :1
    ]
    config = {AUTOMATION_DOMAIN: [parse_yaml(example)]}
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    await travel_to(time_machine, 23)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert charger.power > 0
    await travel_to(time_machine, 6)
    assert charger.power == 0
    for _ in range(2):
        charger.unplug()
        await time_machine.travel(3600, step=60)
        charger.plug_in(Car())
        await time_machine.travel(30)
        await time_machine.travel(3600, step=60)
        assert charger.session_energy < A_FEW_SECONDS
    await travel_to(time_machine, 22)
    await time_machine.travel(120)
    assert charger.power > 0


# The page.


async def test_all_that_the_page_names_exists(
    hass: HomeAssistant,
    live_entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """Entities, actions and attributes: a page that went stale fails here."""
    domains = (
        "automation|binary_sensor|button|input_boolean|input_datetime|number|script"
        "|sensor|switch|update|zaptec"
    )
    names = set(re.findall(rf"(?<![\w./-])(?:{domains})\.[a-z0-9_]+\b(?![./])", PAGE))
    entities = set(hass.states.async_entity_ids())
    actions = {
        f"{domain}.{service}"
        for domain, services in hass.services.async_services().items()
        for service in services
    }
    assert names - entities - actions - ELSEWHERE == ENABLED_FIRST
    for entity_id in ENABLED_FIRST:
        assert entity_registry.async_is_registered(entity_id)
        assert f"Enable `{entity_id}` first" in PAGE
    assert names >= ELSEWHERE
    attributes = set(
        re.findall(r"state_attr\('([\w.]+)', '(\w+)'\)", PAGE)
        + re.findall(r"entity_id: ([\w.]+)\n +attribute: (\w+)", PAGE)
    )
    assert attributes == {
        ("binary_sensor.garage_charger", "id"),
        ("binary_sensor.garage_charger", "installation_id"),
        ("binary_sensor.garage_charger", "installation_name"),
        ("binary_sensor.garage_charger", "name"),
        ("binary_sensor.home_installation", "updated_on"),
    }
    for entity_id, attribute in attributes:
        assert state_of(hass, entity_id).attributes[attribute]


async def test_the_ids_are_english_in_norwegian(
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    charger: Charger,
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    set_up_live: Callable[[MockConfigEntry], Awaitable[None]],
) -> None:
    """The names follow the language of Home Assistant, the ids do not."""
    load = translation.async_get_translations

    async def in_norwegian(
        hass: HomeAssistant, language: str, *args: Any
    ) -> dict[str, str]:
        mark = {"nb": "Norsk "}.get(language, "")
        translations = await load(hass, language, *args)
        return {key: mark + text for key, text in translations.items()}

    monkeypatch.setattr(translation, "async_get_translations", in_norwegian)
    hass.config.language = "nb"
    await set_up_live(entry)
    names = {
        entity.entity_id: entity.original_name or ""
        for entity in er.async_entries_for_config_entry(entity_registry, entry.entry_id)
    }
    ids = entity_ids(PAGE)
    assert len(ids) > 25
    assert ids - set(names) == set()
    assert names["sensor.garage_charger_mode"].startswith("Norsk ")
    assert [entity_id for entity_id in names if "norsk" in entity_id] == []
