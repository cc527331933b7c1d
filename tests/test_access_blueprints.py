"""The blueprints about who may charge, each run with the simulated cloud."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from homeassistant.components import automation
from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.models import Blueprint, DomainBlueprints
from homeassistant.const import STATE_ON
from homeassistant.core import ServiceCall
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import load_yaml
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_mock_service,
)

from custom_components.zaptec.authorization import Access
from simulator.car import Car

from .access import ANNAS, UNKNOWN, Site
from .home import Home

FOLDER = Path(__file__).parents[1] / "blueprints/automation/zaptec"

# An automation may still wait for an answer.
pytestmark = pytest.mark.parametrize("expected_lingering_timers", [True])


async def automate(home: Home, name: str, **inputs: Any) -> None:
    """Set up an automation by a blueprint of the repository."""

    def load(blueprints: DomainBlueprints, path: str) -> Blueprint:
        return Blueprint(
            load_yaml(FOLDER / path),
            expected_domain=blueprints.domain,
            path=path,
            schema=AUTOMATION_BLUEPRINT_SCHEMA,
        )

    chargers = [home.entity_id("event", "authorization")]
    config = {
        "id": "access",
        "alias": "Access",
        "use_blueprint": {"path": name, "input": {"chargers": chargers, **inputs}},
    }
    with patch.object(DomainBlueprints, "_load_blueprint", load):
        assert await async_setup_component(
            home.hass, automation.DOMAIN, {automation.DOMAIN: [config]}
        )
        await home.hass.async_block_till_done()
    [state] = home.hass.states.async_all(automation.DOMAIN)
    assert state.state == STATE_ON


async def test_permit_when_someone_is_at_home(site: Site) -> None:
    """A car waits while nobody is at home, and charges when someone comes."""
    home = site.home
    await site.select(Access.ASK)
    for person in ("person.anna", "person.ben"):
        home.hass.states.async_set(person, "not_home")
    await automate(home, "permit_at_home.yaml", persons=["person.anna", "person.ben"])
    await site.plug_in()
    await home.travel(20)
    assert not site.is_charging
    home.hass.states.async_set("person.ben", "home")
    await home.travel(15, step=1)
    assert site.is_charging
    home.charger.unplug()
    await home.travel(10)
    home.charger.plug_in(Car())
    await home.travel(15, step=1)
    assert site.is_charging


async def test_permit_residents_cards_only(site: Site) -> None:
    """A resident's card permits at once; other cards and cars without a card do not."""
    home = site.home
    await site.add_person("Anna", ANNAS)
    await site.select(Access.ASK)
    await automate(home, "permit_residents.yaml", residents=["anna"])
    await site.plug_in()
    home.charger.show_card(UNKNOWN)
    await home.travel(15, step=1)
    assert not site.is_charging
    home.charger.show_card(ANNAS)
    await home.travel(3, step=1)
    assert site.is_charging
    assert site.events[-1] == ("permitted", "Anna")


@pytest.mark.parametrize("reason", ["person", "time"])
async def test_a_card_that_is_not_permitted_now(site: Site, reason: str) -> None:
    """A person who is no resident, or outside of the chosen times, has to wait."""
    home = site.home
    await site.add_person("Anna", ANNAS)
    await site.select(Access.ASK)
    now = dt_util.now()
    if reason == "person":
        inputs: dict[str, Any] = {"residents": ["Ben"]}
    else:
        inputs = {
            "after": f"{now + timedelta(hours=2):%H:%M:%S}",
            "before": f"{now + timedelta(hours=4):%H:%M:%S}",
        }
    await automate(home, "permit_residents.yaml", **inputs)
    await site.plug_in()
    home.charger.show_card(ANNAS)
    await home.travel(15, step=1)
    assert not site.is_charging


@pytest.mark.parametrize("button", ["permit", "refuse"])
async def test_ask_on_the_phone(site: Site, button: str) -> None:
    """The notification has two buttons, and the one that is pressed decides."""
    home, hass = site.home, site.home.hass
    await site.select(Access.ASK)
    phone_entry = MockConfigEntry(domain="mobile_app")
    phone_entry.add_to_hass(hass)
    phone = dr.async_get(hass).async_get_or_create(
        config_entry_id=phone_entry.entry_id,
        identifiers={("mobile_app", "phone")},
        name="Anna's phone",
    )
    calls: list[ServiceCall] = async_mock_service(
        hass, "notify", "mobile_app_anna_s_phone"
    )
    await automate(home, "ask_on_phone.yaml", phone=phone.id)
    await site.plug_in()
    [call] = calls
    actions = {
        item["title"].lower(): item["action"] for item in call.data["data"]["actions"]
    }
    hass.bus.async_fire("mobile_app_notification_action", {"action": actions[button]})
    await home.travel(15, step=1)
    assert site.is_charging is (button == "permit")
    assert site.events[-1][0] == ("permitted" if button == "permit" else "refused")
