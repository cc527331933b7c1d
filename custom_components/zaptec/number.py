"""Numbers that a person may set, of Zaptec installations and chargers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import override

from homeassistant.components.number import (
    NumberDeviceClass,
    NumberEntity,
    NumberEntityDescription,
)
from homeassistant.const import EntityCategory, UnitOfElectricCurrent, UnitOfTime
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api import Charger, Family, Installation, StateId, ZaptecClient, limits_time
from .const import CURRENT_MAX, DOMAIN
from .control.batch import Batch
from .control.checks import (
    CURRENT_MIN,
    check_number,
    check_stand_alone,
    may_control,
    round_current,
)
from .control.errors import UNCERTAIN_FAILURES
from .control.installation import (
    async_check_current_is_settable,
    async_update_installation,
)
from .control.settings import ChargerSetting
from .coordinator import ZaptecCoordinator
from .entity import (
    CHARGERS,
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    ZaptecInstallationDescription,
    ZaptecInstallationEntity,
)
from .entity_loader import async_add_charger_entities, async_add_installation_entities
from .runtime import ZaptecConfigEntry, ZaptecRuntime

# What is sent to one charger goes out in its turn; one that does not answer must
# not keep the others waiting.
PARALLEL_UPDATES = 0

# The offline current that leaves it to the charger.
AUTOMATIC = -1

# Step of the plus and minus buttons (A). Tenths may be typed in and set by programs.
CURRENT_STEP = 1

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
    # What the charger does until it reports a value.
    default_fn: Callable[[Charger], float | None] = lambda _: None
    round_fn: Callable[[float], float] = round_current


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationNumberDescription(
    ZaptecInstallationDescription, NumberEntityDescription
):
    """Describe a number of an installation."""

    value_fn: Callable[[Installation], float | None]


def _check_max_current(
    coordinator: ZaptecCoordinator, charger_id: str, value: float
) -> None:
    """Refuse a maximum that would have no effect.

    Any other is accepted: below the minimum the charger pauses (swagger of POST
    chargers/{id}/update), which load balancers make use of.
    """
    check_stand_alone(coordinator, charger_id)


def _check_min_current(
    coordinator: ZaptecCoordinator, charger_id: str, value: float
) -> None:
    """Refuse a minimum that the charger can't charge with.

    With 0 the vendor's portal refuses to save any other setting of the charger
    (custom-components/zaptec issue 289).
    """
    if value < CURRENT_MIN:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="min_current_too_low",
            translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
        )
    setting = coordinator.charger_settings.get(
        (charger_id, StateId.CHARGER_MAX_CURRENT)
    )
    maximum = setting.requested if setting else None
    if maximum is not None and value > maximum:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="min_current_above_max",
            translation_placeholders={"maximum": f"{maximum:g}"},
        )
    check_stand_alone(coordinator, charger_id)


def _check_offline_current(
    coordinator: ZaptecCoordinator, charger_id: str, value: float
) -> None:
    """Refuse what is neither a current nor automatic."""
    if value not in (AUTOMATIC, 0) and value < CURRENT_MIN:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="offline_current_invalid",
            translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
        )


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
        check_fn=_check_max_current,
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
        native_step=CURRENT_STEP,
        check_fn=_check_min_current,
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
        native_step=CURRENT_STEP,
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
        round_fn=round,
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
    async_add_charger_entities(
        entry, async_add_entities, ZaptecChargerNumber, DESCRIPTIONS
    )
    async_add_installation_entities(
        entry, async_add_entities, ZaptecAvailableCurrent, (AVAILABLE_CURRENT,)
    )
    async_add_installation_entities(
        entry, async_add_entities, ZaptecPhaseSwitchCurrent, (PHASE_SWITCH_CURRENT,)
    )


class ZaptecNumber(NumberEntity):
    """A number that always accepts the value it holds."""

    @property
    def highest(self) -> float:
        """Return the highest value that the device accepts."""
        highest = self.entity_description.native_max_value
        return CURRENT_MAX if highest is None else highest

    @property
    @override
    def native_max_value(self) -> float:
        """Return the highest value that the device accepts, or the one it holds.

        What was set elsewhere, or before a limit changed, may be outside the range. Home
        Assistant would refuse to set it again, as an automation does that restores it.
        """
        held = self.native_value
        return self.highest if held is None else max(self.highest, held)


class ZaptecChargerNumber(ZaptecNumber, ZaptecChargerEntity):
    """A setting of a charger, which confirms it by push."""

    entity_description: ZaptecNumberDescription

    def __init__(
        self,
        runtime: ZaptecRuntime,
        charger: Charger,
        description: ZaptecNumberDescription,
    ) -> None:
        """Initialize the entity."""
        super().__init__(runtime, charger, description)
        self._state_id = description.state_ids[0]
        # One for as long as the account is loaded: what was sent and is not confirmed
        # yet must survive that Home Assistant removes the entity and adds it again.
        key = (charger.id, self._state_id)
        if key not in self.coordinator.charger_settings:
            self.coordinator.charger_settings[key] = ChargerSetting(
                self.coordinator, charger.id, self._state_id, description.set_fn
            )
        self._setting = self.coordinator.charger_settings[key]

    @property
    @override
    def native_value(self) -> float | None:
        """Return the value that the charger has confirmed."""
        value = self.state_of_charger.value(self._state_id)
        if isinstance(value, (int, float)):
            return self.entity_description.round_fn(value)
        return self.entity_description.default_fn(self.charger)

    @override
    @limits_time
    async def async_set_native_value(self, value: float) -> None:
        """Set the value."""
        check_number(value)
        value = self.entity_description.round_fn(value)
        self.entity_description.check_fn(self.coordinator, self.charger_id, value)
        await self._setting.async_set(value)


class ZaptecInstallationNumber(ZaptecNumber, ZaptecInstallationEntity):
    """A current that is set at an installation."""

    entity_description: ZaptecInstallationNumberDescription

    @property
    @override
    def native_value(self) -> float | None:
        """Return the current that the cloud holds."""
        value = self.entity_description.value_fn(self.installation)
        return None if value is None else round_current(value)


class ZaptecAvailableCurrent(ZaptecInstallationNumber):
    """What all chargers of an installation may draw together."""

    @property
    @override
    def highest(self) -> float:
        """Return the highest current that the installation is built for."""
        return self.installation.max_current or CURRENT_MAX

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, float | datetime | None]:
        """Return the current that waits for its time, and that time."""
        current = self.runtime.available_currents.of(self.installation_id)
        return {
            ATTR_WAITING_CURRENT: min(current.waiting) if current.waiting else None,
            ATTR_WAITING_UNTIL: current.due,
        }

    @override
    async def async_set_native_value(self, value: float) -> None:
        """Set the current, or let it wait for its time."""
        await self.runtime.available_currents.of(self.installation_id).async_set(
            (value, value, value)
        )


class ZaptecPhaseSwitchCurrent(ZaptecInstallationNumber):
    """Below which current an installation charges on one phase."""

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
        self._batch = runtime.batches.add(Batch(runtime.hass, self._async_send))
        # Whether the outcome of the last change is unknown.
        self._is_uncertain = False

    @override
    @limits_time
    async def async_set_native_value(self, value: float) -> None:
        """Set the current."""
        check_number(value)
        value = round_current(value)
        if 0 < value < CURRENT_MIN:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="phase_switch_current_too_low",
                translation_placeholders={"minimum": f"{CURRENT_MIN:g}"},
            )
        await async_check_current_is_settable(self.coordinator, self.installation_id)
        if not self._batch.is_busy and await self._async_is_held(value):
            return
        await self._batch.async_request(value)

    async def _async_is_held(self, value: float) -> bool:
        """Return whether the cloud certainly holds a value, after a look at it."""
        return (
            self._seems_held(value)
            and await self.coordinator.async_is_installation_certain(
                self.installation_id
            )
            # The look may have found another.
            and self._seems_held(value)
        )

    def _seems_held(self, value: float) -> bool:
        """Return whether the cloud held a value when it reported that last."""
        return self.native_value == value and not self._is_uncertain

    async def _async_send(self, value: float) -> None:
        """Send a current, unless the cloud holds it by now."""
        if await self._async_is_held(value):
            return

        def looked(_installation: Installation) -> None:
            self._is_uncertain = False

        async def request(client: ZaptecClient) -> None:
            self._is_uncertain = True
            await client.update_installation(
                self.installation_id, three_to_one_phase_switch_current=value
            )

        try:
            await async_update_installation(
                self.coordinator,
                self.installation_id,
                request,
                lambda x: replace(x, three_to_one_phase_switch_current=value),
                looked,
            )
        except HomeAssistantError as err:
            self._is_uncertain = err.translation_key in UNCERTAIN_FAILURES
            raise
        self._is_uncertain = False
