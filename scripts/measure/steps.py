"""The steps in which a message is handled, each of which can be run by itself."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from custom_components.zaptec.api import Observation, StateId
from custom_components.zaptec.listeners import Listeners
from custom_components.zaptec.runtime import ZaptecRuntime
from custom_components.zaptec.sources.link import Link
from custom_components.zaptec.state import States

from .bare import Yardstick
from .cloud import SESSION_ENERGY, STATE_IDS

# How often each StateId is reported in a bundle of many messages, by one charger after
# another.
REPEATS = 25

# The StateIds whose sensors show each value as it is reported. The sensor of a session's
# energy has more to do: it counts.
PLAIN_STATE_IDS = tuple(item for item in STATE_IDS if item != SESSION_ENERGY)


@callback
def plug_in(states: States, charger_ids: Iterable[str]) -> None:
    """Let a car charge at each charger.

    Without a car, the sensors of power and current show 0 and ignore the messages.
    """
    states.apply(
        Observation(charger_id, StateId.CHARGER_OPERATION_MODE, dt_util.utcnow(), "3")
        for charger_id in charger_ids
    )


class Bundle:
    """Observations of messages that arrive together, all newer than what is held."""

    def __init__(
        self, link: Link, listeners: Listeners, observations: list[Observation]
    ) -> None:
        """Initialize the bundle."""
        self._link = link
        self._listeners = listeners
        self.observations = observations
        self.topics = {(item.charger_id, item.state_id) for item in observations}

    def apply(self) -> None:
        """Apply the observations and notify the listeners, which write nothing yet."""
        with _held_back(self._listeners):
            self._link.received(self.observations)

    def announce(self) -> None:
        """Notify the listeners again, which write nothing yet."""
        with _held_back(self._listeners):
            self._listeners.notify(self.topics)

    def apply_and_write(self) -> None:
        """Apply the observations, and let the first of the entities write."""
        self._link.received(self.observations)


class Steps:
    """The steps of a message: decode it, apply its observation, write the states.

    They begin with messages as the library returns them.
    """

    def __init__(
        self, runtime: ZaptecRuntime, installation_id: str, stick: Yardstick
    ) -> None:
        """Initialize the steps for the messages that the yardstick has received."""
        self._charger_ids = runtime.links[installation_id].charger_ids
        self._link = runtime.links[installation_id].own
        self._listeners = runtime.listeners
        self._stick = stick
        stream = self._link.counters.stream
        assert stream
        self._stream = stream
        self.messages = list(stick.last)
        self.sensors = len(stick.sensors)
        self._began = dt_util.utcnow()
        self._turn = 0

    def decode(self) -> None:
        """Decode all messages."""
        self._stream.decode_all(self.messages)

    def reports(self, state_ids: Iterable[int]) -> Bundle:
        """Return a bundle in which each charger reports some StateIds once."""
        return self._bundle(len(self._charger_ids), tuple(state_ids))

    def bundle(self) -> Bundle:
        """Return a bundle in which the chargers report all StateIds many times."""
        return self._bundle(REPEATS, STATE_IDS)

    def _bundle(self, repeats: int, state_ids: tuple[int, ...]) -> Bundle:
        """Return observations with new values."""
        self._turn += 1
        chargers = self._charger_ids
        return Bundle(
            self._link,
            self._listeners,
            [
                Observation(
                    chargers[number % len(chargers)],
                    state_id,
                    self._began + timedelta(seconds=self._turn + number / 1000),
                    self._value(state_id, number),
                )
                for number in range(repeats)
                for state_id in state_ids
            ],
        )

    def _value(self, state_id: int, number: int) -> str:
        """Return a new value; a session's energy rises no faster than a car can draw it."""
        scale = 1e-6 if state_id == SESSION_ENERGY else 1
        return f"{(self._turn + number / 1000) * scale:.9f}"

    def write(self) -> None:
        """Let all entities write that were notified."""
        while not self._listeners.is_idle:
            self._listeners.run_due()

    def write_bare(self) -> None:
        """Write a new value to each bare sensor."""
        self._stick.write_all()


@contextmanager
def _held_back(listeners: Listeners) -> Iterator[None]:
    """Let the listeners wait that are notified meanwhile."""
    listeners.run_due = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del listeners.run_due
