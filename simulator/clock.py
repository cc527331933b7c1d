"""Simulated time: a discrete-event clock that stands still, is advanced, or follows real time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count


class Handle:
    """A scheduled callback."""

    __slots__ = ("_callback", "when")

    def __init__(self, when: datetime, callback: Callable[[], None]) -> None:
        """Initialize the handle; `Clock.call_at` schedules it."""
        self.when = when
        self._callback: Callable[[], None] | None = callback

    @property
    def cancelled(self) -> bool:
        """Whether the callback has run or was cancelled."""
        return self._callback is None

    def cancel(self) -> None:
        """Cancel the callback; without effect if it has run."""
        self._callback = None

    def run(self) -> None:
        """Run the callback, once."""
        callback, self._callback = self._callback, None
        if callback:
            callback()


class Clock:
    """Simulated time; every method but `run` works without an event loop.

    Time moves only by `advance` and while `run` runs. It never passes an event that has not
    run, so a callback always finds `now()` at the moment it was scheduled for.
    """

    def __init__(self, start: datetime | None = None, speed: float = 1.0) -> None:
        """Initialize the clock.

        Args:
            start: The first moment, aware; the real time if omitted.
            speed: Seconds of simulated time per real second while `run` runs; 0 stands still.
        """
        self._now = _utc(start or datetime.now(UTC))
        self._speed = _checked_speed(speed)
        self._events: list[tuple[datetime, int, Handle]] = []
        self._order = count()
        self._advancing = False
        # Set only while `run` runs: the loop, the real time (loop seconds) at which `_now` was
        # read last, and what ends the wait for the next event.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._read_at = 0.0
        self._wake = asyncio.Event()

    def now(self) -> datetime:
        """Return the simulated time, UTC."""
        if self._loop and not self._advancing:
            real = self._loop.time()
            now = self._now + timedelta(seconds=(real - self._read_at) * self._speed)
            due = self._next_event()
            if due and due < now:
                # An event is overdue in real time but has not run: the clock waits at its moment.
                return max(self._now, due)
            self._now = now
            self._read_at = real
        return self._now

    @property
    def next_event(self) -> datetime | None:
        """When the next callback is due, None if none is scheduled."""
        return self._next_event()

    @property
    def speed(self) -> float:
        """Seconds of simulated time per real second while `run` runs."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        speed = _checked_speed(speed)
        self._catch_up()
        self._speed = speed
        self._wake.set()

    def call_at(self, when: datetime, callback: Callable[[], None]) -> Handle:
        """Run a callback at a moment; one in the past is due at once, at the next move.

        Callbacks of the same moment run in the order in which they were scheduled.
        """
        when = max(_utc(when), self.now())
        handle = Handle(when, callback)
        due = self._next_event()
        heappush(self._events, (when, next(self._order), handle))
        if due is None or when < due:
            self._wake.set()
        return handle

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        """Run a callback after some seconds of simulated time."""
        return self.call_at(self.now() + timedelta(seconds=seconds), callback)

    def advance(self, seconds: float) -> None:
        """Advance the time, and run due callbacks in order, each at its own moment.

        That includes what callbacks schedule within the span. An exception of a callback ends
        the move at its moment.

        Raises:
            ValueError: The span is negative.
            RuntimeError: Called by a callback of this clock.
        """
        if seconds < 0:
            raise ValueError("Time does not run backwards")
        self._catch_up()
        self._move_to(self._now + timedelta(seconds=seconds))
        self._wake.set()

    async def run(self) -> None:
        """Follow real time × speed until cancelled.

        Raises:
            RuntimeError: The clock runs already.
        """
        if self._loop:
            raise RuntimeError("The clock runs already")
        self._loop = asyncio.get_running_loop()
        self._read_at = self._loop.time()
        # Events belong to a loop from their first wait on: one clock may see several.
        self._wake = asyncio.Event()
        try:
            while True:
                self._wake.clear()
                self._catch_up()
                try:
                    async with asyncio.timeout(self._real_seconds_to_next_event()):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            self._loop = None

    def _catch_up(self) -> None:
        """Run the callbacks that are due by real time."""
        if self._loop and not self._advancing:
            real = self._loop.time()
            target = self._now + timedelta(seconds=(real - self._read_at) * self._speed)
            self._read_at = real
            self._move_to(target)

    def _move_to(self, target: datetime) -> None:
        if self._advancing:
            raise RuntimeError("A callback cannot move the clock")
        self._advancing = True
        try:
            while (due := self._next_event()) and due <= target:
                self._now = due
                heappop(self._events)[2].run()
            self._now = target
        finally:
            self._advancing = False

    def _next_event(self) -> datetime | None:
        """Return when the next event is due, dropping cancelled ones on the way."""
        while self._events and self._events[0][2].cancelled:
            heappop(self._events)
        return self._events[0][0] if self._events else None

    def _real_seconds_to_next_event(self) -> float | None:
        due = self._next_event()
        if due is None or not self._speed:
            return None
        return (due - self._now).total_seconds() / self._speed


def _utc(when: datetime) -> datetime:
    if when.tzinfo is None:
        raise ValueError("Simulated time is aware")
    return when.astimezone(UTC)


def _checked_speed(speed: float) -> float:
    if speed < 0:
        raise ValueError("Time does not run backwards")
    return speed
