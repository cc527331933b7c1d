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
# The window is a little longer than that, for two clocks that differ.
REQUEST_LIMIT = 10
REQUEST_WINDOW = 1.02

# How many requests may be under way beside those that only a command may use:
# answers that do not come must not keep a person waiting.
RESERVED_FOR_COMMANDS = 2

# Longest wait of a command for its slot. At the latency of the real cloud (0.4 s) the
# rate limit lets 7 requests a second through, so 500 commands at once take 71 s.
QUEUE_TIMEOUT = 120.0


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


def reset_limiters() -> None:
    """Forget all limiters and what they have counted, as tests need it."""
    _limiters.clear()
    _recent.clear()
