"""Binary sensors of Zaptec chargers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api import OperationMode, StateId
from .coordinator import ChargerState, ZaptecConfigEntry
from .entity import (
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    async_add_charger_entities,
)

# Values are pushed; nothing is ever fetched by an entity.
PARALLEL_UPDATES = 0

MODES_WITH_CAR = {
    OperationMode.CONNECTED_REQUESTING,
    OperationMode.CONNECTED_CHARGING,
    OperationMode.CONNECTED_FINISHED,
}


@dataclass(frozen=True, kw_only=True)
class ZaptecBinarySensorDescription(
    ZaptecChargerDescription, BinarySensorEntityDescription
):
    """Describe a binary sensor of a charger."""

    is_on_fn: Callable[[ChargerState], bool | None]


def _is_online(state: ChargerState) -> bool | None:
    """Return whether the charger is connected to the cloud."""
    online = state.value(StateId.IS_ONLINE)
    return online if isinstance(online, bool) else None


def _mode_is_in(modes: set[OperationMode]) -> Callable[[ChargerState], bool | None]:
    """Return whether the charger is in one of these modes, if it is known."""

    def is_in(state: ChargerState) -> bool | None:
        mode = state.value(StateId.CHARGER_OPERATION_MODE)
        if not isinstance(mode, OperationMode) or mode is OperationMode.UNKNOWN:
            return None
        return mode in modes

    return is_in


DESCRIPTIONS: tuple[ZaptecBinarySensorDescription, ...] = (
    ZaptecBinarySensorDescription(
        key="is_online",
        translation_key="online",
        state_ids=(StateId.IS_ONLINE,),
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=_is_online,
    ),
    ZaptecBinarySensorDescription(
        key="car_connected",
        translation_key="car_connected",
        state_ids=(StateId.CHARGER_OPERATION_MODE,),
        live=True,
        device_class=BinarySensorDeviceClass.PLUG,
        is_on_fn=_mode_is_in(MODES_WITH_CAR),
    ),
    ZaptecBinarySensorDescription(
        key="charging",
        translation_key="charging",
        state_ids=(StateId.CHARGER_OPERATION_MODE,),
        live=True,
        device_class=BinarySensorDeviceClass.BATTERY_CHARGING,
        is_on_fn=_mode_is_in({OperationMode.CONNECTED_CHARGING}),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the binary sensors of an account."""
    async_add_charger_entities(
        entry, async_add_entities, ZaptecBinarySensor, DESCRIPTIONS
    )


class ZaptecBinarySensor(ZaptecChargerEntity, BinarySensorEntity):
    """A yes or no that a charger tells."""

    entity_description: ZaptecBinarySensorDescription

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the state."""
        return self.entity_description.is_on_fn(self.state_of_charger)
