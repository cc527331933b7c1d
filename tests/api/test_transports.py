"""The two transports of a link: AMQP directly, and in a WebSocket where port 5671 is closed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
import gc
import logging
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
import warnings

from aiohttp.abc import ResolveResult
from azure.servicebus import TransportType
from freezegun.api import TickingDateTimeFactory
import pytest

from custom_components.zaptec.api import (
    Subscription,
    SubscriptionError,
    azure_link,
    preload,
)
from custom_components.zaptec.api.azure_link import LinkTransport, Transports
from simulator.certificate import Certificate
from simulator.clock import Clock
from simulator.port import BLOCKS, Block, Port
from simulator.servicebus import ServiceBus

from .messages import KEY, KEY_NAME, TOPIC, details, message
from .virtual_time import travel

AMQP, WEB_SOCKET = LinkTransport
with_and_without_tls = pytest.mark.parametrize(
    "bus", [True, False], ids=["TLS", "plain"], indirect=True
)


class Encrypted:
    """A certificate for the tests with TLS, which takes a while to create."""

    certificate = Certificate()


@pytest.fixture
async def bus(
    request: pytest.FixtureRequest,
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncGenerator[ServiceBus]:
    """Return a Service Bus, with TLS unless a test asks for a plain one."""
    await asyncio.to_thread(preload)
    # In debug mode, the event loop logs an error for each handshake that fails.
    asyncio.get_running_loop().set_debug(False)
    encrypted = getattr(request, "param", True)
    bus = ServiceBus(
        Clock(speed=0),
        ssl_context=Encrypted.certificate.server_context() if encrypted else None,
    )
    bus.add_topic(TOPIC, KEY_NAME, KEY)
    await bus.start()
    monkeypatch.setenv(azure_link.WEB_SOCKET_PORT_VARIABLE, str(bus.web_socket.number))
    yield bus
    await bus.stop()


def subscription(bus: ServiceBus, **options: Any) -> Subscription:
    """Return a subscription that is not open yet."""
    encrypted = bus.ssl_context is not None
    changes = options.pop("changes", {})
    return Subscription(
        details(bus.port, use_ssl=encrypted, **changes),
        allow_plain=True,
        ssl_context=Encrypted.certificate.client_context() if encrypted else None,
        **options,
    )


def by(transport: LinkTransport) -> Transports:
    """Return the transports of a link that was last open by one of them."""
    transports = Transports("installation 1")
    transports.prefer(transport)
    return transports


def port(bus: ServiceBus, transport: LinkTransport) -> Port:
    """Return the port of a transport."""
    return bus.direct if transport is AMQP else bus.web_socket


def sockets() -> int:
    """Return how many sockets this process has open."""
    found = 0
    for file in Path("/proc/self/fd").iterdir():
        try:
            found += str(file.readlink()).startswith("socket:")
        except OSError:
            continue
    return found


@contextmanager
def lines_above_debug(caplog: pytest.LogCaptureFixture) -> Generator[list[str]]:
    """Collect what the libraries log above debug level, and the errors of the event loop."""
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    yield lines
    lines += [
        f"{record.name}: {record.getMessage()}"
        for record in caplog.records
        if (
            record.levelno > logging.DEBUG
            and record.name.startswith(("azure", "aiohttp"))
        )
        or record.levelno >= logging.ERROR
    ]


@asynccontextmanager
async def nothing_is_left(
    bus: ServiceBus, caplog: pytest.LogCaptureFixture
) -> AsyncGenerator[None]:
    """Check that no socket, session, task, timer or log line is left of the links inside."""
    loop = asyncio.get_running_loop()
    # What the first link of a process creates once is not left of a link.
    gc.collect()
    before = sockets()
    tasks = asyncio.all_tasks()
    timers = {id(timer) for timer in loop._scheduled}
    with lines_above_debug(caplog) as lines, warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        yield
        # A cancelled task ends, and an aborted socket is closed, in the next iterations.
        for _ in range(5):
            await asyncio.sleep(0)
        await bus.wait_until(lambda: bus.connections == 0)
        # An object that is destroyed before it was closed complains in the log.
        gc.collect()
        await asyncio.sleep(0)
    assert not lines
    assert not asyncio.all_tasks() - tasks
    assert sockets() <= before
    left = [
        timer
        for timer in loop._scheduled
        if id(timer) not in timers and not timer.cancelled()
    ]
    assert not left


@with_and_without_tls
@pytest.mark.parametrize("transport", LinkTransport)
@pytest.mark.parametrize(
    "end",
    [
        partial(ServiceBus.drop_connections, reset=False),
        partial(ServiceBus.drop_connections, reset=True),
        ServiceBus.send_garbage,
        partial(ServiceBus.detach, topic=TOPIC),
        partial(ServiceBus.remove_topic, name=TOPIC),
        ServiceBus.forget_connections,
        None,
    ],
    ids=["closed", "reset", "garbage", "detached", "deleted", "half open", "cancelled"],
)
async def test_a_link_that_has_ended_leaves_nothing(
    bus: ServiceBus,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    transport: LinkTransport,
    end: Callable[[ServiceBus], None] | None,
) -> None:
    """Whatever ends a link, and by whichever transport, all of it is gone afterwards."""
    monkeypatch.setattr(azure_link, "PROBE_TIMEOUT", 0.2)
    monkeypatch.setattr(azure_link, "CLOSE_TIMEOUT", 0.5)
    async with nothing_is_left(bus, caplog):
        stream = subscription(bus, transports=by(transport), quiet_period=0.4)
        async with stream:
            assert bus.connections == len(port(bus, transport).accepted) == 1
            receiving = asyncio.ensure_future(stream.run(lambda _: None))
            await bus.wait_for_consumer(TOPIC)
            if end is None:
                receiving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await receiving
            else:
                end(bus)
                with pytest.raises(SubscriptionError):
                    await receiving
        receiving = stream = None
    assert caplog.records


@pytest.mark.parametrize("transport", LinkTransport)
async def test_the_library_connects_once(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch, transport: LinkTransport
) -> None:
    """A connection that the library has given up is not probed, which would open another one."""
    probe = AsyncMock(return_value=[])
    monkeypatch.setattr("azure.servicebus.aio.ServiceBusReceiver.peek_messages", probe)
    async with subscription(bus, transports=by(transport)) as stream:
        receiving = asyncio.ensure_future(stream.run(lambda _: None))
        await bus.wait_for_consumer(TOPIC)
        bus.send_garbage()
        with pytest.raises(SubscriptionError) as raised:
            await receiving
    assert raised.value.reason == "error"
    probe.assert_not_called()


@with_and_without_tls
@pytest.mark.parametrize("first", LinkTransport)
@pytest.mark.parametrize("how", BLOCKS)
async def test_the_other_transport_is_tried(
    bus: ServiceBus,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    first: LinkTransport,
    how: Block,
) -> None:
    """If a port is blocked, the link is opened by the other one, which is tried first then."""
    monkeypatch.setattr(azure_link, "FIRST_OPEN_TIMEOUT", 0.3)
    (second,) = set(LinkTransport) - {first}
    transports = by(first)
    async with nothing_is_left(bus, caplog):
        await bus.block(port(bus, first), how)
        async with subscription(bus, transports=transports) as stream:
            assert transports.current is second
            bus.publish(TOPIC, message(710))
            assert (await anext(stream)).state_id == 710
        assert transports.current is None

        # It is remembered, although the other port is open again.
        monkeypatch.setattr(azure_link, "FIRST_OPEN_TIMEOUT", 10.0)
        await bus.unblock(port(bus, first))
        async with subscription(bus, transports=transports):
            assert transports.current is second

        # When it fails, it is the other one's turn.
        monkeypatch.setattr(azure_link, "FIRST_OPEN_TIMEOUT", 0.3)
        await bus.block(port(bus, second), how)
        async with subscription(bus, transports=transports):
            assert transports.current is first
        await bus.unblock(port(bus, second))
        del stream


@pytest.mark.parametrize("direct", BLOCKS)
@pytest.mark.parametrize("web_socket", BLOCKS)
async def test_both_ports_are_blocked(
    bus: ServiceBus,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    direct: Block,
    web_socket: Block,
) -> None:
    """Opening fails with the faults of both transports, and leaves nothing behind."""
    monkeypatch.setattr(azure_link, "FIRST_OPEN_TIMEOUT", 0.1)
    monkeypatch.setattr(azure_link, "OPEN_TIMEOUT", 0.1)
    transports = by(AMQP)
    await bus.block(bus.direct, direct)
    await bus.block(bus.web_socket, web_socket)
    async with nothing_is_left(bus, caplog):
        with pytest.raises(SubscriptionError) as raised:
            await subscription(bus, transports=transports).__aenter__()
        reason = raised.value.reason
        text = str(raised.value)
        del raised
    assert reason in ("timeout", "connection")
    if web_socket in ("refused", "reset"):
        assert reason == "connection"
    assert text.startswith("by AMQP (port 5671): ")
    assert "; by WebSocket (port 443): " in text
    assert KEY not in text
    assert transports.current is None
    assert transports.order == (AMQP, WEB_SOCKET)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("amqp:not-found", "not_found"),
        ("com.microsoft:entity-disabled", "disabled"),
        ("com.microsoft:server-busy", "busy"),
        ("amqp:unauthorized-access", "unauthorized"),
        (None, "unauthorized"),
    ],
)
@pytest.mark.parametrize("transport", LinkTransport)
async def test_a_refusal_is_final(
    bus: ServiceBus,
    caplog: pytest.LogCaptureFixture,
    transport: LinkTransport,
    condition: str | None,
    reason: str,
) -> None:
    """What the service refuses by one transport is not asked for by the other one."""
    if condition:
        bus.refuse_attach(TOPIC, condition)
    else:
        bus.reject_tokens(401)
    transports = by(transport)
    (other,) = set(LinkTransport) - {transport}
    await bus.block(port(bus, other), "refused")
    async with nothing_is_left(bus, caplog):
        with pytest.raises(SubscriptionError) as raised:
            await subscription(bus, transports=transports).__aenter__()
        assert raised.value.reason == reason
        del raised
    assert transports.order[0] is transport


async def test_a_refusal_shows_that_a_transport_works(bus: ServiceBus) -> None:
    """While the key is wrong, port 5671 is not tried again and again before port 443."""
    bus.reject_tokens(401)
    await bus.block(bus.direct, "refused")
    transports = by(AMQP)
    with pytest.raises(SubscriptionError) as raised:
        await subscription(bus, transports=transports).__aenter__()
    assert raised.value.reason == "unauthorized"
    assert transports.order == (WEB_SOCKET, AMQP)
    assert transports.current is None


async def test_a_gateway_that_refuses(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that knows no WebSocket is a fault of the connection."""
    monkeypatch.setattr("simulator.amqp.web_socket.PATH", "/other")
    await bus.block(bus.direct, "refused")
    with pytest.raises(SubscriptionError) as raised:
        await subscription(bus).__aenter__()
    assert raised.value.reason == "connection"


@pytest.mark.parametrize("blocked", [None, "refused", "silent"])
async def test_opening_that_is_cancelled(
    bus: ServiceBus,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    blocked: Block | None,
) -> None:
    """A stop at any moment of opening a WebSocket leaves nothing behind."""
    monkeypatch.setattr(azure_link, "FIRST_OPEN_TIMEOUT", 0.02)
    monkeypatch.setattr(azure_link, "CLOSE_TIMEOUT", 0.5)
    await bus.block(bus.direct, blocked or "refused")
    if blocked:
        await bus.block(bus.web_socket, blocked)
    async with nothing_is_left(bus, caplog):
        for moment in (*range(0, 40, 3), 0.01, 0.03, 0.05, 0.1, 0.2):
            opening = asyncio.ensure_future(
                subscription(bus, transports=by(AMQP)).__aenter__()
            )
            if isinstance(moment, float):
                await asyncio.sleep(moment)
            else:
                for _ in range(moment):
                    await asyncio.sleep(0)
            opening.cancel()
            result = (await asyncio.gather(opening, return_exceptions=True))[0]
            assert isinstance(result, (asyncio.CancelledError, SubscriptionError))
            del opening, result


@pytest.mark.parametrize("transport", LinkTransport)
async def test_closing_that_is_cancelled(
    bus: ServiceBus,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    transport: LinkTransport,
) -> None:
    """A link is gone when its closing is cancelled while the service does not answer."""
    async with nothing_is_left(bus, caplog):
        for moment in (1, 2, 3, 5, 10, 20, 40):
            stream = await subscription(bus, transports=by(transport)).__aenter__()
            bus.freeze()
            closing = asyncio.ensure_future(stream.__aexit__(None, None, None))
            for _ in range(moment):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            bus.thaw()
        monkeypatch.setattr(azure_link, "CLOSE_TIMEOUT", 0.05)
        stream = await subscription(bus, transports=by(transport)).__aenter__()
        bus.freeze()
        await stream.__aexit__(None, None, None)
        bus.thaw()
        del stream, closing


@pytest.fixture
def real_limits(
    clocks: TickingDateTimeFactory, monkeypatch: pytest.MonkeyPatch
) -> TickingDateTimeFactory:
    """Return the clocks, with the real time limits of opening a link."""
    monkeypatch.setattr(azure_link, "FIRST_OPEN_TIMEOUT", 10.0)
    monkeypatch.setattr(azure_link, "OPEN_TIMEOUT", 30.0)
    return clocks


@pytest.mark.parametrize("how", ["dropped", "silent"])
@pytest.mark.parametrize("transport", LinkTransport)
async def test_time_limits(
    real_limits: TickingDateTimeFactory,
    bus: ServiceBus,
    how: Block,
    transport: LinkTransport,
) -> None:
    """The first attempt ends after 10 s, and the second one after 30 s more."""
    loop = asyncio.get_running_loop()
    for each in bus.ports:
        await bus.block(each, how)
    began_at = loop.time()
    opening = asyncio.ensure_future(
        subscription(bus, transports=by(transport)).__aenter__()
    )
    await travel(real_limits, 39.0, step=0.5)
    assert not opening.done()
    await travel(real_limits, 2.0, step=0.5)
    assert opening.done()
    assert loop.time() - began_at < 42.0
    assert isinstance(opening.exception(), SubscriptionError)


async def test_the_second_attempt_begins_after_10_s(
    real_limits: TickingDateTimeFactory, bus: ServiceBus
) -> None:
    """A user in whose network packets to port 5671 are lost waits for 10 s, and no longer."""
    transports = by(AMQP)
    await bus.block(bus.direct, "dropped")
    opening = asyncio.ensure_future(
        subscription(bus, transports=transports).__aenter__()
    )
    await travel(real_limits, 9.5, step=0.5)
    assert bus.connections == 0
    await travel(real_limits, 1.0, step=0.5)
    await bus.wait_until(lambda: bus.connections == 1)
    stream = await opening
    assert transports.current is WEB_SOCKET
    await stream.__aexit__(None, None, None)


async def test_without_another_transport(
    real_limits: TickingDateTimeFactory,
    bus: ServiceBus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A simulator without a WebSocket has one transport, whose time limit is the longer one."""
    monkeypatch.delenv(azure_link.WEB_SOCKET_PORT_VARIABLE)
    await bus.block(bus.direct, "silent")
    opening = asyncio.ensure_future(subscription(bus).__aenter__())
    await travel(real_limits, 29.0, step=0.5)
    assert not opening.done()
    await travel(real_limits, 2.0, step=0.5)
    error = opening.exception()
    assert isinstance(error, SubscriptionError)
    assert str(error) == "The message service does not answer (TimeoutError)"


async def test_the_log(bus: ServiceBus, caplog: pytest.LogCaptureFixture) -> None:
    """The log says once that port 5671 is blocked, and each time which transport is used."""
    caplog.set_level(logging.DEBUG, "custom_components.zaptec")
    transports = Transports("installation 1")
    for each in (AMQP, WEB_SOCKET, WEB_SOCKET, AMQP, WEB_SOCKET):
        (other,) = set(LinkTransport) - {each}
        await bus.unblock(port(bus, each))
        await bus.block(port(bus, other), "refused")
        async with subscription(bus, transports=transports):
            pass
    shown = [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if "ive messages of" in record.getMessage()
    ]
    direct = ("DEBUG", "Live messages of installation 1: by AMQP (port 5671)")
    web_socket = ("DEBUG", "Live messages of installation 1: by WebSocket (port 443)")
    reason = "There is no connection to the messages (ServiceBusConnectionError)"
    text = (
        "The live messages of installation 1 arrive by WebSocket (port 443), because "
        f"AMQP (port 5671) failed: {reason}"
    )
    why = ("INFO", text)
    assert shown == [direct, web_socket, why, web_socket, direct, web_socket]


async def test_a_half_open_web_socket(
    real_limits: TickingDateTimeFactory, bus: ServiceBus
) -> None:
    """A WebSocket whose peer is gone is noticed by its pings, within 20 s."""
    async with subscription(bus, transports=by(WEB_SOCKET)) as stream:
        receiving = asyncio.ensure_future(stream.run(lambda _: None))
        await travel(real_limits, 60.0, step=1.0)
        assert not receiving.done()
        bus.forget_connections()
        await travel(real_limits, 25.0, step=1.0)
        assert receiving.done()
        error = receiving.exception()
        assert isinstance(error, SubscriptionError)
        assert error.reason == "connection"


async def test_a_frozen_service_behind_a_web_socket(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway may answer pings for a service that is dead; the probe notices that."""
    monkeypatch.setattr(azure_link, "PROBE_TIMEOUT", 0.3)
    monkeypatch.setattr(azure_link, "CLOSE_TIMEOUT", 0.2)
    async with subscription(bus, transports=by(WEB_SOCKET), quiet_period=0.3) as stream:
        bus.publish(TOPIC, message(710))
        assert (await anext(stream)).state_id == 710
        # A quiet link that answers probes stays open.
        receiving = asyncio.ensure_future(anext(stream))
        done, _ = await asyncio.wait([receiving], timeout=0.8)
        assert not done
        bus.freeze()
        with pytest.raises(SubscriptionError) as raised:
            await asyncio.wait_for(receiving, 60)
        bus.thaw()
    assert raised.value.reason == "timeout"


async def test_many_messages_by_web_socket(bus: ServiceBus) -> None:
    """Messages of any size arrive in their order, more than are requested at a time."""
    bodies = [
        message(number, Padding="x" * (number * 97 % 9000)) for number in range(500)
    ]
    seen: list[int] = []
    async with subscription(bus, transports=by(WEB_SOCKET)) as stream:
        receiving = asyncio.ensure_future(
            stream.run(lambda batch: seen.extend(each.state_id for each in batch))
        )
        for body in bodies:
            bus.publish(TOPIC, body)
        async with asyncio.timeout(60):
            while len(seen) < len(bodies):
                await asyncio.sleep(0)
        receiving.cancel()
    assert seen == list(range(500))
    assert stream.bad_messages == stream.missed == 0


@pytest.mark.parametrize("name", ["bus.example.com", "other.example.com"])
async def test_the_address_of_the_vendor(
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """The WebSocket leads to port 443 of the host, whose certificate must have its name."""
    await asyncio.to_thread(preload)
    # In debug mode, the event loop logs an error for each client that refuses a certificate.
    asyncio.get_running_loop().set_debug(False)
    certificate = Certificate(name, None)
    bus = ServiceBus(Clock(speed=0), ssl_context=certificate.server_context())
    bus.add_topic(TOPIC, KEY_NAME, KEY)
    await bus.start()

    async def resolve(connector: object, host: str, port: int, **_: object) -> Any:
        assert (host, port) == ("bus.example.com", 443)
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=bus.web_socket.number,
                family=2,
                proto=0,
                flags=0,
            )
        ]

    monkeypatch.setattr("aiohttp.connector.TCPConnector._resolve_host", resolve)

    monkeypatch.setattr(
        "azure.servicebus._pyamqp.aio._transport_async.asyncio.open_connection",
        AsyncMock(side_effect=ConnectionRefusedError),
    )
    remembered = Transports()
    stream = Subscription(
        details(5671, host="bus.example.com", use_ssl=True),
        ssl_context=certificate.client_context(),
        transports=remembered,
    )
    if name == "bus.example.com":
        async with stream:
            assert remembered.current is WEB_SOCKET
            bus.publish(TOPIC, message(710))
            assert (await anext(stream)).state_id == 710
    else:
        with pytest.raises(SubscriptionError) as raised:
            await stream.__aenter__()
        assert raised.value.reason == "connection"
        assert bus.connections == 0
    await bus.stop()


def found(**changes: Any) -> dict[LinkTransport, dict[str, Any]]:
    """Return the options with which a link would connect."""
    host = {"host": "bus.example.com", "use_ssl": True} | changes
    return azure_link.transport_options(details(5671, **host), None, allow_plain=True)


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a service on this machine may have its WebSocket at another port than 443."""
    over = {"transport_type": TransportType.AmqpOverWebsocket}
    monkeypatch.setenv(azure_link.WEB_SOCKET_PORT_VARIABLE, "8483")
    options = found()
    assert options[WEB_SOCKET] == options[AMQP] | over
    assert "custom_endpoint_address" not in options[WEB_SOCKET]
    # The port of the details is that of AMQP.
    other = found(port=5672)
    assert other[AMQP]["custom_endpoint_address"] == "sb://bus.example.com:5672"
    assert other[WEB_SOCKET] == options[WEB_SOCKET]
    local = found(host="127.0.0.1", use_ssl=False)
    assert local[WEB_SOCKET] == local[AMQP] | over | {
        "custom_endpoint_address": "sb://127.0.0.1:8483"
    }
    for value in ("", "443/evil", "٤"):
        monkeypatch.setenv(azure_link.WEB_SOCKET_PORT_VARIABLE, value)
        assert list(found(host="127.0.0.1")) == [AMQP]
    monkeypatch.delenv(azure_link.WEB_SOCKET_PORT_VARIABLE)
    assert list(found(host="127.0.0.1")) == [AMQP]
    with pytest.raises(SubscriptionError):
        found(host="bus.local")


@with_and_without_tls
@pytest.mark.parametrize("transport", LinkTransport)
async def test_an_idle_link_lets_the_machine_sleep(
    bus: ServiceBus, transport: LinkTransport
) -> None:
    """An idle link wakes up rarely; the library alone would do so five times a second.

    The pings of a WebSocket are included.
    """
    loop = asyncio.get_running_loop()
    async with subscription(bus, transports=by(transport)) as stream:
        waiting = asyncio.ensure_future(anext(stream))
        for _ in range(100):
            await asyncio.sleep(0)
        due = sorted(
            handle.when() - loop.time()
            for handle in loop._scheduled
            if not handle.cancelled()
        )
        assert due
        assert due[0] > 1.0
        waiting.cancel()
