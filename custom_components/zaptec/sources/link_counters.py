"""The counters of one link, over all its connections."""

from collections import Counter
from datetime import datetime

from ..api import Subscription

_COUNTS = ("messages", "bad_messages", "missed")


class LinkCounters:
    """The counters of a link. Those of the current connection are kept in the connection."""

    def __init__(self) -> None:
        """Initialize the counters."""
        self.connects = 0
        # How often a reading showed a change that no message had reported.
        self.losses = 0
        self.stream: Subscription | None = None
        """The current connection, None while there is none."""
        self._ended: Counter[str] = Counter()
        self._last_ended_message: datetime | None = None
        # How many messages of the current connection were missing when `take_gap` was
        # last called.
        self._seen_gaps = 0

    @property
    def messages(self) -> int:
        """Return how many messages arrived."""
        return self._count("messages")

    @property
    def bad_messages(self) -> int:
        """Return how many messages could not be understood."""
        return self._count("bad_messages")

    @property
    def missed_messages(self) -> int:
        """Return how many messages seem to have gone elsewhere."""
        return self._count("missed")

    @property
    def last_message(self) -> datetime | None:
        """Return when the latest message arrived."""
        present = self.stream.last_message if self.stream else None
        return present or self._last_ended_message

    def _count(self, what: str) -> int:
        """Return a count of all connections so far."""
        present: int = getattr(self.stream, what, 0)
        return self._ended[what] + present

    def begin(self, stream: Subscription) -> None:
        """Include the counters of a new connection."""
        self.connects += 1
        self.stream = stream

    def end(self) -> None:
        """Add up the counters of the current connection, which has ended."""
        for what in _COUNTS:
            self._ended[what] = self._count(what)
        self._last_ended_message = self.last_message
        self._seen_gaps = 0
        self.stream = None

    def take_gap(self) -> bool:
        """Return whether messages are missing since this was last asked."""
        if self.stream is None or self.stream.missed <= self._seen_gaps:
            return False
        self._seen_gaps = self.stream.missed
        return True

    def take_oversized(self) -> set[str]:
        """Return whose messages were too large to be read since this was last asked."""
        if self.stream is None or not self.stream.oversized_from:
            return set()
        charger_ids = self.stream.oversized_from.copy()
        self.stream.oversized_from.clear()
        return charger_ids
