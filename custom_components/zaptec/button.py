"""Buttons of Zaptec chargers."""

from dataclasses import dataclass
from typing import override

from homeassistant.components.button import (
    ButtonDeviceClass,
    ButtonEntity,
    ButtonEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api import Command, Family, StateId
from .entity import CHARGERS, ZaptecChargerDescription, ZaptecChargerEntity
from .entity_access import AUTHORIZE_CHARGING, ZaptecAccessEntity
from .entity_loader import Kind, async_add_charger_entities
from .runtime import ZaptecConfigEntry

# ChargerControl sends the requests to one charger one after another. A limit for all
# chargers would make a charger that does not answer block the others.
PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ZaptecButtonDescription(ZaptecChargerDescription, ButtonEntityDescription):
    """Describe a button of a charger, which needs the charger to be online."""

    command: Command
    state_ids: tuple[StateId, ...] = (StateId.IS_ONLINE,)
    always: frozenset[Family] = CHARGERS
    families: frozenset[Family] = CHARGERS
    live: bool = True
    control: bool = True


DESCRIPTIONS: tuple[ZaptecButtonDescription, ...] = (
    ZaptecButtonDescription(
        key="resume_charging",
        translation_key="resume_charging",
        essential=True,
        command=Command.RESUME_CHARGING,
    ),
    ZaptecButtonDescription(
        key="stop_charging_final",
        translation_key="stop_charging",
        essential=True,
        command=Command.STOP_CHARGING_FINAL,
    ),
    ZaptecButtonDescription(
        key="deauthorize_and_stop",
        translation_key="deauthorize_and_stop",
        # Pressed by mistake, it ends the session for good.
        entity_registry_enabled_default=False,
        command=Command.DEAUTHORIZE_AND_STOP,
    ),
    ZaptecButtonDescription(
        key="restart_charger",
        translation_key="restart_charger",
        device_class=ButtonDeviceClass.RESTART,
        entity_category=EntityCategory.CONFIG,
        command=Command.RESTART_CHARGER,
    ),
    ZaptecButtonDescription(
        key="upgrade_firmware",
        translation_key="upgrade_firmware",
        device_class=ButtonDeviceClass.UPDATE,
        entity_category=EntityCategory.CONFIG,
        # The update entity does the same, and shows how it goes.
        entity_registry_enabled_default=False,
        command=Command.UPGRADE_FIRMWARE,
    ),
)


@dataclass(frozen=True, kw_only=True)
class ZaptecAuthorizeButtonDescription(
    ZaptecChargerDescription, ButtonEntityDescription
):
    """Describe the button that permits the car that waits at a charger."""


AUTHORIZE = ZaptecAuthorizeButtonDescription(
    key=AUTHORIZE_CHARGING[1],
    translation_key="authorize_charging",
    essential=True,
    families=CHARGERS,
    web_hooks=True,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the buttons of an account."""
    await async_add_charger_entities(
        entry,
        async_add_entities,
        Kind(ZaptecButton, DESCRIPTIONS),
        Kind(ZaptecAuthorizeButton, (AUTHORIZE,)),
    )


class ZaptecButton(ZaptecChargerEntity, ButtonEntity):
    """A command to a charger; pressing it succeeds also if there is nothing to do."""

    entity_description: ZaptecButtonDescription

    @override
    async def async_press(self) -> None:
        """Send the command."""
        await self.runtime.chargers.async_send(
            self.charger_id, self.entity_description.command
        )


class ZaptecAuthorizeButton(ZaptecAccessEntity, ButtonEntity):
    """Permits the car that waits at a charger; fails if none does."""

    entity_description: ZaptecAuthorizeButtonDescription

    @override
    async def async_press(self) -> None:
        """Permit the car; the cloud asks again within 10 seconds."""
        await self.runtime.access.async_authorize(self.charger_id, None)
