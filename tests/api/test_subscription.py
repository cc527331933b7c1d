"""The message subscription, over real AMQP."""

import asyncio
import json
import logging
from types import SimpleNamespace
from typing import Any

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus._pyamqp._decode import decode_payload
from azure.servicebus._transport._pyamqp_transport import PyamqpTransport
from azure.servicebus.amqp import AmqpMessageBodyType
import pytest

from custom_components.zaptec.api import (
    Observation,
    Subscription,
    SubscriptionError,
    TimeSlice,
    subscription,
)
from simulator.nbfx import encode
from simulator.servicebus import ServiceBus

from .messages import CHARGER, MOMENT, TOPIC, details, message


async def test_observations(bus: ServiceBus, caplog: pytest.LogCaptureFixture) -> None:
    """Messages arrive in order; bad ones are counted, and each kind is logged once."""
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
        async with asyncio.timeout(60):
            numbers = [(await anext(stream)).state_id for _ in range(100)]
        assert numbers == list(range(1, 101))
        assert stream.bad_messages == 16
        assert stream.oversized == 6
        assert stream.oversized_from == {subscription.NO_CHARGER}
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


@pytest.mark.parametrize(
    ("body", "sender"),
    [
        (message(723, ValueAsString="x" * 70_000), CHARGER),
        (message(723, ValueAsString="x" * 70_000, ChargerId=CHARGER.upper()), CHARGER),
        (message(723, ValueAsString="x" * 70_000, ChargerId="x" * 36), None),
        (message(723, ValueAsString="x" * 70_000, ChargerId="0-" * 18), None),
        (message(723, ValueAsString=",0" * subscription.COMMAS_MAX), CHARGER),
        # Neither a value that quotes an id nor an id far behind is where the sender is.
        (
            encode(json.dumps({"V": f'"ChargerId":"{CHARGER}"', "W": "x" * 70_000})),
            None,
        ),
        (encode(json.dumps({"W": "x" * 70_000, "ChargerId": CHARGER})), None),
    ],
)
def test_the_sender_of_an_oversized_message(body: bytes, sender: str | None) -> None:
    """The beginning of the message says which charger has to be read instead."""
    stream = Subscription(details(5671))
    large = SimpleNamespace(
        body_type=AmqpMessageBodyType.DATA, body=[body], sequence_number=1
    )
    assert stream.decode(large) is None
    assert stream.oversized == 1
    assert stream.oversized_from == {sender or subscription.NO_CHARGER}


def test_a_body_of_another_kind() -> None:
    """A message without a data section counts as bad."""
    stream = Subscription(details(5671))
    odd = SimpleNamespace(
        body_type=AmqpMessageBodyType.VALUE, body="text", sequence_number=1
    )
    assert stream.decode(odd) is None
    assert stream.bad_messages == 1


@pytest.mark.parametrize(
    ("octets", "step"),
    [
        # Data sections that contain null, a number and a list.
        (b"\x00\x53\x75\x40", "body"),
        (b"\x00\x53\x75\x43", "body"),
        (b"\x00\x53\x75\x45", "body"),
        # Annotations that are a text instead of a map.
        (b"\x00\x53\x72\xa1\x01x\x00\x53\x75\xa0\x01x", "header"),
    ],
)
def test_what_the_library_lets_through(
    octets: bytes, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After any odd message that the library accepts, the next one is still read."""
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


async def test_a_fault_of_whoever_takes_ends_the_delivery(bus: ServiceBus) -> None:
    """An exception in the callback ends the delivery, and `run` raises it."""

    def fail(observations: list[Observation]) -> None:
        raise ZeroDivisionError

    async with Subscription(details(bus.port), allow_plain=True) as stream:
        delivering = asyncio.ensure_future(stream.run(fail))
        for _ in range(2):
            bus.publish(TOPIC, message(710))
            await asyncio.sleep(0.05)
        async with asyncio.timeout(60):
            with pytest.raises(ZeroDivisionError):
                await delivering


async def test_what_came_before_the_end_is_delivered(bus: ServiceBus) -> None:
    """Messages that arrived before the link broke are delivered."""
    taken: list[int] = []

    def take(observations: list[Observation]) -> None:
        taken.extend(item.state_id for item in observations)
        if len(taken) == 1:
            for number in range(2, 32):
                bus.publish(TOPIC, message(number))
            bus.detach(TOPIC)

    async with Subscription(details(bus.port), allow_plain=True) as stream:
        bus.publish(TOPIC, message(1))
        async with asyncio.timeout(60):
            with pytest.raises(SubscriptionError):
                await stream.run(take)
    assert taken == list(range(1, 32))


async def test_a_burst_does_not_hold_up_the_loop(
    bus: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """During a burst, other tasks still run, and links share the time."""
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
        async with asyncio.timeout(60):
            await asyncio.gather(read("a", stream), read("b", other), watch())
    # At most one message of each link before other code runs.
    runs = "".join(" " if item == "turn" else item for item in order).split()
    assert max(map(len, runs)) <= 2


async def test_what_came_in_the_turn_of_the_end_is_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Messages that arrive in the same iteration in which the link ends are delivered."""
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
