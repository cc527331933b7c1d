"""The blueprints of statements, each run in Home Assistant with the simulated cloud."""

import csv
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
import io
from pathlib import Path
import re
from typing import Any
from unittest.mock import patch

from homeassistant.components import automation
from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.models import Blueprint, DomainBlueprints
from homeassistant.const import STATE_ON
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from homeassistant.util.yaml import load_yaml
import pytest
from pytest_homeassistant_custom_component.common import async_mock_service

from custom_components.zaptec.const import DOMAIN
from simulator.scenario import PastScenario, Scenario

from ..home import Home
from .conftest import wait_until_written
from .test_session_actions import add_person, archived, get_sessions, price_since

pytestmark = [
    pytest.mark.usefixtures("_custom_integrations"),
    # The automation waits for the next day.
    pytest.mark.parametrize("expected_lingering_timers", [True]),
]

FOLDER = Path(__file__).parents[2] / "blueprints/automation/zaptec"


@pytest.fixture
def scenario() -> Scenario:
    """Return a home whose charger has a past."""
    scenario = Scenario.of(1)
    (installation,) = scenario.installations
    past = PastScenario(days=90)
    return replace(scenario, installations=(replace(installation, past=past),))


def device_id(home: Home) -> str:
    """Return the device of the installation."""
    device = dr.async_get(home.hass).async_get_device_by_identifier(
        (DOMAIN, home.installation.id), home.entry.entry_id
    )
    assert device
    return device.id


async def automate(home: Home, name: str, **inputs: Any) -> None:
    """Set up an automation by a blueprint of the repository."""

    def load(blueprints: DomainBlueprints, path: str) -> Blueprint:
        return Blueprint(
            load_yaml(FOLDER / path),
            expected_domain=blueprints.domain,
            path=path,
            schema=AUTOMATION_BLUEPRINT_SCHEMA,
        )

    config = {
        "id": "statement",
        "alias": "Statement",
        "use_blueprint": {
            "path": name,
            "input": {"devices": [device_id(home)], **inputs},
        },
    }
    with patch.object(DomainBlueprints, "_load_blueprint", load):
        assert await async_setup_component(
            home.hass, automation.DOMAIN, {automation.DOMAIN: [config]}
        )
        await home.hass.async_block_till_done()
    [state] = home.hass.states.async_all(automation.DOMAIN)
    assert state.state == STATE_ON


async def run(home: Home) -> None:
    """Run the automation now."""
    await home.hass.services.async_call(
        automation.DOMAIN,
        "trigger",
        {"entity_id": "automation.statement"},
        blocking=True,
    )
    await home.hass.async_block_till_done(wait_background_tasks=False)


def last_month() -> tuple[datetime, datetime]:
    """Return the start and the end of the month before this one."""
    end = dt_util.start_of_local_day().replace(day=1)
    return (end - timedelta(days=1)).replace(day=1), end


@pytest.mark.usefixtures("expected_lingering_timers")
@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.yaml")))
def test_a_blueprint_says_where_it_is_from(name: str) -> None:
    """The address from which a blueprint is imported again is the right one."""
    document = load_yaml(FOLDER / name)
    assert isinstance(document, dict)
    assert document["blueprint"]["source_url"].endswith(
        f"/blob/main/blueprints/automation/zaptec/{name}"
    )


async def test_a_monthly_statement(home: Home) -> None:
    """On the first of the month, a notification has what was charged in the month before."""
    await wait_until_written(home.entry)
    notifications = async_mock_service(home.hass, "persistent_notification", "create")
    await automate(home, "monthly_statement.yaml", group_by="charger")
    now = dt_util.now()
    first = (dt_util.start_of_local_day() + timedelta(days=32)).replace(day=1)
    if now.day > 1:
        first = (now.replace(day=1) + timedelta(days=32)).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
    await home.travel((first - now).total_seconds() + 7 * 3600, step=6 * 3600)
    assert notifications == []
    await home.travel(2 * 3600, step=900)
    [notification] = notifications
    start, end = last_month()
    totals = (
        await get_sessions(
            home,
            start=start.isoformat(),
            end=end.isoformat(),
            installation_id=home.installation.id,
        )
    )["totals"]
    assert totals["sessions"] == len(archived(home, start, end))
    line = f": {totals['energy']:.3f} kWh, sessions: {totals['sessions']}"
    assert notification.data == {
        "title": f"Charging in {start:%Y-%m}",
        "message": f"{home.charger.name}{line}\nTotal{line}",
    }


async def test_a_statement_of_persons_and_costs(home: Home) -> None:
    """The statement has a line for each person, and what it cost."""
    await wait_until_written(home.entry)
    home.hass.config.currency = "NOK"
    add_person(home, "Anna")
    price_since(home, 100)
    messages = async_mock_service(home.hass, "notify", "mail")
    await automate(
        home,
        "monthly_statement.yaml",
        group_by="person",
        actions=[{"action": "notify.mail", "data": {"message": "{{ message }}"}}],
    )
    await run(home)
    [message] = messages
    lines = message.data["message"].splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "Anna",
        "Without a person",
        "Total",
    ]
    start, end = last_month()
    response = await get_sessions(
        home,
        start=start.isoformat(),
        end=end.isoformat(),
        installation_id=home.installation.id,
    )
    total = response["totals"]
    assert lines[-1] == (
        f"Total: {total['energy']:.3f} kWh, {total['cost']:.2f} NOK,"
        f" sessions: {total['sessions']}"
    )
    for key, unit in (("energy", "kWh"), ("cost", "NOK")):
        amounts = [
            Decimal(amount)
            for line in lines
            for amount in re.findall(rf"([\d.]+) {unit}", line)
        ]
        assert sum(amounts[:-1]) == amounts[-1] == Decimal(str(total[key]))


async def test_the_statement_of_a_company_car(home: Home) -> None:
    """The table has the sessions of the person, and opens in a spreadsheet."""
    await wait_until_written(home.entry)
    home.hass.config.country = "NO"
    add_person(home, "Anna")
    messages = async_mock_service(home.hass, "notify", "send_message")
    await automate(
        home, "company_car.yaml", person="Anna", notify_entity="notify.statement"
    )
    await run(home)
    [message] = messages
    assert message.data["entity_id"] == ["notify.statement"]
    text = message.data["message"]
    lines = list(csv.reader(io.StringIO(text), delimiter=";"))
    assert lines[0][:5] == ["Start", "End", "Charger", "Person", "Energy (kWh)"]
    sessions = [
        session for session in archived(home, *last_month()) if not session.is_anonymous
    ]
    assert [line[3] for line in lines[1:-1]] == ["Anna"] * len(sessions)
    assert [line[4] for line in lines[1:-1]] == [
        f"{session.energy:.3f}".replace(".", ",") for session in sessions
    ]
    assert lines[-1][0] == "Total"


async def test_a_company_car_without_a_person(home: Home) -> None:
    """Without persons, the table has all sessions."""
    await wait_until_written(home.entry)
    messages = async_mock_service(home.hass, "notify", "send_message")
    await automate(home, "company_car.yaml", notify_entity="notify.statement")
    await run(home)
    [message] = messages
    assert len(message.data["message"].splitlines()) == 2 + len(
        archived(home, *last_month())
    )


@pytest.mark.parametrize("days", [100, 0])
async def test_a_company_car_without_prices(home: Home, days: int) -> None:
    """What is missing in the table is said in a notification."""
    await wait_until_written(home.entry)
    price_since(home, days)
    messages = async_mock_service(home.hass, "notify", "send_message")
    notifications = async_mock_service(home.hass, "persistent_notification", "create")
    await automate(home, "company_car.yaml", notify_entity="notify.statement")
    await run(home)
    assert len(messages) == 1
    assert [item.data["message"].split(":")[0] for item in notifications] == (
        [] if days else ["Hours whose electricity price is not known"]
    )


async def test_a_monthly_statement_without_prices(home: Home) -> None:
    """A line has no cost if none is known."""
    await wait_until_written(home.entry)
    price_since(home, 0)
    notifications = async_mock_service(home.hass, "persistent_notification", "create")
    await automate(home, "monthly_statement.yaml")
    await run(home)
    [notification] = notifications
    charger, total, note = notification.data["message"].splitlines()
    for line in (charger, total):
        sessions, without_cost = re.findall(r"(?:sessions|cost): (\d+)", line)
        assert sessions == without_cost
        assert " kWh, sessions: " in line
    assert note.startswith("Hours whose electricity price is not known: ")
