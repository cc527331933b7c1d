"""The page about events: its tables, and its examples in Home Assistant."""

from pathlib import Path
import re

from homeassistant.core import HomeAssistant, ServiceCall
import pytest
from pytest_homeassistant_custom_component.common import async_mock_service

from custom_components.zaptec import event
from custom_components.zaptec.const import CONF_EVENT_IDENTITY, EventIdentity
from simulator.car import Car
from simulator.observations import StateId
from simulator.scenario import Scenario

from .home import Home
from .integration_source import Integration
from .page_examples import automate, examples_of, home_of_examples

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/events.md").read_text("utf-8")
TEXTS = Integration(ROOT / "custom_components" / "zaptec").translations
EXAMPLES = examples_of(PAGE)


@pytest.fixture
def scenario() -> Scenario:
    """Return the home of the examples."""
    return home_of_examples()


@pytest.fixture
def messages(hass: HomeAssistant) -> list[ServiceCall]:
    """Return the messages that the examples have sent."""
    return async_mock_service(hass, "notify", "notify")


@pytest.mark.parametrize(
    "description", [event.SESSION, event.CARD], ids=["session", "card"]
)
def test_the_tables_are_complete(description: event.ZaptecEventDescription) -> None:
    """The page has each event by its name on the screen, in the order of its types."""
    texts = TEXTS["entity"]["event"][description.key]
    body = PAGE.partition(f"\n## {texts['name']}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \| .+ \|$", body, re.MULTILINE)
    names = texts["state_attributes"]["event_type"]["state"]
    assert [key for _, key in rows] == description.event_types
    assert {key: name for name, key in rows} == names


def test_the_options_and_attributes_are_those_of_the_code() -> None:
    """The page has each option by its name on the screen, and each attribute."""
    section = PAGE.partition("\n## Who charges\n")[2].partition("\n## ")[0]
    shown = re.findall(
        r"^\| (.+?)(?: \(default\))? \| (?:`(\w+)`)? \|", section, re.MULTILINE
    )
    options = TEXTS["selector"][CONF_EVENT_IDENTITY]["options"]
    assert [name for name, _ in shown] == [options[item] for item in EventIdentity]
    attributes = TEXTS["entity"]["event"]["session"]["state_attributes"].keys()
    assert set(re.findall(r"`(\w+)`", PAGE)) >= attributes


async def test_a_message_when_a_session_ends(
    hass: HomeAssistant, home: Home, messages: list[ServiceCall]
) -> None:
    """The message has what the session has used, and is sent once."""
    await automate(hass, EXAMPLES["The car has left"])
    home.charger.plug_in(Car())
    await home.travel(3600, step=60)
    home.charger.unplug()
    await home.travel(20, step=1)
    [message] = messages
    used = float(home.state("sensor", "completed_session.Energy"))
    assert message.data["message"] == (
        f"Someone charged {round(used, 1)} kWh in 1.0 hours"
    )


async def test_a_message_when_a_card_is_refused(
    hass: HomeAssistant, home: Home, messages: list[ServiceCall]
) -> None:
    """The message is sent for a card that is refused."""
    await automate(hass, EXAMPLES["A card was refused"])
    home.charger.observe(StateId.REJECTED_USER, "nfc-0499887766AA")
    await home.travel(1)
    [message] = messages
    assert message.data["message"] == "A card was refused: unknown"
