"""The sensor that says why a car does or does not charge, with the simulator's chargers."""

import asyncio
from itertools import groupby
import json
import os
from random import Random
from uuid import uuid4

from homeassistant.config_entries import RELOAD_AFTER_UPDATE_DELAY
from homeassistant.const import (
    EVENT_STATE_CHANGED,
    STATE_OFF,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import (
    mock_restore_cache_with_extra_data,
)

from custom_components.zaptec import status_sensor
from custom_components.zaptec.api import subscription
from custom_components.zaptec.charging_status import STARTING_TIME, ChargingStatus
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control import charger as charger_control
from custom_components.zaptec.sources import reader
from simulator.car import Car
from simulator.observations import Mode, StateId
from simulator.web_hooks import HookRequest, HookResponse

from .conftest import wait_until
from .home import OPERATION_MODE, Home
from .status_walk import AWAY, STATUS, Shown, Walk

# Number of walks, and of those that share a home, half of them without authorization.
WALKS = int(os.environ.get("STATUS_WALKS", "200"))
WALKS_OF_A_HOME = 40


@pytest.fixture
def shown(home: Home) -> Shown:
    """Return the recorder of the status."""
    return Shown(home)


def status(home: Home) -> str:
    """Return the status that is shown."""
    return home.state("sensor", STATUS)


async def test_a_session_from_the_cable_in_to_the_cable_out(
    home: Home, shown: Shown
) -> None:
    """A session shows each status once, with the pause from elsewhere in between."""
    home.charger.plug_in(Car(capacity_kwh=2))
    await home.travel(60, step=1)
    assert shown.take() == ["disconnected", "starting", "charging"]
    home.charger.stop_charging()
    await home.travel(60, step=1)
    home.charger.resume_charging()
    await home.travel(60, step=1)
    assert shown.take() == ["charging", "paused", "starting", "charging"]
    await home.travel(3600, step=30)
    assert shown.take() == ["charging", "finished_by_car"]
    home.charger.unplug()
    await home.travel(30, step=1)
    assert shown.take() == ["finished_by_car", "disconnected"]


async def plug_in_and_hold(home: Home) -> None:
    """Plug in a car, and let it be paused."""
    home.charger.plug_in(Car())
    await home.travel(60, step=1)


def held(shown: Shown) -> list[str]:
    """Return what was shown while a car was held.

    On a busy machine, the car may charge for a moment before the command arrives.
    """
    states = [state for state in shown.take() if state != "charging"]
    return [state for state, _ in groupby(states)]


async def test_a_car_that_comes_soon_after_another_one(
    new_home: Home,
) -> None:
    """A car that comes within seconds waits for a card: its session has not ended."""
    new_home.installation.authentication_required = True
    new_home.charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    await new_home.start()
    new_home.charger.plug_in(Car(capacity_kwh=40))
    new_home.charger.authorize()
    await new_home.travel(60, step=1)
    assert status(new_home) == "charging"
    new_home.charger.unplug()
    await new_home.travel(4, step=1)
    new_home.charger.plug_in(Car(capacity_kwh=40))
    await new_home.travel(30, step=1)
    assert status(new_home) == "waiting_for_authorization"
    with pytest.raises(ServiceValidationError) as raised:
        await new_home.press("resume_charging")
    assert raised.value.translation_key == "authorization_missing"


async def test_a_hold_until_it_is_allowed(home: Home, shown: Shown) -> None:
    """A car that is held is shown as held from the first moment on, and each next one."""
    await home.turn_off()
    await plug_in_and_hold(home)
    assert held(shown) == ["disconnected", "held"]
    home.charger.unplug()
    await home.travel(AWAY, step=1)
    assert shown.take() == ["held", "disconnected"]
    await plug_in_and_hold(home)
    assert held(shown) == ["disconnected", "held"]
    await home.turn_on()
    await home.travel(60, step=1)
    assert shown.take() == ["held", "starting", "charging"]


async def test_a_held_car_that_is_resumed_elsewhere(home: Home, shown: Shown) -> None:
    """A user of Zaptec's app who resumes a held car ends the hold."""
    home.charger.plug_in(Car())
    await home.travel(30)
    await home.turn_off()
    await home.travel(30, step=1)
    assert shown.take()[-1] == "held"
    home.charger.resume_charging()
    await home.travel(30, step=1)
    assert shown.take() == ["held", "starting", "charging"]


async def test_a_pause_from_elsewhere_that_becomes_a_hold(
    home: Home, shown: Shown
) -> None:
    """Turning the switch off makes a pause of the session one until it is allowed."""
    home.charger.plug_in(Car())
    await home.travel(30)
    home.charger.stop_charging()
    await home.travel(30, step=1)
    assert status(home) == "paused"
    assert await home.turn_off() == []
    assert status(home) == "held"


async def test_a_hold_is_shown_after_a_restart(
    hass: HomeAssistant, new_home: Home
) -> None:
    """After a restart a held car is never shown as paused, whichever entity comes first."""
    new_home.charger.plug_in(Car())
    new_home.charger.stop_charging()
    new_home.sim.clock.advance(60)
    registry = er.async_get(hass)
    new_home.entry.add_to_hass(hass)
    switch = registry.async_get_or_create(
        "switch",
        DOMAIN,
        f"{new_home.charger.id}_{OPERATION_MODE}",
        config_entry=new_home.entry,
    )

    mock_restore_cache_with_extra_data(
        hass,
        [
            (
                State(switch.entity_id, STATE_OFF),
                {
                    "held": True,
                    "session": new_home.charger.value(StateId.SESSION_IDENTIFIER),
                },
            )
        ],
    )
    states: list[str] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        new = event.data["new_state"]
        if new and event.data["entity_id"].endswith(f"_{STATUS}"):
            states.append(new.state)

    hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    await new_home.start()
    assert status(new_home) == "held"
    assert "paused" not in states


async def test_a_pause_is_shown_although_the_switch_is_disabled(home: Home) -> None:
    """Without the switch there is no hold, so a paused car is paused."""
    registry = er.async_get(home.hass)
    home.charger.plug_in(Car())
    await home.travel(30)
    home.charger.stop_charging()
    await home.travel(30)
    registry.async_update_entity(
        home.entity_id("switch", OPERATION_MODE),
        disabled_by=er.RegistryEntryDisabler.USER,
    )
    await home.reload()
    assert status(home) == "paused"


async def test_an_offline_charger(home: Home, shown: Shown) -> None:
    """The status is there while the charger is offline, and says so."""
    home.charger.plug_in(Car())
    await home.travel(30, step=1)
    home.charger.set_offline()
    await home.travel(5, step=1)
    assert status(home) == "offline"
    home.charger.unplug()
    await home.travel(60, step=1)
    shown.take()
    home.charger.set_online()
    await home.travel(60, step=1)
    assert shown.take() == ["offline", "disconnected"]


async def test_the_available_current_of_the_installation(
    home: Home, shown: Shown
) -> None:
    """No available current is the reason at once when a car comes, and ends with the current."""
    await home.set_value("available_current", 0)
    await home.travel(5)
    home.charger.plug_in(Car())
    await home.travel(120, step=1)
    assert shown.take() == ["disconnected", "no_current"]
    await home.travel(900, step=30)
    await home.set_value("available_current", 16)
    await home.travel(60, step=1)
    assert shown.take() == ["no_current", "waiting_for_car", "charging"]


async def test_what_is_offered_to_a_car_that_charges(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a car charges, its charger reports often what it offers, and nothing is shown."""
    home.charger.plug_in(Car())
    await home.travel(60, step=1)
    assert status(home) == "charging"
    computed: list[str] = []

    def note(*_args: object, **_kwargs: object) -> ChargingStatus:
        computed.append("computed")
        return ChargingStatus.CHARGING

    monkeypatch.setattr(status_sensor, "charging_status", note)
    for current in (7, 8):
        home.charger.observe(StateId.CHARGE_CURRENT_SET, current)
        await home.wait_for("sensor", "charge_current_set", str(float(current)))
    assert not computed
    home.charger.observe(StateId.MAX_CURRENT, 31)
    await wait_until(lambda: bool(computed))


async def test_a_car_that_sleeps(home: Home, shown: Shown) -> None:
    """A car that takes no current is waited for, a minute after it could have begun."""
    home.charger.plug_in(Car())
    home.charger.set_offline()
    home.charger.unplug()
    await home.travel(30)
    home.charger.set_online()
    home.charger.observe(StateId.OPERATION_MODE, Mode.REQUESTING)
    await home.travel(STARTING_TIME.total_seconds() - 5, step=1)
    assert status(home) == "starting"
    await home.travel(7, step=1)
    assert status(home) == "waiting_for_car"


async def test_the_timer_ends_with_the_entity(home: Home) -> None:
    """A status that may change by itself leaves no timer behind."""
    home.charger.plug_in(Car())
    await home.travel(1)
    assert status(home) == "starting"
    await home.stop()
    await home.travel(STARTING_TIME.total_seconds() * 2)
    assert status(home) == STATE_UNAVAILABLE


@pytest.mark.parametrize(
    ("text", "shown_as"),
    [
        ("2036-11-01T23:00:00Z", "2036-11-01T23:00:00+00:00"),
        ("2036-11-01T23:00:00.1234567Z", "2036-11-01T23:00:00+00:00"),
        ("2036-11-01T23:00:00", "2036-11-01T23:00:00+00:00"),
        ("2036-11-01 23:00", "2036-11-01T23:00:00+00:00"),
        ("2036-11-02T00:00:00+01:00", "2036-11-01T23:00:00+00:00"),
        ("0001-01-01T00:00:00", STATE_UNKNOWN),
        ("tonight", STATE_UNKNOWN),
    ],
)
async def test_the_next_scheduled_change(
    hass: HomeAssistant, home: Home, text: str, shown_as: str
) -> None:
    """The time of the schedule is shown in any format of a time; the status needs none."""
    home.charger.plug_in(Car())
    await home.travel(30)
    home.charger.set_schedule(3600, text)
    await home.travel(5)
    registry = er.async_get(hass)
    key = "next_schedule_event"
    await wait_until(
        lambda: (
            registry.async_get_entity_id("sensor", DOMAIN, f"{home.charger.id}_{key}")
            is not None
        )
    )
    assert status(home) == "waiting_for_schedule"
    registry.async_update_entity(home.entity_id("sensor", key), disabled_by=None)
    # Home Assistant reloads the account itself, and must be done before the test ends.
    await home.travel(RELOAD_AFTER_UPDATE_DELAY + 5)
    await home.wait_until_live()
    await home.wait_for("sensor", key, shown_as)
    await home.press("resume_charging")
    await home.travel(30)
    assert status(home) == "charging"
    assert home.state("sensor", key) == STATE_UNKNOWN


async def test_a_car_waits_for_a_webhook(new_home: Home) -> None:
    """With webhooks a car waits for them, although its charger requires no authorization."""
    status_code = 401

    async def answer(_request: HookRequest) -> HookResponse:
        """Answer as the other system does."""
        body = json.dumps({"sessionId": str(uuid4())}).encode()
        return HookResponse(status_code, body, "application/json")

    new_home.sim.web_hooks.transport = answer
    new_home.installation.set_web_hooks(
        "https://other.example/start", "https://other.example/end", "user", "password"
    )
    await new_home.start()
    new_home.charger.plug_in(Car())
    await new_home.travel(30)
    assert new_home.charger.value(StateId.AUTHENTICATION_REQUIRED) == "0"
    assert status(new_home) == "waiting_for_authorization"
    with pytest.raises(ServiceValidationError) as raised:
        await new_home.press("resume_charging")
    assert raised.value.translation_key == "authorization_missing"

    status_code = 200
    await new_home.travel(30)
    assert status(new_home) == "charging"


@pytest.fixture
async def _real_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass as outside of tests, and the event loop run without its checks."""
    monkeypatch.setattr(reader, "FIRST_READINGS_TIME", 8.0)
    monkeypatch.setattr(charger_control, "STOP_TIME", 10.0)
    # What a charger sends when it is online again must not be taken apart.
    monkeypatch.setattr(subscription, "SLICE_TIME", 60.0)
    asyncio.get_running_loop().set_debug(False)


@pytest.mark.usefixtures("_real_times")
@pytest.mark.parametrize("first", range(0, WALKS, WALKS_OF_A_HOME))
@pytest.mark.parametrize("required", [False, True])
async def test_what_is_shown_is_true_within_a_second(
    home: Home, first: int, required: bool
) -> None:
    """Whatever happens, status and switch are right, and a held car is paused in time.

    No command is sent that the vendor refuses, and at most four for a car. No car is shown
    to come or leave that has not.
    """
    installation = home.charger.installation
    installation.authentication_required = required
    home.charger.observe(StateId.AUTHENTICATION_REQUIRED, required)
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.travel(5)
    wrong: list[str] = []
    for seed in range(first + required, min(first + WALKS_OF_A_HOME, WALKS), 2):
        found = await Walk(home, Random(seed)).run()
        wrong += [f"{seed}: {text}" for text in found]
    assert not wrong, "\n".join(wrong)
