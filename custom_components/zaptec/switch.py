"""The Charging switch of Zaptec chargers."""

from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.switch import (
    SwitchDeviceClass,
    SwitchEntity,
    SwitchEntityDescription,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api import Command, OperationMode, StateId
from .coordinator import ZaptecConfigEntry
from .entity import (
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    async_add_charger_entities,
    zaptec_command,
)

# The cloud takes the commands of a charger one after another.
PARALLEL_UPDATES = 1


@dataclass(frozen=True, kw_only=True)
class ZaptecSwitchDescription(ZaptecChargerDescription, SwitchEntityDescription):
    """Describe a switch of a charger."""


DESCRIPTIONS: tuple[ZaptecSwitchDescription, ...] = (
    ZaptecSwitchDescription(
        key="charger_operation_mode",
        translation_key="charger_operation_mode",
        state_ids=(StateId.CHARGER_OPERATION_MODE, StateId.FINAL_STOP_ACTIVE),
        live=True,
        control=True,
        device_class=SwitchDeviceClass.SWITCH,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the switches of an account."""
    async_add_charger_entities(
        entry, async_add_entities, ZaptecChargingSwitch, DESCRIPTIONS
    )


class ZaptecChargingSwitch(ZaptecChargerEntity, SwitchEntity):
    """Whether charging is permitted: off means paused by us.

    A final stop (StateId 718) holds until it is resumed or the car leaves.
    """

    entity_description: ZaptecSwitchDescription

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether the charger may charge."""
        state = self.state_of_charger
        mode = state.value(StateId.CHARGER_OPERATION_MODE)
        if not isinstance(mode, OperationMode) or mode is OperationMode.UNKNOWN:
            return None
        return mode is OperationMode.DISCONNECTED or not state.value(
            StateId.FINAL_STOP_ACTIVE
        )

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Resume charging, if it is paused."""
        await self._async_permit(Command.RESUME_CHARGING, permitted=True)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Pause charging, if it is not."""
        await self._async_permit(Command.STOP_CHARGING_FINAL, permitted=False)

    @zaptec_command
    async def _async_permit(self, command: Command, *, permitted: bool) -> None:
        """Send a command, unless there is nothing to change.

        The vendor asks not to send these regardless of the state.
        """
        if self.is_on is permitted:
            return
        await self.coordinator.async_write(
            self.charger_id,
            StateId.FINAL_STOP_ACTIVE,
            self.coordinator.client.send_command(self.charger_id, command),
        )
