"""Actions of the Zaptec integration, for all its accounts together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import (
    ATTR_AREA_ID,
    ATTR_DEVICE_ID,
    ATTR_ENTITY_ID,
    ATTR_FLOOR_ID,
    ATTR_LABEL_ID,
)
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
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

from .api import Command, limits_time
from .const import CURRENT_MAX, DOMAIN
from .control.checks import check_current, round_current
from .control.currents import Currents, has_available_current, held_currents
from .devices.adoption import async_get_device
from .entity import CHARGERS
from .runtime import ZaptecConfigEntry, ZaptecRuntime

ATTR_AVAILABLE_CURRENT = "available_current"
ATTR_PHASES = tuple(f"available_current_phase{phase}" for phase in (1, 2, 3))
ATTR_CHARGER_ID = "charger_id"
ATTR_COMMAND = "command"
ATTR_INSTALLATION_ID = "installation_id"
ATTR_OVERRIDE = "override"

SERVICE_LIMIT_CURRENT = "limit_current"
SERVICE_SEND_COMMAND = "send_command"

# The names of the actions of custom-components/zaptec.
COMMAND_SERVICES = {
    "stop_charging": Command.STOP_CHARGING_FINAL,
    "resume_charging": Command.RESUME_CHARGING,
    "deauthorize_charging": Command.DEAUTHORIZE_AND_STOP,
    "restart_charger": Command.RESTART_CHARGER,
    "upgrade_firmware": Command.UPGRADE_FIRMWARE,
}


_IDS = probatio.All(cv.ensure_list, [cv.string])
_CURRENT = probatio.All(probatio.Coerce(float), probatio.Range(min=0))
# The parts of a target that may also contain devices of other integrations.
_PLACES = (ATTR_AREA_ID, ATTR_FLOOR_ID, ATTR_LABEL_ID)
_TARGET = {
    probatio.Optional(ATTR_DEVICE_ID): _IDS,
    probatio.Optional(ATTR_ENTITY_ID): cv.entity_ids,
    **{probatio.Optional(place): _IDS for place in _PLACES},
}
_CHARGERS = {**_TARGET, probatio.Optional(ATTR_CHARGER_ID): _IDS}

CHARGER_SCHEMA = probatio.Schema(_CHARGERS)
COMMAND_SCHEMA = probatio.Schema(
    {**_CHARGERS, probatio.Required(ATTR_COMMAND): probatio.Any(int, cv.string)}
)
LIMIT_SCHEMA = probatio.Schema(
    {
        **_TARGET,
        probatio.Optional(ATTR_INSTALLATION_ID): _IDS,
        probatio.Optional(ATTR_AVAILABLE_CURRENT): _CURRENT,
        **{probatio.Optional(phase): _CURRENT for phase in ATTR_PHASES},
        probatio.Optional(ATTR_OVERRIDE, default=False): cv.boolean,
    }
)


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""

    async def send(command: Command, call: ServiceCall) -> None:
        await _async_send(hass, call, command)

    for name, command in COMMAND_SERVICES.items():
        hass.services.async_register(
            DOMAIN, name, partial(send, command), schema=CHARGER_SCHEMA
        )

    async def send_command(call: ServiceCall) -> None:
        await send(_command(call.data[ATTR_COMMAND]), call)

    hass.services.async_register(
        DOMAIN, SERVICE_SEND_COMMAND, send_command, schema=COMMAND_SCHEMA
    )

    async def limit_current(call: ServiceCall) -> ServiceResponse:
        return await _async_limit_current(hass, call)

    hass.services.async_register(
        DOMAIN,
        SERVICE_LIMIT_CURRENT,
        limit_current,
        schema=LIMIT_SCHEMA,
        supports_response=SupportsResponse.OPTIONAL,
    )


def _command(value: int | str) -> Command:
    """Return the command that a name or a number stands for.

    Case, spaces and underscores do not matter.
    """
    text = str(value).strip().lower().replace("_", "").replace(" ", "")
    for command in Command:
        if text in (str(command.value), command.name.lower().replace("_", "")):
            return command
    raise ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="unknown_command",
        translation_placeholders={
            "command": str(value),
            "known": ", ".join(
                f"{item.name.lower()} ({item.value})" for item in Command
            ),
        },
    )


async def _async_send(hass: HomeAssistant, call: ServiceCall, command: Command) -> None:
    """Send a command to all chargers of a call, and then raise what went wrong."""
    chargers = _devices(hass, call, ATTR_CHARGER_ID)
    for charger_id, runtime in chargers.items():
        if charger_id not in runtime.coordinator.data.chargers:
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="no_charger"
            )
    await _async_all(
        hass,
        chargers,
        lambda charger_id, runtime: runtime.chargers.async_send(charger_id, command),
    )


@limits_time
async def _async_limit_current(
    hass: HomeAssistant, call: ServiceCall
) -> ServiceResponse:
    """Set the available current of all installations of a call."""
    installations: dict[str, ZaptecRuntime] = {}
    for device_id, runtime in _devices(hass, call, ATTR_INSTALLATION_ID).items():
        charger = runtime.coordinator.data.chargers.get(device_id)
        installation_id = charger.installation_id if charger else device_id
        if installation_id not in runtime.coordinator.data.installations:
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="no_installation"
            )
        installations[installation_id] = runtime
    currents = _currents(call)

    async def check(installation_id: str, runtime: ZaptecRuntime) -> None:
        highest = (
            runtime.coordinator.data.installations[installation_id].max_current
            or CURRENT_MAX
        )
        if max(currents) > highest:
            raise ServiceValidationError(
                translation_domain=DOMAIN,
                translation_key="current_too_high",
                translation_placeholders={"maximum": f"{highest:g}"},
            )
        await runtime.installations.async_check_current_is_settable(installation_id)

    async def set_currents(installation_id: str, runtime: ZaptecRuntime) -> None:
        await runtime.available_currents.of(installation_id).async_set(
            currents, override=call.data[ATTR_OVERRIDE]
        )

    # Check all installations before the first one is changed.
    await _async_all(hass, installations, check)
    await _async_all(hass, installations, set_currents)
    return {
        "installations": [
            _outcome(runtime, installation_id)
            for installation_id, runtime in installations.items()
        ]
    }


def _currents(call: ServiceCall) -> Currents:
    """Return the three currents of a call."""
    total: Any = call.data.get(ATTR_AVAILABLE_CURRENT)
    phases: list[float] = [
        call.data[phase] for phase in ATTR_PHASES if phase in call.data
    ]
    if (total is None) is (not phases) or len(phases) not in (0, len(ATTR_PHASES)):
        raise ServiceValidationError(
            translation_domain=DOMAIN, translation_key="which_current"
        )
    for current in phases or [total]:
        check_current(round_current(current))
    return (phases[0], phases[1], phases[2]) if phases else (total, total, total)


def _outcome(runtime: ZaptecRuntime, installation_id: str) -> dict[str, Any]:
    """Return the currents of an installation after a call: set and queued."""
    installation = runtime.coordinator.data.installations.get(installation_id)
    current = runtime.available_currents.of(installation_id)
    held = (
        held_currents(installation)
        if installation and has_available_current(installation)
        else None
    )
    return {
        "installation_id": installation_id,
        **_by_phase("available_current", held),
        **_by_phase("waiting_current", current.waiting),
        "waiting_until": current.due.isoformat() if current.due else None,
    }


def _by_phase(name: str, currents: Currents | None) -> dict[str, float | None]:
    """Return the lowest of three currents, and each of them."""
    phases = currents or (None, None, None)
    return {
        name: min(currents) if currents else None,
        **{f"{name}_phase{phase}": item for phase, item in enumerate(phases, 1)},
    }


async def _async_all(
    hass: HomeAssistant,
    devices: Mapping[str, ZaptecRuntime],
    act: Callable[[str, ZaptecRuntime], Awaitable[None]],
) -> None:
    """Run a function for all devices, and then raise what went wrong.

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
    failures: dict[str, HomeAssistantError] = {}
    for device_id, outcome in zip(devices, outcomes, strict=True):
        if isinstance(outcome, HomeAssistantError):
            failures[device_id] = outcome
        elif isinstance(outcome, BaseException):
            # A fault of the integration belongs in the log, not in an error text.
            raise outcome
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
                    f"{_name(hass, devices[device_id], device_id)}: {failure}"
                    for device_id, failure in failures.items()
                )
            },
        ) from ExceptionGroup("Several devices failed", list(failures.values()))


def _name(hass: HomeAssistant, runtime: ZaptecRuntime, device_id: str) -> str:
    """Return the name of a device in Home Assistant."""
    device = async_get_device(hass, runtime.entry.entry_id, device_id)
    return (device and (device.name_by_user or device.name)) or device_id


def _devices(
    hass: HomeAssistant, call: ServiceCall, id_field: str
) -> dict[str, ZaptecRuntime]:
    """Return the installations and chargers of a call, each with its runtime."""
    wanted = [item.strip().lower() for item in call.data.get(id_field, ())]
    wanted += [
        _identifier(hass, device_id, device_id)
        for device_id in call.data.get(ATTR_DEVICE_ID, ())
    ]
    entities = er.async_get(hass)
    for entity_id in call.data.get(ATTR_ENTITY_ID, ()):
        entity = entities.async_get(entity_id)
        wanted.append(
            _identifier(hass, entity.device_id if entity else None, entity_id)
        )
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
    for device_id in wanted:
        if device_id not in known:
            raise _unknown_target(device_id)
    in_places = [
        device_id
        for device_id in _identifiers_in_places(hass, call)
        if device_id in known
        and _is_meant(known[device_id], device_id, id_field == ATTR_INSTALLATION_ID)
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


def _is_meant(runtime: ZaptecRuntime, device_id: str, of_installations: bool) -> bool:
    """Return whether an action applies to a device that was found in an area.

    The chargers of an account include power meters, and an installation may be in the
    same area as its chargers. Neither takes commands. An action of installations does
    not apply to a charger whose installation the account cannot see.
    """
    account = runtime.coordinator.data
    charger = account.chargers.get(device_id)
    if charger is None:
        return of_installations
    return charger.family in CHARGERS and (
        not of_installations or charger.installation_id in account.installations
    )


def _identifier(hass: HomeAssistant, device_id: str | None, target: str) -> str:
    """Return the Zaptec id of a device in Home Assistant."""
    device = dr.async_get(hass).async_get(device_id) if device_id else None
    for identifier in device.identifiers if device else ():
        if identifier[0] == DOMAIN:
            return identifier[1]
    raise _unknown_target(target)


def _unknown_target(target: str) -> ServiceValidationError:
    """Return the error for a target that is no device of this integration."""
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key="unknown_target",
        translation_placeholders={"target": target},
    )
