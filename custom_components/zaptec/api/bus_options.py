"""The arguments with which the azure-servicebus library connects to a message service."""

import re
import ssl
from typing import Any

from azure.servicebus import TransportType

from .errors import SubscriptionError
from .models import AMQPS_PORT, ConnectionDetails
from .parsing import is_loopback

_HOST_PATTERN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)

# A public host name: at least two labels, the last of which is not a number and not
# reserved for local networks (RFC 6761, RFC 6762, RFC 8375).
_NAME_PATTERN = re.compile(
    r"([A-Za-z0-9-]+\.)+(?!(?:local|localhost|lan|home|internal|arpa)$)[A-Za-z][A-Za-z0-9-]+",
    re.ASCII | re.IGNORECASE,
)

# Characters that are allowed in a value of a connection string: others could change
# the meaning of the string.
_VALUE_PATTERN = re.compile(r"[!-:<-~]+", re.ASCII)


def connection_options(
    details: ConnectionDetails,
    ssl_context: ssl.SSLContext | None,
    *,
    allow_plain: bool,
) -> dict[str, Any]:
    """Return the arguments with which the library connects.

    Raises:
        SubscriptionError: The details are invalid, or connecting would be unsafe.

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
            "error", "The cloud offers its messages only without encryption"
        )
    if not (allow_plain and is_local) and not _NAME_PATTERN.fullmatch(details.host):
        # Only a public host name can be the vendor's; refuse addresses and local names.
        raise SubscriptionError("error", "The message host is not a public name")

    key = f"SharedAccessKeyName={details.user_name};SharedAccessKey={details.password}"
    options: dict[str, Any] = {"retry_total": 0, "ssl_context": ssl_context}
    if not details.use_ssl:
        # The library's only way to connect without TLS to any port.
        options["conn_str"] = (
            f"Endpoint=sb://{details.host}:{details.port};{key};"
            "UseDevelopmentEmulator=true"
        )
        return options
    options["conn_str"] = f"Endpoint=sb://{details.host}/;{key}"
    if details.port != AMQPS_PORT:
        # With TLS, the library ignores a port in the endpoint.
        options["custom_endpoint_address"] = f"sb://{details.host}:{details.port}"
        options["transport_type"] = TransportType.Amqp
    return options
