"""The messages of an installation, as an iterator of observations.

Messages come from an Azure Service Bus topic, which keeps each for five minutes
(Integrating with Zaptec charging systems, Message subscription). The client
library is never asked to repair a link: it gives up some faults silently, and a
peer that is silent in AMQP is none of its business. So each link is used until its
first fault, and its silence is probed.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
import json
import logging
import math
import ssl
from types import TracebackType
from typing import Any, NoReturn, Self

from . import nbfx
from .azure_link import QUIET_PERIOD, AzureLink, message_body
from .errors import SubscriptionError
from .models import ConnectionDetails, Observation
from .parsing import parse_literal

_LOGGER = logging.getLogger(__name__)

# So long may messages that are here already be taken without a pause for others.
SLICE_TIME = 0.002

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
        self.link = AzureLink(
            details,
            ssl_context=ssl_context,
            allow_plain=allow_plain,
            quiet_period=quiet_period,
        )
        self._reported = set() if reported is None else reported
        self._time_slice = time_slice or TimeSlice()
        self.messages = 0
        self.bad_messages = 0
        self.oversized = 0
        self.missed = 0
        self._last_numbers: dict[int, int] = {}
        self.last_message: datetime | None = None

    async def __aenter__(self) -> Self:
        """Open the link.

        Raises:
            SubscriptionError: It could not be opened.

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
        """Return what messages tell of chargers."""
        self.messages += len(messages)
        self.last_message = datetime.now(UTC)
        observations = []
        for message in messages:
            observation = self.decode(message)
            if observation and observation.charger_id != NO_CHARGER:
                observations.append(observation)
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
        if self._time_slice.is_over:
            await self._time_slice.end()
        return await self.link.next_message()

    def decode(self, message: Any) -> Observation | None:
        """Return the observation of a message, None for one that is damaged."""
        step = "header"
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


def _check_size(body: bytes) -> None:
    """Refuse a body that would take long to read.

    Raises:
        _OversizedError: It is too large.

    """
    if len(body) > BODY_SIZE_MAX:
        raise _OversizedError("The body is too large")


def _check_parts(text: str) -> None:
    """Refuse a document that would take long to read.

    Raises:
        _OversizedError: It has too many parts.

    """
    if text.count("{") + text.count("[") > BRACKETS_MAX or text.count(",") > COMMAS_MAX:
        raise _OversizedError("The document has too many parts")
