"""Assist and MCP, in Home Assistant 2026.10.

Their code: components/conversation, and components/mcp_server, which offers the tools of
helpers/llm.py.
"""

import re

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.components.conversation import async_converse
from homeassistant.components.homeassistant.exposed_entities import async_expose_entity
from homeassistant.core import Context, HomeAssistant
from homeassistant.helpers import llm
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.car import Car
from simulator.charger import Charger
from tests.time_machine import TimeMachine

from .conftest import PAGE, blocks, wait_for

HEADING = "Assist and MCP"


@pytest.fixture
async def exposed(hass: HomeAssistant, live_entry: MockConfigEntry) -> dict[str, str]:
    """Expose the switch and the binary sensor; return the names to say, by entity."""
    for domain in ("homeassistant", "intent", "conversation"):
        assert await async_setup_component(hass, domain, {})
    section = PAGE.split(f"\n## {HEADING}\n")[1].split("\n## ")[0]
    sentences = {
        entity_id: sentence
        for sentence, entity_id in re.findall(r"\| \"(.+?)\" \| `(.+?)` \|", section)
    }
    assert list(sentences) == [
        "switch.garage_charging",
        "binary_sensor.garage_charging",
    ]
    for entity_id in sentences:
        async_expose_entity(hass, "conversation", entity_id, True)
    return sentences


async def say(hass: HomeAssistant, sentence: str) -> tuple[str, str]:
    """Send a sentence to Assist; return the type of its response, and the text."""
    answer = await async_converse(hass, sentence, None, Context())
    return answer.response.response_type.value, str(
        answer.response.speech["plain"]["speech"]
    )


async def test_assist_finds_the_switch_beside_the_binary_sensor(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    exposed: dict[str, str],
) -> None:
    """Assist finds the switch, although the binary sensor's name is similar.

    Two entities with the same name are an error for Assist.
    """
    charger.plug_in(Car())
    await time_machine.travel(60)
    kind, answer = await say(hass, exposed["switch.garage_charging"])
    assert kind == "action_done", answer
    await time_machine.travel(30)
    assert charger.final_stop
    kind, answer = await say(
        hass, exposed["switch.garage_charging"].replace("off", "on")
    )
    assert kind == "action_done", answer
    await time_machine.travel(60)
    assert charger.power > 0
    kind, answer = await say(hass, exposed["binary_sensor.garage_charging"])
    assert kind == "query_answer", answer
    assert answer.startswith("Yes"), answer


async def test_an_mcp_client_finds_the_switch_beside_the_binary_sensor(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    exposed: dict[str, str],
) -> None:
    """An MCP client finds the switch by the name that the prompt shows to a language model."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    api = await llm.async_get_api(
        hass,
        llm.LLM_API_ASSIST,
        llm.LLMContext(
            platform="mcp_server",
            context=Context(),
            language="*",
            assistant="conversation",
            device_id=None,
        ),
    )
    names = [hass.states.get(entity_id) for entity_id in exposed]
    shown = [state.name for state in names if state]
    assert len(set(shown)) == len(exposed)
    [tool] = [tool for tool in api.tools if tool.name.endswith("HassTurnOff")]
    answer = await api.async_call_tool(
        llm.ToolInput(tool_name=tool.name, tool_args={"name": shown[0]})
    )
    assert not answer.error
    assert answer.data["response_type"] == "action_done"
    await time_machine.travel(30)
    assert charger.final_stop


@pytest.mark.usefixtures("live_entry")
async def test_assist_says_why_the_car_is_not_charging(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger
) -> None:
    """The page's automations answer with the status and the energy of the last session."""
    for domain in ("homeassistant", "intent", "conversation"):
        assert await async_setup_component(hass, domain, {})
    [config] = blocks(HEADING)
    assert await async_setup_component(hass, AUTOMATION_DOMAIN, config)
    await hass.async_block_till_done()
    status = "sensor.garage_charging_status"
    why = ("Why is the car not charging?", "why isn't the car charging")
    for sentence in why:
        assert await say(hass, sentence) == ("action_done", "No car")
    charger.plug_in(Car())
    await time_machine.travel(60)
    charger.stop_charging()
    await time_machine.travel(30)
    await wait_for(hass, status, "paused")
    for sentence in why:
        assert await say(hass, sentence) == ("action_done", "Paused")
    assert await say(hass, "How much did the car charge last time?") == (
        "action_done",
        "12.300 kWh",
    )


@pytest.mark.usefixtures("live_entry")
async def test_the_tools_that_the_page_names(hass: HomeAssistant) -> None:
    """A language model has the tools of the page once the two sensors are exposed."""
    for domain in ("homeassistant", "intent", "conversation"):
        assert await async_setup_component(hass, domain, {})
    section = PAGE.split(f"\n## {HEADING}\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(zaptec__\w+)`", section))
    for entity_id in re.findall(r"`(sensor\.\w+)`", section):
        async_expose_entity(hass, "conversation", entity_id, True)
    context = llm.LLMContext("test", Context(), "en", "conversation", None)
    api = await llm.async_get_api(hass, llm.LLM_API_ASSIST, context)
    assert named == {tool.name for tool in api.tools if tool.name.startswith("zaptec")}
    for name in named:
        answer = await api.async_call_tool(llm.ToolInput(name, {}))
        assert not answer.error
