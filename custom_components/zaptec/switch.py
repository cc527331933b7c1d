"""The switch that allows charging at a Zaptec charger."""

from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.switch import (
    SwitchDeviceClass,
    SwitchEntity,
    SwitchEntityDescription,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import RestoreEntity

from .api import Charger, StateId
from .control.charging import ChargingHold, HoldNextCar
from .entity import CHARGERS, ZaptecChargerDescription, ZaptecChargerEntity
from .entity_loader import Kind, async_add_charger_entities
from .runtime import ZaptecConfigEntry, ZaptecRuntime

# ChargerControl sends the requests to one charger one after another. A limit for all
# chargers would make a charger that does not answer block the others.
PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ZaptecSwitchDescription(ZaptecChargerDescription, SwitchEntityDescription):
    """Describe a switch of a charger."""


DESCRIPTIONS: tuple[ZaptecSwitchDescription, ...] = (
    ZaptecSwitchDescription(
        key="charger_operation_mode",
        # The sensor with the same key has its own translation key, which other
        # programs look for.
        translation_key="charging",
        essential=True,
        state_ids=(StateId.CHARGER_OPERATION_MODE, StateId.FINAL_STOP_ACTIVE),
        # The session distinguishes a car that is resumed from another one.
        depends_on=(StateId.SESSION_IDENTIFIER,),
        always=CHARGERS,
        families=CHARGERS,
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
    await async_add_charger_entities(
        entry, async_add_entities, Kind(ZaptecChargingSwitch, DESCRIPTIONS)
    )


class ZaptecChargingSwitch(ZaptecChargerEntity, SwitchEntity, RestoreEntity):
    """Whether charging is allowed, now and for each next car.

    The state shows what is: it is on while a car that is to be paused could not be.
    """

    entity_description: ZaptecSwitchDescription

    def __init__(
        self,
        runtime: ZaptecRuntime,
        charger: Charger,
        description: ZaptecSwitchDescription,
    ) -> None:
        """Initialize the switch."""
        super().__init__(runtime, charger, description)
        self._hold = ChargingHold(
            charger.id,
            runtime.chargers,
            runtime.states,
            has_read=runtime.reader.has_read,
            is_pending=runtime.confirmations.is_pending,
            create_task=runtime.create_task,
            show=self.async_write_ha_state,
            name=lambda: self.entity_id,
        )

    @override
    async def async_added_to_hass(self) -> None:
        """Keep on holding the next car."""
        await super().async_added_to_hass()
        # When a new entity id adds the entity again, the last use is still known.
        if self._hold.last_use is None:
            self._hold.last_use = HoldNextCar.from_stored(
                await self.async_get_last_extra_data()
            )
        self._hold.start()

    @override
    async def async_will_remove_from_hass(self) -> None:
        """Pause no car after the entity is gone."""
        self._hold.stop()
        await super().async_will_remove_from_hass()

    @property
    @override
    def extra_restore_state_data(self) -> HoldNextCar | None:
        """Return the data that Home Assistant stores for the next start."""
        return self._hold.last_use

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether the connected car may charge, or the next one."""
        return self._hold.is_allowed

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Allow charging: resume it, and let the next cars charge."""
        try:
            await self._hold.async_allow()
        finally:
            self.async_write_ha_state()

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Pause charging, and hold the next cars."""
        try:
            await self._hold.async_pause()
        finally:
            self.async_write_ha_state()

    @callback
    @override
    def _handle_update(self) -> None:
        """Hold the car that has just been connected."""
        self._hold.update()
        super()._handle_update()
