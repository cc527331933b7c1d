"""Repair issues: each appears when its condition holds, says what to do, and goes again."""

from dataclasses import replace
from datetime import UTC, datetime
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.config_entries import ConfigEntryDisabler, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec import repairs
from custom_components.zaptec.api import Installation, ZaptecClient
from custom_components.zaptec.const import DOMAIN
from simulator import documents
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.scenario import RESIDENT_USER, Scenario
from simulator.simulator import Simulator
from simulator.telemetry import StoredObservation

from .conftest import TimeMachine, add_entry, set_up, wait_until, wait_until_live

DETAILS = "messagingConnectionDetails$"
TRANSLATIONS = Path(repairs.__file__).parent / "translations"


async def texts(hass: HomeAssistant) -> dict[str, str]:
    """Return the texts of the issues that are shown, by the issue's translation key."""
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


async def test_an_outage_of_half_an_hour_is_shown(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The issue appears after half an hour, and stays until the push is stable again."""
    await time_machine.travel(120)
    await sim.bus.cut()
    await time_machine.travel(29 * 60, step=20)
    assert await texts(hass) == {}
    # The issues are checked once a minute.
    await time_machine.travel(180, step=20)
    shown = (await texts(hass))["push_down"]
    assert charger.installation.name in shown
    # A connection that is lost again at once does not end the outage.
    await sim.bus.restore()
    link = live_entry.runtime_data.links[charger.installation.id]
    await time_machine.travel_until(lambda: link.status == "connected", step=10)
    await sim.bus.cut()
    await time_machine.travel(120, step=20)
    assert (await texts(hass))["push_down"] == shown

    await sim.bus.restore()
    await time_machine.travel_until(lambda: link.status == "connected", step=10)
    await time_machine.travel(130, step=10)
    assert await texts(hass) == {}


async def test_the_network_may_be_gone_at_start(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """A link that has never been up since the start counts as down."""
    await sim.bus.cut()
    await set_up(hass, entry)
    await time_machine.travel(32 * 60, step=20)
    assert set(await texts(hass)) == {"push_down"}


@pytest.mark.parametrize("scenario", [Scenario.default()], ids=["housing cooperative"])
async def test_a_role_without_messages(
    hass: HomeAssistant, time_machine: TimeMachine, sim: Simulator
) -> None:
    """The issue says whom to ask for a role, and goes when the role is granted."""
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
    assert "Ask the installation's owner" in shown["push_not_permitted"]

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
    """An installation without a subscription has an issue until the subscription exists."""
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
        ("authentication_type", 1, "web_hook_authorizes", "webhook"),
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
    """The hourly list shows that something else controls charging, and when that has ended."""
    setattr(charger.installation, attribute, value)
    await live_entry.runtime_data.coordinator.async_refresh()
    shown = await texts(hass)
    assert set(shown) == {key}
    assert words in shown[key]
    assert charger.installation.name in shown[key]

    # An ignored issue stays ignored after a reload.
    issue_id = f"{key}_{charger.installation.id}"
    ir.async_ignore_issue(hass, DOMAIN, issue_id, True)
    assert await hass.config_entries.async_reload(live_entry.entry_id)
    await hass.async_block_till_done()
    issue = ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
    assert issue
    assert issue.dismissed_version

    setattr(charger.installation, attribute, 0)
    await live_entry.runtime_data.coordinator.async_refresh()
    await time_machine.travel(65)
    assert await texts(hass) == {}


async def test_a_charger_by_itself(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """A charger that reports stand-alone mode has an issue until the mode ends."""
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
    """The issues of an account are deleted when it is removed or disabled."""
    charger.installation.authentication_type = 2
    await live_entry.runtime_data.coordinator.async_refresh()
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
    """Names given by users are escaped, so that Markdown in them has no effect."""
    charger.installation.name = "[Home](https://example.com) <b>*1*</b>"
    charger.installation.authentication_type = 2
    await live_entry.runtime_data.coordinator.async_refresh()
    placeholders: dict[str, Any] = (
        next(iter(ir.async_get(hass).issues.values())).translation_placeholders or {}
    )
    assert placeholders["name"] == (r"\[Home\]\(https://example.com\) \<b\>\*1\*\</b\>")
    # Home Assistant shows titles as they are.
    assert placeholders["plain_name"] == charger.installation.name


@pytest.mark.parametrize(
    "language", sorted(TRANSLATIONS.glob("*.json")), ids=lambda path: path.stem
)
def test_titles_are_no_markdown(language: Path) -> None:
    """A title contains the name as it is, and a description the escaped one."""
    issues = json.loads(language.read_text(encoding="utf-8"))["issues"]
    titles = " ".join(issue["title"] for issue in issues.values())
    assert "{plain_name}" in titles
    assert "{name}" not in titles
    descriptions = " ".join(issue.get("description", "") for issue in issues.values())
    assert "{name}" in descriptions
    assert "{plain_name}" not in descriptions


def ignore(hass: HomeAssistant, key: str) -> None:
    """Ignore the only issue, as a user would."""
    (issue,) = ir.async_get(hass).issues.values()
    assert issue.translation_key == key
    ir.async_ignore_issue(hass, DOMAIN, issue.issue_id, True)


def ignored(hass: HomeAssistant) -> list[str | None]:
    """Return the keys of the issues that exist and are ignored."""
    return [
        issue.translation_key
        for issue in ir.async_get(hass).issues.values()
        if issue.dismissed_version
    ]


async def reload(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Reload an entry."""
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()


@pytest.mark.parametrize(
    ("refusal", "key"), [(403, "push_not_permitted"), (404, "push_unavailable")]
)
async def test_an_ignored_refusal_stays_ignored(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    refusal: int,
    key: str,
) -> None:
    """An ignored refusal ends only if the cloud permits the request; a failure proves nothing."""
    sim.rest.fail(DETAILS, fault=refusal)
    await set_up(hass, entry)
    await time_machine.travel(65)
    ignore(hass, key)

    sim.rest.heal()
    sim.rest.fail(DETAILS, fault=500)
    await reload(hass, entry)
    assert ignored(hass) == [key]
    link = entry.runtime_data.links[charger.installation.id]
    await wait_until(lambda: link.own.fault is not None)
    await time_machine.travel(65)
    assert link.status == "disconnected"
    assert ignored(hass) == [key]

    sim.rest.heal()
    sim.rest.fail(DETAILS, fault=refusal)
    await time_machine.travel(100)
    assert link.refusal
    # An attempt that fails for another reason.
    sim.rest.heal()
    sim.rest.fail(DETAILS, fault=500)
    await time_machine.travel_until(lambda: not link.refusal, step=10)
    await time_machine.travel(65)
    assert ignored(hass) == [key]

    # The cloud returns the connection details again, so the refusal has ended, although
    # the network does not let the link connect.
    await sim.bus.cut()
    sim.rest.heal()
    await time_machine.travel(400)
    assert link.status == "disconnected"
    assert await texts(hass) == {}


async def test_another_refusal(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """The issue of a new refusal replaces the issue of the previous one."""
    sim.rest.fail(DETAILS, fault=403)
    await set_up(hass, entry)
    await time_machine.travel(65)
    ignore(hass, "push_not_permitted")
    sim.rest.heal()
    sim.rest.fail(DETAILS, fault=404)
    await time_machine.travel(400)
    assert set(await texts(hass)) == {"push_unavailable"}
    assert ignored(hass) == []


async def test_an_ignored_outage_stays_ignored(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """An ignored outage is not ended by a reload, but by a link that is up."""
    await sim.bus.cut()
    await set_up(hass, entry)
    await time_machine.travel(32 * 60, step=20)
    ignore(hass, "push_down")
    await reload(hass, entry)
    assert ignored(hass) == ["push_down"]
    await time_machine.travel(32 * 60, step=20)
    assert ignored(hass) == ["push_down"]
    await sim.bus.restore()
    await time_machine.travel(500, step=10)
    assert await texts(hass) == {}


async def test_an_ignored_reader_stays_ignored(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """After a reload, only some messages without a gap prove that no messages are lost any more."""

    def shared_link(since: datetime | None) -> None:
        runtime = live_entry.runtime_data
        runtime.links[charger.installation.id].feeds[0].shared_since = since

    shared_link(dt_util.utcnow())
    await time_machine.travel(65)
    ignore(hass, "push_shared")
    await reload(hass, live_entry)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(700)
    assert ignored(hass) == ["push_shared"]
    for number in range(40):
        charger.observe(StateId.TOTAL_CHARGE_POWER, value=1000.0 + number)
    await time_machine.travel(65)
    assert await texts(hass) == {}

    # While running, the evidence is complete and the issue ends.
    shared_link(dt_util.utcnow())
    await time_machine.travel(65)
    assert set(await texts(hass)) == {"push_shared"}
    shared_link(None)
    await time_machine.travel(65)
    assert await texts(hass) == {}


async def test_an_ignored_mode_stays_ignored(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Until the charger was read after a reload, it may still be in stand-alone mode."""
    charger.observe(StateId.IS_STAND_ALONE, value=True)
    await time_machine.travel(65)
    ignore(hass, "charger_stand_alone")
    sim.rest.fail("/state$", fault=500)
    await reload(hass, live_entry)
    await time_machine.travel(65)
    assert ignored(hass) == ["charger_stand_alone"]
    sim.rest.heal()
    await time_machine.travel(125)
    assert ignored(hass) == ["charger_stand_alone"]
    charger.observe(StateId.IS_STAND_ALONE, value=False)
    await time_machine.travel(65)
    assert await texts(hass) == {}


async def test_an_ignored_setting_outlives_a_gap_in_the_list(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """One list without the installation keeps the issue ignored; a longer absence ends it."""
    charger.installation.authentication_type = 2
    await live_entry.runtime_data.coordinator.async_refresh()
    ignore(hass, "ocpp_controls_charging")
    sim.remove_installation(charger.installation.id)
    await reload(hass, live_entry)
    await time_machine.travel(65)
    assert ignored(hass) == ["ocpp_controls_charging"]
    await time_machine.travel(2 * 3600, step=30)
    assert await texts(hass) == {}


@pytest.mark.parametrize(
    ("field", "attribute", "key"),
    [
        ("AvailableCurrentMode", "available_current_mode", "schedule_controls_current"),
        ("AuthenticationType", "authentication_type", "web_hook_authorizes"),
    ],
)
async def test_an_ignored_setting_that_is_not_listed(
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    charger: Charger,
    live_entry: MockConfigEntry,
    field: str,
    attribute: str,
    key: str,
) -> None:
    """A list that lacks the setting does not prove that the setting has changed."""
    setattr(charger.installation, attribute, 1)
    await live_entry.runtime_data.coordinator.async_refresh()
    ignore(hass, key)
    original = documents.installation

    def without(*args: Any, **kwargs: Any) -> documents.Document:
        document = original(*args, **kwargs)
        del document[field]
        return document

    monkeypatch.setattr(documents, "installation", without)
    await live_entry.runtime_data.coordinator.async_refresh()
    assert ignored(hass) == [key]
    monkeypatch.undo()
    setattr(charger.installation, attribute, 0)
    await live_entry.runtime_data.coordinator.async_refresh()
    assert await texts(hass) == {}


async def test_an_ignored_refusal_of_an_installation_that_is_not_shown(
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """With a role for a charger alone, its installation has no device, but may have an issue."""

    async def none(_client: ZaptecClient) -> list[Installation]:
        return []

    monkeypatch.setattr(ZaptecClient, "installations", none)
    sim.rest.fail(DETAILS, fault=403)
    await set_up(hass, entry)
    await time_machine.travel(65)
    ignore(hass, "push_not_permitted")
    sim.installations.clear()
    await reload(hass, entry)
    assert not entry.runtime_data.coordinator.data.chargers
    await time_machine.travel(65)
    assert ignored(hass) == ["push_not_permitted"]
    await time_machine.travel(2 * 3600, step=30)
    assert await texts(hass) == {}


async def test_no_second_reader_without_permission(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Without permission to read the messages, there is no issue about a second reader."""
    push = live_entry.runtime_data.links[charger.installation.id]
    push.feeds[0].shared_since = dt_util.utcnow()
    await time_machine.travel(65)
    ignore(hass, "push_shared")
    sim.rest.fail(DETAILS, fault=403)
    await reload(hass, live_entry)
    await time_machine.travel(65)
    assert set(await texts(hass)) == {"push_not_permitted"}


@pytest.mark.parametrize("scenario", [Scenario.default()], ids=["housing cooperative"])
async def test_a_charger_that_is_not_chosen_any_more(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """Deselecting the charger deletes its issues and those of its installation."""
    for item in sim.installations.values():
        item.authentication_type = 2
    first, second, *_ = sim.installations.values()
    await set_up(hass, entry)
    shown = {issue_id for _, issue_id in ir.async_get(hass).issues}
    assert f"ocpp_controls_charging_{first.id}" in shown
    hass.config_entries.async_update_entry(
        entry, options={"chargers": [charger.id for charger in second.chargers]}
    )
    await reload(hass, entry)
    await time_machine.travel(65)
    shown = {issue_id for _, issue_id in ir.async_get(hass).issues}
    assert shown == {f"ocpp_controls_charging_{second.id}"}


@pytest.mark.parametrize("end", ["remove", "disable"])
async def test_nothing_is_left_of_an_account_that_cannot_be_set_up(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    end: str,
) -> None:
    """Issues stay while the cloud is down, but are deleted with the account."""
    charger.installation.authentication_type = 2
    await live_entry.runtime_data.coordinator.async_refresh()
    ignore(hass, "ocpp_controls_charging")
    sim.rest.fail("/api/(installation|chargers)$", fault=500)
    await reload(hass, live_entry)
    assert live_entry.state is ConfigEntryState.SETUP_RETRY
    assert ignored(hass) == ["ocpp_controls_charging"]
    if end == "remove":
        await hass.config_entries.async_remove(live_entry.entry_id)
    else:
        await hass.config_entries.async_set_disabled_by(
            live_entry.entry_id, ConfigEntryDisabler.USER
        )
    await hass.async_block_till_done()
    assert await texts(hass) == {}


async def test_another_account_takes_over_what_cannot_be_set_up(
    hass: HomeAssistant, sim: Simulator, live_entry: MockConfigEntry
) -> None:
    """Another account takes over the devices of a disabled account, even if that failed to set up."""
    first = next(iter(sim.accounts.values()))
    sim.accounts["partner@example.com"] = replace(
        first, user_name="partner@example.com", roles=dict(first.roles)
    )
    second = add_entry(hass, sim, "partner@example.com")
    await set_up(hass, second)
    assert not second.runtime_data.coordinator.data.chargers
    sim.rest.fail("/api/(installation|chargers)$", fault=500)
    await reload(hass, live_entry)
    assert live_entry.state is ConfigEntryState.SETUP_RETRY
    sim.rest.heal()
    await hass.config_entries.async_set_disabled_by(
        live_entry.entry_id, ConfigEntryDisabler.USER
    )
    await wait_until(lambda: bool(second.runtime_data.coordinator.data.chargers))
    await wait_until_live(hass, second)


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland"])
async def test_a_clock_that_was_never_set(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    entry: MockConfigEntry,
    zone: str,
) -> None:
    """An impossible start time is not shown."""
    await hass.config.async_set_time_zone(zone)
    charger.observations[StateId.IS_STAND_ALONE] = StoredObservation(
        datetime(1, 1, 1, tzinfo=UTC), "1"
    )
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    await time_machine.travel(65)
    shown = await texts(hass)
    assert set(shown) == {"charger_stand_alone"}
    assert str(dt_util.now().year) in shown["charger_stand_alone"]


async def test_an_outage_ends_with_the_installation(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """If an installation goes missing, its outage ends; one that returns starts over."""
    runtime = live_entry.runtime_data
    await sim.bus.cut()
    await time_machine.travel(32 * 60, step=20)
    assert set(await texts(hass)) == {"push_down"}
    # A missing installation has no issue about its push, either.
    sim.rest.fail(DETAILS, fault=500)
    del sim.installations[charger.installation.id], sim.chargers[charger.id]
    await time_machine.travel(2 * 3600 + 300, step=30)
    assert await texts(hass) == {}
    assert not runtime.links

    sim.installations[charger.installation.id] = charger.installation
    sim.chargers[charger.id] = charger
    await runtime.coordinator.async_refresh()
    assert runtime.links
    await time_machine.travel(65)
    assert await texts(hass) == {}


async def test_a_condition_that_returns_has_a_new_start(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """A condition that ended and holds again is shown with its new start time."""
    runtime = live_entry.runtime_data
    charger.installation.authentication_type = 2
    await runtime.coordinator.async_refresh()
    before = (await texts(hass))["ocpp_controls_charging"]
    # Something else deletes the issue, as another account does that takes over the devices.
    (issue,) = ir.async_get(hass).issues.values()
    ir.async_delete_issue(hass, DOMAIN, issue.issue_id)
    charger.installation.authentication_type = 0
    await runtime.coordinator.async_refresh()
    await time_machine.travel(300)
    charger.installation.authentication_type = 2
    await runtime.coordinator.async_refresh()
    assert (await texts(hass))["ocpp_controls_charging"] != before
