"""The README's examples, each run in Home Assistant with the simulated cloud."""

import re
from typing import Any

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.const import STATE_OFF, STATE_ON
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import parse_yaml
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_mock_service,
)

from simulator.car import Car
from simulator.charger import Charger
from tests.time_machine import TimeMachine

from .conftest import A_FEW_SECONDS, README, travel_to

SECTION = README.split("\n## Examples\n")[1].split("\n## ")[0]
EXAMPLES: dict[str, dict[str, Any]] = {
    example["alias"]: example
    for example in map(
        parse_yaml,
        re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL),
    )
}
# Entities of other integrations in the examples.
ELSEWHERE = {"switch.oven"}
# Entities that are missing if the cloud has no value for them, as the README says.
ENABLED_FIRST = {"number.home_3_to_1_phase_switch_current"}


@pytest.fixture
def messages(hass: HomeAssistant) -> list[ServiceCall]:
    """Return the messages that the examples have sent."""
    return async_mock_service(hass, "notify", "notify")


async def automate(hass: HomeAssistant, alias: str) -> None:
    """Set up the automation of an example."""
    config = {AUTOMATION_DOMAIN: [EXAMPLES[alias]]}
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    await hass.async_block_till_done()
    [automation] = hass.states.async_all(AUTOMATION_DOMAIN)
    assert automation.state == STATE_ON


def test_the_section_has_ten_things() -> None:
    """The section has five examples without an automation, and five automations."""
    assert len(re.findall(r"^\d\. \*\*", SECTION, re.MULTILINE)) == 5
    assert len(EXAMPLES) == 5


@pytest.mark.usefixtures("live_entry")
async def test_all_entities_that_the_readme_names_exist(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    charger: Charger,
    time_machine: TimeMachine,
) -> None:
    """All entities in the examples exist; an outdated example fails here."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    platforms = "binary_sensor|button|number|sensor|switch|update"
    named = set(
        re.findall(rf"\b(?:{platforms})\.(?:garage|home|oven)[a-z0-9_]*", README)
    )
    assert len(named) >= 10
    missing = named - set(hass.states.async_entity_ids()) - ELSEWHERE
    assert missing == ENABLED_FIRST
    for entity_id in ENABLED_FIRST:
        assert entity_registry.async_is_registered(entity_id)
        [line] = [line for line in SECTION.splitlines() if entity_id in line]
        assert line.endswith("enable it first.")


@pytest.mark.parametrize("expected_lingering_timers", [True])
async def test_the_readmes_night_is_the_only_time_to_charge(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """A car that comes during the day is held until the night, also after a paused one left."""
    await automate(hass, "Charge at night")
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


@pytest.mark.usefixtures("live_entry")
async def test_a_message_when_the_car_is_done(
    hass: HomeAssistant,
    charger: Charger,
    time_machine: TimeMachine,
    messages: list[ServiceCall],
) -> None:
    """A message is sent when the car is full, but not when it is paused."""
    await automate(hass, "The car is charged")
    charger.plug_in(Car(capacity_kwh=1))
    await time_machine.travel(60)
    charger.stop_charging()
    await time_machine.travel(60)
    assert messages == []
    charger.resume_charging()
    await time_machine.travel_until(lambda: messages, step=30)
    [message] = messages
    assert re.fullmatch(r"(0\.9\d*|1\.0\d*) kWh charged", message.data["message"])


@pytest.mark.usefixtures("live_entry")
async def test_the_oven_takes_current_from_the_cars_and_gives_it_back(
    hass: HomeAssistant, charger: Charger, time_machine: TimeMachine
) -> None:
    """Turning on the oven reduces the current at once; the increase follows after 15 minutes."""
    hass.states.async_set("switch.oven", STATE_OFF)
    await automate(hass, "Oven first")
    hass.states.async_set("switch.oven", STATE_ON)
    await time_machine.travel(10)
    assert charger.installation.available_current == (10, 10, 10)
    hass.states.async_set("switch.oven", STATE_OFF)
    await time_machine.travel(10)
    assert charger.installation.available_current == (10, 10, 10)
    await time_machine.travel(900, step=60)
    assert charger.installation.available_current == (20, 20, 20)


@pytest.mark.usefixtures("live_entry")
async def test_charging_stops_after_so_much_energy_in_each_session(
    hass: HomeAssistant, charger: Charger, time_machine: TimeMachine
) -> None:
    """Only the present session is paused, so the next car charges again."""
    await automate(hass, "Enough for tomorrow")
    charger.plug_in(Car(capacity_kwh=40))
    await time_machine.travel_until(lambda: charger.session_energy > 18, step=600)
    assert charger.power > 0
    await time_machine.travel_until(lambda: not charger.power, step=60)
    assert 20 <= charger.session_energy < 20.5
    charger.unplug()
    await time_machine.travel(60)
    charger.plug_in(Car())
    await time_machine.travel(60)
    assert charger.power > 0


@pytest.mark.usefixtures("live_entry")
async def test_a_message_when_the_charger_is_offline(
    hass: HomeAssistant,
    charger: Charger,
    time_machine: TimeMachine,
    messages: list[ServiceCall],
) -> None:
    """A message is sent if the charger stays offline, but not for a short interruption."""
    await automate(hass, "The charger is offline")
    charger.set_offline()
    await time_machine.travel(300)
    charger.set_online()
    await time_machine.travel(600)
    assert messages == []
    charger.set_offline()
    await time_machine.travel(660)
    [message] = messages
    assert message.data["message"] == "The charger in the garage is offline"
