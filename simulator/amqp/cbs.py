"""Claims-based security: which links a peer may attach, and for how long.

Source: OASIS AMQP Claims-based Security 1.0, and "Azure Service Bus access control with Shared
Access Signatures".
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hmac import compare_digest, digest
import time
from urllib.parse import parse_qs, quote_plus, urlsplit

from .codec import AmqpError, Int
from .connection import Connection
from .message import Message
from .request import RequestNode

ADDRESS = "$cbs"
UNAUTHORIZED = "amqp:unauthorized-access"
_ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class Policy:
    """A shared access policy."""

    key_name: str
    key: str = field(repr=False)


class TokenError(Exception):
    """A token is refused, with an HTTP status."""

    def __init__(self, status: int, description: str) -> None:
        """Initialize the error."""
        super().__init__(status, description)
        self.status = status
        self.description = description


def path_of(address: str) -> str:
    """Return the path of an address or URI, in lower case, without slashes at its ends."""
    if "://" in address:
        address = urlsplit(address).path
    return address.strip("/").lower()


def covers(path: str, inner: str) -> bool:
    """Return whether a claim on a path holds for another one."""
    return not path or inner == path or inner.startswith(f"{path}/")


def verify(token: str, path: str, policy: Policy) -> float:
    """Return when a shared access signature for a path expires, in seconds of the epoch.

    Raises:
        TokenError: It is malformed, for another path, signed by another policy, or expired.
    """
    scheme, _, query = token.partition(" ")
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    if (
        scheme != "SharedAccessSignature"
        or not {"sr", "sig", "se", "skn"} <= fields.keys()
    ):
        raise TokenError(401, "InvalidSignature: The token is malformed")
    resource, expiry = fields["sr"], fields["se"]
    signed = digest(
        policy.key.encode(), f"{quote_plus(resource)}\n{expiry}".encode(), "sha256"
    )
    signature = fields["sig"].encode()
    if fields["skn"] != policy.key_name or not compare_digest(
        b64encode(signed), signature
    ):
        raise TokenError(401, "InvalidSignature: The token has an invalid signature")
    if not expiry.isdecimal() or int(expiry) <= time.time():
        raise TokenError(401, "ExpiredToken: The token is expired")
    if not covers(path_of(resource), path):
        raise TokenError(401, "InvalidAudience: The token is for something else")
    return int(expiry)


class CbsNode(RequestNode):
    """The claims of one connection."""

    def __init__(
        self, connection: Connection, authenticate: Callable[[str, str], float | None]
    ) -> None:
        """Initialize the node without claims.

        Args:
            connection: The connection whose links end with the claims.
            authenticate: Returns when a token for a path expires, None to never answer, or
                raises TokenError.
        """
        super().__init__()
        self._connection = connection
        self._authenticate = authenticate
        self._expiries: dict[str, asyncio.TimerHandle] = {}

    def authorize(self, path: str) -> None:
        """Check that there is a claim for a path.

        Raises:
            AmqpError: There is no claim.
        """
        if not any(covers(claimed, path) for claimed in self._expiries):
            raise AmqpError(UNAUTHORIZED, "There is no claim for this entity")

    def close(self) -> None:
        """Forget the claims."""
        for expiry in self._expiries.values():
            expiry.cancel()
        self._expiries.clear()

    def respond(self, request: Message) -> Message | None:
        """Respond to a token."""
        properties = request.application_properties
        name, token = properties.get("name"), request.value
        if properties.get("operation") != "put-token":
            return _response(501, "There is no such operation")
        if not isinstance(name, str) or not isinstance(token, str):
            return _response(400, "The request has no name or no token")
        path = path_of(name)
        try:
            expiry = self._authenticate(token, path)
        except TokenError as err:
            return _response(err.status, err.description)
        if expiry is None:
            return None
        self._claim(path, expiry)
        return _response(_ACCEPTED, "Accepted")

    def _claim(self, path: str, expiry: float) -> None:
        """Keep a claim until it expires; a new token extends it."""
        if held := self._expiries.get(path):
            held.cancel()
        self._expiries[path] = asyncio.get_running_loop().call_later(
            max(0, expiry - time.time()), self._expire, path
        )

    def _expire(self, path: str) -> None:
        del self._expiries[path]
        error = AmqpError(UNAUTHORIZED, "ExpiredToken: The token is expired")
        for link in self._connection.links:
            if covers(path, path_of(link.address)):
                link.close(error)


def _response(status: int, description: str) -> Message:
    return Message(
        application_properties={
            "status-code": Int(status),
            "status-description": description,
        }
    )
