"""Seeded walks of a charger's users, its cloud and its network, with what has to be shown.

`Truth` knows from the walk and the simulator alone whether charging is allowed, whether a
car is held, and which statuses are possible; the integration's own hold is not asked.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
import math
from random import Random
from unittest.mock import patch

from homeassistant.const import (
    EVENT_STATE_CHANGED,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
)
from homeassistant.core import Event, EventStateChangedData, callback
from homeassistant.exceptions import HomeAssistantError

from simulator.accounts import Card
from simulator.car import Car
from simulator.charger import CommandRejectedError
from simulator.faults import Rejection
from simulator.observations import Mode, StateId

from .home import OPERATION_MODE, Home
from .time_machine import calm_down

STATUS = "charging_status"
AUTO_START = "auto_start"

# Number of acts of a walk.
ACTS = 10

RELAY_WELDED = 1 << 49

# Time that a report and the answer to it take at least (s). Without it, both would have the
# same time, and the order in which they came would be unknown.
MOMENT = 0.1

# Time after which a car that has left is forgotten by the end of its session (s).
AWAY = 7

# Time within which a car that was allowed to charge is expected to begin (s).
STARTING = 60

# Maximum time between the end of a pause and the mode that follows it (s).
MODE_FOLLOWS = 2

# Maximum time between the end of a session and the mode that follows it (s).
SESSION_ENDS = 10

# Maximum time for which a charger reports that the car has left whose session was ended (s).
SEEMS_TO_LEAVE = 5

# A held car is paused within this time (s), and has drawn at most this energy (kWh), also
# if one command is rejected or lost: the next one follows after as long again.
HELD_WITHIN = 10
DRAWN_MAX = 0.05

# Maximum number of commands that are sent for a car by themselves.
COMMANDS_MAX = 4

# Time for which the cloud answers a reading with the same state, and after which a command
# that is not confirmed counts as lost (s).
CACHED_FOR = 15
LOST_AFTER = 20

# The errors with which a request to pause is refused, so that nothing changes.
REFUSALS = {"rejected", "rejected_without_reason", "charger_is_stand_alone"}


class Shown:
    """Records the statuses that are shown."""

    def __init__(self, home: Home) -> None:
        """Begin to record, with what is shown now."""
        self._entity_id = home.entity_id("sensor", STATUS)
        self.states = [home.state("sensor", STATUS)]
        self.stop = home.hass.bus.async_listen(EVENT_STATE_CHANGED, self._note)

    @callback
    def _note(self, event: Event[EventStateChangedData]) -> None:
        """Record a state."""
        if event.data["entity_id"] == self._entity_id and (
            new := event.data["new_state"]
        ):
            self.states.append(new.state)

    def take(self) -> list[str]:
        """Return what was shown since the last call, beginning with what was shown then."""
        states, self.states = self.states, self.states[-1:]
        return list(dict.fromkeys(states)) if len(set(states)) == 1 else states


class CarsShown:
    """Counts how often the sensor of the car shows that one has come, and that one has left.

    Triggers fire on these changes, and not on those from or to *unavailable*.
    """

    def __init__(self, home: Home) -> None:
        """Begin to count."""
        self._entity_id = home.entity_id("binary_sensor", "car_connected")
        self.counts = {STATE_ON: 0, STATE_OFF: 0}
        self.stop = home.hass.bus.async_listen(EVENT_STATE_CHANGED, self._note)

    @callback
    def _note(self, event: Event[EventStateChangedData]) -> None:
        """Count a change."""
        old, new = event.data["old_state"], event.data["new_state"]
        if event.data["entity_id"] != self._entity_id or not old or not new:
            return
        if {old.state, new.state} == {STATE_ON, STATE_OFF}:
            self.counts[new.state] += 1


@dataclass(slots=True)
class PlugIn:
    """A car that is connected, and what was sent for it.

    Attributes:
        at: When it was connected, or when charging was forbidden for it (s of the walk).
        is_held_from_the_start: Whether charging was not allowed when it came.
        is_disturbed: Whether it could not be paused in time, because a connection was
            lost, or the user or the cloud intervened.
        is_unseen: Whether nothing was reported when it came.
        failures: Number of pauses that were rejected or lost.
        answers: The answers of the cloud to the pauses since the user's last request.
        by_itself: Number of pauses that were sent without a request of the user.
        accepted_at: When the last pause was accepted.

    """

    at: float
    is_held_from_the_start: bool
    is_disturbed: bool = False
    is_unseen: bool = False
    failures: int = 0
    answers: list[bool] = field(default_factory=list)
    by_itself: int = 0
    accepted_at: float = 0.0


class Truth:
    """What is true at a charger, independently of the integration."""

    def __init__(self, home: Home) -> None:
        """Initialize the truth about a charger without a car."""
        self.charger = home.charger
        self.clock = home.sim.clock
        self.started = self.clock.now()
        # Whether charging is allowed, None if nothing that is reported decides it.
        self.allowed: bool | None = True
        self.auto_start = True
        self.is_disabled = False
        self.has_fault = False
        # When the session of the connected car has ended, None if it has not.
        self.ended_at: float | None = None
        # Until when nothing that is reported shows that the car has left.
        self.in_doubt_until = -math.inf
        self.car: PlugIn | None = None
        # Number of cars that have come, and that have left.
        self.cars = {STATE_ON: 0, STATE_OFF: 0}

    @property
    def now(self) -> float:
        """Return the time since the beginning (s)."""
        return (self.clock.now() - self.started).total_seconds()

    def age(self, *state_ids: StateId) -> float:
        """Return how long ago some StateIds were reported last (s)."""
        observed = self.charger.observations
        times = [observed[item].timestamp for item in state_ids if item in observed]
        return (self.clock.now() - max(times)).total_seconds()

    @property
    def has_ended(self) -> bool:
        """Return whether the charger reports the end of the session as its last change."""
        mode_at = self.now - self.age(StateId.OPERATION_MODE)
        return self.ended_at is not None and mode_at - self.ended_at <= SESSION_ENDS

    @property
    def is_resuming(self) -> bool:
        """Return whether a pause has just ended, and the mode may still follow."""
        follows = self.age(StateId.FINAL_STOP_ACTIVE) < MODE_FOLLOWS
        return follows and self.charger.mode is Mode.FINISHED

    @property
    def holds(self) -> set[bool]:
        """Return whether the connected car is kept from charging until that is allowed.

        Both are possible at the moment at which it is given up.
        """
        if self.allowed is not False:
            return {False}
        if not (car := self.car) or not car.answers or self.charger.final_stop:
            return {True}
        if not car.answers[-1]:
            return {False}
        waited = self.now - car.accepted_at
        if len(car.answers) < COMMANDS_MAX or waited < HELD_WITHIN - 1:
            return {True}
        return {True, False} if waited < HELD_WITHIN + 1 else {False}

    def switch(self) -> set[str]:
        """Return the possible states of the switch."""
        charger = self.charger
        if not charger.is_online:
            return {STATE_UNAVAILABLE}
        if charger.mode is Mode.DISCONNECTED:
            if self.now < self.in_doubt_until:
                return {STATE_ON, STATE_OFF}
            return {STATE_ON if self.allowed else STATE_OFF}
        if self.is_resuming and not charger.final_stop:
            return {STATE_ON, STATE_OFF}
        if charger.final_stop:
            return {STATE_OFF}
        if charger.is_stand_alone:
            return {STATE_ON}
        return {STATE_OFF if is_held else STATE_ON for is_held in self.holds}

    def statuses(self) -> set[str]:
        """Return the statuses that are true now."""
        charger = self.charger
        if not charger.is_online:
            return {"offline"}
        if self.is_disabled:
            return {"disabled"}
        if charger.is_stand_alone:
            return {"stand_alone"}
        match charger.mode:
            case Mode.DISCONNECTED:
                return self._without_car()
            case Mode.CHARGING:
                return {"charging"}
        if self.has_fault:
            return {"fault"}
        if self.has_ended:
            return {"session_ended"}
        if charger.final_stop:
            return {"held" if self.allowed is False else "paused"}
        if charger.mode is Mode.FINISHED:
            pauses = {"held", "paused"} if self.is_resuming else set()
            return {self._waits() or "finished_by_car"} | pauses
        found = {"held"} if True in self.holds else set()
        return found | self._requesting() if False in self.holds else found

    def _without_car(self) -> set[str]:
        """Return the status of a charger that reports no car."""
        if self.charger.car:
            return {"session_ended"}
        if self.now < self.in_doubt_until:
            return {"disconnected", "session_ended"}
        return {"disconnected"}

    def _waits(self) -> str | None:
        """Return what a car waits for, whether it asks for current or not."""
        charger = self.charger
        if charger.installation.authentication_required and not charger.is_authorized:
            return "waiting_for_authorization"
        if charger.value(StateId.NEXT_SCHEDULE_EVENT):
            return "waiting_for_schedule"
        if charger.max_current < charger.min_current:
            return "charger_limit"
        return None

    def _requesting(self) -> set[str]:
        """Return the status of a car that asks for current."""
        charger, installation = self.charger, self.charger.installation
        if waits := self._waits():
            return {waits}
        has_current = min(installation.available_current or (16.0,)) >= 6
        if charger.demand and not charger.allocated_current:
            return {"no_current"}
        since = self.age(
            StateId.OPERATION_MODE,
            StateId.FINAL_STOP_ACTIVE,
            StateId.SESSION_IDENTIFIER,
            StateId.CURRENT_USER,
            StateId.NEXT_SCHEDULE_EVENT,
        )
        found = {"starting" if since < STARTING else "waiting_for_car"}
        if not has_current:
            found.add("no_current")
        if charger.demand:
            found.add("waiting_for_car")
        return found

    # What happens.

    def plugged_in(self) -> None:
        """Note that a car was connected."""
        self.cars[STATE_ON] += 1
        self.car = PlugIn(self.now, self.allowed is False)

    def left(self) -> None:
        """Note that the car has left."""
        self.cars[STATE_OFF] += 1
        if self.ended_at is not None and self.now - self.ended_at <= SESSION_ENDS:
            self.in_doubt_until = self.now + SEEMS_TO_LEAVE + 1
        self.car = self.ended_at = None
        if not self.auto_start:
            self.allowed = False

    def requested(self, *, allowed: bool) -> None:
        """Note that the user has allowed charging or not."""
        self.allowed = allowed
        if self.car:
            self.car.answers.clear()
            self.car.by_itself = 0
            self.car.is_disturbed = True

    def set_auto_start(self, *, is_on: bool) -> None:
        """Note that the user has chosen what becomes of the permission."""
        self.auto_start = is_on
        if not is_on and self.charger.mode is Mode.DISCONNECTED:
            self.allowed = False

    def answered(self, *, is_accepted: bool) -> None:
        """Note the answer of the cloud to a pause."""
        if self.car:
            self.car.answers.append(is_accepted)
            if is_accepted:
                self.car.accepted_at = self.now

    def disturb(self) -> None:
        """Note that the connected car cannot be paused in time."""
        if self.car:
            self.car.is_disturbed = True


class Walk:
    """Lets things happen at random, and collects what was wrong."""

    def __init__(self, home: Home, rng: Random) -> None:
        """Initialize the walk of a charger without a car, whose messages arrive."""
        self.home = home
        self.charger = home.charger
        self.rng = rng
        self.truth = Truth(home)
        self.shown = Shown(home)
        self.cars_shown = CarsShown(home)
        self.wrong: list[str] = []
        self._cards = 0
        self._is_users_turn = False
        self._has_rest = True
        self._has_messages = True
        # Number of pauses that the charger does not get, and when it did not get the last.
        self._lost = 0
        self._lost_at = -math.inf
        self._seen_requests = len(home.sim.rest.requests)
        self._session_before: str | None = None
        self._is_decided = True
        self._possible = self.truth.statuses()
        self._log: list[str] = []
        self._acts: list[Callable[[], Awaitable[None]]] = [
            *[self._plug] * 5,
            *[self._switch] * 4,
            *[self._auto_start] * 2,
            *[self._app] * 3,
            self._authorize,
            self._car,
            self._schedule,
            self._limit,
            self._available,
            self._fault,
            self._mode,
            self._deauthorize,
            self._network,
            self._reject,
            self._lose,
            self._rest,
            self._messages,
            self._restart,
        ]

    async def run(self) -> list[str]:
        """Walk, and return what was wrong."""
        with self._watch_commands():
            for _ in range(ACTS):
                await self._act()
                if self.wrong:
                    break
            self._check_cars()
            wrong = list(self.wrong)
            await self._recover()
        self.shown.stop()
        self.cars_shown.stop()
        return wrong

    async def _act(self) -> None:
        """Let something happen, and time pass."""
        act = self.rng.choice(self._acts)
        self._log.append(f"{self.truth.now:.0f}: {act.__name__}")
        await act()
        self._possible = self._possible | self.truth.statuses()
        # What is reported arrives before the second passes.
        await self.home.travel(MOMENT)
        self._count_requests()
        for _ in range(self.rng.choice((3, 8, 14))):
            await self.second()
        if self.rng.random() < 0.2:
            for _ in range(STARTING // HELD_WITHIN):
                await self.second(HELD_WITHIN)

    async def second(self, seconds: float = 1.0) -> None:
        """Let time pass, and check what is shown."""
        before = self._possible | self.truth.statuses()
        await self.home.travel(seconds, step=seconds)
        self._count_requests()
        if self.charger.session:
            self.truth.ended_at = None
        present = self._possible = self.truth.statuses()
        states = self.shown.take()
        if not self._has_messages or self.truth.allowed is None:
            return
        self._check_status(states, before, present)
        self._check_hold()

    def _check_status(
        self, states: list[str], before: set[str], present: set[str]
    ) -> None:
        """Check what is shown now, and what was shown in between."""
        if states[-1] not in present:
            self._complain(f"{states[-1]}, not {present}")
        for state in states:
            if state not in before | present:
                self._complain(f"{state} in between, not {before | present}")
        switch = self.home.switch
        if switch not in self.truth.switch():
            self._complain(f"the switch is {switch}, not {self.truth.switch()}")

    def _check_hold(self) -> None:
        """Check that a held car was paused in time, with few commands."""
        truth, car = self.truth, self.truth.car
        if not car:
            return
        if car.by_itself > COMMANDS_MAX:
            self._complain(f"{car.by_itself} commands were sent by themselves")
        if (
            not car.is_held_from_the_start
            or car.is_disturbed
            or truth.allowed
            or len(car.answers) >= COMMANDS_MAX
        ):
            return
        patience = HELD_WITHIN * (1 + car.failures)
        if truth.now - car.at > patience and not self.charger.final_stop:
            self._complain(f"a held car is not paused after {patience} s")
        drawn = self.charger.session_energy if self.charger.session else 0.0
        if car.failures <= 1 and drawn > DRAWN_MAX:
            self._complain(f"a held car has drawn {drawn} kWh")

    def _check_cars(self) -> None:
        """Check that no car was shown to come or leave that has not, even in a gap."""
        shown, cars = self.cars_shown.counts, self.truth.cars
        if any(shown[state] > cars[state] for state in cars):
            self._complain(f"cars came and left: {shown}, not {cars}")

    def _complain(self, text: str) -> None:
        """Note something that was wrong, with what happened before."""
        self.wrong.append(f"{'; '.join(self._log)}; {self.truth.now:.0f}: {text}")

    # The commands that are sent.

    @contextmanager
    def _watch_commands(self) -> Iterator[None]:
        """Watch the commands of the integration, some of which get lost."""
        stop, resume = self.charger.stop_charging, self.charger.resume_charging

        def watch(command: Callable[[], None]) -> None:
            try:
                command()
            except CommandRejectedError as err:
                if not self._is_refusal_unknowable():
                    self._complain(f"the cloud refused a command: {err}")
                raise

        def stop_watched() -> None:
            if self._lost:
                self._lost -= 1
                self._lost_at = self.truth.now
                if self.truth.car:
                    self.truth.car.failures += 1
                return
            watch(stop)

        with (
            patch.object(self.charger, "stop_charging", stop_watched),
            patch.object(self.charger, "resume_charging", lambda: watch(resume)),
        ):
            yield

    def _is_refusal_unknowable(self) -> bool:
        """Return whether nothing that the integration can read shows the refusal.

        Without messages, a reading may be older than the last change. A pause that was lost
        may still be on its way to the charger.
        """
        if self.truth.now - self._lost_at < LOST_AFTER:
            return True
        cached = self.home.sim.rest.cloud.states.get(self.charger.id)
        if self._has_messages or cached is None:
            return False
        age = (self.truth.clock.now() - cached[0]).total_seconds()
        changed = self.truth.age(StateId.OPERATION_MODE, StateId.FINAL_STOP_ACTIVE)
        return changed < age < CACHED_FOR

    def _count_requests(self) -> None:
        """Note the answers to the pauses that were sent since the last call."""
        requests = self.home.sim.rest.requests
        for record in requests[self._seen_requests :]:
            if not record.path.endswith("/506"):
                continue
            is_accepted = record.status == 200
            self.truth.answered(is_accepted=is_accepted)
            if not (car := self.truth.car):
                continue
            car.failures += not is_accepted
            car.is_disturbed |= record.status not in (200, 500)
            car.by_itself += not self._is_users_turn
        self._seen_requests = len(requests)

    async def _call(self, key: str, service: str) -> str | None:
        """Turn a switch on or off; return the key of the error."""
        turning = self.home.hass.async_create_task(
            self.home.hass.services.async_call(
                "switch",
                service,
                {"entity_id": self.home.entity_id("switch", key)},
                blocking=True,
            )
        )
        self._is_users_turn = True
        await calm_down()
        while not turning.done():
            await self.home.time_machine.pass_by(0.5)
            self._possible = self._possible | self.truth.statuses()
        self._count_requests()
        self._is_users_turn = False
        try:
            await turning
        except HomeAssistantError as err:
            return err.translation_key
        return None

    # What users do.

    async def _plug(self) -> None:
        """Plug in a car, or unplug it."""
        if self.charger.car:
            await self._unplug()
            return
        wants = self.rng.random() < 0.8
        car = Car(capacity_kwh=self.rng.uniform(0.2, 20), wants=wants)
        self.charger.plug_in(car)
        self.truth.plugged_in()
        # The simulated charger charges although it is disabled, and gets no command.
        cannot_follow = self.charger.is_stand_alone or self.truth.is_disabled
        if not self._is_known or not self._has_rest or cannot_follow:
            self.truth.disturb()
        if self.truth.car and not self._is_known:
            self.truth.car.is_unseen = True
            self._is_decided &= self._session_before is not None

    async def _unplug(self) -> None:
        """Unplug the car, and let its session end."""
        # A car that comes and leaves unseen does not use up what was allowed for the next.
        self._is_decided &= not (self.truth.car and self.truth.car.is_unseen)
        self.charger.unplug()
        self.truth.left()
        for _ in range(AWAY):
            await self.second()

    @property
    def _is_known(self) -> bool:
        """Return whether what happens at the charger is reported at once."""
        return self._has_messages and self.charger.is_online

    async def _switch(self) -> None:
        """Allow charging, or not."""
        is_on = self.rng.random() < 0.5
        if self.home.switch == STATE_UNAVAILABLE:
            return
        before = list(self.truth.car.answers) if self.truth.car else []
        if not is_on:
            # What the user has requested is shown until the cloud refuses it.
            self._possible = self._possible | {"held"}
        error = await self._call(
            OPERATION_MODE, SERVICE_TURN_ON if is_on else SERVICE_TURN_OFF
        )
        last = self.truth.car.answers[len(before) :] if self.truth.car else []
        if not is_on and error in REFUSALS:
            last = before
        else:
            self.truth.requested(allowed=is_on)
            # What is known of the car was read before the command, if it could be.
            session = self.charger.session
            self._session_before = session.id if session else None
            self._is_decided = self._is_known or self._has_rest
        if self.truth.car:
            self.truth.car.answers = last

    async def _auto_start(self) -> None:
        """Choose whether charging stays allowed."""
        is_on = self.rng.random() < 0.3
        await self._call(AUTO_START, SERVICE_TURN_ON if is_on else SERVICE_TURN_OFF)
        self.truth.set_auto_start(is_on=is_on)
        # Whether a car is connected may be unknown.
        self._is_decided &= self._is_known

    async def _app(self) -> None:
        """Pause or resume the car in Zaptec's app."""
        charger = self.charger
        if not charger.is_online or charger.is_stand_alone:
            return
        with suppress(CommandRejectedError):
            if self.rng.random() < 0.5:
                type(charger).stop_charging(charger)
            else:
                was_paused = charger.final_stop
                type(charger).resume_charging(charger)
                if was_paused:
                    self._resumed()
        self.truth.disturb()

    def _resumed(self) -> None:
        """Note that a car was resumed elsewhere."""
        self.truth.allowed = True
        self._is_decided &= self._is_known

    async def _authorize(self) -> None:
        """Show a card."""
        if self.charger.car and self.charger.mode is not Mode.DISCONNECTED:
            self._cards += 1
            self.charger.authorize(card=Card("card", f"{self._cards:08}"))
            self._is_decided &= self._is_known

    async def _car(self) -> None:
        """Let the car ask for current or not."""
        if self.charger.car:
            self.charger.set_car_wants(self.rng.random() < 0.7)

    # What the cloud and the charger do.

    async def _schedule(self) -> None:
        if self.charger.car and self.charger.is_online:
            self.charger.set_schedule(self.rng.choice((10, 300)))

    async def _limit(self) -> None:
        self.charger.set_max_current(self.rng.choice((0, 5, 10, 16, 32)))

    async def _available(self) -> None:
        if not self._has_rest:
            return
        current = self.rng.choice((0.0, 10.0, 16.0))
        self.charger.installation.available_current = (current,) * 3
        self.charger.installation.rebalance()
        await self.home.entry.runtime_data.coordinator.async_refresh()

    async def _fault(self) -> None:
        truth = self.truth
        truth.has_fault = not truth.has_fault
        self.charger.observe(StateId.WARNINGS, RELAY_WELDED if truth.has_fault else 0)

    async def _mode(self) -> None:
        if self.rng.random() < 0.5:
            self.charger.set_stand_alone(not self.charger.is_stand_alone)
        else:
            self.truth.is_disabled = not self.truth.is_disabled
            self.charger.observe(StateId.IS_ENABLED, not self.truth.is_disabled)
        self.truth.disturb()

    async def _deauthorize(self) -> None:
        """End the session; the car stays, although the charger may report no car."""
        if not self.charger.session or not self._is_known:
            return
        self.charger.end_session()
        self.truth.ended_at = self.truth.now
        self.truth.disturb()

    async def _reject(self) -> None:
        """Reject some pauses."""
        self.home.sim.rest.fail(
            "/sendCommand/506",
            fault=Rejection(528, "Not now"),
            times=self.rng.randint(1, 4),
        )

    async def _lose(self) -> None:
        """Lose some pauses on their way to the charger."""
        self._lost = self.rng.randint(1, 4)

    # Outages.

    def _begin_gap(self) -> None:
        """Note which session is known before nothing is reported for a while."""
        if self._is_known:
            session = self.charger.session
            self._session_before = session.id if session else None
        self.truth.disturb()

    async def _network(self) -> None:
        """Take the charger off its network, or back."""
        if self.charger.is_online:
            self._begin_gap()
            self.charger.set_offline()
        else:
            self.charger.set_online()
            await self._end_gap()

    async def _rest(self) -> None:
        """Cut the requests to the cloud off, or heal them."""
        self.truth.disturb()
        if self._has_rest:
            self.home.sim.rest.fail("/api/", fault="reset")
        else:
            self.home.sim.rest.heal()
        self._has_rest = not self._has_rest

    async def _messages(self) -> None:
        """Cut the messages off, or heal them."""
        if self._has_messages:
            self._begin_gap()
            self._has_messages = False
            await self.home.sim.bus.cut()
            return
        self.home.sim.rest.heal()
        self._has_rest = True
        await self.home.sim.bus.restore()
        links = self.home.entry.runtime_data.links
        await self.home.time_machine.travel_until(
            lambda: links.is_live(self.charger.id), step=2.0
        )
        self._has_messages = True
        await self._end_gap()

    async def _restart(self) -> None:
        """Restart Home Assistant, while something may happen."""
        if not (self._has_rest and self._is_known):
            return
        self._begin_gap()
        if self.truth.car and not self._session_before:
            # After a restart, it may be another car.
            self.truth.car.answers.clear()
            self.truth.car.by_itself = 0
        self._has_messages = False
        await self.home.stop()
        if self.rng.random() < 0.6:
            await self.rng.choice((self._plug, self._app))()
            self.home.sim.clock.advance(self.rng.choice((2, 20)))
        await self.home.start()
        self._has_messages = True
        await self._end_gap()

    async def _end_gap(self) -> None:
        """Let the integration follow what happened, and take over what it cannot know."""
        if self._is_known:
            self.truth.disturb()
            if self.truth.car and self.truth.car.is_unseen:
                # Only its session shows that it is another car.
                self.truth.car.is_unseen = False
                await self._authorize()
            await self.home.travel(3, step=1)
            if not self._is_decided:
                self.truth.allowed = None
                await self.home.travel(HELD_WITHIN, step=1)
                use = self.home.entry.runtime_data.holds[self.charger.id].last_use
                self.truth.allowed = use is not None and not use.held
                self._is_decided = True
            self._count_requests()
        self._possible = self.truth.statuses()
        self.shown.take()

    async def _recover(self) -> None:
        """End what is unusual, so that another walk can begin."""
        self._lost = 0
        if not self._has_messages:
            await self._messages()
        self.home.sim.rest.heal()
        if not self.charger.is_online:
            self.charger.set_online()
        if self.charger.is_stand_alone:
            self.charger.set_stand_alone(False)
        if self.truth.is_disabled:
            self.charger.observe(StateId.IS_ENABLED, True)
        if self.truth.has_fault:
            self.charger.observe(StateId.WARNINGS, 0)
        if self.charger.car:
            self.charger.unplug()
        self.charger.set_max_current(32)
        self.charger.installation.available_current = None
        await self.home.entry.runtime_data.coordinator.async_refresh()
        await self.home.travel(AWAY, step=3)
        await self._call(AUTO_START, SERVICE_TURN_ON)
        await self._call(OPERATION_MODE, SERVICE_TURN_ON)
        await self.home.travel(SESSION_ENDS, step=5)
