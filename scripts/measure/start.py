"""Measure how long a start takes, and what the integration costs while nothing happens."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
import re
from time import perf_counter, process_time
from typing import Any

from .cloud import Cloud
from .home import Home
from .turns import Ticker

# Duration of the measurement while nothing happens (s).
REST = 20.0
SETTLING = 30.0

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


async def _rest() -> float:
    """Return the processor time used while nothing happens, in seconds a day."""
    await asyncio.sleep(2)
    worked = process_time()
    await asyncio.sleep(REST)
    return (process_time() - worked) / REST * 86_400


def _peak(moments: list[float]) -> int:
    """Return the largest number of requests in any second."""
    return max(
        sum(start <= moment < start + 1.0 for moment in moments) for start in moments
    )


def kinds(requests: Iterable[tuple[float, str, str]]) -> Counter[str]:
    """Return requests (monotonic time, method, path) by their endpoints."""
    return Counter(f"{method} {_ID.sub('{id}', path)}" for _, method, path in requests)


async def measure(home: Home, cloud: Cloud) -> dict[str, Any]:
    """Return samples of a start: times (s), memory (octets), work (s a day)."""
    before = await asyncio.to_thread(_memory)
    work = await _rest()
    sockets, tasks = await asyncio.to_thread(_sockets), len(asyncio.all_tasks())
    chargers = cloud.chargers

    ticker = Ticker()
    ticking = asyncio.create_task(ticker.run())
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
    ticker.end()
    await ticking

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
        "longest turn of the start": ticker.longest,
        "peak per second": _peak([moment for moment, *_ in requests]),
    }
    # The firmware lists arrive last.
    await home.wait_until(lambda: len(home.runtime.firmware.data) == cloud.chargers)
    # Some seconds later Home Assistant writes its registries to disk.
    await asyncio.sleep(SETTLING)
    result |= {
        "rest": await _rest(),
        "rest, yardstick": work,
        "memory": await asyncio.to_thread(_memory) - before,
        "sockets": await asyncio.to_thread(_sockets) - sockets,
        "tasks": len(asyncio.all_tasks()) - tasks,
        "entities": len(home.hass.states.async_all()),
        "requests": dict(kinds(await cloud.ask("requests"))),
    }
    return result
