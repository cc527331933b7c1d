"""Numbers that a person may set, of Zaptec installations and chargers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import override

from homeassistant.components.number import (
    NumberDeviceClass,
    NumberEntity,
    NumberEntityDescription,
    NumberMode,
)
from homeassistant.const import EntityCategory, UnitOfElectricCurrent, UnitOfTime
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api import Charger, Family, Installation, StateId, ZaptecClient, limits_time
from .commands import (
    CURRENT_MIN,
    async_turn,
    async_update_installation,
    check_current,
    check_number,
    check_stand_alone,
    may_control,
    plain_words,
)
from .const import CURRENT_MAX, DOMAIN
from .coordinator import ZaptecConfigEntry, ZaptecCoordinator
from .entity import (
    CHARGERS,
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    ZaptecInstallationDescription,
    ZaptecInstallationEntity,
    async_add_charger_entities,
    async_add_installation_entities,
)

# What is sent to one charger goes out in its turn; one that does not answer must
# not keep the others waiting.
PARALLEL_UPDATES = 0

# The offline current that leaves it to the charger.
AUTOMATIC = -1

# How often the meter is reported unless it is set (seconds).
# Source: swagger of POST chargers/{id}/update.
METER_INTERVALS = {Family.PRO: 900.0, Family.GO: 3600.0}

ATTR_WAITING_CURRENT = "waiting_current"
ATTR_WAITING_UNTIL = "waiting_until"


@dataclass(frozen=True, kw_only=True)
class ZaptecNumberDescription(ZaptecChargerDescription, NumberEntityDescription):
    """Describe a number of a charger."""

    check_fn: Callable[[ZaptecCoordinator, str, float], None] = lambda *_: None
    set_fn: Callable[[ZaptecClient, str, float], Awaitable[None]]
    # What the charger does until it tells a value.
    default_fn: Callable[[Charger], float | None] = lambda _: None
    # The StateId of the highest value, for devices that tell one.
    max_state_id: StateId | None = None


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationNumberDescription(
    ZaptecInstallationDescription, NumberEntityDescription
):
    """Describe a number of an installation."""

    value_fn: Callable[[Installation], float | None]


def _check_charge_current(
    coordinator: ZaptecCoordinator, charger_id: str, value: float
) -> None:
    """Refuse a current that would be in vain."""
    check_current(value)
    check_stand_alone(coordinator, charger_id)


def _check_offline_current(
    coordinator: ZaptecCoordinator, charger_id: str, value: float
) -> None:
    """Refuse what is neither a current nor automatic."""
    if AUTOMATIC < value < 0:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="offline_current_invalid"
        )
    check_current(value)


DESCRIPTIONS: tuple[ZaptecNumberDescription, ...] = (
    ZaptecNumberDescription(
        key="charger_max_current",
        translation_key="charger_max_current",
        state_ids=(StateId.CHARGER_MAX_CURRENT,),
        always=CHARGERS,
        families=CHARGERS,
        control=True,
        device_class=NumberDeviceClass.CURRENT,
        entity_category=EntityCategory.CONFIG,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        native_min_value=0,
        native_max_value=CURRENT_MAX,
        native_step=0.1,
        max_state_id=StateId.CHARGE_CURRENT_INSTALLATION_MAX_LIMIT,
        check_fn=_check_charge_current,
        set_fn=lambda client, charger_id, value: client.update_charger(
            charger_id, max_charge_current=value
        ),
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
        native_step=0.1,
        max_state_id=StateId.CHARGE_CURRENT_INSTALLATION_MAX_LIMIT,
        check_fn=_check_charge_current,
        set_fn=lambda client, charger_id, value: client.update_charger(
            charger_id, min_charge_current=value
        ),
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
        native_step=0.1,
        check_fn=_check_offline_current,
        set_fn=lambda client, charger_id, value: client.update_charger(
            charger_id, offline_charge_current=value
        ),
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
        set_fn=lambda client, charger_id, value: client.update_charger(
            charger_id, meter_value_interval=int(value)
        ),
    ),
)

AVAILABLE_CURRENT = ZaptecInstallationNumberDescription(
    key="available_current",
    translation_key="available_current",
    device_class=NumberDeviceClass.CURRENT,
    native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
    native_min_value=0,
    native_step=0.1,
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
    native_step=0.1,
    has_fn=may_control,
    value_fn=lambda x: x.three_to_one_phase_switch_current,
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
        entry, async_add_entities, ZaptecAvailableCurrent, (AVAILABLE_CURRENT,)
    )
    async_add_installation_entities(
        entry, async_add_entities, ZaptecPhaseSwitchCurrent, (PHASE_SWITCH_CURRENT,)
    )


class ZaptecChargerNumber(ZaptecChargerEntity, NumberEntity):
    """A setting of a charger, which confirms it by push."""

    entity_description: ZaptecNumberDescription
    _attr_mode = NumberMode.BOX

    @property
    @override
    def native_max_value(self) -> float:
        """Return the highest value that this charger takes."""
        highest = self.entity_description.native_max_value or CURRENT_MAX
        if (state_id := self.entity_description.max_state_id) is None:
            return highest
        told = self.state_of_charger.value(state_id)
        return min(highest, told) if isinstance(told, float) and told > 0 else highest

    @property
    @override
    def native_value(self) -> float | None:
        """Return the value that the charger has confirmed."""
        value = self.state_of_charger.value(self.entity_description.state_ids[0])
        if isinstance(value, (int, float)):
            return value
        return self.entity_description.default_fn(self.charger)

    @override
    @limits_time
    async def async_set_native_value(self, value: float) -> None:
        """Set the value."""
        check_number(value)
        self.entity_description.check_fn(self.coordinator, self.charger_id, value)
        async with async_turn(self.coordinator.turns[self.charger_id]):
            with plain_words(self.coordinator):
                await self.coordinator.writes.async_send(
                    self.charger_id,
                    self.entity_description.state_ids[0],
                    self.entity_description.set_fn(
                        self.coordinator.client, self.charger_id, value
                    ),
                )


class ZaptecInstallationNumber(ZaptecInstallationEntity, NumberEntity):
    """A current that is set at an installation."""

    entity_description: ZaptecInstallationNumberDescription
    _attr_mode = NumberMode.BOX

    @property
    @override
    def native_value(self) -> float | None:
        """Return the current that the cloud holds."""
        return self.entity_description.value_fn(self.installation)


class ZaptecAvailableCurrent(ZaptecInstallationNumber):
    """What all chargers of an installation may draw together."""

    @property
    @override
    def native_max_value(self) -> float:
        """Return the highest current that the installation is built for."""
        return self.installation.max_current or CURRENT_MAX

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, float | datetime | None]:
        """Return the current that waits for its time, and that time."""
        current = self.coordinator.available_currents.of(self.installation_id)
        return {
            ATTR_WAITING_CURRENT: min(current.waiting) if current.waiting else None,
            ATTR_WAITING_UNTIL: current.due,
        }

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Set the current, or let it wait for its time."""
        check_current(value)
        await self.coordinator.available_currents.of(self.installation_id).async_set(
            (value, value, value)
        )


class ZaptecPhaseSwitchCurrent(ZaptecInstallationNumber):
    """Below which current an installation charges on one phase."""

    def __init__(
        self,
        coordinator: ZaptecCoordinator,
        installation: Installation,
        description: ZaptecInstallationNumberDescription,
    ) -> None:
        """Initialize the entity, disabled where the cloud has no value for it."""
        super().__init__(coordinator, installation, description)
        self._attr_entity_registry_enabled_default = (
            installation.three_to_one_phase_switch_current is not None
        )

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Set the current."""
        check_number(value)
        if 0 < value < CURRENT_MIN:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="phase_switch_current_too_low",
                translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
            )
        await async_update_installation(
            self.coordinator,
            self.installation_id,
            lambda client: client.update_installation(
                self.installation_id, three_to_one_phase_switch_current=value
            ),
            lambda x: replace(x, three_to_one_phase_switch_current=value),
        )
