"""Follows what prices depend on: entities that are renamed or removed, and the currency."""

from datetime import datetime, timedelta

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_CORE_CONFIG_UPDATE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util

from .const import CONF_PRICES, DOMAIN
from .history.prices import Prices, Tariff
from .runtime import ZaptecConfigEntry

# Time for which a price entity has to be gone before the user learns of it. While its
# integration is reloaded, an entity without a unique id is gone for some seconds.
GONE_TIME = timedelta(minutes=5)


@callback
def async_follow_renames(hass: HomeAssistant) -> None:
    """Keep the options of all accounts in line with the ids of price entities."""

    @callback
    def is_rename(data: er.EventEntityRegistryUpdatedData) -> bool:
        return data["action"] == "update" and "old_entity_id" in data

    @callback
    def renamed(event: Event[er.EventEntityRegistryUpdatedData]) -> None:
        if event.data["action"] == "update":
            old, new = event.data["old_entity_id"], event.data["entity_id"]
            for entry in hass.config_entries.async_entries(DOMAIN):
                _rename(hass, entry, old, new)

    hass.bus.async_listen(er.EVENT_ENTITY_REGISTRY_UPDATED, renamed, is_rename)


def _rename(hass: HomeAssistant, entry: ZaptecConfigEntry, old: str, new: str) -> None:
    """Let an account follow a new entity id; its prices are still the same ones.

    An account that is running follows without a reload, which would interrupt its live
    messages.
    """
    tariff = Tariff.from_stored(entry.options.get(CONF_PRICES, ()))
    if (renamed := tariff.renamed(old, new)) == tariff:
        return
    hass.config_entries.async_update_entry(
        entry, options={**entry.options, CONF_PRICES: renamed.as_stored()}
    )
    if entry.state is ConfigEntryState.LOADED:
        entry.runtime_data.prices.rename(old, new)
        entry.runtime_data.history.costs.rename(old, new)


@callback
def async_follow_currency(hass: HomeAssistant) -> None:
    """Reload accounts with a price when the user changes Home Assistant's currency."""
    before = hass.config.currency

    @callback
    def changed(_event: Event) -> None:
        nonlocal before
        if before == hass.config.currency:
            return
        before = hass.config.currency
        for entry in hass.config_entries.async_loaded_entries(DOMAIN):
            if entry.options.get(CONF_PRICES):
                hass.config_entries.async_schedule_reload(entry.entry_id)

    hass.bus.async_listen(EVENT_CORE_CONFIG_UPDATE, changed)


class MissingPriceEntity:
    """Finds out whether the entity whose price counts at present was removed."""

    def __init__(self, hass: HomeAssistant, prices: Prices) -> None:
        """Initialize without an entity that is missing."""
        self._hass = hass
        self._prices = prices
        self._missing: str | None = None
        # When it was first seen to be gone.
        self.since: datetime | None = None

    @callback
    def find(self) -> str | None:
        """Return the id of the entity if it has been gone for long, None otherwise."""
        entity_id = self._prices.entity_id
        if (
            entity_id is None
            or not self._hass.is_running
            or self._hass.states.get(entity_id)
            or er.async_get(self._hass).async_get(entity_id)
        ):
            self._missing = self.since = None
            return None
        now = dt_util.utcnow()
        if self.since is None or self._missing != entity_id:
            self._missing, self.since = entity_id, now
        return entity_id if now - self.since >= GONE_TIME else None

    @property
    def is_undecided(self) -> bool:
        """Return whether it is not known yet that the entity is there, or gone."""
        return not self._hass.is_running or self.since is not None
