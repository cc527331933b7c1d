"""A Home Assistant that tells of each call that blocks its event loop.

A program of its own, as what watches the calls stays for as long as Python runs. It
prints what was told: `python -m tests.blocking [block]`, the latter for one such call.
"""

import asyncio
from datetime import UTC, datetime
import gc
import logging
import sys
import time
from typing import override

from homeassistant import block_async_io

from scripts.measure.home import home
from simulator.car import Car
from simulator.clock import Clock
from simulator.scenario import Scenario
from simulator.simulator import Simulator

# What a callback may take of the processor at once (s), whatever else the machine does.
BUSY_MAX = 0.3


class _Told(logging.Handler):
    """Keeps what is told of calls that block, and of callbacks that take long."""

    def __init__(self) -> None:
        """Know of none yet."""
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        text = record.getMessage()
        if "blocking call" in text or record.name == __name__:
            self.lines.append(text.splitlines()[0])


def _watch_callbacks() -> None:
    """Tell of each callback that takes the processor for long."""
    run = asyncio.Handle._run

    def watch(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        if (took := time.thread_time() - began) > BUSY_MAX:
            logging.getLogger(__name__).warning("%s took %.3f s", handle, took)

    asyncio.Handle._run = watch  # type: ignore[assignment,method-assign]


def _block() -> None:
    """Do what nobody may do in the event loop."""
    try:
        time.sleep(0.01)
    except RuntimeError as err:
        logging.getLogger(__name__).warning("%s", err)


async def main(*, block: bool) -> list[str]:
    """Live through a charge, a lost link, a reload and the end; return what was told."""
    told = _Told()
    logging.getLogger().addHandler(told)
    scenario = Scenario.of(2)
    async with (
        Simulator(scenario, clock=Clock(datetime.now(UTC), speed=60)) as sim,
        home(sim.api_url) as here,
    ):
        block_async_io.enable()
        # What Home Assistant has made is not ours to collect.
        gc.freeze()
        _watch_callbacks()
        await here.set_up()
        await here.wait_until(here.is_live)
        for charger in sim.chargers.values():
            charger.plug_in(Car(capacity_kwh=5))
        link = next(iter(here.runtime.links.values()))
        await here.wait_until(lambda: link.counters.messages > 10)
        sim.bus.drop_connections()
        await here.wait_until(lambda: link.counters.connects > 1)
        if block:
            _block()
        await here.hass.config_entries.async_reload(here.entry.entry_id)
        await here.wait_until(here.is_live)
    return told.lines


if __name__ == "__main__":
    print(*asyncio.run(main(block="block" in sys.argv)), sep="\n")
