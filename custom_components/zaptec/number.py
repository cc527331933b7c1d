"""Currents that a person may set, of Zaptec installations and chargers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import override

from homeassistant.components.number import (
    NumberDeviceClass,
    NumberEntity,
    NumberEntityDescription,
)
from homeassistant.const import EntityCategory, UnitOfElectricCurrent
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api import Installation, StateId, ZaptecClient
from .const import DOMAIN
from .coordinator import ZaptecConfigEntry
from .entity import (
    CONTROL_ROLES,
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    ZaptecInstallationDescription,
    ZaptecInstallationEntity,
    async_add_charger_entities,
    async_add_installation_entities,
    zaptec_command,
)

# The cloud takes the changes of a charger one after another.
PARALLEL_UPDATES = 1

# What a Zaptec charger is built for, and the least a car charges with (A).
CURRENT_MAX = 32.0
CURRENT_MIN = 6.0


@dataclass(frozen=True, kw_only=True)
class ZaptecNumberDescription(ZaptecChargerDescription, NumberEntityDescription):
    """Describe a number of a charger."""

    set_fn: Callable[[ZaptecClient, str, float], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationNumberDescription(
    ZaptecInstallationDescription, NumberEntityDescription
):
    """Describe a number of an installation."""

    value_fn: Callable[[Installation], float | None]
    max_fn: Callable[[Installation], float | None]
    set_fn: Callable[[ZaptecClient, str, float], Awaitable[None]]
    # The installation as it is once the cloud has accepted a value.
    accepted_fn: Callable[[Installation, float], Installation]


DESCRIPTIONS: tuple[ZaptecNumberDescription, ...] = (
    ZaptecNumberDescription(
        key="charger_max_current",
        translation_key="charger_max_current",
        state_ids=(StateId.CHARGER_MAX_CURRENT,),
        control=True,
        device_class=NumberDeviceClass.CURRENT,
        entity_category=EntityCategory.CONFIG,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        native_min_value=0,
        native_max_value=CURRENT_MAX,
        native_step=0.1,
        set_fn=lambda client, charger_id, value: client.update_charger(
            charger_id, max_charge_current=value
        ),
    ),
)

INSTALLATION_DESCRIPTIONS: tuple[ZaptecInstallationNumberDescription, ...] = (
    ZaptecInstallationNumberDescription(
        key="available_current",
        translation_key="available_current",
        device_class=NumberDeviceClass.CURRENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        native_min_value=0,
        native_step=0.1,
        has_fn=lambda x: bool(x.current_user_roles & CONTROL_ROLES),
        value_fn=lambda x: x.available_current,
        max_fn=lambda x: x.max_current,
        set_fn=lambda client, installation_id, value: client.update_installation(
            installation_id, available_current=value
        ),
        accepted_fn=lambda x, value: replace(
            x,
            available_current=value,
            available_current_phase1=value,
            available_current_phase2=value,
            available_current_phase3=value,
        ),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the numbers of an account."""
    async_add_charger_entities(
        entry, async_add_entities, ZaptecChargerNumber, DESCRIPTIONS
    )
    async_add_installation_entities(
        entry,
        async_add_entities,
        ZaptecInstallationNumber,
        INSTALLATION_DESCRIPTIONS,
    )


def check_current(value: float) -> None:
    """Refuse a current that no car charges with, but which is not zero either."""
    if 0 < value < CURRENT_MIN:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="current_too_low",
            translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
        )


class ZaptecChargerNumber(ZaptecChargerEntity, NumberEntity):
    """A current that is set at a charger, which confirms it by push."""

    entity_description: ZaptecNumberDescription

    @property
    @override
    def native_value(self) -> float | None:
        """Return the current that the charger has confirmed."""
        value = self.state_of_charger.value(self.entity_description.state_ids[0])
        return value if isinstance(value, (int, float)) else None

    @zaptec_command
    @override
    async def async_set_native_value(self, value: float) -> None:
        """Set the current."""
        check_current(value)
        await self.coordinator.async_write(
            self.charger_id,
            self.entity_description.state_ids[0],
            self.entity_description.set_fn(
                self.coordinator.client, self.charger_id, value
            ),
        )


class ZaptecInstallationNumber(ZaptecInstallationEntity, NumberEntity):
    """A current that is set at an installation."""

    entity_description: ZaptecInstallationNumberDescription

    @property
    @override
    def native_max_value(self) -> float:
        """Return the highest current that the installation is built for."""
        return self.entity_description.max_fn(self.installation) or CURRENT_MAX

    @property
    @override
    def native_value(self) -> float | None:
        """Return the current that the cloud holds."""
        return self.entity_description.value_fn(self.installation)

    @zaptec_command
    @override
    async def async_set_native_value(self, value: float) -> None:
        """Set the current."""
        check_current(value)
        await self.entity_description.set_fn(
            self.coordinator.client, self.installation_id, value
        )
        self.coordinator.installation_changed(
            self.entity_description.accepted_fn(self.installation, value)
        )
