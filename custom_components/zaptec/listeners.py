"""Callbacks by topic: who is called when something of the account has changed."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable

from homeassistant.core import CALLBACK_TYPE, callback

from .api import Account, outside_of_actions
from .const import LOGGER

# A StateId of a charger; by its name, something else that concerns a device; or the rest
# of a device. Chargers may report any number as a StateId, so nothing else has a number.
type Topic = tuple[str, int | str] | str

# Longest time to write entity states before yielding to the event loop (s).
SLICE_TIME = 0.003


type _ByTopic = dict[Topic, dict[_Listener, None]]


class _Listener:
    """A callback with its topics, and whether it is due."""

    __slots__ = ("_by_topic", "_topics", "is_due", "run")

    def __init__(
        self, run: CALLBACK_TYPE, topics: tuple[Topic, ...], by_topic: _ByTopic
    ) -> None:
        """Initialize the listener, and add it to its topics."""
        self.run: CALLBACK_TYPE | None = run
        self.is_due = False
        self._topics = topics
        self._by_topic = by_topic
        for topic in topics:
            by_topic.setdefault(topic, {})[self] = None

    @callback
    def remove(self) -> None:
        """Remove the listener from its topics, and do not run it any more."""
        self.run = None
        for topic in self._topics:
            if (listeners := self._by_topic.get(topic)) is not None:
                listeners.pop(self, None)
                if not listeners:
                    del self._by_topic[topic]


class Listeners:
    """Calls the callbacks of a topic when it has changed.

    Each is called once, however many of its topics change together. Where thousands are
    due, the event loop runs other callbacks in between.
    """

    def __init__(self) -> None:
        """Initialize the listeners."""
        self._by_topic: _ByTopic = {}
        self._due: deque[_Listener] = deque()
        self._is_running = False

    def __len__(self) -> int:
        """Return the number of topics, each counted once per listener."""
        return sum(map(len, self._by_topic.values()))

    @property
    def is_idle(self) -> bool:
        """Return whether every callback that was due has been called."""
        return not self._due

    @callback
    def add(self, run: CALLBACK_TYPE, topics: Iterable[Topic]) -> Callable[[], None]:
        """Call a callback when topics change; return what removes it."""
        # Each entity has a listener. A bound method is one object for the garbage
        # collector to look at, and a closure would be six.
        return _Listener(run, tuple(topics), self._by_topic).remove

    @callback
    def notify(self, topics: Iterable[Topic]) -> None:
        """Call all callbacks of topics that have changed."""
        for topic in topics:
            for listener in self._by_topic.get(topic, ()):
                if not listener.is_due:
                    listener.is_due = True
                    self._due.append(listener)
        if not self._is_running:
            self.run_due()

    @callback
    def run_due(self) -> None:
        """Run due callbacks for at most one slice; continue in the next loop iteration."""
        loop = asyncio.get_running_loop()
        end = loop.time() + SLICE_TIME
        self._is_running = True
        # The change may be part of an action, but what it causes is not.
        with outside_of_actions():
            while self._due and loop.time() < end:
                listener = self._due.popleft()
                listener.is_due = False
                try:
                    if listener.run:
                        listener.run()
                except Exception:
                    # An error of one entity must not keep the others from updating.
                    LOGGER.exception("Unexpected error while updating an entity")
        # While this runs, notify() only queues callbacks.
        self._is_running = bool(self._due)
        if self._is_running:
            loop.call_soon(self.run_due)


def charger_topics(charger_id: str, state_ids: Iterable[int]) -> tuple[Topic, ...]:
    """Return the topics for changes of StateIds of a charger."""
    return tuple((charger_id, int(state_id)) for state_id in state_ids)


def message_topic(installation_id: str) -> Topic:
    """Return the topic for each message of an installation."""
    return (installation_id, "message")


def link_topic(device_id: str) -> Topic:
    """Return the topic for changes of the link to an installation.

    With the id of a charger, it is that of the installation the charger is in, although
    the charger may move to another one.
    """
    return (device_id, "link")


def installation_topic(charger_id: str) -> Topic:
    """Return the topic for changes of a charger's installation.

    Whichever installation that is: a charger may move to another one.
    """
    return (charger_id, "installation")


def hold_topic(charger_id: str) -> Topic:
    """Return the topic for a change of whether cars at a charger are held."""
    return (charger_id, "hold")


def access_topic(device_id: str) -> Topic:
    """Return the topic for who may charge.

    For an installation, it is that of the mode; for a charger, whether a car waits for a
    decision.
    """
    return (device_id, "access")


def event_topic(charger_id: str) -> Topic:
    """Return the topic for the events of a charger.

    It is notified after the entities that show a state, so that an automation that an
    event triggers finds their new states.
    """
    return (charger_id, "event")


def device_topics(device_ids: Collection[str], account: Account) -> tuple[Topic, ...]:
    """Return the topics for changes of devices.

    A changed installation is also a change for its chargers, which have a topic of
    their own for it.
    """
    return (
        *device_ids,
        *(
            installation_topic(charger.id)
            for charger in account.chargers.values()
            if charger.installation_id in device_ids
        ),
    )
