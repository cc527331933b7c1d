"""Run one part of the benchmark in its own process, and print its samples as JSON."""

from collections.abc import Callable
import json
import logging
from socket import socket
import sys
from typing import Any

from . import (
    database,
    events,
    imports,
    messages,
    requests,
    start,
    statements,
    storage,
    web_hooks,
)
from .cloud import cloud
from .home import home
from .loop import CountingSelector, run

_selector = CountingSelector()


async def _messages(chargers: str, rounds: str) -> Any:
    async with cloud(int(chargers)) as other, home(other.api_url) as here:
        await here.set_up()
        await here.wait_until(here.is_live)
        return await messages.measure(here, other, int(rounds))


async def _events(chargers: str, rounds: str) -> Any:
    async with cloud(int(chargers)) as other, home(other.api_url) as here:
        return await events.measure(here, int(rounds))


async def _start(chargers: str, latency: str) -> Any:
    async with cloud(int(chargers)) as other, home(other.api_url) as here:
        await other.ask("latency", seconds=float(latency))
        return await start.measure(here, other, _selector)


async def _requests(chargers: str, situation: str) -> Any:
    return await requests.measure(int(chargers), situation)


async def _storage(chargers: str) -> Any:
    return await storage.measure(int(chargers))


async def _statements(chargers: str, rounds: str) -> Any:
    past_days = statements.DAYS
    async with cloud(int(chargers), past_days) as other, home(other.api_url) as here:
        return await statements.measure(here, other, _selector, int(rounds))


async def _web_hooks(chargers: str) -> Any:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {"http": {"server_host": "127.0.0.1", "server_port": port}}
    async with cloud(int(chargers)) as other, home(other.api_url, config) as here:
        return await web_hooks.measure(here, other, f"http://127.0.0.1:{port}")


_PARTS: dict[str, Callable[..., Any]] = {
    "messages": lambda *args: run(_messages(*args), _selector),
    "events": lambda *args: run(_events(*args), _selector),
    "start": lambda *args: run(_start(*args), _selector),
    "requests": lambda *args: run(_requests(*args), _selector),
    "statements": lambda *args: run(_statements(*args), _selector),
    "storage": lambda *args: run(_storage(*args), _selector),
    "web hooks": lambda *args: run(_web_hooks(*args), _selector),
    "database": lambda: run(database.measure(), _selector),
    "imports": lambda rounds: imports.measure(int(rounds)),
}


if __name__ == "__main__":
    logging.getLogger("homeassistant.loader").setLevel(logging.ERROR)
    name, *arguments = sys.argv[1:]
    print(json.dumps(_PARTS[name](*arguments)))
