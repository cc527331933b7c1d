"""Requests on behalf of an account: token, retries, and time limit."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
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

# Longest time for a command and its repetitions, without the wait for its slot.
COMMAND_TIMEOUT = 15.0

# Share of a command's time at its end in which nothing is sent again: a connection and
# an answer need some time, too.
_LAST_SHARE = 0.1

READ_RETRIES = 3
BACKOFF_BASE = 0.5
BACKOFF_MAX = 8.0

# A longer pause is the caller's to keep, who knows whether anybody waits.
READ_PAUSE_MAX = 10.0

# Largest answer that is parsed in the event loop (octets); it takes a few milliseconds.
# Larger ones are parsed in a thread.
PARSE_INLINE_MAX = 64 * 1024

_PASSING_STATUS = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.GATEWAY_TIMEOUT,
)

_CLOUDFLARE_STATUS = range(520, 530)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request and the conditions on which it is sent."""

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
        is_read: bool | None = None,
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
            is_read: Whether it changes nothing: then it is repeated after any
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
        """Return the document that a request asks for.

        Raises:
            ZaptecPermissionError: There is none, because the account may not read it.
            ZaptecError: The request failed.
            ValueError: `parse` refuses the document.

        """
        response = await self._repeat(request, retries)
        if response.status == HTTPStatus.NO_CONTENT or not response.body.strip():
            # Since September 2025 a read without permission returns 204, or nothing.
            raise ZaptecPermissionError("The cloud does not show this document")
        try:
            if len(response.body) > PARSE_INLINE_MAX:
                document = await asyncio.to_thread(lambda: parse(response.document()))
            else:
                document = parse(response.document())
        except ValueError, ZaptecError:
            self.statistics.serve(request.path, is_served=False)
            raise
        self.statistics.serve(request.path, is_served=True)
        return document

    async def _write(self, request: _Request, retries: int | None) -> None:
        """Send a request that changes something.

        Raises:
            ZaptecNotSentError: It certainly was not carried out.
            ZaptecError: The request failed.

        """
        try:
            response = await self._repeat(request, retries)
        except ZaptecServerError as err:
            if err.status == HTTPStatus.UNAUTHORIZED:
                # Without a token that it accepts, the cloud carries nothing out.
                raise ZaptecNotSentError(str(err)) from err
            raise
        if response.is_page:
            # Of the vendor's answers to a write, none is a page.
            raise ZaptecInterceptedError
        self.statistics.serve(request.path, is_served=True)

    async def _repeat(self, request: _Request, retries: int | None) -> Response:
        """Send until it succeeds, as long as that is harmless and may help.

        Args:
            request: The request.
            retries: How often it may be sent again, None: until the deadline.

        """
        reason: BaseException | None = None
        for failures in count():
            try:
                response = await self._attempt(request)
                if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
                    return response
                raise response.error()
            except ZaptecError as err:
                delay = _delay(err, failures)
                if failures == retries or not _may_repeat(request, err, delay):
                    if isinstance(err, ZaptecNotSentError) and not err.__cause__:
                        # It may only have had no time left for another sign-in.
                        raise err from reason
                    raise
                reason = err.__cause__
            await asyncio.sleep(delay)
            self.statistics.count_retry()
        raise AssertionError  # pragma: no cover

    async def _attempt(self, request: _Request) -> Response:
        """Send once, and once more with a new token if the old one is refused."""
        if not request.is_authenticated:
            return await self._send(request, None)
        # Without the request there is no need for a token.
        self._transport.check_pause(request.priority)
        token = await self._token(request)
        response = await self._send(request, token)
        if response.status == HTTPStatus.UNAUTHORIZED:
            refused = token
            self._token_source.invalidate(token)
            token = await self._token(request)
            # The same one again, if too many new ones were refused lately.
            if token != refused:
                response = await self._send(request, token)
                if response.status == HTTPStatus.UNAUTHORIZED:
                    self._token_source.invalidate(token)
        if response.status == HTTPStatus.UNAUTHORIZED:
            # The sign-in has just worked, so it is not the account's fault.
            raise ZaptecServerError(
                "The cloud refuses its own new token", response.status
            )
        return response

    async def _send(self, request: _Request, token: str | None) -> Response:
        """Hand a request to the transport."""
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
            ZaptecBusyError: The cloud asks for a pause.
            ZaptecNotSentError: There is none for another reason. Without one nothing
                is sent, so the request may be repeated.

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
    """Return when a request is given up, None for never."""
    action = current_deadline()
    if not is_read:
        return Deadline(COMMAND_TIMEOUT, action)
    if action is not None or priority <= Priority.AUTOMATIC:
        return Deadline(ACTION_TIMEOUT, action)
    return None


def _may_repeat(request: _Request, error: ZaptecError, delay: float) -> bool:
    """Return whether a request that failed may be sent again after a delay (s)."""
    if request.is_read and delay > READ_PAUSE_MAX:
        return False
    deadline = request.deadline
    if deadline and delay > deadline.left - COMMAND_TIMEOUT * _LAST_SHARE:
        return False
    if isinstance(error, (ZaptecNotSentError, ZaptecBusyError)):
        return True
    if isinstance(error, ZaptecServerError):
        return request.is_read and (
            error.status in _PASSING_STATUS or error.status in _CLOUDFLARE_STATUS
        )
    return request.is_read and isinstance(error, ZaptecConnectionError)


def _delay(error: ZaptecError, failures: int) -> float:
    """Return the seconds to wait before a request is sent again."""
    delay = random.uniform(0, min(BACKOFF_MAX, BACKOFF_BASE * 2**failures))
    if (
        isinstance(error, (ZaptecBusyError, ZaptecNotSentError))
        and error.retry_after is not None
    ):
        return max(delay, error.retry_after)
    return delay
