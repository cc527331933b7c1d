"""Measure how soon events and triggers follow the states that cause them."""

import asyncio
from time import perf_counter
from typing import Any

from homeassistant.const import ATTR_ENTITY_ID, EVENT_STATE_CHANGED
from homeassistant.core import CALLBACK_TYPE, Context, Event, HomeAssistant, callback
from homeassistant.helpers import config_validation as cv, entity_registry as er
from homeassistant.helpers.trigger import (
    TriggerActionType,
    async_initialize_triggers,
    async_validate_trigger_config,
)
from homeassistant.util import dt as dt_util

from custom_components.zaptec.api import Observation, StateId
from custom_components.zaptec.const import DOMAIN, LOGGER

from .home import Home

# Number of events of each round.
EVENTS = 500

# The modes of a car that charges, and of one that is offered no current.
_MODES = ("3", "2")

# The key of the time of the trigger; the other keys are ids of entities.
_TRIGGER = "trigger"


async def measure(home: Home, rounds: int) -> dict[str, list[float]]:
    """Return samples (s): the delays of events and triggers.

    Each is measured from the observation and from the state that changes first: the sensor
    *Charging status* for events, the binary sensor *Drawing power* for triggers.
    """
    await home.set_up()
    await home.wait_until(home.is_live)
    hass, states = home.hass, home.runtime.states
    charger_id = next(iter(states))
    status_id = _entity_id(hass, "sensor", f"{charger_id}_charging_status")
    session_id = _entity_id(hass, "event", f"{charger_id}_session")
    power_id = _entity_id(hass, "binary_sensor", f"{charger_id}_charging")
    written: dict[str, float] = {}
    fired = asyncio.Event()
    triggered = asyncio.Event()

    async def act(
        run_variables: dict[str, Any], context: Context | None = None
    ) -> None:
        written[_TRIGGER] = perf_counter()
        triggered.set()

    @callback
    def note(event: Event[Any]) -> None:
        entity_id = event.data["entity_id"]
        written[entity_id] = perf_counter()
        if entity_id == session_id:
            fired.set()

    samples: dict[str, list[float]] = {
        "event": [],
        "event after the state": [],
        "trigger": [],
        "trigger after the state": [],
    }
    stop = hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    stop_triggers = await _add_triggers(hass, power_id, act)
    # The first event, of a car that is plugged in, is not measured.
    for number in range(EVENTS * rounds + 1):
        fired.clear()
        triggered.clear()
        mode = _MODES[number % len(_MODES)]
        began = perf_counter()
        states.apply(
            [
                Observation(
                    charger_id, StateId.CHARGER_OPERATION_MODE, dt_util.utcnow(), mode
                )
            ]
        )
        async with asyncio.timeout(10):
            await fired.wait()
            await triggered.wait()
        if number:
            samples["event"].append(written[session_id] - began)
            samples["event after the state"].append(
                written[session_id] - written[status_id]
            )
            samples["trigger"].append(written[_TRIGGER] - began)
            samples["trigger after the state"].append(
                written[_TRIGGER] - written[power_id]
            )
        await asyncio.sleep(0.002)
    stop()
    stop_triggers()
    return samples


async def _add_triggers(
    hass: HomeAssistant, entity_id: str, act: TriggerActionType
) -> CALLBACK_TYPE:
    """Run an action when a car starts or stops charging; return a function that ends this."""
    triggers = cv.TRIGGER_SCHEMA(
        [
            {"trigger": f"{DOMAIN}.{name}", "target": {ATTR_ENTITY_ID: entity_id}}
            for name in ("charging_started", "charging_stopped")
        ]
    )
    config = await async_validate_trigger_config(hass, triggers)
    remove = await async_initialize_triggers(
        hass, config, act, DOMAIN, "benchmark", LOGGER.log
    )
    assert remove
    return remove


def _entity_id(hass: HomeAssistant, platform: str, unique_id: str) -> str:
    """Return the id of an entity."""
    entity_id = er.async_get(hass).async_get_entity_id(platform, DOMAIN, unique_id)
    assert entity_id
    return entity_id
