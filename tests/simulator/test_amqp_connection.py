"""Tests of the AMQP server with a peer that sends and reads single frames."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hmac import digest
from random import Random
import time
from typing import Any
from urllib.parse import quote_plus

import pytest

from simulator.amqp import connection as server
from simulator.amqp.cbs import Policy, TokenError, verify
from simulator.amqp.codec import Int
from simulator.amqp.message import Message
from simulator.amqp.performatives import (
    FRAME_AMQP,
    FRAME_SASL,
    Accepted,
    Attach,
    Begin,
    Close,
    Composite,
    Detach,
    Disposition,
    End,
    Flow,
    Frame,
    FrameBuffer,
    Open,
    Properties,
    Received,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Source,
    Target,
    Transfer,
)
from simulator.clock import Clock
from simulator.servicebus import ServiceBus

pytestmark = [pytest.mark.usefixtures("socket_enabled"), pytest.mark.timeout(20)]

TOPIC = "installation_1"
SUBSCRIPTION = f"{TOPIC}/Subscriptions/default"
URI = f"sb://127.0.0.1/{SUBSCRIPTION}"
KEY = "key"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
AMQP_HEADER = b"AMQP\x00\x01\x00\x00"


@pytest.fixture
async def bus() -> AsyncIterator[ServiceBus]:
    """Serve one topic."""
    bus = ServiceBus(Clock(speed=0))
    bus.add_topic(TOPIC, TOPIC, KEY)
    await bus.start()
    yield bus
    await bus.stop()


def sign(
    uri: str, *, key: str = KEY, name: str = TOPIC, expiry: float | None = None
) -> str:
    """Return a shared access signature."""
    seconds = int(time.time() + 3600 if expiry is None else expiry)
    signature = digest(key.encode(), f"{quote_plus(uri)}\n{seconds}".encode(), "sha256")
    encoded = quote_plus(b64encode(signature))
    return f"SharedAccessSignature sr={quote_plus(uri)}&sig={encoded}&se={seconds}&skn={name}"


def put_token(token: str, uri: str = URI) -> Message:
    """Return the request that claims an entity."""
    return Message(
        properties=Properties(message_id="question"),
        application_properties={"operation": "put-token", "type": "jwt", "name": uri},
        value=token,
    )


class Peer:
    """A client that sends what a test asks for."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take a connected socket."""
        self.reader = reader
        self.writer = writer
        self._buffer = FrameBuffer(1 << 20)

    def write(self, octets: bytes) -> None:
        """Send octets."""
        self.writer.write(octets)

    def send(
        self,
        performative: Composite,
        *,
        channel: int = 1,
        payload: bytes = b"",
        kind: int = 0,
    ) -> None:
        """Send a frame."""
        self.write(Frame(kind, channel, performative, payload).encode())

    async def frame(self) -> Frame | None:
        """Return the next frame, None at the end of the connection."""
        while (frame := self._buffer.frame()) is None:
            if not (octets := await self.reader.read(65536)):
                return None
            self._buffer.feed(octets)
        return frame

    async def expect[PerformativeT: Composite](
        self, kind: type[PerformativeT]
    ) -> PerformativeT:
        """Return the next performative, which has to be of a kind."""
        frame = await self.frame()
        assert frame
        assert isinstance(frame.performative, kind), frame
        return frame.performative

    async def sasl(self, mechanism: str = "ANONYMOUS") -> int:
        """Authenticate; return the outcome."""
        self.write(SASL_HEADER)
        assert await self.reader.readexactly(8) == SASL_HEADER
        mechanisms = await self.expect(SaslMechanisms)
        assert mechanisms.sasl_server_mechanisms == [
            "MSSBCBS",
            "PLAIN",
            "ANONYMOUS",
            "EXTERNAL",
        ]
        self.send(SaslInit(mechanism), channel=0, kind=FRAME_SASL)
        return (await self.expect(SaslOutcome)).code

    async def header(self) -> None:
        """Authenticate and go on to AMQP."""
        assert await self.sasl() == 0
        self.write(AMQP_HEADER)
        assert await self.reader.readexactly(8) == AMQP_HEADER

    async def open(self, *, window: int = 1000, **options: Any) -> Open:
        """Open the connection and a session; return the server's answer."""
        await self.header()
        self.send(Open("peer", **options), channel=0)
        self.send(Begin(None, 0, window, window))
        answer = await self.expect(Open)
        begin = await self.expect(Begin)
        assert begin.remote_channel == 1
        return answer

    async def ask(self, address: str, request: Message) -> None:
        """Send a node a request, over a pair of links of its own."""
        base = {"$cbs": 10}.get(address, 20)
        self.send(
            Attach(
                f"in{base}",
                base,
                role=True,
                source=Source(address),
                target=Target("reply"),
            )
        )
        self.send(Flow(0, 1000, 0, 1000, base, 0, 10))
        self.send(
            Attach(
                f"out{base}",
                base + 1,
                role=False,
                source=Source("me"),
                target=Target(address),
                initial_delivery_count=0,
            )
        )
        assert (await self.expect(Attach)).source == Source(address)
        assert (await self.expect(Attach)).target == Target(address)
        assert (await self.expect(Flow)).link_credit
        payload = request.encode()
        middle = len(payload) // 2
        self.send(Transfer(base + 1, 7, b"7", 0, more=True), payload=payload[:middle])
        self.send(Transfer(base + 1), payload=payload[middle:])
        assert await self.expect(Disposition) == Disposition(
            role=True, first=7, settled=True, state=Accepted()
        )
        assert (await self.expect(Flow)).delivery_count == 1

    async def request(self, address: str, request: Message) -> Message:
        """Ask a node; return the response."""
        await self.ask(address, request)
        frame = await self.frame()
        assert frame
        assert isinstance(frame.performative, Transfer)
        return Message.decode(frame.payload)

    async def claim(self, token: str | None = None, uri: str = URI) -> int:
        """Put a token; return the status."""
        response = await self.request("$cbs", put_token(token or sign(uri), uri))
        assert response.properties
        assert response.properties.correlation_id == "question"
        status = response.application_properties["status-code"]
        assert type(status) is Int
        return status

    def attach(
        self, handle: int = 0, *, settled: bool = True, address: str = URI
    ) -> None:
        """Ask for a receiver."""
        self.send(
            Attach(
                f"receiver{handle}",
                handle,
                role=True,
                snd_settle_mode=1 if settled else 0,
                source=Source(address),
                target=Target("here"),
            )
        )

    def credit(
        self, credit: int, handle: int = 0, count: int = 0, **options: Any
    ) -> None:
        """Grant credit."""
        incoming = options.pop("incoming", 0)
        window = options.pop("window", 1000)
        self.send(Flow(incoming, window, 0, 1000, handle, count, credit, **options))

    async def receiver(
        self, credit: int, handle: int = 0, *, settled: bool = True
    ) -> None:
        """Attach a receiver and grant credit."""
        self.attach(handle, settled=settled)
        assert (await self.expect(Attach)).initial_delivery_count == 0
        self.credit(credit, handle)

    async def body(self, handle: int | None = None) -> bytes | None:
        """Return the body of the next message, which has to be in one frame."""
        frame = await self.frame()
        assert frame
        assert isinstance(frame.performative, Transfer), frame
        assert not frame.performative.more
        if handle is not None:
            assert frame.performative.handle == handle
        return Message.decode(frame.payload).data

    async def expect_silence(self) -> None:
        """Check that the server has said nothing before it answers an echo."""
        self.send(Flow(None, 1000, 0, 1000, echo=True))
        flow = await self.expect(Flow)
        assert flow.handle is None

    async def expect_close(self, condition: str) -> None:
        """Check that the server ends the connection."""
        error = (await self.expect(Close)).error
        assert error
        assert error.condition == condition
        assert await self.frame() is None


@asynccontextmanager
async def connect(bus: ServiceBus) -> AsyncIterator[Peer]:
    """Connect a peer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bus.port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def claimed(bus: ServiceBus, **options: Any) -> AsyncIterator[Peer]:
    """Connect a peer that may receive from the topic."""
    async with connect(bus) as peer:
        await peer.open(**options)
        assert await peer.claim() == 202
        yield peer


async def test_announcement(bus: ServiceBus) -> None:
    """The server announces what Azure does."""
    async with connect(bus) as peer:
        answer = await peer.open()
        assert answer.max_frame_size == 65536
        assert answer.channel_max == 4999
        assert answer.idle_time_out == 120_000
        assert bus.connections == 1


@pytest.mark.parametrize("mechanism", ["MSSBCBS", "ANONYMOUS", "EXTERNAL"])
async def test_mechanisms(bus: ServiceBus, mechanism: str) -> None:
    """Who authenticates by claims may come in."""
    async with connect(bus) as peer:
        assert await peer.sasl(mechanism) == 0


@pytest.mark.parametrize("mechanism", ["PLAIN", "GSSAPI"])
async def test_other_mechanisms(bus: ServiceBus, mechanism: str) -> None:
    """Who would authenticate otherwise may not."""
    async with connect(bus) as peer:
        assert await peer.sasl(mechanism) == 1
        assert await peer.frame() is None


@pytest.mark.parametrize("header", [AMQP_HEADER, b"AMQP\x02\x01\x00\x00", b"GET / HT"])
async def test_other_protocols(bus: ServiceBus, header: bytes) -> None:
    """Another protocol header gets the right one, and the end."""
    async with connect(bus) as peer:
        peer.write(header)
        assert await peer.reader.read() == SASL_HEADER


async def test_credit_is_kept(bus: ServiceBus) -> None:
    """No more messages come than there is credit for, counted from the delivery count."""
    async with claimed(bus) as peer:
        await peer.receiver(0)
        for n in range(6):
            bus.publish(TOPIC, b"%d" % n)
        await peer.expect_silence()
        assert bus.pending(TOPIC) == 6
        peer.credit(2)
        assert [await peer.body() for _ in range(2)] == [b"0", b"1"]
        await peer.expect_silence()
        assert bus.consumers(TOPIC) == 0
        # Two of these five are used already; a credit below that is none.
        peer.credit(5, count=0)
        assert [await peer.body() for _ in range(3)] == [b"2", b"3", b"4"]
        peer.credit(1, count=0)
        await peer.expect_silence()
        peer.credit(1, count=5)
        assert await peer.body() == b"5"
        assert bus.delivered(TOPIC) == 6


async def test_credit_is_drained(bus: ServiceBus) -> None:
    """A receiver that drains gets what there is, and the rest of its credit is used up."""
    async with claimed(bus) as peer:
        await peer.receiver(0)
        bus.publish(TOPIC, b"0")
        peer.credit(10, drain=True)
        assert await peer.body() == b"0"
        flow = await peer.expect(Flow)
        assert (flow.delivery_count, flow.link_credit, flow.drain) == (10, 0, True)
        bus.publish(TOPIC, b"1")
        await peer.expect_silence()


async def test_a_flow_is_echoed(bus: ServiceBus) -> None:
    """A link sends its state when the peer asks for it."""
    async with claimed(bus) as peer:
        await peer.receiver(0)
        peer.credit(3, echo=True)
        flow = await peer.expect(Flow)
        assert (flow.handle, flow.delivery_count, flow.link_credit) == (0, 0, 3)


async def test_the_session_window_is_kept(bus: ServiceBus) -> None:
    """No more frames come than the session has room for; a flow makes room."""
    async with claimed(bus, window=3) as peer:
        # The answer to the token has used one.
        await peer.receiver(0)
        peer.credit(10, incoming=1, window=2)
        for n in range(4):
            bus.publish(TOPIC, b"%d" % n)
        assert [await peer.body() for _ in range(2)] == [b"0", b"1"]
        assert bus.pending(TOPIC) == 2
        peer.send(Flow(3, 1, 0, 1000))
        assert await peer.body() == b"2"
        assert bus.pending(TOPIC) == 1
        peer.send(Flow(4, 1, 0, 1000))
        assert await peer.body() == b"3"


async def test_large_messages_come_in_parts(bus: ServiceBus) -> None:
    """A message that exceeds the peer's frames is split, even below a small window."""
    async with claimed(bus, max_frame_size=512) as peer:
        await peer.receiver(0)
        body = Random(1).randbytes(2000)
        bus.publish(TOPIC, body)
        bus.publish(TOPIC, b"next")
        peer.credit(10, incoming=1, window=2)
        octets = b""
        parts = []
        for n in range(1, 100):
            frame = await peer.frame()
            assert frame
            assert isinstance(frame.performative, Transfer)
            assert len(frame.encode()) <= 512
            octets += frame.payload
            parts.append(frame.performative)
            if not frame.performative.more:
                break
            if n % 2 == 0:
                peer.send(Flow(1 + n, 2, 0, 1000))
        assert Message.decode(octets).data == body
        assert len(parts) > 4
        assert (parts[0].delivery_id, len(parts[0].delivery_tag or b"")) == (1, 16)
        assert {(part.delivery_id, part.delivery_tag) for part in parts[1:]} == {
            (None, None)
        }
        assert all(part.settled for part in parts)
        peer.send(Flow(1 + len(parts), 2, 0, 1000))
        assert await peer.body() == b"next"


async def test_a_link_that_ends_takes_its_parts_along(bus: ServiceBus) -> None:
    """What waits for the window of a link that is detached is not sent any more."""
    async with claimed(bus, max_frame_size=512) as peer:
        await peer.receiver(0, settled=False)
        peer.credit(10, incoming=1, window=1)
        bus.publish(TOPIC, bytes(2000))
        assert (await peer.expect(Transfer)).more
        peer.send(Detach(0, closed=True))
        assert await peer.expect(Detach) == Detach(0, closed=True)
        peer.send(Flow(2, 100, 0, 1000))
        await peer.expect_silence()
        assert bus.pending(TOPIC) == 1


async def test_receivers_take_turns(bus: ServiceBus) -> None:
    """Messages go round among the receivers that have credit, on whatever connection."""
    async with claimed(bus) as one, claimed(bus) as two:
        await one.receiver(100, 0)
        await one.receiver(100, 1)
        await two.receiver(1, 0)
        await one.expect_silence()
        await two.expect_silence()
        assert bus.consumers(TOPIC) == 3
        for n in range(6):
            bus.publish(TOPIC, b"%d" % n)
        assert await two.body() == b"2"
        assert [await one.body(handle) for handle in (0, 1, 0, 1, 0)] == [
            b"0",
            b"1",
            b"3",
            b"4",
            b"5",
        ]


async def test_settlement_is_confirmed(bus: ServiceBus) -> None:
    """An unsettled disposition is answered in kind; one on the way or settled is not."""
    async with claimed(bus) as peer:
        await peer.receiver(10, settled=False)
        for n in range(3):
            bus.publish(TOPIC, b"%d" % n)
        transfer = await peer.expect(Transfer)
        assert not transfer.settled
        first = transfer.delivery_id
        assert first is not None
        await peer.expect(Transfer)
        await peer.expect(Transfer)
        peer.send(Disposition(role=True, first=first, state=Received(0, 0)))
        await peer.expect_silence()
        peer.send(Disposition(role=True, first=first, last=first + 1, state=Accepted()))
        assert await peer.expect(Disposition) == Disposition(
            role=False, first=first, last=first + 1, settled=True, state=Accepted()
        )
        peer.send(
            Disposition(role=True, first=first + 2, settled=True, state=Accepted())
        )
        await peer.expect_silence()
        peer.send(Detach(0, closed=True))
        await peer.expect(Detach)
        assert bus.pending(TOPIC) == 0


@pytest.mark.parametrize(
    ("status", "token"),
    [
        (401, sign(URI, key="other")),
        (401, sign(URI, name="other")),
        (401, sign(URI, expiry=1)),
        (401, sign(f"sb://127.0.0.1/{TOPIC}2/Subscriptions/default")),
        (401, "SharedAccessSignature sr=x"),
        (401, "bearer"),
        (202, sign(f"sb://127.0.0.1/{TOPIC}")),
        (202, sign("sb://127.0.0.1/")),
    ],
    ids=[
        "other key",
        "other name",
        "expired",
        "other resource",
        "incomplete",
        "another kind",
        "topic",
        "namespace",
    ],
)
async def test_tokens_are_checked(bus: ServiceBus, status: int, token: str) -> None:
    """Key, name, expiry and resource of a token have to be right; its resource may be wider."""
    async with connect(bus) as peer:
        await peer.open()
        assert await peer.claim(token) == status


async def test_tokens_of_unknown_entities(bus: ServiceBus) -> None:
    """What does not exist cannot be claimed."""
    async with connect(bus) as peer:
        await peer.open()
        uri = "sb://127.0.0.1/other/Subscriptions/default"
        assert await peer.claim(sign(uri), uri) == 404


def test_the_key_of_a_policy_is_not_shown() -> None:
    """Neither a policy nor the refusal of a token shows the key."""
    policy = Policy("name", "very secret")
    assert "secret" not in repr(policy)
    with pytest.raises(TokenError) as raised:
        verify(sign(URI), SUBSCRIPTION.lower(), policy)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [None, 5, b"token"],
)
async def test_requests_without_a_token(bus: ServiceBus, value: Any) -> None:
    """A request that is none gets a status."""
    async with connect(bus) as peer:
        await peer.open()
        request = Message(
            application_properties={"operation": "put-token", "name": URI}, value=value
        )
        response = await peer.request("$cbs", request)
        assert response.application_properties["status-code"] == 400


async def test_nothing_without_a_claim(bus: ServiceBus) -> None:
    """A receiver, and $management, need a claim on just this entity."""
    bus.add_topic("installation_2", "installation_2", KEY)
    async with claimed(bus) as peer:
        for address in (
            "installation_2/Subscriptions/default",
            f"{SUBSCRIPTION}2",
            "",
            TOPIC,
        ):
            peer.attach(address=address)
            attach = await peer.expect(Attach)
            assert attach.source is None
            assert attach.target is None
            detach = await peer.expect(Detach)
            assert detach.closed
            assert detach.error
            assert detach.error.condition == "amqp:unauthorized-access"
        assert bus.attach_count("installation_2") == 0


async def test_claims_end(bus: ServiceBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a token expires its receivers are detached; a new one in time prolongs them."""
    expiry = int(time.time()) + 100
    now = expiry - 0.05
    monkeypatch.setattr("simulator.amqp.cbs.time.time", lambda: now)
    async with connect(bus) as peer:
        await peer.open()
        assert await peer.claim(sign(URI, expiry=expiry)) == 202
        await peer.receiver(1)
        detach = await peer.expect(Detach)
        assert detach.error
        assert detach.error.condition == "amqp:unauthorized-access"
        assert bus.consumers(TOPIC) == 0
        peer.send(Detach(0, closed=True))
        peer.attach()
        assert (await peer.expect(Attach)).source is None


async def test_no_subscription_can_be_sent_to(bus: ServiceBus) -> None:
    """A sender to a subscription is refused."""
    async with claimed(bus) as peer:
        peer.send(Attach("sender", 0, role=False, target=Target(URI)))
        assert (await peer.expect(Attach)).target is None
        error = (await peer.expect(Detach)).error
        assert error
        assert error.condition == "amqp:not-allowed"


async def test_management_knows_peek_only(bus: ServiceBus) -> None:
    """Other operations get a status, and so does a peek without its numbers."""
    for operation, status in (
        ("com.microsoft:renew-lock", 501),
        ("com.microsoft:peek-message", 400),
    ):
        async with claimed(bus) as peer:
            request = Message(application_properties={"operation": operation}, value={})
            response = await peer.request(f"{SUBSCRIPTION}/$management", request)
            assert response.application_properties["statusCode"] == status


async def test_a_stalled_sasl(bus: ServiceBus) -> None:
    """A stalled SASL takes octets and says nothing."""
    bus.stall_sasl = True
    async with connect(bus) as peer:
        peer.write(SASL_HEADER)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await peer.reader.read(1)
        assert bus.connections == 1


async def test_a_stalled_token(bus: ServiceBus) -> None:
    """A stalled token is taken, not answered, and no claim."""
    bus.stall_cbs = True
    async with connect(bus) as peer:
        await peer.open()
        await peer.ask("$cbs", put_token(sign(URI)))
        await peer.expect_silence()
        peer.attach()
        assert (await peer.expect(Attach)).source is None


async def test_frost_delivers_nothing(bus: ServiceBus) -> None:
    """What happens in the frost reaches the peer after it, in order."""
    async with claimed(bus) as peer:
        await peer.receiver(10)
        await peer.expect_silence()
        bus.freeze()
        bus.publish(TOPIC, b"0")
        assert (bus.delivered(TOPIC), bus.pending(TOPIC)) == (0, 1)
        bus.thaw()
        bus.publish(TOPIC, b"1")
        assert [await peer.body() for _ in range(2)] == [b"0", b"1"]
        bus.freeze()
        bus.detach(TOPIC)
        peer.send(Close(), channel=0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await peer.reader.read(1)
        bus.thaw()
        assert (await peer.expect(Detach)).closed
        await peer.expect(Close)


async def test_stalls_say_nothing(bus: ServiceBus) -> None:
    """A stalled attach or request gets no answer, while the connection lives."""
    bus.stall_attach = True
    async with claimed(bus) as peer:
        peer.attach()
        peer.credit(5)
        bus.publish(TOPIC, b"0")
        await peer.expect_silence()
        peer.send(Detach(0, closed=True))
        await peer.expect_silence()
        bus.stall_attach = False
        await peer.receiver(1)
        assert await peer.body() == b"0"


async def test_heartbeats_are_sent_as_the_peer_asks(bus: ServiceBus) -> None:
    """Empty frames come well within the peer's idle time-out."""
    async with connect(bus) as peer:
        started = asyncio.get_running_loop().time()
        await peer.open(idle_time_out=100)
        for _ in range(2):
            frame = await peer.frame()
            assert frame == Frame(FRAME_AMQP, 0, None, b"")
        assert asyncio.get_running_loop().time() - started > 0.08


async def test_a_silent_peer_is_dropped() -> None:
    """Who sends nothing for twice the announced time is dropped; heartbeats prevent it."""
    # A busy machine may stop this loop, which has both ends, for some hundred milliseconds.
    bus = ServiceBus(Clock(), idle_timeout=0.5)
    await bus.start()
    async with connect(bus) as silent, connect(bus) as alive, asyncio.timeout(60):
        assert (await silent.open()).idle_time_out == 500
        await alive.open()
        while bus.connections == 2:
            alive.write(Frame(FRAME_AMQP, 0, None, b"").encode())
            await asyncio.sleep(0.01)
        await silent.expect_close("amqp:connection:forced")
        await alive.expect_silence()
    await bus.stop()


async def test_no_limit_to_silence() -> None:
    """An idle time-out of 0 announces none."""
    bus = ServiceBus(Clock(), idle_timeout=0)
    await bus.start()
    async with connect(bus) as peer:
        assert (await peer.open()).idle_time_out is None
        await peer.expect_silence()
    await bus.stop()


async def test_the_end_of_a_session_and_connection(bus: ServiceBus) -> None:
    """Frames after the end of a session are ignored; it can begin again, and close."""
    async with claimed(bus) as peer:
        await peer.receiver(5)
        peer.send(End())
        peer.credit(5)
        peer.send(Detach(0, closed=True))
        assert isinstance(await peer.expect(End), End)
        assert bus.consumers(TOPIC) == 0
        peer.send(Begin(None, 0, 10, 10))
        await peer.expect(Begin)
        await peer.receiver(1)
        bus.publish(TOPIC, b"0")
        assert await peer.body() == b"0"
        peer.send(Close(), channel=0)
        assert await peer.expect(Close) == Close()
        assert await peer.frame() is None
    assert bus.connections == 0


@pytest.mark.parametrize(
    ("octets", "condition"),
    [
        (b"\xff" * 64, "amqp:decode-error"),
        (b"\x00\x00\x00\x0c\x02\x00\x00\x01\x00\x53\x7f\x45", "amqp:decode-error"),
        (
            Frame(FRAME_SASL, 0, SaslInit("PLAIN"), b"").encode(),
            "amqp:connection:framing-error",
        ),
        (Frame(FRAME_AMQP, 0, Open("again"), b"").encode(), "amqp:not-allowed"),
        (Frame(FRAME_AMQP, 1, Begin(None, 0, 1, 1), b"").encode(), "amqp:not-allowed"),
        (
            Frame(FRAME_AMQP, 5000, Begin(None, 0, 1, 1), b"").encode(),
            "amqp:not-allowed",
        ),
        (Frame(FRAME_AMQP, 2, End(), b"").encode(), "amqp:not-allowed"),
        (Frame(FRAME_AMQP, 1, Accepted(), b"").encode(), "amqp:not-allowed"),
        (
            Frame(FRAME_AMQP, 1, Transfer(9, 1), b"x").encode(),
            "amqp:session:unattached-handle",
        ),
        (
            Frame(FRAME_AMQP, 1, Attach("x", 300), b"").encode(),
            "amqp:session:handle-in-use",
        ),
        (
            Frame(FRAME_AMQP, 1, Attach("x", 10), b"").encode(),
            "amqp:session:handle-in-use",
        ),
        (Frame(FRAME_AMQP, 1, Transfer(11), b"x").encode(), "amqp:invalid-field"),
        (Frame(FRAME_AMQP, 1, Transfer(11, 8), b"\x40").encode(), "amqp:decode-error"),
    ],
)
async def test_what_cannot_be_ends_the_connection(
    bus: ServiceBus, octets: bytes, condition: str
) -> None:
    """Malformed and misplaced frames close their connection with an error, and no other."""
    async with claimed(bus) as other, claimed(bus) as peer:
        await other.receiver(1)
        peer.write(octets)
        while isinstance(frame := await peer.frame(), Frame):
            if isinstance(frame.performative, Close):
                break
        assert frame
        assert isinstance(frame.performative, Close)
        assert frame.performative.error
        assert frame.performative.error.condition == condition
        assert await peer.frame() is None
        bus.publish(TOPIC, b"0")
        assert await other.body() == b"0"


async def test_frames_before_their_time(bus: ServiceBus) -> None:
    """A frame before SASL or open ends the connection; so does a peer with tiny frames."""
    async with connect(bus) as peer:
        peer.write(SASL_HEADER + Frame(FRAME_AMQP, 0, Open("x"), b"").encode())
        assert (await peer.reader.read()).startswith(SASL_HEADER)
    async with connect(bus) as peer:
        await peer.header()
        peer.send(Begin(None, 0, 1, 1))
        assert await peer.frame() is None
    async with connect(bus) as peer:
        await peer.header()
        peer.send(Open("x", max_frame_size=100), channel=0)
        await peer.expect(Open)
        await peer.expect_close("amqp:invalid-field")


async def test_a_message_that_is_too_large(bus: ServiceBus) -> None:
    """A link with more than it may send is detached, and no more is taken from it."""
    async with claimed(bus) as peer:
        part = bytes(65000)
        for _ in range(6):
            peer.send(Transfer(11, 8, b"8", more=True), payload=part)
        detach = await peer.expect(Detach)
        assert detach.error
        assert detach.error.condition == "amqp:link:message-size-exceeded"
        await peer.expect_silence()


async def test_an_aborted_message_is_dropped(bus: ServiceBus) -> None:
    """A delivery that the peer aborts counts, and is not read."""
    async with claimed(bus) as peer:
        peer.send(Transfer(11, 8, b"8", more=True), payload=b"\xff")
        peer.send(Transfer(11, aborted=True))
        await peer.expect_silence()


async def test_random_damage_never_reaches_the_loop(bus: ServiceBus) -> None:
    """Whatever octets come, a connection ends at most; the server has no exception of its own."""
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: failures.append(context)
    )
    frames = [
        Frame(0, 0, Open("peer"), b""),
        Frame(0, 1, Begin(None, 0, 10, 10), b""),
        Frame(
            0,
            1,
            Attach("in", 1, role=True, source=Source("$cbs"), target=Target("x")),
            b"",
        ),
        Frame(
            0,
            1,
            Attach("out", 2, role=False, source=Source("x"), target=Target("$cbs")),
            b"",
        ),
        Frame(0, 1, Flow(0, 10, 0, 10, 1, 0, 5), b""),
        Frame(
            0,
            1,
            Transfer(2, 0, b"0"),
            Message(
                application_properties={"operation": "put-token", "name": URI},
                value=sign(URI),
            ).encode(),
        ),
        Frame(
            0, 1, Attach("r", 3, role=True, source=Source(URI), target=Target("x")), b""
        ),
        Frame(0, 1, Flow(0, 10, 0, 10, 3, 0, 5, drain=True, echo=True), b""),
        Frame(0, 1, Disposition(role=True, first=0, last=9, state=Accepted()), b""),
        Frame(0, 1, Detach(3, closed=True), b""),
        Frame(0, 1, End(), b""),
        Frame(0, 0, Close(), b""),
    ]
    start = SASL_HEADER + Frame(1, 0, SaslInit("ANONYMOUS"), b"").encode() + AMQP_HEADER
    random = Random(7)
    bus.publish(TOPIC, b"0")
    for _ in range(300):
        octets = bytearray(b"".join(frame.encode() for frame in frames))
        for _ in range(random.randrange(1, 4)):
            octets[random.randrange(len(octets))] = random.randrange(256)
        connection = server.Connection(bus)
        transport = Sink()
        connection.connection_made(transport)
        connection.data_received(start + bytes(octets))
        connection.connection_lost(None)
    assert not failures
    assert bus.connections == 0


class Sink(asyncio.Transport):
    """A transport into nothing."""

    _closing = False

    def set_write_buffer_limits(
        self, high: int | None = None, low: int | None = None
    ) -> None:
        """Limit nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Drop octets."""

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self._closing

    def close(self) -> None:
        """Close it."""
        self._closing = True
