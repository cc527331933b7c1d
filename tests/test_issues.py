"""Repair issues: each is there when it is true, says what a person needs, and goes."""

import re
from typing import Any

from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.translation import async_get_translations
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.scenario import RESIDENT_USER, Scenario
from simulator.simulator import Simulator

from .conftest import TimeMachine, add_entry, set_up, wait_until


async def texts(hass: HomeAssistant) -> dict[str, str]:
    """Return what is shown, by the key of the issue."""
    strings = await async_get_translations(hass, "en", "issues", {DOMAIN})
    shown = {}
    for issue in ir.async_get(hass).issues.values():
        assert issue.domain == DOMAIN
        assert issue.severity is ir.IssueSeverity.WARNING
        path = f"component.{DOMAIN}.issues.{issue.translation_key}"
        text = "\n".join(
            strings[f"{path}.{part}"].format(**issue.translation_placeholders or {})
            for part in ("title", "description")
        )
        assert "{" not in text
        assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d", text), "It tells no time"
        shown[str(issue.translation_key)] = text
    return shown


async def test_an_outage_of_half_an_hour_is_told(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Not before, not again and again, and no longer than it lasts."""
    await time_machine.travel(120)
    await sim.bus.cut()
    await time_machine.travel(29 * 60, step=20)
    assert await texts(hass) == {}
    # It is looked at once a minute.
    await time_machine.travel(180, step=20)
    shown = (await texts(hass))["push_down"]
    assert charger.installation.name in shown
    # An attempt that succeeds for a moment only has not ended it.
    await sim.bus.restore()
    link = live_entry.runtime_data.links[charger.installation.id]
    while link.status != "connected":
        await time_machine.travel(10)
    await sim.bus.cut()
    await time_machine.travel(120, step=20)
    assert (await texts(hass))["push_down"] == shown

    await sim.bus.restore()
    while link.status != "connected":
        await time_machine.travel(10)
    await time_machine.travel(130, step=10)
    assert await texts(hass) == {}


async def test_the_network_may_be_gone_at_start(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """A link that never was up is down."""
    await sim.bus.cut()
    await set_up(hass, entry)
    await time_machine.travel(32 * 60, step=20)
    assert set(await texts(hass)) == {"push_down"}


@pytest.mark.parametrize("scenario", [Scenario.default()], ids=["housing cooperative"])
async def test_a_role_without_messages(
    hass: HomeAssistant, time_machine: TimeMachine, sim: Simulator
) -> None:
    """A mere user is told whom to ask; it is gone when the role is granted."""
    entry = add_entry(hass, sim, RESIDENT_USER)
    await set_up(hass, entry)
    await wait_until(
        lambda: all(
            link.refusal == "role" for link in entry.runtime_data.links.values()
        )
    )
    await time_machine.travel(65)
    shown = await texts(hass)
    assert set(shown) == {"push_not_permitted"}
    assert "Ask the owner" in shown["push_not_permitted"]

    account = sim.accounts[RESIDENT_USER]
    owner = next(iter(sim.accounts.values()))
    account.roles = {key: owner.roles[key] for key in account.roles}
    await time_machine.travel(3700, step=30)
    assert await texts(hass) == {}


async def test_no_subscription(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
) -> None:
    """The cloud has none for the installation, until it is turned on."""
    sim.rest.fail("messagingConnectionDetails$", fault=404)
    await set_up(hass, entry)
    await time_machine.travel(65)
    shown = await texts(hass)
    assert set(shown) == {"push_unavailable"}
    sim.rest.heal()
    await time_machine.travel(3700, step=30)
    assert await texts(hass) == {}


@pytest.mark.parametrize(
    ("attribute", "value", "key", "words"),
    [
        ("available_current_mode", 1, "schedule_controls_current", "schedule"),
        ("available_current_mode", 2, "power_meter_controls_current", "Sense"),
        ("authentication_type", 1, "web_hook_authorizes", "web hook"),
        ("authentication_type", 2, "ocpp_controls_charging", "OCPP"),
        ("authentication_type", 3, "ocpp_controls_charging", "OCPP"),
    ],
)
async def test_what_else_controls(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    attribute: str,
    value: int,
    key: str,
    words: str,
) -> None:
    """It is found by the hourly list, and so is its end."""
    setattr(charger.installation, attribute, value)
    await live_entry.runtime_data.async_refresh()
    shown = await texts(hass)
    assert set(shown) == {key}
    assert words in shown[key]
    assert charger.installation.name in shown[key]

    # What is ignored stays ignored, over a reload too.
    issue_id = f"{key}_{charger.installation.id}"
    ir.async_ignore_issue(hass, DOMAIN, issue_id, True)
    assert await hass.config_entries.async_reload(live_entry.entry_id)
    await hass.async_block_till_done()
    issue = ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
    assert issue
    assert issue.dismissed_version

    setattr(charger.installation, attribute, 0)
    await live_entry.runtime_data.async_refresh()
    await time_machine.travel(65)
    assert await texts(hass) == {}


async def test_a_charger_by_itself(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Stand-alone mode is told of by the charger."""
    charger.observe(StateId.IS_STAND_ALONE, value=True)
    await time_machine.travel(65)
    shown = await texts(hass)
    assert set(shown) == {"charger_stand_alone"}
    assert charger.name in shown["charger_stand_alone"]
    charger.observe(StateId.IS_STAND_ALONE, value=False)
    await time_machine.travel(65)
    assert await texts(hass) == {}


@pytest.mark.parametrize("end", ["remove", "disable"])
async def test_nothing_is_left_of_an_account(
    hass: HomeAssistant, charger: Charger, live_entry: MockConfigEntry, end: str
) -> None:
    """Its issues go with it."""
    charger.installation.authentication_type = 2
    await live_entry.runtime_data.async_refresh()
    assert await texts(hass)
    entry_id = live_entry.entry_id
    if end == "remove":
        await hass.config_entries.async_remove(entry_id)
    else:
        await hass.config_entries.async_set_disabled_by(
            entry_id, ConfigEntryDisabler.USER
        )
    await hass.async_block_till_done()
    assert await texts(hass) == {}


async def test_names_are_no_markup(
    hass: HomeAssistant, charger: Charger, live_entry: MockConfigEntry
) -> None:
    """What people call things is shown as they wrote it."""
    charger.installation.name = "[Home](https://example.com) <b>*1*</b>"
    charger.installation.authentication_type = 2
    await live_entry.runtime_data.async_refresh()
    placeholders: dict[str, Any] = (
        next(iter(ir.async_get(hass).issues.values())).translation_placeholders or {}
    )
    assert placeholders["name"] == (r"\[Home\]\(https://example.com\) \<b\>\*1\*\</b\>")
