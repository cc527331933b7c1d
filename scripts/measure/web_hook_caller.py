"""Calls web hooks from a process of its own, so that its work is not measured."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import json
import os
from pathlib import Path
import sys
from time import perf_counter
from typing import Any

import aiohttp

_ROOT = Path(__file__).resolve().parents[2]


class Caller:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Initialize the caller from a started process."""
        self._process = process

    async def call(
        self, calls: list[dict[str, Any]], per_second: float = 0
    ) -> dict[str, Any]:
        """Make calls, all at once or at a rate; return delays (s) and statuses."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{json.dumps([calls, per_second])}\n".encode())
        found: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return found


@asynccontextmanager
async def caller() -> AsyncIterator[Caller]:
    """Run a caller in another process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "scripts.measure.web_hook_caller",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(_ROOT)},
        limit=1 << 24,
    )
    try:
        yield Caller(process)
    finally:
        process.kill()
        await process.wait()


async def _make(calls: list[dict[str, Any]], per_second: float) -> dict[str, Any]:
    """Make calls, each over a connection of its own, as a cloud does."""
    delays: list[float] = []
    statuses: Counter[int] = Counter()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def make(number: int, call: dict[str, Any]) -> None:
            if per_second:
                await asyncio.sleep(number / per_second)
            began = perf_counter()
            async with session.post(**call) as answer:
                await answer.read()
            delays.append(perf_counter() - began)
            statuses[answer.status] += 1

        await asyncio.gather(*(make(number, call) for number, call in enumerate(calls)))
    return {"delays": delays, "statuses": statuses}


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        calls, per_second = json.loads(line)
        print(json.dumps(await _make(calls, per_second)), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
