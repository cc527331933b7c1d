"""The vendor's rule for available currents: one change in 15 minutes."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from homeassistant.components.number import DOMAIN as NUMBER_DOMAIN
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import CALLBACK_TYPE, HassJob, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_call_later
from homeassistant.util import dt as dt_util

from ..api import Installation, ZaptecClient, ZaptecError, acts_by_itself, limits_time
from ..const import (
    ATTR_CURRENTS,
    ATTR_OUTCOME,
    ATTR_UNTIL,
    CURRENT_MAX,
    DOMAIN,
    EVENT_AVAILABLE_CURRENT,
    LOGGER,
    PendingOutcome,
)
from ..coordinator import ZaptecCoordinator
from .batch import CALM_TIME_MAX, Batch
from .checks import check_current
from .currents import (
    Currents,
    has_available_current,
    held_currents,
    highest_currents,
    lowest_currents,
    rounded_currents,
)
from .errors import UNCERTAIN_FAILURES, is_refusal
from .installation import async_check_current_is_settable, async_update_installation
from .locks import async_hold
from .recent_changes import (
    INTERVAL,
    RecentChanges,
    as_moment,
    as_text,
    current_store,
    recent_changes,
)

# All times of this file are those of the event loop (seconds), which no change of the
# wall clock moves. Only what is stored or shown is converted.


# Delay before a waiting current is tried again after a passing failure, and the limits
# after which it is given up (seconds).
RETRY_DELAY = 60.0
OVERDUE_MAX = 3600.0
TRIES_MAX = 8

# Longest time that a waiting current is kept for an installation that is missing from
# the account's list (seconds).
MISSING_MAX = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Request:
    """Currents that are requested, and whether they may break the vendor's rule."""

    currents: Currents
    override: bool


def _merge(earlier: _Request, newest: _Request) -> _Request:
    """Return the newest request; an override of one of them counts for both."""
    return replace(newest, override=earlier.override or newest.override)


@dataclass(eq=False, slots=True)
class _Attempt:
    """A change that was sent, of which no answer says whether the cloud made it."""

    before: Currents
    currents: Currents
    sent_at: float


class AvailableCurrent:
    """Sets the available current of an installation, not too often.

    The vendor asks for at most one change in 15 minutes (API usage guidelines,
    Dynamic load balancing). A reduction may protect a fuse and is never held back.
    The newest increase waits until it may be sent.
    """

    def __init__(
        self,
        coordinator: ZaptecCoordinator,
        installation_id: str,
        save: Callable[[], Coroutine[Any, Any, None]],
        recent: RecentChanges,
    ) -> None:
        """Initialize it with nothing to wait for."""
        self._coordinator = coordinator
        self._hass = coordinator.hass
        self._installation_id = installation_id
        self._save = save
        self._recent = recent
        self._batch = coordinator.batches.add(
            Batch(coordinator.hass, self._async_set, _merge)
        )
        self._cancel_timer: CALLBACK_TYPE | None = None
        self._is_stopped = False
        self._turn = asyncio.Lock()
        # The changes since the last answer or look at the cloud, the oldest first.
        self._attempts: list[_Attempt] = []
        # What the cloud held when a current began to wait, and how often that was tried.
        self._base: Currents | None = None
        self._tries = 0
        self._due_at = 0.0
        # When the event of a current that waits was fired last.
        self._announced_at: float | None = None
        # Since when the installation has been missing from the account's list.
        self._missing_since: float | None = None
        self.waiting: Currents | None = None
        self.due: datetime | None = None

    @limits_time
    async def async_set(self, currents: Currents, *, override: bool = False) -> None:
        """Set the currents, now or as soon as the vendor's rule allows.

        Requests that follow each other within a moment are sent as one.

        Args:
            currents: A, for each phase; they replace those that wait.
            override: Whether not to wait for the 15 minutes.

        Raises:
            HomeAssistantError: What can be done now was refused or failed.

        """
        installations = self._coordinator.data.installations
        installation = installations.get(self._installation_id)
        highest = installation.max_current if installation else None
        # What is held may be above a limit that was lowered since.
        currents = rounded_currents(
            currents, max(highest or CURRENT_MAX, *self._held())
        )
        for current in currents:
            check_current(current)
        await async_check_current_is_settable(self._coordinator, self._installation_id)
        is_idle = not self._batch.is_busy and not self._turn.locked()
        if is_idle and await self._async_is_held(currents):
            async with async_hold(self._turn):
                await self._async_forget_waiting()
            return
        await self._batch.async_request(_Request(currents, override))

    async def _async_set(self, request: _Request) -> None:
        """Set what may be set now, and keep the rest for later."""
        async with async_hold(self._turn):
            try:
                await self._async_set_or_wait(request)
            except HomeAssistantError as err:
                # A refused request changes nothing, so what waits is still wanted. But
                # after a reduction that failed, an older increase must not follow.
                if not is_refusal(err):
                    self._forget_waiting()
                raise
            finally:
                await self._save()

    async def _async_set_or_wait(self, request: _Request) -> None:
        """Send what may be sent now, and let the rest wait."""
        currents = request.currents
        if await self._async_is_held(currents):
            self._forget_waiting()
            return
        if request.override or self._free_at() <= self._now():
            await self._async_send(currents)
            self._forget_waiting()
            return
        # After a change of unknown outcome the cloud may hold either. What is below
        # the higher one may be a reduction, and is sent at once.
        ceiling = self._ceiling()
        reduced = lowest_currents(currents, ceiling)
        if reduced != ceiling:
            await self._async_send(reduced)
        if all(possible == currents for possible in self._possible()):
            self._forget_waiting()
            return
        self._base, self._tries = self._held(), 0
        self._wait(currents, self._free_at())
        self._announce_waiting(currents)

    @callback
    def _announce_waiting(self, currents: Currents) -> None:
        """Fire the event, unless one was fired lately: a load balancer asks often."""
        now = self._now()
        if self._announced_at is None or self._announced_at + INTERVAL <= now:
            self._announced_at = now
            self._fire(PendingOutcome.PENDING, currents)

    @callback
    def _fire(self, outcome: PendingOutcome, currents: Currents) -> None:
        """Fire the event that the activity log shows."""
        entity_id = er.async_get(self._hass).async_get_entity_id(
            NUMBER_DOMAIN, DOMAIN, f"{self._installation_id}_available_current"
        )
        self._hass.bus.async_fire(
            EVENT_AVAILABLE_CURRENT,
            {
                ATTR_ENTITY_ID: entity_id,
                ATTR_OUTCOME: outcome.value,
                ATTR_CURRENTS: list(currents),
                ATTR_UNTIL: self.due and self.due.isoformat(),
            },
        )

    def _now(self) -> float:
        """Return the time of the event loop (seconds)."""
        return self._hass.loop.time()

    def _held(self) -> Currents:
        """Return what the cloud held at the last look at it."""
        installations = self._coordinator.data.installations
        return held_currents(
            installations.get(
                self._installation_id, Installation(id=self._installation_id)
            )
        )

    def _possible(self) -> list[Currents]:
        """Return all that the cloud may hold."""
        return [self._held(), *(attempt.currents for attempt in self._attempts)]

    def _ceiling(self) -> Currents:
        """Return the highest currents that the cloud may hold."""
        ceiling, *others = self._possible()
        for possible in others:
            ceiling = highest_currents(ceiling, possible)
        return ceiling

    async def _async_is_held(self, currents: Currents) -> bool:
        """Return whether the cloud certainly holds these currents, after a look at it."""
        return (
            self._seems_held(currents)
            and await self._coordinator.async_is_installation_certain(
                self._installation_id
            )
            # The look may have found others.
            and self._seems_held(currents)
        )

    def _seems_held(self, currents: Currents) -> bool:
        """Return whether the cloud held these currents when it reported them last."""
        installation = self._coordinator.data.installations.get(self._installation_id)
        return (
            installation is not None
            and has_available_current(installation)
            and held_currents(installation) == currents
            and not self._attempts
        )

    def _free_at(self) -> float:
        """Return when the next change may be made."""
        changed_at = self._changed_at()
        return self._now() if changed_at is None else changed_at + INTERVAL

    def _changed_at(self) -> float | None:
        """Return when the last change was made, one of unknown outcome included."""
        if self._attempts:
            return self._attempts[-1].sent_at
        return self._recent.changed_at(self._installation_id)

    async def _async_send(self, currents: Currents) -> None:
        """Set the currents now."""
        lowest = min(currents)
        attempt = _Attempt(self._held(), currents, self._now())

        async def request(client: ZaptecClient) -> None:
            # Counted from the start, as the outcome may stay unknown.
            attempt.sent_at = self._now()
            self._attempts.append(attempt)
            if lowest == max(currents):
                await client.update_installation(
                    self._installation_id, available_current=lowest
                )
            else:
                await client.update_installation(
                    self._installation_id, available_current_phases=currents
                )

        try:
            await async_update_installation(
                self._coordinator,
                self._installation_id,
                request,
                lambda installation: replace(
                    installation,
                    available_current=lowest,
                    available_current_phase1=currents[0],
                    available_current_phase2=currents[1],
                    available_current_phase3=currents[2],
                ),
                lambda installation: self._looked(attempt, installation),
            )
        except HomeAssistantError as err:
            if err.translation_key not in UNCERTAIN_FAILURES:
                self._attempts = [item for item in self._attempts if item != attempt]
            raise
        self._recent.note(self._installation_id, attempt.sent_at)
        self._attempts.clear()

    @callback
    def _looked(self, attempt: _Attempt, installation: Installation) -> None:
        """Take in a look at the cloud, some time after a change of unknown outcome."""
        if attempt not in self._attempts:
            # A later change has succeeded since, and counts from its own time.
            return
        self._resolve(attempt, held_currents(installation))
        if self.waiting is None:
            return
        if not self._attempts and self.waiting == held_currents(installation):
            self._forget_waiting()
        elif self._tries == 0:
            # Sooner, if the change that it would have to wait for was never made.
            free_at = max(self._free_at(), self._now())
            self._wait(self.waiting, min(self._due_at, free_at))
        self._coordinator.config_entry.async_create_background_task(
            self._hass, self._save(), name=f"{DOMAIN} available current"
        )

    @callback
    def _resolve(self, last: _Attempt, found: Currents) -> None:
        """Settle the changes up to one, as a look at the cloud has shown what it holds."""
        attempts = self._attempts
        if any(found in (item.before, item.currents) for item in attempts):
            # No other program has changed it, so a current that waits may follow.
            self._base = found
        while last in self._attempts:
            attempt = self._attempts.pop(0)
            if attempt.currents == found:
                self._recent.note(self._installation_id, attempt.sent_at)

    @callback
    def _wait(self, currents: Currents, due_at: float) -> None:
        """Keep currents until they may be sent."""
        self._stop_timer()
        self.waiting, self._due_at = currents, due_at
        left = due_at - self._now()
        self.due = dt_util.utcnow() + timedelta(seconds=left)

        @callback
        def send(_now: datetime) -> None:
            self._cancel_timer = None
            self._coordinator.config_entry.async_create_background_task(
                self._hass,
                self._async_send_waiting(),
                name=f"{DOMAIN} available current",
            )

        if not self._is_stopped:
            self._cancel_timer = async_call_later(
                self._hass, max(left, 0.0), HassJob(send)
            )
        self._coordinator.listeners.notify([self._installation_id])

    @acts_by_itself
    @limits_time
    async def _async_send_waiting(self) -> None:
        """Set the currents that have waited."""
        is_known = True
        if self._is_due() and (self._tries or self._attempts):
            # Not in its turn: a cloud that does not answer must not hold back what the
            # user requests meanwhile.
            is_known = await self._async_look()
        async with self._turn:
            # What the user has requested meanwhile may have replaced it.
            if not self._is_due() or (waiting := self.waiting) is None:
                return
            self._tries += 1
            if not is_known:
                self._wait_longer(waiting)
                return
            if self._held() == waiting:
                reason = None
            elif self._base is not None and self._held() != self._base:
                reason = "it was changed elsewhere meanwhile"
            elif self._tries > TRIES_MAX or self._now() > self._due_at + OVERDUE_MAX:
                reason = "its time has passed"
            else:
                # Noted before it is sent: it must not be sent again after a restart
                # without a look at whether it arrived.
                await self._save()
                try:
                    await self._async_send(waiting)
                except HomeAssistantError as err:
                    if not is_refusal(err):
                        LOGGER.debug(
                            "The available current has to wait: %s",
                            err.__cause__ or err,
                        )
                        self._wait_longer(waiting)
                        return
                    # The vendor's words are for the user's eyes alone, not for the log.
                    reason = str(err.__cause__ or err)
                else:
                    reason = None
            if reason:
                LOGGER.warning(
                    "The available current of %g A that waited is given up: %s",
                    min(waiting),
                    reason,
                )
                self._fire(PendingOutcome.GIVEN_UP, waiting)
            self._announced_at = None
            await self._async_forget_waiting()

    @callback
    def _is_due(self) -> bool:
        """Return whether what waits is to be sent now."""
        if self.waiting is None or self._cancel_timer:
            # Another request came first.
            return False
        if self._missing_since is not None:
            # Sent when the installation is in the account's list again.
            return False
        if self._batch.is_busy:
            # A newer request, perhaps a reduction, is about to be sent instead.
            # Only if the cloud refuses that one, this one follows.
            self._wait(self.waiting, self._now() + CALM_TIME_MAX)
            return False
        return True

    async def _async_look(self) -> bool:
        """Look at what the cloud holds; return whether it could be asked."""
        last = self._attempts[-1] if self._attempts else None
        try:
            await self._coordinator.async_read_installation(self._installation_id)
        except ZaptecError:
            return False
        if last:
            self._resolve(last, self._held())
        return True

    @callback
    def _wait_longer(self, waiting: Currents) -> None:
        """Try again what waits, after a delay that grows."""
        delay = min(RETRY_DELAY * 2 ** (self._tries - 1), INTERVAL)
        self._wait(waiting, self._now() + delay)

    async def _async_forget_waiting(self) -> None:
        """Drop what waits, also from the store."""
        if self.waiting is not None:
            self._forget_waiting()
            await self._save()

    @callback
    def _forget_waiting(self) -> None:
        """Drop what waits."""
        self._base, self._tries = None, 0
        if self.waiting is None:
            return
        self._stop_timer()
        self.waiting = self.due = None
        self._coordinator.listeners.notify([self._installation_id])

    @callback
    def stop(self) -> None:
        """Send nothing more by itself."""
        self._is_stopped = True
        self._stop_timer()

    @callback
    def _stop_timer(self) -> None:
        """Cancel the timer, if there is one."""
        if self._cancel_timer:
            self._cancel_timer()
            self._cancel_timer = None

    @callback
    def set_listed(self, *, is_listed: bool) -> None:
        """Note whether the account's list has the installation.

        What waits for an installation that is missing is sent once that is back,
        although its time has passed meanwhile.
        """
        now = self._now()
        if not is_listed:
            if self._missing_since is None:
                self._missing_since = now
            return
        if (missing_since := self._missing_since) is None:
            return
        self._missing_since = None
        if self.waiting is None:
            return
        was_overdue = missing_since > self._due_at + OVERDUE_MAX
        if not was_overdue and now - missing_since < MISSING_MAX:
            self._due_at = max(self._due_at, now)
        self._wait(self.waiting, self._due_at)

    def as_document(self) -> dict[str, Any]:
        """Return what has to outlive a restart."""
        now, changed_at = self._now(), self._changed_at()
        return {
            "base": self._base,
            "changed_at": None if changed_at is None else as_text(now, changed_at),
            "due": None if self.waiting is None else as_text(now, self._due_at),
            "tries": self._tries,
            "uncertain": [attempt.currents for attempt in self._attempts],
            "waiting": self.waiting,
        }

    @callback
    def restore(self, document: Mapping[str, Any], *, is_listed: bool) -> None:
        """Continue where it was before a restart."""
        now = self._now()
        self._recent.take_in({self._installation_id: document["changed_at"]})
        due_at = as_moment(now, document["due"])
        if not document["waiting"] or due_at is None:
            return
        self._base = _currents(document["base"]) if document["base"] else None
        self._tries = document["tries"]
        self._due_at = min(due_at, now + INTERVAL)
        self.waiting = _currents(document["waiting"])
        # The list that was just read shows what became of changes before the restart.
        if is_listed and list(self._held()) in document.get("uncertain", []):
            self._base = self._held()
        self._missing_since = now
        self.set_listed(is_listed=is_listed)


def _currents(stored: list[float]) -> Currents:
    """Return currents that were stored."""
    one, two, three = stored
    return rounded_currents((one, two, three))


class AvailableCurrents:
    """The available currents of all installations of an account."""

    def __init__(self, coordinator: ZaptecCoordinator) -> None:
        """Initialize them."""
        self._coordinator = coordinator
        self._recent = recent_changes(coordinator.hass)
        self._store = current_store(coordinator.hass, coordinator.config_entry)
        self._stored: dict[str, dict[str, Any]] = {}
        self._currents: dict[str, AvailableCurrent] = {}
        self._stopped = False

    async def async_load(self) -> None:
        """Continue where it was before a restart."""
        self._stored = await self._store.async_load() or {}
        listed = self._coordinator.data.installations
        for installation_id, document in self._stored.items():
            self.of(installation_id).restore(
                document, is_listed=installation_id in listed
            )

    @callback
    def follow_discovery(self) -> None:
        """Note which installations the account's list has now."""
        listed = self._coordinator.data.installations
        for installation_id, current in self._currents.items():
            current.set_listed(is_listed=installation_id in listed)

    def of(self, installation_id: str) -> AvailableCurrent:
        """Return that of an installation."""
        if installation_id not in self._currents:
            self._currents[installation_id] = AvailableCurrent(
                self._coordinator, installation_id, self._async_save, self._recent
            )
        return self._currents[installation_id]

    async def _async_save(self) -> None:
        """Store what has to outlive a restart, that of missing installations too."""
        if self._stopped:
            return
        self._stored |= {
            installation_id: current.as_document()
            for installation_id, current in self._currents.items()
        }
        await self._store.async_save(self._stored)

    @callback
    def stop(self) -> None:
        """Send and store nothing more."""
        self._stopped = True
        for current in self._currents.values():
            current.stop()
