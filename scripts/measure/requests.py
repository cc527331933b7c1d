"""Count the requests that the cloud receives in an hour, in every situation."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
import logging
import time

from freezegun import freeze_time
from homeassistant.helpers import event

from custom_components.zaptec.api import azure_link
from simulator.car import Car
from simulator.clock import Clock
from simulator.scenario import Scenario
from simulator.simulator import Simulator
from tests.time_machine import TimeMachine

from .home import home
from .start import kinds

HOUR = 3600.0
STEP = 10.0

# More than any car charges in an hour.
HUNGER = 200.0


async def _nothing(sim: Simulator) -> None:
    """Leave everything as it is."""


async def _charge(sim: Simulator) -> None:
    """Plug in a car at each charger."""
    for charger in sim.chargers.values():
        charger.plug_in(Car(capacity_kwh=HUNGER))
    await asyncio.sleep(0.5)


async def _send_elsewhere(sim: Simulator) -> None:
    """Send no messages to the integration, although its link is up."""
    for installation in sim.installations.values():
        sim.bus.interfere(installation.topic, "elsewhere")


async def _charge_silently(sim: Simulator) -> None:
    """Plug in a car at each charger, and send no messages to the integration after that."""
    await _charge(sim)
    await _send_elsewhere(sim)


async def _cut(sim: Simulator) -> None:
    """Cut the push."""
    await sim.bus.cut()


async def _charge_cut(sim: Simulator) -> None:
    """Cut the push while all chargers charge."""
    await _charge(sim)
    await sim.bus.cut()


SITUATIONS: dict[str, Callable[[Simulator], Awaitable[None]]] = {
    "idle": _nothing,
    "all charging": _charge,
    "idle, nothing arrives": _send_elsewhere,
    "all charging, nothing arrives": _charge_silently,
    "idle, no push": _cut,
    "all charging, no push": _charge_cut,
}


def _now() -> datetime:
    """Return the time from `datetime`, which freezegun patches in this module."""
    return datetime.now(UTC)


async def measure(chargers: int, situation: str) -> dict[str, int]:
    """Return the requests of an hour, by endpoint."""
    # The event loop would take each jump of the clock for a slow callback.
    asyncio.get_running_loop().slow_callback_duration = float("inf")
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    # A step of the protocol that takes milliseconds can begin before a jump of the
    # clock and end after it. Without longer time limits it would be aborted.
    azure_link.OPEN_TIMEOUT = azure_link.PROBE_TIMEOUT = HOUR
    # Home Assistant keeps references to the real clock from before freezegun patched it.
    event.time_tracker_utcnow = partial(_now)
    event.time_tracker_timestamp = lambda: time.time()  # noqa: PLW0108
    with freeze_time(datetime.now(UTC), tick=True) as frozen:
        async with (
            Simulator(
                Scenario.of(chargers), clock=Clock(datetime.now(UTC), speed=0)
            ) as sim,
            home(sim.api_url) as here,
        ):
            await here.set_up()
            await here.wait_until(here.is_live)
            firmware = here.runtime.firmware
            await here.wait_until(lambda: len(firmware.data) == chargers)
            machine = TimeMachine(here.hass, sim, frozen)
            await machine.travel(60, step=STEP)
            await SITUATIONS[situation](sim)
            await machine.settle()
            began = len(sim.rest.requests)
            await machine.travel(HOUR, step=STEP)
            return dict(
                kinds(
                    (item.time_monotonic, item.method, item.path)
                    for item in sim.rest.requests[began:]
                )
            )
