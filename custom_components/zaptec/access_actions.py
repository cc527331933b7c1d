"""The action that permits or refuses the car that waits at a charger."""

from typing import Final

from homeassistant.core import HomeAssistant, ServiceCall, callback
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import config_validation as cv
import probatio

from .const import DOMAIN
from .runtime import ZaptecRuntime
from .service_targets import (
    ATTR_CHARGER_ID,
    IDS,
    TARGET,
    async_all,
    async_target_devices,
)

ATTR_PERSON: Final = "person"
ATTR_REFUSE: Final = "refuse"

SERVICE_AUTHORIZE_CHARGING: Final = "authorize_charging"

AUTHORIZE_SCHEMA = probatio.Schema(
    {
        **TARGET,
        probatio.Optional(ATTR_CHARGER_ID): IDS,
        probatio.Optional(ATTR_PERSON): cv.string,
        probatio.Optional(ATTR_REFUSE, default=False): cv.boolean,
    }
)


@callback
def async_setup_access_actions(hass: HomeAssistant) -> None:
    """Register the action."""

    async def authorize(call: ServiceCall) -> None:
        await _async_authorize(hass, call)

    hass.services.async_register(
        DOMAIN, SERVICE_AUTHORIZE_CHARGING, authorize, schema=AUTHORIZE_SCHEMA
    )


async def _async_authorize(hass: HomeAssistant, call: ServiceCall) -> None:
    """Permit or refuse the cars at all chargers of a call."""
    chargers = async_target_devices(hass, call, ATTR_CHARGER_ID)
    for charger_id, runtime in chargers.items():
        if charger_id not in runtime.coordinator.data.chargers:
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="no_charger"
            )
    name: str = call.data.get(ATTR_PERSON, "").strip()

    async def act(charger_id: str, runtime: ZaptecRuntime) -> None:
        if call.data[ATTR_REFUSE]:
            await runtime.access.async_refuse(charger_id)
        else:
            await runtime.access.async_authorize(charger_id, _person(runtime, name))

    await async_all(hass, chargers, act)


def _person(runtime: ZaptecRuntime, name: str) -> str | None:
    """Return the id of the person with a name or an id, None without a name.

    Raises:
        ServiceValidationError: No person has this name.

    """
    if not name:
        return None
    for person_id, known in runtime.access.persons.names.items():
        if name.casefold() in (person_id.casefold(), known.strip().casefold()):
            return person_id
    # Without the name: Home Assistant logs the error if an automation causes it.
    raise ServiceValidationError(
        translation_domain=DOMAIN, translation_key="unknown_person"
    )
