"""Tests of AMQP within a WebSocket, with the real client and with single frames."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
import ssl

import aiohttp
from azure.servicebus import ServiceBusReceiveMode, TransportType, exceptions
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
import pytest

from simulator.amqp import web_socket
from simulator.amqp.web_socket import PATH, SUB_PROTOCOL
from simulator.certificate import Certificate
from simulator.clock import Clock
from simulator.servicebus import ServiceBus

pytestmark = [pytest.mark.usefixtures("socket_enabled"), pytest.mark.timeout(20)]

TOPIC = "installation_1"
KEY = "key"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"


@pytest.fixture
def expected_lingering_timers() -> bool:
    """Accept the timer of pings that aiohttp starts again when a close is returned."""
    return True


@pytest.fixture
async def bus() -> AsyncIterator[ServiceBus]:
    """Serve one topic."""
    bus = ServiceBus(Clock(speed=0))
    bus.add_topic(TOPIC, TOPIC, KEY)
    await bus.start()
    yield bus
    await bus.stop()


@asynccontextmanager
async def receiver(
    bus: ServiceBus,
    *,
    transport: TransportType = TransportType.AmqpOverWebsocket,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[ServiceBusReceiver]:
    """Open a receiver of the real client."""
    number = bus.port if transport is TransportType.Amqp else bus.web_socket.number
    emulator = "" if ssl_context else ";UseDevelopmentEmulator=true"
    client = ServiceBusClient.from_connection_string(
        f"Endpoint=sb://127.0.0.1:{bus.port};SharedAccessKeyName={TOPIC};"
        f"SharedAccessKey={KEY}{emulator}",
        custom_endpoint_address=f"sb://127.0.0.1:{number}",
        transport_type=transport,
        ssl_context=ssl_context,
        retry_total=0,
    )
    async with (
        client,
        client.get_subscription_receiver(
            TOPIC,
            "default",
            receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE,
            prefetch_count=20,
            keep_alive=0,
        ) as opened,
    ):
        yield opened


async def take(receiver: ServiceBusReceiver, count: int) -> list[bytes]:
    """Receive a number of messages."""
    bodies: list[bytes] = []
    async with asyncio.timeout(60):
        async for message in receiver:
            bodies.append(b"".join(message.body))
            if len(bodies) == count:
                break
    return bodies


async def test_both_ports_lead_to_the_same_topic(bus: ServiceBus) -> None:
    """A message goes to one of the receivers, whichever way they have come."""
    sizes = (1, 200, 40_000, 100_000)
    async with (
        receiver(bus) as one,
        receiver(bus, transport=TransportType.Amqp) as two,
    ):
        tasks = [asyncio.create_task(take(link, len(sizes))) for link in (one, two)]
        await bus.wait_until(lambda: bus.consumers(TOPIC) == 2)
        for size in sizes:
            bus.publish(TOPIC, b"a" * size)
            bus.publish(TOPIC, b"b" * size)
        first, second = await asyncio.gather(*tasks)
    assert sorted(map(len, first + second)) == sorted(2 * sizes)
    assert {body[:1] for body in first} != {body[:1] for body in second}


async def test_encryption() -> None:
    """With a certificate, both ports speak TLS."""
    certificate = Certificate()
    bus = ServiceBus(Clock(speed=0), ssl_context=certificate.server_context())
    bus.add_topic(TOPIC, TOPIC, KEY)
    await bus.start()
    bus.publish(TOPIC, b"secret")
    async with receiver(bus, ssl_context=certificate.client_context()) as link:
        assert await take(link, 1) == [b"secret"]
    await bus.stop()


@pytest.mark.parametrize("reset", [True, False])
async def test_a_connection_that_ends(bus: ServiceBus, reset: bool) -> None:
    """The client notices the end of a WebSocket, by RST or by a close frame."""
    async with receiver(bus) as link:
        taken = asyncio.create_task(take(link, 1))
        await bus.wait_for_consumer(TOPIC)
        bus.drop_connections(reset=reset)
        with pytest.raises(exceptions.ServiceBusConnectionError):
            await taken
    assert bus.connections == 0


async def test_only_one_port_is_blocked(bus: ServiceBus) -> None:
    """Blocking a port ends its own connections, and not those of the other one."""
    async with (
        receiver(bus) as one,
        receiver(bus, transport=TransportType.Amqp) as two,
    ):
        tasks = [asyncio.create_task(take(link, 1)) for link in (one, two)]
        await bus.wait_until(lambda: bus.consumers(TOPIC) == 2)
        await bus.block(bus.direct, "reset")
        with pytest.raises(exceptions.ServiceBusConnectionError):
            await tasks[1]
        bus.publish(TOPIC, b"still there")
        assert await tasks[0] == [b"still there"]


@asynccontextmanager
async def opened(bus: ServiceBus) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a WebSocket without AMQP."""
    url = f"http://127.0.0.1:{bus.web_socket.number}{PATH}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=[SUB_PROTOCOL], autoping=False) as socket,
    ):
        yield socket


async def test_frames(bus: ServiceBus) -> None:
    """A ping is answered, octets may be split over frames, and a close is returned."""
    async with opened(bus) as socket:
        assert socket.protocol == SUB_PROTOCOL
        await socket.ping(b"are you there")
        answer = await socket.receive(5)
        assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"are you there")
        await socket.pong(b"without a question")
        for octet in SASL_HEADER:
            await socket.send_bytes(bytes([octet]))
        assert await socket.receive_bytes(timeout=5) == SASL_HEADER
        await socket.close()
        assert socket.close_code == 1000
    await bus.wait_until(lambda: bus.connections == 0)


async def test_a_half_open_connection_answers_nothing(bus: ServiceBus) -> None:
    """Neither a ping nor a close is answered when the peer has gone without an end."""
    async with opened(bus) as socket:
        await bus.wait_until(lambda: bus.connections == 1)
        bus.forget_connections()
        await socket.ping()
        await socket.send_frame(b"", aiohttp.WSMsgType.CLOSE)
        with pytest.raises(TimeoutError):
            await socket.receive(0.05)
        bus.drop_connections()


@dataclass(frozen=True, slots=True)
class Raw:
    """A TCP connection to the port of the WebSocket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self, **changes: str | None) -> bytes:
        """Send the request that opens a WebSocket; return the first line of the answer."""
        headers = {
            "Host": "127.0.0.1",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": f"chat, {SUB_PROTOCOL}",
        }
        line = changes.pop("line", None) or f"GET {PATH.replace('$', '%24')} HTTP/1.1"
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        lines = [
            line,
            *(f"{name}: {value}" for name, value in headers.items() if value),
        ]
        request = "\r\n".join([*lines, "", ""]).encode()
        # In two parts, as a network may deliver it.
        self.writer.write(request[:20])
        await asyncio.sleep(0)
        self.writer.write(request[20:])
        return (await self.reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0]


@asynccontextmanager
async def raw(bus: ServiceBus) -> AsyncIterator[Raw]:
    """Open a TCP connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bus.web_socket.number)
    yield Raw(reader, writer)
    writer.close()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"line": "GET /other HTTP/1.1"}, 404),
        ({"line": f"POST {PATH} HTTP/1.1"}, 400),
        ({"Upgrade": None}, 400),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Protocol": "chat"}, 400),
        ({"Sec_WebSocket_Protocol": None}, 400),
    ],
)
async def test_other_requests(
    bus: ServiceBus, changes: dict[str, str | None], status: int
) -> None:
    """Only a request for AMQP within a WebSocket is accepted."""
    async with raw(bus) as connection:
        answer = await connection.request(**changes)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert await connection.reader.read() == b""
    assert bus.connections == 0


async def test_a_request_without_an_end(bus: ServiceBus) -> None:
    """A request that is too long is refused."""
    async with raw(bus) as connection:
        connection.writer.write(b"GET /" + b"a" * web_socket._REQUEST_MAX)
        assert (await connection.reader.read()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "octets",
    [
        b"\x82\x01a",
        b"\x82\xff" + (1 << 40).to_bytes(8) + b"mask",
        b"\x83\x80mask",
    ],
    ids=["not masked", "too large", "reserved"],
)
async def test_frames_that_break_the_protocol(bus: ServiceBus, octets: bytes) -> None:
    """An invalid frame ends the WebSocket with the code of a protocol error."""
    async with raw(bus) as connection:
        assert (await connection.request()).startswith(b"HTTP/1.1 101 ")
        connection.writer.write(octets)
        assert await connection.reader.read() == b"\x88\x02\x03\xea"
    await bus.wait_until(lambda: bus.connections == 0)


async def test_a_reader_that_is_slow(bus: ServiceBus) -> None:
    """Messages wait in the topic while the socket accepts no more data."""
    async with receiver(bus) as link:
        taken = asyncio.create_task(take(link, 20))
        await bus.wait_for_consumer(TOPIC)
        for _ in range(20):
            bus.publish(TOPIC, b"x" * 1_000_000)
        assert bus.pending(TOPIC) > 0
        assert len(await taken) == 20


async def test_frames_that_are_split(bus: ServiceBus) -> None:
    """A frame may arrive octet by octet, or together with the request and other frames."""
    masked = web_socket._masked(SASL_HEADER, b"mask")
    octets = bytes([0x82, 0x80 | len(masked)]) + b"mask" + masked
    async with raw(bus) as connection:
        assert (await connection.request()).startswith(b"HTTP/1.1 101 ")
        for octet in octets:
            connection.writer.write(bytes([octet]))
            await connection.writer.drain()
            await asyncio.sleep(0)
        expected = web_socket.frame(0x2, SASL_HEADER)
        assert await connection.reader.readexactly(len(expected)) == expected


async def test_a_connection_that_ends_early(bus: ServiceBus) -> None:
    """A peer may leave before its request was complete."""
    async with raw(bus) as connection:
        connection.writer.write(b"GET ")
    async with opened(bus):
        assert bus.connections == 1
