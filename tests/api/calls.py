"""Requests and documents for several test modules."""

import asyncio
import socket

from aiohttp import web

from custom_components.zaptec.api import Command, ZaptecClient

CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
READ = f"/api/chargers/{CHARGER}"
WRITE = f"/api/chargers/{CHARGER}/sendCommand/506"
DOCUMENT = {"Id": CHARGER, "Name": "Garage"}


async def read(zaptec: ZaptecClient) -> None:
    """Send a read request."""
    assert (await zaptec.charger(CHARGER)).name == "Garage"


async def write(zaptec: ZaptecClient) -> None:
    """Send a write request."""
    await zaptec.send_command(CHARGER, Command.STOP_CHARGING_FINAL)


async def hang(request: web.Request) -> web.StreamResponse:
    """Respond after the time limit."""
    await asyncio.sleep(0.5)
    return web.Response()


def unused_port() -> int:
    """Return a port on which no server listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


REFUSAL = {"Code": 528, "Details": "Charging is not Paused", "StackTrace": None}
