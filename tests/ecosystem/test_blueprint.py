"""The load-balancing blueprint, as published in November 2026.

Its code: zaptec/charger-balancing-blueprint.yaml.
"""

from typing import Any

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.components.blueprint.models import Blueprint, BlueprintInputs
from homeassistant.components.blueprint.schemas import BLUEPRINT_SCHEMA
from homeassistant.components.number import (
    ATTR_VALUE,
    DOMAIN as NUMBER_DOMAIN,
    SERVICE_SET_VALUE,
)
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.template import Template
from homeassistant.util.yaml import Input
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.charger import Charger
from simulator.simulator import Simulator
from tests.time_machine import TimeMachine

from .conftest import PAGE, available_current, blocks, call, number_of, state_of

BLUEPRINT = {
    "number.*available_current": "number.home_available_current",
    "sensor.*_charger_mode": "sensor.garage_charger_mode",
    "binary_sensor.*_installation": "binary_sensor.home_installation",
}
BLUEPRINT_DEVICE = "{{ integration_entities('zaptec') | first | device_id }}"
# The blueprint's condition that the last change is long enough ago.
BLUEPRINT_MAY_CHANGE = """
    {% set updated_on = as_datetime(state_attr('INSTALLATION', 'updated_on')) %}
    {{ utcnow().replace(tzinfo=None) - updated_on > timedelta(minutes=5) }}
""".replace("INSTALLATION", BLUEPRINT["binary_sensor.*_installation"])


def rendered(hass: HomeAssistant, template: str) -> Any:
    """Return a template as rendered by Home Assistant."""
    return Template(template.strip(), hass).async_render()


# The published inputs, and whether each has a default.
BLUEPRINT_INPUTS = {
    "input_main_current_l1": False,
    "input_main_current_l2": False,
    "input_main_current_l3": False,
    "input_main_fuse": True,
    "input_charger_fuse": True,
}


def test_the_blueprint_accepts_the_inputs_of_the_page() -> None:
    """The page lists all required inputs; Home Assistant refuses an automation that lacks one."""
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
    # The blueprint does nothing unless the charger's fuse is below the main fuse.
    assert used["input_charger_fuse"] < used["input_main_fuse"]


@pytest.mark.parametrize(("pattern", "entity_id"), BLUEPRINT.items())
async def test_the_blueprint_finds_its_entities(
    hass: HomeAssistant, live_entry: MockConfigEntry, pattern: str, entity_id: str
) -> None:
    """Each pattern of the blueprint matches one entity only, so it finds the right one."""
    assert rendered(
        hass,
        f"{{{{ integration_entities('zaptec') | select('match', '{pattern}') | list }}}}",
    ) == [entity_id]
    assert entity_id in PAGE
    state_of(hass, entity_id)


async def test_the_blueprint_limits_the_current_with_the_first_device(
    hass: HomeAssistant, charger: Charger, live_entry: MockConfigEntry
) -> None:
    """The limit works whether the first entity belongs to the installation or to a charger."""
    await call(
        hass,
        f"{DOMAIN}.limit_current",
        {"device_id": rendered(hass, BLUEPRINT_DEVICE), "available_current": 14},
    )
    assert available_current(charger) == (14, 14, 14)
    number = BLUEPRINT["number.*available_current"]
    assert number_of(hass, number) == 14
    # What another version of the blueprint does instead.
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
    """The limit works with any Zaptec device, because the order of entities is arbitrary."""
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
    """The blueprint can subtract the time of the last change from a time without a zone."""
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
    """Setting the same current repeatedly is no error, and causes no request to the cloud."""
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
    """With an override an increase is sent at once; without one it is queued without an error."""
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
