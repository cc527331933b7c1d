"""Measure how soon a car is permitted by a web hook, and what calls of strangers cost."""

import asyncio
from base64 import b64encode
from itertools import batched
from time import perf_counter, process_time
from typing import Any

from homeassistant.components import webhook

from custom_components.zaptec.api import Charger
from custom_components.zaptec.web_hook_settings import (
    WebHookSettings,
    async_store,
    from_entry,
)

from .cloud import Cloud
from .home import Home
from .web_hook_caller import Caller, caller

# Number of cars that are plugged in at once.
CARS = 100

# Number of messages that arrive together, and the pause after them (s): about as many as from
# 500 chargers that charge.
MESSAGES = 100
PAUSE = 0.3

# Calls of a stranger in a second (10,000 a minute), and for how long they are made (s).
STRANGERS = 10_000 / 60
STRANGER_TIME = 15


async def measure(home: Home, cloud: Cloud, address: str) -> dict[str, list[float]]:
    """Return samples of decisions under load (s), and the share of a core of strangers.

    Args:
        home: The home, whose web server runs.
        cloud: The simulated cloud.
        address: Where the web server is.

    """
    await home.set_up()
    await home.wait_until(home.is_live)
    settings = WebHookSettings.new()
    for installation_id in cloud.installations:
        async_store(
            home.hass, home.entry, installation_id, settings := WebHookSettings.new()
        )
    # The account is loaded again, with the entities that belong to web hooks.
    await home.hass.async_block_till_done()
    await home.wait_until(home.is_live)
    async with caller() as other:
        chargers = list(home.runtime.coordinator.data.chargers.values())
        half = len(chargers) // 2
        worked = process_time()
        at_rest = await _decide(home, address, other, chargers[:half])
        work = (process_time() - worked) / half
        load = asyncio.create_task(_load(cloud))
        delays = await _decide(home, address, other, chargers[half:])
        load.cancel()
        await asyncio.gather(load, return_exceptions=True)
        await asyncio.sleep(2)
        rest = await _share(home, other, [])
        ours = await _share(home, other, _strange(address, settings.start_id))
        unknown = await _share(home, other, _strange(address, "unknown"))
    return {
        "decision": delays,
        "decision at rest": at_rest,
        "work of a decision": [work],
        "strangers": [ours - rest],
        "strangers, yardstick": [unknown - rest],
    }


async def _load(cloud: Cloud) -> None:
    """Let messages arrive all the time."""
    while True:
        for installation_id in cloud.installations:
            await cloud.ask(
                "publish", installation=installation_id, count=MESSAGES, yardstick=False
            )
            await asyncio.sleep(PAUSE)


async def _decide(
    home: Home, address: str, other: Caller, chargers: list[Charger]
) -> list[float]:
    """Let chargers have a car, a number of them at once; return the delays."""
    found: list[float] = []
    for group in batched(chargers, CARS, strict=False):
        calls = [
            _start(home, address, charger.id, charger.installation_id or "")
            for charger in group
        ]
        answers = await other.call(calls)
        if answers["statuses"] != {"200": len(calls)}:
            raise RuntimeError(f"Cars were not permitted: {answers['statuses']}")
        found += answers["delays"]
    return found


def _start(
    home: Home, address: str, charger_id: str, installation_id: str
) -> dict[str, Any]:
    """Return the call for a car."""
    settings = from_entry(home.entry)[installation_id]
    code = b64encode(f"{settings.username}:{settings.password}".encode()).decode()
    return {
        "url": address + webhook.async_generate_path(settings.start_id),
        "headers": {"Authorization": f"Basic {code}"},
        "json": {"chargerId": charger_id, "installationId": installation_id},
    }


def _strange(address: str, webhook_id: str) -> list[dict[str, Any]]:
    """Return the calls of a stranger, who knows a URL but not the password."""
    call = {
        "url": address + webhook.async_generate_path(webhook_id),
        "headers": {"Authorization": "Basic eDp5"},
        "json": {"chargerId": "x", "installationId": "x", "token": "x" * 200},
    }
    return [call] * int(STRANGERS * STRANGER_TIME)


async def _share(home: Home, other: Caller, calls: list[dict[str, Any]]) -> float:
    """Return the share of a core that Home Assistant needs while calls are made."""
    began, worked = perf_counter(), process_time()
    if calls:
        await other.call(calls, STRANGERS)
    else:
        await asyncio.sleep(STRANGER_TIME)
    return (process_time() - worked) / (perf_counter() - began)
