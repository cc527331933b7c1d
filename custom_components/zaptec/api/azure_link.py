"""A connection by the azure-servicebus library, and what that library requires.

It is made directly, by AMQP to port 5671, or in a WebSocket by port 443, which is open in
most networks that block the former.

The library is never asked to repair a connection: it silently gives up after some
faults, and does not notice a peer that stopped sending AMQP frames. Therefore each link
is used until its first fault, and probed when it is idle. All of this holds for
azure-servicebus 7.15.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from enum import StrEnum
import logging
import os
import platform
import ssl
from typing import Any, TypedDict, Unpack, override

from aiohttp import ClientError
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

from .bus_options import connection_options
from .errors import SubscriptionError, SubscriptionFault
from .models import AMQPS_PORT, ConnectionDetails
from .parsing import is_loopback

_LOGGER = logging.getLogger(__name__)

# Longest time for each of these steps (s). The library itself limits none of them.
# Opening has the shorter limit while the other transport is still to be tried.
OPEN_TIMEOUT = 30.0
FIRST_OPEN_TIMEOUT = 10.0
PROBE_TIMEOUT = 20.0
CLOSE_TIMEOUT = 3.0

# Longest wait for messages that have already arrived (s). The library does not accept 0.
NO_WAIT = 1e-9

# Idle time after which the link is probed (s). The frame and the probe may take their time
# limits in addition. The sum has to be less than the 300 s for which the service keeps
# messages: if a link were frozen for longer and continued, their loss would not be noticed.
QUIET_PERIOD = 240.0

# Maximum number of messages in transit. The library requests more messages only when
# all of these have arrived, which costs a round trip each time.
PREFETCH = 100

# Number of messages that the library then requests, which is one more. All of them may
# arrive while the link is probed.
CREDIT = PREFETCH + 1

# Longest time that the library waits for a frame before it checks its timers (s): the
# heartbeat and the idle time. Its default of 0.2 s would wake up the event loop five
# times a second for each link. The Service Bus closes a connection that is silent for
# 120 s, and the library sends a heartbeat at the first check after half of that.
FRAME_TIMEOUT = 20.0

# Maximum number of delivery tags that the library may keep. It drops the tag of a
# message when the message is settled, but messages that are deleted on receipt never
# are.
TAGS_MAX = 1000

# The port of the WebSocket. That of a simulated service on this machine is any other.
WEB_SOCKET_PORT = 443
WEB_SOCKET_PORT_VARIABLE = "ZAPTEC_WEB_SOCKET_PORT"

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

# Faults that the service itself reports, which it would report by any transport.
_REFUSALS: set[SubscriptionFault] = {"unauthorized", "not_found", "disabled", "busy"}

# Whether the running code belongs to one of our links, and not to another user of the
# library within Home Assistant.
_IN_SUBSCRIPTION: ContextVar[bool] = ContextVar("zaptec_subscription", default=False)


class _LibraryLog(logging.Filter):
    """Lowers what the library logs about our links to debug level.

    The library logs each broken link as an error, with a traceback. The integration
    logs the fault itself, once.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log a record of the library."""
        if _IN_SUBSCRIPTION.get() and record.levelno > logging.DEBUG:
            record.levelno = logging.DEBUG
            record.levelname = logging.getLevelName(logging.DEBUG)
            return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        return True


_LIBRARY_LOG = _LibraryLog()


def preload() -> None:
    """Warm up the library; blocks, so run it in an executor.

    The library reads the platform, which starts a process the first time.
    """
    platform.platform()
    # The filter of a logger does not apply to its child loggers, so each gets one.
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("azure.servicebus"):
            logging.getLogger(name).addFilter(_LIBRARY_LOG)


class LinkTransport(StrEnum):
    """How a link reaches the message service. Users see the values."""

    AMQP = "amqp"
    WEB_SOCKET = "amqp_over_websocket"

    @property
    def text(self) -> str:
        """Return the transport as the log names it."""
        if self is LinkTransport.AMQP:
            return f"AMQP (port {AMQPS_PORT})"
        return f"WebSocket (port {WEB_SOCKET_PORT})"


class Transports:
    """The transports to one message subscription, the one that worked last being the first.

    Attributes:
        order: The order in which they are tried.
        current: The transport of the open link, None while it is not open.

    """

    def __init__(self, name: str = "a subscription") -> None:
        """Initialize the transports: the direct one is tried first.

        Args:
            name: Whose messages they are, for the log.

        """
        self.order = tuple(LinkTransport)
        self.current: LinkTransport | None = None
        self._name = name
        self._is_reported = False

    def prefer(self, transport: LinkTransport) -> None:
        """Try a transport first from now on, because it has reached the service."""
        if transport is not self.order[0]:
            self.order = tuple(reversed(self.order))

    def opened(
        self,
        transport: LinkTransport,
        faults: Mapping[LinkTransport, SubscriptionError],
    ) -> None:
        """Note the transport of a link that is open, and the faults of the other one."""
        self.prefer(transport)
        self.current = transport
        _LOGGER.debug("Live messages of %s: by %s", self._name, transport.text)
        fault = faults.get(LinkTransport.AMQP)
        if fault and not self._is_reported:
            # The link works, but the user may not know that a firewall blocks the port.
            self._is_reported = True
            _LOGGER.info(
                "The live messages of %s arrive by %s, because %s failed: %s",
                self._name,
                transport.text,
                LinkTransport.AMQP.text,
                fault,
            )


class LinkOptions(TypedDict, total=False):
    """How a link connects.

    Attributes:
        ssl_context: Verifies the service. Without one, the library creates its own,
            which blocks the event loop for some milliseconds.
        allow_plain: Whether a connection without TLS is acceptable.
        quiet_period: Idle time after which the link is probed (s).
        transports: The transports, which remember the one that worked last; shared by the
            successive links of a subscription.

    """

    transports: Transports
    ssl_context: ssl.SSLContext | None
    allow_plain: bool
    quiet_period: float


class AzureLink:
    """A connection to a message subscription, used until its first fault.

    Attributes:
        receiver: The library's receiver, None while the link is not open.
        socket: The library's socket, None while the link is not open.

    """

    def __init__(
        self, details: ConnectionDetails, **options: Unpack[LinkOptions]
    ) -> None:
        """Initialize the link.

        Args:
            details: The connection details, fetched just before.
            **options: How it connects.

        Raises:
            ValueError: The context does not verify the service.

        """
        ssl_context = options.get("ssl_context")
        if ssl_context and not (
            ssl_context.check_hostname and ssl_context.verify_mode is ssl.CERT_REQUIRED
        ):
            raise ValueError("The context has to verify the service and its name")
        self._details = details
        self._ssl_context = ssl_context
        self._allow_plain = options.get("allow_plain", False)
        self._quiet_period = options.get("quiet_period", QUIET_PERIOD)
        self._transports = options.get("transports") or Transports()
        self._client: ServiceBusClient | None = None
        self.receiver: ServiceBusReceiver | None = None
        # The library's receiver drops its connection when that fails, and
        # Connection.close skips the socket then. So the socket is kept here, and closed
        # in any case.
        self.socket: Any = None
        self._iterator: AsyncIterator[Any] | None = None
        # Messages that arrived during a probe.
        self._arrived: deque[Any] = deque()
        self._quiet_since = 0.0
        self._untagged = 0

    async def open(self) -> None:
        """Open the link, by the first transport that reaches the service.

        Raises:
            SubscriptionError: The link could not be opened.

        """
        options = transport_options(
            self._details, self._ssl_context, allow_plain=self._allow_plain
        )
        faults: dict[LinkTransport, SubscriptionError] = {}
        for transport in self._transports.order:
            if transport not in options:
                continue
            is_last = len(faults) == len(options) - 1
            limit = OPEN_TIMEOUT if is_last else FIRST_OPEN_TIMEOUT
            try:
                await self._open_by(options[transport], limit)
            except SubscriptionError as err:
                if err.reason in _REFUSALS:
                    self._transports.prefer(transport)
                    raise
                faults[transport] = err
            else:
                self._transports.opened(transport, faults)
                return
        raise _combined(faults)

    async def _open_by(self, options: dict[str, Any], limit: float) -> None:
        """Open the link by one transport, within a time limit (s).

        Raises:
            SubscriptionError: The link could not be opened.

        """
        token = _IN_SUBSCRIPTION.set(True)
        try:
            async with _library_errors(), asyncio.timeout(limit):
                self._client = ServiceBusClient.from_connection_string(**options)
                self.receiver = self._create_receiver(self._client)
                await self._open_receiver(self.receiver)
        except BaseException:
            await self.close()
            raise
        finally:
            _IN_SUBSCRIPTION.reset(token)

    def _create_receiver(self, client: ServiceBusClient) -> ServiceBusReceiver:
        """Return a receiver that is not yet open."""
        return client.get_subscription_receiver(
            self._details.topic,
            self._details.subscription,
            # Values that are lost with a broken link are read from the charger's
            # state, so there is no need to acknowledge each message.
            receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE,
            prefetch_count=PREFETCH,
            max_wait_time=self._quiet_period,
            # Receiving already answers heartbeats. The library's keep-alive task would
            # read from the same socket, and its exceptions would go unhandled.
            keep_alive=0,
            socket_timeout=min(FRAME_TIMEOUT, self._quiet_period / 4),
        )

    async def _open_receiver(self, receiver: ServiceBusReceiver) -> None:
        """Open a receiver, and keep its socket even if that fails."""
        loop = asyncio.get_running_loop()
        # The task runs at once until it first waits, when the library has created its
        # socket. When opening fails or is cancelled, the library drops the socket
        # without closing it.
        opening = asyncio.Task(receiver.__aenter__(), loop=loop, eager_start=True)
        self.socket = _socket(receiver)
        try:
            await asyncio.shield(opening)
        finally:
            opening.cancel()
            await asyncio.wait([opening], timeout=CLOSE_TIMEOUT)
            if opening.done() and not opening.cancelled():
                # Retrieve the exception, or asyncio would log it as never retrieved.
                opening.exception()

    async def next_message(self) -> Any:
        """Return the next message, however long it takes.

        Raises:
            SubscriptionError: The link has ended.

        """
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
        """Return the next message, and probe the link while it is idle."""
        loop = asyncio.get_running_loop()
        ended_early = held_back = False
        while not self._arrived:
            if self._iterator is None:
                self._iterator = aiter(receiver)
                self._quiet_since = loop.time()
            try:
                # The library measures idle time by the wall clock, which may be set
                # back meanwhile. So this time limit is added.
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
            if _socket(receiver) is not self.socket:
                # The library has given up the connection, and a probe would make it
                # open another one.
                raise SubscriptionError("error", _FAULT_TEXTS["error"])
            if loop.time() - self._quiet_since < self._quiet_period / 2:
                # Either the wall clock was set forward, or the library has given up
                # the connection without an error. The latter would repeat forever.
                if ended_early:
                    raise SubscriptionError("closed", _FAULT_TEXTS["closed"])
                ended_early = True
            async with _library_errors(), asyncio.timeout(PROBE_TIMEOUT):
                # If the service holds a message, it has to deliver that now; otherwise
                # the link is stalled.
                held_back = bool(await receiver.peek_messages(max_message_count=1))
                # The iterator would return these only once it has read another frame.
                self._arrived.extend(
                    await receiver.receive_messages(
                        max_message_count=CREDIT, max_wait_time=NO_WAIT
                    )
                )
        return self._arrived.popleft()

    async def close(self) -> None:
        """Close the link, whatever its state."""
        receiver, self.receiver = self.receiver, None
        client, self._client = self._client, None
        self._iterator = None
        self._arrived.clear()
        self._transports.current = None
        # A probe may have connected again, after the library had given up its socket.
        sockets = (self.socket, _socket(receiver))
        self.socket = None
        token = _IN_SUBSCRIPTION.set(True)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                for part in (receiver, *sockets, client):
                    if part is not None:
                        await _close_part(part)
        except TimeoutError:
            _LOGGER.debug("A link was not closed in time")
        finally:
            _IN_SUBSCRIPTION.reset(token)
            # Also runs if closing is cancelled.
            for socket in sockets:
                _abort(socket)


def transport_options(
    details: ConnectionDetails,
    ssl_context: ssl.SSLContext | None,
    *,
    allow_plain: bool,
) -> dict[LinkTransport, dict[str, Any]]:
    """Return the arguments with which the library connects, by transport.

    Raises:
        SubscriptionError: The details are invalid, or connecting would be unsafe.

    """
    direct = connection_options(details, ssl_context, allow_plain=allow_plain)
    options = {LinkTransport.AMQP: direct}
    web_socket = direct | {"transport_type": TransportType.AmqpOverWebsocket}
    web_socket.pop("custom_endpoint_address", None)
    if is_loopback(details.host):
        # A simulated service. Without this variable, it has no WebSocket.
        port = os.environ.get(WEB_SOCKET_PORT_VARIABLE, "")
        if not (port.isascii() and port.isdecimal()):
            return options
        web_socket["custom_endpoint_address"] = f"sb://{details.host}:{port}"
    options[LinkTransport.WEB_SOCKET] = web_socket
    return options


def message_body(message: Any) -> bytes:
    """Return the body of a message.

    Raises:
        ValueError: The message has no data section.

    """
    if message.body_type is not AmqpMessageBodyType.DATA:
        raise ValueError("There is no data section")
    return b"".join(message.body)


async def _close_part(part: Any) -> None:
    """Close one of the library's objects, and log an error."""
    try:
        await part.close()
    except Exception as err:  # noqa: BLE001 - a broken link may fail in any way
        _LOGGER.debug("A link was not closed cleanly: %s", type(err).__name__)


def _abort(socket: Any) -> None:
    """Close a socket at once, if the library has not done so."""
    if (writer := getattr(socket, "writer", None)) is not None:
        writer.transport.abort()
    if (session := getattr(socket, "session", None)) is not None:
        # The HTTP session of a WebSocket. It has closed its connection when it first
        # waits, so its task runs at once until then, and is cancelled.
        loop = asyncio.get_running_loop()
        asyncio.Task(session.close(), loop=loop, eager_start=True).cancel()
    # aiohttp 3.14 starts the timer of its pings again when the peer returns the close.
    web_socket = getattr(socket, "sock", None)
    if (cancel_pings := getattr(web_socket, "_cancel_heartbeat", None)) is not None:
        cancel_pings()


def _socket(receiver: ServiceBusReceiver | None) -> Any:
    """Return the socket of a receiver, which the library has no public name for."""
    handler = getattr(receiver, "_handler", None)
    connection = getattr(handler, "_connection", None)
    return getattr(connection, "_transport", None)


def _forget_tags(receiver: ServiceBusReceiver | None) -> None:
    """Clear the delivery tags, which the library keeps until the link closes."""
    link = getattr(getattr(receiver, "_handler", None), "_link", None)
    tags = getattr(link, "_received_delivery_tags", None)
    if isinstance(tags, set):
        tags.clear()


@asynccontextmanager
async def _library_errors() -> AsyncIterator[None]:
    """Translate any error of the library into a SubscriptionError."""
    try:
        yield
    except Exception as err:  # noqa: BLE001 - even TypeErrors of damaged frames
        raise subscription_error(err) from None


def _combined(faults: Mapping[LinkTransport, SubscriptionError]) -> SubscriptionError:
    """Return one error for those of all transports that were tried."""
    *_, last = faults.values()
    if len(faults) == 1:
        return last
    texts = (f"by {transport.text}: {error}" for transport, error in faults.items())
    return SubscriptionError(last.reason, "; ".join(texts))


def subscription_error(error: Exception) -> SubscriptionError:
    """Return the translation of an error of the library.

    The text of that error is left out, because it may contain hosts and keys.
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
        if fault == "error" and isinstance(inner, ClientError):
            # The library expects only some of the errors of a WebSocket.
            fault = "connection"
    return SubscriptionError(fault, f"{_FAULT_TEXTS[fault]} ({type(error).__name__})")
