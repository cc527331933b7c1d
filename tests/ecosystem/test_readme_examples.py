"""The README's own examples, in Home Assistant 2026.10."""

import re

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import parse_yaml
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.car import Car
from simulator.charger import Charger
from tests.time_machine import TimeMachine

from .conftest import A_FEW_SECONDS, README, travel_to


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
