"""Measure how long a start takes, and what the integration costs while nothing happens."""

import asyncio
from collections import Counter
from collections.abc import Iterable
import gc
from pathlib import Path
import re
from time import perf_counter, process_time
from typing import Any

from homeassistant.helpers import entity_registry as er

from .cloud import Cloud
from .home import Home
from .loop import CountingSelector

# Duration of a measurement while nothing happens (s). What happens once a minute happens
# as often in each of them.
REST = 60.0
SETTLING = 30.0

DAY = 86_400.0
HOUR = 3600.0

_ID = re.compile(r"[0-9a-f-]{36}")


def _memory() -> float:
    """Return the memory of this process that it shares with no other process (octets)."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return 1024.0 * sum(
        int(line.split()[1]) for line in text.splitlines() if line.startswith("Private")
    )


def _sockets() -> int:
    """Return how many sockets this process has open."""
    return sum(
        str(entry.readlink()).startswith("socket:")
        for entry in Path("/proc/self/fd").iterdir()
        if entry.is_symlink()
    )


async def _rest(selector: CountingSelector) -> dict[str, float]:
    """Return the processor time (s a day) and the wake-ups (an hour) while nothing happens.

    A full garbage collection takes a hundred times as long as all else that happens in a
    minute, and comes when enough objects were kept since the last one, most of them by
    the start. So it is done before, and not counted for the minute in which it falls.
    """
    await asyncio.sleep(2)
    gc.collect()
    worked, woken = process_time(), selector.wake_ups
    await asyncio.sleep(REST)
    return {
        "work at rest": (process_time() - worked) / REST * DAY,
        "wake-ups": (selector.wake_ups - woken) / REST * HOUR,
    }


def _peak(moments: list[float]) -> int:
    """Return the largest number of requests in any second."""
    return max(
        sum(start <= moment < start + 1.0 for moment in moments) for start in moments
    )


def kinds(requests: Iterable[tuple[float, str, str]]) -> Counter[str]:
    """Return requests (monotonic time, method, path) by their endpoints."""
    return Counter(f"{method} {_ID.sub('{id}', path)}" for _, method, path in requests)


async def _wait_for_firmware(home: Home, cloud: Cloud) -> None:
    """Wait for the firmware lists, which arrive last."""
    await home.wait_until(lambda: len(home.runtime.firmware.data) == cloud.chargers)


async def _reload(
    home: Home, cloud: Cloud, selector: CountingSelector
) -> dict[str, float]:
    """Return how long it takes to unload the account and to set it up again (s)."""
    config_entries, entry_id = home.hass.config_entries, home.entry.entry_id
    requests = len(await cloud.ask("requests"))
    selector.take_longest()
    began, worked = perf_counter(), process_time()
    await config_entries.async_unload(entry_id)
    unloaded, unload_work = perf_counter() - began, process_time() - worked
    longest = selector.take_longest()
    await config_entries.async_setup(entry_id)
    set_up = perf_counter() - began
    await home.wait_until(home.is_live)
    await _wait_for_firmware(home, cloud)
    return {
        "unload": unloaded,
        "work of the unload": unload_work,
        "longest turn of the unload": longest,
        "reload": set_up,
        "requests of the reload": len(await cloud.ask("requests")) - requests,
    }


async def measure(
    home: Home, cloud: Cloud, selector: CountingSelector
) -> dict[str, Any]:
    """Return samples of a start: times (s), memory (octets), work (s a day)."""
    alone = await _rest(selector)
    before = await asyncio.to_thread(_memory)
    sockets, tasks = await asyncio.to_thread(_sockets), len(asyncio.all_tasks())
    chargers = cloud.chargers

    selector.take_longest()
    began, worked = perf_counter(), process_time()
    await home.set_up()
    set_up = perf_counter() - began

    def are_there() -> bool:
        states = home.hass.states.async_all("binary_sensor")
        online = sum(state.entity_id.endswith("_online") for state in states)
        return online == chargers

    await home.wait_until(are_there)
    there = perf_counter() - began
    await home.wait_until(home.is_live)
    live, start_work = perf_counter() - began, process_time() - worked
    longest = selector.take_longest()

    requests = await cloud.ask("requests")
    states = [moment for moment, _, path in requests if path.endswith("/state")]
    result = {
        "set-up": set_up,
        "all entities": there,
        "all states": live,
        # The requests until the last charger was read first, which the limiter delays.
        "all states, yardstick": sum(moment <= max(states) for moment, *_ in requests)
        / 10,
        "work of the start": start_work,
        "longest turn of the start": longest,
        "peak per second": _peak([moment for moment, *_ in requests]),
    }
    await _wait_for_firmware(home, cloud)
    # Some seconds later Home Assistant writes its registries to disk.
    await asyncio.sleep(SETTLING)
    result |= {
        **await _rest(selector),
        **{f"{name}, yardstick": value for name, value in alone.items()},
        "memory": await asyncio.to_thread(_memory) - before,
        "sockets": await asyncio.to_thread(_sockets) - sockets,
        "tasks": len(asyncio.all_tasks()) - tasks,
        "states": len(home.hass.states.async_all()),
        "registered entities": len(er.async_get(home.hass).entities),
        "requests": dict(kinds(await cloud.ask("requests"))),
        "requests of the start": len(await cloud.ask("requests")),
    }
    return result | await _reload(home, cloud, selector)
