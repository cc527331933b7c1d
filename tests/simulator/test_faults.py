"""Tests with real clients of the faults that the chaos tests use."""

import asyncio
from collections.abc import AsyncIterator
import json

import aiohttp
from azure.servicebus.exceptions import ServiceBusError
import pytest

from simulator.amqp.connection import STAGES, Stage
from simulator.clock import Clock
from simulator.faults import REDIRECT_TARGET, Busy, Rejection
from simulator.servicebus import Break, Interference, ServiceBus
from simulator.simulator import Simulator

from .conftest import START
from .test_servicebus import KEY, TOPIC, receiver, take, taking

pytestmark = [pytest.mark.usefixtures("socket_enabled"), pytest.mark.timeout(20)]


@pytest.fixture
async def bus() -> AsyncIterator[ServiceBus]:
    """Serve one topic, at a time that stands still."""
    bus = ServiceBus(Clock(START, speed=0))
    bus.add_topic(TOPIC, TOPIC, KEY)
    await bus.start()
    yield bus
    await bus.stop()


async def receive(bus: ServiceBus, *, patience: float = 60.0) -> bytes:
    """Open a receiver and return the body of the first message."""
    async with asyncio.timeout(patience), receiver(bus) as opened:
        (message,) = await take(opened, 1)
    return b"".join(message.body)


@pytest.mark.parametrize("how", ["reset", "closed"])
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "transfer"])
async def test_a_connection_breaks_at_a_stage(
    bus: ServiceBus, stage: Stage, how: Break
) -> None:
    """No connection passes the stage, and all do when the fault has ended."""
    bus.publish(TOPIC, b"body")
    bus.break_at(stage, how)
    with pytest.raises((ServiceBusError, OSError, TimeoutError, ValueError)):
        await receive(bus, patience=1.0)
    assert bus.pending(TOPIC) == 1
    bus.drop_connections()
    await bus.wait_until(lambda: bus.connections == 0)
    bus.break_at(None)
    assert await receive(bus) == b"body"


@pytest.mark.parametrize("stage", STAGES)
async def test_a_connection_is_half_open_from_a_stage_on(
    bus: ServiceBus, stage: Stage
) -> None:
    """The connection sends nothing, but TCP stays open."""
    bus.publish(TOPIC, b"body")
    bus.break_at(stage, "half open")
    with pytest.raises((ServiceBusError, TimeoutError)):
        await receive(bus, patience=0.5)
    bus.break_at(None)
    bus.publish(TOPIC, b"body")
    assert await receive(bus) == b"body"


async def test_a_message_may_be_lost_with_its_connection(bus: ServiceBus) -> None:
    """Receive-and-delete settles a message when it is sent, so a reset loses it."""
    bus.break_at("transfer")
    async with receiver(bus) as opened:
        taken = asyncio.create_task(take(opened, 1))
        await bus.wait_for_consumer(TOPIC)
        bus.publish(TOPIC, b"lost")
        await bus.wait_until(lambda: bus.connections == 0)
        taken.cancel()
        await asyncio.gather(taken, return_exceptions=True)
    assert bus.pending(TOPIC) == 0
    assert bus.delivered(TOPIC) == 1


@pytest.mark.parametrize(
    ("interference", "meanwhile", "afterwards"),
    [
        ("duplicated", [b"1", b"1", b"2", b"2", b"3", b"3"], []),
        ("reordered", [b"3", b"2", b"1"], []),
        ("late", [], [b"3", b"2", b"1"]),
        ("lost", [b"2"], []),
        ("undelivered", [], [b"1", b"2", b"3"]),
        ("elsewhere", [], []),
    ],
)
async def test_messages_come_to_harm(
    bus: ServiceBus,
    interference: Interference,
    meanwhile: list[bytes],
    afterwards: list[bytes],
) -> None:
    """Each interference has its documented effect, and ends."""
    bus.interfere(TOPIC, interference)
    async with receiver(bus) as opened:
        expected = [*meanwhile, *afterwards, b"4"]
        async with taking(bus, opened, len(expected)) as taken:
            for body in (b"1", b"2", b"3"):
                bus.publish(TOPIC, body)
            assert bus.delivered(TOPIC) == len(meanwhile)
            bus.interfere(TOPIC, None)
            bus.publish(TOPIC, b"4")
            received = [b"".join(message.body) for message in await taken]
    assert received == expected


async def test_octets_dribble(bus: ServiceBus) -> None:
    """Octets that are sent one by one still form frames."""
    bus.dribbles = True
    bus.publish(TOPIC, b"body")
    assert await receive(bus, patience=60.0) == b"body"


async def test_what_dribbles_comes_at_once_when_it_is_over(bus: ServiceBus) -> None:
    """Data that is sent after a dribble is complete and in order."""
    async with receiver(bus) as opened, taking(bus, opened, 2) as taken:
        bus.dribbles = True
        bus.publish(TOPIC, b"x" * 5000)
        bus.dribbles = False
        bus.publish(TOPIC, b"after")
        bodies = [b"".join(message.body) for message in await taken]
    assert bodies == [b"x" * 5000, b"after"]


async def test_a_redirect_leads_elsewhere(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """The redirect names a server that clients must not contact."""
    sim.rest.fail("^/api/", fault="redirect")
    async with session.get(
        f"{sim.api_url}/api/chargers", allow_redirects=False
    ) as answer:
        assert answer.status == 302
        assert answer.headers["Location"] == REDIRECT_TARGET


async def test_a_giant_has_no_end(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """The body is larger than a client should keep in memory."""
    sim.rest.fail("^/api/", fault="giant")
    async with session.get(f"{sim.api_url}/api/chargers") as answer:
        read = 0
        async for chunk in answer.content.iter_any():
            read += len(chunk)
            if read > 16 << 20:
                break
        assert read > 16 << 20


async def test_a_body_drips(sim: Simulator, session: aiohttp.ClientSession) -> None:
    """The body comes octet by octet, with pauses; healing resets the connection."""
    sim.rest.fail("^/api/", fault="drip")
    async with session.get(f"{sim.api_url}/api/chargers") as answer:
        assert await answer.content.read(1) == b" "
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await answer.content.read(1)
        sim.rest.heal()
        with pytest.raises(aiohttp.ClientError):
            await answer.content.read()


@pytest.mark.parametrize(
    ("rejection", "document"),
    [
        (Rejection(528, "Not now"), {"Code": 528, "Details": "Not now"}),
        (Rejection(505), {"Code": 505, "Details": None}),
        (Rejection(None), None),
    ],
)
async def test_a_rejection_has_the_code_and_words_that_were_chosen(
    sim: Simulator,
    session: aiohttp.ClientSession,
    rejection: Rejection,
    document: dict[str, object] | None,
) -> None:
    """A rejection without a code has no document."""
    sim.rest.fail("^/api/", fault=rejection)
    async with session.get(f"{sim.api_url}/api/chargers") as answer:
        assert answer.status == 500
        body = await answer.text()
    if document is None:
        assert body == ""
    else:
        assert json.loads(body) == {**document, "StackTrace": None}


async def test_a_busy_cloud_asks_for_a_pause(
    sim: Simulator, session: aiohttp.ClientSession
) -> None:
    """The response asks for a pause of the chosen length."""
    sim.rest.fail("^/api/", fault=Busy(600))
    async with session.get(f"{sim.api_url}/api/chargers") as answer:
        assert answer.status == 429
        assert answer.headers["Retry-After"] == "600"
