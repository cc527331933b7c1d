"""The page about triggers and conditions: its tables, and its examples in Home Assistant."""

from pathlib import Path
import re
from typing import Any

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.core import HomeAssistant, ServiceCall
import pytest
from pytest_homeassistant_custom_component.common import async_mock_service

from custom_components.zaptec.condition import CONDITIONS
from custom_components.zaptec.trigger import CARD_OUTCOMES, TRIGGERS
from simulator.car import Car
from simulator.scenario import Scenario

from .home import Home
from .integration_source import Integration
from .page_examples import automate, examples_of, home_of_examples

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/automations.md").read_text("utf-8")
TEXTS = Integration(ROOT / "custom_components" / "zaptec").translations
EXAMPLES = examples_of(PAGE)


@pytest.fixture
def scenario() -> Scenario:
    """Return the home of the examples."""
    return home_of_examples(available_current=20)


@pytest.fixture
def messages(hass: HomeAssistant) -> list[ServiceCall]:
    """Return the messages that the examples have sent."""
    return async_mock_service(hass, "notify", "notify")


def table(section: str) -> dict[str, tuple[str, str]]:
    """Return the rows of the table of a section: name and meaning, by what YAML has."""
    body = PAGE.partition(f"\n## {section}\n")[2].partition("\n\n#")[0]
    rows = re.findall(r"^\| (.+?) \| `zaptec\.(\w+)` \| (.+) \|$", body, re.MULTILINE)
    return {key: (name, meaning) for name, key, meaning in rows}


@pytest.mark.parametrize(
    ("section", "texts", "parts"),
    [
        ("Triggers", TEXTS["triggers"], TRIGGERS),
        ("Conditions", TEXTS["conditions"], CONDITIONS),
    ],
)
def test_the_tables_are_complete(
    section: str, texts: dict[str, Any], parts: dict[str, Any]
) -> None:
    """The page has each trigger and condition, by its name on the screen, and its options."""
    rows = table(section)
    assert rows.keys() == parts.keys()
    for key, (name, meaning) in rows.items():
        assert name == texts[key]["name"]
        for option in {*texts[key].get("fields", {})} - {"behavior", "for"}:
            assert f"`{option}`" in meaning
    for outcome in CARD_OUTCOMES:
        assert f"`{outcome}`" in PAGE


async def test_a_message_when_a_car_comes(
    hass: HomeAssistant, home: Home, messages: list[ServiceCall]
) -> None:
    """The message names the charger, and is sent once."""
    await automate(hass, EXAMPLES["Car plugged in"])
    home.charger.plug_in(Car())
    await home.travel(60, step=1)
    [message] = messages
    assert message.data["message"] == "Garage: a car is plugged in"


@pytest.mark.parametrize("expected_lingering_timers", [True])
@pytest.mark.parametrize("is_connected", [True, False])
async def test_a_reminder_in_the_evening(
    hass: HomeAssistant, home: Home, messages: list[ServiceCall], is_connected: bool
) -> None:
    """The reminder is sent if no car is plugged in."""
    await automate(hass, EXAMPLES["Plug in the car"])
    if is_connected:
        home.charger.plug_in(Car())
        await home.travel(30)
    # As at ten in the evening.
    [automation] = hass.states.async_entity_ids(AUTOMATION_DOMAIN)
    await hass.services.async_call(
        AUTOMATION_DOMAIN,
        "trigger",
        {"entity_id": automation, "skip_condition": False},
        blocking=True,
    )
    await hass.async_block_till_done()
    assert [message.data["message"] for message in messages] == (
        [] if is_connected else ["No car is plugged in"]
    )


async def test_a_message_when_the_car_is_charged(
    hass: HomeAssistant, home: Home, messages: list[ServiceCall]
) -> None:
    """The message is sent when the car is full, not when it is paused."""
    await automate(hass, EXAMPLES["The car is charged"])
    home.charger.plug_in(Car(capacity_kwh=1))
    await home.travel(60)
    home.charger.stop_charging()
    await home.travel(60)
    assert messages == []
    home.charger.resume_charging()
    await home.time_machine.travel_until(lambda: messages, step=30)
    [message] = messages
    assert re.fullmatch(r"(0\.9\d*|1\.0\d*) kWh charged", message.data["message"])


async def test_a_message_when_the_car_does_not_charge(
    hass: HomeAssistant, home: Home, messages: list[ServiceCall]
) -> None:
    """The message is sent when the reason has lasted for five minutes."""
    await automate(hass, EXAMPLES["The car is not charging"])
    await home.set_value("available_current", 0)
    await home.travel(5)
    home.charger.plug_in(Car())
    await home.travel(280, step=10)
    assert messages == []
    await home.travel(60, step=10)
    [message] = messages
    assert message.data["message"] == "The car is not charging: no_current"


async def test_a_message_when_live_messages_are_lost(
    hass: HomeAssistant, home: Home, messages: list[ServiceCall]
) -> None:
    """A short interruption is no reason for a message."""
    await automate(hass, EXAMPLES["No live messages"])
    await home.sim.bus.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    await home.travel(600, step=30)
    await home.sim.bus.restore()
    await home.travel(300, step=5)
    await home.wait_until_live()
    await home.travel(1800, step=60)
    assert messages == []
    await home.sim.bus.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    await home.travel(1860, step=30)
    [message] = messages
    assert "half an hour" in message.data["message"]
