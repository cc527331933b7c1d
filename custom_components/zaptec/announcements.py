"""Who is told of what, and when."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from homeassistant.core import CALLBACK_TYPE, callback

from .api import outside_of_actions
from .const import LOGGER

# What can be told of: a StateId of a charger, the messages or the link of an
# installation, or the rest of either.
type Topic = tuple[str, int] | str

# So long may entities be written without a pause for others (seconds).
TELL_TIME = 0.003


class _Watcher:
    """Somebody who wants to be told of topics."""

    __slots__ = ("is_due", "tell")

    def __init__(self, tell: CALLBACK_TYPE) -> None:
        """Have nothing to tell yet."""
        self.tell: CALLBACK_TYPE | None = tell
        self.is_due = False


class Announcements:
    """Tells those who watch a topic that there is news of it.

    Each is told once, however many of its topics are announced together. Where thousands
    are to be told, others have their turns of the event loop in between.
    """

    def __init__(self) -> None:
        """Know nobody yet."""
        self._watchers: dict[Topic, dict[_Watcher, None]] = {}
        self._due: deque[_Watcher] = deque()
        self._is_telling = False

    def __len__(self) -> int:
        """Return how many topics are watched, each as often as it is."""
        return sum(map(len, self._watchers.values()))

    @property
    def is_idle(self) -> bool:
        """Return whether all that was announced has been told."""
        return not self._due

    @callback
    def watch(self, tell: CALLBACK_TYPE, topics: Iterable[Topic]) -> Callable[[], None]:
        """Have somebody told of topics; return what ends that."""
        watcher = _Watcher(tell)
        topics = tuple(topics)
        for topic in topics:
            self._watchers.setdefault(topic, {})[watcher] = None

        @callback
        def remove() -> None:
            watcher.tell = None
            for topic in topics:
                if (watchers := self._watchers.get(topic)) is not None:
                    watchers.pop(watcher, None)
                    if not watchers:
                        del self._watchers[topic]

        return remove

    @callback
    def announce(self, topics: Iterable[Topic]) -> None:
        """Tell everybody who watches one of these topics."""
        for topic in topics:
            for watcher in self._watchers.get(topic, ()):
                if not watcher.is_due:
                    watcher.is_due = True
                    self._due.append(watcher)
        if not self._is_telling:
            self.tell()

    @callback
    def tell(self) -> None:
        """Tell those who are due, but not for long; the others have the next turn."""
        loop = asyncio.get_running_loop()
        end = loop.time() + TELL_TIME
        self._is_telling = True
        while self._due and loop.time() < end:
            watcher = self._due.popleft()
            watcher.is_due = False
            try:
                if watcher.tell:
                    # What causes the news may be an action, but what follows is not.
                    with outside_of_actions():
                        watcher.tell()
            except Exception:
                # One entity's fault must not keep the news from the others.
                LOGGER.exception("Unexpected error while updating an entity")
        # Until then whoever announces anything only joins those who are due.
        self._is_telling = bool(self._due)
        if self._is_telling:
            loop.call_soon(self.tell)
