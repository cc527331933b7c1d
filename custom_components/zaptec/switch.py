"""Switches of Zaptec chargers: whether cars may charge, and start automatically."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, override

from homeassistant.components.switch import (
    SwitchDeviceClass,
    SwitchEntity,
    SwitchEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import RestoreEntity

from .api import Charger, StateId
from .control.charging import ChargingHold
from .control.device_store import device_stores
from .entity import CHARGERS, ZaptecChargerDescription, ZaptecChargerEntity
from .entity_loader import Kind, async_add_charger_entities
from .listeners import Topic, hold_topic
from .runtime import ZaptecConfigEntry, ZaptecRuntime

# ChargerControl sends the requests to one charger one after another. A limit for all
# chargers would make a charger that does not answer block the others.
PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ZaptecSwitchDescription(ZaptecChargerDescription, SwitchEntityDescription):
    """Describe a switch of a charger."""


DESCRIPTIONS = (
    ZaptecSwitchDescription(
        key="charger_operation_mode",
        # The sensor with the same key has its own translation key, which other
        # programs look for.
        translation_key="charging",
        essential=True,
        state_ids=(StateId.CHARGER_OPERATION_MODE, StateId.FINAL_STOP_ACTIVE),
        # The session distinguishes a car that is resumed from another one. A charger that
        # leaves stand-alone mode, or is enabled, follows the cloud again.
        depends_on=(
            StateId.SESSION_IDENTIFIER,
            StateId.IS_STAND_ALONE,
            StateId.IS_ENABLED,
        ),
        always=CHARGERS,
        families=CHARGERS,
        live=True,
        control=True,
        device_class=SwitchDeviceClass.SWITCH,
    ),
)

AUTO_START = ZaptecSwitchDescription(
    key="auto_start",
    translation_key="auto_start",
    entity_category=EntityCategory.CONFIG,
    families=CHARGERS,
    control=True,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the switches of an account."""
    await async_add_charger_entities(
        entry,
        async_add_entities,
        Kind(ZaptecChargingSwitch, DESCRIPTIONS),
        # This switch uses the hold of the charging switch, which is added first.
        Kind(ZaptecAutoStartSwitch, (AUTO_START,)),
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
            create_task=runtime.create_task,
            keep=partial(
                device_stores(runtime.hass).holds.keep,
                runtime.entry.entry_id,
                charger.id,
            ),
            show=self._show,
            name=lambda: self.entity_id,
        )

    @override
    async def async_added_to_hass(self) -> None:
        """Keep on holding the next car."""
        await super().async_added_to_hass()
        # When a new entity id adds the entity again, the last use is still known.
        if self._hold.last_use is None:
            self._hold.restore(await self._async_stored())
        self._hold.start()
        self.runtime.holds[self.charger_id] = self._hold
        self._notify()

    async def _async_stored(self) -> Mapping[str, Any]:
        """Return the stored hold; earlier versions stored it with the state of the entity."""
        stored = device_stores(self.hass).holds.document(self.charger_id)
        if stored is None and (data := await self.async_get_last_extra_data()):
            return data.as_dict()
        return stored or {}

    @override
    async def async_will_remove_from_hass(self) -> None:
        """Pause no car after the entity is gone."""
        self._hold.stop()
        self.runtime.holds.pop(self.charger_id, None)
        await super().async_will_remove_from_hass()

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
            self._show()

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Pause charging, and hold the next cars."""
        try:
            await self._hold.async_pause()
        finally:
            self._show()

    @callback
    def _show(self) -> None:
        """Write the state, because the hold has changed without a report."""
        self.async_write_ha_state()
        self._notify()

    @callback
    def _notify(self) -> None:
        """Notify the entities that show whether cars are held."""
        self.runtime.listeners.notify([hold_topic(self.charger_id)])

    @callback
    @override
    def _handle_update(self) -> None:
        """Hold the car that has just been connected."""
        self._hold.update()
        super()._handle_update()


class ZaptecAutoStartSwitch(ZaptecChargerEntity, SwitchEntity):
    """Whether charging stays allowed when a car leaves, so that the next one may start.

    The charging switch stores this setting together with the hold.
    """

    entity_description: ZaptecSwitchDescription

    @override
    def _topics(self) -> tuple[Topic, ...]:
        """Return only the topic of the hold, because no charger reports this setting."""
        return (hold_topic(self.charger_id),)

    @property
    @override
    def available(self) -> bool:
        """Return whether the charging switch is enabled."""
        return self._hold is not None

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether charging stays allowed when a car leaves."""
        return self._hold.auto_start if self._hold else None

    @property
    def _hold(self) -> ChargingHold | None:
        """Return the hold of the charger, None while its charging switch is disabled."""
        return self.runtime.holds.get(self.charger_id)

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Let charging stay allowed when a car leaves."""
        self._set(is_on=True)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """No longer allow charging when a car leaves."""
        self._set(is_on=False)

    @callback
    def _set(self, *, is_on: bool) -> None:
        """Set whether charging stays allowed when a car leaves."""
        if self._hold:
            self._hold.set_auto_start(is_on)
