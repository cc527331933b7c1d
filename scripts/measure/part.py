"""Run one part of the benchmark in its own process, and print its samples as JSON."""

import asyncio
from collections.abc import Callable
import json
import logging
import sys
from typing import Any

from . import imports, messages, requests, start
from .cloud import cloud
from .home import home


async def _messages(chargers: str, rounds: str) -> Any:
    async with cloud(int(chargers)) as other, home(other.api_url) as here:
        await here.set_up()
        await here.wait_until(here.is_live)
        return await messages.measure(here, other, int(rounds))


async def _start(chargers: str, latency: str) -> Any:
    async with cloud(int(chargers)) as other, home(other.api_url) as here:
        await other.ask("latency", seconds=float(latency))
        return await start.measure(here, other)


async def _requests(chargers: str, situation: str) -> Any:
    return await requests.measure(int(chargers), situation)


_PARTS: dict[str, Callable[..., Any]] = {
    "messages": lambda *args: asyncio.run(_messages(*args)),
    "start": lambda *args: asyncio.run(_start(*args)),
    "requests": lambda *args: asyncio.run(_requests(*args)),
    "imports": lambda rounds: imports.measure(int(rounds)),
}


if __name__ == "__main__":
    logging.getLogger("homeassistant.loader").setLevel(logging.ERROR)
    name, *arguments = sys.argv[1:]
    print(json.dumps(_PARTS[name](*arguments)))
