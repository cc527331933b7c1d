"""When the available currents changed last, whichever account changed them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from ..const import AVAILABLE_CURRENT_INTERVAL, DOMAIN

STORAGE_VERSION = 1


# Minimum time between two changes (seconds). All times of the 15-minute rule are those of
# the event loop, so that a change of the wall clock does not move them. They are
# converted only to be stored or shown.
INTERVAL = AVAILABLE_CURRENT_INTERVAL.total_seconds()


def as_text(now: float, moment: float) -> str:
    """Return a time of the event loop as one of the wall clock, to be stored."""
    return (dt_util.utcnow() - timedelta(seconds=now - moment)).isoformat()


def as_moment(now: float, stored: str | None) -> float | None:
    """Return a stored time of the wall clock as one of the event loop."""
    if (moment := dt_util.parse_datetime(stored or "")) is None:
        return None
    return now - (dt_util.utcnow() - moment).total_seconds()


def current_store(
    hass: HomeAssistant, entry_id: str
) -> Store[dict[str, dict[str, Any]]]:
    """Return the store of the queued currents of an account."""
    return Store(hass, STORAGE_VERSION, f"{DOMAIN}.{entry_id}")


class RecentChanges:
    """When the available currents changed last, whichever account changed them.

    The vendor's rule is about the installation. So it also counts when an account is
    removed and added again, or when another account takes over the installation.
    """

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize it with no changes."""
        self._hass = hass
        self._store: Store[dict[str, str]] = Store(
            hass, STORAGE_VERSION, f"{DOMAIN}.recent_changes"
        )
        self._changed_at: dict[str, float] = {}
        self._cancel_removal: CALLBACK_TYPE | None = None

    def changed_at(self, installation_id: str) -> float | None:
        """Return when a current changed last (time of the event loop)."""
        return self._changed_at.get(installation_id)

    @callback
    def note(self, installation_id: str, changed_at: float) -> None:
        """Note a change, unless a later one is known."""
        known = self._changed_at.get(installation_id, changed_at)
        self._changed_at[installation_id] = max(known, changed_at)

    async def async_load(self) -> None:
        """Continue where it was before a restart."""
        if stored := await self._store.async_load():
            self.take_in(stored)
            await self._async_keep()

    @callback
    def take_in(self, stored: Mapping[str, str | None]) -> None:
        """Note changes that were stored, by installation."""
        now = self._hass.loop.time()
        for installation_id, text in stored.items():
            if (changed_at := as_moment(now, text)) is not None:
                # If the wall clock was ahead, the stored time may be in the future, and
                # the next change would wait for too long.
                self.note(installation_id, min(changed_at, now))

    async def _async_keep(self) -> None:
        """Store the changes of the last 15 minutes for as long as they count."""
        if self._cancel_removal:
            self._cancel_removal()
            self._cancel_removal = None
        now = self._hass.loop.time()
        recent = {
            installation_id: changed_at
            for installation_id, changed_at in self._changed_at.items()
            if now - changed_at < INTERVAL
        }
        if not recent:
            await self._store.async_remove()
            return
        await self._store.async_save(
            {
                installation_id: as_text(now, changed_at)
                for installation_id, changed_at in recent.items()
            }
        )

        async def keep(_now: datetime) -> None:
            self._cancel_removal = None
            await self._async_keep()

        self._cancel_removal = async_call_later(
            self._hass,
            max(recent.values()) + INTERVAL - now,
            HassJob(keep, cancel_on_shutdown=True),
        )

    async def async_remove_account(self, entry_id: str) -> None:
        """Remove the stored data of an account, except for the times of its last changes."""
        store = current_store(self._hass, entry_id)
        stored = await store.async_load() or {}
        self.take_in(
            {
                installation_id: document["changed_at"]
                for installation_id, document in stored.items()
            }
        )
        await store.async_remove()
        await self._async_keep()


RECENT_CHANGES: HassKey[RecentChanges] = HassKey(f"{DOMAIN}_recent_changes")


@callback
def recent_changes(hass: HomeAssistant) -> RecentChanges:
    """Return the recent changes of all accounts."""
    if RECENT_CHANGES not in hass.data:
        hass.data[RECENT_CHANGES] = RecentChanges(hass)
    return hass.data[RECENT_CHANGES]
