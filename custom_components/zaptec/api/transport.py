"""One request: sent in its slot, counted, and what its response means."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
import json
import math
from time import monotonic
from typing import Any

import aiohttp

from .action import Deadline
from .errors import (
    ZaptecBusyError,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotFoundError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecResponseError,
    ZaptecServerError,
)
from .limiter import Priority, RateLimiter
from .parsing import parse_float, parse_int, parse_words
from .statistics import Statistics

# All times are in seconds.
CONNECT_TIMEOUT = 10.0
REQUEST_TIMEOUT = 15.0

# Share of the time left that a connection may take. It has to end before the time
# does: then it is known that the request was not sent.
_CONNECT_SHARE = 0.9

RETRY_AFTER_MAX = 3600.0

# The largest answers, a page of a long history and the state of a charger whose signed
# session lasted for months, are less than a quarter of this.
RESPONSE_SIZE_MAX = 8 * 1024 * 1024

DETAILS_LENGTH_MAX = 200

_BUSY_STATUS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

# What a captive portal or a proxy that wants a sign-in of its own answers with. The
# vendor's cloud redirects nothing.
_PORTAL_STATUS = (
    *range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST),
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED,
)

# The vendor's code for an object that does not exist, or is not shown.
UNKNOWN_OBJECT = 512


@dataclass(frozen=True, slots=True)
class Response:
    """What the cloud answered, whatever the status."""

    status: int
    body: bytes = field(repr=False)
    """With a token in it, perhaps."""
    retry_after: float | None = None

    @property
    def is_page(self) -> bool:
        """Return whether it is a page for a browser, which the vendor never sends."""
        return self.body.lstrip()[:1] == b"<"

    def document(self) -> Any:
        """Return the JSON.

        Raises:
            ZaptecInterceptedError: It is a page.
            ZaptecResponseError: It is no JSON for another reason.

        """
        if self.is_page:
            raise ZaptecInterceptedError
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as err:
            # The cause could show the body, and with it a token.
            raise ZaptecResponseError(
                f"The answer is no JSON ({type(err).__name__})"
            ) from None

    def error(self) -> ZaptecError:
        """Return what a status other than success means.

        Errors of the cloud are `{"Code", "Details"}` with 500, and since 2025
        `{"errorCode", "message"}` with 404.
        """
        if self.status in _PORTAL_STATUS:
            return ZaptecInterceptedError()
        try:
            document = self.document()
        except ZaptecResponseError:
            document = None
        if not isinstance(document, dict):
            document = {}
        code = parse_int(document.get("Code"))
        if code is None:
            code = parse_int(document.get("errorCode"))
        details = _words(document.get("Details")) or _words(document.get("message"))

        match self.status:
            case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
                return ZaptecBusyError(
                    f"The cloud is busy ({self.status})", self.retry_after
                )
            case HTTPStatus.FORBIDDEN:
                return ZaptecPermissionError("The account may not do this")
            case HTTPStatus.NOT_FOUND:
                return ZaptecNotFoundError("The cloud does not know this")
            case HTTPStatus.BAD_REQUEST | HTTPStatus.INTERNAL_SERVER_ERROR:
                if code == UNKNOWN_OBJECT:
                    return ZaptecNotFoundError("The cloud does not know this")
                if code is not None:
                    return ZaptecRejectedError(code, details)
                if self.status == HTTPStatus.BAD_REQUEST:
                    return ZaptecRejectedError(
                        self.status, details or _words(document.get("title"))
                    )
        return ZaptecServerError(
            f"The cloud answered with status {self.status}", self.status
        )


def _words(value: object) -> str | None:
    """Return what the cloud says, fit for a log or a screen."""
    return parse_words(value, DETAILS_LENGTH_MAX)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date."""
    if value is None:
        return None
    seconds = parse_float(value)
    if seconds is None:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_MAX)


async def _read_body(response: aiohttp.ClientResponse, size_max: int) -> bytes:
    """Return the body of an answer, unless it is suspiciously large."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > size_max:
            raise ZaptecResponseError("The answer is too large")
    return bytes(body)


def _time_left(deadline: Deadline | None, longest: float) -> float:
    """Return how long a request may take (s).

    Raises:
        ZaptecNotSentError: There is no time left to send it.

    """
    if deadline is None:
        return longest
    if (left := deadline.left) <= 0:
        raise ZaptecNotSentError("There was no time left to send it")
    return min(longest, left)


class _ConnectionLostError(aiohttp.ClientConnectionError):
    """A connection has ended; its text is aiohttp's name for that."""


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once, as a middleware of aiohttp's.

    By itself aiohttp sends a GET again whose connection was reset: beyond the limit,
    and uncounted.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as err:
        raise _ConnectionLostError(type(err).__name__) from None


class Transport:
    """The way to the cloud: each request in its slot, and counted."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        limiter: RateLimiter,
        *,
        base_url: str,
        user_agent: str,
        statistics: Statistics | None = None,
    ) -> None:
        """Initialize the transport.

        Args:
            session: Where connections come from.
            limiter: The pace of the account.
            base_url: Where the cloud is, without a slash at the end.
            user_agent: Who we say we are; the vendor asks for a descriptive one
                (API fair use policy).
            statistics: Where to count.

        """
        self._session = session
        self._limiter = limiter
        self._base_url = base_url
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        self.statistics = statistics or Statistics()

    def check_pause(self, priority: Priority) -> None:
        """Refuse a request that must not be sent now.

        Raises:
            ZaptecBusyError: The cloud asks for a pause.

        """
        self._limiter.check_pause(priority)

    async def send(
        self,
        method: str,
        endpoint: str,
        *,
        priority: Priority,
        object_id: str = "",
        token: str | None = None,
        params: Mapping[str, str | int] | None = None,
        json_body: object = None,
        form: Mapping[str, str] | None = None,
        deadline: Deadline | None = None,
        timeout: float | None = None,
        pause_priority: Callable[[], Priority] | None = None,
    ) -> Response:
        """Send a request once, and return the answer whatever its status.

        Args:
            method: The HTTP method.
            endpoint: The path, with `{id}` where the object's id belongs.
            priority: How urgent it is.
            object_id: The object's id.
            token: The bearer token.
            params: What follows the path.
            json_body: The body, as JSON.
            form: The body, as a form.
            deadline: When it is given up.
            timeout: How long the answer may take (s).
            pause_priority: Returns as what it counts in a pause, if not as its priority.

        Raises:
            ZaptecBusyError: The cloud has asked for a pause, so it was not sent.
            ZaptecNotSentError: There was no connection, or no time left for it.
            ZaptecConnectionError: There was no answer.
            ZaptecResponseError: The answer is too large.

        """
        headers = self._headers
        if token is not None:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        asked_at = monotonic()
        async with self._limiter.slot(
            priority, deadline=deadline, pause_priority=pause_priority
        ):
            self.statistics.count_wait(priority, monotonic() - asked_at)
            response = await self._send(
                method,
                endpoint,
                # Read only now: the wait for the slot has postponed it.
                _time_left(deadline, REQUEST_TIMEOUT if timeout is None else timeout),
                url=f"{self._base_url}{endpoint.format(id=object_id)}",
                params=params,
                json=json_body,
                data=form,
                headers=headers,
            )
        if response.status in _BUSY_STATUS and response.retry_after:
            self._limiter.pause(response.retry_after)
        return response

    async def _send(
        self, method: str, endpoint: str, seconds: float, **request: Any
    ) -> Response:
        """Send a request that has a slot; give it up after so many seconds."""
        status = 0
        fault: str | None = None
        try:
            async with self._session.request(
                method,
                **request,
                middlewares=(_send_once,),
                # A redirect must not carry the token elsewhere.
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=seconds,
                    connect=min(CONNECT_TIMEOUT, seconds * _CONNECT_SHARE),
                    # By itself aiohttp rounds long times up to a whole second.
                    ceil_threshold=math.inf,
                ),
            ) as response:
                status = response.status
                body = await _read_body(response, RESPONSE_SIZE_MAX)
                if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                    fault = str(status)
                return Response(
                    status, body, _retry_after(response.headers.get("Retry-After"))
                )
        except (TimeoutError, aiohttp.ClientError, OSError) as err:
            self.statistics.serve(endpoint, is_served=False)
            fault = (
                str(err)
                if isinstance(err, _ConnectionLostError)
                else type(err).__name__
            )
            # The texts of these errors hold hosts and addresses.
            if isinstance(
                err, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
            ):
                raise ZaptecNotSentError(
                    f"The cloud can't be reached ({fault})"
                ) from None
            if isinstance(err, TimeoutError):
                raise ZaptecConnectionError(
                    "The cloud did not answer in time"
                ) from None
            raise ZaptecConnectionError(
                f"The connection to the cloud was lost ({fault})"
            ) from None
        except ZaptecResponseError:
            fault = "too large"
            raise
        finally:
            self.statistics.count(method, endpoint, status)
            if fault:
                self.statistics.failed(f"{method} {endpoint}: {fault}")
