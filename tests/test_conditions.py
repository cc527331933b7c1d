"""The conditions: when each is met, for which entities, and how the editor offers it."""

from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import (
    ATTR_DEVICE_ID,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import condition as condition_helpers
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.zaptec.condition import CONDITIONS
from custom_components.zaptec.const import DOMAIN

from .plugs import Garage, Key

CONNECTED: Key = ("binary_sensor", "car_connected")
CHARGING: Key = ("binary_sensor", "charging")
STATUS: Key = ("sensor", "charging_status")

# The entity of each condition, a state in which it is not met, and one in which it is.
STATES: dict[str, tuple[Key, str, str]] = {
    "is_car_connected": (CONNECTED, STATE_OFF, STATE_ON),
    "is_charging": (CHARGING, STATE_OFF, STATE_ON),
    "is_charging_status": (STATUS, "charging", "held"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "is_charging_status": {"status": ["held", "paused"]}
}


@pytest.fixture
def garage(hass: HomeAssistant) -> Garage:
    """Return the garage."""
    return Garage(hass)


class Asked:
    """An automation whose conditions are tested when it is asked for."""

    def __init__(self, hass: HomeAssistant, garage: Garage) -> None:
        """Initialize what asks."""
        self._hass = hass
        self._garage = garage

    async def about(self, name: str, target: dict[str, Any], **options: Any) -> None:
        """Set up an automation with a condition."""
        await self._garage.automate(
            {"trigger": "event", "event_type": "ask"},
            conditions={
                "condition": f"{DOMAIN}.{name}",
                "target": target,
                "options": OPTIONS.get(name, {}) | options,
            },
            actions={"action": "test.automation", "data": {"entity_id": "met"}},
        )

    async def is_met(self) -> bool:
        """Return whether the condition is met."""
        self._hass.bus.async_fire("ask")
        await self._hass.async_block_till_done()
        return self._garage.fired() == ["met"]


@pytest.fixture
def asked(hass: HomeAssistant, garage: Garage) -> Asked:
    """Return what asks for a condition."""
    return Asked(hass, garage)


def test_each_condition_is_tested() -> None:
    """The table of this file has all conditions."""
    assert STATES.keys() == CONDITIONS.keys()


@pytest.mark.parametrize("name", STATES)
async def test_is_met_in_its_state_only(
    garage: Garage, asked: Asked, name: str
) -> None:
    """A condition is not met while it is unknown whether it is."""
    key, wrong, right = STATES[name]
    first = garage.first
    await asked.about(name, {ATTR_DEVICE_ID: first.device_id})
    for state in (wrong, STATE_UNKNOWN, STATE_UNAVAILABLE):
        await first.show(key, state)
        assert not await asked.is_met()
    await first.show(key, right)
    assert await asked.is_met()


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("kind", ["entity", "device", "area", "floor", "label"])
async def test_looks_only_at_its_own_entities(
    garage: Garage, asked: Asked, name: str, kind: str
) -> None:
    """Any target of a charger selects it, but neither other plugs nor other entities."""
    key, wrong, right = STATES[name]
    for plug in (garage.second, garage.third, garage.other):
        await plug.show(key, right)
    for item in garage.first.ids:
        await garage.first.show(item, right)
    await garage.first.show(key, wrong)
    await asked.about(name, garage.targets_of_the_first(key)[kind])
    assert not await asked.is_met()
    await garage.first.show(key, right)
    assert await asked.is_met()
    await garage.other.show(key, wrong)
    assert await asked.is_met()


@pytest.mark.parametrize("name", STATES)
async def test_any_or_all_of_several_chargers(
    garage: Garage, asked: Asked, name: str
) -> None:
    """A charger that is offline does not keep the condition from being met by all others."""
    key, wrong, right = STATES[name]
    first, second, third = garage.first, garage.second, garage.third
    target = {ATTR_DEVICE_ID: [plug.device_id for plug in (first, second, third)]}
    await third.show(key, "offline" if key is STATUS else STATE_UNAVAILABLE)
    await first.show(key, right)
    await second.show(key, wrong)
    await asked.about(name, target, behavior="all")
    assert not await asked.is_met()
    await second.show(key, right)
    assert await asked.is_met()


@pytest.mark.parametrize("name", STATES)
async def test_any_of_several_chargers(garage: Garage, asked: Asked, name: str) -> None:
    """Without `behavior`, one charger suffices."""
    key, wrong, right = STATES[name]
    first, second = garage.first, garage.second
    await first.show(key, wrong)
    await second.show(key, right)
    await asked.about(name, {ATTR_DEVICE_ID: [first.device_id, second.device_id]})
    assert await asked.is_met()


@pytest.mark.parametrize("behavior", ["any", "all"])
async def test_offline_is_a_status_like_the_others(
    garage: Garage, asked: Asked, behavior: str
) -> None:
    """Where *offline* is selected, the chargers that are offline count."""
    first, second = garage.first, garage.second
    await first.show(STATUS, "offline")
    await second.show(STATUS, "held")
    target = {ATTR_DEVICE_ID: [first.device_id, second.device_id]}
    await asked.about("is_charging_status", target, status="offline", behavior=behavior)
    assert await asked.is_met() is (behavior == "any")
    await second.show(STATUS, "offline")
    assert await asked.is_met()


@pytest.mark.parametrize("name", STATES)
async def test_for_some_time(
    garage: Garage, asked: Asked, freezer: FrozenDateTimeFactory, name: str
) -> None:
    """With `for`, the state must have lasted."""
    key, _, right = STATES[name]
    await asked.about(
        name, {ATTR_DEVICE_ID: garage.first.device_id}, **{"for": "00:05:00"}
    )
    await garage.first.show(key, right)
    freezer.tick(timedelta(seconds=290))
    assert not await asked.is_met()
    freezer.tick(timedelta(seconds=20))
    assert await asked.is_met()


@pytest.mark.parametrize("status", [None, [], ["asleep"]])
async def test_what_is_refused(
    garage: Garage, asked: Asked, status: list[str] | None
) -> None:
    """A mistake in the configuration is found when the automation is set up."""
    await asked.about(
        "is_charging_status", {ATTR_DEVICE_ID: garage.first.device_id}, status=status
    )
    assert not garage.is_automation_valid


async def test_the_editor_describes_each_condition(
    hass: HomeAssistant, garage: Garage, asked: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    """Home Assistant reads a description of each condition, with its target and fields."""
    await asked.about("is_charging", {ATTR_DEVICE_ID: garage.first.device_id})
    described = await condition_helpers.async_get_all_descriptions(hass)
    assert "conditions.yaml" not in caplog.text
    for name in CONDITIONS:
        description = described[f"{DOMAIN}.{name}"]
        assert description
        [entity] = description["target"]["entity"]
        assert entity["integration"] == DOMAIN
        # What the user wants comes first.
        first = ["status"] if name in OPTIONS else []
        assert list(description["fields"]) == [*first, "behavior", "for"]


@pytest.mark.parametrize(
    ("plug", "expected"),
    [("first", set(CONDITIONS)), ("home", set[str]()), ("other", set[str]())],
)
async def test_the_editor_offers_what_fits_the_device(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    garage: Garage,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    plug: str,
    expected: set[str],
) -> None:
    """On the page of a device, only the conditions are offered that it can meet."""
    await asked.about("is_charging", {ATTR_DEVICE_ID: garage.first.device_id})
    await async_setup_component(hass, "websocket_api", {})
    garage.pretend_that_entities_are_added(monkeypatch)
    client = await hass_ws_client(hass)
    await client.send_json_auto_id(
        {
            "type": "get_conditions_for_target",
            "target": {ATTR_DEVICE_ID: [getattr(garage, plug).device_id]},
        }
    )
    answer = await client.receive_json()
    assert {
        name.removeprefix(f"{DOMAIN}.")
        for name in answer["result"]
        if name.startswith(f"{DOMAIN}.")
    } == expected
