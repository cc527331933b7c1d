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

from .api import Installation
from .commands import async_check_current_is_ours, async_update_installation
from .const import AVAILABLE_CURRENT_INTERVAL, CURRENT_MAX, DOMAIN, LOGGER
from .coordinator import ZaptecConfigEntry, ZaptecCoordinator

STORAGE_VERSION = 1

# When a wish whose time has come is tried again, and after which failures.
WISH_RETRY = timedelta(minutes=1)
PASSING_FAILURES = ("cannot_connect", "cloud_busy", "uncertain")

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
        self.waiting: Currents | None = None
        self.due: datetime | None = None

    async def async_set(self, wish: Currents, *, override: bool = False) -> None:
        """Set the currents, now or as soon as the vendor's rule allows.

        Args:
            wish: A, for each phase; it replaces the one that waits.
            override: Whether not to wait.

        Raises:
            HomeAssistantError: What can be done now was refused or failed.

        """
        async with self._turn:
            await async_check_current_is_ours(self._coordinator, self._installation_id)
            self._forget_wish()
            try:
                await self._async_set(wish, override=override)
            finally:
                await self._save()

    async def _async_set(self, wish: Currents, *, override: bool) -> None:
        """Set what may be set now, and keep the rest for later."""
        if override or not self._is_too_soon():
            await self._async_send(wish)
            return
        held = held_currents(
            self._coordinator.data.installations[self._installation_id]
        )
        reduced = (
            min(wish[0], held[0]),
            min(wish[1], held[1]),
            min(wish[2], held[2]),
        )
        if reduced != held:
            await self._async_send(reduced)
        if reduced != wish and self._changed_at:
            self._wait(wish, self._changed_at + AVAILABLE_CURRENT_INTERVAL)

    def _is_too_soon(self) -> bool:
        """Return whether the last change was made within the interval."""
        return (
            self._changed_at is not None
            and dt_util.utcnow() < self._changed_at + AVAILABLE_CURRENT_INTERVAL
        )

    async def _async_send(self, currents: Currents) -> None:
        """Set the currents now."""
        lowest = min(currents)
        await async_update_installation(
            self._coordinator,
            self._installation_id,
            lambda client: (
                client.update_installation(
                    self._installation_id, available_current=lowest
                )
                if lowest == max(currents)
                else client.update_installation(
                    self._installation_id, available_current_phases=currents
                )
            ),
            lambda installation: replace(
                installation,
                available_current=lowest,
                available_current_phase1=currents[0],
                available_current_phase2=currents[1],
                available_current_phase3=currents[2],
            ),
        )
        self._changed_at = dt_util.utcnow()

    @callback
    def _wait(self, wish: Currents, due: datetime) -> None:
        """Keep a wish until it may go out."""
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

    async def _async_send_waiting(self) -> None:
        """Set the currents that have waited."""
        async with self._turn:
            wish = self.waiting
            if wish is None or self._cancel_timer:
                # Another wish came first.
                return
            try:
                await self._async_send(wish)
            except HomeAssistantError as err:
                if err.translation_key in PASSING_FAILURES:
                    LOGGER.debug("The available current has to wait: %s", err)
                    self._wait(wish, dt_util.utcnow() + WISH_RETRY)
                    return
                LOGGER.warning("An available current that waited is given up: %s", err)
            self._forget_wish()
            await self._save()

    @callback
    def _forget_wish(self) -> None:
        """Drop the wish that waits."""
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
            "changed_at": self._changed_at and self._changed_at.isoformat(),
            "waiting": self.waiting,
        }

    @callback
    def restore(self, document: Mapping[str, Any]) -> None:
        """Go on where it was before a restart."""
        self._changed_at = dt_util.parse_datetime(document["changed_at"] or "")
        if document["waiting"] and self._changed_at:
            one, two, three = document["waiting"]
            self._wait((one, two, three), self._changed_at + AVAILABLE_CURRENT_INTERVAL)


class AvailableCurrents:
    """The available currents of all installations of an account."""

    def __init__(self, coordinator: ZaptecCoordinator) -> None:
        """Initialize them."""
        self._coordinator = coordinator
        self._store = wish_store(coordinator.hass, coordinator.config_entry)
        self._currents: dict[str, AvailableCurrent] = {}

    async def async_load(self) -> None:
        """Go on where it was before a restart."""
        for installation_id, document in (await self._store.async_load() or {}).items():
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
        """Store what has to outlive a restart."""
        await self._store.async_save(
            {
                installation_id: current.as_document()
                for installation_id, current in self._currents.items()
            }
        )

    @callback
    def stop(self) -> None:
        """Send nothing any more by itself."""
        for current in self._currents.values():
            current.cancel_timer()


def wish_store(
    hass: HomeAssistant, entry: ZaptecConfigEntry
) -> Store[dict[str, dict[str, Any]]]:
    """Return where an account's wishes are kept."""
    return Store(hass, STORAGE_VERSION, f"{DOMAIN}.{entry.entry_id}")
