"""The message subscription, over real AMQP."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
import json
import logging
import socket
import ssl
from types import SimpleNamespace
from typing import Any

from azure.servicebus import ServiceBusReceivedMessage, TransportType
from azure.servicebus._pyamqp._decode import decode_payload
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport
from azure.servicebus.amqp import AmqpMessageBodyType
from azure.servicebus.exceptions import (
    MessagingEntityDisabledError,
    MessagingEntityNotFoundError,
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusCommunicationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
    ServiceBusServerBusyError,
)
import pytest

from custom_components.zaptec.api import (
    ConnectionDetails,
    Observation,
    Subscription,
    SubscriptionError,
    TimeSlice,
    azure_link,
    preload,
    subscription,
)
from simulator.certificate import Certificate
from simulator.clock import Clock
from simulator.nbfx import encode
from simulator.servicebus import ServiceBus

TOPIC = "installation_0b6ff0f2"
KEY_NAME = "listener"
KEY = "c2VjcmV0LWtleQ=="
CHARGER = "0b6ff0f2-9b3f-4df4-8a6b-6b8a4f2f0003"
MOMENT = datetime(2026, 5, 20, 12, 41, 41, 500000, UTC)


@pytest.fixture
async def bus(socket_enabled: None) -> AsyncGenerator[ServiceBus]:
    """Return a Service Bus with two topics."""
    await asyncio.to_thread(preload)
    bus = ServiceBus(Clock(speed=0))
    bus.add_topic(TOPIC, KEY_NAME, KEY)
    bus.add_topic("other", KEY_NAME, KEY)
    await bus.start()
    yield bus
    await bus.stop()


def details(bus_port: int, **changes: Any) -> ConnectionDetails:
    """Return where the bus is."""
    return replace(
        ConnectionDetails(
            host="127.0.0.1",
            port=bus_port,
            use_ssl=False,
            user_name=KEY_NAME,
            password=KEY,
            topic=TOPIC,
            subscription="default",
        ),
        **changes,
    )


def message(state_id: int, **changes: Any) -> bytes:
    """Return the body of a message."""
    document = {
        "DeviceId": "ZAP000123",
        "ChargerId": CHARGER,
        "StateId": state_id,
        "Timestamp": "2026-05-20T12:41:41.5Z",
        "ValueAsString": "3",
    }
    return encode(json.dumps(document | changes))


async def test_observations(bus: ServiceBus, caplog: pytest.LogCaptureFixture) -> None:
    """Messages arrive in order; bad ones are counted, and logged once per kind."""
    reported = {"an earlier kind"}
    async with Subscription(
        details(bus.port), allow_plain=True, reported=reported
    ) as stream:
        bus.publish(TOPIC, message(710))
        assert await anext(stream) == Observation(CHARGER, 710, MOMENT, "3")
        assert stream.last_message is not None
        bad = (
            b"x" * (subscription.BODY_SIZE_MAX + 1),
            b"\x00",
            b"\x40\x01e\x98\x01\xff\x01",
            encode("no JSON, but a secret"),
            encode("[" * 200_000),
            encode(f"[0{',0' * subscription.COMMAS_MAX},0]"),
            encode("[]"),
            message(710, Timestamp=None),
        )
        for body in bad * 2:
            bus.publish(TOPIC, body)
        bus.publish(TOPIC, message(710, ChargerId=subscription.NO_CHARGER))
        for number in range(1, 101):
            bus.publish(TOPIC, message(number))
        async with asyncio.timeout(10):
            numbers = [(await anext(stream)).state_id for _ in range(100)]
        assert numbers == list(range(1, 101))
        assert stream.bad_messages == 16
        assert stream.oversized == 6
        assert stream.messages == 1 + 16 + 1 + 100
    warnings = [
        record.getMessage()
        for record in caplog.records
        if record.name == subscription.__name__ and record.levelno >= logging.WARNING
    ]
    prefix = "Skipping a message that can't be understood"
    assert warnings == [
        f"{prefix} (body): The body is too large",
        f"{prefix} (binary XML): Record 0x00 is outside of the element",
        f"{prefix} (JSON): JSONDecodeError",
        f"{prefix} (observation): A JSON object was expected, not list",
    ]
    assert "secret" not in "".join(warnings)
    assert reported >= {"body", "binary XML", "JSON", "observation"}
    with pytest.raises(SubscriptionError) as raised:
        await anext(stream)
    assert raised.value.reason == "closed"


async def test_silence_is_probed(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet link lives on, one that has fallen silent does not."""
    async with (
        Subscription(details(bus.port), allow_plain=True, quiet_period=0.3) as stream,
        Subscription(details(bus.port, topic="other"), allow_plain=True) as patient,
    ):
        receiver = stream.link.receiver
        assert receiver is not None
        probes = 0
        peek = receiver.peek_messages

        async def count_peek(max_message_count: int) -> None:
            nonlocal probes
            await peek(max_message_count)
            probes += 1
            if probes == 2:
                bus.publish(TOPIC, message(710))

        monkeypatch.setattr(receiver, "peek_messages", count_peek)
        async with asyncio.timeout(10):
            assert (await anext(stream)).state_id == 710
        assert probes == 2

        bus.freeze()
        monkeypatch.setattr(azure_link, "PROBE_TIMEOUT", 0.4)
        # As if the wall clock, by which the library waits, had been set back.
        patient.link._quiet_period = -0.1
        async with asyncio.timeout(10):
            ends = await asyncio.gather(
                anext(stream), anext(patient), return_exceptions=True
            )
        bus.thaw()
    for end in ends:
        assert isinstance(end, SubscriptionError)
        assert end.reason == "timeout"


async def end_of(bus: ServiceBus, topic: str, fault: Callable[[], None]) -> str:
    """Return the reason for which a subscription ends after a fault."""
    async with Subscription(details(bus.port, topic=topic), allow_plain=True) as stream:
        receiving = asyncio.create_task(anext(stream))
        await bus.wait_for_consumer(topic)
        fault()
        with pytest.raises(SubscriptionError) as raised:
            await asyncio.wait_for(receiving, 10)
    assert KEY not in repr(raised.value)
    assert raised.value.__cause__ is None
    return raised.value.reason


async def test_links_that_break(bus: ServiceBus) -> None:
    """Every end of a link is an error that tells the reason."""
    reasons = {
        "amqp:link:detach-forced": "connection",
        "com.microsoft:server-busy": "busy",
        "com.microsoft:timeout": "timeout",
        "amqp:unauthorized-access": "unauthorized",
        "com.microsoft:entity-disabled": "disabled",
        "amqp:not-found": "not_found",
    }
    for condition in reasons:
        bus.add_topic(condition, KEY_NAME, KEY)
    ends = await asyncio.gather(
        *(
            end_of(bus, condition, partial(bus.detach, condition, condition))
            for condition in reasons
        )
    )
    assert ends == list(reasons.values())


async def test_connections_that_break(socket_enabled: None) -> None:
    """Nor is the end of a connection taken for peace."""
    await asyncio.to_thread(preload)
    async with AsyncExitStack() as stack:
        buses = [ServiceBus(Clock(speed=0)) for _ in range(3)]
        for bus in buses:
            bus.add_topic(TOPIC, KEY_NAME, KEY)
            await bus.start()
            stack.push_async_callback(bus.stop)
        reset, end, garbage = buses
        reset_end, plain_end, garbage_end = await asyncio.gather(
            end_of(reset, TOPIC, reset.drop_connections),
            end_of(end, TOPIC, partial(end.drop_connections, reset=False)),
            end_of(garbage, TOPIC, garbage.send_garbage),
        )
    assert (reset_end, plain_end) == ("connection", "connection")
    # The library ends without a word; the probe finds it dead.
    assert garbage_end == "error"


async def test_links_that_can_not_be_opened(bus: ServiceBus) -> None:
    """Why a link can't be opened is told without the key."""
    topics = {
        "amqp:not-found": "not_found",
        "com.microsoft:entity-disabled": "disabled",
        "com.microsoft:server-busy": "busy",
        "amqp:unauthorized-access": "unauthorized",
    }
    for topic in topics:
        bus.add_topic(topic, KEY_NAME, KEY)
        bus.refuse_attach(topic, topic)

    async def reason(**changes: Any) -> str:
        with pytest.raises(SubscriptionError) as raised:
            async with Subscription(details(bus.port, **changes), allow_plain=True):
                pass
        assert KEY not in f"{raised.value!r} {raised.value}"
        return raised.value.reason

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        found = await asyncio.gather(
            *(reason(topic=topic) for topic in topics),
            reason(password="d3Jvbmc="),
            reason(topic="nowhere"),
            reason(port=closed.getsockname()[1]),
        )
    assert found == [*topics.values(), "unauthorized", "not_found", "connection"]
    bus.reject_tokens(404)
    assert await reason() == "not_found"


async def test_a_peer_that_does_not_answer(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening takes no longer than it may, and can be cancelled."""
    bus.freeze()
    monkeypatch.setattr(azure_link, "OPEN_TIMEOUT", 0.2)
    with pytest.raises(SubscriptionError) as raised:
        async with Subscription(details(bus.port), allow_plain=True):
            pass
    assert raised.value.reason == "timeout"

    monkeypatch.setattr(azure_link, "OPEN_TIMEOUT", 30)
    opening = asyncio.create_task(
        Subscription(details(bus.port), allow_plain=True).__aenter__()
    )
    await asyncio.sleep(0.1)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert raised.value.reason == "timeout"


async def test_cancelling_and_closing(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener can be cancelled; a peer that is away does not delay it for long."""

    async def listen() -> None:
        async with Subscription(details(bus.port), allow_plain=True) as stream:
            async for _ in stream:
                pass

    listener = asyncio.create_task(listen())
    await bus.wait_for_consumer(TOPIC)
    monkeypatch.setattr(azure_link, "CLOSE_TIMEOUT", 2.0)
    bus.freeze()
    listener.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await listener
    bus.thaw()


async def test_encryption(socket_enabled: None) -> None:
    """A bus with TLS may be at any port, and has to be trusted."""
    await asyncio.to_thread(preload)
    certificate = Certificate()
    bus = ServiceBus(Clock(speed=0), ssl_context=certificate.server_context())
    bus.add_topic(TOPIC, KEY_NAME, KEY)
    await bus.start()
    trusting = ssl.create_default_context(cadata=certificate.pem)
    distrusting = ssl.create_default_context()
    async with Subscription(
        details(bus.port, use_ssl=True), ssl_context=trusting, allow_plain=True
    ) as stream:
        bus.publish(TOPIC, message(710))
        assert (await anext(stream)).state_id == 710
    with pytest.raises(SubscriptionError) as raised:
        async with Subscription(
            details(bus.port, use_ssl=True), ssl_context=distrusting, allow_plain=True
        ):
            pass
    assert raised.value.reason == "connection"
    await bus.stop()


def options(allow_plain: bool = False, **changes: Any) -> dict[str, Any]:
    """Return how a subscription would connect."""
    return azure_link.connection_options(
        details(5671, **{"host": "bus.example.com", "use_ssl": True} | changes),
        None,
        allow_plain=allow_plain,
    )


def test_addresses() -> None:
    """The library needs another way for each combination of TLS and port."""
    key = f"SharedAccessKeyName={KEY_NAME};SharedAccessKey={KEY}"
    common = {"retry_total": 0, "ssl_context": None}
    assert options() == common | {"conn_str": f"Endpoint=sb://bus.example.com/;{key}"}
    assert options(port=5672) == common | {
        "conn_str": f"Endpoint=sb://bus.example.com/;{key}",
        "custom_endpoint_address": "sb://bus.example.com:5672",
        "transport_type": TransportType.Amqp,
    }
    assert options(host="127.0.0.1", use_ssl=False, allow_plain=True) == common | {
        "conn_str": f"Endpoint=sb://127.0.0.1:5671;{key};UseDevelopmentEmulator=true"
    }
    with pytest.raises(SubscriptionError):
        options(use_ssl=False, allow_plain=True)


def test_every_peer_is_verified() -> None:
    """A context that trusts anybody is not taken."""
    trustful = ssl.create_default_context()
    trustful.check_hostname = False
    with pytest.raises(ValueError, match="verify"):
        Subscription(details(5671), ssl_context=trustful)
    trustful.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="verify"):
        Subscription(details(5671), ssl_context=trustful)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_ssl": False},
        {"host": "bus.example.com/;x"},
        {"host": "bus.example.com@evil"},
        {"host": "-bus"},
        {"host": "127.0.0.1"},
        {"host": "192.168.1.1"},
        {"host": "10.1"},
        {"host": "0x7f000001"},
        {"host": "2130706433"},
        {"host": "localhost"},
        {"host": "router.local"},
        {"host": "nas.LAN"},
        {"host": "printer"},
        {"host": "127.0.0.1", "use_ssl": False},
        {"host": "bus\n"},
        {"host": "x" * 300},
        {"port": 0},
        {"port": 65536},
        {"port": -1},
        {"user_name": "a;SharedAccessKey=b"},
        {"password": "a;UseDevelopmentEmulator=true"},
        {"password": "a\r\nb"},
        {"topic": "a b"},
        {"subscription": "a;b"},
        {"subscription": ""},
    ],
)
async def test_details_that_are_not_followed(changes: dict[str, Any]) -> None:
    """Nothing that the cloud says can turn encryption off, or lead elsewhere."""
    with pytest.raises(SubscriptionError) as raised:
        options(**changes)
    assert raised.value.reason == "error"
    assert KEY not in str(raised.value)


class CbsError(Exception):
    """What the library wraps when a token is refused."""

    def __init__(self, status_code: int) -> None:
        """Initialize the error."""
        super().__init__(f"sb://bus.example.com {KEY}")
        self.status_code = status_code


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ServiceBusAuthenticationError(error=CbsError(401)), "unauthorized"),
        (ServiceBusAuthenticationError(error=CbsError(404)), "not_found"),
        (ServiceBusAuthenticationError(), "unauthorized"),
        (ServiceBusAuthorizationError(), "unauthorized"),
        (MessagingEntityNotFoundError(), "not_found"),
        (MessagingEntityDisabledError(), "disabled"),
        (ServiceBusServerBusyError(), "busy"),
        (ServiceBusQuotaExceededError(), "busy"),
        (ServiceBusConnectionError(), "connection"),
        (ServiceBusCommunicationError(), "connection"),
        (OperationTimeoutError(), "timeout"),
        (ServiceBusError("", error=TimeoutError()), "timeout"),
        (ServiceBusError(KEY), "error"),
        (TimeoutError(), "timeout"),
        (TypeError(KEY), "error"),
    ],
)
def test_reasons(error: Exception, reason: str) -> None:
    """Every error of the library has one of our reasons, and our words."""
    found = azure_link.subscription_error(error)
    assert found.reason == reason
    assert KEY not in str(found)
    assert type(error).__name__ in str(found)


class Script:
    """A receiver of the library that does what a test says."""

    def __init__(self, *ends: bool) -> None:
        """Initialize the receiver: True for a message, False for an end."""
        self._ends = iter(ends)
        self.probes = 0

    async def __aiter__(self) -> AsyncGenerator[Any]:
        """Yield messages until the next end."""
        while next(self._ends):
            yield SimpleNamespace(
                body_type=AmqpMessageBodyType.DATA,
                body=[message(710)],
                sequence_number=None,
            )

    async def peek_messages(self, max_message_count: int) -> None:
        """Be well."""
        self.probes += 1

    async def close(self) -> None:
        """Fail, as what is broken may."""
        raise OSError


async def test_silent_ends() -> None:
    """An end without a word is forgiven once between two messages."""
    stream = Subscription(details(5671))
    script = Script(False, True, False, True, False, False)
    stream.link.receiver = script  # type: ignore[assignment]
    assert (await anext(stream)).state_id == 710
    assert (await anext(stream)).state_id == 710
    with pytest.raises(SubscriptionError) as raised:
        await anext(stream)
    assert raised.value.reason == "closed"
    assert script.probes == 3


async def test_closing_never_fails(caplog: pytest.LogCaptureFixture) -> None:
    """What is broken anyway may be broken when it is closed."""
    caplog.set_level(logging.DEBUG)
    stream = Subscription(details(5671))
    stream.link.receiver = Script()  # type: ignore[assignment]
    await stream.__aexit__(None, None, None)
    assert "not closed cleanly: OSError" in caplog.text


def test_a_body_of_another_kind() -> None:
    """A message without data is a bad one."""
    stream = Subscription(details(5671))
    odd = SimpleNamespace(
        body_type=AmqpMessageBodyType.VALUE, body="text", sequence_number=1
    )
    assert stream.decode(odd) is None
    assert stream.bad_messages == 1


@pytest.mark.parametrize(
    ("octets", "step"),
    [
        # Data sections that hold null, a number, a list.
        (b"\x00\x53\x75\x40", "body"),
        (b"\x00\x53\x75\x43", "body"),
        (b"\x00\x53\x75\x45", "body"),
        # Annotations that are a text.
        (b"\x00\x53\x72\xa1\x01x\x00\x53\x75\xa0\x01x", "header"),
    ],
)
def test_what_the_library_lets_through(
    octets: bytes, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However odd a message is, the next one is read."""
    receiver = SimpleNamespace(_amqp_transport=PyamqpTransport)
    message = ServiceBusReceivedMessage(
        decode_payload(memoryview(octets)),
        receive_mode="receiveanddelete",
        receiver=receiver,
    )
    stream = Subscription(details(5671))
    assert stream.decode_all([message]) == []
    assert stream.bad_messages == 1
    assert f"can't be understood ({step})" in caplog.text


async def test_an_interrupted_closing_leaves_no_socket(bus: ServiceBus) -> None:
    """Home Assistant may give up an entry while a link is being closed."""
    stream = await Subscription(details(bus.port), allow_plain=True).__aenter__()
    transport = stream.link.receiver._handler._connection._transport  # type: ignore[union-attr]
    writer = transport.writer
    bus.freeze()
    closing = asyncio.ensure_future(stream.__aexit__(None, None, None))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert writer.transport.is_closing()


@pytest.mark.parametrize(
    "end",
    [
        partial(ServiceBus.drop_connections, reset=False),
        partial(ServiceBus.drop_connections, reset=True),
        ServiceBus.send_garbage,
        partial(ServiceBus.detach, topic=TOPIC),
        partial(ServiceBus.remove_topic, name=TOPIC),
    ],
    ids=["closed", "reset", "garbage", "detached", "deleted"],
)
async def test_a_link_that_has_ended_leaves_no_socket(
    bus: ServiceBus, end: Callable[[ServiceBus], None]
) -> None:
    """The library drops a connection that fails without closing its socket."""
    async with Subscription(details(bus.port), allow_plain=True) as stream:
        writer = stream.link.receiver._handler._connection._transport.writer  # type: ignore[union-attr]
        end(bus)
        with pytest.raises(SubscriptionError):
            await stream.run(lambda _: None)
    assert writer.transport.is_closing()


async def test_what_a_message_starts_is_not_the_librarys(bus: ServiceBus) -> None:
    """An automation may use the same library, and be told of its errors."""
    seen: list[bool] = []

    async def use() -> None:
        seen.append(azure_link._IN_SUBSCRIPTION.get())

    async with Subscription(details(bus.port), allow_plain=True) as stream:
        tasks: list[asyncio.Task[None]] = []
        delivering = asyncio.ensure_future(
            stream.run(lambda _: tasks.append(asyncio.create_task(use())))
        )
        bus.publish(TOPIC, message(710))
        async with asyncio.timeout(10):
            while not seen:
                await asyncio.sleep(0)
        bus.publish(TOPIC, message(710))
        async with asyncio.timeout(10):
            while len(seen) < 2:
                await asyncio.sleep(0)
        delivering.cancel()
    assert seen == [False, False]


async def test_a_fault_of_whoever_takes_ends_the_delivery(bus: ServiceBus) -> None:
    """It is told where it is waited for, and not lost in the loop."""

    def fail(observations: list[Observation]) -> None:
        raise ZeroDivisionError

    async with Subscription(details(bus.port), allow_plain=True) as stream:
        delivering = asyncio.ensure_future(stream.run(fail))
        for _ in range(2):
            bus.publish(TOPIC, message(710))
            await asyncio.sleep(0.05)
        async with asyncio.timeout(10):
            with pytest.raises(ZeroDivisionError):
                await delivering


async def test_what_came_before_the_end_is_delivered(bus: ServiceBus) -> None:
    """All that has arrived counts, also where the link breaks in the same moment."""
    taken: list[int] = []

    def take(observations: list[Observation]) -> None:
        taken.extend(item.state_id for item in observations)
        if len(taken) == 1:
            for number in range(2, 32):
                bus.publish(TOPIC, message(number))
            bus.detach(TOPIC)

    async with Subscription(details(bus.port), allow_plain=True) as stream:
        bus.publish(TOPIC, message(1))
        async with asyncio.timeout(10):
            with pytest.raises(SubscriptionError):
                await stream.run(take)
    assert taken == list(range(1, 32))


async def test_a_burst_does_not_hold_up_the_loop(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links that have much to read leave turns to others, and share their own."""
    monkeypatch.setattr(subscription, "SLICE_TIME", 0.0)
    time_slice = TimeSlice()
    async with (
        Subscription(
            details(bus.port), allow_plain=True, time_slice=time_slice
        ) as stream,
        Subscription(
            details(bus.port, topic="other"), allow_plain=True, time_slice=time_slice
        ) as other,
    ):
        order: list[str] = []

        async def read(name: str, subscription: Subscription) -> None:
            async for _ in subscription:
                order.append(name)
                if order.count(name) == 50:
                    return

        async def watch() -> None:
            while order.count("a") < 50 or order.count("b") < 50:
                order.append("turn")
                await asyncio.sleep(0)

        for number in range(50):
            bus.publish(TOPIC, message(number))
            bus.publish("other", message(number))
        async with asyncio.timeout(10):
            await asyncio.gather(read("a", stream), read("b", other), watch())
    # One message of each link at most before somebody else has a turn.
    runs = "".join(" " if item == "turn" else item for item in order).split()
    assert max(map(len, runs)) <= 2


async def test_the_library_keeps_nothing_of_what_it_has_given(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its memory of tags would grow for as long as a link lives, which may be months."""
    monkeypatch.setattr(azure_link, "TAGS_MAX", 20)
    async with Subscription(details(bus.port), allow_plain=True) as stream:
        for number in range(100):
            bus.publish(TOPIC, message(number))
        async with asyncio.timeout(10):
            for _ in range(100):
                await anext(stream)
        assert stream.link.receiver
        tags = stream.link.receiver._handler._link._received_delivery_tags
        assert len(tags) < 40


async def test_an_idle_link_lets_the_machine_sleep(bus: ServiceBus) -> None:
    """The library would look at its clock five times a second for each installation."""
    loop = asyncio.get_running_loop()
    async with Subscription(details(bus.port), allow_plain=True) as stream:
        waiting = asyncio.ensure_future(anext(stream))
        for _ in range(100):
            await asyncio.sleep(0)
        due = sorted(
            handle.when() - loop.time()
            for handle in loop._scheduled  # type: ignore[attr-defined]
            if not handle.cancelled()
        )
        assert due
        assert due[0] > 1.0
        waiting.cancel()


async def test_what_came_in_the_turn_of_the_end_is_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The link may break before anybody has had a turn."""
    stream = Subscription(details(5671))
    script = [1, 2, SubscriptionError("connection", "It broke")]

    async def next_message() -> Any:
        item = script.pop(0)
        if isinstance(item, Exception):
            raise item
        return SimpleNamespace(
            sequence_number=item,
            body_type=AmqpMessageBodyType.DATA,
            body=[message(item)],
        )

    monkeypatch.setattr(stream, "_next_message", next_message)
    taken: list[list[int]] = []
    with pytest.raises(SubscriptionError):
        await stream.run(lambda items: taken.append([item.state_id for item in items]))
    await asyncio.sleep(0)
    assert taken == [[1, 2]]


async def test_a_closing_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """In time for Home Assistant, and with its socket."""
    monkeypatch.setattr(azure_link, "CLOSE_TIMEOUT", 0.01)
    aborted: list[None] = []
    writer = SimpleNamespace(
        transport=SimpleNamespace(abort=lambda: aborted.append(None))
    )
    stream = Subscription(details(5671))
    stream.link.receiver = SimpleNamespace(close=asyncio.Event().wait)  # type: ignore[assignment]
    stream.link.socket = SimpleNamespace(writer=writer, close=asyncio.Event().wait)
    await stream.__aexit__(None, None, None)
    assert aborted
