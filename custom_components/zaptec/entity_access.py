"""What the entities about who may charge have in common."""

from typing import Final, override

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from .devices.adoption import split_unique_id
from .entity import ZaptecChargerEntity
from .listeners import Topic, access_topic
from .runtime import ZaptecConfigEntry

# The platforms and keys of the entities that exist only where web hooks are set up.
CHARGING_ACCESS: Final = ("select", "charging_access")
AUTHORIZATION: Final = ("event", "authorization")
AUTHORIZATION_PENDING: Final = ("binary_sensor", "authorization_pending")
AUTHORIZE_CHARGING: Final = ("button", "authorize_charging")
_ALL = {CHARGING_ACCESS, AUTHORIZATION, AUTHORIZATION_PENDING, AUTHORIZE_CHARGING}


class ZaptecAccessEntity(ZaptecChargerEntity):
    """An entity about who may charge at a charger.

    Home Assistant decides that itself, so it does not depend on the cloud's answers.
    """

    @override
    def _topics(self) -> tuple[Topic, ...]:
        """Return the topic for whether a car waits for a decision."""
        return (self.charger_id, access_topic(self.charger_id))

    @property
    @override
    def available(self) -> bool:
        """Return whether the account shows the charger."""
        return self.charger_id in self.runtime.coordinator.data.chargers


@callback
def async_remove_access_entities(hass: HomeAssistant, entry: ZaptecConfigEntry) -> None:
    """Remove the entities of installations whose web hooks the user has turned off."""
    runtime = entry.runtime_data
    account = runtime.coordinator.data
    registry = er.async_get(hass)
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        device_id, key = split_unique_id(entity.unique_id)
        if (entity.domain, key) not in _ALL:
            continue
        charger = account.chargers.get(device_id)
        installation_id = charger.installation_id if charger else device_id
        if (
            installation_id in account.installations
            and installation_id not in runtime.web_hooks
        ):
            registry.async_remove(entity.entity_id)
