"""The state of each charger: the newest observation of each StateId."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
import math
from time import monotonic
from typing import override

from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.util import dt as dt_util

from .api import (
    Account,
    Charger,
    Observation,
    OperationMode,
    StateId,
    Value,
    parse_value,
)
from .listeners import Listeners, Topic
from .plausibility import has_happened

# Time for which a pushed value outranks the hourly list (seconds): the list may be
# older than the message that arrived just before it.
LIST_LAG = 60.0

# A charger that is online again reports what has changed meanwhile. Until it has reported
# nothing for this time (seconds), its state is from before it was offline. The maximum is
# for a charger that never stops to report what it measures.
ONLINE_AGAIN_TIME = 0.5
ONLINE_AGAIN_MAX = 10.0

# Maximum number of StateIds kept per charger. About 120 exist; the bound protects memory
# from malformed data.
STATE_IDS_MAX = 500

# Maximum difference between the times of one observation from two sources.
SAME_OBSERVATION = timedelta(milliseconds=50)

# StateIds whose value is an event: the same value with a newer time has happened again.
_MOMENTARY = frozenset(
    {
        StateId.CHARGER_CURRENT_USER_UUID,
        StateId.REJECTED_USER_UUID,
        StateId.NEW_CHARGE_CARD,
    }
)

type Follower = Callable[[Observation, Value | None], None]


class ChargerState:
    """The newest observation of each StateId of a charger."""

    def __init__(self, charger: Charger) -> None:
        """Initialize the state of a charger without an observation."""
        self.family = charger.family
        self._observations: dict[int, Observation] = {}
        self._values: dict[int, Value | None] = {}
        # Time of the first report of each value that is held. A charger that
        # restarts reports all its values again, with new times.
        self._since: dict[int, datetime] = {}
        self._received: dict[int, float] = {}
        # Time at which each value that is held arrived first (monotonic).
        self._arrived: dict[int, float] = {}
        # Original timestamps of observations dated in the future; they are stored with
        # their time of arrival.
        self._future_timestamps: dict[int, datetime] = {}
        # The StateIds whose value is from the hourly list.
        self._from_list: set[int] = set()
        self._followers: dict[int, list[Follower]] = {}
        # The latest time at which the car may have been connected first: as held, and by
        # the charger's clock. None while there is no car, and if none was seen to come.
        self._car_since: tuple[datetime, datetime] | None = None
        self.without_car: tuple[datetime, datetime] | None = None
        """The last time without a car: when a car left, and when the next one came."""
        # When the charger was online again, and until when it reports what has changed
        # meanwhile (monotonic).
        self._online_again_at = self._settled_at = -math.inf
        self.was_read = False
        """Whether the whole state has been read at least once."""
        self.first_read: frozenset[int] = frozenset()
        """The StateIds that had a value when the whole state was read first."""

    def __contains__(self, state_id: int) -> bool:
        """Return whether a StateId has a value, also one that could not be parsed."""
        held = self._observations.get(state_id)
        return held is not None and bool(held.value)

    def value(self, state_id: StateId) -> Value | None:
        """Return the value of a StateId, in the type and unit of the table.

        None for a value that could not be parsed, too; see `__contains__`.
        """
        return self._values.get(state_id)

    def is_cleared(self, state_id: StateId) -> bool:
        """Return whether the charger has reported that a StateId has no value."""
        return state_id in self._observations and state_id not in self

    @property
    def settles_in(self) -> float:
        """Return the seconds until a charger that is online again has reported its changes."""
        return self._settled_at - monotonic()

    @property
    def is_offline(self) -> bool:
        """Return whether the charger is offline, or has yet to report what changed meanwhile."""
        return self.value(StateId.IS_ONLINE) is False or self.settles_in > 0

    def since(self, state_id: StateId) -> datetime | None:
        """Return when the current value of a StateId was first reported."""
        return self._since.get(state_id)

    def drawn(self, state_id: StateId) -> float | None:
        """Return a power or current that the car draws, in the unit of the table.

        A charger reports changes, and the last one before the car leaves can be lost
        or never sent. No car draws nothing, and what was measured before a car was
        connected is not that car's, so both are 0 until the charger measures again.
        None if the charger has no number to show.
        """
        held = self.value(state_id)
        if not isinstance(held, (int, float)):
            return None
        mode = self.value(StateId.CHARGER_OPERATION_MODE)
        if mode is OperationMode.DISCONNECTED:
            return 0.0
        return 0.0 if self._is_from_before_the_car(state_id) else held

    def of_the_car(self, state_id: StateId) -> Value | None:
        """Return a value that is about the car that is connected, None without a car.

        A charger may not report that it no longer holds, or report it too late.
        """
        mode = self.value(StateId.CHARGER_OPERATION_MODE)
        if mode is OperationMode.DISCONNECTED or state_id not in self:
            return None
        return None if self._is_from_before_the_car(state_id) else self.value(state_id)

    def _is_from_before_the_car(self, state_id: int) -> bool:
        """Return whether an observation was made before the car was connected.

        A charger whose clock is ahead may be set right in between. Then only the times
        of arrival can be compared; in a reading, where all arrive at once, only the
        charger's own times. So it counts as earlier only if both say so.
        """
        if self._car_since is None:
            return False
        held_at, reported_at = self._car_since
        timestamp = self._observations[state_id].timestamp
        return (
            timestamp < held_at
            and self._future_timestamps.get(state_id, timestamp) < reported_at
        )

    def timestamp(self, state_id: StateId) -> datetime | None:
        """Return when the value of a StateId came to be."""
        if observation := self._observations.get(state_id):
            return observation.timestamp
        return None

    def reported_at(self, state_id: int) -> datetime | None:
        """Return the time of the value of a StateId, by the charger's clock.

        Unlike `timestamp`, this may be in the future.
        """
        if (held := self._observations.get(state_id)) is None:
            return None
        return self._future_timestamps.get(state_id, held.timestamp)

    def observations(self) -> Iterator[tuple[Observation, Value | None, float]]:
        """Yield each newest observation, its value, and when it came (monotonic)."""
        for state_id, observation in sorted(self._observations.items()):
            yield observation, self._values.get(state_id), self._received[state_id]

    def age(self, state_id: StateId) -> float:
        """Return how long ago the current value of a StateId arrived first (seconds)."""
        return monotonic() - self._arrived.get(state_id, -math.inf)

    def received_since(self, state_id: StateId, moment: float) -> bool:
        """Return whether an observation arrived after a monotonic moment."""
        return self._received.get(state_id, -math.inf) > moment

    @callback
    def follow(self, state_ids: Iterable[int], follower: Follower) -> CALLBACK_TYPE:
        """Call a function with each observation of some StateIds, and its value.

        Args:
            state_ids: The StateIds.
            follower: Called with what is held, the oldest first, and then with each
                observation as it arrives, also when its value is the same as before.
                A completed session is passed on even if a newer one is held, because
                its energy counts all the same.

        Returns:
            What ends it.

        """
        state_ids = tuple(state_ids)
        held = [
            observation
            for state_id in state_ids
            if (observation := self._observations.get(state_id))
        ]
        for observation in sorted(held, key=lambda item: item.timestamp):
            follower(observation, self._values.get(observation.state_id))
        for state_id in state_ids:
            self._followers.setdefault(state_id, []).append(follower)

        @callback
        def remove() -> None:
            for state_id in state_ids:
                self._followers[state_id].remove(follower)

        return remove

    def _pass_on(self, observation: Observation, value: Value | None) -> bool:
        """Pass an observation on to its followers; return whether there are any."""
        followers = self._followers.get(observation.state_id, ())
        for follower in followers:
            follower(observation, value)
        return bool(followers)

    def _pass_on_late(self, observation: Observation) -> bool:
        """Pass on what is older than what is held, if that matters to a follower."""
        return (
            observation.state_id == StateId.COMPLETED_SESSION
            and observation.state_id in self._followers
            and self._pass_on(observation, parse_value(observation, self.family))
        )

    def is_newer(self, state_id: StateId, timestamp: datetime | None) -> bool:
        """Return whether the observation of a StateId is newer than one of that time.

        One observation has two times, which differ by a few milliseconds: that of the
        message, and that of a reading, which is rounded.
        """
        held_at = self.timestamp(state_id)
        return held_at is not None and (
            timestamp is None or held_at - timestamp > SAME_OBSERVATION
        )

    def lacks(self, observation: Observation) -> bool:
        """Return whether an observation is newer than the one held, or none is held."""
        state_id = observation.state_id
        held_at = self.reported_at(state_id)
        return held_at is None or observation.timestamp - held_at > SAME_OBSERVATION

    def would_change(self, observation: Observation) -> bool:
        """Return whether an observation is newer than the one held, and differs."""
        state_id = observation.state_id
        return (
            state_id in self._observations
            and self.lacks(observation)
            and parse_value(observation, self.family) != self._values[state_id]
        )

    def apply(self, observation: Observation) -> bool:
        """Apply an observation; return whether there is anything new to show.

        An observation that is older than the one held is dropped, so that readings and
        messages may arrive in any order. One without a value clears the StateId.
        """
        state_id = observation.state_id
        held = self._observations.get(state_id)
        now = dt_util.utcnow()
        if not has_happened(ahead := observation.timestamp, now):
            # A charger with a wrong clock must not outrank what it reports later.
            if (
                state_id in self._future_timestamps
                and ahead < self._future_timestamps[state_id]
            ):
                return False
            latest = max(now, held.timestamp) if held else now
            observation = replace(observation, timestamp=latest)
        elif held and observation.timestamp < held.timestamp:
            # The observation that the list has replaced may be repeated by a reading,
            # with its time rounded.
            if (
                state_id not in self._from_list
                or held.timestamp - observation.timestamp > SAME_OBSERVATION
            ):
                return self._pass_on_late(observation)
        if held is None and len(self._observations) >= STATE_IDS_MAX:
            return False
        if state_id == StateId.CHARGER_OPERATION_MODE:
            self._follow_car(observation, ahead)
        elif state_id == StateId.IS_ONLINE:
            self._follow_connection(observation)
        is_repeated = held is not None and held.value == observation.value
        is_new = not is_repeated or self._is_new_again(state_id, ahead)
        if ahead is not observation.timestamp:
            self._future_timestamps[state_id] = ahead
        else:
            self._future_timestamps.pop(state_id, None)
        was_listed = state_id in self._from_list
        self._from_list.discard(state_id)
        self._observations[state_id] = observation
        self._received[state_id] = received_at = monotonic()
        if received_at <= self._settled_at:
            self._settled_at = min(
                received_at + ONLINE_AGAIN_TIME,
                self._online_again_at + ONLINE_AGAIN_MAX,
            )
        # The list has no time of its own: the first observation has that of the value.
        if not is_repeated or was_listed:
            self._since[state_id] = observation.timestamp
            self._arrived[state_id] = received_at
        if not is_repeated:
            self._values[state_id] = parse_value(observation, self.family)
        self._pass_on(observation, self._values[state_id])
        return is_new

    def _is_new_again(self, state_id: int, reported_at: datetime) -> bool:
        """Return whether a repeated value counts as a new one.

        Args:
            state_id: The StateId.
            reported_at: When it was reported again, by the charger's clock.

        """
        if self._is_from_before_the_car(state_id):
            return True
        if state_id not in _MOMENTARY:
            return False
        held_at = self.reported_at(state_id)
        return held_at is not None and abs(reported_at - held_at) > SAME_OBSERVATION

    def _follow_car(self, observation: Observation, reported_at: datetime) -> None:
        """Note since when a car is connected, before its operation mode is held.

        Args:
            observation: The mode, with the time as of which it is held.
            reported_at: The time by the charger's clock.

        """
        state_id = StateId.CHARGER_OPERATION_MODE
        mode = parse_value(observation, self.family)
        if mode is OperationMode.DISCONNECTED:
            self._car_since = None
        elif self.value(state_id) is OperationMode.DISCONNECTED:
            self._car_since = (observation.timestamp, reported_at)
            self.without_car = (self._since[state_id], observation.timestamp)
            # A car that charges or has finished already was connected at some time
            # before, of which no message came, so what is about it may be earlier.
            if (
                mode is not OperationMode.CONNECTED_REQUESTING
                and state_id not in self._from_list
            ):
                held = self._observations[state_id].timestamp
                self._car_since = (held, self._future_timestamps.get(state_id, held))

    def _follow_connection(self, observation: Observation) -> None:
        """Note when the charger is online again, before the observation is stored.

        The first report, such as that of a reading at the start, does not count.
        """
        was_offline = self.value(StateId.IS_ONLINE) is False
        if was_offline and parse_value(observation, self.family) is True:
            self._online_again_at = monotonic()
            self._settled_at = self._online_again_at + ONLINE_AGAIN_TIME

    def contradicts(self, state_id: StateId, value: str) -> bool:
        """Return whether the hourly list says otherwise, and may be right.

        It may be older than a message that came shortly before it.
        """
        held = self._observations.get(state_id)
        return held is None or (
            held.value != value
            and not self.received_since(state_id, monotonic() - LIST_LAG)
        )

    def apply_listed(self, state_id: StateId, charger_id: str, value: str) -> bool:
        """Apply what the hourly list says; return whether it changed anything.

        The list contains no times, and the clock of Home Assistant may differ from the
        cloud's. So its value gets the time of the one that it replaces: any observation
        that is made afterwards is newer.
        """
        if not self.contradicts(state_id, value):
            return False
        held = self._observations.get(state_id)
        timestamp = held.timestamp if held else datetime.min.replace(tzinfo=UTC)
        changed = self.apply(Observation(charger_id, state_id, timestamp, value))
        self._from_list.add(state_id)
        return changed


def lasted(state: ChargerState, *state_ids: StateId) -> float:
    """Return for how long none of some StateIds has changed, at least (seconds).

    What is read late, such as after a restart of Home Assistant, has lasted until the newest
    report of the charger. The clock of a charger may be wrong, so its times are compared only
    with each other. Negative StateIds have the times of the cloud.
    """
    age = min(map(state.age, state_ids))
    since = [moment for moment in map(state.since, state_ids) if moment]
    reported = [
        held.timestamp for held, *_ in state.observations() if held.state_id > 0
    ]
    if not since or not reported:
        return age
    return max(age, (max(reported) - max(since)).total_seconds())


class States(Mapping[str, ChargerState]):
    """The states of all chargers of an account, by the chargers' ids."""

    def __init__(
        self,
        listeners: Listeners,
        *,
        on_unknown: Callable[[str], None],
        on_new_version: Callable[[str, Value | None], None],
    ) -> None:
        """Initialize the states of an account that shows no charger yet.

        Args:
            listeners: Notified of each StateId that changes.
            on_unknown: Called with the id of a charger that is observed but not shown.
            on_new_version: Called with the id of a charger and its new software version.

        """
        self._listeners = listeners
        self._on_unknown = on_unknown
        self._on_new_version = on_new_version
        self._states: dict[str, ChargerState] = {}
        # Timers for the chargers that are online again, by id. Each ends when the charger has
        # reported what changed meanwhile.
        self._settling: dict[str, asyncio.TimerHandle] = {}

    @override
    def __getitem__(self, charger_id: str) -> ChargerState:
        """Return the state of a charger."""
        return self._states[charger_id]

    @override
    def __contains__(self, charger_id: object) -> bool:
        """Return whether there is a state of a charger."""
        return charger_id in self._states

    @override
    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids of the chargers."""
        return iter(self._states)

    @override
    def __len__(self) -> int:
        """Return the number of chargers."""
        return len(self._states)

    @callback
    def follow(self, account: Account) -> None:
        """Keep a state for each charger that the account shows, and for no other."""
        for charger_id in self._states.keys() - account.chargers.keys():
            del self._states[charger_id]
        for charger in account.chargers.values():
            if charger.id not in self._states:
                self._states[charger.id] = ChargerState(charger)

    @callback
    def apply(
        self, observations: Iterable[Observation], also: Iterable[Topic] = ()
    ) -> None:
        """Apply observations from any source, and notify the listeners of changes.

        Args:
            observations: The observations.
            also: Topics that have changed with them, so that each listener is called once.

        """
        changed = list(also)
        for observation in observations:
            if (state := self._states.get(observation.charger_id)) is None:
                self._on_unknown(observation.charger_id)
            elif state.apply(observation):
                changed.append((observation.charger_id, observation.state_id))
                if observation.state_id == StateId.SOFTWARE_VERSION:
                    self._on_new_version(
                        observation.charger_id, state.value(StateId.SOFTWARE_VERSION)
                    )
                elif observation.state_id == StateId.IS_ONLINE:
                    self._settle(observation.charger_id)
        self._listeners.notify(changed)

    @callback
    def apply_reading(
        self, charger_id: str, observations: Collection[Observation], *, is_back: bool
    ) -> None:
        """Apply the whole state of a charger.

        Args:
            charger_id: The charger.
            observations: Its state.
            is_back: Whether it could not be read before, so that what its entities show
                may be outdated. They are notified once all of the reading is held.

        """
        state = self._states[charger_id]
        is_available = state.was_read and not is_back
        if not state.was_read:
            state.was_read = True
            state.first_read = frozenset(
                item.state_id for item in observations if item.value
            )
        self.apply(observations, also=() if is_available else [charger_id])

    @callback
    def _settle(self, charger_id: str) -> None:
        """Notify the listeners later if a charger has yet to report what changed meanwhile.

        A timer that is due has yet to notify them, so only a later one takes its place.
        """
        if (seconds := self._states[charger_id].settles_in) <= 0:
            return
        if timer := self._settling.pop(charger_id, None):
            timer.cancel()
        self._settling[charger_id] = asyncio.get_running_loop().call_later(
            seconds, self._settled, charger_id
        )

    @callback
    def _settled(self, charger_id: str) -> None:
        """Notify the listeners once a charger has reported what changed while it was offline."""
        del self._settling[charger_id]
        if (state := self._states.get(charger_id)) and state.settles_in > 0:
            self._settle(charger_id)
        else:
            self._listeners.notify([(charger_id, int(StateId.IS_ONLINE))])

    @callback
    def stop(self) -> None:
        """Cancel the timers."""
        for timer in self._settling.values():
            timer.cancel()

    def is_contradicted_by(self, charger: Charger) -> bool:
        """Return whether the hourly list says otherwise of a charger than its state."""
        state = self._states[charger.id]
        return any(state.contradicts(*item) for item in _listed_values(charger).items())

    @callback
    def apply_listed(self, charger: Charger) -> None:
        """Apply the two facts about a charger that the hourly list contains."""
        state = self._states[charger.id]
        changed: list[Topic] = [
            (charger.id, int(state_id))
            for state_id, value in _listed_values(charger).items()
            if state.apply_listed(state_id, charger.id, value)
        ]
        self._settle(charger.id)
        self._listeners.notify(changed)


def _listed_values(charger: Charger) -> dict[StateId, str]:
    """Return what the hourly list says of a charger, as observations have it."""
    listed: dict[StateId, str] = {}
    if charger.is_online is not None:
        listed[StateId.IS_ONLINE] = str(int(charger.is_online))
    if charger.operating_mode:
        listed[StateId.CHARGER_OPERATION_MODE] = str(int(charger.operating_mode))
    return listed
