"""A simulated cloud in its own process, so that its work is not measured with the integration's."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
import json
import os
from pathlib import Path
import sys
from typing import Any

from simulator.charger import Charger
from simulator.clock import Clock
from simulator.nbfx import encode
from simulator.scenario import DEMO_PASSWORD, DEMO_USER, PastScenario, Scenario
from simulator.simulator import Simulator

_ROOT = Path(__file__).resolve().parents[2]

# The topic whose messages only the yardstick reads, with the bare client library.
YARDSTICK = "yardstick"

USER = DEMO_USER
PASSWORD = DEMO_PASSWORD

# The StateIds that a charging charger reports most often: the currents of the phases,
# the power, the energy of the session, and the current that the charger may use.
STATE_IDS = (507, 508, 509, 513, 553, 708)
SESSION_ENERGY = 553


class Cloud:
    """The other process: a cloud with a number of chargers, up to 25 in an installation."""

    def __init__(self, process: asyncio.subprocess.Process, chargers: int) -> None:
        """Initialize the cloud from a started process."""
        self._process = process
        self.chargers = chargers
        self.api_url = ""
        self.installations: list[str] = []

    async def ask(self, command: str, **values: Any) -> Any:
        """Run a command in the other process and return its result."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{json.dumps([command, values])}\n".encode())
        return json.loads(await self._process.stdout.readline())


@asynccontextmanager
async def cloud(chargers: int, past_days: int = 0) -> AsyncIterator[Cloud]:
    """Run a cloud in another process, whose chargers may have charged before."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "scripts.measure.cloud",
        str(chargers),
        str(past_days),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        limit=1 << 24,
    )
    other = Cloud(process, chargers)
    try:
        answer = await other.ask("where")
        other.api_url = answer["api_url"]
        other.installations = answer["installations"]
        yield other
    finally:
        process.kill()
        await process.wait()


class _Server:
    """Runs the commands in the other process."""

    def __init__(self, sim: Simulator) -> None:
        """Initialize the server."""
        self._sim = sim
        self._turn = 0
        self._has_yardstick = False

    async def answer(self, command: str, values: dict[str, Any]) -> Any:
        """Run a command and return its result."""
        return await getattr(self, f"_{command}")(**values)

    async def _where(self) -> Any:
        return {
            "api_url": self._sim.api_url,
            "installations": list(self._sim.installations),
        }

    async def _yardstick(self, installation: str) -> Any:
        """Return the connection details of the topic that only the yardstick reads."""
        item = self._sim.installations[installation]
        if not self._has_yardstick:
            self._has_yardstick = True
            self._sim.bus.add_topic(YARDSTICK, item.topic, item.bus_key)
        return {
            **self._sim.connection_details(item),
            "Topic": YARDSTICK,
        }

    async def _publish(self, installation: str, count: int, yardstick: bool) -> Any:
        """Publish messages of an installation's chargers, all at once.

        Messages of one charger follow each other, because a charger reports all it measures together.
        """
        item = self._sim.installations[installation]
        chargers = [
            charger
            for charger in self._sim.chargers.values()
            if charger.installation is item
        ]
        topic = YARDSTICK if yardstick else item.topic
        self._sim.bus.interfere(topic, "undelivered")
        for body in self._bodies(chargers, count):
            self._sim.bus.publish(topic, body)
        self._sim.bus.interfere(topic, None)

    def _bodies(self, chargers: list[Charger], count: int) -> Iterable[bytes]:
        """Yield bodies as the vendor sends them, each with a new value.

        A session's energy changes no state if it rises faster than a car can draw it, so
        it rises slowly, and a message that is sent alone is about something else.
        """
        for _ in range(count):
            self._turn += 1
            if count == 1 and STATE_IDS[self._turn % len(STATE_IDS)] == SESSION_ENERGY:
                self._turn += 1
            charger = chargers[self._turn // len(STATE_IDS) % len(chargers)]
            state_id = STATE_IDS[self._turn % len(STATE_IDS)]
            value = self._turn % 9973 + 0.25
            if state_id == SESSION_ENERGY:
                value = self._turn / 1e9
            yield body(charger.id, state_id, f"{value:.9f}")

    async def _requests(self) -> Any:
        """Return all requests so far, with monotonic time, method and path."""
        return [
            (record.time_monotonic, record.method, record.path)
            for record in self._sim.rest.requests
        ]

    async def _latency(self, seconds: float) -> Any:
        """Delay the response to each request."""
        self._sim.rest.latency = seconds

    async def _connections(self) -> Any:
        return self._sim.bus.connections


def body(charger_id: str, state_id: int, value: str) -> bytes:
    """Return the body of a message."""
    now = Clock().now().isoformat().removesuffix("+00:00")
    return encode(
        json.dumps(
            {
                "DeviceId": "ZAP000001",
                "DeviceType": 4,
                "ChargerId": charger_id,
                "StateId": state_id,
                "Timestamp": f"{now}Z",
                "ValueAsString": value,
            },
            separators=(",", ":"),
        )
    )


def _scenario(chargers: int, past_days: int) -> Scenario:
    """Return a number of chargers, each with four sessions a week in the past."""
    past = PastScenario(days=past_days)
    scenario = Scenario.of(chargers)
    return replace(
        scenario,
        installations=tuple(
            replace(installation, past=past) for installation in scenario.installations
        ),
    )


async def _serve(chargers: int, past_days: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    scenario = _scenario(chargers, past_days)
    async with Simulator(scenario, clock=Clock(speed=1)) as sim:
        server = _Server(sim)
        while line := await reader.readline():
            command, values = json.loads(line)
            print(json.dumps(await server.answer(command, values)), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:])))
