"""Tests of the simulated Service Bus with the real client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
import ssl

from azure.servicebus import (
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    TransportType,
    exceptions,
)
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
import pytest

from simulator.clock import Clock
from simulator.port import BLOCKS, Block
from simulator.servicebus import ServiceBus

from .test_amqp_connection import claimed, connect

pytestmark = [pytest.mark.usefixtures("socket_enabled"), pytest.mark.timeout(20)]

START = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
TOPIC = "installation_1"
KEY = "key"
RECEIVE_AND_DELETE = ServiceBusReceiveMode.RECEIVE_AND_DELETE
PEEK_LOCK = ServiceBusReceiveMode.PEEK_LOCK


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands at noon."""
    return Clock(START, speed=0)


@pytest.fixture
async def bus(clock: Clock) -> AsyncIterator[ServiceBus]:
    """Serve one topic."""
    bus = ServiceBus(clock)
    bus.add_topic(TOPIC, TOPIC, KEY)
    await bus.start()
    yield bus
    await bus.stop()


@asynccontextmanager
async def receiver(
    bus: ServiceBus,
    *,
    topic: str = TOPIC,
    key: str = KEY,
    mode: ServiceBusReceiveMode = RECEIVE_AND_DELETE,
    prefetch: int = 20,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[ServiceBusReceiver]:
    """Open a receiver of the real client that does not try again by itself."""
    before = bus.connections
    address = f"127.0.0.1:{bus.port}"
    credentials = f"SharedAccessKeyName={topic};SharedAccessKey={key}"
    if ssl_context:
        client = ServiceBusClient.from_connection_string(
            f"Endpoint=sb://bus.example/;{credentials}",
            custom_endpoint_address=f"sb://{address}",
            transport_type=TransportType.Amqp,
            ssl_context=ssl_context,
            retry_total=0,
        )
    else:
        client = ServiceBusClient.from_connection_string(
            f"Endpoint=sb://{address};{credentials};UseDevelopmentEmulator=true",
            retry_total=0,
        )
    async with (
        client,
        client.get_subscription_receiver(
            topic,
            "default",
            receive_mode=mode,
            prefetch_count=prefetch,
            # No keep-alive task: it would hold up closing by up to a second.
            keep_alive=0,
        ) as opened,
    ):
        yield opened
    await bus.wait_until(lambda: bus.connections <= before)


async def take(
    receiver: ServiceBusReceiver, count: int
) -> list[ServiceBusReceivedMessage]:
    """Receive a number of messages."""
    messages = []
    async with asyncio.timeout(60):
        async for message in receiver:
            messages.append(message)
            if len(messages) == count:
                break
    return messages


@asynccontextmanager
async def taking(
    bus: ServiceBus, receiver: ServiceBusReceiver, count: int
) -> AsyncIterator[asyncio.Task[list[ServiceBusReceivedMessage]]]:
    """Receive messages in a task; the client gives no credit before it iterates."""
    task = asyncio.create_task(take(receiver, count))
    await bus.wait_for_consumer(TOPIC)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def status(
    raised: pytest.ExceptionInfo[exceptions.ServiceBusAuthenticationError],
) -> int:
    """Return the status that the bus answered a token with."""
    status_code = getattr(raised.value.inner_exception, "status_code", None)
    assert isinstance(status_code, int)
    return status_code


def bodies(messages: list[ServiceBusReceivedMessage]) -> list[bytes]:
    """Return the bodies of messages, of one data section each."""
    assert all(len(list(message.body)) == 1 for message in messages)
    return [b"".join(message.body) for message in messages]


async def test_receive_and_delete(bus: ServiceBus, clock: Clock) -> None:
    """A burst arrives whole and in order, as Service Bus marks messages; then silence."""
    burst = [b"%d" % n for n in range(1000)]
    for body in burst[:500]:
        bus.publish(TOPIC, body)
    assert bus.pending(TOPIC) == 500
    async with receiver(bus) as link:
        async with taking(bus, link, 1000) as taken:
            assert bus.consumers(TOPIC) == 1
            for body in burst[500:]:
                bus.publish(TOPIC, body)
            messages = await taken
        assert bodies(messages) == burst
        assert [message.sequence_number for message in messages] == list(range(1, 1001))
        last = messages[-1]
        assert last.enqueued_time_utc == START
        assert last.time_to_live == timedelta(minutes=5)
        assert last.expires_at_utc == START + timedelta(minutes=5)
        assert last.delivery_count == 0
        assert len({message.message_id for message in messages}) == 1000
        assert bus.pending(TOPIC) == 0

        big = bytes(range(256)) * 1000
        bus.publish(TOPIC, big)
        assert bodies(await take(link, 1)) == [big]
        assert bus.delivered(TOPIC) == 1001
        assert await link.peek_messages() == []
    assert (bus.connections, bus.consumers(TOPIC), bus.attach_count(TOPIC)) == (0, 0, 1)


async def test_peek_lock(bus: ServiceBus) -> None:
    """What is completed is gone; what is abandoned or left comes again, counted."""
    for body in (b"completed", b"abandoned", b"rejected", b"deferred", b"left"):
        bus.publish(TOPIC, body)
    async with receiver(bus, mode=PEEK_LOCK) as link:
        messages = await take(link, 5)
        assert len({message.lock_token for message in messages}) == 5
        await link.complete_message(messages[0])
        await link.dead_letter_message(messages[2])
        await link.defer_message(messages[3])
        await link.abandon_message(messages[1])
        again = await take(link, 1)
        assert bodies(again) == [b"abandoned"]
        assert again[0].delivery_count == 1
        assert bus.pending(TOPIC) == 0
    # The receiver is gone; its locks are, too.
    assert bus.pending(TOPIC) == 2
    async with receiver(bus, mode=PEEK_LOCK) as link:
        messages = await take(link, 2)
        assert bodies(messages) == [b"abandoned", b"left"]
        assert [message.delivery_count for message in messages] == [2, 1]
        for message in messages:
            await link.complete_message(message)
    assert bus.pending(TOPIC) == 0


async def test_peek(bus: ServiceBus) -> None:
    """Messages can be looked at without being taken; credit is not needed."""
    for body in (b"a", b"b", b"c"):
        bus.publish(TOPIC, body)
    async with receiver(bus, prefetch=0) as link:
        assert bodies(await link.peek_messages(2)) == [b"a", b"b"]
        assert bodies(await link.peek_messages(5, sequence_number=2)) == [b"b", b"c"]
        assert bus.pending(TOPIC) == 3
        assert bodies(await link.receive_messages(3, max_wait_time=1))[:1] == [b"a"]


async def test_wrong_and_rotated_keys(bus: ServiceBus) -> None:
    """A rotated key leaves the present links alone; the old one is 401 from then on."""
    async with receiver(bus) as link:
        bus.set_key(TOPIC, "new")
        bus.publish(TOPIC, b"still")
        assert bodies(await take(link, 1)) == [b"still"]
    with pytest.raises(exceptions.ServiceBusAuthenticationError) as refused:
        async with receiver(bus):
            pass
    assert status(refused) == 401
    async with receiver(bus, key="new"):
        assert bus.attach_count(TOPIC) == 2


async def test_rejected_tokens(bus: ServiceBus) -> None:
    """Tokens are refused with any status, as long as one wants."""
    bus.reject_tokens(404)
    with pytest.raises(exceptions.ServiceBusAuthenticationError) as refused:
        async with receiver(bus):
            pass
    assert status(refused) == 404
    bus.reject_tokens(None)
    async with receiver(bus):
        assert bus.attach_count(TOPIC) == 1


async def test_consumers_share(bus: ServiceBus) -> None:
    """Two clients of one subscription get every message once, half of them each."""
    async with receiver(bus) as one, receiver(bus) as two:
        tasks = [asyncio.create_task(take(link, 10)) for link in (one, two)]
        await bus.wait_until(lambda: bus.consumers(TOPIC) == 2)
        for n in range(20):
            bus.publish(TOPIC, b"%d" % n)
        first, second = await asyncio.gather(*tasks)
    assert sorted(bodies(first) + bodies(second), key=int) == [
        b"%d" % n for n in range(20)
    ]


async def test_topics_are_separate(bus: ServiceBus) -> None:
    """Each topic has its own messages and its own key; one that is removed is gone."""
    bus.add_topic("installation_2", "installation_2", "other")
    bus.publish(TOPIC, b"one")
    bus.publish("installation_2", b"two")
    async with receiver(bus, topic="installation_2", key="other") as link:
        assert bodies(await take(link, 1)) == [b"two"]
        assert bus.pending(TOPIC) == 1
        bus.remove_topic("installation_2")
        with pytest.raises(exceptions.MessagingEntityNotFoundError):
            await take(link, 1)
    with pytest.raises(KeyError):
        bus.publish("installation_2", b"three")


async def test_messages_expire_by_the_clock(bus: ServiceBus, clock: Clock) -> None:
    """A message that no receiver took within 5 minutes of simulated time is dropped."""
    bus.publish(TOPIC, b"old")
    clock.advance(200)
    bus.publish(TOPIC, b"young")
    clock.advance(99)
    assert bus.pending(TOPIC) == 2
    clock.advance(1)
    assert bus.pending(TOPIC) == 1
    async with receiver(bus) as link:
        assert bodies(await take(link, 1)) == [b"young"]
    bus.publish(TOPIC, b"last")
    waiter = asyncio.create_task(bus.wait_idle())
    await asyncio.sleep(0)
    assert not waiter.done()
    clock.advance(300)
    await waiter
    assert bus.delivered(TOPIC) == 1


async def test_a_topic_that_is_never_read_delays_no_test(bus: ServiceBus) -> None:
    """`wait_idle` does not wait for the messages of a topic without a reader."""
    bus.publish(TOPIC, b"1")
    async with asyncio.timeout(60):
        await bus.wait_idle()
    assert bus.pending(TOPIC) == 1


async def test_packets_that_are_dropped(bus: ServiceBus) -> None:
    """A connection is neither taken nor refused, until the port is open again."""
    await bus.drop_packets()
    attempt = asyncio.create_task(asyncio.open_connection("127.0.0.1", bus.port))
    done, _ = await asyncio.wait([attempt], timeout=0.05)
    assert not done
    attempt.cancel()
    await asyncio.wait([attempt])
    await bus.restore()
    _, writer = await asyncio.open_connection("127.0.0.1", bus.port)
    writer.close()
    await bus.drop_packets()


@pytest.mark.parametrize("how", BLOCKS)
async def test_a_blocked_port(bus: ServiceBus, how: Block) -> None:
    """A firewall refuses, drops, ignores or resets new connections until it is opened."""
    port = bus.port
    async with receiver(bus) as link, taking(bus, link, 1) as taken:
        await bus.block(bus.direct, how)
        with pytest.raises(exceptions.ServiceBusConnectionError):
            await taken
    attempt = asyncio.create_task(greeting(port))
    done, _ = await asyncio.wait([attempt], timeout=0.1)
    if how in ("refused", "reset"):
        assert done
        kind = ConnectionRefusedError if how == "refused" else ConnectionResetError
        assert isinstance(attempt.exception(), kind)
    else:
        assert not done
        attempt.cancel()
        await asyncio.wait([attempt])
    assert bus.connections == 0
    await bus.unblock(bus.direct)
    await bus.unblock(bus.direct)
    assert bus.port == port
    bus.publish(TOPIC, b"again")
    async with receiver(bus) as link:
        assert bodies(await take(link, 1)) == [b"again"]


async def greeting(port: int) -> bytes:
    """Connect, send the first octets of AMQP, and return the first ones of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"AMQP\x03\x01\x00\x00")
        return await reader.read(8)
    finally:
        writer.close()


@pytest.mark.parametrize("before", BLOCKS)
@pytest.mark.parametrize("after", BLOCKS)
async def test_one_block_after_another(
    bus: ServiceBus, before: Block, after: Block
) -> None:
    """A port may change from any kind of block to any other, and be opened or given up."""
    port = bus.port
    await bus.block(bus.direct, before)
    await bus.block(bus.direct, after)
    assert bus.direct.blocked == after
    await bus.unblock(bus.direct)
    assert bus.direct.blocked is None
    assert bus.port == port
    assert await greeting(port)
    await bus.block(bus.direct, after)


async def test_cut_and_restore(bus: ServiceBus) -> None:
    """A cut ends links and refuses new ones; messages wait; the port stays the same."""
    port = bus.port
    async with receiver(bus) as link, taking(bus, link, 1) as taken:
        await bus.cut()
        assert (bus.connections, bus.consumers(TOPIC)) == (0, 0)
        with pytest.raises(exceptions.ServiceBusConnectionError):
            await taken
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await bus.cut()
    bus.publish(TOPIC, b"meanwhile")
    await bus.restore()
    await bus.restore()
    assert bus.port == port
    async with receiver(bus) as link:
        assert bodies(await take(link, 1)) == [b"meanwhile"]


@pytest.mark.parametrize("reset", [True, False])
async def test_dropped_connections(bus: ServiceBus, reset: bool) -> None:
    """Connections end by RST or FIN; new ones are taken."""
    async with receiver(bus) as link, taking(bus, link, 1) as taken:
        bus.drop_connections(reset=reset)
        with pytest.raises(exceptions.ServiceBusConnectionError):
            await taken
        assert bus.connections == 0
    async with claimed(bus):
        assert bus.connections == 1


async def test_rst_and_fin(bus: ServiceBus) -> None:
    """A reset is one on the wire; otherwise the stream just ends."""
    for reset in (True, False):
        async with claimed(bus) as peer:
            bus.drop_connections(reset=reset)
            with pytest.raises(ConnectionResetError) if reset else nullcontext():
                assert await peer.reader.read() == b""


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        ("amqp:link:detach-forced", exceptions.ServiceBusConnectionError),
        ("amqp:unauthorized-access", exceptions.ServiceBusAuthorizationError),
        ("amqp:not-found", exceptions.MessagingEntityNotFoundError),
        ("com.microsoft:server-busy", exceptions.ServiceBusServerBusyError),
        ("com.microsoft:entity-disabled", exceptions.MessagingEntityDisabledError),
    ],
)
async def test_detached_receivers(
    bus: ServiceBus, condition: str, error: type[exceptions.ServiceBusError]
) -> None:
    """A detached receiver ends with the exception of its condition; the bus goes on."""
    async with receiver(bus) as link, taking(bus, link, 1) as taken:
        bus.detach(TOPIC, condition, "in a test")
        assert bus.consumers(TOPIC) == 0
        with pytest.raises(error, match="in a test"):
            await taken


async def test_refused_receivers(bus: ServiceBus) -> None:
    """A receiver is refused as long as one wants."""
    bus.refuse_attach(TOPIC, "com.microsoft:entity-disabled")
    with pytest.raises(exceptions.MessagingEntityDisabledError):
        async with receiver(bus):
            pass
    assert bus.attach_count(TOPIC) == 0
    bus.refuse_attach(TOPIC, None)
    async with receiver(bus):
        pass
    assert bus.attach_count(TOPIC) == 1


async def test_frozen_and_thawed(bus: ServiceBus) -> None:
    """While frozen nothing is answered or delivered, and all of it after that."""
    async with receiver(bus) as link:
        await link.peek_messages()
        bus.freeze()
        bus.publish(TOPIC, b"frozen")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await link.peek_messages()
        assert (bus.connections, bus.pending(TOPIC), bus.delivered(TOPIC)) == (1, 1, 0)
        # TCP takes connections, and notices their end.
        reader, writer = await asyncio.open_connection("127.0.0.1", bus.port)
        writer.write(b"AMQP\x03\x01\x00\x00")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read(1)
        assert bus.connections == 2
        bus.thaw()
        assert await reader.readexactly(8) == b"AMQP\x03\x01\x00\x00"
        writer.close()
        await writer.wait_closed()
        assert bodies(await take(link, 1)) == [b"frozen"]
        assert await link.peek_messages() == []


async def test_frozen_connections_can_end(bus: ServiceBus) -> None:
    """Frost does not hold a connection that its peer, or `cut`, ends."""
    async with claimed(bus):
        bus.freeze()
    await bus.wait_until(lambda: bus.connections == 0)
    async with connect(bus):
        await bus.wait_until(lambda: bus.connections == 1)
        await bus.cut()
    bus.thaw()
    assert bus.connections == 0


async def test_stalled_peek(bus: ServiceBus) -> None:
    """A stalled peek is never answered, while messages flow."""
    bus.stall_management = True
    async with receiver(bus) as link:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await link.peek_messages()
        bus.publish(TOPIC, b"flows")
        assert bodies(await take(link, 1)) == [b"flows"]


async def test_garbage(bus: ServiceBus) -> None:
    """Garbage ends the client's iteration without an error, so its end proves nothing."""
    async with receiver(bus) as link:
        bus.send_garbage()
        async with asyncio.timeout(60):
            assert [message async for message in link] == []


async def test_idle_means_that_sockets_have_taken_all(bus: ServiceBus) -> None:
    """`wait_idle` waits for a peer that does not read; nothing is sent it beyond that."""
    body = bytes(32_000_000)
    async with claimed(bus) as peer:
        peer.writer.transport.pause_reading()
        peer.attach()
        peer.credit(1000)
        await bus.wait_for_consumer(TOPIC)
        bus.publish(TOPIC, body)
        assert (bus.delivered(TOPIC), bus.pending(TOPIC)) == (1, 0)
        waiter = asyncio.create_task(bus.wait_idle())
        await asyncio.sleep(0)
        assert not waiter.done()
        bus.publish(TOPIC, b"next")
        assert (bus.delivered(TOPIC), bus.pending(TOPIC)) == (1, 1)
        peer.writer.transport.resume_reading()
        reading = asyncio.create_task(peer.reader.read(-1))
        await waiter
        assert bus.delivered(TOPIC) == 2
        bus.drop_connections(reset=False)
        assert len(await reading) > len(body)


async def test_stop_and_start(bus: ServiceBus) -> None:
    """Stopping ends everything and refuses; starting again listens at the same port."""
    port = bus.port
    async with claimed(bus):
        await bus.stop()
    assert bus.connections == 0
    await bus.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await bus.start()
    assert bus.port == port
    async with claimed(bus):
        pass
    await bus.cut()


async def test_a_port_that_is_taken(bus: ServiceBus, clock: Clock) -> None:
    """Starting at a port where another listens is an error."""
    with pytest.raises(OSError):
        await ServiceBus(clock, port=bus.port).start()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a self-signed certificate for 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bus")])
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage),
            critical=True,
        )
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
            critical=False,
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "bus.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def test_tls(clock: Clock, certificate: Path) -> None:
    """Over TLS the bus is the same, faults included."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate)
    client_context = ssl.create_default_context(cafile=certificate)
    bus = ServiceBus(clock, ssl_context=server_context)
    bus.add_topic(TOPIC, TOPIC, KEY)
    await bus.start()
    burst = [b"%d" % n for n in range(200)] + [bytes(200_000)]
    async with asyncio.timeout(60):
        async with receiver(bus, ssl_context=client_context) as link:
            for body in burst:
                bus.publish(TOPIC, body)
            assert bodies(await take(link, 201)) == burst
            await bus.wait_idle()
            async with taking(bus, link, 1) as taken:
                await bus.cut()
                with pytest.raises(exceptions.ServiceBusConnectionError):
                    await taken
        await bus.restore()
        with pytest.raises(exceptions.ServiceBusError):
            async with receiver(bus):
                # Plain to a TLS port.
                pass
        # A handshake that never ends does not hold up the end.
        _, writer = await asyncio.open_connection("127.0.0.1", bus.port)
        async with receiver(bus, ssl_context=client_context):
            await bus.stop()
        assert bus.connections == 0
        writer.close()
