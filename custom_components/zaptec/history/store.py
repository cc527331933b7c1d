"""Stores what is known of the sessions of an account.

It contains no names, no cards, and no ids of sessions or users. Once the first person was added, it
contains keyed hashes of cards and users, whose key is not stored here. A lost store costs no more
than reading the archive again, and the questions about removed persons.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.storage import Store
from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN, LOGGER
from .cost_ledger import CostLedger
from .ledger import Ledger
from .person_ledgers import PersonLedgers

STORAGE_VERSION = 1

# Delay before changes are stored (s), and how much longer it is for each charger, because
# the store of a large account is large.
SAVE_DELAY = 60.0
SAVE_DELAY_PER_CHARGER = 1.0

# The stores of the accounts that are loaded, by entry id.
_STORES: HassKey[dict[str, HistoryStore]] = HassKey(f"{DOMAIN}_history_stores")

_NO_COSTS: dict[str, Any] = {"tariff": [], "checked_at": 0.0, "statistics": {}}


class HistoryStore:
    """The ledgers of the chargers of an account, and when each archive was read."""

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry[Any]) -> None:
        """Initialize the store."""
        self._hass = hass
        self._entry = entry
        self._store: Store[dict[str, Any]] = Store(
            hass,
            STORAGE_VERSION,
            f"{DOMAIN}.history.{entry.entry_id}",
            serialize_in_event_loop=False,
        )
        self.ledgers: dict[str, Ledger] = {}
        # By installation: when its archive was swept, as `Sweeps` stores it.
        self.sweeps: dict[str, dict[str, Any]] = {}
        # By energy statistic: what has to be written of its cost. Then the prices with
        # which they were compared, and when the unknown ones were looked for.
        self.costs: dict[str, CostLedger] = {}
        self.cost_tariff: list[dict[str, Any]] = []
        self.costs_checked_at = 0.0
        # What has to be written of persons.
        self.persons = PersonLedgers()
        self._is_changed = self._is_loaded = False

    @property
    def all_chargers(self) -> set[str]:
        """Return the chargers that have a ledger in any account that is loaded."""
        stores = self._hass.data[_STORES].values()
        return {charger_id for store in stores for charger_id in store.ledgers}

    async def async_load(self) -> None:
        """Load what was stored."""
        stored = await self._store.async_load()
        self._is_loaded = True
        stores = self._hass.data.setdefault(_STORES, {})
        stores[self._entry.entry_id] = self
        self._entry.async_on_unload(partial(stores.__delitem__, self._entry.entry_id))
        if stored is None:
            return
        try:
            ledgers = await self._hass.async_add_executor_job(_ledgers, stored)
            sweeps = {
                key: {name: sweep[name] for name in ("at", "long_at", "resume_from")}
                for key, sweep in stored["sweeps"].items()
            }
            # An earlier version did not store it.
            costs = stored.get("costs", _NO_COSTS)
            cost_ledgers = {
                key: CostLedger.from_dict(item)
                for key, item in costs["statistics"].items()
            }
            tariff, checked_at = costs["tariff"], costs["checked_at"]
            # An earlier version did not know persons.
            persons = PersonLedgers.from_dict(
                stored.get("persons", {"ledgers": {}, "removed": []})
            )
        except AttributeError, KeyError, TypeError, ValueError:
            LOGGER.warning("The stored history is damaged and is read again")
            return
        self.ledgers, self.sweeps, self.persons = ledgers, sweeps, persons
        self.costs = cost_ledgers
        self.cost_tariff, self.costs_checked_at = tariff, checked_at

    @callback
    def save_soon(self) -> None:
        """Store changes, in a while."""
        if not self._is_loaded:
            # Without the recorder, there is no history, so what was stored before stays.
            return
        if self._is_changed:
            # Each further delay would put off what is delayed already.
            return
        self._is_changed = True
        self._store.async_delay_save(
            self._data, SAVE_DELAY + SAVE_DELAY_PER_CHARGER * len(self.ledgers)
        )

    async def async_save(self) -> None:
        """Store changes now."""
        if self._is_changed:
            await self._store.async_save(
                await self._hass.async_add_executor_job(self._data)
            )

    async def async_remove(self) -> None:
        """Remove what is stored."""
        await self._store.async_remove()

    def _data(self) -> dict[str, Any]:
        """Return what is stored; this runs in a thread."""
        self._is_changed = False
        return {
            "chargers": {
                charger_id: ledger.as_dict()
                for charger_id, ledger in list(self.ledgers.items())
            },
            "sweeps": {key: dict(sweep) for key, sweep in list(self.sweeps.items())},
            "costs": {
                "tariff": self.cost_tariff,
                "checked_at": self.costs_checked_at,
                "statistics": {
                    key: ledger.as_dict() for key, ledger in list(self.costs.items())
                },
            },
            "persons": self.persons.as_dict(),
        }


def _ledgers(stored: Mapping[str, Any]) -> dict[str, Ledger]:
    """Return what was stored of each charger; this takes a while for many."""
    return {
        charger_id: Ledger.from_dict(item)
        for charger_id, item in stored["chargers"].items()
    }
