"""Another program that reads the messages of an account."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from custom_components.zaptec.api import (
    ConnectionDetails,
    Subscription,
    SubscriptionError,
)
from simulator.endpoints.call import Channel
from simulator.simulator import Simulator


@asynccontextmanager
async def another_reader(sim: Simulator, channel: Channel) -> AsyncGenerator[None]:
    """Read a subscription with a second receiver; each message goes to one of the two."""
    details = ConnectionDetails.from_json(sim.connection_details(channel))
    stream = Subscription(details, allow_plain=True)

    async def read() -> None:
        with suppress(SubscriptionError):
            async for _ in stream:
                pass

    async with stream:
        reading = asyncio.create_task(read())
        await sim.bus.wait_until(lambda: sim.bus.consumers(channel.topic) == 2)
        yield
        reading.cancel()
        await asyncio.wait([reading])
    await sim.bus.wait_until(lambda: sim.bus.consumers(channel.topic) == 1)
