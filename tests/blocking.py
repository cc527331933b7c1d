"""Run a Home Assistant that reports each call that blocks its event loop.

This is a separate program because Home Assistant's patches that detect such calls cannot
be removed from a running Python. `python -m tests.blocking` prints the reports; with the
argument `block` it also makes one blocking call, which must be reported.
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

# Maximum processor time of one callback (s). Processor time does not depend on what else
# the machine does.
BUSY_MAX = 0.3


class _Reports(logging.Handler):
    """Collects the reports of blocking calls and of slow callbacks."""

    def __init__(self) -> None:
        """Initialize the handler."""
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first line of a report."""
        text = record.getMessage()
        if "blocking call" in text or record.name == __name__:
            self.lines.append(text.splitlines()[0])


def _watch_callbacks() -> None:
    """Log each callback that takes much processor time."""
    run = asyncio.Handle._run

    def watch(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        if (took := time.thread_time() - began) > BUSY_MAX:
            logging.getLogger(__name__).warning("%s took %.3f s", handle, took)

    asyncio.Handle._run = watch


def _block() -> None:
    """Make a blocking call in the event loop."""
    try:
        time.sleep(0.01)
    except RuntimeError as err:
        logging.getLogger(__name__).warning("%s", err)


async def main(*, block: bool) -> list[str]:
    """Run through a charge, a lost link, a reload and the stop; return the reports."""
    reports = _Reports()
    logging.getLogger().addHandler(reports)
    scenario = Scenario.of(2)
    async with (
        Simulator(scenario, clock=Clock(datetime.now(UTC), speed=60)) as sim,
        home(sim.api_url) as here,
    ):
        block_async_io.enable()
        # Collecting the many objects that Home Assistant made at its start would take long,
        # and would be taken for a slow callback.
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
    return reports.lines


if __name__ == "__main__":
    print(*asyncio.run(main(block="block" in sys.argv)), sep="\n")
