"""What the azure-servicebus library needs beyond its documentation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
import logging
import platform
from typing import Any, override

from azure.servicebus.aio import ServiceBusReceiver
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

_LOGGER = logging.getLogger(__name__)

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
        raise _subscription_error(err) from None


def _subscription_error(error: Exception) -> SubscriptionError:
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
