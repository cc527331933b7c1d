"""A month with 30 chargers: memory, tasks and sockets do not grow."""

import asyncio
from datetime import UTC, datetime
import gc
import logging
import os
from random import Random
import tracemalloc

from freezegun.api import TickingDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest

from custom_components.zaptec.runtime import ZaptecRuntime
from simulator.car import Car
from simulator.charger import Charger
from simulator.clock import Clock
from simulator.scenario import Scenario
from simulator.simulator import Simulator
from tests.conftest import add_entry

from .oracle import Oracle
from .walk import Walk, recover, sockets

CHARGERS = 30
# Duration in simulated days. CHAOS_DAYS sets more for a run by hand.
DAYS = float(os.environ.get("CHAOS_DAYS", "0.5"))
# Days until every charger has reported each of its StateIds, and has had a long session.
START = max(0.25, DAYS / 4)
STEP = 240.0
# Maximum difference in memory from one day to another (octets).
SLACK = 400_000


def _come_and_go(charger: Charger, rng: Random) -> None:
    """Plug in a car, or unplug the one that is there."""
    if charger.car:
        charger.unplug()
    else:
        charger.plug_in(Car(capacity_kwh=rng.uniform(5, 40)))


def _our_memory() -> int:
    """Return the memory that the integration and its Service Bus library have allocated (octets)."""
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces(
        [
            tracemalloc.Filter(True, "*/custom_components/zaptec/*"),
            tracemalloc.Filter(True, "*/azure/servicebus/*"),
        ]
    )
    return sum(trace.size for trace in snapshot.traces)


def _counts(runtime: ZaptecRuntime) -> dict[str, int]:
    """Return the numbers of all things that could leak."""
    return {
        # Request handlers belong to the simulator, which has one for each open connection.
        "tasks": sum(
            "RequestHandler" not in getattr(task.get_coro(), "__qualname__", "")
            for task in asyncio.all_tasks()
        ),
        "sockets": sockets(),
        "awaited": len(runtime.confirmations),
    }


@pytest.mark.timeout(7200)
async def test_a_long_time(
    hass: HomeAssistant,
    clocks: TickingDateTimeFactory,
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Tasks, sockets, listeners and memory do not grow between the first days and the end."""
    asyncio.get_running_loop().set_debug(False)
    caplog.set_level(logging.WARNING)
    # A probe must not time out during a step of the clock.
    azure_link = "custom_components.zaptec.api.azure_link"
    monkeypatch.setattr(f"{azure_link}.PROBE_TIMEOUT", STEP + 60.0)
    rng = Random(30)
    async with Simulator(
        Scenario.of(CHARGERS), clock=Clock(datetime.now(UTC), speed=0)
    ) as sim:
        monkeypatch.setenv("ZAPTEC_API_URL", sim.api_url)
        entry = add_entry(hass, sim)
        walk = Walk(hass, sim, clocks, rng)
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        await recover(walk, entry, 120.0)
        # Only eight chargers are read at a time, and a link reports only new values. So
        # wait until the last charger has been read.
        await walk.travel(30.0, step=1.0)
        assert all(map(entry.runtime_data.reader.has_read, sim.chargers))
        oracle = Oracle(hass, sim, entry)

        async def live_for(days: float) -> None:
            for hour in range(round(days * 24)):
                _come_and_go(rng.choice(walk.chargers), rng)
                if hour % 8 == 5:
                    sim.bus.drop_connections()
                await walk.travel(3600.0, step=STEP)
            await recover(walk, entry, 200.0, oracle)
            # Queued readings are not a leak, so let them finish.
            await walk.travel(60.0, step=1.0)
            # The captured log and the recorded requests grow because of the test.
            caplog.clear()
            sim.rest.requests.clear()

        await live_for(START)
        tracemalloc.start(1)
        await live_for(START / 2)
        counts = _counts(entry.runtime_data)
        watchers = len(entry.runtime_data.listeners)
        memory = _our_memory()
        await live_for(DAYS - START * 1.5)
        later = _counts(entry.runtime_data)
        grown = _our_memory() - memory
        tracemalloc.stop()
        logging.getLogger(__name__).warning(
            "%d days, %d chargers: %s, then %s, %+d octets",
            DAYS,
            CHARGERS,
            counts,
            later,
            grown,
        )
        assert later["tasks"] <= counts["tasks"] + 1
        assert later["awaited"] == counts["awaited"]
        # The number of idle connections in the HTTP pool varies.
        assert later["sockets"] <= counts["sockets"] + 5
        # An entity is added only when its first value arrives, which may be late.
        assert len(entry.runtime_data.listeners) <= watchers * 1.05
        assert abs(grown) < SLACK
        await walk.see_through(hass.config_entries.async_remove(entry.entry_id))
        assert sim.bus.connections == 0
