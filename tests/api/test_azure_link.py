"""The connection to the Service Bus, over real AMQP."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from functools import partial
import logging
import socket
import ssl
from types import SimpleNamespace
from typing import Any

from azure.servicebus import TransportType
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
from freezegun.api import TickingDateTimeFactory
import pytest

from custom_components.zaptec.api import (
    Subscription,
    SubscriptionError,
    azure_link,
    bus_options,
    preload,
)
from custom_components.zaptec.api.azure_link import CREDIT
from simulator.certificate import Certificate
from simulator.clock import Clock
from simulator.servicebus import ServiceBus
from tests.time_machine import calm_down, leap

from .messages import KEY, KEY_NAME, TOPIC, details, message
from .virtual_time import travel


async def test_silence_is_probed(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet link that answers probes stays open; one that does not answer ends."""
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
        async with asyncio.timeout(60):
            assert (await anext(stream)).state_id == 710
        assert probes == 2

        bus.freeze()
        monkeypatch.setattr(azure_link, "PROBE_TIMEOUT", 0.4)
        # As if the wall clock, which the library uses for its waits, had been set back.
        patient.link._quiet_period = -0.1
        async with asyncio.timeout(60):
            ends = await asyncio.gather(
                anext(stream), anext(patient), return_exceptions=True
            )
        bus.thaw()
    for end in ends:
        assert isinstance(end, SubscriptionError)
        assert end.reason == "timeout"


@pytest.mark.parametrize("count", [1, 2, CREDIT])
async def test_messages_that_arrive_during_a_probe(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """They are returned at once, and not with the next frame that the service sends."""
    published = [str(number) for number in range(count)]
    async with Subscription(
        details(bus.port), allow_plain=True, quiet_period=0.3
    ) as stream:
        receiver = stream.link.receiver
        assert receiver is not None
        peek = receiver.peek_messages

        async def peek_late(max_message_count: int) -> Any:
            for value in published:
                bus.publish(TOPIC, message(710, ValueAsString=value))
            held_back = await peek(max_message_count)
            # From now on, the library would wait this long for a frame.
            receiver._handler._socket_timeout = 30.0
            return held_back

        monkeypatch.setattr(receiver, "peek_messages", peek_late)
        async with asyncio.timeout(60):
            values = [(await anext(stream)).value for _ in published]
        assert values == published


async def test_a_token_is_renewed_during_a_probe(
    clocks: TickingDateTimeFactory, bus: ServiceBus
) -> None:
    """The messages that arrive meanwhile are returned without another jump of the clocks."""
    values: list[str | None] = []
    async with Subscription(details(bus.port), allow_plain=True) as stream:
        receiving = asyncio.ensure_future(
            stream.run(lambda items: values.extend(item.value for item in items))
        )
        await bus.wait_for_consumer(TOPIC)
        await calm_down()
        handler = stream.link.receiver._handler
        before = handler._cbs_authenticator._expires_on
        # The token is valid for an hour, and renewed after 54 minutes. By then, the link has
        # been quiet for so long that it is probed.
        await travel(clocks, 50 * 60 + 30, step=30)
        published = [str(number) for number in range(6)]
        bus.publish(TOPIC, message(710, ValueAsString=published[0]))
        await travel(clocks, 3 * 60, step=30)
        assert handler._cbs_authenticator._expires_on == before
        leap(clocks, 100)
        for value in published[1:]:
            bus.publish(TOPIC, message(710, ValueAsString=value))
        await calm_down()
        assert values == published
        assert handler._cbs_authenticator._expires_on > before
        receiving.cancel()
        await asyncio.wait([receiving])


async def end_of(bus: ServiceBus, topic: str, fault: Callable[[], None]) -> str:
    """Return the reason with which a subscription ends after a fault."""
    async with Subscription(details(bus.port, topic=topic), allow_plain=True) as stream:
        receiving = asyncio.create_task(anext(stream))
        await bus.wait_for_consumer(topic)
        fault()
        with pytest.raises(SubscriptionError) as raised:
            await asyncio.wait_for(receiving, 60)
    assert KEY not in repr(raised.value)
    assert raised.value.__cause__ is None
    return raised.value.reason


async def test_links_that_break(bus: ServiceBus) -> None:
    """Every end of a link raises an error with its reason."""
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
    """The end of a connection is noticed, and not taken for a quiet link."""
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
    # The library gives up the connection, and ends the iteration without an error.
    assert garbage_end == "error"


async def test_links_that_can_not_be_opened(bus: ServiceBus) -> None:
    """The error of a link that cannot be opened has the reason, but not the key."""
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
    """Opening ends at its time limit if the peer does not answer, and can be cancelled."""
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
    """A subscription can be cancelled, and a peer that does not answer hardly delays that."""

    async def listen() -> None:
        async with Subscription(details(bus.port), allow_plain=True) as stream:
            async for _ in stream:
                pass

    listener = asyncio.create_task(listen())
    await bus.wait_for_consumer(TOPIC)
    monkeypatch.setattr(azure_link, "CLOSE_TIMEOUT", 2.0)
    bus.freeze()
    listener.cancel()
    async with asyncio.timeout(60):
        with pytest.raises(asyncio.CancelledError):
            await listener
    bus.thaw()


async def test_encryption(socket_enabled: None) -> None:
    """A bus with TLS may use any port, and its certificate has to be trusted."""
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
    """Return the options with which a subscription would connect."""
    return bus_options.connection_options(
        details(5671, **{"host": "bus.example.com", "use_ssl": True} | changes),
        None,
        allow_plain=allow_plain,
    )


def test_addresses() -> None:
    """The library needs different options for each combination of TLS and port."""
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
    """A context that does not verify the service is rejected."""
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
    """Connection details cannot turn off encryption, or lead to another domain."""
    with pytest.raises(SubscriptionError) as raised:
        options(**changes)
    assert raised.value.reason == "error"
    assert KEY not in str(raised.value)


class CbsError(Exception):
    """The error that the library wraps when a token is refused."""

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
    """Every error of the library is translated to a reason and text of this API."""
    found = azure_link.subscription_error(error)
    assert found.reason == reason
    assert KEY not in str(found)
    assert type(error).__name__ in str(found)


class Script:
    """A receiver like the library's, with scripted behavior."""

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

    async def receive_messages(self, **limits: float) -> list[Any]:
        """Return that no message arrived during the probe."""
        return []

    async def peek_messages(self, max_message_count: int) -> None:
        """Answer the probe."""
        self.probes += 1

    async def close(self) -> None:
        """Raise, as closing a broken receiver may."""
        raise OSError


async def test_silent_ends() -> None:
    """An end without an error is tolerated once between two messages."""
    stream = Subscription(details(5671))
    script = Script(False, True, False, True, False, False)
    stream.link.receiver = script
    assert (await anext(stream)).state_id == 710
    assert (await anext(stream)).state_id == 710
    with pytest.raises(SubscriptionError) as raised:
        await anext(stream)
    assert raised.value.reason == "closed"
    assert script.probes == 3


async def test_closing_never_fails(caplog: pytest.LogCaptureFixture) -> None:
    """Exceptions of closing are ignored, because the link may be broken already."""
    caplog.set_level(logging.DEBUG)
    stream = Subscription(details(5671))
    stream.link.receiver = Script()
    await stream.__aexit__(None, None, None)
    assert "not closed cleanly: OSError" in caplog.text


async def test_an_interrupted_closing_leaves_no_socket(bus: ServiceBus) -> None:
    """If Home Assistant cancels the closing of a link, its socket is closed all the same."""
    stream = await Subscription(details(bus.port), allow_plain=True).__aenter__()
    writer = stream.link.socket.writer
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
    """The socket of a failed link is closed, which the library does not do."""
    async with Subscription(details(bus.port), allow_plain=True) as stream:
        writer = stream.link.socket.writer
        end(bus)
        with pytest.raises(SubscriptionError):
            await stream.run(lambda _: None)
    assert writer.transport.is_closing()


async def test_what_a_message_starts_is_not_the_librarys(bus: ServiceBus) -> None:
    """Code that a message triggers logs as usual, even if it uses the same library.

    Only the library's log lines about the integration's own link are suppressed.
    """
    seen: list[bool] = []

    async def use() -> None:
        seen.append(azure_link._IN_SUBSCRIPTION.get())

    async with Subscription(details(bus.port), allow_plain=True) as stream:
        tasks: list[asyncio.Task[None]] = []
        delivering = asyncio.ensure_future(
            stream.run(lambda _: tasks.append(asyncio.create_task(use())))
        )
        bus.publish(TOPIC, message(710))
        async with asyncio.timeout(60):
            while not seen:
                await asyncio.sleep(0)
        bus.publish(TOPIC, message(710))
        async with asyncio.timeout(60):
            while len(seen) < 2:
                await asyncio.sleep(0)
        delivering.cancel()
    assert seen == [False, False]


async def test_the_library_keeps_nothing_of_what_it_has_given(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's set of delivery tags is emptied; it would grow for months otherwise."""
    monkeypatch.setattr(azure_link, "TAGS_MAX", 20)
    async with Subscription(details(bus.port), allow_plain=True) as stream:
        for number in range(100):
            bus.publish(TOPIC, message(number))
        async with asyncio.timeout(60):
            for _ in range(100):
                await anext(stream)
        assert stream.link.receiver
        tags = stream.link.receiver._handler._link._received_delivery_tags
        assert len(tags) < 40


async def test_a_closing_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closing that hangs is cancelled in time for Home Assistant, and its socket is closed."""
    monkeypatch.setattr(azure_link, "CLOSE_TIMEOUT", 0.01)
    aborted: list[None] = []
    writer = SimpleNamespace(
        transport=SimpleNamespace(abort=lambda: aborted.append(None))
    )
    stream = Subscription(details(5671))
    stream.link.receiver = SimpleNamespace(close=asyncio.Event().wait)
    stream.link.socket = SimpleNamespace(writer=writer, close=asyncio.Event().wait)
    await stream.__aexit__(None, None, None)
    assert aborted


def test_a_heartbeat_is_sent_in_time() -> None:
    """The library sends a heartbeat well before the Service Bus ends a silent connection.

    It does so at the first check of its timers after half of the time that the service
    allows. A busy event loop may delay that check.
    """
    allowed = 120.0
    assert allowed / 2 + azure_link.FRAME_TIMEOUT <= allowed - 30.0
