"""Fixtures for the tests of other tools, which run against the simulator.

Each test does what the code of the tool does: it calls actions, uses Home Assistant's REST
API, writes states, or starts before or after the integration. The version of the tool is
at the top of its file, and in the table of docs/ecosystem.md. Configuration that users copy
from that page is read from there.
"""

from collections.abc import Mapping
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.components.switch import DOMAIN as SWITCH_DOMAIN
from homeassistant.const import ATTR_ENTITY_ID, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import device_registry as dr
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import parse_yaml
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
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
from tests.time_machine import TimeMachine, wait_until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ecosystem.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")

NO_STATE = {STATE_UNKNOWN, STATE_UNAVAILABLE}

# Maximum energy until a charger has carried out a command (kWh).
A_FEW_SECONDS = 0.02


@pytest.fixture
def scenario() -> Scenario:
    """Return the cloud that the page assumes: a charger "Garage" at an installation "Home"."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=32,
                available_current=20,
                installation_type=1,
                three_to_one_phase_switch_current=0,
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
    """Return the cloud, with a session that ended before the set-up."""
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
    """Return the code blocks of a section of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [
        parse_yaml(block)
        for block in re.findall(
            r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL
        )
    ]


def table(heading: str) -> dict[str, str]:
    """Return the values to enter, by field, from the table of a section of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `?([\w ]+?)`? \| `([\w.]+)`", section, re.MULTILINE))


def entity_ids(value: object) -> set[str]:
    """Return the entity ids of the charger and the installation that a text contains."""
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
    """Call an action and wait until it is done."""
    domain, service = action.split(".")
    await hass.services.async_call(domain, service, dict(data or {}), blocking=True)


async def switch(hass: HomeAssistant, entity_id: str, service: str) -> None:
    """Turn a switch on or off."""
    await call(hass, f"{SWITCH_DOMAIN}.{service}", {ATTR_ENTITY_ID: entity_id})


def available_current(charger: Charger) -> tuple[float, ...] | None:
    """Return the available current of the charger's installation in the cloud (A per phase)."""
    return charger.installation.available_current


async def become_unavailable(
    hass: HomeAssistant, sim: Simulator, time_machine: TimeMachine
) -> None:
    """Cut the cloud until the Charging switch is unavailable."""
    sim.rest.fail("/", fault="reset")
    sim.bus.drop_connections()
    for _ in range(60):
        await time_machine.travel(30)
        if hass.states.is_state("switch.garage_charging", STATE_UNAVAILABLE):
            return
    pytest.fail("The switch is still available")


async def travel_to(time_machine: TimeMachine, hour: int) -> None:
    """Let time pass until some minutes after an hour of the day."""
    now = dt_util.now()
    moment = now.replace(hour=hour, minute=2, second=0)
    await time_machine.travel((moment - now).total_seconds() % 86400, step=60)
