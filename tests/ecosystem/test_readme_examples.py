"""The README's examples, each run in Home Assistant with the simulated cloud."""

import re

from homeassistant.const import STATE_OFF, STATE_ON
from homeassistant.core import HomeAssistant, ServiceCall
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_mock_service,
)

from simulator.car import Car
from simulator.charger import Charger
from tests.page_examples import automate, examples_of
from tests.time_machine import TimeMachine

from .conftest import A_FEW_SECONDS, README, travel_to

SECTION = README.split("\n## Examples\n")[1].split("\n## ")[0]
EXAMPLES = examples_of(SECTION)
# Entities of other integrations in the examples.
ELSEWHERE = {"switch.oven"}


@pytest.fixture
def messages(hass: HomeAssistant) -> list[ServiceCall]:
    """Return the messages that the examples have sent."""
    return async_mock_service(hass, "notify", "notify")


def test_the_section_has_ten_things() -> None:
    """The section has five examples without an automation, and five automations."""
    assert len(re.findall(r"^\d\. \*\*", SECTION, re.MULTILINE)) == 5
    assert len(EXAMPLES) == 5


@pytest.mark.usefixtures("live_entry")
async def test_all_entities_that_the_readme_names_exist(
    hass: HomeAssistant, charger: Charger, time_machine: TimeMachine
) -> None:
    """All entities in the examples exist; an outdated example fails here."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    platforms = "binary_sensor|button|event|number|select|sensor|switch|update"
    named = set(
        re.findall(rf"\b(?:{platforms})\.(?:garage|home|oven)[a-z0-9_]*", README)
    )
    assert len(named) >= 10
    missing = named - set(hass.states.async_entity_ids()) - ELSEWHERE
    assert missing == set()


@pytest.mark.parametrize("expected_lingering_timers", [True])
async def test_the_readmes_night_is_the_only_time_to_charge(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """A car that comes during the day is held until the night, also after a paused one left."""
    await automate(hass, EXAMPLES["Charge at night"])
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
    await automate(hass, EXAMPLES["The car is charged"])
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
    await automate(hass, EXAMPLES["Oven first"])
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
    await automate(hass, EXAMPLES["Enough for tomorrow"])
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
    await automate(hass, EXAMPLES["The charger is offline"])
    charger.set_offline()
    await time_machine.travel(300)
    charger.set_online()
    await time_machine.travel(600)
    assert messages == []
    charger.set_offline()
    await time_machine.travel(660)
    [message] = messages
    assert message.data["message"] == "The charger in the garage is offline"
