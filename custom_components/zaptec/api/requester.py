"""Requests on behalf of an account, with token, retries, and time limit."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
import random
from typing import Any

from .action import ACTION_TIMEOUT, Deadline, current_deadline, is_automatic
from .auth import TokenSource
from .errors import (
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecServerError,
)
from .limiter import Priority
from .parsing import parse_uuid
from .statistics import Statistics
from .transport import Response, Transport

# All times are in seconds.

# Longest time for a command and its retries, not counting the wait for its slots.
COMMAND_TIMEOUT = 15.0

# Share of a command's time, at its end, in which no retry begins. A connection and a
# response need some time, too.
_LAST_SHARE = 0.1

# Maximum number of retries of a read; the delay before each is random, and its bound
# doubles from base to maximum.
READ_RETRIES = 3
BACKOFF_BASE = 0.5
BACKOFF_MAX = 8.0

# Longer Retry-After values are raised to the caller instead of waited for here.
READ_PAUSE_MAX = 10.0

# Largest response that is parsed in the event loop (octets); this takes a few
# milliseconds. Larger ones are parsed in a thread.
PARSE_INLINE_MAX = 64 * 1024

_TEMPORARY_STATUS = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.GATEWAY_TIMEOUT,
)

_CLOUDFLARE_STATUS = range(520, 530)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request and the conditions under which it is sent."""

    method: str
    path: str
    object_id: str
    params: Mapping[str, str | int] | None
    json: object
    priority: Priority
    is_read: bool
    is_authenticated: bool
    deadline: Deadline | None


class Requester:
    """Sends requests on behalf of an account, and retries where that is harmless."""

    def __init__(self, transport: Transport, token_source: TokenSource) -> None:
        """Initialize the requester."""
        self._transport = transport
        self._token_source = token_source

    @property
    def statistics(self) -> Statistics:
        """Return the counted requests."""
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
        is_read: bool | None = None,
        repeats: bool = True,
        parse: Callable[[Any], Any] = lambda document: document,
    ) -> Any:
        """Send a request, and return the document of a read or None for a write.

        Args:
            method: The HTTP method.
            path: The path, with `{id}` in place of the object's id.
            object_id: The id of the object.
            params: The query parameters.
            json: The body.
            priority: The priority among queued requests.
            authenticated: Whether the request needs a token.
            is_read: Whether the request changes nothing; by default, whether it is a
                GET. A read is retried after any temporary fault, and has to return a
                document. A write is only retried if it certainly was not carried out,
                and given up 15 s after getting its slot.
            repeats: Whether to retry after temporary faults.
            parse: Makes a model of the document; runs in a thread if that is large.

        Raises:
            ValueError: The id is not a UUID, or `parse` rejects the document.
            ZaptecError: The request failed; the subclass says why.

        """
        if object_id is not None and (object_id := parse_uuid(object_id)) is None:
            raise ValueError("An id has to be a UUID")
        if priority is Priority.COMMAND and is_automatic():
            priority = Priority.AUTOMATIC
        if is_read is None:
            is_read = method == "GET"
        request = _Request(
            method=method,
            path=path,
            object_id=object_id or "",
            params=params,
            json=json,
            priority=priority,
            is_read=is_read,
            is_authenticated=authenticated,
            deadline=_deadline(priority, is_read=is_read),
        )
        if is_read:
            return await self._read(request, READ_RETRIES if repeats else 0, parse)
        await self._write(request, None if repeats else 0)
        return None

    async def _read(
        self, request: _Request, retries: int | None, parse: Callable[[Any], Any]
    ) -> Any:
        """Send a read, and return its parsed document.

        Raises:
            ZaptecPermissionError: The account may not read the document.
            ZaptecError: The request failed.
            ValueError: `parse` rejects the document.

        """
        response = await self._repeat(request, retries)
        if response.status == HTTPStatus.NO_CONTENT or not response.body.strip():
            # Since September 2025 a read without permission returns 204 or an empty
            # body.
            raise ZaptecPermissionError("The account may not read this document")
        try:
            if len(response.body) > PARSE_INLINE_MAX:
                document = await asyncio.to_thread(lambda: parse(response.document()))
            else:
                document = parse(response.document())
        except ValueError, ZaptecError:
            self.statistics.record_result(request.path, is_served=False)
            raise
        self.statistics.record_result(request.path, is_served=True)
        return document

    async def _write(self, request: _Request, retries: int | None) -> None:
        """Send a write.

        Raises:
            ZaptecNotSentError: The write certainly was not carried out.
            ZaptecError: The request failed.

        """
        try:
            response = await self._repeat(request, retries)
        except ZaptecServerError as err:
            if err.status == HTTPStatus.UNAUTHORIZED:
                # The cloud carries out nothing without a token that it accepts.
                raise ZaptecNotSentError(str(err)) from err
            raise
        if response.is_page:
            # The vendor's cloud never responds to a write with a web page.
            raise ZaptecInterceptedError
        self.statistics.record_result(request.path, is_served=True)

    async def _repeat(self, request: _Request, retries: int | None) -> Response:
        """Send a request, and retry as long as that is harmless and may help.

        Args:
            request: The request.
            retries: Maximum number of retries; None for as many as the deadline allows.

        """
        reason: BaseException | None = None
        failures = 0
        while True:
            try:
                response = await self._attempt(request)
                if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                    return response
                raise response.error()
            except ZaptecError as err:
                delay = _delay(err, failures)
                if failures == retries or not _may_repeat(request, err, delay):
                    if isinstance(err, ZaptecNotSentError) and not err.__cause__:
                        # The last attempt may merely have run out of time. The cause
                        # of the one before says why there was no token.
                        raise err from reason
                    raise
                reason = err.__cause__
            await asyncio.sleep(delay)
            self.statistics.count_retry()
            failures += 1

    async def _attempt(self, request: _Request) -> Response:
        """Send a request once, or twice if the cloud rejects the first token."""
        if not request.is_authenticated:
            return await self._send(request, None)
        # If a pause holds the request back, it does not need a token.
        self._transport.check_pause(request.priority)
        token = await self._token(request)
        response = await self._send(request, token)
        if response.status == HTTPStatus.UNAUTHORIZED:
            refused = token
            self._token_source.invalidate(token)
            token = await self._token(request)
            # The source returns the same token if too many new ones were rejected.
            if token != refused:
                response = await self._send(request, token)
                if response.status == HTTPStatus.UNAUTHORIZED:
                    self._token_source.invalidate(token)
        if response.status == HTTPStatus.UNAUTHORIZED:
            # The sign-in just succeeded, so the account is not the reason.
            raise ZaptecServerError(
                "The cloud rejects its own new token", response.status
            )
        return response

    async def _send(self, request: _Request, token: str | None) -> Response:
        """Send a request once with this token."""
        return await self._transport.send(
            request.method,
            request.path,
            priority=request.priority,
            object_id=request.object_id,
            token=token,
            params=request.params,
            json_body=request.json,
            deadline=request.deadline,
        )

    async def _token(self, request: _Request) -> str:
        """Return a token.

        Raises:
            ZaptecAuthenticationError: User name or password are wrong.
            ZaptecNotSentError: There is no token for another reason. Nothing is sent
                without a token, so the request may be retried.

        """
        deadline = request.deadline
        try:
            async with asyncio.timeout_at(deadline.at if deadline else None):
                return await self._token_source.token(request.priority)
        except TimeoutError:
            raise ZaptecNotSentError("The sign-in took too long") from None
        except ZaptecAuthenticationError:
            raise
        except ZaptecError as err:
            retry_after = err.retry_after if isinstance(err, ZaptecBusyError) else None
            raise ZaptecNotSentError(str(err), retry_after) from err


def _deadline(priority: Priority, *, is_read: bool) -> Deadline | None:
    """Return the deadline of a request, None if it has none."""
    action = current_deadline()
    if not is_read:
        return Deadline(COMMAND_TIMEOUT, action)
    if action is not None or priority <= Priority.AUTOMATIC:
        return Deadline(ACTION_TIMEOUT, action)
    return None


def _may_repeat(request: _Request, error: ZaptecError, delay: float) -> bool:
    """Return whether a request that failed may be retried after a delay (s)."""
    if request.is_read and delay > READ_PAUSE_MAX:
        return False
    deadline = request.deadline
    if deadline and delay > deadline.left - COMMAND_TIMEOUT * _LAST_SHARE:
        return False
    if isinstance(error, (ZaptecNotSentError, ZaptecBusyError)):
        return True
    if isinstance(error, ZaptecServerError):
        return request.is_read and (
            error.status in _TEMPORARY_STATUS or error.status in _CLOUDFLARE_STATUS
        )
    return request.is_read and isinstance(error, ZaptecConnectionError)


def _delay(error: ZaptecError, failures: int) -> float:
    """Return the delay before a retry (s)."""
    delay = random.uniform(0, min(BACKOFF_MAX, BACKOFF_BASE * 2**failures))
    if (
        isinstance(error, (ZaptecBusyError, ZaptecNotSentError))
        and error.retry_after is not None
    ):
        return max(delay, error.retry_after)
    return delay
