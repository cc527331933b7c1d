"""The messages of an installation, as an iterator of observations.

Messages come from an Azure Service Bus topic, which keeps each for five minutes
(Integrating with Zaptec charging systems, Message subscription). The client
library is never asked to repair a link: it gives up some faults silently, and a
peer that is silent in AMQP is none of its business. So each link is used until its
first fault, and its silence is probed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
import json
import logging
import math
import re
import ssl
from types import TracebackType
from typing import Any, NoReturn, Self

from azure.servicebus import ServiceBusReceiveMode, TransportType
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from azure.servicebus.amqp import AmqpMessageBodyType

from .azure_link import (
    _FAULT_TEXTS,
    _IN_SUBSCRIPTION,
    _abort,
    _close_part,
    _forget_tags,
    _library_errors,
    _socket,
    _subscription_error,
)
from .errors import SubscriptionError
from .models import AMQPS_PORT, ConnectionDetails, Observation
from .nbfx import decode
from .parsing import is_loopback, parse_literal

_LOGGER = logging.getLogger(__name__)

# Seconds. Nothing in the library bounds any of these steps.
OPEN_TIMEOUT = 30.0
PROBE_TIMEOUT = 20.0
CLOSE_TIMEOUT = 3.0

# How long silence is taken for peace (seconds).
QUIET_PERIOD = 240.0

# So many messages may be on their way to us: the library asks for more only when all of
# them are here, which takes the time of a round trip.
PREFETCH = 100

# How long the library waits for a frame before it looks at its clock, for the heartbeat
# (120 s at the Service Bus) and the silence. Its own 0.2 s would wake the machine five
# times a second for each installation.
FRAME_TIMEOUT = 5.0

# So long may messages that are here already be taken without a pause for others.
SLICE_TIME = 0.002

# The library notes the tag of each message for its settlement, and forgets it then. What
# is received and deleted is never settled.
TAGS_MAX = 1000

# A partitioned entity has 16 of them.
PARTITIONS_MAX = 64

# A message is a few hundred bytes; a signed session of a day, some ten kilobytes. What
# is larger would hold up the event loop, and the charger's state has it too.
BODY_SIZE_MAX = 64 * 1024

# So many parts a document may have: objects and lists, and commas between their items.
BRACKETS_MAX = 1024
COMMAS_MAX = 2048

_DECODER = json.JSONDecoder(parse_float=parse_literal, parse_int=parse_literal)

# Messages of the cloud itself are about no charger.
NO_CHARGER = "00000000-0000-0000-0000-000000000000"

_HOST_PATTERN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)

# A name of the internet: of two labels at least, the last of which is no number and
# none of those that mean the own network (RFC 6761, RFC 6762, RFC 8375).
_NAME_PATTERN = re.compile(
    r"([A-Za-z0-9-]+\.)+(?!(?:local|localhost|lan|home|internal|arpa)$)[A-Za-z][A-Za-z0-9-]+",
    re.ASCII | re.IGNORECASE,
)

# What may stand in a connection string without changing its meaning.
_VALUE_PATTERN = re.compile(r"[!-:<-~]+", re.ASCII)


class _OversizedError(ValueError):
    """A message that would take long to read."""


class TimeSlice:
    """A turn of the event loop, of which the links take a part together.

    The library does not pause while there is something to read, and a burst of
    messages would hold up the loop until its end.
    """

    def __init__(self) -> None:
        """Have no turn yet."""
        self._began = -math.inf
        self._is_ending = False

    @property
    def is_over(self) -> bool:
        """Return whether it is time for others."""
        return asyncio.get_running_loop().time() - self._began > SLICE_TIME

    async def end(self) -> None:
        """Let others have their turns."""
        if not self._is_ending:
            self._is_ending = True
            # Before any of those who wait here, so that they share what is to come.
            asyncio.get_running_loop().call_soon(self._begin)
        await asyncio.sleep(0)

    def _begin(self) -> None:
        """Begin another turn."""
        self._is_ending = False
        self._began = asyncio.get_running_loop().time()


class Subscription:
    """Observations of one installation, as they happen.

    An instance is one link: it is opened with `async with`, read with `async
    for` or `run`, and ends with a `SubscriptionError`. Whatever was lost with a link is to
    be read from the chargers' states.

    Attributes:
        messages: How many messages came.
        bad_messages: How many of them could not be understood.
        oversized: How many of these were too large to be read in time.
        missed: How many seem to have gone elsewhere: the numbers that the Service Bus
            gives to the messages of a subscription follow one another.
        last_message: When the latest came.

    """

    def __init__(
        self,
        details: ConnectionDetails,
        *,
        ssl_context: ssl.SSLContext | None = None,
        allow_plain: bool = False,
        quiet_period: float = QUIET_PERIOD,
        reported: set[str] | None = None,
        time_slice: TimeSlice | None = None,
    ) -> None:
        """Initialize the subscription.

        Args:
            details: Where the messages are, as fetched just before.
            ssl_context: How to verify the service. Without one the library makes
                its own, which takes the event loop some milliseconds.
            allow_plain: Whether a connection without TLS is acceptable.
            quiet_period: Seconds of silence after which the link is probed.
            reported: Kinds of bad messages that were logged before; shared by
                the successive links of an installation.
            time_slice: What it shares with the subscriptions that run beside it.

        Raises:
            ValueError: The context would trust anybody.

        """
        if ssl_context and not (
            ssl_context.check_hostname and ssl_context.verify_mode is ssl.CERT_REQUIRED
        ):
            raise ValueError("The context has to verify the service and its name")
        self._details = details
        self._ssl_context = ssl_context
        self._allow_plain = allow_plain
        self._quiet_period = quiet_period
        self._reported = set() if reported is None else reported
        self._time_slice = time_slice or TimeSlice()
        self._client: ServiceBusClient | None = None
        self._receiver: ServiceBusReceiver | None = None
        # Kept apart from the receiver, which drops its connection when it fails.
        self._socket: Any = None
        self._iterator: AsyncIterator[Any] | None = None
        self._quiet_since = 0.0
        self.messages = 0
        self.bad_messages = 0
        self.oversized = 0
        self.missed = 0
        self._last_numbers: dict[int, int] = {}
        self._untagged = 0
        self.last_message: datetime | None = None

    async def __aenter__(self) -> Self:
        """Open the link.

        Raises:
            SubscriptionError: It could not be opened.

        """
        options = self._options()
        token = _IN_SUBSCRIPTION.set(True)
        try:
            async with _library_errors(), asyncio.timeout(OPEN_TIMEOUT):
                self._client = ServiceBusClient.from_connection_string(**options)
                self._receiver = self._client.get_subscription_receiver(
                    self._details.topic,
                    self._details.subscription,
                    # The charger's state brings back what a broken link loses,
                    # so nothing is gained by confirming each message.
                    receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE,
                    prefetch_count=PREFETCH,
                    max_wait_time=self._quiet_period,
                    # Whoever waits for a message keeps the link alive. The library's
                    # task for that reads beside it, and leaves its errors to nobody.
                    keep_alive=0,
                    socket_timeout=min(FRAME_TIMEOUT, self._quiet_period / 4),
                )
                opening = asyncio.ensure_future(self._receiver.__aenter__())
                try:
                    await asyncio.shield(opening)
                finally:
                    # An interrupted opening forgets its socket, so it is noted
                    # before the library knows of the interruption.
                    self._socket = _socket(self._receiver)
                    opening.cancel()
                    await asyncio.wait([opening], timeout=CLOSE_TIMEOUT)
                    if opening.done() and not opening.cancelled():
                        # Seen, also where the interruption is what is told.
                        opening.exception()
        except BaseException:
            await self._close()
            raise
        finally:
            _IN_SUBSCRIPTION.reset(token)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the link."""
        await self._close()

    def __aiter__(self) -> Self:
        """Return the subscription, which is its own iterator."""
        return self

    async def __anext__(self) -> Observation:
        """Return the next observation.

        Raises:
            SubscriptionError: The link has ended.

        """
        while True:
            observations = self._decode_all([await self._next_message()])
            if observations:
                return observations[0]

    async def run(
        self, on_observations: Callable[[list[Observation]], None]
    ) -> NoReturn:
        """Hand over observations until the link ends.

        What comes in one turn of the event loop is read and handed over together,
        which takes a burst of messages half the time.

        Args:
            on_observations: Called with the observations, in their order; with none, where
                messages told of no charger.

        Raises:
            SubscriptionError: The link has ended.

        """
        loop = asyncio.get_running_loop()
        messages: list[Any] = []
        failure: Exception | None = None

        def flush() -> None:
            nonlocal failure
            try:
                if messages:
                    on_observations(self._decode_all(messages))
            except Exception as err:  # noqa: BLE001 - raised below
                failure = err
            messages.clear()

        try:
            while failure is None:
                message = await self._next_message()
                if not messages:
                    loop.call_soon(flush)
                messages.append(message)
            raise failure
        except SubscriptionError:
            flush()
            raise
        finally:
            messages.clear()

    def _decode_all(self, messages: list[Any]) -> list[Observation]:
        """Return what messages tell of chargers."""
        self.messages += len(messages)
        self.last_message = datetime.now(UTC)
        observations = []
        for message in messages:
            observation = self._decode(message)
            if observation and observation.charger_id != NO_CHARGER:
                observations.append(observation)
        self._untagged += len(messages)
        if self._untagged >= TAGS_MAX:
            self._untagged = 0
            _forget_tags(self._receiver)
        return observations

    def _track_sequence(self, number: int | None) -> None:
        """Count the messages that lie between this one and the one before it.

        The upper 16 bits tell the partition, each of which counts for itself (Azure
        Service Bus, Message sequencing and timestamps).
        """
        if not isinstance(number, int):
            return
        partition = number >> 48
        before = self._last_numbers.get(partition)
        if before is None and len(self._last_numbers) >= PARTITIONS_MAX:
            return
        if before is not None and number > before:
            self.missed += number - before - 1
        self._last_numbers[partition] = max(number, before or number)

    async def _next_message(self) -> Any:
        """Return the next message, however long it takes."""
        if self._receiver is None:
            raise SubscriptionError("closed", "The subscription is not open")
        if self._time_slice.is_over:
            await self._time_slice.end()
        token = _IN_SUBSCRIPTION.set(True)
        try:
            return await self._wait_for_message(self._receiver)
        finally:
            _IN_SUBSCRIPTION.reset(token)

    async def _wait_for_message(self, receiver: ServiceBusReceiver) -> Any:
        """Return the next message, and probe the link while there is none."""
        loop = asyncio.get_running_loop()
        ended_early = held_back = False
        while True:
            if self._iterator is None:
                self._iterator = aiter(receiver)
                self._quiet_since = loop.time()
            try:
                # The library measures silence by the wall clock, which may be set back
                # meanwhile.
                async with asyncio.timeout(
                    PROBE_TIMEOUT if held_back else self._quiet_period + PROBE_TIMEOUT
                ):
                    message = await anext(self._iterator)
            except StopAsyncIteration, TimeoutError:
                self._iterator = None
            except Exception as err:  # noqa: BLE001 - even TypeErrors of damaged frames
                raise _subscription_error(err) from None
            else:
                self._quiet_since = loop.time()
                return message
            if held_back:
                raise SubscriptionError("stalled", _FAULT_TEXTS["stalled"])
            if loop.time() - self._quiet_since < self._quiet_period / 2:
                # The wall clock was set forward, or the library has ended without
                # a word; the latter would go on for ever.
                if ended_early:
                    raise SubscriptionError("closed", _FAULT_TEXTS["closed"])
                ended_early = True
            async with _library_errors(), asyncio.timeout(PROBE_TIMEOUT):
                # What waits there is to be delivered now, or never.
                held_back = bool(await receiver.peek_messages(max_message_count=1))

    def _decode(self, message: Any) -> Observation | None:
        """Return the observation of a message, None for one that is damaged."""
        step = "header"
        try:
            self._track_sequence(message.sequence_number)
            step = "body"
            body = _body(message)
            step = "binary XML"
            text = decode(body)
            step = "JSON"
            _check_parts(text)
            document = _DECODER.decode(text)
            step = "observation"
            return Observation.from_json(document)
        except Exception as err:  # noqa: BLE001 - a sender may put anything in there
            self._report(step, err)
            return None

    def _report(self, step: str, error: Exception) -> None:
        """Count a bad message, and log it if it is the first of its kind."""
        self.bad_messages += 1
        self.oversized += isinstance(error, _OversizedError)
        if step not in self._reported:
            self._reported.add(step)
            # A library's text may quote the message, which tells who charges.
            has_own_text = type(error) in (ValueError, _OversizedError)
            reason = error if has_own_text else type(error).__name__
            _LOGGER.warning(
                "Skipping a message that can't be understood (%s): %s", step, reason
            )

    async def _close(self) -> None:
        """Close the link, whatever state it is in."""
        receiver, self._receiver = self._receiver, None
        client, self._client = self._client, None
        self._iterator = None
        socket, self._socket = self._socket, None
        token = _IN_SUBSCRIPTION.set(True)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                for part in (receiver, socket, client):
                    if part is not None:
                        await _close_part(part)
        except TimeoutError:
            _LOGGER.debug("A link was not closed in time")
        finally:
            _IN_SUBSCRIPTION.reset(token)
            # Also where even the closing is interrupted.
            _abort(socket)

    def _options(self) -> dict[str, Any]:
        """Return how to connect.

        Raises:
            SubscriptionError: The details are not such that one should.

        """
        details = self._details
        if not _HOST_PATTERN.fullmatch(details.host) or not (
            0 < details.port < 1 << 16
        ):
            raise SubscriptionError("error", "Host or port of the messages is invalid")
        for value in (
            details.user_name,
            details.password,
            details.topic,
            details.subscription,
        ):
            if not _VALUE_PATTERN.fullmatch(value):
                raise SubscriptionError("error", "The connection details are invalid")
        is_local = is_loopback(details.host)
        if not details.use_ssl and not (self._allow_plain and is_local):
            raise SubscriptionError(
                "error", "The cloud offers its messages without encryption only"
            )
        if not (self._allow_plain and is_local) and not _NAME_PATTERN.fullmatch(
            details.host
        ):
            # An address, or a name of the network at home, is not the vendor's.
            raise SubscriptionError("error", "The messages are said to be at home")

        key = f"SharedAccessKeyName={details.user_name};SharedAccessKey={details.password}"
        options: dict[str, Any] = {"retry_total": 0, "ssl_context": self._ssl_context}
        if not details.use_ssl:
            # The library's only way to do without TLS, and to keep the port.
            options["conn_str"] = (
                f"Endpoint=sb://{details.host}:{details.port};{key};"
                "UseDevelopmentEmulator=true"
            )
            return options
        options["conn_str"] = f"Endpoint=sb://{details.host}/;{key}"
        if details.port != AMQPS_PORT:
            # A port in the endpoint is ignored with TLS.
            options["custom_endpoint_address"] = f"sb://{details.host}:{details.port}"
            options["transport_type"] = TransportType.Amqp
        return options


def _body(message: Any) -> bytes:
    """Return the bytes of a message.

    Raises:
        ValueError: It holds something else, or too many (_OversizedError).

    """
    if message.body_type is not AmqpMessageBodyType.DATA:
        raise ValueError("There is no data section")
    body = b"".join(message.body)
    if len(body) > BODY_SIZE_MAX:
        raise _OversizedError("The body is too large")
    return body


def _check_parts(text: str) -> None:
    """Refuse a document that would take long to read.

    Raises:
        _OversizedError: It has too many parts.

    """
    if text.count("{") + text.count("[") > BRACKETS_MAX or text.count(",") > COMMAS_MAX:
        raise _OversizedError("The document has too many parts")
