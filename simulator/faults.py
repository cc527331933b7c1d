"""Faults of the REST service, on demand."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
import re
import socket
import struct
from typing import Literal

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Rejection:
    """A response of status 500 with a code and a text.

    Attributes:
        code: The vendor's ErrorCode; None for a response without a document.
        details: The vendor's text.
    """

    code: int | None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """A response of status 429 that asks for a pause (s)."""

    retry_after: int


# A status is answered with the vendor's body. "reset": the connection is reset. "hang": no answer.
# "html": 200 with a page. "truncated": the connection ends in the middle of the body.
# "malformed": 200 with half a JSON text. "empty": 204. "redirect": 302 to another server.
# "giant": a body without an end. "drip": one octet a second, without an end.
type Fault = (
    int
    | Rejection
    | Busy
    | Literal[
        "reset",
        "hang",
        "html",
        "truncated",
        "malformed",
        "empty",
        "redirect",
        "giant",
        "drip",
    ]
)
FAULT_NAMES = (
    "reset",
    "hang",
    "html",
    "truncated",
    "malformed",
    "empty",
    "redirect",
    "giant",
    "drip",
)
STATUSES = (400, 401, 403, 404, 429, 500, 502, 503, 504, 524)

# Target of a redirect: a server that clients must not contact.
REDIRECT_TARGET = "https://example.invalid/"
_GIANT_CHUNK = b" " * (1 << 20)
# Interval between two octets of a body that drips (s).
_DRIP_INTERVAL = 1.0

_NGINX = {
    502: "502 Bad Gateway",
    503: "503 Service Temporarily Unavailable",
    504: "504 Gateway Time-out",
}


@dataclass(slots=True)
class Rule:
    """Which requests fail, how, and how many more times (None: until healed)."""

    path: re.Pattern[str]
    method: str | None
    fault: Fault
    times: int | None


class Faults:
    """The rules in force; the first that matches a request is applied."""

    def __init__(self) -> None:
        """Initialize without rules."""
        self._rules: list[Rule] = []
        self._healed = asyncio.Event()

    @property
    def active(self) -> list[str]:
        """The rules in force, as text."""
        return [
            f"{rule.method or 'any'} {rule.path.pattern}: {rule.fault}"
            + (f" ({rule.times} times)" if rule.times is not None else "")
            for rule in self._rules
        ]

    def add(
        self, path: str, method: str | None, fault: Fault, times: int | None
    ) -> None:
        """Add a rule.

        Raises:
            ValueError: No such fault, or the pattern is no regular expression.
        """
        if (
            fault not in FAULT_NAMES
            and not isinstance(fault, (Rejection, Busy))
            and not (isinstance(fault, int) and 400 <= fault < 600)
        ):
            raise ValueError(f"No such fault: {fault}")
        try:
            pattern = re.compile(path, re.IGNORECASE)
        except re.error as err:
            raise ValueError(f"Not a regular expression: {path}") from err
        self._rules.append(Rule(pattern, method and method.upper(), fault, times))

    def heal(self) -> None:
        """Remove the rules, and end the requests that hang."""
        self._rules.clear()
        self._healed.set()
        self._healed = asyncio.Event()

    def take(self, method: str, *paths: str) -> Fault | None:
        """Return the fault for a request, and count its use.

        Args:
            method: The HTTP method.
            paths: The path, and others that a rule may name instead.
        """
        for rule in self._rules:
            if rule.method in (None, method) and any(map(rule.path.search, paths)):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                return rule.fault
        return None

    async def apply(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        """Answer a request with a fault."""
        match fault:
            case "reset":
                reset(request)
                return web.Response()
            case "hang":
                await self._healed.wait()
                reset(request)
                return web.Response()
            case "html":
                return html("<html><body><h1>Maintenance</h1></body></html>", 200)
            case "truncated":
                response = web.StreamResponse()
                response.content_type = "application/json"
                response.content_length = 4096
                await response.prepare(request)
                await response.write(b'{"Pages":1,"Data":[{"Id":"')
                reset(request)
                return response
            case "malformed":
                return web.Response(
                    text='{"Pages":1,"Data":[{"Id":', content_type="application/json"
                )
            case "empty":
                return web.Response(status=204)
            case "redirect":
                return web.Response(status=302, headers={"Location": REDIRECT_TARGET})
            case "giant":
                return await self._endless(request, _GIANT_CHUNK, 0.0)
            case "drip":
                return await self._endless(request, b" ", _DRIP_INTERVAL)
            case Rejection(code=int() as code, details=details):
                return rejection(code, details)
            case Busy(retry_after=seconds):
                headers = {"Retry-After": str(seconds)}
                return web.Response(status=429, headers=headers)
            case Rejection():
                return web.Response(status=500)
            case _:
                return failure(int(fault), token=request.path == "/oauth/token")

    async def _endless(
        self, request: web.Request, chunk: bytes, interval: float
    ) -> web.StreamResponse:
        """Send white space until the client disconnects or the fault is healed."""
        healed = self._healed
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        with suppress(ConnectionError):
            while not healed.is_set():
                await response.write(chunk)
                with suppress(TimeoutError):
                    async with asyncio.timeout(interval):
                        await healed.wait()
        reset(request)
        return response


def failure(status: int, *, token: bool = False) -> web.Response:
    """Return the vendor's answer of a status."""
    match status:
        case 400 if token:
            return web.json_response({"error": "invalid_grant"}, status=400)
        case 400:
            return rejection(529, "Invalid request", status=400)
        case 404:
            return not_found("Charger not found.")
        case 429:
            return web.Response(status=429, headers={"Retry-After": "1"})
        case 500:
            return rejection(500, None)
        case 502 | 503 | 504:
            return nginx(status)
        case 524:
            return html("<html><title>524: A timeout occurred</title></html>", 524)
        case _:
            return web.Response(status=status)


def rejection(code: int, details: str | None, *, status: int = 500) -> web.Response:
    """Return the vendor's error document: Code and Details."""
    return web.json_response(
        {"Code": code, "Details": details, "StackTrace": None}, status=status
    )


def not_found(message: str) -> web.Response:
    """Return the other error document, of 404.

    Source: vendor's "API changes: what you need to know".
    """
    return web.json_response({"errorCode": 512, "message": message}, status=404)


def nginx(status: int) -> web.Response:
    """Return the page of the server in front of the service."""
    title = _NGINX[status]
    return html(
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<center><h1>{title}</h1>"
        "</center>\n<hr><center>nginx/1.29.0</center>\n</body>\n</html>\n",
        status,
    )


def html(text: str, status: int) -> web.Response:
    """Return a page instead of JSON."""
    return web.Response(text=text, status=status, content_type="text/html")


def reset(request: web.Request) -> None:
    """End the connection with a TCP reset."""
    if request.transport is None:
        return
    abort(request.transport)


def abort(transport: asyncio.BaseTransport) -> None:
    """Abort a connection so that the peer sees a reset at once."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
