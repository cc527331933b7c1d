"""Sends one request in its slot, counts it, and interprets the response."""

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

# Share of the remaining time that establishing a connection may take. The connection
# attempt has to time out before the request does: only then it is certain that the
# request was not sent.
_CONNECT_SHARE = 0.9

# Maximum of a Retry-After header; longer ones are shortened.
RETRY_AFTER_MAX = 3600.0

# Maximum size of a response (octets). The largest known ones, a page of a long history
# and the state of a charger whose signed session lasted for months, have less than a
# quarter of it.
RESPONSE_SIZE_MAX = 8 * 1024 * 1024

# Maximum number of characters that are shown of the vendor's own error texts.
DETAILS_LENGTH_MAX = 200

_BUSY_STATUS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

# Statuses of a captive portal, or of a proxy that requires its own sign-in. The
# vendor's cloud never redirects.
_PORTAL_STATUS = (
    *range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST),
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED,
)

# The vendor's error code for an object that does not exist, or that the account may not
# see.
UNKNOWN_OBJECT = 512


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the cloud, whatever its status."""

    status: int
    body: bytes = field(repr=False)
    """May contain a token, so it is left out of the representation."""
    retry_after: float | None = None

    @property
    def is_page(self) -> bool:
        """Return whether it is a web page, which the vendor never sends."""
        return self.body.lstrip()[:1] == b"<"

    def document(self) -> Any:
        """Return the JSON document.

        Raises:
            ZaptecInterceptedError: The body is a web page.
            ZaptecResponseError: The body is not JSON for another reason.

        """
        if self.is_page:
            raise ZaptecInterceptedError
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as err:
            # The cause is dropped: it contains the body, which may contain a token.
            raise ZaptecResponseError(
                f"The response is not JSON ({type(err).__name__})"
            ) from None

    def error(self) -> ZaptecError:
        """Return the error that a status other than success stands for.

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
    """Return a text of the cloud, safe to log and to show."""
    return parse_words(value, DETAILS_LENGTH_MAX)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which is a number or a date."""
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
    """Return the body of a response.

    Raises:
        ZaptecResponseError: The body is larger than `size_max` (octets).

    """
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > size_max:
            raise ZaptecResponseError("The response is too large")
    return bytes(body)


def _time_left(deadline: Deadline | None, longest: float) -> float:
    """Return the longest time that a request may take (s).

    Raises:
        ZaptecNotSentError: The deadline is over.

    """
    if deadline is None:
        return longest
    if (left := deadline.left) <= 0:
        raise ZaptecNotSentError("There was no time left to send it")
    return min(longest, left)


class _ConnectionLostError(aiohttp.ClientConnectionError):
    """The connection was lost; the text is the name of aiohttp's error."""


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once; this is a middleware for aiohttp.

    aiohttp 3 retries a GET whose connection was reset. Such a retry would bypass the
    rate limit and the statistics, so the error is replaced by one that aiohttp does
    not retry.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as err:
        raise _ConnectionLostError(type(err).__name__) from None


class Transport:
    """Sends each request in its slot, and counts it."""

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
            session: The session that opens connections.
            limiter: The rate limiter of the account.
            base_url: The URL of the cloud, without a slash at the end.
            user_agent: The user agent; the vendor asks for a descriptive one (API fair
                use policy).
            statistics: The statistics to add to, by default new ones.

        """
        self._session = session
        self._limiter = limiter
        self._base_url = base_url
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        self.statistics = statistics or Statistics()

    def check_pause(self, priority: Priority) -> None:
        """Raise an error if a request must not be sent at the moment.

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
        """Send a request once, and return the response whatever its status.

        Args:
            method: The HTTP method.
            endpoint: The path, with `{id}` in place of the object's id.
            priority: The priority among queued requests.
            object_id: The id of the object.
            token: The bearer token.
            params: The query parameters.
            json_body: The body, to be sent as JSON.
            form: The body, to be sent as a form.
            deadline: The time at which the request is given up.
            timeout: Longest time from the slot to the end of the response (s).
            pause_priority: Returns the priority that decides whether a pause holds the
                request back; by default this is `priority`.

        Raises:
            ZaptecBusyError: The cloud asks for a pause, so the request was not sent.
            ZaptecNotSentError: There was no connection, or no time left to send it.
            ZaptecConnectionError: There was no response.
            ZaptecResponseError: The response is too large.

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
                # Calculated after the wait for the slot, which postpones the deadline.
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
        """Send a request that has a slot; give it up after a time (s)."""
        status = 0
        fault: str | None = None
        try:
            async with self._session.request(
                method,
                **request,
                middlewares=(_send_once,),
                # A redirect would send the token to another address.
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=seconds,
                    connect=min(CONNECT_TIMEOUT, seconds * _CONNECT_SHARE),
                    # aiohttp rounds times above 5 s up to a whole second otherwise.
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
            self.statistics.record_result(endpoint, is_served=False)
            fault = (
                str(err)
                if isinstance(err, _ConnectionLostError)
                else type(err).__name__
            )
            # The texts of these errors are dropped: they contain hosts and addresses.
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
                self.statistics.record_error(f"{method} {endpoint}: {fault}")
