"""The rate limit of an account, and which request goes first."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import IntEnum
import heapq
from itertools import count
import math
from weakref import WeakValueDictionary

from .action import Deadline
from .errors import ZaptecBusyError, ZaptecNotSentError

# The vendor allows an account 10 requests in any second (API usage guidelines).
# The window is a little longer, because the cloud's clock may differ from ours.
REQUEST_LIMIT = 10
REQUEST_WINDOW = 1.02

# Number of slots that only commands may use. Without them, reads whose responses are
# late could occupy all slots, and the user would have to wait.
RESERVED_FOR_COMMANDS = 2

# Longest wait of a request with a deadline for its slot (s). At the latency of the real
# cloud (0.4 s) the rate limit allows 7 requests a second, so 500 commands sent at once
# take 71 s.
QUEUE_TIMEOUT = 120.0


class Priority(IntEnum):
    """The order in which queued requests are sent.

    While the cloud asks for a pause, only the user's commands are sent, and the sign-in
    that such a command needs. `AUTOMATIC` is for commands that the integration sends
    without a request from the user.
    """

    SIGN_IN = 0
    COMMAND = 1
    AUTOMATIC = 2
    FIRST_STATE = 3
    BACKGROUND = 4


def _is_pausable(priority: Priority) -> bool:
    """Return whether a request is held back while the cloud asks for a pause."""
    return priority > Priority.COMMAND


@dataclass(order=True, slots=True)
class _QueuedRequest:
    """A request that waits for a slot; the smallest is the most urgent."""

    priority: Priority
    number: int
    slot: asyncio.Future[None] = field(compare=False)
    pause_priority: Callable[[], Priority] = field(compare=False)


class RateLimiter:
    """Limits the number of requests per window of time, the most urgent first.

    It is unknown when a request arrives at the cloud: at some moment between being
    sent and being answered. Therefore a request occupies its slot while it is in
    flight and for one window after that. No window of the cloud can then contain more
    requests than the limit, however long each of them was in transit.
    """

    def __init__(
        self, limit: int = REQUEST_LIMIT, window: float = REQUEST_WINDOW
    ) -> None:
        """Initialize the limiter.

        Args:
            limit: Maximum number of requests per window.
            window: Length of the window (s).

        """
        self._limit = limit
        self._window = window
        # If there is only one slot, commands wait for it like all other requests.
        self._reserved = min(RESERVED_FOR_COMMANDS, limit - 1)
        self._in_flight = 0
        self._released_at: deque[float] = deque()
        self._queue: list[_QueuedRequest] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until = -math.inf
        # Time of the latest response, by the clock of the event loop.
        self._last_response_at = -math.inf

    def pause(self, seconds: float) -> None:
        """Hold back all but the user's commands, because the cloud asks for a pause.

        Queued requests fail at once, because the pause may not be over when they would
        get their slot.
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
        """Return the time until a request of this priority may be sent again (s)."""
        if not _is_pausable(priority):
            return 0.0
        return max(0.0, self._paused_until - asyncio.get_running_loop().time())

    def check_pause(self, priority: Priority) -> None:
        """Raise an error if a request must not be sent at the moment.

        Raises:
            ZaptecBusyError: The cloud asks for a pause.

        """
        if self.pause_left(priority):
            raise self._pause_error()

    def _pause_error(self) -> ZaptecBusyError:
        """Return the error of a request that is held back by a pause."""
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
        """Wait for a slot, and occupy it until the context ends.

        Args:
            priority: The priority of the request.
            deadline: The deadline of the request. Waiting for the slot postpones it.
                The outer deadline is only postponed while other requests get responses.
            pause_priority: Returns the priority that decides whether a pause holds the
                request back; by default this is `priority`.

        Raises:
            ZaptecBusyError: The cloud asks for a pause.
            ZaptecNotSentError: The request did not get a slot in time.

        """
        if pause_priority is None:

            def pause_priority() -> Priority:
                return priority

        self.check_pause(pause_priority())
        await self._acquire(priority, deadline, pause_priority)
        if self.pause_left(pause_priority()):
            # The pause began after the slot was granted.
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
        """Wait until a slot is free, and take it."""
        if not self._queue and self._has_room(priority):
            self._in_flight += 1
            return
        slot = asyncio.get_running_loop().create_future()
        request = _QueuedRequest(priority, next(self._numbers), slot, pause_priority)
        heapq.heappush(self._queue, request)
        self._release()
        try:
            await self._wait(slot, deadline)
            # Raises an error if a pause has begun while the request was queued.
            slot.result()
        except asyncio.CancelledError, ZaptecNotSentError:
            if request in self._queue:
                self._queue.remove(request)
                heapq.heapify(self._queue)
                self._schedule_release()
            elif slot.exception() is None:
                # Cancelled after its slot was granted: release the slot.
                self._in_flight -= 1
                self._release()
            raise

    async def _wait(
        self, slot: asyncio.Future[None], deadline: Deadline | None
    ) -> None:
        """Wait for a slot, at most until the deadline, and postpone the deadline."""
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
                raise ZaptecNotSentError("Too many requests were queued before it")
            await asyncio.wait([slot], timeout=left)
        deadline.extend(loop.time() - began_at)

    def _has_room(self, priority: Priority) -> bool:
        """Return whether a slot is free for a request of this priority."""
        horizon = asyncio.get_running_loop().time() - self._window
        while self._released_at and self._released_at[0] <= horizon:
            self._released_at.popleft()
        if self._in_flight + len(self._released_at) >= self._limit:
            return False
        return (
            not _is_pausable(priority) or self._in_flight < self._limit - self._reserved
        )

    def _release(self) -> None:
        """Grant the free slots to the most urgent requests."""
        while self._queue and self._has_room(self._queue[0].priority):
            slot = heapq.heappop(self._queue).slot
            if not slot.done():
                slot.set_result(None)
                self._in_flight += 1
        self._schedule_release()

    def _schedule_release(self) -> None:
        """Call `_release` when the next slot becomes free, if requests are queued."""
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

# Limiters that were used within their window. While a config entry reloads, no client
# refers to the limiter of the account, but the limiter must not forget the requests
# that were sent just before.
_recent: dict[RateLimiter, float] = {}


def _keep_for_a_while(limiter: RateLimiter, now: float) -> None:
    """Keep a limiter until its window has passed, and drop expired ones."""
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

    The cloud's limit applies to the account, however many clients sign in to it.
    """
    key = (base_url, user_name.strip().lower(), limit, window)
    if (limiter := _limiters.get(key)) is None:
        limiter = _limiters[key] = RateLimiter(limit, window)
    return limiter


def reset_limiters() -> None:
    """Forget all limiters and the requests that they have counted (for tests)."""
    _limiters.clear()
    _recent.clear()
