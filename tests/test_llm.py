"""The tools for language models: what they may read, and what they answer."""

from collections.abc import Iterable
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import entity_registry as er, llm
from homeassistant.setup import async_setup_component
import probatio
import pytest

from custom_components.zaptec import llm as tools
from custom_components.zaptec.charging_status import ChargingStatus
from simulator.car import Car
from simulator.observations import StateId
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)

from .conftest import CARD, wait_until
from .home import Home

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/entities.md").read_text("utf-8")

STATUS = "zaptec__get_charging_status"
LAST_SESSION = "zaptec__get_last_session"

ASSISTANT = "conversation"

# What a charger reports of a session that was authorized with a card.
SESSION = {
    "SessionId": "a1b2c3d4-0000-4000-8000-000000000001",
    "Energy": 12.3456,
    "StartDateTime": "2026-01-02T18:00:00Z",
    "EndDateTime": "2026-01-02T22:30:00Z",
    "ReliableClock": True,
    "AuthenticationCode": CARD,
}


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with two chargers."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=32,
                chargers=(
                    ChargerScenario(serial="ZAP000101", name="Garage"),
                    ChargerScenario(serial="ZAP000102", name="Carport"),
                ),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="someone@example.com", password="x", roles={"Home": OWNER}
            ),
        ),
    )


@pytest.fixture(autouse=True)
async def _assist(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up Assist, and enable the entities that are disabled by default."""
    for domain in ("homeassistant", "intent", "conversation"):
        assert await async_setup_component(hass, domain, {})
    monkeypatch.setattr(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    )


def expose(home: Home, *entity_ids: str, exposed: bool = True) -> None:
    """Expose sensors of the chargers to Assist, or no longer."""
    for entity_id in entity_ids:
        assert home.hass.states.get(f"sensor.{entity_id}")
        async_expose_entity(home.hass, ASSISTANT, f"sensor.{entity_id}", exposed)


async def api(
    home: Home, *, api_id: str = llm.LLM_API_ASSIST, language: str | None = "en"
) -> llm.APIInstance:
    """Return what a language model may use."""
    context = llm.LLMContext(
        platform="test",
        context=Context(),
        language=language,
        assistant=ASSISTANT,
        device_id=None,
    )
    return await llm.async_get_api(home.hass, api_id, context)


def ours(instance: llm.APIInstance) -> dict[str, llm.Tool]:
    """Return the tools of the integration, by name."""
    return {tool.name: tool for tool in instance.tools if "zaptec" in tool.name}


async def ask(
    home: Home, tool: str, *, language: str | None = "en", **arguments: str
) -> llm.ToolResult:
    """Return what a tool answers."""
    instance = await api(home, language=language)
    return await instance.async_call_tool(
        llm.ToolInput(tool_name=tool, tool_args=arguments)
    )


def answers(result: llm.ToolResult) -> list[Any]:
    """Return the answers of a tool, one for each charger."""
    assert not result.error
    chargers = result.data["chargers"]
    assert isinstance(chargers, list)
    return chargers


async def end_session(home: Home) -> None:
    """Let the charger report a session that has ended."""
    await home.hass.config.async_set_time_zone("Europe/Oslo")
    home.charger.observe(StateId.COMPLETED_SESSION, json.dumps(SESSION))
    # The sensors are written in several time slices.
    await home.wait_for("sensor", "completed_session_duration", "4.5")
    await wait_until(
        lambda: all(
            home.state("sensor", key) != STATE_UNKNOWN
            for key in tools.LAST_SESSION_KEYS
        )
    )


async def test_no_tool_until_a_sensor_is_exposed(home: Home) -> None:
    """A model gets a tool only for sensors that are exposed to its assistant."""
    await end_session(home)
    assert ours(await api(home)) == {}
    expose(home, "garage_charging_status")
    assert ours(await api(home)).keys() == {STATUS}
    expose(home, "garage_completed_session_energy")
    assert ours(await api(home)).keys() == {STATUS, LAST_SESSION}


async def test_the_tools_only_read(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """The tools say that they change nothing, and follow Home Assistant's rules for names."""
    await end_session(home)
    expose(home, "garage_charging_status", "garage_completed_session_energy")
    home.clear()
    for tool in ours(await api(home)).values():
        assert tool.annotations == llm.ToolAnnotations(
            read_only=True, destructive=False, idempotent=True, open_world=False
        )
        assert tool.integration == "zaptec"
        assert tool.title
        assert tool.description
        await ask(home, tool.name)
    assert not home.sim.rest.requests
    assert "Detected that" not in caplog.text


@pytest.mark.parametrize(
    ("api_id", "assistant"), [("another", ASSISTANT), (llm.LLM_API_ASSIST, "")]
)
async def test_no_tool_for_others(home: Home, api_id: str, assistant: str) -> None:
    """An API without exposed entities, and a request without an assistant, get no tool."""
    expose(home, "garage_charging_status")
    context = llm.LLMContext("test", Context(), "en", assistant, None)
    assert tools.async_get_tools(home.hass, context, api_id) is None


async def test_why_a_held_car_does_not_charge(home: Home) -> None:
    """The answer names the status, what it means, and what the user can do."""
    expose(home, "garage_charging_status")
    await home.turn_off()
    home.charger.plug_in(Car())
    await home.travel(60)
    await home.wait_for("sensor", "charging_status", "held")
    assert answers(await ask(home, STATUS)) == [
        {
            "name": "Garage Charging status",
            "status": "Held until allowed",
            "meaning": (
                "Charging allowed is off, so this car waits, and so does each next one"
            ),
            "what_to_do": "turn on Charging allowed",
        }
    ]


@pytest.mark.parametrize(
    ("language", "status", "switch"),
    [
        ("de", "Wartet auf Erlaubnis", "Laden erlaubt"),
        ("*", "Venter på tillatelse", "Lading tillatt"),
        (None, "Venter på tillatelse", "Lading tillatt"),
    ],
)
async def test_names_are_those_on_the_screen(
    home: Home, language: str | None, status: str, switch: str
) -> None:
    """Status and names are in the user's language, or else in that of Home Assistant."""
    home.hass.config.language = "nb"
    expose(home, "garage_charging_status")
    home.hass.states.async_set("sensor.garage_charging_status", "held")
    [answer] = answers(await ask(home, STATUS, language=language))
    assert answer["status"] == status
    assert answer["what_to_do"] == f"turn on {switch}"


async def test_the_charger_is_unreachable(home: Home) -> None:
    """An unavailable sensor is explained, too."""
    expose(home, "garage_charging_status")
    await home.stop()
    await home.start()
    home.hass.states.async_set("sensor.garage_charging_status", "unavailable")
    [answer] = answers(await ask(home, STATUS))
    assert answer["status"] == "unavailable"
    assert "receives no data" in answer["meaning"]


async def test_the_account_is_not_loaded(home: Home) -> None:
    """An account that is not loaded has no tools."""
    expose(home, "garage_charging_status")
    await home.stop()
    assert ours(await api(home)) == {}


async def test_one_of_two_chargers(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name picks a charger; without one, the answer has all that are exposed."""
    expose(home, "garage_charging_status", "carport_charging_status")
    both = answers(await ask(home, STATUS))
    names = ["Garage Charging status", "Carport Charging status"]
    assert [answer["name"] for answer in both] == names
    for name in names:
        [answer] = answers(await ask(home, STATUS, name=name))
        assert answer["name"] == name
    with pytest.raises(probatio.Invalid):
        await ask(home, STATUS, name="Garage")
    monkeypatch.setattr(tools, "ANSWERS_MAX", 1)
    result = await ask(home, STATUS)
    assert [answer["name"] for answer in answers(result)] == names[:1]
    assert result.data["left_out"] == 1


async def test_a_sensor_that_is_no_longer_exposed(home: Home) -> None:
    """What was exposed when the conversation began, but is no longer, is not read."""
    expose(home, "garage_charging_status")
    instance = await api(home)
    expose(home, "garage_charging_status", exposed=False)
    result = await instance.async_call_tool(
        llm.ToolInput(tool_name=STATUS, tool_args={})
    )
    assert result.error


async def test_another_name_of_a_sensor(
    home: Home, entity_registry: er.EntityRegistry
) -> None:
    """An alias names a charger, also if it is the only name that the user has left."""
    expose(home, "garage_charging_status")
    entity_id = "sensor.garage_charging_status"
    entity_registry.async_update_entity(entity_id, aliases=["Blue car"])
    [answer] = answers(await ask(home, STATUS, name="Blue car"))
    assert answer["name"] == "Blue car"
    entity_registry.async_update_entity(entity_id, aliases=[])
    [answer] = answers(await ask(home, STATUS))
    assert answer["name"] == "Garage Charging status"


async def test_the_last_session(home: Home) -> None:
    """The answer has the energy, the local times, and who authorized, as the sensors do."""
    await end_session(home)
    expose(
        home,
        "garage_completed_session_energy",
        "garage_completed_session_start",
        "garage_completed_session_end",
        "garage_completed_session_duration",
        "garage_completed_session_authorized_by",
    )
    [answer] = answers(await ask(home, LAST_SESSION))
    authorized_by = home.state("sensor", "completed_session.AuthenticationCode")
    assert answer == {
        "name": "Garage Last session energy",
        "energy": "12.346 kWh",
        "start": "2026-01-02T19:00+01:00",
        "end": "2026-01-02T23:30+01:00",
        "duration": "4.50 h",
        "authorized_by": authorized_by,
    }
    assert CARD not in str(answer)


async def test_only_what_is_exposed_of_the_last_session(home: Home) -> None:
    """A sensor that is not exposed, or is unknown, is left out."""
    await end_session(home)
    expose(home, "garage_completed_session_energy", "carport_completed_session_start")
    assert answers(await ask(home, LAST_SESSION)) == [
        {"name": "Garage Last session energy", "energy": "12.346 kWh"},
        {"name": "Carport Last session start"},
    ]


def rows() -> Iterable[tuple[str, ...]]:
    """Return the states of the page's table, with meaning and advice."""
    section = PAGE.split("\n## Charging status\n")[1].split("\n## ")[0]
    return re.findall(
        r"^\| [^|]+ \| `(\w+)` \| (.+?) \| (.+?) \|$", section, re.MULTILINE
    )


def test_the_explanations_are_those_of_the_page() -> None:
    """Each status is explained, with the words of docs/entities.md."""
    texts = json.loads(
        (ROOT / "custom_components/zaptec/translations/en.json").read_text("utf-8")
    )
    names = {}
    for name, entity in tools._NAMED.items():
        platform, key = entity.split(".")
        names[name] = f"*{texts['entity'][platform][key]['name']}*"
    said = {
        status: (meaning.format(**names), advice.format(**names))
        for status, (meaning, advice) in tools.EXPLANATIONS.items()
    }
    assert said.pop("unavailable")
    assert said == {status: (meaning, advice) for status, meaning, advice in rows()}
    assert said.keys() == {*ChargingStatus, "unknown"}
