"""Actions of the Zaptec integration, for all its accounts together."""

from functools import partial
from typing import Any

from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv
import probatio

from .access_actions import async_setup_access_actions
from .api import Command, limits_time
from .const import CURRENT_MAX, DOMAIN
from .control.checks import check_current, round_current
from .control.currents import Currents, has_available_current, held_currents
from .runtime import ZaptecRuntime
from .service_targets import (
    ATTR_CHARGER_ID,
    ATTR_INSTALLATION_ID,
    IDS,
    TARGET,
    async_all,
    async_target_devices,
)
from .session_actions import async_setup_session_actions

ATTR_AVAILABLE_CURRENT = "available_current"
ATTR_PHASES = tuple(f"available_current_phase{phase}" for phase in (1, 2, 3))
ATTR_COMMAND = "command"
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


_CURRENT = probatio.All(probatio.Coerce(float), probatio.Range(min=0))
_CHARGERS = {**TARGET, probatio.Optional(ATTR_CHARGER_ID): IDS}

CHARGER_SCHEMA = probatio.Schema(_CHARGERS)
COMMAND_SCHEMA = probatio.Schema(
    {**_CHARGERS, probatio.Required(ATTR_COMMAND): probatio.Any(int, cv.string)}
)
LIMIT_SCHEMA = probatio.Schema(
    {
        **TARGET,
        probatio.Optional(ATTR_INSTALLATION_ID): IDS,
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
    async_setup_session_actions(hass)
    async_setup_access_actions(hass)


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
    chargers = async_target_devices(hass, call, ATTR_CHARGER_ID)
    for charger_id, runtime in chargers.items():
        if charger_id not in runtime.coordinator.data.chargers:
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="no_charger"
            )
    await async_all(
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
    for device_id, runtime in async_target_devices(
        hass, call, ATTR_INSTALLATION_ID
    ).items():
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
    await async_all(hass, installations, check)
    await async_all(hass, installations, set_currents)
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
