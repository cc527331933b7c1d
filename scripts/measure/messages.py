"""Measure how long messages take, alone and in bursts, and what the integration's code costs."""

import asyncio
from collections.abc import Awaitable, Callable
import gc
from time import perf_counter, process_time
import tracemalloc
from typing import Any

from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, HomeAssistant, callback

from .bare import yardstick
from .cloud import SESSION_ENERGY, Cloud
from .home import Home
from .steps import PLAIN_STATE_IDS, Steps, plug_in
from .turns import Ticker

BURST = 10_000
SINGLES = 200

# Number of measurements of each step.
COSTS = 50

# Maximum size of frames that carry no message (octets); those with a message are larger.
SHORT = 100


async def _burst(
    publish: Callable[[], Awaitable[Any]],
    count: Callable[[], int],
    is_done: Callable[[], bool],
) -> tuple[float, float]:
    """Return how long a burst took from its first message to its last state (s).

    Also return how much of that was processor time of this process.
    """
    before = count()
    gc.collect()
    asking = asyncio.ensure_future(publish())
    while count() == before:
        await asyncio.sleep(0)
    began, worked = perf_counter(), process_time()
    while count() < before + BURST or not is_done():
        await asyncio.sleep(0.001)
    took, work = perf_counter() - began, process_time() - worked
    await asking
    return took, work


async def _singles(
    hass: HomeAssistant, publish: Callable[[], Awaitable[Any]]
) -> list[float]:
    """Return how long each message took from receiving its bytes to writing its state (s)."""
    fed = 0.0
    took: list[float] = []
    written = asyncio.Event()
    feed = asyncio.StreamReader.feed_data

    def note(reader: asyncio.StreamReader, octets: bytes) -> None:
        nonlocal fed
        if len(octets) > SHORT:  # Responses of the cloud's process are shorter.
            fed = perf_counter()
        feed(reader, octets)

    @callback
    def write(event: Event[Any]) -> None:
        took.append(perf_counter() - fed)
        written.set()

    asyncio.StreamReader.feed_data = note  # type: ignore[method-assign,assignment]
    stop = hass.bus.async_listen(EVENT_STATE_CHANGED, write)
    try:
        for _ in range(SINGLES):
            written.clear()
            await publish()
            async with asyncio.timeout(10):
                await written.wait()
            await asyncio.sleep(0.002)
    finally:
        stop()
        asyncio.StreamReader.feed_data = feed  # type: ignore[method-assign]
    return took


@callback
def _costs(steps: Steps) -> dict[str, list[float]]:
    """Return what each step of handling a message costs in the integration (s, and octets)."""
    costs: dict[str, list[float]] = {}

    def note(step: str, run: Callable[[], object], count: int) -> None:
        gc.collect()
        began = perf_counter()
        run()
        costs.setdefault(f"cost of {step}", []).append((perf_counter() - began) / count)

    for _ in range(COSTS):
        note("decode", steps.decode, len(steps.messages))
        bundle = steps.bundle()
        note("apply and announce", bundle.apply, len(bundle.observations))
        steps.write()
        for step, state_ids in (
            ("write", PLAIN_STATE_IDS),
            ("write of a session's energy", (SESSION_ENERGY,)),
        ):
            reports = steps.reports(state_ids)
            reports.apply()
            note(step, steps.write, len(reports.topics))
            note(f"{step}, yardstick", steps.write_bare, steps.sensors)
        note("announce", bundle.announce, len(bundle.topics))
        steps.write()
    bundle = steps.bundle()
    tracemalloc.start()
    for step, run, count in (
        ("decode", steps.decode, len(steps.messages)),
        ("apply, announce and write", bundle.apply_and_write, len(bundle.observations)),
    ):
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        run()
        _, peak = tracemalloc.get_traced_memory()
        costs[f"octets of {step}"] = [(peak - before) / count]
    tracemalloc.stop()
    steps.write()
    return costs


async def measure(home: Home, cloud: Cloud, rounds: int) -> dict[str, list[float]]:
    """Return samples: latencies (s), bursts (s), and costs of the integration's code (s each)."""
    hass, runtime = home.hass, home.runtime
    installation_id = cloud.installations[0]
    link = runtime.links[installation_id]
    chargers = len(link.charger_ids)
    samples: dict[str, list[float]] = {}
    plug_in(runtime.states, link.charger_ids)

    def note(name: str, *values: float) -> None:
        samples.setdefault(name, []).extend(values)

    async with yardstick(hass, cloud, chargers) as stick:

        async def publish(count: int, *, to_stick: bool) -> Any:
            return await cloud.ask(
                "publish",
                installation=installation_id,
                count=count,
                yardstick=to_stick,
            )

        for turn in range(rounds + 1):
            took, work = await _burst(
                lambda: publish(BURST, to_stick=True),
                lambda: stick.messages,
                lambda: True,
            )
            ours_took, ours_work = await _burst(
                lambda: publish(BURST, to_stick=False),
                lambda: link.counters.messages,
                lambda: runtime.listeners.is_idle,
            )
            if turn:  # The first round only warms up.
                note("burst, yardstick", took)
                note("burst", ours_took)
                note("burst work, yardstick", work / BURST)
                note("burst work", ours_work / BURST)
            note(
                "latency, yardstick",
                *await _singles(hass, lambda: publish(1, to_stick=True)),
            )
            note(
                "latency",
                *await _singles(hass, lambda: publish(1, to_stick=False)),
            )
        for _ in range(rounds):
            ticker = Ticker()
            ticking = asyncio.create_task(ticker.run())
            await _burst(
                lambda: publish(BURST, to_stick=False),
                lambda: link.counters.messages,
                lambda: runtime.listeners.is_idle,
            )
            ticker.end()
            await ticking
            note("longest turn", ticker.longest)
        costs = _costs(Steps(runtime, installation_id, stick))
    return samples | costs
