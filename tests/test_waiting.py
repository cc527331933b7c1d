"""What the user waits for, and what happens by itself while the cloud asks for a pause."""

import asyncio
from collections.abc import Awaitable
from typing import Any
from unittest.mock import patch

from aiohttp import web
from homeassistant.components.number import ATTR_VALUE, SERVICE_SET_VALUE
from homeassistant.config_entries import SOURCE_USER, ConfigEntryState
from homeassistant.const import (
    ATTR_ENTITY_ID,
    CONF_PASSWORD,
    CONF_USERNAME,
    SERVICE_TURN_OFF,
)
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import current_deadline
from custom_components.zaptec.api.action import is_automatic
from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import Charger, CommandRejectedError
from simulator.faults import Fault, Rejection
from simulator.observations import Mode
from simulator.scenario import DEMO_USER
from simulator.simulator import Simulator

from .conftest import PASSWORD, EntityFinder, TimeMachine, set_up, wait_until_live

MODE = "charger_operation_mode"
SCHEDULE = 1

# What the user waits for takes 20 s at most (s); the clocks also count what a busy
# machine takes.
LONGEST = 30.0


def refuse() -> None:
    """Refuse a command, as a charger that is out of order."""
    raise CommandRejectedError("The charger reports a relay error")


async def outcome(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    action: Awaitable[Any],
    *,
    longest: float = LONGEST,
) -> BaseException | None:
    """Let time pass until an action of the user is done, and return its error."""
    task = asyncio.ensure_future(_awaited(action))
    began_at = hass.loop.time()
    while not task.done():
        assert hass.loop.time() - began_at < longest, "It takes too long"
        await time_machine.pass_by(0.5)
    return task.exception()


async def _awaited(action: Awaitable[Any]) -> Any:
    """Return the result of anything that can be awaited."""
    return await action


def call(
    hass: HomeAssistant, domain: str, service: str, entity_id: str, **data: Any
) -> Awaitable[Any]:
    """Return an action of the user on an entity."""
    return hass.services.async_call(
        domain, service, {ATTR_ENTITY_ID: entity_id, **data}, blocking=True
    )


def sent(sim: Simulator) -> list[str]:
    """Return the writes and sign-ins since the last look."""
    paths = [
        record.path.rpartition("/")[2]
        for record in sim.rest.requests
        if record.method == "POST"
    ]
    sim.rest.clear()
    return paths


@pytest.mark.parametrize("hanging", ["/state$", "/(state|sendCommand/.*)$"])
async def test_a_look_after_a_refused_command_ends_in_time(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    monkeypatch: pytest.MonkeyPatch,
    hanging: str,
) -> None:
    """A cloud that hangs does not keep the user waiting for a minute."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    # The command is refused, or hangs by itself.
    monkeypatch.setattr(charger, "stop_charging", refuse)
    sim.rest.fail(hanging, fault="hang")
    button = entities.id("button", charger.id, "stop_charging_final")
    error = await outcome(hass, time_machine, call(hass, "button", "press", button))
    assert isinstance(error, HomeAssistantError)
    assert error.translation_key == (
        "rejected" if hanging == "/state$" else "cannot_connect"
    )


async def test_a_look_before_a_setting_ends_in_time(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """Where a schedule seems to control the current, the cloud is asked first."""
    charger.installation.available_current_mode = SCHEDULE
    await live_entry.runtime_data.coordinator.async_refresh()
    sim.rest.fail("/api/installation/", fault="hang")
    for data in ({ATTR_VALUE: 12}, {ATTR_VALUE: 13}):
        error = await outcome(
            hass,
            time_machine,
            call(
                hass,
                "number",
                SERVICE_SET_VALUE,
                entities.id("number", charger.installation.id, "available_current"),
                **data,
            ),
        )
        assert isinstance(error, HomeAssistantError)
        assert error.translation_key == "schedule_controls_current"


@pytest.mark.parametrize("path", ["/update$", "/api/", "/oauth/token"])
async def test_settings_one_after_another_end_in_time(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    path: str,
) -> None:
    """Those that follow the first are sent as one, which ends in time, too."""
    if path == "/oauth/token":
        sim.rest.tokens.revoke()
    sim.rest.fail(path, fault="hang")
    number = entities.id("number", charger.id, "charger_max_current")

    settings = asyncio.gather(
        *(
            call(hass, "number", SERVICE_SET_VALUE, number, **{ATTR_VALUE: value})
            for value in (10, 11, 12)
        ),
        return_exceptions=True,
    )
    assert await outcome(hass, time_machine, settings) is None
    keys = [getattr(error, "translation_key", None) for error in await settings]
    expected = "not_sent" if path == "/oauth/token" else "cannot_connect"
    assert keys == [expected] * 3


@pytest.mark.parametrize("fault", [500, 502, 503, "hang", "html"])
@pytest.mark.parametrize("platform", ["number", "button"])
async def test_a_control_without_a_sign_in_is_not_sent(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    fault: Fault,
    platform: str,
) -> None:
    """The user knows that nothing was changed, and why."""
    await time_machine.travel(5)
    sim.rest.tokens.revoke()
    sim.rest.fail("/oauth/token", fault=fault)
    if platform == "number":
        number = entities.id("number", charger.installation.id, "available_current")
        action = call(hass, "number", SERVICE_SET_VALUE, number, **{ATTR_VALUE: 9})
    else:
        button = entities.id("button", charger.id, "restart_charger")
        action = call(hass, "button", "press", button)
    sim.rest.clear()
    error = await outcome(hass, time_machine, action)
    assert isinstance(error, HomeAssistantError)
    assert error.translation_key == ("intercepted" if fault == "html" else "not_sent")
    # What was not sent is not looked at later.
    sim.rest.heal()
    sim.rest.clear()
    await time_machine.travel(60, step=5)
    assert not [item for item in sim.rest.requests if item.method == "GET"]


async def test_a_cloud_that_hangs_at_sign_in(
    hass: HomeAssistant, time_machine: TimeMachine, sim: Simulator
) -> None:
    """The form is back in time."""
    sim.rest.fail("/oauth/token", fault="hang")
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    errors: list[Any] = []

    async def sign_in() -> None:
        form = await hass.config_entries.flow.async_configure(
            result["flow_id"], {CONF_USERNAME: DEMO_USER, CONF_PASSWORD: PASSWORD}
        )
        errors.append(form["errors"])

    assert await outcome(hass, time_machine, sign_in()) is None
    assert errors == [{"base": "cannot_connect"}]


async def test_a_cloud_that_hangs_at_set_up(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """The last step of the flow waits for it; Home Assistant tries it again."""
    sim.rest.fail("/api/", fault="hang")
    assert await outcome(hass, time_machine, set_up(hass, entry)) is None
    assert entry.state is ConfigEntryState.SETUP_RETRY


@pytest.mark.parametrize("status", [429, 503])
async def test_a_held_car_respects_a_pause_of_the_cloud(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    status: int,
) -> None:
    """The user has asked for it long ago, so it waits until the pause is over."""
    await call(
        hass, "switch", SERVICE_TURN_OFF, entities.id("switch", charger.id, MODE)
    )
    with patch("simulator.faults.failure", busy(status)):
        sim.rest.fail("/sendCommand/", fault=status)
        sim.rest.clear()
        charger.plug_in(Car())
        await time_machine.travel(590, step=5)
    assert sent(sim) == ["506"]
    sim.rest.heal()
    await time_machine.travel(60, step=5)
    assert sent(sim) == ["506"]
    assert entities.state("switch", charger.id, MODE) == "off"


async def test_a_held_car_and_an_expired_token_in_a_pause(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """No sign-in for it, but one for the user."""
    await call(
        hass, "switch", SERVICE_TURN_OFF, entities.id("switch", charger.id, MODE)
    )
    await time_machine.travel(5)
    with patch("simulator.faults.failure", busy(429)):
        sim.rest.fail("/sendCommand/", fault=429, times=1)
        charger.plug_in(Car())
        await time_machine.travel(20, step=5)
    sim.rest.tokens.revoke()
    live_entry.runtime_data.client._token_source._renew_at = 0.0
    sim.rest.clear()
    await time_machine.travel(300, step=5)
    assert sent(sim) == []
    button = entities.id("button", charger.id, "restart_charger")
    assert (
        await outcome(hass, time_machine, call(hass, "button", "press", button)) is None
    )
    assert sent(sim) == ["token", "102"]


async def test_a_queued_current_respects_a_pause_of_the_cloud(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """Its time comes in the middle of the pause."""
    installation = charger.installation
    number = entities.id("number", installation.id, "available_current")
    for value in (10, 14):
        await call(hass, "number", SERVICE_SET_VALUE, number, **{ATTR_VALUE: value})
    await time_machine.travel(600, step=15)
    with patch("simulator.faults.failure", busy(429)):
        sim.rest.fail("/state$", fault=429)
        live_entry.runtime_data.reader.read(charger.id)
        await time_machine.travel(15)
    sim.rest.heal()
    sim.rest.clear()
    # The 15 minutes are over after five of them, the pause after ten.
    await time_machine.travel(560, step=5)
    assert sent(sim) == []
    await time_machine.travel(900, step=15)
    assert sent(sim) == ["update"]
    assert installation.available_current == (14, 14, 14)
    await wait_until_live(hass, live_entry)


async def test_an_off_that_could_not_be_sent_is_made_up_for(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """The error says so, and the car is paused once the cloud can be reached."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    sim.rest.tokens.revoke()
    sim.rest.fail("/oauth/token", fault=503)
    switch = entities.id("switch", charger.id, MODE)
    error = await outcome(
        hass, time_machine, call(hass, "switch", SERVICE_TURN_OFF, switch)
    )
    assert isinstance(error, HomeAssistantError)
    assert error.translation_key == "pause_waits"
    sim.rest.heal()
    await time_machine.travel(300)
    assert charger.mode == Mode.FINISHED


def busy(status: int) -> Any:
    """Return what answers with the wish for a pause of ten minutes."""

    def answer(_status: int, *, token: bool = False) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "600"})

    return answer


@pytest.mark.parametrize("cause", ["user", "waiting current", "held car"])
async def test_an_automation_is_no_part_of_what_triggers_it(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    cause: str,
) -> None:
    """It runs in the context in which the state is written that triggers it."""
    number = entities.id("number", charger.installation.id, "available_current")
    switch = entities.id("switch", charger.id, MODE)
    seen: dict[str, tuple[object, bool]] = {}

    @callback
    def trigger(event: Event[EventStateChangedData]) -> None:
        if state := event.data["new_state"]:
            seen[f"{state.domain} {state.state}"] = (
                current_deadline(),
                is_automatic(),
            )

    async_track_state_change_event(hass, [number, switch], trigger)
    if cause == "held car":
        await call(hass, "switch", SERVICE_TURN_OFF, switch)
        seen.clear()
        # The switch is on only while the car could not be paused.
        sim.rest.fail("/sendCommand/506", fault=Rejection(528, "Not now"), times=1)
        charger.plug_in(Car())
        await time_machine.travel_until(lambda: "switch on" in seen)
        assert set(seen.values()) == {(None, False)}
        return
    for value in (10, 14):
        await call(hass, "number", SERVICE_SET_VALUE, number, **{ATTR_VALUE: value})
    if cause == "waiting current":
        await time_machine.travel_until(lambda: "number 14.0" in seen, step=15)
    key = "number 10.0" if cause == "user" else "number 14.0"
    assert seen[key] == (None, False)


@pytest.mark.parametrize("fault", [401, "redirect"])
async def test_a_change_without_a_valid_token_was_not_made(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    fault: Fault,
) -> None:
    """It does not begin the 15 minutes until the next one."""
    number = entities.id("number", charger.installation.id, "available_current")
    sim.rest.fail("/update$", fault=fault)
    sim.rest.clear()
    error = await outcome(
        hass,
        time_machine,
        call(hass, "number", SERVICE_SET_VALUE, number, **{ATTR_VALUE: 9}),
    )
    assert isinstance(error, HomeAssistantError)
    assert error.translation_key == ("not_sent" if fault == 401 else "intercepted")
    assert sent(sim).count("update") <= 2
    sim.rest.heal()
    await call(hass, "number", SERVICE_SET_VALUE, number, **{ATTR_VALUE: 12})
    assert charger.installation.available_current == (12, 12, 12)
