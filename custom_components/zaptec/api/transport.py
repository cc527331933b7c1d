"""The way of every request: its pace, its repetition, and its errors."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import IntEnum
import heapq
from http import HTTPStatus
from itertools import count
import json
import math
import random
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import aiohttp

from .action import ACTION_TIMEOUT, Deadline, current_deadline, is_automatic
from .errors import (
    ZaptecAuthenticationError,
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
from .parsing import parse_float, parse_int, parse_uuid, parse_words

if TYPE_CHECKING:
    from .auth import TokenSource

# The vendor allows an account 10 requests in any second (API usage guidelines).
# The window is a little longer than that, for two clocks that differ.
REQUEST_LIMIT = 10
REQUEST_WINDOW = 1.02

# How many requests may be under way beside those that only a command may use:
# answers that do not come must not keep a person waiting.
RESERVED_FOR_COMMANDS = 2

# All times are in seconds.
CONNECT_TIMEOUT = 10.0
REQUEST_TIMEOUT = 15.0

# Longest time for a command and its repetitions, without the wait for its slot.
COMMAND_TIMEOUT = 15.0

# Longest wait of a command for its slot. At the latency of the real cloud (0.4 s) the
# rate limit lets 7 requests a second through, so 500 commands at once take 71 s.
QUEUE_TIMEOUT = 120.0

# Share of the time left that a connection may take. It has to end before the time
# does: then it is known that the request was not sent.
_CONNECT_SHARE = 0.9

# Share of a command's time at its end in which nothing is sent again: a connection and
# an answer need some time, too.
_LAST_SHARE = 0.1

READ_RETRIES = 3
BACKOFF_BASE = 0.5
BACKOFF_MAX = 8.0
RETRY_AFTER_MAX = 3600.0

# A longer pause is the caller's to keep, who knows whether anybody waits.
READ_PAUSE_MAX = 10.0

# The largest answers, a page of a long history and the state of a charger whose signed
# session lasted for months, are less than a quarter of this.
RESPONSE_SIZE_MAX = 8 * 1024 * 1024

# Largest answer that is parsed in the event loop (octets); it takes a few milliseconds.
# Larger ones are parsed in a thread.
PARSE_INLINE_MAX = 64 * 1024

DETAILS_LENGTH_MAX = 200

_PASSING_STATUS = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_BUSY_STATUS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_CLOUDFLARE_STATUS = range(520, 530)

# What a captive portal or a proxy that wants a sign-in of its own answers with. The
# vendor's cloud redirects nothing.
_PORTAL_STATUS = (
    *range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST),
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED,
)

# The vendor's code for an object that does not exist, or is not shown.
UNKNOWN_OBJECT = 512


class Priority(IntEnum):
    """Who goes first when requests have to wait.

    While the cloud asks for a pause, only commands are sent, and the sign-in that a
    command needs. `AUTOMATIC` is for commands that no user has just asked for.
    """

    SIGN_IN = 0
    COMMAND = 1
    AUTOMATIC = 2
    FIRST_STATE = 3
    BACKGROUND = 4


def _is_pausable(priority: Priority) -> bool:
    """Return whether a request has to wait until a pause of the cloud is over."""
    return priority > Priority.COMMAND


@dataclass(order=True, slots=True)
class _QueuedRequest:
    """A request that waits for its slot; the least is the most urgent."""

    priority: Priority
    number: int
    slot: asyncio.Future[None] = field(compare=False)
    pause_priority: Callable[[], Priority] = field(compare=False)


class RateLimiter:
    """Lets so many requests through per window of time, the most urgent first.

    When a request arrives at the cloud is unknown: at some moment between its
    being sent and its being answered. So a new one is sent when fewer than the
    limit are under way or were answered within the window, and then no window
    of the cloud's can hold more, however long each was on its way.
    """

    def __init__(
        self, limit: int = REQUEST_LIMIT, window: float = REQUEST_WINDOW
    ) -> None:
        """Initialize the limiter.

        Args:
            limit: How many requests a window may hold.
            window: Seconds, by the loop's clock.

        """
        self._limit = limit
        self._window = window
        # Where there is one place only, a command waits for it like the rest.
        self._reserved = min(RESERVED_FOR_COMMANDS, limit - 1)
        self._in_flight = 0
        self._released_at: deque[float] = deque()
        self._queue: list[_QueuedRequest] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until = -math.inf
        # When a request was answered last, by the loop's clock.
        self._last_response_at = -math.inf

    def pause(self, seconds: float) -> None:
        """Send only what the user asks for, because the cloud asks for a pause.

        Requests that wait for their slot fail at once: at that time, the pause may
        not be over.
        """
        until = asyncio.get_running_loop().time() + seconds
        self._paused_until = max(self._paused_until, until)
        for request in list(self._queue):
            if self.pause_left(request.pause_priority()) and not request.slot.done():
                self._queue.remove(request)
                request.slot.set_exception(self._pause_error())
        heapq.heapify(self._queue)
        self._schedule_release()

    def pause_left(self, priority: Priority) -> float:
        """Return the seconds until a request of this priority may be sent again."""
        if not _is_pausable(priority):
            return 0.0
        return max(0.0, self._paused_until - asyncio.get_running_loop().time())

    def check_pause(self, priority: Priority) -> None:
        """Refuse a request that must not be sent now.

        Raises:
            ZaptecBusyError: The cloud asks for a pause.

        """
        if self.pause_left(priority):
            raise self._pause_error()

    def _pause_error(self) -> ZaptecBusyError:
        """Return what a request fails with during a pause."""
        return ZaptecBusyError(
            "The cloud has asked for a pause", self.pause_left(Priority.BACKGROUND)
        )

    @asynccontextmanager
    async def slot(
        self,
        priority: Priority,
        *,
        deadline: Deadline | None = None,
        pause_priority: Callable[[], Priority] | None = None,
    ) -> AsyncIterator[None]:
        """Wait for a request's slot; the request lasts as long as the context.

        Args:
            priority: How urgent it is.
            deadline: That of the request. It is postponed by the wait; the one around
                it only as long as other requests are answered meanwhile.
            pause_priority: Returns as what it counts when the cloud asks for a pause, if
                not as its priority.

        Raises:
            ZaptecBusyError: The cloud asks for a pause.
            ZaptecNotSentError: The slot did not come in time.

        """
        if pause_priority is None:

            def pause_priority() -> Priority:
                return priority

        self.check_pause(pause_priority())
        await self._acquire(priority, deadline, pause_priority)
        if self.pause_left(pause_priority()):
            # The pause has begun between the moment of its slot and now.
            self._in_flight -= 1
            self._release()
            raise self._pause_error()
        has_response = False
        try:
            yield
            has_response = True
        finally:
            now = asyncio.get_running_loop().time()
            if has_response:
                self._last_response_at = now
            self._in_flight -= 1
            self._released_at.append(now)
            _keep_for_a_while(self, now)
            self._release()

    async def _acquire(
        self,
        priority: Priority,
        deadline: Deadline | None,
        pause_priority: Callable[[], Priority],
    ) -> None:
        """Wait until there is room for another request."""
        if not self._queue and self._has_room(priority):
            self._in_flight += 1
            return
        slot = asyncio.get_running_loop().create_future()
        request = _QueuedRequest(priority, next(self._numbers), slot, pause_priority)
        heapq.heappush(self._queue, request)
        self._release()
        try:
            await self._wait(slot, deadline)
            # It may have failed because of a pause.
            slot.result()
        except asyncio.CancelledError, ZaptecNotSentError:
            if request in self._queue:
                self._queue.remove(request)
                heapq.heapify(self._queue)
                self._schedule_release()
            elif slot.exception() is None:
                # Cancelled after its slot had come: it goes to the next one.
                self._in_flight -= 1
                self._release()
            raise

    async def _wait(
        self, slot: asyncio.Future[None], deadline: Deadline | None
    ) -> None:
        """Wait for a slot, as long as the deadline allows, and postpone it."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        if deadline is None:
            await asyncio.wait([slot])
            return
        outer = deadline.outer
        outer_at = math.inf if outer is None else outer.at
        while True:
            moved = max(0.0, self._last_response_at - began_at)
            if outer is not None:
                outer.postpone(outer_at + moved)
            if slot.done():
                break
            latest = min(began_at + QUEUE_TIMEOUT, outer_at + moved)
            if (left := latest - loop.time()) <= 0:
                raise ZaptecNotSentError("Too many requests had to be sent before it")
            await asyncio.wait([slot], timeout=left)
        deadline.extend(loop.time() - began_at)

    def _has_room(self, priority: Priority) -> bool:
        """Return whether a request could be sent now."""
        horizon = asyncio.get_running_loop().time() - self._window
        while self._released_at and self._released_at[0] <= horizon:
            self._released_at.popleft()
        if self._in_flight + len(self._released_at) >= self._limit:
            return False
        return (
            not _is_pausable(priority) or self._in_flight < self._limit - self._reserved
        )

    def _release(self) -> None:
        """Let the most urgent requests through, as many as there is room for."""
        while self._queue and self._has_room(self._queue[0].priority):
            slot = heapq.heappop(self._queue).slot
            if not slot.done():
                slot.set_result(None)
                self._in_flight += 1
        self._schedule_release()

    def _schedule_release(self) -> None:
        """Look again when the oldest answer leaves the window, if anyone waits."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._queue and self._released_at:
            self._timer = asyncio.get_running_loop().call_at(
                self._released_at[0] + self._window, self._release
            )


_limiters: WeakValueDictionary[tuple[str, str, int, float], RateLimiter] = (
    WeakValueDictionary()
)


# Those that were in use a moment ago. An account that is reloaded must not forget what
# it has just requested, although for that moment nobody holds its limiter.
_recent: dict[RateLimiter, float] = {}


def _keep_for_a_while(limiter: RateLimiter, now: float) -> None:
    """Hold a limiter until its window has passed, and let go the others."""
    _recent[limiter] = now
    for other, used_at in list(_recent.items()):
        if other is not limiter and not 0 <= now - used_at <= REQUEST_WINDOW:
            del _recent[other]


def limiter_for(
    base_url: str,
    user_name: str,
    limit: int = REQUEST_LIMIT,
    window: float = REQUEST_WINDOW,
) -> RateLimiter:
    """Return the limiter of an account, the same one as long as it is in use.

    The limit is the account's, however many clients sign in to it.
    """
    key = (base_url, user_name.strip().lower(), limit, window)
    if (limiter := _limiters.get(key)) is None:
        limiter = _limiters[key] = RateLimiter(limit, window)
    return limiter


@dataclass(slots=True)
class Waits:
    """How long requests waited for their slot (seconds)."""

    count: int = 0
    total: float = 0.0
    longest: float = 0.0

    def add(self, count: int, total: float, longest: float) -> None:
        """Add other waits to these."""
        self.count += count
        self.total += total
        self.longest = max(self.longest, longest)


@dataclass(slots=True)
class _Minute:
    """What was requested within a minute."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    waits: dict[Priority, Waits] = field(default_factory=dict)
    retries: int = 0


@dataclass(slots=True)
class Statistics:
    """What was requested, for diagnostics; never with an id, only with templates.

    The last hour is kept by the minute, so that it takes little memory however
    many requests there are.
    """

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """By method, endpoint, and status; 0 where there was no answer."""
    retries: int = 0
    """How often a request was sent again after a fault."""
    last_error: str | None = None
    last_error_at: datetime | None = None
    _minutes: dict[int, _Minute] = field(default_factory=dict)
    # When the cloud has served or failed each endpoint last (monotonic seconds).
    _succeeded_at: dict[str, float] = field(default_factory=dict)
    _failed_at: dict[str, float] = field(default_factory=dict)

    def count(self, method: str, endpoint: str, status: int) -> None:
        """Count a request; the status is 0 where there was no answer."""
        self.requests[method, endpoint, status] += 1
        self._minute().requests[method, endpoint, status] += 1
        if not status or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._failed_at[endpoint] = monotonic()

    def serve(self, endpoint: str, *, is_served: bool) -> None:
        """Note whether an answer was what was asked for, whatever its status."""
        times = self._succeeded_at if is_served else self._failed_at
        times[endpoint] = monotonic()

    def was_served_since(self, moment: float, *, but: Collection[str]) -> bool | None:
        """Return whether the cloud has served requests after a monotonic moment.

        Args:
            moment: Monotonic seconds.
            but: Endpoints that do not count.

        Returns:
            True if any request succeeded, False if the cloud failed with all of
            them, None if there was none.

        """

        def is_newer(times: Mapping[str, float]) -> bool:
            return any(
                at > moment for endpoint, at in times.items() if endpoint not in but
            )

        if is_newer(self._succeeded_at):
            return True
        return False if is_newer(self._failed_at) else None

    def count_retry(self) -> None:
        """Count that a request is sent again."""
        self.retries += 1
        self._minute().retries += 1

    def count_wait(self, priority: Priority, seconds: float) -> None:
        """Count the wait of a request for its slot."""
        self._minute().waits.setdefault(priority, Waits()).add(1, seconds, seconds)

    def failed(self, error: str) -> None:
        """Keep the last error, in words fit for a log."""
        self.last_error = error
        self.last_error_at = datetime.now(UTC)

    def requests_last_hour(self) -> Counter[tuple[str, str, int]]:
        """Return the requests of the last hour, as `requests`."""
        requests: Counter[tuple[str, str, int]] = Counter()
        for minute in self._last_hour():
            requests.update(minute.requests)
        return requests

    def retries_last_hour(self) -> int:
        """Return how often a request was sent again in the last hour."""
        return sum(minute.retries for minute in self._last_hour())

    def waits_last_hour(self) -> dict[Priority, Waits]:
        """Return the waits of the last hour, those that took no time too."""
        waits: dict[Priority, Waits] = {}
        for minute in self._last_hour():
            for priority, item in minute.waits.items():
                waits.setdefault(priority, Waits()).add(
                    item.count, item.total, item.longest
                )
        return waits

    def _minute(self) -> _Minute:
        """Return the present minute, and drop those that are over an hour old."""
        now = int(monotonic() // 60)
        if now not in self._minutes:
            for minute in [key for key in self._minutes if key <= now - 60]:
                del self._minutes[minute]
            self._minutes[now] = _Minute()
        return self._minutes[now]

    def _last_hour(self) -> list[_Minute]:
        """Return the minutes of the last hour in which anything happened."""
        now = int(monotonic() // 60)
        return [item for key, item in self._minutes.items() if key > now - 60]


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


class Requester:
    """Requests on behalf of an account, repeated where that is harmless."""

    def __init__(self, transport: Transport, token_source: TokenSource) -> None:
        """Initialize the requester."""
        self._transport = transport
        self._token_source = token_source

    @property
    def statistics(self) -> Statistics:
        """Return what was requested so far."""
        return self._transport.statistics

    async def request(
        self,
        method: str,
        path: str,
        *,
        object_id: str | None = None,
        params: Mapping[str, str | int] | None = None,
        json: object = None,
        priority: Priority = Priority.BACKGROUND,
        authenticated: bool = True,
        reads: bool | None = None,
        repeats: bool = True,
        parse: Callable[[Any], Any] = lambda document: document,
    ) -> Any:
        """Send a request; return what it asks for, or None for a write.

        Args:
            method: The HTTP method.
            path: The path, with `{id}` where the object's id belongs.
            object_id: The object's id.
            params: What follows the path.
            json: The body.
            priority: How urgent it is.
            authenticated: Whether it needs a token.
            reads: Whether it changes nothing: then it is repeated after any
                fault that may pass, and has to return a document. Otherwise it
                is repeated only if it certainly was not carried out, and is given
                up 15 s after its slot has come. By default it is what the method
                tells.
            repeats: Whether it is sent again after a fault that may pass.
            parse: What makes a model of the document; a large one is parsed in a
                thread.

        Raises:
            ValueError: The id is no UUID, or `parse` refuses the document.
            ZaptecError: The request failed; the subclass tells how.

        """
        if object_id is not None and (object_id := parse_uuid(object_id)) is None:
            raise ValueError("An id has to be a UUID")
        if priority is Priority.COMMAND and is_automatic():
            priority = Priority.AUTOMATIC
        if reads is None:
            reads = method == "GET"
        action = current_deadline()
        deadline: Deadline | None = None
        if not reads:
            deadline = Deadline(COMMAND_TIMEOUT, action)
        elif action is not None or priority <= Priority.AUTOMATIC:
            deadline = Deadline(ACTION_TIMEOUT, action)

        async def send(token: str | None) -> Response:
            return await self._transport.send(
                method,
                path,
                priority=priority,
                object_id=object_id or "",
                token=token,
                params=params,
                json_body=json,
                deadline=deadline,
            )

        async def attempt() -> Response:
            if authenticated:
                return await self._send_signed_in(send, priority, deadline)
            return await send(None)

        retries = 0 if not repeats else READ_RETRIES if reads else None
        try:
            response = await self._repeat(
                attempt, deadline, reads=reads, retries=retries
            )
        except ZaptecServerError as err:
            if not reads and err.status == HTTPStatus.UNAUTHORIZED:
                # Without a token that it accepts, the cloud carries nothing out.
                raise ZaptecNotSentError(str(err)) from err
            raise
        if not reads:
            if response.is_page:
                # Of the vendor's answers to a write, none is a page.
                raise ZaptecInterceptedError
            self.statistics.serve(path, is_served=True)
            return None
        if response.status == HTTPStatus.NO_CONTENT or not response.body.strip():
            # Since September 2025 a read without permission returns 204, or nothing.
            raise ZaptecPermissionError("The cloud does not show this document")
        try:
            if len(response.body) > PARSE_INLINE_MAX:
                document = await asyncio.to_thread(lambda: parse(response.document()))
            else:
                document = parse(response.document())
        except ValueError, ZaptecError:
            self.statistics.serve(path, is_served=False)
            raise
        self.statistics.serve(path, is_served=True)
        return document

    async def _repeat(
        self,
        attempt: Callable[[], Awaitable[Response]],
        deadline: Deadline | None,
        *,
        reads: bool,
        retries: int | None,
    ) -> Response:
        """Send until it succeeds, as long as that is harmless and may help.

        Args:
            attempt: What sends it once.
            deadline: When it is given up.
            reads: Whether it changes nothing.
            retries: How often it may be sent again, None: until the deadline.

        """
        reason: BaseException | None = None
        for failures in count():
            try:
                response = await attempt()
                if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                    return response
                raise response.error()
            except ZaptecError as err:
                delay = _delay(err, failures)
                if (
                    not _may_repeat(err, reads=reads)
                    or failures == retries
                    or (reads and delay > READ_PAUSE_MAX)
                    or (
                        deadline is not None
                        and delay > deadline.left - COMMAND_TIMEOUT * _LAST_SHARE
                    )
                ):
                    if isinstance(err, ZaptecNotSentError) and not err.__cause__:
                        # It may only have had no time left for another sign-in.
                        raise err from reason
                    raise
                reason = err.__cause__
            await asyncio.sleep(delay)
            self.statistics.count_retry()
        raise AssertionError  # pragma: no cover

    async def _send_signed_in(
        self,
        send: Callable[[str | None], Awaitable[Response]],
        priority: Priority,
        deadline: Deadline | None,
    ) -> Response:
        """Send once, and once more with a new token if the old one is refused."""
        # Without the request there is no need for a token.
        self._transport.check_pause(priority)
        token = await self._token(priority, deadline)
        response = await send(token)
        if response.status == HTTPStatus.UNAUTHORIZED:
            refused = token
            self._token_source.invalidate(token)
            token = await self._token(priority, deadline)
            # The same one again, if too many new ones were refused lately.
            if token != refused:
                response = await send(token)
                if response.status == HTTPStatus.UNAUTHORIZED:
                    self._token_source.invalidate(token)
        if response.status == HTTPStatus.UNAUTHORIZED:
            # The sign-in has just worked, so it is not the account's fault.
            raise ZaptecServerError(
                "The cloud refuses its own new token", response.status
            )
        return response

    async def _token(self, priority: Priority, deadline: Deadline | None) -> str:
        """Return a token.

        Raises:
            ZaptecAuthenticationError: User name or password are wrong.
            ZaptecBusyError: The cloud asks for a pause.
            ZaptecNotSentError: There is none for another reason. Without one nothing
                is sent, so the request may be repeated.

        """
        try:
            async with asyncio.timeout_at(deadline.at if deadline else None):
                return await self._token_source.token(priority)
        except TimeoutError:
            raise ZaptecNotSentError("The sign-in took too long") from None
        except ZaptecAuthenticationError:
            raise
        except ZaptecError as err:
            retry_after = err.retry_after if isinstance(err, ZaptecBusyError) else None
            raise ZaptecNotSentError(str(err), retry_after) from err


def _may_repeat(error: ZaptecError, *, reads: bool) -> bool:
    """Return whether a request that failed may be sent again."""
    if isinstance(error, (ZaptecNotSentError, ZaptecBusyError)):
        return True
    if isinstance(error, ZaptecServerError):
        return reads and (
            error.status in _PASSING_STATUS or error.status in _CLOUDFLARE_STATUS
        )
    return reads and isinstance(error, ZaptecConnectionError)


def _delay(error: ZaptecError, failures: int) -> float:
    """Return the seconds to wait before a request is sent again."""
    delay = random.uniform(0, min(BACKOFF_MAX, BACKOFF_BASE * 2**failures))
    if (
        isinstance(error, (ZaptecBusyError, ZaptecNotSentError))
        and error.retry_after is not None
    ):
        return max(delay, error.retry_after)
    return delay
