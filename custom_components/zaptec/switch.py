"""The Charging switch of Zaptec chargers."""

import asyncio
from dataclasses import dataclass
from time import monotonic
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

from .api import Command, StateId, ZaptecBusyError, acts_by_itself, outside_of_actions
from .commands import async_send_command, has_car, is_paused, is_refusal
from .const import DOMAIN, LOGGER
from .coordinator import ZaptecConfigEntry
from .entity import (
    CHARGERS,
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    async_add_charger_entities,
)
from .pauses import outage_pause

# What is sent to one charger goes out in its turn; one that does not answer must
# not keep the others waiting.
PARALLEL_UPDATES = 0

# Delay before a car that could not be paused is tried again (seconds): it grows with
# the outage, from the first value to the second.
HOLD_RETRY = 10.0
HOLD_RETRY_MAX = 300.0


@dataclass(frozen=True, kw_only=True)
class ZaptecSwitchDescription(ZaptecChargerDescription, SwitchEntityDescription):
    """Describe a switch of a charger."""


@dataclass(slots=True)
class HoldNextCar(ExtraStoredData):
    """One use of the switch: whether a car is still to be paused because of it."""

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
    """Whether charging is allowed: off means that it was paused here.

    A pause (StateId 718) is one of the connected car, and ends when it leaves. The
    cloud can pause neither a charger without a car, nor any charger while it cannot
    be reached. So the last use of the switch is kept until it is carried out: an
    "off" until a car is paused, or until the cloud refuses that for good. Meanwhile
    the state shows what is: whether the connected car may charge, or the next one.
    """

    entity_description: ZaptecSwitchDescription
    # The last use of the switch; None before it is restored. Each use has its own
    # object, so that one that ends late cannot change what a later one has set.
    _last_use: HoldNextCar | None = None
    _holding: asyncio.Task[None] | None = None
    # Number of uses whose command has no answer yet.
    _in_flight = 0
    _is_added = False

    @override
    async def async_added_to_hass(self) -> None:
        """Keep on holding the next car."""
        await super().async_added_to_hass()
        # Where a new entity id adds the entity again, the last use is still here.
        if self._last_use is None:
            self._last_use = HoldNextCar.from_stored(
                await self.async_get_last_extra_data()
            )
        self._is_added = True
        self._hold_car()

    @override
    async def async_will_remove_from_hass(self) -> None:
        """Pause no car after the entity is gone."""
        self._is_added = False
        self._stop_holding()
        await super().async_will_remove_from_hass()

    @callback
    def async_entity_id_changed(self, old_entity_id: str) -> None:
        """Do nothing: nothing of ours hangs on the entity id."""

    @property
    @override
    def extra_restore_state_data(self) -> HoldNextCar | None:
        """Return what outlives a restart."""
        return self._last_use

    @property
    def is_holding(self) -> bool:
        """Return whether a car is still to be paused."""
        return self._last_use is not None and self._last_use.held

    @property
    def _has_car(self) -> bool | None:
        """Return whether a car is connected, None if that is not known."""
        state = self.coordinator.states.get(self.charger_id)
        return has_car(state) if state else None

    @property
    @override
    def is_on(self) -> bool | None:
        """Return whether a car may charge."""
        match has_car(self.state_of_charger):
            case None:
                return None
            case False:
                return not self.is_holding
        paused = is_paused(self.state_of_charger)
        return None if paused is None else not paused

    @override
    async def async_turn_on(self, **kwargs: Any) -> None:
        """Allow charging: resume it, or let the next car charge.

        No car is paused from now on, even if the cloud cannot resume this one.
        """
        self._last_use = HoldNextCar()
        self._stop_holding()
        try:
            await async_send_command(
                self.coordinator, self.charger_id, Command.RESUME_CHARGING
            )
        finally:
            self.async_write_ha_state()

    @override
    async def async_turn_off(self, **kwargs: Any) -> None:
        """Pause charging, or hold the next car.

        If the cloud cannot be reached, the caller gets the error, and the car is
        paused as soon as it can be. If the cloud refuses, all is as it was before.
        """
        before, use = self._last_use, HoldNextCar(held=True)
        self._last_use = use
        self._stop_holding()
        self._in_flight += 1
        try:
            await self._async_pause(use)
        except HomeAssistantError as err:
            if is_refusal(err):
                use.held = before is not None and before.held
            raise
        finally:
            self._in_flight -= 1
            self._hold_car(delay=HOLD_RETRY)
            self.async_write_ha_state()

    async def _async_pause(self, use: HoldNextCar) -> None:
        """Pause the charger; if no car is connected, the next one is still to be."""
        await async_send_command(
            self.coordinator, self.charger_id, Command.STOP_CHARGING_FINAL
        )
        use.held = self._has_car is False

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        """Hold the car that has just been connected."""
        self._hold_car()
        super()._handle_coordinator_update()

    @property
    def _has_car_to_hold(self) -> bool:
        """Return whether a car that is still to be paused is connected."""
        return self.is_holding and self._has_car is True

    @callback
    def _hold_car(self, delay: float = 0.0) -> None:
        """Pause a charger in the background whose car is still to be paused.

        Args:
            delay: Seconds until the first try.

        """
        if (
            self._is_added
            and self._has_car_to_hold
            and self._holding is None
            # The answer decides whether the car is still to be paused.
            and not self._in_flight
        ):
            self._holding = self.coordinator.config_entry.async_create_background_task(
                self.hass, self._async_hold_car(delay), name=f"{DOMAIN} hold car"
            )

    @callback
    def _stop_holding(self) -> None:
        """Try no longer to pause a car in the background."""
        if self._holding:
            self._holding.cancel()
            self._holding = None

    @acts_by_itself
    async def _async_hold_car(self, delay: float) -> None:
        """Pause the charger, as soon as the cloud can be reached."""
        this_task = asyncio.current_task()
        began = monotonic()
        try:
            await asyncio.sleep(delay)
            while self._has_car_to_hold and (use := self._last_use):
                try:
                    await self._async_pause(use)
                except HomeAssistantError as err:
                    if not is_refusal(err):
                        await asyncio.sleep(_pause_after(err, monotonic() - began))
                        continue
                    LOGGER.warning(
                        "A car at %s could not be held: %s",
                        self.entity_id,
                        err.__cause__ or err,
                    )
                    use.held = False
                with outside_of_actions():
                    self.async_write_ha_state()
        except Exception:
            # The next change at the charger begins it again.
            LOGGER.exception("Unexpected error while holding a car")
        finally:
            # A later use of the switch may have a task of its own.
            if self._holding is this_task:
                self._holding = None


def _pause_after(error: HomeAssistantError, outage: float) -> float:
    """Return the seconds until a car that could not be paused is tried again."""
    pause = outage_pause(outage, HOLD_RETRY, HOLD_RETRY_MAX)
    cause = error.__cause__
    if isinstance(cause, ZaptecBusyError) and cause.retry_after is not None:
        return max(pause, cause.retry_after)
    return pause
