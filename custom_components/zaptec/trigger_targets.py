"""What triggers and conditions share: their targets, and the statuses to select from."""

from collections.abc import Collection, Iterable, Iterator

from homeassistant.components.binary_sensor import DOMAIN as BINARY_SENSOR_DOMAIN
from homeassistant.components.event import DOMAIN as EVENT_DOMAIN
from homeassistant.components.sensor import DOMAIN as SENSOR_DOMAIN
from homeassistant.core import HomeAssistant, State, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.automation import DomainSpec
import probatio

from .charging_status import ChargingStatus
from .const import DOMAIN

CONF_STATUS = "status"

STATUSES = probatio.All(
    probatio.EnsureList(), probatio.Length(min=1), [probatio.Coerce(ChargingStatus)]
)

# The entity domains, in the form in which triggers and conditions declare them.
BINARY_SENSORS = {BINARY_SENSOR_DOMAIN: DomainSpec()}
EVENTS = {EVENT_DOMAIN: DomainSpec()}
SENSORS = {SENSOR_DOMAIN: DomainSpec()}

# The translation keys of the entities that triggers and conditions follow.
CAR_CONNECTED = "car_connected"
CHARGING = "charging"
CHARGING_STATUS = "charging_status"
SESSION = "session"
CARD = "card"
LIVE_MESSAGES = "push_status"
_LIVE_MESSAGES_OF_A_GROUP = "user_group_push_status"


def is_left_out(state: State, statuses: Collection[str | bool]) -> bool:
    """Return whether a charger does not count if all chargers have to match.

    A charger that is offline is treated like an unavailable entity, unless the status
    *offline* is selected.
    """
    return state.state == ChargingStatus.OFFLINE and state.state not in statuses


@callback
def async_own_entities(
    hass: HomeAssistant, entity_ids: Iterable[str], translation_key: str
) -> set[str]:
    """Return the entities of this integration that have a translation key.

    The device class does not identify them, because users can change it.
    """
    return {
        entity.entity_id
        for entity in _own_entries(hass, entity_ids)
        if entity.translation_key == translation_key
    }


@callback
def async_live_message_sensors(
    hass: HomeAssistant, entity_ids: Iterable[str]
) -> set[str]:
    """Return the live message sensors that the targeted entities stand for.

    An entity of a charger stands for the sensor of the installation, because messages
    arrive per installation.
    """
    entities, devices = er.async_get(hass), dr.async_get(hass)
    found: set[str] = set()
    parent_ids: set[str] = set()
    for entity in _own_entries(hass, entity_ids):
        if entity.translation_key in (LIVE_MESSAGES, _LIVE_MESSAGES_OF_A_GROUP):
            found.add(entity.entity_id)
        device = devices.async_get(entity.device_id) if entity.device_id else None
        if isinstance(device, dr.DeviceEntry) and device.via_device_id:
            parent_ids.add(device.via_device_id)
    return found.union(
        entity.entity_id
        for parent_id in parent_ids
        for entity in er.async_entries_for_device(entities, parent_id)
        if entity.platform == DOMAIN and entity.translation_key == LIVE_MESSAGES
    )


def _own_entries(
    hass: HomeAssistant, entity_ids: Iterable[str]
) -> Iterator[er.RegistryEntry]:
    """Yield the registry entries of the entities that belong to this integration."""
    entities = er.async_get(hass)
    for entity_id in entity_ids:
        entity = entities.async_get(entity_id)
        if entity and entity.platform == DOMAIN:
            yield entity
