"""The triggers: when each fires, for which entities, and how the editor offers it."""

from datetime import timedelta
import json
from pathlib import Path
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import (
    ATTR_DEVICE_ID,
    ATTR_ENTITY_ID,
    ATTR_RESTORED,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import trigger as trigger_helpers
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.zaptec.charging_status import ChargingStatus
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.session_events import SessionEventType
from custom_components.zaptec.trigger import CARD_OUTCOMES, TRIGGERS

from .plugs import Garage, Key, Plug

TRANSLATIONS = Path(__file__).parents[1] / "custom_components/zaptec/translations"

CONNECTED: Key = ("binary_sensor", "car_connected")
CHARGING: Key = ("binary_sensor", "charging")
STATUS: Key = ("sensor", "charging_status")
SESSION: Key = ("event", "session")
CARD: Key = ("event", "card")
LIVE: Key = ("sensor", "push_status")

# The entity of each trigger of a state, a state before it fires, and the one it fires for.
CHANGES: dict[str, tuple[Key, str, str]] = {
    "car_connected": (CONNECTED, STATE_OFF, STATE_ON),
    "car_disconnected": (CONNECTED, STATE_ON, STATE_OFF),
    "charging_started": (CHARGING, STATE_OFF, STATE_ON),
    "charging_stopped": (CHARGING, STATE_ON, STATE_OFF),
    "charging_status_changed": (STATUS, "starting", "held"),
}
LIVE_CHANGES: dict[str, tuple[Key, str, str]] = {
    "live_messages_lost": (LIVE, "connected", "disconnected"),
    "live_messages_restored": (LIVE, "not_permitted", "connected"),
}
# The entity and the event of each trigger of an event.
EVENTS: dict[str, tuple[Key, str]] = {
    "charging_finished": (SESSION, "charging_finished"),
    "session_ended": (SESSION, "ended"),
    "card_presented": (CARD, "accepted"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "charging_status_changed": {"status": ["held", "paused", "offline"]}
}


@pytest.fixture
def garage(hass: HomeAssistant) -> Garage:
    """Return the garage."""
    return Garage(hass)


def trigger(name: str, target: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return the configuration of a trigger."""
    return {
        "trigger": f"{DOMAIN}.{name}",
        "target": target,
        "options": OPTIONS.get(name, {}) | options,
    }


def moment(number: int) -> str:
    """Return the state of an event entity: the time of its last event."""
    return f"2026-11-27T12:00:{number:02}.000+00:00"


def test_each_trigger_is_tested() -> None:
    """The tables of this file have all triggers."""
    assert {*CHANGES, *LIVE_CHANGES, *EVENTS} == set(TRIGGERS)


@pytest.mark.parametrize("name", CHANGES)
async def test_fires_once_for_each_change(garage: Garage, name: str) -> None:
    """A trigger fires when the state changes, not when it is written again."""
    key, before, after = CHANGES[name]
    first = garage.first
    await first.show(key, before)
    await garage.automate(trigger(name, {ATTR_DEVICE_ID: first.device_id}))
    await first.show(key, before, {"any": 1})
    assert garage.fired() == []
    for _ in range(2):
        await first.show(key, after)
        assert garage.fired() == [first.ids[key]]
        await first.show(key, after, {"any": 2})
        await first.show(key, before)
        assert garage.fired() == []


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("kind", ["entity", "device", "area", "floor", "label"])
async def test_follows_only_its_own_entities(
    garage: Garage, name: str, kind: str
) -> None:
    """Any target of a charger selects it, but no plug of another integration beside it.

    The other plug has entities of the same names, device classes and states.
    """
    key, before, after = CHANGES[name]
    first = garage.first
    plugs = (first, garage.second, garage.third, garage.other)
    for plug in plugs:
        await plug.show(key, before)
    await garage.automate(trigger(name, garage.targets_of_the_first(key)[kind]))
    for plug in plugs:
        await plug.show(key, after)
    assert garage.fired() == [first.ids[key]]


@pytest.mark.parametrize("name", CHANGES)
async def test_follows_only_one_kind_of_entity(
    garage: Garage, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """A trigger for a device does not fire for another entity that has the same states.

    The switch has the same translation key as the binary sensor.
    """
    key, before, after = CHANGES[name]
    first = garage.first
    others = [item for item in first.ids if item != key]
    for item in others:
        await first.show(item, before)
    await garage.automate(trigger(name, {ATTR_DEVICE_ID: first.device_id}))
    for item in others:
        await first.show(item, after)
    assert garage.fired() == []
    assert "Exception" not in caplog.text


@pytest.mark.parametrize("name", [*CHANGES, *LIVE_CHANGES])
@pytest.mark.parametrize("gap", [STATE_UNAVAILABLE, STATE_UNKNOWN])
async def test_does_not_fire_after_a_gap(garage: Garage, name: str, gap: str) -> None:
    """An entity that was unavailable shows what may have been true for long."""
    key, before, after = (CHANGES | LIVE_CHANGES)[name]
    plug = garage.home if key is LIVE else garage.first
    await plug.show(key, before)
    await garage.automate(trigger(name, {ATTR_DEVICE_ID: plug.device_id}))
    for state in (gap, after, gap, before, gap, after):
        await plug.show(key, state)
    assert garage.fired() == []
    await plug.show(key, before)
    await plug.show(key, after)
    assert garage.fired() == [plug.ids[key]]


@pytest.mark.parametrize("name", [*CHANGES, *LIVE_CHANGES])
async def test_does_not_fire_for_a_restart(
    hass: HomeAssistant, garage: Garage, name: str
) -> None:
    """An entity that is added again, after a restart or a reload, is no change."""
    key, before, after = (CHANGES | LIVE_CHANGES)[name]
    plug = garage.home if key is LIVE else garage.first
    await plug.show(key, before)
    await garage.automate(trigger(name, {ATTR_DEVICE_ID: plug.device_id}))
    await plug.show(key, STATE_UNAVAILABLE, {ATTR_RESTORED: True})
    await plug.show(key, after)
    hass.states.async_remove(plug.ids[key])
    await plug.show(key, after)
    assert garage.fired() == []


async def test_a_charger_that_is_online_again_is_no_change(garage: Garage) -> None:
    """The status of a charger that was offline may have been the same before."""
    first = garage.first
    await first.show(STATUS, "starting")
    target = {ATTR_DEVICE_ID: first.device_id}
    await garage.automate(trigger("charging_status_changed", target, status="held"))
    for state in ("offline", "held", "offline", "held"):
        await first.show(STATUS, state)
    assert garage.fired() == []


async def test_a_charger_that_goes_offline_can_be_selected(garage: Garage) -> None:
    """*Offline* is a status like the others: the trigger fires when a charger goes offline."""
    first = garage.first
    await first.show(STATUS, "charging")
    await garage.automate(
        trigger("charging_status_changed", {ATTR_DEVICE_ID: first.device_id})
    )
    await first.show(STATUS, "offline")
    assert garage.fired() == [first.ids[STATUS]]


async def test_the_first_charger_that_goes_offline(garage: Garage) -> None:
    """Where *offline* is selected, the chargers that are offline count."""
    first, second = garage.first, garage.second
    for plug in (first, second):
        await plug.show(STATUS, "charging")
    target = {ATTR_DEVICE_ID: [first.device_id, second.device_id]}
    await garage.automate(trigger("charging_status_changed", target, behavior="first"))
    for plug in (first, second):
        await plug.show(STATUS, "offline")
    assert garage.fired() == [first.ids[STATUS]]


async def test_from_one_selected_status_to_another(garage: Garage) -> None:
    """A change between two selected statuses is none for the trigger."""
    first = garage.first
    await first.show(STATUS, "charging")
    await garage.automate(
        trigger("charging_status_changed", {ATTR_DEVICE_ID: first.device_id})
    )
    await first.show(STATUS, "held")
    assert garage.fired() == [first.ids[STATUS]]
    await first.show(STATUS, "paused")
    assert garage.fired() == []


async def pass_by(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: float
) -> None:
    """Let time pass."""
    freezer.tick(timedelta(seconds=seconds))
    async_fire_time_changed(hass)
    await hass.async_block_till_done()


@pytest.mark.parametrize("name", [*CHANGES, *LIVE_CHANGES])
async def test_for_some_time(
    hass: HomeAssistant, garage: Garage, freezer: FrozenDateTimeFactory, name: str
) -> None:
    """With `for`, a trigger fires when the state has lasted, unless it has not."""
    key, before, after = (CHANGES | LIVE_CHANGES)[name]
    plug = garage.home if key is LIVE else garage.first
    await plug.show(key, before)
    await garage.automate(
        trigger(name, {ATTR_DEVICE_ID: plug.device_id}, **{"for": "00:05:00"})
    )
    for interruption in (before, STATE_UNAVAILABLE):
        await plug.show(key, before)
        await plug.show(key, after)
        await pass_by(hass, freezer, 290)
        await plug.show(key, interruption)
        await pass_by(hass, freezer, 400)
    assert garage.fired() == []
    await plug.show(key, before)
    await plug.show(key, after)
    await pass_by(hass, freezer, 290)
    assert garage.fired() == []
    await pass_by(hass, freezer, 20)
    assert garage.fired() == [plug.ids[key]]


@pytest.mark.parametrize("name", CHANGES)
async def test_the_first_and_all_of_several_chargers(garage: Garage, name: str) -> None:
    """`behavior` says whether the first or the last charger counts.

    A charger that is offline does not keep the trigger from firing.
    """
    key, before, after = CHANGES[name]
    first, second, third = garage.first, garage.second, garage.third
    away = "offline" if key is STATUS else STATE_UNAVAILABLE
    options = {"status": after} if name in OPTIONS else {}
    target = {ATTR_DEVICE_ID: [first.device_id, second.device_id, third.device_id]}
    await third.show(key, away)
    for plug in (first, second):
        await plug.show(key, before)
    await garage.automate(
        trigger(name, target, behavior="first", **options) | {"variables": {"n": 1}},
        trigger(name, target, behavior="all", **options) | {"variables": {"n": 2}},
        actions={
            "action": "test.automation",
            "data": {"entity_id": "{{ n }} {{ trigger.entity_id }}"},
        },
        mode="parallel",
    )
    await first.show(key, after)
    assert garage.fired() == [f"1 {first.ids[key]}"]
    await second.show(key, after)
    assert garage.fired() == [f"2 {second.ids[key]}"]


@pytest.mark.parametrize("name", EVENTS)
async def test_fires_for_each_event(garage: Garage, name: str) -> None:
    """Each event of the right type fires once, the first one of a new entity, too."""
    key, event = EVENTS[name]
    first = garage.first
    await first.show(key, STATE_UNKNOWN)
    await garage.automate(trigger(name, {ATTR_DEVICE_ID: first.device_id}))
    await first.show(key, moment(1), {"event_type": event})
    assert garage.fired() == [first.ids[key]]
    await first.show(key, moment(1), {"event_type": event, "energy": 3})
    await first.show(key, moment(2), {"event_type": "connected"})
    assert garage.fired() == []
    await first.show(key, moment(3), {"event_type": event})
    assert garage.fired() == [first.ids[key]]


@pytest.mark.parametrize("name", ["charging_finished", "session_ended"])
async def test_fires_only_for_its_own_event(garage: Garage, name: str) -> None:
    """A pause, for example, is not the end of charging by the car."""
    _, event = EVENTS[name]
    first = garage.first
    await first.show(SESSION, moment(0), {"event_type": "connected"})
    await garage.automate(trigger(name, {ATTR_DEVICE_ID: first.device_id}))
    found = []
    for number, another in enumerate(SessionEventType, 1):
        await first.show(SESSION, moment(number), {"event_type": another})
        if garage.fired():
            found.append(another)
    assert found == [event]


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("kind", ["entity", "device", "area", "floor", "label"])
async def test_follows_only_events_of_its_own_entities(
    garage: Garage, name: str, kind: str
) -> None:
    """Events of other integrations, and of other entities, do not fire."""
    key, event = EVENTS[name]
    first = garage.first
    other_key = SESSION if key is CARD else CARD
    for plug in (first, garage.second, garage.other):
        for item in (key, other_key):
            await plug.show(item, moment(1), {"event_type": event})
    await garage.automate(trigger(name, garage.targets_of_the_first(key)[kind]))
    for plug in (first, garage.second, garage.other):
        for item in (key, other_key):
            await plug.show(item, moment(2), {"event_type": event})
    assert garage.fired() == [first.ids[key]]


@pytest.mark.parametrize("name", EVENTS)
async def test_a_restored_event_does_not_fire(
    hass: HomeAssistant, garage: Garage, name: str
) -> None:
    """After a restart, a reload or an outage the entity shows its last event again."""
    key, event = EVENTS[name]
    first = garage.first
    await first.show(key, moment(1), {"event_type": event})
    await garage.automate(trigger(name, {ATTR_DEVICE_ID: first.device_id}))
    for attributes in ({ATTR_RESTORED: True}, {}):
        await first.show(key, STATE_UNAVAILABLE, attributes)
        await first.show(key, moment(1), {"event_type": event})
    hass.states.async_remove(first.ids[key])
    await first.show(key, moment(1), {"event_type": event})
    assert garage.fired() == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, CARD_OUTCOMES),
        ({"outcome": []}, CARD_OUTCOMES),
        ({"outcome": "rejected"}, ("rejected",)),
        ({"outcome": ["accepted", "new"]}, ("accepted", "new")),
    ],
)
async def test_the_outcomes_of_a_card(
    garage: Garage, options: dict[str, Any], expected: tuple[str, ...]
) -> None:
    """Without a selection, any outcome counts."""
    first = garage.first
    await first.show(CARD, moment(0), {"event_type": "accepted"})
    await garage.automate(
        trigger("card_presented", {ATTR_DEVICE_ID: first.device_id}, **options)
    )
    found = []
    for number, outcome in enumerate((*CARD_OUTCOMES, "another"), 1):
        await first.show(CARD, moment(number), {"event_type": outcome})
        if garage.fired():
            found.append(outcome)
    assert found == list(expected)


@pytest.mark.parametrize("name", LIVE_CHANGES)
@pytest.mark.parametrize("kind", ["entity", "device", "area", "floor", "label"])
async def test_live_messages_of_a_charger_are_those_of_its_installation(
    garage: Garage, name: str, kind: str
) -> None:
    """A charger as the target stands for its installation, which need not be in its area."""
    key, before, after = LIVE_CHANGES[name]
    another = ("sensor", "network_type")
    plugs = (garage.home, garage.cabin, garage.other)
    for plug in plugs:
        await plug.show(key, before)
        await plug.show(another, before)
    await garage.automate(trigger(name, garage.targets_of_the_first(STATUS)[kind]))
    for plug in plugs:
        await plug.show(key, after)
        await plug.show(another, after)
    assert garage.fired() == [garage.home.ids[key]]


@pytest.mark.parametrize("name", LIVE_CHANGES)
async def test_live_messages_of_an_installation(garage: Garage, name: str) -> None:
    """An installation as the target has other sensors, too, which do not count."""
    key, before, after = LIVE_CHANGES[name]
    another = ("sensor", "network_type")
    for item in (key, another):
        await garage.home.show(item, before)
    await garage.automate(trigger(name, {ATTR_DEVICE_ID: garage.home.device_id}))
    for item in (another, key):
        await garage.home.show(item, after)
    assert garage.fired() == [garage.home.ids[key]]


async def test_live_messages_of_a_user_group(
    hass: HomeAssistant, garage: Garage
) -> None:
    """The sensor of a user group, which has no device, can be the target."""
    group = Plug(
        hass,
        hass.config_entries.async_entries(DOMAIN)[0],
        "group",
        (("sensor", "user_group_push_status", "enum", None),),
    )
    key = ("sensor", "user_group_push_status")
    await group.show(key, "connected")
    await garage.automate(
        trigger("live_messages_lost", {ATTR_ENTITY_ID: group.ids[key]})
    )
    await group.show(key, "disconnected")
    assert garage.fired() == [group.ids[key]]


async def test_the_start_of_live_messages(garage: Garage) -> None:
    """The first connection after a start is neither lost nor back, nor is a refusal of it."""
    home = garage.home
    target = {ATTR_DEVICE_ID: home.device_id}
    await home.show(LIVE, STATE_UNAVAILABLE, {ATTR_RESTORED: True})
    await garage.automate(*(trigger(name, target) for name in LIVE_CHANGES))
    for state in (
        *("connecting", "connected", STATE_UNAVAILABLE),
        *("connecting", "disconnected", "not_permitted", "disconnected"),
    ):
        await home.show(LIVE, state)
    assert garage.fired() == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("charging_status_changed", {"status": []}),
        ("charging_status_changed", {"status": ["asleep"]}),
        ("charging_status_changed", {"status": None}),
        ("card_presented", {"outcome": ["lost"]}),
        ("car_connected", {"behavior": "some"}),
        ("session_ended", {"for": "00:05:00"}),
        ("car_painted", {}),
    ],
)
async def test_what_is_refused(
    garage: Garage, name: str, options: dict[str, Any]
) -> None:
    """A mistake in the configuration is found when the automation is set up."""
    await garage.automate(
        trigger(name, {ATTR_DEVICE_ID: garage.first.device_id}, **options)
    )
    assert not garage.is_automation_valid


async def test_the_status_is_required(garage: Garage) -> None:
    """Without a status, the trigger would fire for none."""
    config = trigger(
        "charging_status_changed", {ATTR_DEVICE_ID: garage.first.device_id}
    )
    await garage.automate(config | {"options": {}})
    assert not garage.is_automation_valid


async def test_the_editor_describes_each_trigger(
    hass: HomeAssistant, garage: Garage, caplog: pytest.LogCaptureFixture
) -> None:
    """Home Assistant reads a description of each trigger, with its target and its fields."""
    await garage.automate(
        trigger("session_ended", {ATTR_DEVICE_ID: garage.first.device_id})
    )
    described = await trigger_helpers.async_get_all_descriptions(hass)
    assert "triggers.yaml" not in caplog.text
    ours = {
        name.removeprefix(f"{DOMAIN}."): description
        for name, description in described.items()
        if name.startswith(f"{DOMAIN}.")
    }
    assert ours.keys() == TRIGGERS.keys()
    for name, description in ours.items():
        assert description
        [entity] = description["target"]["entity"]
        assert entity["integration"] == DOMAIN
        fields = list(description["fields"])
        if name in EVENTS:
            assert fields == (["outcome"] if name == "card_presented" else [])
        else:
            # What the user wants comes first.
            first = ["status"] if name in OPTIONS else []
            assert fields == [*first, "behavior", "for"]


@pytest.mark.parametrize(
    ("plug", "expected"),
    [
        ("first", set(TRIGGERS)),
        ("home", set(LIVE_CHANGES)),
        ("other", set[str]()),
    ],
)
async def test_the_editor_offers_what_fits_the_device(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    garage: Garage,
    monkeypatch: pytest.MonkeyPatch,
    plug: str,
    expected: set[str],
) -> None:
    """On the page of a device, only the triggers are offered that can fire for it."""
    await garage.automate(
        trigger("session_ended", {ATTR_DEVICE_ID: garage.first.device_id})
    )
    await async_setup_component(hass, "websocket_api", {})
    garage.pretend_that_entities_are_added(monkeypatch)
    client = await hass_ws_client(hass)
    await client.send_json_auto_id(
        {
            "type": "get_triggers_for_target",
            "target": {ATTR_DEVICE_ID: [getattr(garage, plug).device_id]},
        }
    )
    answer = await client.receive_json()
    assert {
        name.removeprefix(f"{DOMAIN}.")
        for name in answer["result"]
        if name.startswith(f"{DOMAIN}.")
    } == expected


@pytest.mark.parametrize(
    "file", sorted(TRANSLATIONS.glob("*.json")), ids=lambda x: x.stem
)
def test_the_choices_have_the_words_of_the_entities(file: Path) -> None:
    """A status or an outcome is called the same in an automation as on the screen."""
    texts = json.loads(file.read_text("utf-8"))
    choices = texts["selector"]
    states = texts["entity"]["sensor"]["charging_status"]["state"]
    assert choices["charging_status"]["options"] == states
    assert set(choices["charging_status"]["options"]) == set(ChargingStatus)


@pytest.mark.parametrize("word", ["car", "plug"])
def test_what_a_search_finds(word: str) -> None:
    """The search of the editor looks at names and descriptions."""
    texts = json.loads((TRANSLATIONS / "en.json").read_text("utf-8"))["triggers"]
    found = {
        name
        for name, text in texts.items()
        if word in f"{text['name']} {text['description']}".lower()
    }
    assert {"car_connected", "car_disconnected"} <= found
