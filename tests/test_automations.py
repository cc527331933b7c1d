"""Triggers with simulated chargers: each real change fires once, and nothing else does."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
import os
from pathlib import Path
from random import Random
from typing import Any

from homeassistant.components.automation import DOMAIN as AUTOMATION_DOMAIN
from homeassistant.const import (
    ATTR_AREA_ID,
    ATTR_DEVICE_ID,
    CONF_OPTIONS,
    STATE_UNAVAILABLE,
)
from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    ServiceCall,
    callback,
)
from homeassistant.helpers import area_registry as ar, device_registry as dr
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.helpers.selector import TargetSelector
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.zaptec import state as state_module
from custom_components.zaptec.api import Observation, ZaptecClient
from custom_components.zaptec.charging_status import ChargingStatus
from custom_components.zaptec.condition import CONDITIONS
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control.car import has_car
from custom_components.zaptec.sources import reader as reader_module
from custom_components.zaptec.sources.reader import FIRST_READINGS_TIME
from custom_components.zaptec.trigger import TRIGGERS
from simulator.accounts import Card
from simulator.car import Car
from simulator.charger import CommandRejectedError
from simulator.observations import Mode, StateId

from .conftest import CARD, set_up
from .home import Home
from .integration_source import Integration
from .plugs import CHARGER_ENTITIES, Plug
from .test_push import message
from .time_machine import wait_until

ZAPTEC = Integration(Path(__file__).resolve().parents[1] / "custom_components/zaptec")

# Number of walks, and of steps of each.
WALKS = int(os.environ.get("TRIGGER_WALKS", "3"))
STEPS = 25

# Time within which everything that follows an act has been reported (s). The end of a
# session comes last, some seconds after the car has left.
SETTLED = 20

# Maximum time that a set-up waits for the first readings, as for users (s).
WAIT = FIRST_READINGS_TIME

STATUSES = [status.value for status in ChargingStatus if status != "offline"]


@pytest.fixture(autouse=True)
def _as_users_set_up(_quick_set_up: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the first readings, so that no message from before a start is shown."""
    monkeypatch.setattr(reader_module, "FIRST_READINGS_TIME", WAIT)


class Fired:
    """Counts how often each trigger has fired."""

    def __init__(self, hass: HomeAssistant, home: Home) -> None:
        """Initialize without any."""
        self._hass = hass
        self._home = home
        self.counts: Counter[str] = Counter()
        # How often the trigger has fired that has one status selected, by the status.
        self.statuses: Counter[str] = Counter()

        @callback
        def count(call: ServiceCall) -> None:
            trigger, _, status = call.data["name"].partition(" ")
            if status:
                self.statuses[status] += 1
            else:
                self.counts[trigger] += 1

        hass.services.async_register("test", "fired", count)

    @property
    def device_id(self) -> str:
        """Return the id of the charger's device."""
        device = dr.async_get(self._hass).async_get_device_by_identifier(
            (DOMAIN, self._home.charger.id), self._home.entry.entry_id
        )
        assert device
        return device.id

    async def automate(self, target: dict[str, str] | None = None) -> None:
        """Set up an automation for each trigger of the charger, and for each status."""
        status_changed = "charging_status_changed"
        options = {status_changed: {"status": STATUSES}}
        config = [
            {
                "alias": name,
                "triggers": {
                    "trigger": f"{DOMAIN}.{trigger}",
                    "target": target or {ATTR_DEVICE_ID: self.device_id},
                    CONF_OPTIONS: chosen,
                },
                "actions": {"action": "test.fired", "data": {"name": name}},
                "mode": "parallel",
            }
            for name, trigger, chosen in (
                *((name, name, options.get(name, {})) for name in TRIGGERS),
                *(
                    (f"{status_changed} {item}", status_changed, {"status": item})
                    for item in STATUSES
                ),
            )
        ]
        assert await async_setup_component(
            self._hass, AUTOMATION_DOMAIN, {AUTOMATION_DOMAIN: config}
        )
        await self._hass.async_block_till_done()

    def take(self) -> dict[str, int]:
        """Return how often each trigger has fired since the last call."""
        counts, self.counts = self.counts, Counter()
        return dict(counts)

    def take_statuses(self) -> dict[str, int]:
        """Return how often each status has fired since the last call."""
        statuses, self.statuses = self.statuses, Counter()
        return dict(statuses)


def follow(home: Home, *entity_ids: str) -> list[str]:
    """Return the list of the states that some entities have from now on."""
    written: list[str] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        if new := event.data["new_state"]:
            written.append(new.state)

    async_track_state_change_event(home.hass, entity_ids, note)
    return written


@pytest.fixture
async def fired(hass: HomeAssistant, home: Home) -> Fired:
    """Return the counter of the triggers, of a charger that is live."""
    counter = Fired(hass, home)
    await counter.automate()
    return counter


async def test_a_session(home: Home, fired: Fired) -> None:
    """In a session each trigger fires once, when what it is called after has happened."""
    home.charger.plug_in(Car(capacity_kwh=1))
    await home.travel(60, step=1)
    assert fired.take() == {"car_connected": 1, "charging_started": 1}
    assert fired.take_statuses() == {"starting": 1, "charging": 1}
    await home.travel(1800, step=30)
    assert fired.take() == {"charging_stopped": 1, "charging_finished": 1}
    assert fired.take_statuses() == {"finished_by_car": 1}
    home.charger.unplug()
    await home.travel(SETTLED, step=1)
    assert fired.take() == {"car_disconnected": 1, "session_ended": 1}
    assert fired.take_statuses() == {"disconnected": 1}


async def test_a_car_that_finishes_after_a_wait(home: Home, fired: Fired) -> None:
    """Some cars draw no power for a while before they say that they have finished."""
    home.charger.plug_in(Car(capacity_kwh=60))
    await home.travel(60, step=1)
    fired.take()
    home.charger.observe(StateId.OPERATION_MODE, Mode.REQUESTING)
    await home.travel(30, step=1)
    assert fired.take() == {"charging_stopped": 1}
    home.charger.observe(StateId.OPERATION_MODE, Mode.FINISHED)
    await home.travel(30, step=1)
    assert fired.take() == {"charging_finished": 1}


async def test_a_car_that_is_full_when_it_is_resumed(home: Home, fired: Fired) -> None:
    """It does not charge again, and has finished all the same."""
    home.charger.plug_in(Car(capacity_kwh=60))
    await home.travel(60, step=1)
    home.charger.stop_charging()
    await home.travel(30, step=1)
    home.charger.set_car_wants(False)
    await home.travel(30, step=1)
    fired.take()
    home.charger.resume_charging()
    await home.travel(120, step=1)
    assert fired.take() == {"charging_finished": 1}


async def test_a_pause(home: Home, fired: Fired) -> None:
    """A pause stops charging, and does not finish it; nor does a car that leaves."""
    home.charger.plug_in(Car())
    await home.travel(60, step=1)
    fired.take()
    fired.take_statuses()
    home.charger.stop_charging()
    await home.travel(60, step=1)
    assert fired.take() == {"charging_stopped": 1}
    assert fired.take_statuses() == {"paused": 1}
    home.charger.resume_charging()
    await home.travel(60, step=1)
    assert fired.take() == {"charging_started": 1}
    assert fired.take_statuses() == {"starting": 1, "charging": 1}
    home.charger.unplug()
    await home.travel(SETTLED, step=1)
    assert fired.take() == {
        "charging_stopped": 1,
        "car_disconnected": 1,
        "session_ended": 1,
    }


async def test_cards(home: Home, fired: Fired) -> None:
    """A card fires when it authorizes a session, and when it is refused or new."""
    home.charger.installation.authentication_required = True
    home.charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    await home.entry.runtime_data.coordinator.async_refresh()
    home.charger.plug_in(Car())
    await home.travel(30, step=1)
    fired.take()
    for state_id in (StateId.REJECTED_USER, StateId.NEW_CARD):
        home.charger.observe(state_id, "nfc-0066AA")
        await home.travel(5, step=1)
        assert fired.take() == {"card_presented": 1}
    home.charger.authorize(card=Card("Key ring", CARD.removeprefix("nfc-")))
    await home.travel(30, step=1)
    assert fired.take() == {"card_presented": 1, "charging_started": 1}


@pytest.mark.parametrize("leaves", [False, True])
async def test_an_authorization_that_is_withdrawn(
    home: Home, fired: Fired, leaves: bool
) -> None:
    """The charger says for a moment that the car has left, even if it has stayed."""
    home.charger.installation.authentication_required = True
    home.charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    await home.entry.runtime_data.coordinator.async_refresh()
    home.charger.plug_in(Car(capacity_kwh=60))
    await home.travel(30, step=1)
    home.charger.authorize(card=Card("Key ring", CARD.removeprefix("nfc-")))
    await home.travel(30, step=1)
    fired.take()
    with suppress(CommandRejectedError):
        home.charger.deauthorize_and_stop()
    if leaves:
        home.charger.unplug()
    await home.travel(60, step=1)
    assert fired.take() == {
        "charging_stopped": 1,
        "session_ended": 1,
        **({"car_disconnected": 1} if leaves else {}),
    }


@pytest.mark.parametrize("first", ["readings", "messages"])
async def test_a_session_that_ends_in_an_outage(
    home: Home, fired: Fired, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """What a session has used is known after an outage, too, so its end fires late.

    All else that has changed meanwhile fires nothing, whichever ends the outage.
    """
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    home.charger.plug_in(Car(capacity_kwh=60))
    await home.travel(60, step=1)
    fired.take()
    await home.sim.bus.cut()
    await home.sim.rest.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    await home.travel(10, step=1)
    await home.wait_for("binary_sensor", "car_connected", STATE_UNAVAILABLE)
    home.charger.unplug()
    await home.travel(SETTLED, step=1)
    assert fired.take() == {"live_messages_lost": 1}
    fired.take_statuses()
    outages = [home.sim.rest, home.sim.bus]
    for outage in outages if first == "readings" else reversed(outages):
        await outage.restore()
        await home.travel(120, step=5)
    await home.travel(300, step=5)
    await home.wait_until_live()
    assert home.state("binary_sensor", "car_connected") == "off"
    assert fired.take() == {"live_messages_restored": 1, "session_ended": 1}
    assert fired.take_statuses() == {}


async def test_a_restart_and_a_reload(
    hass: HomeAssistant, new_home: Home, fired_later: Fired
) -> None:
    """Entities that are added again, and all that a start reads, fire nothing."""
    new_home.charger.plug_in(Car(capacity_kwh=60))
    await new_home.travel(60, step=1)
    await fired_later.automate()
    await new_home.start()
    await new_home.travel(60, step=1)
    await new_home.reload()
    await new_home.travel(60, step=1)
    await new_home.stop()
    await new_home.travel(10, step=1)
    await hass.config_entries.async_setup(new_home.entry.entry_id)
    await new_home.travel(60, step=1)
    assert fired_later.take() == fired_later.take_statuses() == {}


@pytest.fixture
def fired_later(
    hass: HomeAssistant, new_home: Home, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fired]:
    """Return the counter of the triggers, of a charger whose account is not set up yet."""
    dr.async_get(hass).async_get_or_create(
        config_entry_id=new_home.entry.entry_id,
        identifiers={(DOMAIN, new_home.charger.id)},
    )
    return Fired(hass, new_home)


async def test_an_outage(
    home: Home, fired: Fired, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage is that of the live messages; the entities that it makes unavailable fire nothing."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    home.charger.plug_in(Car(capacity_kwh=60))
    await home.travel(60, step=1)
    fired.take()
    await home.sim.bus.cut()
    await home.sim.rest.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    await home.travel(10, step=1)
    await home.wait_for("binary_sensor", "car_connected", STATE_UNAVAILABLE)
    assert fired.take() == {"live_messages_lost": 1}
    fired.take_statuses()
    await home.sim.rest.restore()
    await home.sim.bus.restore()
    await home.travel(300, step=5)
    await home.wait_until_live()
    assert fired.take() == {"live_messages_restored": 1}
    assert fired.take_statuses() == {}


async def test_a_charger_that_is_offline_for_a_while(home: Home, fired: Fired) -> None:
    """A charger that is offline, and online again with the same car, fires nothing."""
    home.charger.plug_in(Car(capacity_kwh=60))
    await home.travel(60, step=1)
    fired.take()
    fired.take_statuses()
    for _ in range(2):
        home.charger.set_offline()
        await home.travel(30, step=1)
        home.charger.set_online()
        await home.travel(30, step=1)
    assert fired.take() == fired.take_statuses() == {}


async def test_a_car_that_leaves_while_its_charger_is_offline(
    home: Home, fired: Fired, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A charger says first that it is online, and only then that the car has left.

    What was shown before is never shown again in between.
    """
    # On a busy machine, the second message may take long.
    monkeypatch.setattr(state_module, "ONLINE_AGAIN_TIME", 60.0)
    monkeypatch.setattr(state_module, "ONLINE_AGAIN_MAX", 60.0)
    home.charger.plug_in(Car(capacity_kwh=60))
    await home.travel(60, step=1)
    home.charger.set_offline()
    await home.travel(10, step=1)
    fired.take()
    fired.take_statuses()
    sensors = ("car_connected", "charging")
    written = follow(home, *(home.entity_id("binary_sensor", key) for key in sensors))
    bus, topic = home.sim.bus, home.installation.topic
    bus.publish(topic, message(home.charger, StateId.IS_ONLINE, "1"))
    await home.wait_for("binary_sensor", "is_online", "on")
    bus.publish(topic, message(home.charger, StateId.OPERATION_MODE, "1"))
    state = home.entry.runtime_data.states[home.charger.id]
    await wait_until(lambda: has_car(state) is False)
    assert written == []
    await home.travel(60, step=1)
    await home.wait_for("binary_sensor", "car_connected", "off")
    assert written == ["off", "off"]
    assert fired.take() == fired.take_statuses() == {}


async def test_a_charger_that_is_online_again_and_has_nothing_to_report(
    home: Home,
) -> None:
    """Its values are available again although nothing else arrives."""
    home.charger.set_offline()
    await home.wait_for("binary_sensor", "car_connected", STATE_UNAVAILABLE)
    home.sim.bus.publish(
        home.installation.topic, message(home.charger, StateId.IS_ONLINE, "1")
    )
    await home.wait_for("binary_sensor", "is_online", "on")
    await home.travel(state_module.ONLINE_AGAIN_TIME)
    await home.wait_for("binary_sensor", "car_connected", "off")
    await home.wait_for("sensor", "charging_status", "disconnected")


@pytest.mark.parametrize("leaves", [False, True])
async def test_what_is_known_before_the_first_reading(
    new_home: Home,
    fired_later: Fired,
    monkeypatch: pytest.MonkeyPatch,
    leaves: bool,
) -> None:
    """Neither the hourly list nor a message is a state that a first reading would change.

    The list does not say that a car is paused, and messages may be from before the start.
    """
    may_read = asyncio.Event()
    read = ZaptecClient.charger_state

    async def read_late(*args: Any, **kwargs: Any) -> list[Observation]:
        await may_read.wait()
        return await read(*args, **kwargs)

    monkeypatch.setattr(ZaptecClient, "charger_state", read_late)
    monkeypatch.setattr(reader_module, "FIRST_READINGS_TIME", 0.0)
    new_home.charger.plug_in(Car(capacity_kwh=60))
    await new_home.travel(60, step=1)
    new_home.charger.stop_charging()
    await new_home.travel(60, step=1)
    await fired_later.automate()
    await set_up(new_home.hass, new_home.entry)
    await new_home.wait_for("sensor", "push_status", "connected")
    if leaves:
        new_home.charger.unplug()
        await new_home.travel(10, step=1)
    for platform, key in (
        ("binary_sensor", "car_connected"),
        ("binary_sensor", "charging"),
        ("sensor", "charging_status"),
    ):
        assert new_home.state(platform, key) == STATE_UNAVAILABLE
    may_read.set()
    await new_home.wait_until_live()
    await new_home.travel(SETTLED, step=1)
    assert new_home.state("binary_sensor", "car_connected") == (
        "off" if leaves else "on"
    )
    assert new_home.state("sensor", "charging_status") == (
        "disconnected" if leaves else "paused"
    )
    assert fired_later.take() == fired_later.take_statuses() == {}


async def test_a_plug_of_another_integration(hass: HomeAssistant, home: Home) -> None:
    """Only the charger in an area counts, and no plug beside it that shows the same."""
    area_id = ar.async_get(hass).async_create("Garage").id
    fired = Fired(hass, home)
    dr.async_get(hass).async_update_device(fired.device_id, area_id=area_id)
    other = MockConfigEntry(domain="other")
    other.add_to_hass(hass)
    plug = Plug(hass, other, "plug", CHARGER_ENTITIES)
    plug.put(area_id)
    shown = {
        ("binary_sensor", "car_connected"): ("off", "on", "off"),
        ("binary_sensor", "charging"): ("off", "on", "off"),
        ("sensor", "charging_status"): ("starting", "charging", "disconnected"),
    }
    await fired.automate({ATTR_AREA_ID: area_id})
    for key, states in shown.items():
        for state in states:
            await plug.show(key, state)
    for key in (("event", "session"), ("event", "card")):
        for second in (1, 2):
            moment = f"2026-11-27T12:00:0{second}.000+00:00"
            for event_type in ("ended", "charging_finished", "accepted"):
                await plug.show(key, moment, {"event_type": event_type})
    assert fired.take() == fired.take_statuses() == {}
    home.charger.plug_in(Car())
    await home.travel(60, step=1)
    assert fired.take() == {"car_connected": 1, "charging_started": 1}


async def test_the_conditions(
    hass: HomeAssistant, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each condition is met while what it tests is true, and never while that is unknown."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    fired = Fired(hass, home)
    options = {"is_charging_status": {"status": ["charging", "paused"]}}
    assert await async_setup_component(
        hass,
        AUTOMATION_DOMAIN,
        {
            AUTOMATION_DOMAIN: [
                {
                    "alias": name,
                    "triggers": {"trigger": "event", "event_type": "ask"},
                    "conditions": {
                        "condition": f"{DOMAIN}.{name}",
                        "target": {ATTR_DEVICE_ID: fired.device_id},
                        CONF_OPTIONS: options.get(name, {}),
                    },
                    "actions": {"action": "test.fired", "data": {"name": name}},
                }
                for name in CONDITIONS
            ]
        },
    )

    async def met() -> set[str]:
        hass.bus.async_fire("ask")
        await hass.async_block_till_done()
        return set(fired.take())

    assert await met() == set()
    home.charger.plug_in(Car(capacity_kwh=60))
    await home.travel(60, step=1)
    assert await met() == set(CONDITIONS)
    home.charger.stop_charging()
    await home.travel(60, step=1)
    assert await met() == {"is_car_connected", "is_charging_status"}
    home.charger.resume_charging()
    await home.travel(60, step=1)
    home.charger.set_offline()
    await home.travel(10, step=1)
    assert await met() == set()
    home.charger.set_online()
    await home.travel(10, step=1)
    assert await met() == set(CONDITIONS)
    await home.sim.bus.cut()
    await home.sim.rest.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    await home.travel(10, step=1)
    await home.wait_for("binary_sensor", "car_connected", STATE_UNAVAILABLE)
    assert await met() == set()
    await home.sim.rest.restore()
    await home.sim.bus.restore()
    await home.travel(300, step=5)
    await home.wait_until_live()
    assert await met() == set(CONDITIONS)
    await home.reload()
    assert await met() == set(CONDITIONS)
    await home.stop()
    assert await met() == set()


async def test_the_editor_has_all_for_the_page_of_a_charger(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    home: Home,
    fired: Fired,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The editor offers all actions, conditions and triggers for a charger."""

    async def described(_hass: HomeAssistant) -> dict[str, Any]:
        # The actions of the other integrations import packages that are not installed.
        return {
            DOMAIN: {
                name: {"target": TargetSelector.CONFIG_SCHEMA(action["target"])}
                for name, action in ZAPTEC.services.items()
            }
        }

    monkeypatch.setattr(
        "homeassistant.components.websocket_api.automation"
        ".async_get_all_service_descriptions",
        described,
    )
    await async_setup_component(hass, "websocket_api", {})
    client = await hass_ws_client(hass)
    offered = {}
    for kind in ("triggers", "conditions", "services"):
        await client.send_json_auto_id(
            {
                "type": f"get_{kind}_for_target",
                "target": {ATTR_DEVICE_ID: [fired.device_id]},
            }
        )
        answer = await client.receive_json()
        offered[kind] = {
            name.removeprefix(f"{DOMAIN}.")
            for name in answer["result"]
            if name.startswith(f"{DOMAIN}.")
        }
    assert offered["triggers"] == set(TRIGGERS)
    assert offered["conditions"] == set(CONDITIONS)
    assert offered["services"] == set(hass.services.async_services_for_domain(DOMAIN))


class Walker:
    """Lets something happen at a charger, and knows what has really changed."""

    def __init__(
        self, home: Home, fired: Fired, rng: Random, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Initialize a walk that begins without a car."""
        monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
        self.home = home
        self.charger = home.charger
        self.fired = fired
        self.rng = rng
        self.real: Counter[str] = Counter()
        self.is_calm = True
        self._before = self._seen()

    def _seen(self) -> tuple[bool, bool, bool]:
        """Return whether there is a car, whether it charges, and whether it has ended that."""
        mode = self.charger.mode
        has_ended = mode is Mode.FINISHED and not self.charger.final_stop
        return mode is not Mode.DISCONNECTED, mode is Mode.CHARGING, has_ended

    def count(self) -> None:
        """Count what has really changed since the last second."""
        before, self._before = self._before, self._seen()
        (had_car, did_charge, _), (has_car, charges, has_ended) = before, self._before
        if had_car is not has_car:
            self.real["car_connected" if has_car else "car_disconnected"] += 1
            self.real["session_ended"] += not has_car
        if did_charge is not charges:
            self.real["charging_started" if charges else "charging_stopped"] += 1
        if did_charge and has_ended:
            self.real["charging_finished"] += 1

    async def second(self, number: int = 1) -> None:
        """Let some seconds pass."""
        await self.home.travel(number, step=1, check=self.count)

    async def act(self) -> None:
        """Let something happen, and wait until all of it is known."""
        acts = [self._plug, self._plug, self._app, self._app, self._car]
        disturbances = [self._offline, self._reload, self._outage]
        act: Any = self.rng.choice([*acts, *acts, *disturbances])
        self.is_calm = act not in disturbances
        await act()
        await self.second(SETTLED)

    async def _plug(self) -> None:
        if self.charger.car:
            self.charger.unplug()
        else:
            self.charger.plug_in(Car(capacity_kwh=self.rng.uniform(0.2, 20)))

    async def _app(self) -> None:
        try:
            if self.rng.random() < 0.5:
                self.charger.stop_charging()
            else:
                self.charger.resume_charging()
        except CommandRejectedError:
            pass

    async def _car(self) -> None:
        if self.charger.car:
            self.charger.set_car_wants(self.rng.random() < 0.5)

    async def _offline(self) -> None:
        self.charger.set_offline()
        await self.second(3)
        await self.rng.choice([self._plug, self._car, self.second])()
        await self.second(SETTLED)
        self.charger.set_online()

    async def _reload(self) -> None:
        await self.home.stop()
        await self.rng.choice([self._plug, self._car, self.second])()
        await self.second(SETTLED)
        await self.home.start()

    async def _outage(self) -> None:
        await self.home.sim.bus.cut()
        await self.home.sim.rest.cut()
        await self.home.wait_for("sensor", "push_status", "disconnected")
        await self.second(3)
        await self.rng.choice([self._plug, self._car, self.second])()
        await self.second(SETTLED)
        await self.home.sim.rest.restore()
        await self.home.sim.bus.restore()
        await self.second(400)
        await self.home.wait_until_live()


@pytest.mark.parametrize("seed", range(WALKS))
async def test_no_walk_fires_what_has_not_happened(
    home: Home, fired: Fired, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Each change fires once, if nothing is disturbed; in an outage, none that is not real."""
    walker = Walker(home, fired, Random(seed), monkeypatch)
    for step in range(STEPS):
        await walker.act()
        counts, real = fired.take(), dict(+walker.real)
        walker.real.clear()
        counts.pop("charging_status_changed", None)
        links = {name for name in counts if name.startswith("live_messages")}
        for name in links:
            del counts[name]
        if walker.is_calm:
            assert counts == real, step
            assert not links, step
        else:
            assert all(
                number <= real.get(name, 0) for name, number in counts.items()
            ), step


async def test_a_trigger_follows_within_the_same_turn(home: Home, fired: Fired) -> None:
    """An automation starts as soon as the entity has changed."""
    home.charger.plug_in(Car())
    await home.wait_for("binary_sensor", "car_connected", "on")
    await wait_until(lambda: bool(fired.counts))
    assert fired.take() == {"car_connected": 1}
