"""Settings of Zaptec installations and chargers as numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import override

from homeassistant.components.number import (
    NumberDeviceClass,
    NumberEntity,
    NumberEntityDescription,
)
from homeassistant.const import EntityCategory, UnitOfElectricCurrent, UnitOfTime
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api import METER_INTERVALS, Charger, Installation, StateId
from .const import CURRENT_MAX
from .control import settings
from .control.checks import may_control, round_current
from .control.settings import (
    AUTOMATIC,
    MAX_CURRENT,
    METER_INTERVAL,
    MIN_CURRENT,
    OFFLINE_CURRENT,
    ChargerSetting,
)
from .entity import (
    CHARGERS,
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    ZaptecInstallationDescription,
    ZaptecInstallationEntity,
)
from .entity_loader import (
    Kind,
    async_add_charger_entities,
    async_add_installation_entities,
)
from .runtime import ZaptecConfigEntry, ZaptecRuntime

# ChargerControl sends the requests to one charger one after another. A limit for all
# chargers would make a charger that does not answer block the others.
PARALLEL_UPDATES = 0

# Step of the plus and minus buttons (A). Tenths can be typed in, or set by programs.
CURRENT_STEP = 1

ATTR_WAITING_CURRENT = "waiting_current"
ATTR_WAITING_UNTIL = "waiting_until"


@dataclass(frozen=True, kw_only=True)
class ZaptecNumberDescription(ZaptecChargerDescription, NumberEntityDescription):
    """Describe a number of a charger."""

    setting: ChargerSetting
    # Returns the value that counts until the charger reports one.
    default_fn: Callable[[Charger], float | None] = lambda _: None


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationNumberDescription(
    ZaptecInstallationDescription, NumberEntityDescription
):
    """Describe a number of an installation."""

    value_fn: Callable[[Installation], float | None]


DESCRIPTIONS: tuple[ZaptecNumberDescription, ...] = (
    ZaptecNumberDescription(
        key="charger_max_current",
        translation_key="charger_max_current",
        essential=True,
        state_ids=(StateId.CHARGER_MAX_CURRENT,),
        always=CHARGERS,
        families=CHARGERS,
        control=True,
        device_class=NumberDeviceClass.CURRENT,
        entity_category=EntityCategory.CONFIG,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        native_min_value=0,
        native_max_value=CURRENT_MAX,
        native_step=CURRENT_STEP,
        setting=MAX_CURRENT,
    ),
    ZaptecNumberDescription(
        key="charger_min_current",
        translation_key="charger_min_current",
        state_ids=(StateId.CHARGER_MIN_CURRENT,),
        always=CHARGERS,
        families=CHARGERS,
        control=True,
        device_class=NumberDeviceClass.CURRENT,
        entity_category=EntityCategory.CONFIG,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        native_min_value=0,
        native_max_value=CURRENT_MAX,
        native_step=CURRENT_STEP,
        setting=MIN_CURRENT,
    ),
    ZaptecNumberDescription(
        key="offline_current",
        translation_key="offline_current",
        state_ids=(StateId.CHARGER_OFFLINE_CURRENT,),
        families=CHARGERS,
        control=True,
        device_class=NumberDeviceClass.CURRENT,
        entity_category=EntityCategory.CONFIG,
        entity_registry_enabled_default=False,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        native_min_value=AUTOMATIC,
        native_max_value=CURRENT_MAX,
        native_step=CURRENT_STEP,
        setting=OFFLINE_CURRENT,
    ),
    ZaptecNumberDescription(
        key="meter_value_interval",
        translation_key="meter_value_interval",
        state_ids=(StateId.SIGNED_METER_VALUE_INTERVAL,),
        always=CHARGERS,
        families=CHARGERS,
        control=True,
        device_class=NumberDeviceClass.DURATION,
        entity_category=EntityCategory.CONFIG,
        entity_registry_enabled_default=False,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        native_min_value=300,
        native_max_value=86400,
        native_step=60,
        default_fn=lambda charger: METER_INTERVALS.get(charger.family),
        setting=METER_INTERVAL,
    ),
)

AVAILABLE_CURRENT = ZaptecInstallationNumberDescription(
    key="available_current",
    translation_key="available_current",
    device_class=NumberDeviceClass.CURRENT,
    native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
    native_min_value=0,
    native_step=CURRENT_STEP,
    has_fn=may_control,
    value_fn=lambda x: x.available_current,
)

PHASE_SWITCH_CURRENT = ZaptecInstallationNumberDescription(
    key="three_to_one_phase_switch_current",
    translation_key="three_to_one_phase_switch_current",
    device_class=NumberDeviceClass.CURRENT,
    native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
    native_min_value=0,
    native_max_value=CURRENT_MAX,
    native_step=CURRENT_STEP,
    has_fn=may_control,
    value_fn=lambda x: x.three_to_one_phase_switch_current,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the numbers of an account."""
    await async_add_charger_entities(
        entry, async_add_entities, Kind(ZaptecChargerNumber, DESCRIPTIONS)
    )
    await async_add_installation_entities(
        entry,
        async_add_entities,
        Kind(ZaptecAvailableCurrent, (AVAILABLE_CURRENT,)),
        Kind(ZaptecPhaseSwitchCurrent, (PHASE_SWITCH_CURRENT,)),
    )


class ZaptecNumber(NumberEntity):
    """A number that accepts its current value even outside its range."""

    @property
    def highest(self) -> float:
        """Return the highest value that the device accepts."""
        highest = self.entity_description.native_max_value
        return CURRENT_MAX if highest is None else highest

    @property
    @override
    def native_max_value(self) -> float:
        """Return the highest value that the device accepts, or the one it holds.

        A value that was set elsewhere, or before a limit changed, may be outside the
        range. Home Assistant would refuse an automation that restores it.
        """
        held = self.native_value
        return self.highest if held is None else max(self.highest, held)


class ZaptecChargerNumber(ZaptecNumber, ZaptecChargerEntity):
    """A setting of a charger, which the charger confirms by a message."""

    entity_description: ZaptecNumberDescription

    @property
    @override
    def native_value(self) -> float | None:
        """Return the value that the charger has confirmed."""
        setting = self.entity_description.setting
        value = self.state_of_charger.value(setting.state_id)
        if isinstance(value, (int, float)):
            return setting.round(value)
        return self.entity_description.default_fn(self.charger)

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Set the value."""
        await self.runtime.chargers.async_set(
            self.charger_id, self.entity_description.setting, value
        )


class ZaptecInstallationNumber(ZaptecNumber, ZaptecInstallationEntity):
    """A current of an installation."""

    entity_description: ZaptecInstallationNumberDescription

    @property
    @override
    def native_value(self) -> float | None:
        """Return the current that the cloud holds."""
        value = self.entity_description.value_fn(self.installation)
        return None if value is None else round_current(value)


class ZaptecAvailableCurrent(ZaptecInstallationNumber):
    """The current that all chargers of an installation may draw together."""

    @property
    @override
    def highest(self) -> float:
        """Return the highest current that the installation is built for."""
        return self.installation.max_current or CURRENT_MAX

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, float | datetime | None]:
        """Return the queued current, and when it is sent."""
        current = self.runtime.available_currents.of(self.installation_id)
        return {
            ATTR_WAITING_CURRENT: min(current.waiting) if current.waiting else None,
            ATTR_WAITING_UNTIL: current.due,
        }

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Set the current, or queue it until the vendor's rule allows it."""
        await self.runtime.available_currents.of(self.installation_id).async_set(
            (value, value, value)
        )


class ZaptecPhaseSwitchCurrent(ZaptecInstallationNumber):
    """The current below which an installation charges on one phase."""

    def __init__(
        self,
        runtime: ZaptecRuntime,
        installation: Installation,
        description: ZaptecInstallationNumberDescription,
    ) -> None:
        """Initialize the entity, disabled where the cloud has no value for it."""
        super().__init__(runtime, installation, description)
        self._attr_entity_registry_enabled_default = (
            installation.three_to_one_phase_switch_current is not None
        )

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Set the current."""
        await self.runtime.installations.async_set(
            self.installation_id, settings.PHASE_SWITCH_CURRENT, value
        )
