"""A home whose clocks can be moved, to measure an hour in seconds."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
import logging
import time
from typing import Any

from freezegun import freeze_time
from homeassistant.helpers import event

from custom_components.zaptec.api import azure_link
from simulator.car import Car
from simulator.clock import Clock
from simulator.scenario import Scenario
from simulator.simulator import Simulator
from tests.time_machine import TimeMachine

from .home import Home, home

HOUR = 3600.0
STEP = 10.0

# More than any car charges in an hour.
HUNGER = 200.0


def _now() -> datetime:
    """Return the time from `datetime`, which freezegun patches in this module."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Travel:
    """A home with a simulated cloud in the same process, and what moves their clocks."""

    home: Home
    sim: Simulator
    machine: TimeMachine

    async def set_up(self) -> None:
        """Add the account, and wait until nothing of its start is left to do."""
        await self.home.set_up()
        await self.home.wait_until(self.home.is_live)
        firmware = self.home.runtime.firmware
        await self.home.wait_until(lambda: len(firmware.data) == len(self.sim.chargers))
        await self.machine.travel(60, step=STEP)

    async def charge(self) -> None:
        """Plug in a car at each charger."""
        for charger in self.sim.chargers.values():
            charger.plug_in(Car(capacity_kwh=HUNGER))
        await asyncio.sleep(0.5)

    async def pass_hour(self) -> None:
        """Let an hour pass."""
        await self.machine.travel(HOUR, step=STEP)


@asynccontextmanager
async def travel(
    chargers: int, config: dict[str, Any] | None = None
) -> AsyncIterator[Travel]:
    """Run a home without its account, and a cloud with a number of chargers."""
    loop = asyncio.get_running_loop()
    # The event loop would take each jump of the clock for a slow callback.
    loop.slow_callback_duration = float("inf")
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    # A step of the protocol that takes milliseconds can begin before a jump of the
    # clock and end after it. Without longer time limits it would be aborted.
    azure_link.OPEN_TIMEOUT = azure_link.PROBE_TIMEOUT = HOUR
    # Home Assistant and its event loop keep references to the real clock from before
    # freezegun patched it.
    setattr(loop, "time", lambda: time.monotonic())  # noqa: B010, PLW0108
    event.time_tracker_utcnow = partial(_now)
    event.time_tracker_timestamp = lambda: time.time()  # noqa: PLW0108
    with freeze_time(datetime.now(UTC), tick=True) as frozen:
        async with (
            Simulator(
                Scenario.of(chargers), clock=Clock(datetime.now(UTC), speed=0)
            ) as sim,
            home(sim.api_url, config) as here,
        ):
            yield Travel(here, sim, TimeMachine(here.hass, sim, frozen))
