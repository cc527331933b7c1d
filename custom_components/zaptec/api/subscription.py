"""The messages of an installation, decoded to observations.

Messages come from an Azure Service Bus topic, which keeps each of them for five minutes
(Integrating with Zaptec charging systems, Message subscription).
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
import json
import logging
import math
import re
from types import TracebackType
from typing import Any, NoReturn, Self, Unpack

from . import nbfx
from .azure_link import AzureLink, LinkOptions, message_body
from .errors import SubscriptionError
from .models import ConnectionDetails, Observation
from .parsing import parse_float_literal, parse_integer_literal, parse_uuid

_LOGGER = logging.getLogger(__name__)

# Longest time to process messages that have arrived before yielding to the event loop
# (s).
SLICE_TIME = 0.002

# Maximum number of partitions that are tracked. A partitioned entity has 16; the bound
# protects memory from malformed sequence numbers.
PARTITIONS_MAX = 64

# Maximum size of a body (octets). A message usually has a few hundred octets, and the
# signed session of a day some 10,000. Larger ones would block the event loop, and the
# state of the charger contains the same values.
BODY_SIZE_MAX = 64 * 1024

# Maximum numbers of objects and lists in a document, and of commas between their items.
BRACKETS_MAX = 1024
COMMAS_MAX = 2048

_DECODER = json.JSONDecoder(
    parse_float=parse_float_literal, parse_int=parse_integer_literal
)

# The charger id in messages of the cloud itself, which concern no charger.
NO_CHARGER = "00000000-0000-0000-0000-000000000000"

# The id of the charger in a message that is too large to decode, and the octets at the
# beginning of the body that contain it: the value comes last, and quotes in it are
# escaped.
_CHARGER_ID = re.compile(rb'"ChargerId"\s*:\s*"([0-9A-Fa-f-]{36})"')
_HEAD_SIZE = 1024


class _OversizedError(ValueError):
    """A message that would take too long to decode."""


class TimeSlice:
    """The time that all subscriptions together may use before yielding.

    The library does not yield to the event loop while there is something to read. A
    burst of messages would block the loop until its end.
    """

    def __init__(self) -> None:
        """Initialize the time slice as used up."""
        self._began = -math.inf
        self._is_ending = False

    @property
    def is_over(self) -> bool:
        """Return whether the time is used up."""
        return asyncio.get_running_loop().time() - self._began > SLICE_TIME

    async def end(self) -> None:
        """Yield to the event loop, which starts the next time slice."""
        if not self._is_ending:
            self._is_ending = True
            # This runs before any of the subscriptions that wait here, so all of them
            # share the next time slice.
            asyncio.get_running_loop().call_soon(self._begin)
        await asyncio.sleep(0)

    def _begin(self) -> None:
        """Start the next time slice."""
        self._is_ending = False
        self._began = asyncio.get_running_loop().time()


class Subscription:
    """The observations of one installation, as they happen.

    An instance is used for one link: it is opened with `async with`, read with `async
    for` or `run`, and ends with a `SubscriptionError`. Values that are lost with a link
    have to be read from the chargers' states.

    Attributes:
        messages: Number of messages received.
        bad_messages: Number of messages that could not be decoded.
        oversized: Number of these that were too large to decode.
        oversized_from: The chargers that sent them, `NO_CHARGER` for an unknown one;
            the code that handles them empties it.
        missed: Number of messages that another program seems to have received: the
            Service Bus numbers the messages of a subscription without gaps.
        last_message: Time of the latest message.

    """

    def __init__(
        self,
        details: ConnectionDetails,
        *,
        reported: set[str] | None = None,
        time_slice: TimeSlice | None = None,
        **options: Unpack[LinkOptions],
    ) -> None:
        """Initialize the subscription.

        Args:
            details: The connection details, fetched just before.
            reported: Kinds of bad messages that were logged before; shared by the
                successive links of an installation.
            time_slice: The time slice that is shared by all subscriptions.
            **options: How the link connects.

        Raises:
            ValueError: The context does not verify the service.

        """
        self.link = AzureLink(details, **options)
        self._reported = set() if reported is None else reported
        self._time_slice = time_slice or TimeSlice()
        self.messages = 0
        self.bad_messages = 0
        self.oversized = 0
        self.oversized_from: set[str] = set()
        self.missed = 0
        self._last_numbers: dict[int, int] = {}
        self.last_message: datetime | None = None

    async def __aenter__(self) -> Self:
        """Open the link.

        Raises:
            SubscriptionError: The link could not be opened.

        """
        await self.link.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the link."""
        await self.link.close()

    def __aiter__(self) -> Self:
        """Return the subscription, which is its own iterator."""
        return self

    async def __anext__(self) -> Observation:
        """Return the next observation.

        Raises:
            SubscriptionError: The link has ended.

        """
        while True:
            observations = self.decode_all([await self._next_message()])
            if observations:
                return observations[0]

    async def run(
        self, on_observations: Callable[[list[Observation]], None]
    ) -> NoReturn:
        """Receive observations until the link ends.

        Messages that arrive in one iteration of the event loop are decoded and passed
        on together, which halves the time for a burst.

        Args:
            on_observations: Called with the observations in their order. The list is
                empty if the messages concern no charger.

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
                    on_observations(self.decode_all(messages))
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

    def decode_all(self, messages: list[Any]) -> list[Observation]:
        """Count messages, and return their observations of chargers."""
        self.messages += len(messages)
        self.last_message = datetime.now(UTC)
        observations = []
        for message in messages:
            observation = self.decode(message)
            if observation and observation.charger_id != NO_CHARGER:
                observations.append(observation)
        return observations

    def _track_sequence(self, number: int | None) -> None:
        """Count the messages that are missing between this one and the previous one.

        The upper 16 bits are the partition, and each partition has its own sequence
        (Azure Service Bus, Message sequencing and timestamps).
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
        if self._time_slice.is_over:
            await self._time_slice.end()
        return await self.link.next_message()

    def decode(self, message: Any) -> Observation | None:
        """Return the observation of a message, None if it can't be decoded."""
        step, body = "header", b""
        try:
            self._track_sequence(message.sequence_number)
            step = "body"
            body = message_body(message)
            _check_size(body)
            step = "binary XML"
            text = nbfx.decode(body)
            step = "JSON"
            _check_parts(text)
            document = _DECODER.decode(text)
            step = "observation"
            return Observation.from_json(document)
        except Exception as err:  # noqa: BLE001 - a sender may put anything in there
            self._report(step, err)
            if isinstance(err, _OversizedError):
                self.oversized += 1
                self.oversized_from.add(_sender(body))
            return None

    def _report(self, step: str, error: Exception) -> None:
        """Count a bad message, and log it if it is the first of its kind."""
        self.bad_messages += 1
        if step not in self._reported:
            self._reported.add(step)
            # The text of a library's error may quote the message, which may contain a
            # charging card.
            has_own_text = type(error) in (ValueError, _OversizedError)
            reason = error if has_own_text else type(error).__name__
            _LOGGER.warning(
                "Skipping a message that can't be understood (%s): %s", step, reason
            )


def _sender(body: bytes) -> str:
    """Return the charger of a message that is not decoded, `NO_CHARGER` if unknown."""
    found = _CHARGER_ID.search(body, 0, _HEAD_SIZE)
    return (found and parse_uuid(found[1].decode())) or NO_CHARGER


def _check_size(body: bytes) -> None:
    """Raise an error if a body would take too long to decode.

    Raises:
        _OversizedError: The body is too large.

    """
    if len(body) > BODY_SIZE_MAX:
        raise _OversizedError("The body is too large")


def _check_parts(text: str) -> None:
    """Raise an error if a document would take too long to parse.

    Raises:
        _OversizedError: The document has too many parts.

    """
    if text.count("{") + text.count("[") > BRACKETS_MAX or text.count(",") > COMMAS_MAX:
        raise _OversizedError("The document has too many parts")
