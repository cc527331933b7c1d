"""What other tools expect: their contracts, each acted out against the simulator.

Each contract is written down here as the tool's own code has it, and what is
copied from docs/ecosystem.md is read from there.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.components.button import DOMAIN as BUTTON_DOMAIN, SERVICE_PRESS
from homeassistant.components.number import (
    ATTR_VALUE,
    DOMAIN as NUMBER_DOMAIN,
    SERVICE_SET_VALUE,
)
from homeassistant.components.script import DOMAIN as SCRIPT_DOMAIN
from homeassistant.components.sensor import ATTR_OPTIONS, ATTR_STATE_CLASS
from homeassistant.components.switch import DOMAIN as SWITCH_DOMAIN
from homeassistant.const import (
    ATTR_DEVICE_CLASS,
    ATTR_ENTITY_ID,
    ATTR_SERVICE,
    ATTR_SERVICE_DATA,
    ATTR_UNIT_OF_MEASUREMENT,
    EVENT_CALL_SERVICE,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    translation,
)
from homeassistant.helpers.template import Template
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import parse_yaml
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

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

PAGE = (Path(__file__).parent.parent / "docs" / "ecosystem.md").read_text("utf-8")

NO_STATE = {STATE_UNKNOWN, STATE_UNAVAILABLE}

# What a car may get until the charger has obeyed, kWh.
A_FEW_SECONDS = 0.02

# What is named in the page and comes from elsewhere.
ELSEWHERE = {
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


# evcc: charger/homeassistant.go, util/homeassistant/connection.go, and the template.

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
    "energy": "sensor.garage_energy_meter",
    "currentL1": "sensor.garage_current_phase_1",
    "currentL2": "sensor.garage_current_phase_2",
    "currentL3": "sensor.garage_current_phase_3",
    "voltageL1": "sensor.garage_voltage_phase_1",
    "voltageL2": "sensor.garage_voltage_phase_2",
    "voltageL3": "sensor.garage_voltage_phase_3",
}
EVCC_UNITS = {"power": "W", "energy": "kWh"} | {
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
    """A charger as evcc drives it through Home Assistant."""

    hass: HomeAssistant
    config: Mapping[str, str]

    @property
    def words(self) -> dict[str, str]:
        """Return the status of each word, with those of the configuration."""
        return EVCC_WORDS | {
            word.strip().lower(): status
            for status in "ABC"
            for word in self.config.get(f"status{status}", "").split(",")
        }

    def status(self) -> str:
        """Return A (no car), B (connected) or C (charging)."""
        return self.words[state_of(self.hass, self.config["status"]).state.lower()]

    def enabled(self) -> bool:
        """Return whether charging is permitted."""
        return EVCC_BOOLEANS[state_of(self.hass, self.config["enabled"]).state]

    def value(self, parameter: str) -> float:
        """Return a measurement."""
        return number_of(self.hass, self.config[parameter])

    async def enable(self, service: str) -> None:
        """Permit charging, or do not."""
        await switch(self.hass, self.config["enable"], service)

    async def set_max_current(self, current: float) -> None:
        """Set the current, A; evcc sends a floating point number."""
        await call(
            self.hass,
            f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
            {ATTR_ENTITY_ID: self.config["setMaxCurrent"], ATTR_VALUE: float(current)},
        )

    async def wait_for(self, status: str, *, enabled: bool) -> None:
        """Wait until evcc reads this."""
        await wait_until(
            lambda: (self.status(), self.enabled()) == (status, enabled),
            lambda: (self.status(), self.enabled()),
        )


@pytest.fixture
def evcc(hass: HomeAssistant, live_entry: MockConfigEntry) -> Evcc:
    """Return an evcc with the configuration of the page."""
    [document] = blocks("evcc")
    [config] = document["chargers"]
    assert config.pop("name")
    assert config.pop("uri")
    return Evcc(hass, config)


async def test_evcc_reads_numbers_in_units_that_it_knows(evcc: Evcc) -> None:
    """Each parameter of the template names an entity with a number and its unit."""
    assert evcc.config == EVCC
    for parameter, unit in EVCC_UNITS.items():
        state = state_of(evcc.hass, evcc.config[parameter])
        assert state.attributes[ATTR_UNIT_OF_MEASUREMENT] == unit
        assert evcc.value(parameter) >= 0


async def test_evcc_knows_each_word_of_the_charger_mode(evcc: Evcc) -> None:
    """With the two lists of the page there is no mode that is an error to evcc."""
    options = state_of(evcc.hass, evcc.config["status"]).attributes[ATTR_OPTIONS]
    statuses = {word: evcc.words[word] for word in set(options) - {STATE_UNKNOWN}}
    assert statuses == {
        "disconnected": "A",
        "connected_requesting": "B",
        "connected_charging": "C",
        "connected_finished": "B",
    }


async def test_evcc_decides_from_before_the_car_comes_until_it_is_full(
    time_machine: TimeMachine, charger: Charger, evcc: Evcc
) -> None:
    """What evcc wrote is what it reads at each step, so it is never out of sync."""
    await evcc.wait_for("A", enabled=True)
    energy = evcc.value("energy")
    await evcc.enable(SERVICE_TURN_OFF)
    await evcc.wait_for("A", enabled=False)

    charger.plug_in(Car(capacity_kwh=1.0))
    await time_machine.travel(120)
    await evcc.wait_for("B", enabled=False)
    assert evcc.value("power") == 0
    assert charger.power == 0

    await evcc.enable(SERVICE_TURN_ON)
    await time_machine.travel(90)
    await evcc.wait_for("C", enabled=True)
    await wait_until(lambda: evcc.value("power") > 4000)
    for phase in (1, 2, 3):
        assert evcc.value(f"currentL{phase}") > 6
        assert 200 < evcc.value(f"voltageL{phase}") < 250

    await evcc.enable(SERVICE_TURN_OFF)
    await time_machine.travel(60)
    await evcc.wait_for("B", enabled=False)
    await evcc.enable(SERVICE_TURN_OFF)
    await evcc.wait_for("B", enabled=False)

    await evcc.enable(SERVICE_TURN_ON)
    await time_machine.travel(90)
    await evcc.wait_for("C", enabled=True)
    await time_machine.travel(1800, step=10)
    # The car is full. The permission stands.
    await evcc.wait_for("B", enabled=True)
    assert charger.session_energy == pytest.approx(1.0, abs=0.01)
    await evcc.enable(SERVICE_TURN_ON)
    await evcc.wait_for("B", enabled=True)

    charger.unplug()
    await time_machine.travel(60)
    await evcc.wait_for("A", enabled=True)
    await wait_until(
        lambda: evcc.value("energy") == pytest.approx(energy + 1.0, abs=0.02),
        lambda: evcc.value("energy") - energy,
    )


@pytest.mark.parametrize("current", [6, 6.5, 10, 15.9, 16, 32])
async def test_evcc_sets_whole_and_fractional_amperes(
    charger: Charger, evcc: Evcc, current: float
) -> None:
    """The charger gets what evcc has sent, and confirms it."""
    await evcc.set_max_current(current)
    assert charger.max_current == current
    await wait_for(evcc.hass, evcc.config["setMaxCurrent"], str(float(current)))


# ev_smart_charging: coordinator.py, helpers/config_flow.py.

EV_SMART_CHARGING = {
    "Charger control switch entity": "switch.garage_charging",
    "Charging state entity": "binary_sensor.garage_charging",
}
EV_CONNECTED = "switch.ev_smart_charging_ev_connected"


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


async def test_ev_smart_charging_is_told_of_the_car(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The automation of the page turns the tool's own switch."""
    assert (
        state_of(hass, "binary_sensor.garage_car_connected").attributes[
            ATTR_DEVICE_CLASS
        ]
        == "plug"
    )
    [config] = blocks("EV Smart Charging")
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    calls = async_capture_events(hass, EVENT_CALL_SERVICE)

    def told() -> list[str]:
        return [
            event.data[ATTR_SERVICE]
            for event in calls
            if EV_CONNECTED in event.data[ATTR_SERVICE_DATA].get(ATTR_ENTITY_ID, ())
        ]

    charger.plug_in(Car())
    await time_machine.travel(60)
    await wait_until(lambda: told() == [SERVICE_TURN_ON], told)
    charger.unplug()
    await time_machine.travel(60)
    await wait_until(lambda: told() == [SERVICE_TURN_ON, SERVICE_TURN_OFF], told)


# hass-evse-load-balancer: chargers/zaptec_charger.py, ha_device.py.

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


@pytest.mark.parametrize("current", [5, 3, 1])
async def test_the_evse_load_balancer_asks_for_less_than_a_car_can_use(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    find: Callable[[str], er.RegistryEntry],
    current: int,
) -> None:
    """The charger pauses, which is what the load balancer wants."""
    charger.plug_in(Car())
    await time_machine.travel(90)
    await wait_for(hass, find("charger_operation_mode").entity_id, "connected_charging")
    await call(
        hass,
        f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
        {
            ATTR_ENTITY_ID: find("charger_max_current").entity_id,
            ATTR_VALUE: current,
        },
    )
    await time_machine.travel(30)
    assert charger.power == 0


# peaqev: peaqservice/chargertypes/types/zaptec.py and outlet.py.

PEAQEV = {
    "Power switch": "switch.garage_charging",
    "Power meter": "sensor.garage_charge_power",
}


async def test_peaqev_drives_the_charger_as_an_outlet(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """A switch and a power meter are all that it needs."""
    fields = table("peaqev")
    assert fields == PEAQEV
    charger.plug_in(Car())
    await time_machine.travel(90)
    await wait_until(lambda: number_of(hass, fields["Power meter"]) > 4000)
    await switch(hass, fields["Power switch"], SERVICE_TURN_OFF)
    await time_machine.travel(60)
    await wait_until(lambda: number_of(hass, fields["Power meter"]) == 0)
    await switch(hass, fields["Power switch"], SERVICE_TURN_ON)
    await time_machine.travel(60)
    await wait_until(lambda: number_of(hass, fields["Power meter"]) > 4000)


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
    [config] = blocks("peaqev")
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


# Predbat: docs/car-charging.md, its apps.yaml templates.

PREDBAT = {
    "num_cars": 1,
    "car_charging_planned": ["binary_sensor.garage_car_connected"],
    "car_charging_now": ["binary_sensor.garage_charging"],
    "car_charging_energy": "sensor.ev_energy_today",
    "car_charging_power": "sensor.garage_charge_power",
}
PREDBAT_PLANNED = {"yes", "on", "true", "connected", "charging", "paused", "waiting"}
PREDBAT_NOW = {"yes", "on", "true"}
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
    [planned], [now] = config["car_charging_planned"], config["car_charging_now"]
    energy, power = config["car_charging_energy"], config["car_charging_power"]
    assert await async_setup_component(hass, "utility_meter", home_assistant)
    await hass.async_block_till_done()
    meter = state_of(hass, "sensor.garage_energy_meter")
    assert meter.attributes[ATTR_UNIT_OF_MEASUREMENT] == "kWh"
    assert meter.attributes[ATTR_STATE_CLASS] == "total_increasing"
    assert state_of(hass, power).attributes[ATTR_UNIT_OF_MEASUREMENT] == "W"
    assert state_of(hass, planned).state.lower() not in PREDBAT_PLANNED
    assert state_of(hass, now).state.lower() not in PREDBAT_NOW

    charger.plug_in(Car(capacity_kwh=1.5))
    await time_machine.travel(60)
    await wait_until(lambda: state_of(hass, now).state.lower() in PREDBAT_NOW)
    assert state_of(hass, planned).state.lower() in PREDBAT_PLANNED
    assert number_of(hass, power) > 0
    await time_machine.travel(1500, step=10)
    await wait_until(lambda: state_of(hass, now).state.lower() not in PREDBAT_NOW)
    assert state_of(hass, planned).state.lower() in PREDBAT_PLANNED
    charger.unplug()
    await time_machine.travel(60)
    await wait_until(lambda: number_of(hass, energy) == pytest.approx(1.5, abs=0.02))
    assert state_of(hass, energy).attributes[ATTR_UNIT_OF_MEASUREMENT] == "kWh"


async def test_predbats_slot_is_when_the_car_charges(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The automation of the page follows Predbat's plan."""
    _, config = blocks("Predbat")
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    hass.states.async_set(PREDBAT_SLOT, STATE_ON)
    hass.states.async_set(PREDBAT_SLOT, STATE_OFF)
    await hass.async_block_till_done()
    await wait_for(hass, "switch.garage_charging", STATE_OFF)
    charger.plug_in(Car())
    await time_machine.travel(120)
    assert charger.power == 0
    hass.states.async_set(PREDBAT_SLOT, STATE_ON)
    await time_machine.travel(60)
    await wait_for(hass, "binary_sensor.garage_charging", STATE_ON)
    hass.states.async_set(PREDBAT_SLOT, STATE_OFF)
    await time_machine.travel(60)
    await wait_for(hass, "binary_sensor.garage_charging", STATE_OFF)


# charger-card: src/templates/const_zaptec.ts, src/editor.ts, src/charger-card.ts.

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


# zaptec_charger_card: src/zaptec-charger-card.js.

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


# The blueprint: zaptec/charger-balancing-blueprint.yaml.

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
