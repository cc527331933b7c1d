"""The automations on a page of the documentation, set up in Home Assistant."""

import re
from typing import Any

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.const import STATE_ON
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import parse_yaml

from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)


def examples_of(page: str) -> dict[str, dict[str, Any]]:
    """Return the automations of a page, by alias."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return {example["alias"]: example for example in map(parse_yaml, blocks)}


async def automate(hass: HomeAssistant, example: dict[str, Any]) -> None:
    """Set up the automation of an example."""
    config = {AUTOMATION_DOMAIN: [example]}
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    await hass.async_block_till_done()
    [automation] = hass.states.async_all(AUTOMATION_DOMAIN)
    assert automation.state == STATE_ON


def home_of_examples(*, available_current: float | None = None) -> Scenario:
    """Return the home of the examples, with a charger called Garage (A)."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=32,
                available_current=available_current,
                chargers=(ChargerScenario(serial="ZAP000101", name="Garage"),),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="owner@example.com", password="x", roles={"Home": OWNER}
            ),
        ),
    )
