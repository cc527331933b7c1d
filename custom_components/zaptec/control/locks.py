"""Locks that make requests to one device wait for each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from homeassistant.exceptions import HomeAssistantError

from ..api import current_deadline
from ..const import DOMAIN


@asynccontextmanager
async def async_hold(lock: asyncio.Lock) -> AsyncIterator[None]:
    """Hold a lock; wait for it only until the deadline of the user's action.

    Raises:
        HomeAssistantError: The request before took too long, so nothing was sent.

    """
    deadline = current_deadline()
    try:
        async with asyncio.timeout_at(deadline.at if deadline else None):
            await lock.acquire()
    except TimeoutError:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="not_sent"
        ) from None
    try:
        yield
    finally:
        lock.release()
