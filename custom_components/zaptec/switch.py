"""The Charging switch of Zaptec chargers."""

import asyncio
from dataclasses import dataclass
from typing import Any, Self, override

from homeassistant.components.switch import (
    SwitchDeviceClass,
    SwitchEntity,
    SwitchEntityDescription,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import ExtraStoredData, RestoreEntity

from .api import Command, StateId, acts_by_itself
from .commands import PASSING_FAILURES, async_send_command, has_car, is_paused
from .const import DOMAIN, LOGGER
from .coordinator import ZaptecConfigEntry
from .entity import (
    CHARGERS,
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    async_add_charger_entities,
)

# What is sent to one charger goes out in its turn; one that does not answer must
# not keep the others waiting.
PARALLEL_UPDATES = 0

# When a car that could not be paused yet is tried again (seconds).
HOLD_RETRY = 10.0


@dataclass(frozen=True, kw_only=True)
class ZaptecSwitchDescription(ZaptecChargerDescription, SwitchEntityDescription):
    """Describe a switch of a charger."""


@dataclass(slots=True)
class HeldCar(ExtraStoredData):
    """Whether the next car is to wait until it is permitted to charge."""

    held: bool = False

    @override
    def as_dict(self) -> dict[str, Any]:
        """Return what is stored."""
        return {"held": self.held}

    @classmethod
    def from_stored(cls, stored: ExtraStoredData | None) -> Self:
        """Return what was stored before a restart."""
        return cls(stored is not None and stored.as_dict().get("held") is True)


DESCRIPTIONS: tuple[ZaptecSwitchDescription, ...] = (
    ZaptecSwitchDescription(
        key="charger_operation_mode",
        # Not that of the sensor with this key, which other programs look for.
        translation_key="charging",
        state_ids=(StateId.CHARGER_OPERATION_MODE, StateId.FINAL_STOP_ACTIVE),
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
    async_add_charger_entities(
        entry, async_add_entities, ZaptecChargingSwitch, DESCRIPTIONS
    )


class ZaptecChargingSwitch(ZaptecChargerEntity, SwitchEntity, RestoreEntity):
    """Whether charging is permitted: off means paused by us.

    A pause (StateId 718) is one of the connected car, and ends when it leaves.
    The cloud can pause no charger without a car, so a wish to do that is kept
    here, and carried out when the next car is connected.
    """

    entity_description: ZaptecSwitchDescription
    _next_car: HeldCar | None = None
    _holding: asyncio.Task[None] | None = None

    @override
    async def async_added_to_hass(self) -> None:
        """Keep on holding the next car."""
        await super().async_added_to_hass()
        # Where a new entity id is a new beginning, the wish is still there.
        if self._next_car is None:
            self._next_car = HeldCar.from_stored(await self.async_get_last_extra_data())
        self._hold_car()

    @callback
    def async_entity_id_changed(self, old_entity_id: str) -> None:
        """Do nothing: nothing of ours hangs on the entity id."""

    @property
    @override
    def extra_restore_state_data(self) -> HeldCar | None:
        """Return what outlives a restart."""
        return self._next_car

    @property
    def _is_held(self) -> bool:
        """Return whether the next car is to wait."""
        return self._next_car is not None and self._next_car.held

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether a car may charge."""
        match has_car(self.state_of_charger):
            case None:
                return None
            case False:
                return not self._is_held
        return not is_paused(self.state_of_charger)

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Permit charging: resume it, or let the next car charge."""
        await self._async_send(Command.RESUME_CHARGING)
        self._hold_next(held=False)

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Forbid charging: pause it, or hold the next car."""
        await self._async_send(Command.STOP_CHARGING_FINAL)
        state = self.coordinator.states.get(self.charger_id)
        self._hold_next(held=state is not None and has_car(state) is False)

    async def _async_send(self, command: Command) -> None:
        """Send what a person wants now, in place of holding a car."""
        before, self._next_car = self._next_car, HeldCar()
        if self._holding:
            self._holding.cancel()
            self._holding = None
        try:
            await async_send_command(self.coordinator, self.charger_id, command)
        except HomeAssistantError:
            self._next_car = before
            raise

    @callback
    def _hold_next(self, *, held: bool) -> None:
        """Note whether the next car is to wait."""
        self._next_car = HeldCar(held)
        self.async_write_ha_state()

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Hold the car that has just been connected."""
        self._hold_car()
        super()._handle_coordinator_update()

    @property
    def _has_car_to_hold(self) -> bool:
        """Return whether a car that was to wait is connected."""
        state = self.coordinator.states.get(self.charger_id)
        return self._is_held and state is not None and has_car(state) is True

    @callback
    def _hold_car(self) -> None:
        """Pause a charger whose car was to wait, once there is one."""
        if self._has_car_to_hold and self._holding is None:
            self._holding = self.coordinator.config_entry.async_create_background_task(
                self.hass, self._async_hold_car(), name=f"{DOMAIN} hold car"
            )

    @acts_by_itself
    async def _async_hold_car(self) -> None:
        """Pause the charger, as soon as the cloud can be reached."""
        while self._has_car_to_hold:
            try:
                await async_send_command(
                    self.coordinator, self.charger_id, Command.STOP_CHARGING_FINAL
                )
            except HomeAssistantError as err:
                if err.translation_key in PASSING_FAILURES:
                    await asyncio.sleep(HOLD_RETRY)
                    continue
                LOGGER.warning(
                    "A car at %s could not be held: %s",
                    self.entity_id,
                    err.__cause__ or err,
                )
            # Not before it is done: what is under way may be cut off.
            self._hold_next(held=False)
        self._holding = None
