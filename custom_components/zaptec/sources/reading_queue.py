"""A queue of readings of the whole state of chargers over REST."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from ..api import Observation, Priority, ZaptecClient, ZaptecError
from ..const import LOGGER

# The cloud answers /state from a cache of 15 s (API usage guidelines): what is
# read sooner may be older than what was read before it.
CACHE_TIME = 15.0

# Minimum time between two polls, whatever the number of chargers (seconds).
POLL_SPACING = 1.0

# Delay before a charger is read again after an unexpected error (seconds).
FAULT_PAUSE = 600.0

# Maximum number of readings at a time. It keeps the rate limiter busy at the latency of
# the real cloud.
PARALLEL_READINGS = 8


@dataclass(frozen=True, slots=True)
class _Reading:
    """When a charger is to be read (monotonic seconds), and how urgently."""

    due: float
    priority: Priority
    poll: bool


class ReadingQueue:
    """A queue of chargers whose state is to be read, each at most once at a time."""

    def __init__(
        self,
        client: ZaptecClient,
        *,
        reading_order: Callable[[str], int],
        on_state: Callable[[str, list[Observation]], None],
        on_failure: Callable[[str, ZaptecError], None],
    ) -> None:
        """Initialize the queue.

        Args:
            client: The client that reads.
            reading_order: Which charger is read first: the one with the lowest number.
            on_state: Called with the charger's id and its observations.
            on_failure: Called with the charger's id and what went wrong.

        """
        self._client = client
        self._reading_order = reading_order
        self._on_state = on_state
        self._on_failure = on_failure
        self._readings: dict[str, _Reading] = {}
        self._running: set[str] = set()
        # Those that were forgotten while a reading of them was running.
        self._forgotten: set[str] = set()
        self._last_read: dict[str, float] = {}
        # Those that were tried, whether they could be read or not.
        self._tried: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._next_poll = 0.0
        self._wake = asyncio.Event()

    def has_read(self, charger_id: str) -> bool:
        """Return whether this charger was ever read."""
        return charger_id in self._last_read

    async def wait_until_tried(self, charger_id: str) -> None:
        """Wait until a reading of this charger has ended, well or not."""
        await self._tried[charger_id].wait()

    def last_read(self, charger_id: str) -> float | None:
        """Return when a charger was last read (monotonic seconds)."""
        return self._last_read.get(charger_id)

    def due(self, charger_id: str) -> float | None:
        """Return when a charger is to be read next (monotonic seconds)."""
        reading = self._readings.get(charger_id)
        return reading.due if reading else None

    def read(self, charger_id: str, *, first: bool = False, delay: float = 0.0) -> None:
        """Read a charger as soon as the cloud has something newer to say.

        Args:
            charger_id: The charger.
            first: Whether the user waits for the first values of its entities.
            delay: Seconds to wait before; an earlier request takes its place.

        """
        priority = Priority.FIRST_STATE if first else Priority.BACKGROUND
        self._schedule(charger_id, _Reading(monotonic() + delay, priority, poll=False))

    def poll(self, charger_id: str, delay: float) -> None:
        """Read a charger in `delay` seconds, in its turn among all polled ones."""
        self._schedule(
            charger_id, _Reading(monotonic() + delay, Priority.BACKGROUND, poll=True)
        )

    def is_reading(self, charger_id: str) -> bool:
        """Return whether a reading of a charger is running."""
        return charger_id in self._running

    def cancel_poll(self, charger_id: str) -> None:
        """Drop the planned poll of a charger, because messages report it from now on."""
        if (planned := self._readings.get(charger_id)) and planned.poll:
            del self._readings[charger_id]

    def forget(self, charger_id: str) -> None:
        """Drop what is planned for a charger, and the result of a running reading.

        The charger may come back before that reading ends. It is then a new charger,
        whose first values are those of a reading that begins after its return.
        """
        if charger_id in self._running:
            self._forgotten.add(charger_id)
        self._readings.pop(charger_id, None)
        self._last_read.pop(charger_id, None)
        if tried := self._tried.pop(charger_id, None):
            tried.set()

    def _schedule(self, charger_id: str, reading: _Reading) -> None:
        """Plan a reading, unless there is an earlier one."""
        planned = self._readings.get(charger_id)
        if (
            planned is None
            or reading.due < planned.due
            or (planned.poll and not reading.poll)
        ):
            self._readings[charger_id] = reading
            self._wake.set()

    def _order(self, item: tuple[str, _Reading]) -> tuple[Priority, int, float]:
        """Return which of several readings that are due comes first.

        Polls are ordered by their due time alone, so that each has its turn. Others keep
        the order in which they were planned, so that the chargers that the set-up waits
        for come first although another link may be up before theirs.
        """
        charger_id, reading = item
        if reading.poll:
            return (reading.priority, 0, reading.due)
        return (reading.priority, self._reading_order(charger_id), 0.0)

    async def run(self) -> None:
        """Read each charger when it is due, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                pause = self._start_due(group)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()

    def _start_due(self, group: asyncio.TaskGroup) -> float | None:
        """Start the readings that are due; return the seconds until the next one."""
        if len(self._running) >= PARALLEL_READINGS:
            return None
        now = monotonic()
        pause: float | None = None
        for charger_id, reading in sorted(self._readings.items(), key=self._order):
            if len(self._running) >= PARALLEL_READINGS:
                return None
            if charger_id in self._running:
                continue
            due = reading.due
            if (last := self._last_read.get(charger_id)) is not None:
                due = max(due, last + CACHE_TIME)
            if reading.poll:
                due = max(due, self._next_poll)
            if due > now:
                pause = min(due - now, pause) if pause is not None else due - now
                continue
            if reading.poll:
                self._next_poll = now + POLL_SPACING
            del self._readings[charger_id]
            self._running.add(charger_id)
            group.create_task(self._read(charger_id, reading.priority))
        return pause

    async def _read(self, charger_id: str, priority: Priority) -> None:
        """Read one charger and pass on what came of it."""
        try:
            await self._read_state(charger_id, priority)
        except Exception:
            # One charger's fault must not end the readings of all.
            LOGGER.exception("Unexpected error while reading a charger")
            if charger_id not in self._forgotten:
                self.poll(charger_id, FAULT_PAUSE)
        finally:
            self._running.discard(charger_id)
            if charger_id in self._forgotten:
                self._forgotten.discard(charger_id)
            else:
                self._tried[charger_id].set()
            self._wake.set()

    async def _read_state(self, charger_id: str, priority: Priority) -> None:
        """Read one charger, and call back with its observations or the error."""
        LOGGER.debug("Reading the state of charger %s", charger_id)
        try:
            observations = await self._client.charger_state(
                charger_id, priority=priority
            )
            if charger_id in self._forgotten:
                return
            self._last_read[charger_id] = monotonic()
            self._on_state(charger_id, observations)
        except ZaptecError as err:
            LOGGER.debug("Charger %s could not be read: %s", charger_id, err)
            if charger_id not in self._forgotten:
                self._on_failure(charger_id, err)
