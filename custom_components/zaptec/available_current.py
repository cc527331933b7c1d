"""The vendor's rule for available currents: one change in 15 minutes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.event import async_track_point_in_utc_time
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from .api import Installation, ZaptecClient, ZaptecError, acts_by_itself, limits_time
from .commands import (
    PASSING_FAILURES,
    async_check_current_is_ours,
    async_turn,
    async_update_installation,
)
from .const import AVAILABLE_CURRENT_INTERVAL, CURRENT_MAX, DOMAIN, LOGGER
from .coordinator import ZaptecConfigEntry, ZaptecCoordinator

STORAGE_VERSION = 1

# When a wish whose time has come is tried again, after which failures, and until when.
WISH_RETRY = timedelta(minutes=1)
OVERDUE_MAX = timedelta(hours=1)
TRIES_MAX = 8

# The cloud may have carried it out all the same.
UNCERTAIN_FAILURES = ("cannot_connect", "uncertain")

# Of the phases L1 to L3 (A).
type Currents = tuple[float, float, float]


def held_currents(installation: Installation) -> Currents:
    """Return the available currents of an installation; without any, all it has."""
    everything = installation.max_current or CURRENT_MAX
    total = installation.available_current
    one, two, three = (
        total if phase is None else phase
        for phase in (
            installation.available_current_phase1,
            installation.available_current_phase2,
            installation.available_current_phase3,
        )
    )
    return (
        everything if one is None else one,
        everything if two is None else two,
        everything if three is None else three,
    )


class AvailableCurrent:
    """Sets the available current of an installation, not too often.

    The vendor asks for at most one change in 15 minutes (API usage guidelines,
    Dynamic load balancing). A reduction may protect a fuse and goes out at once.
    The newest wish for more waits until it may go out.
    """

    def __init__(
        self,
        coordinator: ZaptecCoordinator,
        installation_id: str,
        save: Callable[[], Awaitable[None]],
    ) -> None:
        """Initialize it with nothing to wait for."""
        self._coordinator = coordinator
        self._installation_id = installation_id
        self._save = save
        self._changed_at: datetime | None = None
        self._cancel_timer: CALLBACK_TYPE | None = None
        self._turn = asyncio.Lock()
        # What the cloud held when the wish was made, and how often it was tried.
        self._base: Currents | None = None
        self._tries = 0
        self.waiting: Currents | None = None
        self.due: datetime | None = None

    @limits_time
    async def async_set(self, wish: Currents, *, override: bool = False) -> None:
        """Set the currents, now or as soon as the vendor's rule allows.

        Args:
            wish: A, for each phase; it replaces the one that waits.
            override: Whether not to wait.

        Raises:
            HomeAssistantError: What can be done now was refused or failed.

        """
        async with async_turn(self._turn):
            await async_check_current_is_ours(self._coordinator, self._installation_id)
            self._forget_wish()
            try:
                await self._async_set(wish, override=override)
            finally:
                await self._save()

    async def _async_set(self, wish: Currents, *, override: bool) -> None:
        """Set what may be set now, and keep the rest for later."""
        free_at = self._free_at()
        if override or free_at <= dt_util.utcnow():
            await self._async_send(wish)
            return
        held = self._held()
        reduced = (
            min(wish[0], held[0]),
            min(wish[1], held[1]),
            min(wish[2], held[2]),
        )
        if reduced != held:
            await self._async_send(reduced)
            free_at = self._free_at()
        if reduced != wish:
            self._base = reduced
            self._wait(wish, free_at)

    def _held(self) -> Currents:
        """Return what the cloud holds, as far as is known."""
        installations = self._coordinator.data.installations
        return held_currents(
            installations.get(
                self._installation_id, Installation(id=self._installation_id)
            )
        )

    def _free_at(self) -> datetime:
        """Return when the next change may be made."""
        now = dt_util.utcnow()
        if self._changed_at is None:
            return now
        # A clock that was ahead must not make it wait for longer.
        self._changed_at = min(self._changed_at, now)
        return self._changed_at + AVAILABLE_CURRENT_INTERVAL

    async def _async_send(self, currents: Currents) -> None:
        """Set the currents now."""
        lowest = min(currents)
        changed_before = self._changed_at

        async def request(client: ZaptecClient) -> None:
            # Counted from the start: nobody may know whether it arrived.
            self._changed_at = dt_util.utcnow()
            if lowest == max(currents):
                await client.update_installation(
                    self._installation_id, available_current=lowest
                )
            else:
                await client.update_installation(
                    self._installation_id, available_current_phases=currents
                )

        def looked(installation: Installation) -> None:
            if held_currents(installation) != currents:
                self._changed_at = changed_before

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
                looked,
            )
        except HomeAssistantError as err:
            if err.translation_key not in UNCERTAIN_FAILURES:
                self._changed_at = changed_before
            raise

    @callback
    def _wait(self, wish: Currents, due: datetime) -> None:
        """Keep a wish until it may go out."""
        self.cancel_timer()
        self.waiting, self.due = wish, due

        @callback
        def send(_now: datetime) -> None:
            self._cancel_timer = None
            self._coordinator.config_entry.async_create_background_task(
                self._coordinator.hass,
                self._async_send_waiting(),
                name=f"{DOMAIN} available current",
            )

        self._cancel_timer = async_track_point_in_utc_time(
            self._coordinator.hass, send, due
        )
        self._coordinator.announce([self._installation_id])

    @acts_by_itself
    @limits_time
    async def _async_send_waiting(self) -> None:
        """Set the currents that have waited."""
        async with self._turn:
            wish, due = self.waiting, self.due
            if wish is None or due is None or self._cancel_timer:
                # Another wish came first.
                return
            self._tries += 1
            if self._tries > 1 and not await self._async_look():
                self._wait_longer(wish)
                return
            if self._held() == wish:
                reason = None
            elif self._base is not None and self._held() != self._base:
                reason = "it was changed elsewhere meanwhile"
            elif self._tries > TRIES_MAX or dt_util.utcnow() > due + OVERDUE_MAX:
                reason = "its time has passed"
            else:
                # Noted before it is sent: it must not go out again after a restart
                # without a look at whether it arrived.
                await self._save()
                try:
                    await self._async_send(wish)
                except HomeAssistantError as err:
                    if err.translation_key in PASSING_FAILURES:
                        LOGGER.debug(
                            "The available current has to wait: %s",
                            err.__cause__ or err,
                        )
                        self._wait_longer(wish)
                        return
                    # Not in the vendor's words, which are for a person alone.
                    reason = str(err.__cause__ or err)
                else:
                    reason = None
            if reason:
                LOGGER.warning(
                    "The available current of %g A that waited is given up: %s",
                    min(wish),
                    reason,
                )
            self._forget_wish()
            await self._save()

    async def _async_look(self) -> bool:
        """Look at what the cloud holds; return whether it could be asked."""
        try:
            await self._coordinator.async_read_installation(self._installation_id)
        except ZaptecError:
            return False
        return True

    @callback
    def _wait_longer(self, wish: Currents) -> None:
        """Try a wish again, after a pause that grows."""
        pause = min(WISH_RETRY * 2 ** (self._tries - 1), AVAILABLE_CURRENT_INTERVAL)
        self._wait(wish, dt_util.utcnow() + pause)

    @callback
    def _forget_wish(self) -> None:
        """Drop the wish that waits."""
        self._base, self._tries = None, 0
        if self.waiting is None:
            return
        self.cancel_timer()
        self.waiting = self.due = None
        self._coordinator.announce([self._installation_id])

    @callback
    def cancel_timer(self) -> None:
        """Send nothing any more by itself."""
        if self._cancel_timer:
            self._cancel_timer()
            self._cancel_timer = None

    def as_document(self) -> dict[str, Any]:
        """Return what has to outlive a restart."""
        return {
            "base": self._base,
            "changed_at": self._changed_at and self._changed_at.isoformat(),
            "due": self.due and self.due.isoformat(),
            "tries": self._tries,
            "waiting": self.waiting,
        }

    @callback
    def restore(self, document: Mapping[str, Any]) -> None:
        """Go on where it was before a restart."""
        self._changed_at = dt_util.parse_datetime(document["changed_at"] or "")
        due = dt_util.parse_datetime(document["due"] or "")
        if document["waiting"] and due:
            self._base = _currents(document["base"]) if document["base"] else None
            self._tries = document["tries"]
            latest = dt_util.utcnow() + AVAILABLE_CURRENT_INTERVAL
            self._wait(_currents(document["waiting"]), min(due, latest))


def _currents(stored: list[float]) -> Currents:
    """Return currents that were stored."""
    one, two, three = stored
    return (one, two, three)


class AvailableCurrents:
    """The available currents of all installations of an account."""

    def __init__(self, coordinator: ZaptecCoordinator) -> None:
        """Initialize them."""
        self._coordinator = coordinator
        self._store = wish_store(coordinator.hass, coordinator.config_entry)
        self._stored: dict[str, dict[str, Any]] = {}
        self._currents: dict[str, AvailableCurrent] = {}
        self._stopped = False

    async def async_load(self) -> None:
        """Go on where it was before a restart."""
        self._stored = await self._store.async_load() or {}
        for installation_id, document in self._stored.items():
            if installation_id in self._coordinator.data.installations:
                self.of(installation_id).restore(document)

    def of(self, installation_id: str) -> AvailableCurrent:
        """Return that of an installation."""
        if installation_id not in self._currents:
            self._currents[installation_id] = AvailableCurrent(
                self._coordinator, installation_id, self._async_save
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
        """Send and store nothing any more."""
        self._stopped = True
        for current in self._currents.values():
            current.cancel_timer()


def wish_store(
    hass: HomeAssistant, entry: ZaptecConfigEntry
) -> Store[dict[str, dict[str, Any]]]:
    """Return where an account's wishes are kept."""
    return Store(hass, STORAGE_VERSION, f"{DOMAIN}.{entry.entry_id}")
