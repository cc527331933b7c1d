"""The vendor's rule for available currents: one change in 15 minutes."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError

from ..api import (
    Account,
    Installation,
    ZaptecClient,
    ZaptecError,
    acts_by_itself,
    limits_time,
)
from ..const import CURRENT_MAX, DOMAIN, LOGGER
from .batch import CALM_TIME_MAX, Batch, Batches
from .changes import Change, Changes
from .checks import check_current
from .current_events import CurrentEvents
from .currents import (
    Currents,
    has_available_current,
    held_currents,
    lowest_currents,
    rounded_currents,
)
from .errors import is_refusal, is_uncertain
from .installation import InstallationControl
from .locks import async_hold
from .queued_current import QueuedCurrent
from .recent_changes import (
    INTERVAL,
    RecentChanges,
    as_text,
    current_store,
    recent_changes,
)

# Starts a coroutine that ends with the account.
type CreateTask = Callable[[Coroutine[Any, Any, None], str], object]


@dataclass(frozen=True, slots=True)
class _Request:
    """Currents that are requested, and whether they may break the vendor's rule."""

    currents: Currents
    override: bool


def _merge(earlier: _Request, newest: _Request) -> _Request:
    """Return the newest request; an override of one of them counts for both."""
    return replace(newest, override=earlier.override or newest.override)


class AvailableCurrent:
    """Sets the available current of an installation, not too often.

    The vendor asks for at most one change in 15 minutes (API usage guidelines,
    Dynamic load balancing). A reduction may protect a fuse and is never held back.
    The newest increase is queued until it may be sent.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        installation_id: str,
        control: InstallationControl,
        recent: RecentChanges,
        *,
        account: Callable[[], Account],
        batches: Batches,
        notify: Callable[[str], None],
        create_task: CreateTask,
        save: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Initialize it with an empty queue.

        Args:
            hass: Home Assistant.
            installation_id: The installation.
            control: Changes and reads installations.
            recent: When the available currents changed last.
            account: Returns the installations.
            batches: The requests that are sent when the account is unloaded.
            notify: Called with the id of the installation when the queue has changed.
            create_task: Starts a coroutine that ends with the account.
            save: Stores what has to outlive a restart.

        """
        self._hass = hass
        self._installation_id = installation_id
        self._control = control
        self._recent = recent
        self._account = account
        self._notify = notify
        self._create_task = create_task
        self._save = save
        self._batch = batches.add(Batch(hass, self._async_set, _merge))
        self._lock = asyncio.Lock()
        self._changes = Changes(installation_id, recent)
        self.queue = QueuedCurrent(hass, self._send_queued, self._queue_changed)
        self._events = CurrentEvents(hass, installation_id)

    @property
    def waiting(self) -> Currents | None:
        """Return the currents that are queued, None if there are none."""
        return self.queue.currents

    @property
    def due(self) -> datetime | None:
        """Return when they are sent."""
        return self.queue.due

    @limits_time
    async def async_set(self, currents: Currents, *, override: bool = False) -> None:
        """Set the currents, now or as soon as the vendor's rule allows.

        Requests that follow each other within a moment are sent as one.

        Args:
            currents: A, for each phase; they replace those that are queued.
            override: Whether not to wait for the 15 minutes.

        Raises:
            HomeAssistantError: The part that can be set now was refused or failed.

        """
        installation = self._account().installations.get(self._installation_id)
        highest = installation.max_current if installation else None
        # The current value may be above a limit that was lowered since.
        currents = rounded_currents(
            currents, max(highest or CURRENT_MAX, *self._held())
        )
        for current in currents:
            check_current(current)
        await self._control.async_check_current_is_settable(self._installation_id)
        is_idle = not self._batch.is_busy and not self._lock.locked()
        if is_idle and await self._async_is_held(currents):
            async with async_hold(self._lock):
                await self._async_clear_queue()
            return
        await self._batch.async_request(_Request(currents, override))

    async def _async_set(self, request: _Request) -> None:
        """Set the currents while the lock is held, and store the outcome."""
        async with async_hold(self._lock):
            try:
                await self._async_set_or_queue(request)
            except HomeAssistantError as err:
                # A refused request changes nothing, so the queued one still counts. But
                # after a reduction that failed, an older increase must not follow.
                if not is_refusal(err):
                    self.queue.clear()
                raise
            finally:
                await self._save()

    async def _async_set_or_queue(self, request: _Request) -> None:
        """Send the part that the rule allows now, and queue the rest."""
        currents = request.currents
        if await self._async_is_held(currents):
            self.queue.clear()
            return
        if request.override or self._free_at() <= self._now():
            await self._async_send(currents)
            self.queue.clear()
            return
        # After a change of unknown outcome the cloud holds either the old or the new
        # currents. Below the higher of both, the request may be a reduction, which is
        # sent at once.
        ceiling = self._changes.ceiling(self._held())
        reduced = lowest_currents(currents, ceiling)
        if reduced != ceiling:
            await self._async_send(reduced)
        if {self._held(), *self._changes.currents} == {currents}:
            self.queue.clear()
            return
        self.queue.put(currents, self._free_at(), self._held())
        self._events.queued(currents, self.due)

    @callback
    def _queue_changed(self) -> None:
        """Notify the entities that show the queue."""
        self._notify(self._installation_id)

    def _now(self) -> float:
        """Return the time of the event loop (seconds)."""
        return self._hass.loop.time()

    def _held(self) -> Currents:
        """Return the currents that the cloud held when it was last read."""
        return held_currents(
            self._account().installations.get(
                self._installation_id, Installation(id=self._installation_id)
            )
        )

    async def _async_is_held(self, currents: Currents) -> bool:
        """Return whether the cloud certainly holds these currents; read it if necessary."""
        return (
            self._seems_held(currents)
            and await self._control.async_is_certain(self._installation_id)
            # The reading may have shown others.
            and self._seems_held(currents)
        )

    def _seems_held(self, currents: Currents) -> bool:
        """Return whether the cloud held these currents when it reported them last."""
        installation = self._account().installations.get(self._installation_id)
        return (
            installation is not None
            and has_available_current(installation)
            and held_currents(installation) == currents
            and not self._changes.last
        )

    def _free_at(self) -> float:
        """Return when the next change may be made."""
        changed_at = self._changes.changed_at
        return self._now() if changed_at is None else changed_at + INTERVAL

    async def _async_send(self, currents: Currents) -> None:
        """Set the currents now."""
        lowest = min(currents)
        change = Change(self._held(), currents, self._now())

        async def request(client: ZaptecClient) -> None:
            # The 15 minutes begin here, because the outcome may stay unknown.
            change.sent_at = self._now()
            self._changes.begin(change)
            if lowest == max(currents):
                await client.update_installation(
                    self._installation_id, available_current=lowest
                )
            else:
                await client.update_installation(
                    self._installation_id, available_current_phases=currents
                )

        try:
            await self._control.async_update(
                self._installation_id,
                request,
                lambda installation: replace(
                    installation,
                    available_current=lowest,
                    available_current_phase1=currents[0],
                    available_current_phase2=currents[1],
                    available_current_phase3=currents[2],
                ),
                lambda installation: self._checked(change, installation),
            )
        except HomeAssistantError as err:
            if not is_uncertain(err):
                self._changes.fail(change)
            raise
        self._changes.succeed(change)

    @callback
    def _checked(self, change: Change, installation: Installation) -> None:
        """Evaluate a reading of the installation after a change of unknown outcome."""
        if change not in self._changes:
            # A later change has succeeded since, and its time counts.
            return
        self._resolve(change, held_currents(installation))
        if self.waiting is None:
            return
        if not self._changes.last and self.waiting == held_currents(installation):
            self.queue.clear()
        elif self.queue.tries == 0:
            # If the change that it waits for was never made, it can be sent earlier.
            self.queue.advance(max(self._free_at(), self._now()))
        self._create_task(self._save(), f"{DOMAIN} available current")

    @callback
    def _resolve(self, last: Change, found: Currents) -> None:
        """Settle the changes up to one of them, after a reading of the installation."""
        if self._changes.settle(last, found):
            # No other program has changed it, so a queued current may follow.
            self.queue.base = found

    @callback
    def _send_queued(self) -> None:
        """Set the queued currents in the background."""
        self._create_task(self._async_send_queued(), f"{DOMAIN} available current")

    @acts_by_itself
    @limits_time
    async def _async_send_queued(self) -> None:
        """Set the currents that were queued."""
        is_known = True
        if self._is_due() and (self.queue.tries or self._changes.last):
            # Read without the lock: a cloud that does not answer must not block a
            # request of the user.
            is_known = await self._async_look()
        async with self._lock:
            # A request of the user may have replaced it meanwhile.
            if not self._is_due() or (queued := self.waiting) is None:
                return
            self.queue.tries += 1
            if not is_known:
                self.queue.retry()
                return
            try:
                reason = await self._async_try_queued(queued)
            except HomeAssistantError as err:
                if not is_refusal(err):
                    LOGGER.debug(
                        "The available current has to wait: %s", err.__cause__ or err
                    )
                    self.queue.retry()
                    return
                # The text of the cloud is meant for the user, and kept out of the log.
                reason = str(err.__cause__ or err)
            if reason:
                LOGGER.warning(
                    "The available current of %g A that waited is given up: %s",
                    min(queued),
                    reason,
                )
                self._events.given_up(queued, self.due)
            self._events.settled()
            await self._async_clear_queue()

    async def _async_try_queued(self, queued: Currents) -> str | None:
        """Send the queued currents, if they still count; return why they do not.

        Raises:
            HomeAssistantError: It was refused or failed.

        """
        if self._held() == queued:
            return None
        if self.queue.base is not None and self._held() != self.queue.base:
            return "it was changed elsewhere meanwhile"
        if self.queue.is_given_up:
            return "its time has passed"
        # Store the try before it is sent: after a restart, the cloud has to be read
        # before the same current is sent again.
        await self._save()
        await self._async_send(queued)
        return None

    @callback
    def _is_due(self) -> bool:
        """Return whether the queued currents are to be sent now."""
        if not self.queue.is_due:
            # Another request came first, or the installation is missing.
            return False
        if self._batch.is_busy:
            # A newer request, perhaps a reduction, is about to be sent instead. The
            # queued current follows only if the cloud refuses that request.
            self.queue.hold_back(CALM_TIME_MAX)
            return False
        return True

    async def _async_look(self) -> bool:
        """Read the installation; return whether that succeeded."""
        last = self._changes.last
        try:
            await self._control.async_refresh(self._installation_id)
        except ZaptecError:
            return False
        if last:
            self._resolve(last, self._held())
        return True

    async def _async_clear_queue(self) -> None:
        """Clear the queue, and store that."""
        if self.waiting is not None:
            self.queue.clear()
            await self._save()

    def as_document(self) -> dict[str, Any]:
        """Return the data that has to survive a restart."""
        changed_at = self._changes.changed_at
        return {
            **self.queue.as_document(),
            "changed_at": None
            if changed_at is None
            else as_text(self._now(), changed_at),
            "uncertain": self._changes.currents,
        }

    @callback
    def restore(self, document: Mapping[str, Any], *, is_listed: bool) -> None:
        """Restore the state from before a restart."""
        self._recent.take_in({self._installation_id: document["changed_at"]})
        if not self.queue.restore(document):
            return
        # The list that was just read shows whether a change before the restart was made.
        if is_listed and list(self._held()) in document.get("uncertain", []):
            self.queue.base = self._held()
        self.queue.set_listed(is_listed=is_listed)


class AvailableCurrents:
    """The available currents of all installations of an account."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry_id: str,
        control: InstallationControl,
        *,
        account: Callable[[], Account],
        batches: Batches,
        notify: Callable[[str], None],
        create_task: CreateTask,
    ) -> None:
        """Initialize the available currents; for the arguments see `AvailableCurrent`."""
        self._account = account
        self._store = current_store(hass, entry_id)
        self._stored: dict[str, dict[str, Any]] = {}
        self._currents: dict[str, AvailableCurrent] = {}
        self._stopped = False
        self._create = partial(
            AvailableCurrent,
            hass,
            control=control,
            recent=recent_changes(hass),
            account=account,
            batches=batches,
            notify=notify,
            create_task=create_task,
            save=self._async_save,
        )

    async def async_load(self) -> None:
        """Restore the state from before a restart."""
        self._stored = await self._store.async_load() or {}
        listed = self._account().installations
        for installation_id, document in self._stored.items():
            self.of(installation_id).restore(
                document, is_listed=installation_id in listed
            )

    @callback
    def follow_discovery(self) -> None:
        """Update which installations the account's list contains."""
        listed = self._account().installations
        for installation_id, current in self._currents.items():
            current.queue.set_listed(is_listed=installation_id in listed)

    def of(self, installation_id: str) -> AvailableCurrent:
        """Return the available current of an installation."""
        if installation_id not in self._currents:
            self._currents[installation_id] = self._create(installation_id)
        return self._currents[installation_id]

    async def _async_save(self) -> None:
        """Store the data of all installations, including those that are missing."""
        if self._stopped:
            return
        self._stored |= {
            installation_id: current.as_document()
            for installation_id, current in self._currents.items()
        }
        await self._store.async_save(self._stored)

    @callback
    def stop(self) -> None:
        """Stop: send and store nothing from now on."""
        self._stopped = True
        for current in self._currents.values():
            current.queue.stop()
