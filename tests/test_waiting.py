"""Time limits of what the user waits for, and background work while the cloud asks for a pause."""

import asyncio
from collections.abc import Awaitable
from typing import Any
from unittest.mock import patch

from aiohttp import web
from homeassistant.config_entries import SOURCE_USER, ConfigEntryState
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_track_state_change_event
import pytest

from custom_components.zaptec.api import current_deadline
from custom_components.zaptec.api.action import is_automatic
from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import CommandRejectedError
from simulator.faults import Fault, Rejection
from simulator.observations import Mode
from simulator.scenario import DEMO_USER
from simulator.simulator import Simulator

from .conftest import PASSWORD, TimeMachine, set_up
from .home import Home

MODE = "charger_operation_mode"
SCHEDULE = 1

# Maximum duration of what the user waits for: 20 s, and some for a busy machine, whose
# real time the clocks also count (s).
LONGEST = 30.0


def refuse() -> None:
    """Refuse a command, like the cloud does for a charger that is out of order."""
    raise CommandRejectedError("The charger reports a relay error")


async def outcome(
    time_machine: TimeMachine, action: Awaitable[Any], *, longest: float = LONGEST
) -> BaseException | None:
    """Let time pass until an action of the user is done, and return its error."""
    task = asyncio.ensure_future(_awaited(action))
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    while not task.done():
        assert loop.time() - began_at < longest, "It takes too long"
        await time_machine.pass_by(0.5)
    return task.exception()


async def _awaited(action: Awaitable[Any]) -> Any:
    """Return the result of an awaitable, as a coroutine."""
    return await action


def sent(home: Home) -> list[str]:
    """Return the writes and sign-ins since the last call."""
    paths = [
        record.path.rpartition("/")[2]
        for record in home.sim.rest.requests
        if record.method == "POST"
    ]
    home.clear()
    return paths


@pytest.mark.parametrize("hanging", ["/state$", "/(state|sendCommand/.*)$"])
async def test_a_look_after_a_refused_command_ends_in_time(
    home: Home, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    """If the cloud hangs, the reading after a refused command does not exceed the time limit."""
    home.charger.plug_in(Car())
    await home.travel(30)
    # The command is refused, or it hangs, too.
    monkeypatch.setattr(home.charger, "stop_charging", refuse)
    home.sim.rest.fail(hanging, fault="hang")
    error = await outcome(home.time_machine, home.press("stop_charging_final"))
    assert isinstance(error, HomeAssistantError)
    assert error.translation_key == (
        "rejected" if hanging == "/state$" else "cannot_connect"
    )


async def test_a_look_before_a_setting_ends_in_time(home: Home) -> None:
    """If a schedule seems to control the current, the cloud is asked first, within the time limit."""
    home.installation.available_current_mode = SCHEDULE
    await home.entry.runtime_data.coordinator.async_refresh()
    home.sim.rest.fail("/api/installation/", fault="hang")
    for current in (12, 13):
        error = await outcome(
            home.time_machine,
            home.set_value("available_current", current),
        )
        assert isinstance(error, HomeAssistantError)
        assert error.translation_key == "schedule_controls_current"


@pytest.mark.parametrize("path", ["/update$", "/api/", "/oauth/token"])
async def test_settings_one_after_another_end_in_time(home: Home, path: str) -> None:
    """Settings that follow the first are sent as one request, which keeps the time limit, too."""
    if path == "/oauth/token":
        home.sim.rest.tokens.revoke()
    home.sim.rest.fail(path, fault="hang")

    settings = asyncio.gather(
        *(home.set_value("charger_max_current", value) for value in (10, 11, 12)),
        return_exceptions=True,
    )
    assert await outcome(home.time_machine, settings) is None
    keys = [getattr(error, "translation_key", None) for error in await settings]
    expected = "not_sent" if path == "/oauth/token" else "cannot_connect"
    assert keys == [expected] * 3


@pytest.mark.parametrize("fault", [500, 502, 503, "hang", "html"])
@pytest.mark.parametrize("platform", ["number", "button"])
async def test_a_control_without_a_sign_in_is_not_sent(
    home: Home, fault: Fault, platform: str
) -> None:
    """Without a token nothing is sent, and the error says that nothing was changed, and why."""
    await home.travel(5)
    home.sim.rest.tokens.revoke()
    home.sim.rest.fail("/oauth/token", fault=fault)
    if platform == "number":
        action = home.set_value("available_current", 9)
    else:
        action = home.press("restart_charger")
    home.clear()
    error = await outcome(home.time_machine, action)
    assert isinstance(error, HomeAssistantError)
    assert error.translation_key == ("intercepted" if fault == "html" else "not_sent")
    # A command that was not sent needs no check of its outcome.
    home.sim.rest.heal()
    home.clear()
    await home.travel(60, step=5)
    assert not [item for item in home.sim.rest.requests if item.method == "GET"]


async def test_a_cloud_that_hangs_at_sign_in(
    hass: HomeAssistant, time_machine: TimeMachine, sim: Simulator
) -> None:
    """If the cloud hangs during the sign-in, the form shows an error within the time limit."""
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

    assert await outcome(time_machine, sign_in()) is None
    assert errors == [{"base": "cannot_connect"}]


async def test_a_cloud_that_hangs_at_set_up(new_home: Home) -> None:
    """If the cloud hangs, the set-up ends in time, because the last step of the flow waits for it.

    Home Assistant retries the set-up later.
    """
    new_home.sim.rest.fail("/api/", fault="hang")
    assert (
        await outcome(new_home.time_machine, set_up(new_home.hass, new_home.entry))
        is None
    )
    assert new_home.entry.state is ConfigEntryState.SETUP_RETRY


@pytest.mark.parametrize("status", [429, 503])
async def test_a_held_car_respects_a_pause_of_the_cloud(
    home: Home, status: int
) -> None:
    """A car is held only after the pause that the cloud asks for, because no user waits for it."""
    await home.turn_off()
    with patch("simulator.faults.failure", busy(status)):
        home.sim.rest.fail("/sendCommand/", fault=status)
        home.clear()
        home.charger.plug_in(Car())
        await home.travel(590, step=5)
    assert sent(home) == ["506"]
    home.sim.rest.heal()
    await home.travel(60, step=5)
    assert sent(home) == ["506"]
    assert home.switch == "off"


async def test_a_held_car_and_an_expired_token_in_a_pause(home: Home) -> None:
    """During a pause, holding a car causes no sign-in, but an action of the user does."""
    await home.turn_off()
    await home.travel(5)
    with patch("simulator.faults.failure", busy(429)):
        home.sim.rest.fail("/sendCommand/", fault=429, times=1)
        home.charger.plug_in(Car())
        await home.travel(20, step=5)
    home.sim.rest.tokens.revoke()
    home.entry.runtime_data.client._token_source._renew_at = 0.0
    home.clear()
    await home.travel(300, step=5)
    assert sent(home) == []
    assert await outcome(home.time_machine, home.press("restart_charger")) is None
    assert sent(home) == ["token", "102"]


async def test_a_queued_current_respects_a_pause_of_the_cloud(home: Home) -> None:
    """A queued current that comes due during a pause is sent after it."""
    for value in (10, 14):
        await home.set_value("available_current", value)
    await home.travel(600, step=15)
    with patch("simulator.faults.failure", busy(429)):
        home.sim.rest.fail("/state$", fault=429)
        home.entry.runtime_data.reader.read(home.charger.id)
        await home.travel(15)
    home.sim.rest.heal()
    home.clear()
    # The 15 minutes end after five minutes from here, and the pause after ten.
    await home.travel(560, step=5)
    assert sent(home) == []
    await home.travel(900, step=15)
    assert sent(home) == ["update"]
    assert home.installation.available_current == (14, 14, 14)
    await home.wait_until_live()


async def test_an_off_that_could_not_be_sent_is_made_up_for(home: Home) -> None:
    """If turning off cannot be sent, the error says so, and the car is paused after the outage."""
    home.charger.plug_in(Car())
    await home.travel(60)
    home.sim.rest.tokens.revoke()
    home.sim.rest.fail("/oauth/token", fault=503)
    error = await outcome(home.time_machine, home.turn_off())
    assert isinstance(error, HomeAssistantError)
    assert error.translation_key == "pause_waits"
    home.sim.rest.heal()
    await home.travel(300)
    assert home.charger.mode == Mode.FINISHED


def busy(status: int) -> Any:
    """Return a function that answers with a Retry-After of ten minutes."""

    def answer(_status: int, *, token: bool = False) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "600"})

    return answer


@pytest.mark.parametrize("cause", ["user", "waiting current", "held car"])
async def test_an_automation_is_no_part_of_what_triggers_it(
    home: Home, cause: str
) -> None:
    """An automation that a state triggers does not inherit the time limit of the action.

    It runs in the context in which the state is written.
    """
    number = home.entity_id("number", "available_current")
    switch = home.entity_id("switch", MODE)
    seen: dict[str, tuple[object, bool]] = {}

    @callback
    def trigger(event: Event[EventStateChangedData]) -> None:
        if state := event.data["new_state"]:
            seen[f"{state.domain} {state.state}"] = (
                current_deadline(),
                is_automatic(),
            )

    async_track_state_change_event(home.hass, [number, switch], trigger)
    if cause == "held car":
        await home.turn_off()
        seen.clear()
        # The switch is only on while the car could not be paused.
        home.sim.rest.fail("/sendCommand/506", fault=Rejection(528, "Not now"), times=1)
        home.charger.plug_in(Car())
        await home.time_machine.travel_until(lambda: "switch on" in seen)
        assert set(seen.values()) == {(None, False)}
        return
    for value in (10, 14):
        await home.set_value("available_current", value)
    if cause == "waiting current":
        await home.time_machine.travel_until(lambda: "number 14.0" in seen, step=15)
    key = "number 10.0" if cause == "user" else "number 14.0"
    assert seen[key] == (None, False)


@pytest.mark.parametrize("fault", [401, "redirect"])
async def test_a_change_without_a_valid_token_was_not_made(
    home: Home, fault: Fault
) -> None:
    """A change that was not sent for lack of a token does not start the 15 minutes."""
    home.sim.rest.fail("/update$", fault=fault)
    home.clear()
    error = await outcome(
        home.time_machine,
        home.set_value("available_current", 9),
    )
    assert isinstance(error, HomeAssistantError)
    assert error.translation_key == ("not_sent" if fault == 401 else "intercepted")
    assert sent(home).count("update") <= 2
    home.sim.rest.heal()
    await home.set_value("available_current", 12)
    assert home.installation.available_current == (12, 12, 12)
