"""What the azure-servicebus library needs beyond its documentation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
import logging
import platform
import re
import ssl
from typing import Any, override

from azure.servicebus import ServiceBusReceiveMode, TransportType
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
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

from .errors import SubscriptionError, SubscriptionFault
from .models import AMQPS_PORT, ConnectionDetails
from .parsing import is_loopback

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

# The library notes the tag of each message for its settlement, and forgets it then. What
# is received and deleted is never settled.
TAGS_MAX = 1000

_HOST_PATTERN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)

# A name of the internet: of two labels at least, the last of which is no number and
# none of those that mean the own network (RFC 6761, RFC 6762, RFC 8375).
_NAME_PATTERN = re.compile(
    r"([A-Za-z0-9-]+\.)+(?!(?:local|localhost|lan|home|internal|arpa)$)[A-Za-z][A-Za-z0-9-]+",
    re.ASCII | re.IGNORECASE,
)

# What may stand in a connection string without changing its meaning.
_VALUE_PATTERN = re.compile(r"[!-:<-~]+", re.ASCII)

_FAULTS: tuple[tuple[type[Exception], SubscriptionFault], ...] = (
    (OperationTimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (ServiceBusAuthenticationError, "unauthorized"),
    (ServiceBusAuthorizationError, "unauthorized"),
    (MessagingEntityNotFoundError, "not_found"),
    (MessagingEntityDisabledError, "disabled"),
    (ServiceBusServerBusyError, "busy"),
    (ServiceBusQuotaExceededError, "busy"),
    (ServiceBusConnectionError, "connection"),
    (ServiceBusCommunicationError, "connection"),
)

_FAULT_TEXTS: dict[SubscriptionFault, str] = {
    "connection": "There is no connection to the messages",
    "unauthorized": "The key to the messages is not valid",
    "not_found": "There is no such message subscription",
    "disabled": "The message subscription is disabled",
    "busy": "The message service is busy",
    "timeout": "The message service does not answer",
    "closed": "The message service has closed the connection",
    "stalled": "The message service does not deliver the messages it holds",
    "error": "The message service failed",
}

# Whether what runs is a subscription of ours.
_IN_SUBSCRIPTION: ContextVar[bool] = ContextVar("zaptec_subscription", default=False)


class _LibraryLog(logging.Filter):
    """Keeps the library's words on a link of ours for those who debug it.

    It tells of each broken link as of an error of its own, with a traceback. What
    there is to tell of it we tell, once.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line of the library's is to be logged."""
        if _IN_SUBSCRIPTION.get() and record.levelno > logging.DEBUG:
            record.levelno = logging.DEBUG
            record.levelname = logging.getLevelName(logging.DEBUG)
            return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        return True


_LIBRARY_LOG = _LibraryLog()


def preload() -> None:
    """Do what would block the event loop later; to be run in an executor.

    The library asks for the platform, which starts a process the first time.
    """
    platform.platform()
    # Filters do not reach what is below a logger, so each gets it.
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("azure.servicebus"):
            logging.getLogger(name).addFilter(_LIBRARY_LOG)


class AzureLink:
    """A connection to a message subscription, used until its first fault.

    Attributes:
        receiver: The library's receiver, None while the link is not open.
        socket: The library's socket, None while the link is not open.

    """

    def __init__(
        self,
        details: ConnectionDetails,
        *,
        ssl_context: ssl.SSLContext | None = None,
        allow_plain: bool = False,
        quiet_period: float = QUIET_PERIOD,
    ) -> None:
        """Initialize the link.

        Args:
            details: Where the messages are, as fetched just before.
            ssl_context: How to verify the service. Without one the library makes
                its own, which takes the event loop some milliseconds.
            allow_plain: Whether a connection without TLS is acceptable.
            quiet_period: Seconds of silence after which the link is probed.

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
        self._client: ServiceBusClient | None = None
        self.receiver: ServiceBusReceiver | None = None
        # Kept apart from the receiver, which drops its connection when it fails.
        self.socket: Any = None
        self._iterator: AsyncIterator[Any] | None = None
        self._quiet_since = 0.0
        self._untagged = 0

    async def open(self) -> None:
        """Open the link.

        Raises:
            SubscriptionError: It could not be opened.

        """
        options = connection_options(
            self._details, self._ssl_context, allow_plain=self._allow_plain
        )
        token = _IN_SUBSCRIPTION.set(True)
        try:
            async with _library_errors(), asyncio.timeout(OPEN_TIMEOUT):
                self._client = ServiceBusClient.from_connection_string(**options)
                self.receiver = self._create_receiver(self._client)
                await self._open_receiver(self.receiver)
        except BaseException:
            await self.close()
            raise
        finally:
            _IN_SUBSCRIPTION.reset(token)

    def _create_receiver(self, client: ServiceBusClient) -> ServiceBusReceiver:
        """Return a receiver that is not open yet."""
        return client.get_subscription_receiver(
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

    async def _open_receiver(self, receiver: ServiceBusReceiver) -> None:
        """Open a receiver, and note its socket however that ends."""
        opening = asyncio.ensure_future(receiver.__aenter__())
        try:
            await asyncio.shield(opening)
        finally:
            # An interrupted opening forgets its socket, so it is noted
            # before the library knows of the interruption.
            self.socket = _socket(receiver)
            opening.cancel()
            await asyncio.wait([opening], timeout=CLOSE_TIMEOUT)
            if opening.done() and not opening.cancelled():
                # Seen, also where the interruption is what is told.
                opening.exception()

    async def next_message(self) -> Any:
        """Return the next message, however long it takes."""
        if self.receiver is None:
            raise SubscriptionError("closed", "The subscription is not open")
        token = _IN_SUBSCRIPTION.set(True)
        try:
            message = await self._wait_for_message(self.receiver)
        finally:
            _IN_SUBSCRIPTION.reset(token)
        self._untagged += 1
        if self._untagged >= TAGS_MAX:
            self._untagged = 0
            _forget_tags(self.receiver)
        return message

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
                raise subscription_error(err) from None
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

    async def close(self) -> None:
        """Close the link, whatever state it is in."""
        receiver, self.receiver = self.receiver, None
        client, self._client = self._client, None
        self._iterator = None
        socket, self.socket = self.socket, None
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


def connection_options(
    details: ConnectionDetails,
    ssl_context: ssl.SSLContext | None,
    *,
    allow_plain: bool,
) -> dict[str, Any]:
    """Return how the library is to connect.

    Raises:
        SubscriptionError: The details are not such that one should.

    """
    if not _HOST_PATTERN.fullmatch(details.host) or not (0 < details.port < 1 << 16):
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
    if not details.use_ssl and not (allow_plain and is_local):
        raise SubscriptionError(
            "error", "The cloud offers its messages without encryption only"
        )
    if not (allow_plain and is_local) and not _NAME_PATTERN.fullmatch(details.host):
        # An address, or a name of the network at home, is not the vendor's.
        raise SubscriptionError("error", "The messages are said to be at home")

    key = f"SharedAccessKeyName={details.user_name};SharedAccessKey={details.password}"
    options: dict[str, Any] = {"retry_total": 0, "ssl_context": ssl_context}
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


def message_body(message: Any) -> bytes:
    """Return the bytes of a message.

    Raises:
        ValueError: It holds something else.

    """
    if message.body_type is not AmqpMessageBodyType.DATA:
        raise ValueError("There is no data section")
    return b"".join(message.body)


async def _close_part(part: Any) -> None:
    """Close a part of a link."""
    try:
        await part.close()
    except Exception as err:  # noqa: BLE001 - a broken link may fail in any way
        _LOGGER.debug("A link was not closed in good order: %s", type(err).__name__)


def _abort(socket: Any) -> None:
    """Close a socket at once, if the library has not."""
    if (writer := getattr(socket, "writer", None)) is not None:
        writer.transport.abort()


def _socket(receiver: ServiceBusReceiver | None) -> Any:
    """Return the socket of a link, which the library does not show."""
    handler = getattr(receiver, "_handler", None)
    connection = getattr(handler, "_connection", None)
    return getattr(connection, "_transport", None)


def _forget_tags(receiver: ServiceBusReceiver | None) -> None:
    """Free what the library keeps of each message for as long as a link lives."""
    link = getattr(getattr(receiver, "_handler", None), "_link", None)
    tags = getattr(link, "_received_delivery_tags", None)
    if isinstance(tags, set):
        tags.clear()


@asynccontextmanager
async def _library_errors() -> AsyncIterator[None]:
    """Turn whatever the library raises into a SubscriptionError."""
    try:
        yield
    except Exception as err:  # noqa: BLE001 - even TypeErrors of damaged frames
        raise subscription_error(err) from None


def subscription_error(error: Exception) -> SubscriptionError:
    """Return what an error of the library means.

    Its own text is left out: it may hold hosts and keys.
    """
    fault: SubscriptionFault = next(
        (fault for kind, fault in _FAULTS if isinstance(error, kind)), "error"
    )
    if isinstance(error, ServiceBusError):
        inner = error.inner_exception
        match getattr(inner, "status_code", None):
            case 401:
                fault = "unauthorized"
            case 404:
                fault = "not_found"
        if fault == "error" and isinstance(inner, TimeoutError):
            fault = "timeout"
    return SubscriptionError(fault, f"{_FAULT_TEXTS[fault]} ({type(error).__name__})")
