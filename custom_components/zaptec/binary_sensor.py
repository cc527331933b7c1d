"""Binary sensors of Zaptec installations and chargers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_track_point_in_utc_time

from .api import Charger, Installation, OperationMode, StateId
from .control.car import has_car
from .entity import (
    BARE_KEY,
    CHARGERS,
    ZaptecChargerDescription,
    ZaptecChargerEntity,
    ZaptecInstallationDescription,
    ZaptecInstallationEntity,
)
from .entity_access import AUTHORIZATION_PENDING, ZaptecAccessEntity
from .entity_loader import (
    Kind,
    async_add_charger_entities,
    async_add_installation_entities,
)
from .runtime import ZaptecConfigEntry
from .state import ChargerState

# Values are pushed; no entity fetches anything.
PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ZaptecBinarySensorDescription(
    ZaptecChargerDescription, BinarySensorEntityDescription
):
    """Describe a binary sensor of a value that a charger reports."""

    is_on_fn: Callable[[ChargerState], bool | None]


@dataclass(frozen=True, kw_only=True)
class ZaptecListedBinarySensorDescription(
    ZaptecChargerDescription, BinarySensorEntityDescription
):
    """Describe a binary sensor of a value of a charger in the hourly list."""

    is_on_fn: Callable[[Charger], bool | None]
    attributes_fn: Callable[[Charger], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ZaptecPendingBinarySensorDescription(
    ZaptecChargerDescription, BinarySensorEntityDescription
):
    """Describe the binary sensor for a car that waits for a decision."""


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationBinarySensorDescription(
    ZaptecInstallationDescription, BinarySensorEntityDescription
):
    """Describe a binary sensor of an installation."""

    is_on_fn: Callable[[Installation], bool | None]
    attributes_fn: Callable[[Installation], Mapping[str, Any]] | None = None


def _flag(state_id: StateId) -> Callable[[ChargerState], bool | None]:
    """Return a function for the value of a StateId that is a boolean."""

    def value(state: ChargerState) -> bool | None:
        held = state.value(state_id)
        return held if isinstance(held, bool) else None

    return value


def _is_charging(state: ChargerState) -> bool | None:
    """Return whether a car is charging, None if it is unknown."""
    if has_car(state) is None:
        return None
    mode = state.value(StateId.CHARGER_OPERATION_MODE)
    return mode is OperationMode.CONNECTED_CHARGING


def _is_unlocked(state: ChargerState) -> bool | None:
    """Return whether the charger releases the cable while no car is connected."""
    locked = state.value(StateId.PERMANENT_CABLE_LOCK)
    return not locked if isinstance(locked, bool) else None


def _has_warnings(state: ChargerState) -> bool | None:
    """Return whether the charger reports any warning."""
    bits = state.value(StateId.WARNINGS)
    return bits != 0 if isinstance(bits, int) else None


def _updated_on(installation: Installation) -> str | None:
    """Return when the installation was last changed, in UTC but without a time zone.

    The load balancing blueprint subtracts it from a time without a time zone.
    """
    updated = installation.updated_on
    return updated.astimezone(UTC).replace(tzinfo=None).isoformat() if updated else None


DESCRIPTIONS: tuple[ZaptecBinarySensorDescription, ...] = (
    ZaptecBinarySensorDescription(
        key="is_online",
        translation_key="online",
        essential=True,
        state_ids=(StateId.IS_ONLINE,),
        always=CHARGERS,
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=_flag(StateId.IS_ONLINE),
    ),
    ZaptecBinarySensorDescription(
        key="car_connected",
        translation_key="car_connected",
        essential=True,
        state_ids=(StateId.CHARGER_OPERATION_MODE,),
        always=CHARGERS,
        live=True,
        from_reading=True,
        device_class=BinarySensorDeviceClass.PLUG,
        is_on_fn=has_car,
    ),
    ZaptecBinarySensorDescription(
        key="charging",
        translation_key="charging",
        essential=True,
        state_ids=(StateId.CHARGER_OPERATION_MODE,),
        always=CHARGERS,
        live=True,
        from_reading=True,
        device_class=BinarySensorDeviceClass.BATTERY_CHARGING,
        is_on_fn=_is_charging,
    ),
    ZaptecBinarySensorDescription(
        key="authentication_required",
        translation_key="authorization_required",
        state_ids=(StateId.AUTHENTICATION_REQUIRED,),
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=_flag(StateId.AUTHENTICATION_REQUIRED),
    ),
    ZaptecBinarySensorDescription(
        key="problem",
        translation_key="problem",
        essential=True,
        state_ids=(StateId.WARNINGS,),
        live=True,
        device_class=BinarySensorDeviceClass.PROBLEM,
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=_has_warnings,
    ),
    ZaptecBinarySensorDescription(
        key="is_enabled",
        translation_key="is_enabled",
        state_ids=(StateId.IS_ENABLED,),
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        is_on_fn=_flag(StateId.IS_ENABLED),
    ),
    ZaptecBinarySensorDescription(
        key="is_stand_alone",
        translation_key="is_stand_alone",
        state_ids=(StateId.IS_STAND_ALONE,),
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        is_on_fn=_flag(StateId.IS_STAND_ALONE),
    ),
    ZaptecBinarySensorDescription(
        key="permanent_cable_lock",
        translation_key="permanent_cable_lock",
        state_ids=(StateId.PERMANENT_CABLE_LOCK,),
        device_class=BinarySensorDeviceClass.LOCK,
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=_is_unlocked,
    ),
)

LISTED_DESCRIPTIONS: tuple[ZaptecListedBinarySensorDescription, ...] = (
    ZaptecListedBinarySensorDescription(
        key=BARE_KEY,
        translation_key="charger",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=lambda x: x.active,
        attributes_fn=lambda x: {
            "id": x.id,
            "name": x.name,
            "installation_id": x.installation_id,
            "installation_name": x.installation_name,
        },
    ),
)

PENDING = ZaptecPendingBinarySensorDescription(
    key=AUTHORIZATION_PENDING[1],
    translation_key="authorization_pending",
    essential=True,
    families=CHARGERS,
    web_hooks=True,
)

INSTALLATION_DESCRIPTIONS: tuple[ZaptecInstallationBinarySensorDescription, ...] = (
    ZaptecInstallationBinarySensorDescription(
        key=BARE_KEY,
        translation_key="installation",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=lambda x: x.active,
        attributes_fn=lambda x: {
            "id": x.id,
            "name": x.name,
            "updated_on": _updated_on(x),
        },
    ),
    ZaptecInstallationBinarySensorDescription(
        key="is_required_authentication",
        translation_key="authorization_required",
        entity_category=EntityCategory.DIAGNOSTIC,
        is_on_fn=lambda x: x.is_required_authentication,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the binary sensors of an account."""
    await async_add_charger_entities(
        entry,
        async_add_entities,
        Kind(ZaptecBinarySensor, DESCRIPTIONS),
        Kind(ZaptecListedBinarySensor, LISTED_DESCRIPTIONS),
        Kind(ZaptecPendingBinarySensor, (PENDING,)),
    )
    await async_add_installation_entities(
        entry,
        async_add_entities,
        Kind(ZaptecInstallationBinarySensor, INSTALLATION_DESCRIPTIONS),
    )


class ZaptecBinarySensor(ZaptecChargerEntity, BinarySensorEntity):
    """A binary value that a charger reports."""

    entity_description: ZaptecBinarySensorDescription

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the state."""
        return self.entity_description.is_on_fn(self.state_of_charger)


class ZaptecListedBinarySensor(ZaptecChargerEntity, BinarySensorEntity):
    """A binary value of a charger in the hourly list."""

    entity_description: ZaptecListedBinarySensorDescription

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the state."""
        return self.entity_description.is_on_fn(self.charger)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any]:
        """Return the few attributes that cards read."""
        return self.entity_description.attributes_fn(self.charger)


class ZaptecPendingBinarySensor(ZaptecAccessEntity, BinarySensorEntity):
    """Whether a car waits for a decision of the user or of an automation."""

    entity_description: ZaptecPendingBinarySensorDescription
    _cancel_timer: CALLBACK_TYPE | None = None

    @property
    @override
    def is_on(self) -> bool:
        """Return the state."""
        return self.runtime.access.pending_until(self.charger_id) is not None

    @override
    async def async_added_to_hass(self) -> None:
        """Show until when a car waits, also one from before a restart."""
        await super().async_added_to_hass()
        self.async_on_remove(self._stop_timer)
        self._start_timer()

    @callback
    @override
    def _handle_update(self) -> None:
        """Write the state, and again when the cloud has stopped asking."""
        super()._handle_update()
        self._start_timer()

    @callback
    def _start_timer(self) -> None:
        """Write the state again when the cloud has stopped asking."""
        self._stop_timer()
        if until := self.runtime.access.pending_until(self.charger_id):
            self._cancel_timer = async_track_point_in_utc_time(
                self.hass, self._time_is_over, until
            )

    @callback
    def _time_is_over(self, _now: datetime) -> None:
        """Write the state, because the cloud has stopped asking."""
        self._cancel_timer = None
        self._handle_update()

    @callback
    def _stop_timer(self) -> None:
        """Cancel the timer, if there is one."""
        if self._cancel_timer:
            self._cancel_timer()
            self._cancel_timer = None


class ZaptecInstallationBinarySensor(ZaptecInstallationEntity, BinarySensorEntity):
    """A binary value of an installation."""

    entity_description: ZaptecInstallationBinarySensorDescription

    @property
    @override
    def is_on(self) -> bool | None:
        """Return the state."""
        return self.entity_description.is_on_fn(self.installation)

    @property
    @override
    def extra_state_attributes(self) -> Mapping[str, Any] | None:
        """Return the few attributes that blueprints read."""
        attributes_fn = self.entity_description.attributes_fn
        return attributes_fn(self.installation) if attributes_fn else None
