"""The targets of actions: which devices a call selects, and what is done for all of them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import (
    ATTR_AREA_ID,
    ATTR_DEVICE_ID,
    ATTR_ENTITY_ID,
    ATTR_FLOOR_ID,
    ATTR_LABEL_ID,
)
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import (
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.target import (
    TargetSelection,
    async_extract_referenced_entity_ids,
)
import probatio

from .const import DOMAIN
from .devices.adoption import async_get_device
from .entity import CHARGERS
from .runtime import ZaptecConfigEntry, ZaptecRuntime

ATTR_CHARGER_ID = "charger_id"
ATTR_INSTALLATION_ID = "installation_id"

IDS = probatio.All(cv.ensure_list, [cv.string])
# The parts of a target that may also contain devices of other integrations.
_PLACES = (ATTR_AREA_ID, ATTR_FLOOR_ID, ATTR_LABEL_ID)
TARGET = {
    probatio.Optional(ATTR_DEVICE_ID): IDS,
    probatio.Optional(ATTR_ENTITY_ID): cv.entity_ids,
    **{probatio.Optional(place): IDS for place in _PLACES},
}


def async_target_devices(
    hass: HomeAssistant, call: ServiceCall, *id_fields: str
) -> dict[str, ZaptecRuntime]:
    """Return the installations and chargers of a call, each with its runtime.

    Args:
        hass: Home Assistant.
        call: The call.
        id_fields: The fields with Zaptec ids that the action has. They say which kind of
            device it applies to in an area: chargers, installations, or both.

    """
    # What selects each device, for errors.
    wanted = {
        item.strip().lower(): item
        for id_field in id_fields
        for item in call.data.get(id_field, ())
    }
    for device_id in call.data.get(ATTR_DEVICE_ID, ()):
        wanted |= _identifier(hass, device_id, device_id)
    entities = er.async_get(hass)
    for entity_id in call.data.get(ATTR_ENTITY_ID, ()):
        entity = entities.async_get(entity_id)
        wanted |= _identifier(hass, entity.device_id if entity else None, entity_id)
    is_of_places = any(call.data.get(place) for place in _PLACES)
    if not wanted and not is_of_places:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="no_target"
        )
    accounts: list[ZaptecConfigEntry] = hass.config_entries.async_entries(DOMAIN)
    known = {
        device_id: entry.runtime_data
        for entry in accounts
        if entry.state is ConfigEntryState.LOADED
        for device_id in (
            *entry.runtime_data.coordinator.data.installations,
            *entry.runtime_data.coordinator.data.chargers,
        )
    }
    for device_id, target in wanted.items():
        if device_id not in known:
            raise _unknown_target(target)
        if _is_power_meter(known[device_id], device_id):
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="power_meter_target",
                translation_placeholders={"target": target},
            )
    in_places = [
        device_id
        for device_id in _identifiers_in_places(hass, call)
        if device_id in known and _is_meant(known[device_id], device_id, id_fields)
    ]
    if not wanted and not in_places:
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="none_in_target"
        )
    return {device_id: known[device_id] for device_id in (*wanted, *in_places)}


def _identifiers_in_places(hass: HomeAssistant, call: ServiceCall) -> list[str]:
    """Return the Zaptec ids of the devices in the areas, floors and labels of a call.

    As in all actions of Home Assistant, an entity with its own area or label counts,
    too: it selects its device.
    """
    selected = async_extract_referenced_entity_ids(
        hass, TargetSelection({place: call.data.get(place) for place in _PLACES})
    )
    entities = er.async_get(hass)
    device_ids = set(selected.referenced_devices)
    for entity_id in selected.indirectly_referenced:
        entity = entities.async_get(entity_id)
        if entity and entity.device_id:
            device_ids.add(entity.device_id)
    devices = dr.async_get(hass)
    return sorted(
        identifier[1]
        for device_id in device_ids
        if (device := devices.async_get(device_id))
        for identifier in device.identifiers
        if identifier[0] == DOMAIN
    )


def _is_power_meter(runtime: ZaptecRuntime, device_id: str) -> bool:
    """Return whether a device is one of those among the chargers that are none.

    The chargers of an account include power meters, such as Sense, which take no commands
    and have no sessions.
    """
    charger = runtime.coordinator.data.chargers.get(device_id)
    return charger is not None and charger.family not in CHARGERS


def _is_meant(
    runtime: ZaptecRuntime, device_id: str, id_fields: Collection[str]
) -> bool:
    """Return whether an action applies to a device that was found in an area.

    An installation may be in the same area as its chargers, and does not take commands.
    An action of installations does not apply to a charger whose installation the account
    cannot see.
    """
    account = runtime.coordinator.data
    charger = account.chargers.get(device_id)
    if charger is None:
        return ATTR_INSTALLATION_ID in id_fields
    return not _is_power_meter(runtime, device_id) and (
        ATTR_CHARGER_ID in id_fields or charger.installation_id in account.installations
    )


def _identifier(
    hass: HomeAssistant, device_id: str | None, target: str
) -> dict[str, str]:
    """Return the Zaptec id of a device in Home Assistant, and what selects the device.

    Args:
        hass: Home Assistant.
        device_id: The device.
        target: What the user has selected: the id of an entity or of the device, instead of
            which an error has the name of the device.

    """
    device = dr.async_get(hass).async_get(device_id) if device_id else None
    if device and target == device_id:
        target = device.name_by_user or device.name or device_id
    for identifier in device.identifiers if device else ():
        if identifier[0] == DOMAIN:
            return {identifier[1]: target}
    raise _unknown_target(target)


def _unknown_target(target: str) -> ServiceValidationError:
    """Return the error for a target that is no device of this integration."""
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="unknown_target",
        translation_placeholders={"target": target},
    )


def async_device_name(
    hass: HomeAssistant, runtime: ZaptecRuntime, device_id: str
) -> str:
    """Return the name of a device in Home Assistant."""
    device = async_get_device(hass, runtime.entry.entry_id, device_id)
    return (device and (device.name_by_user or device.name)) or device_id


async def async_all[T](
    hass: HomeAssistant,
    devices: Mapping[str, ZaptecRuntime],
    act: Callable[[str, ZaptecRuntime], Awaitable[T]],
) -> list[T]:
    """Run a function for all devices; return the results, or raise what went wrong.

    The error of a single device is raised as it is. With several devices, the error
    names each device that failed.

    Args:
        hass: Home Assistant.
        devices: The runtimes of the devices, by the devices' Zaptec ids.
        act: Called with each device.

    Raises:
        HomeAssistantError: The function failed for at least one device.

    """
    outcomes = await asyncio.gather(
        *(act(device_id, runtime) for device_id, runtime in devices.items()),
        return_exceptions=True,
    )
    results: list[T] = []
    failures: dict[str, HomeAssistantError] = {}
    for device_id, outcome in zip(devices, outcomes, strict=True):
        if isinstance(outcome, HomeAssistantError):
            failures[device_id] = outcome
        elif isinstance(outcome, BaseException):
            # A fault of the integration belongs in the log, not in an error text.
            raise outcome
        else:
            results.append(outcome)
    if failures and len(devices) == 1:
        raise next(iter(failures.values()))
    if failures:
        is_invalid = all(
            isinstance(failure, ServiceValidationError) for failure in failures.values()
        )
        raise (ServiceValidationError if is_invalid else HomeAssistantError)(
            translation_domain=DOMAIN,
            translation_key="several_failed",
            translation_placeholders={
                "failures": "\n".join(
                    f"{async_device_name(hass, devices[device_id], device_id)}: {failure}"
                    for device_id, failure in failures.items()
                )
            },
        ) from ExceptionGroup("Several devices failed", list(failures.values()))
    return results
