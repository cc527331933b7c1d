"""A walk: one Home Assistant, one simulated cloud, and random faults drawn from a seed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import logging
import math
from pathlib import Path
from random import Random
import re
from typing import Any
from unittest.mock import patch

from azure.servicebus.aio import ServiceBusReceiver
from freezegun.api import TickingDateTimeFactory
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import CONF_USER_GROUP
from simulator.car import Car
from simulator.charger import Charger
from simulator.clock import Clock
from simulator.scenario import DEMO_USER, Scenario, UserGroupScenario
from simulator.simulator import Simulator
from tests.conftest import add_entry
from tests.restored import forget_restored_states
from tests.time_machine import leap, wait_until

from .faults import FAULTS, Fault
from .oracle import Oracle
from .report import Report

# Number of idle iterations of the event loop after which no work is in progress.
CALM_TURNS = 6

# Step of the clock (s) while no time limit runs, while a link is being opened or probed, and
# while a recovery is measured.
LONG_STEP = 80.0
OPENING_STEP = 0.5
RECOVERY_STEP = 1.0

# Step of the clock (s) while the bus is frozen. The integration notices that within 280 s,
# which is before the messages that the bus holds expire (300 s). With longer steps, it would
# notice it too late, and the messages would be lost without a sign.
FROZEN_STEP = 5.0

# Lifetimes of the tokens (s) where the cloud issues refresh tokens. They are shorter than
# the vendor's, so that tokens are renewed during a fault.
TOKEN_LIFETIMES = (300, 1800)


class LogLines(logging.Handler):
    """Collects the log lines of the integration, and all errors of any logger."""

    def __init__(self) -> None:
        """Initialize the handler."""
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.bad: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line of the integration, or an error."""
        text = record.getMessage()
        ours = record.name.startswith("custom_components.zaptec")
        # Home Assistant logs each attempt to set up an entry with the integration's logger.
        if ours and not text.startswith("Config entry"):
            self.lines.append(text)
        # The coordinator logs this error once per outage, when the discovery fails.
        expected = text.startswith(("Error fetching zaptec", "Error requesting zaptec"))
        if record.levelno >= logging.ERROR and not expected:
            self.bad.append(f"{record.name}: {text}")

    def repeated(self) -> list[str]:
        """Return the lines that repeat the previous status of the same link."""
        last: dict[str, str] = {}
        found = []
        for line in self.lines:
            # This line takes the place of those of the links that were lost together.
            if line.startswith("Zaptec is back"):
                last.clear()
            if match := re.match(
                r"Push is (back|lost|not permitted) for ([^:]+)", line
            ):
                what, link = match.groups()
                if last.get(link) == what:
                    found.append(line)
                last[link] = what
        return found

    def others(self) -> list[str]:
        """Return the lines about something else than links.

        Where links are lost together, one line says for all of them that they are back.
        Another one says by which port a link was opened again.
        """
        links = ["Push is "]
        if any(line.startswith("Push is lost") for line in self.lines):
            links += ["Zaptec is back", "The live messages of "]
        return [line for line in self.lines if not line.startswith(tuple(links))]


@contextmanager
def counted_probes() -> Generator[set[object]]:
    """Provide the probes of links that have no answer yet."""
    running: set[object] = set()
    peek = ServiceBusReceiver.peek_messages

    async def counted(receiver: ServiceBusReceiver, **options: Any) -> Any:
        probe = object()
        running.add(probe)
        try:
            return await peek(receiver, **options)
        finally:
            running.remove(probe)

    with patch.object(ServiceBusReceiver, "peek_messages", counted):
        yield running


class Walk:
    """Home Assistant, the simulated cloud and the clocks of one seed."""

    def __init__(
        self,
        hass: HomeAssistant,
        sim: Simulator,
        frozen: TickingDateTimeFactory,
        rng: Random,
        probes: Collection[object] = (),
    ) -> None:
        """Initialize the walk; `probes` are those of links that have no answer yet."""
        self.hass = hass
        self.sim = sim
        self.rng = rng
        self.passed = 0.0
        self._frozen = frozen
        self._probes = probes

    @property
    def chargers(self) -> list[Charger]:
        """Return the chargers."""
        return list(self.sim.chargers.values())

    @property
    def topics(self) -> list[str]:
        """Return the topics of all installations, and of the user group."""
        return [item.topic for item in self.sim.channels.values()]

    @property
    def group_topics(self) -> list[str]:
        """Return the topic of the user group, if the account has one."""
        return [item.topic for item in self.sim.user_groups.values()]

    @property
    def possible_faults(self) -> list[Fault]:
        """Return the faults that have an effect in this cloud."""
        has_refresh_tokens = self.sim.rest.tokens.gives_refresh_tokens
        return [
            fault
            for fault in FAULTS
            if (has_refresh_tokens or not fault.needs_refresh_tokens)
            and (self.group_topics or not fault.needs_user_group)
        ]

    @property
    def _longest_step(self) -> float:
        """Return the longest step of the clock (s) that the running time limits allow."""
        if self._probes or self.sim.bus.connections > self.sim.bus.all_consumers:
            return OPENING_STEP
        return FROZEN_STEP if self.sim.bus.frozen else math.inf

    async def see_through[ResultT](
        self, action: Coroutine[Any, Any, ResultT], step: float = 0.25
    ) -> ResultT:
        """Let time pass until a coroutine has finished, for at most two minutes."""
        task = self.hass.loop.create_task(action)
        end = self.passed + 120.0
        while not task.done():
            assert self.passed < end, f"{action.__qualname__} hangs"
            await self.travel(step, step=step)
            # Work in an executor thread needs real time.
            await asyncio.sleep(0.001)
        return task.result()

    async def travel(self, seconds: float, step: float = LONG_STEP) -> None:
        """Let time pass in steps, and wait after each for the work that it causes."""
        while seconds > 1e-6:
            stride = min(self._longest_step, step, seconds)
            seconds -= stride
            passed = leap(self._frozen, stride)
            self.passed += passed
            self.sim.clock.advance(passed)
            await self.settle()

    async def settle(self) -> None:
        """Wait until the event loop has been idle for some iterations."""
        loop = asyncio.get_running_loop()
        calm = 0
        while calm < CALM_TURNS:
            await asyncio.sleep(0)
            calm = 0 if loop._ready else calm + 1

    async def live(self, faulty: bool) -> None:
        """Let something ordinary happen: a car comes or goes, or the user changes something."""
        charger = self.rng.choice(self.chargers)
        match self.rng.randrange(6):
            case 0 | 1 if charger.car is None:
                charger.plug_in(
                    Car(
                        capacity_kwh=self.rng.uniform(1, 40),
                        phases=self.rng.choice((1, 3)),
                        wants=self.rng.random() < 0.9,
                    )
                )
            case 0 | 1:
                charger.unplug()
            case 2:
                await self._press(
                    charger,
                    "number",
                    "charger_max_current",
                    "set_value",
                    {"value": self.rng.choice((6, 10, 16, 32))},
                )
            case 3:
                await self._press(
                    charger,
                    "switch",
                    "charger_operation_mode",
                    self.rng.choice(("turn_on", "turn_off")),
                    {},
                )
            case 4 if not faulty:
                charger.set_offline()
                await self.travel(self.rng.choice((5.0, 300.0)))
                charger.set_online()

    async def _press(
        self,
        charger: Charger,
        platform: str,
        key: str,
        action: str,
        fields: dict[str, Any],
    ) -> None:
        """Use a control; during a fault it may fail, but only with an error for the user."""
        entity_id = entity_id_of(self.hass, platform, f"{charger.id}_{key}")
        # The cloud may reject a command for a reason of its own, also without a fault.
        with suppress(HomeAssistantError):
            await self.see_through(
                self.hass.services.async_call(
                    platform,
                    action,
                    {ATTR_ENTITY_ID: entity_id, **fields},
                    blocking=True,
                ),
                step=1.0,
            )


def entity_id_of(hass: HomeAssistant, platform: str, unique_id: str) -> str:
    """Return the id of an entity of the integration."""
    entity_id = er.async_get(hass).async_get_entity_id(platform, "zaptec", unique_id)
    assert entity_id
    return entity_id


def sockets() -> int:
    """Return how many sockets this process has open."""
    count = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += str(link.readlink()).startswith("socket:")
    return count


@asynccontextmanager
async def _world(
    hass: HomeAssistant,
    frozen: TickingDateTimeFactory,
    rng: Random,
    probes: Collection[object],
    use_cloud: Callable[[Simulator], None],
) -> AsyncGenerator[tuple[Walk, MockConfigEntry, Oracle]]:
    """Provide a cloud and a live entry, and check that nothing is left of them afterwards."""
    # States that an earlier walk left to be restored belong to other chargers.
    forget_restored_states(hass)
    before = asyncio.all_tasks()
    sockets_before = sockets()
    scenario = replace(
        Scenario.of(rng.choice((1, 1, 2, 3))), refresh_tokens=rng.random() < 0.5
    )
    if rng.random() < 0.5:
        group = UserGroupScenario(name="Group", owners=(DEMO_USER,))
        scenario = replace(scenario, user_groups=(group,))
    async with Simulator(scenario, clock=Clock(datetime.now(UTC), speed=0)) as sim:
        if scenario.refresh_tokens:
            sim.rest.tokens.lifetime = rng.choice(TOKEN_LIFETIMES)
            sim.rest.tokens.detects_reuse = True
        use_cloud(sim)
        walk = Walk(hass, sim, frozen, rng, probes)
        entry = add_entry(hass, sim)
        for group_id in sim.user_groups:
            hass.config_entries.async_update_entry(
                entry, options={CONF_USER_GROUP: group_id}
            )
        await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
        await recover(walk, entry, 120.0)
        # The oracle remembers what each entity shows, so all of them have to be there: those
        # of the first values are added once the listeners have been notified of the values,
        # and Home Assistant may have to load translations for that.
        await walk.settle()
        await wait_until(lambda: entry.runtime_data.round_robin.is_idle)
        await hass.async_block_till_done()
        oracle = Oracle(hass, sim, entry)
        yield walk, entry, oracle
        oracle.close()
        await walk.see_through(hass.config_entries.async_remove(entry.entry_id))
        await walk.travel(60.0, step=5.0)
        assert sim.bus.connections == 0, "A link is left"
        assert sim.rest.forbidden == []
        assert sim.rest.tokens.reused == 0
        check_pace_of_tokens(sim)
    # Connections of the HTTP session belong to Home Assistant. Idle ones time out.
    await walk_until(walk, lambda: not asyncio.all_tasks() - before)
    left = [task.get_name() for task in asyncio.all_tasks() - before]
    assert not left, f"Tasks are left: {left}"
    assert sockets() <= sockets_before + 2, "Sockets are left"


def check_pace_of_tokens(sim: Simulator) -> None:
    """Check that the token endpoint never received two requests within a second."""
    moments = [item.time_monotonic for item in sim.rest.requests if item.grant]
    for before, after in pairwise(moments):
        assert after - before > 1.0, "Two token requests came within a second"


async def walk_until(walk: Walk, condition: Callable[[], bool]) -> None:
    """Let up to 50 s pass until a condition is met; return also if it is not."""
    for _ in range(50):
        if condition():
            return
        leap(walk._frozen, 1.0)
        await walk.settle()


def _liveliness(entry: MockConfigEntry) -> object:
    """Return the state of an entry and its links, for an error message."""
    if entry.state is not ConfigEntryState.LOADED:
        return entry.state
    return [
        (
            link.status,
            link.fault,
            link.counters.losses,
            link.is_incomplete,
            link.is_silent,
        )
        for link in entry.runtime_data.links.connections
    ]


async def recover(
    walk: Walk,
    entry: MockConfigEntry,
    bound: float,
    oracle: Oracle | None = None,
) -> float:
    """Let time pass until everything is right, and return how long that took (s)."""

    def is_right() -> bool:
        runtime = entry.runtime_data
        # A link may be dead before the integration has noticed it, while all entities
        # still look right. So check in the simulator that each topic is read.
        return (
            all(link.status == "connected" for link in runtime.links.connections)
            and all(map(walk.sim.bus.is_read, walk.topics))
            and all(map(runtime.is_fresh, runtime.coordinator.data.chargers))
        )

    start = walk.passed
    while True:
        wrong = [f"Not everything is live: {_liveliness(entry)}"]
        if entry.state is ConfigEntryState.LOADED and is_right():
            wrong = oracle.differences() if oracle else []
        if not wrong:
            return walk.passed - start
        elapsed = walk.passed - start
        assert elapsed < bound, f"Not right after {elapsed:.0f} s: {wrong}"
        await walk.travel(RECOVERY_STEP if elapsed < 60 else 5.0, step=RECOVERY_STEP)


async def run(
    hass: HomeAssistant,
    frozen: TickingDateTimeFactory,
    seed: int,
    use_cloud: Callable[[Simulator], None],
    report: Report,
) -> None:
    """Walk, and check after every fault that everything is right again."""
    # Each walk begins at midnight, so that it depends on nothing but its seed.
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    frozen.move_to(midnight + timedelta(days=1))
    rng = Random(seed)
    log = LogLines()
    logging.getLogger().addHandler(log)
    trail: list[str] = []
    try:
        with (
            patch("custom_components.zaptec.sources.link.random", rng),
            counted_probes() as probes,
        ):
            async with _world(hass, frozen, rng, probes, use_cloud) as (
                walk,
                entry,
                oracle,
            ):
                for _ in range(rng.randint(2, 4)):
                    for _ in range(rng.randint(0, 4)):
                        await walk.live(faulty=False)
                        await walk.travel(rng.choice((10.0, 600.0, 7200.0)))
                    fault = rng.choice(walk.possible_faults)
                    trail.append(fault.name)
                    await _endure(walk, entry, oracle, fault, log, report, seed)
                assert walk.sim.rest.peak_per_second <= 10
                report.simulated_seconds += walk.passed
        assert not log.bad, log.bad[:3]
        report.walks += 1
    except BaseException as err:
        err.add_note(f"Chaos seed {seed}: {' -> '.join(trail)}")
        raise
    finally:
        logging.getLogger().removeHandler(log)


async def _endure(
    walk: Walk,
    entry: MockConfigEntry,
    oracle: Oracle,
    fault: Fault,
    log: LogLines,
    report: Report,
    seed: int,
) -> None:
    """Go through one fault and measure the recovery."""
    log.lines.clear()
    duration = walk.rng.choice(fault.durations)
    start = walk.passed
    async with fault.during(walk, entry):
        for _ in range(walk.rng.randint(0, 3)):
            if entry.state is ConfigEntryState.LOADED:
                await walk.live(faulty=True)
            await walk.travel(duration / 4)
        await walk.travel(max(0.0, duration - (walk.passed - start)), step=60.0)
    await walk.settle()
    outage = walk.passed - start
    # Messages that the chargers have yet to send are not part of the recovery.
    taken = await recover(walk, entry, fault.bound(outage), oracle)
    report.recovered(fault.name, taken, seed)
    assert not (repeated := log.repeated()), repeated
    allowed = fault.log_lines * (1 + len(walk.topics))
    others = log.others()
    assert len(others) <= allowed, "\n".join(others)
    # Without this pause, the next fault would fall into the recovery from this one.
    await walk.travel(90.0, step=15.0)
