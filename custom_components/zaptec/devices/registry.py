"""The devices of an account in the device registry."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.typing import UNDEFINED, UndefinedType

from ..api import Account, Charger, Installation, Value, parse_words
from ..const import CONF_PREFIX, DOMAIN, PORTAL_URL
from .adoption import async_adopt_device, async_get_device
from .missing import MissingDevices
from .ownership import Ownership

MANUFACTURER = "Zaptec"

# The model of an installation, in this integration and in custom-components/zaptec.
INSTALLATION_MODEL = "Zaptec Installation"


class Devices:
    """Registers the devices that an account shows, and removes those that are gone."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        ownership: Ownership,
        missing: MissingDevices,
    ) -> None:
        """Initialize the devices."""
        self._hass = hass
        self._entry = entry
        self._registry = dr.async_get(hass)
        self._ownership = ownership
        self._missing = missing
        # custom-components/zaptec puts it before the name of each device.
        self._prefix = str(entry.data.get(CONF_PREFIX) or "").rstrip()

    @callback
    def follow(self, account: Account) -> None:
        """Bring the device registry in line with what the account shows."""
        for device_id in (*account.installations, *account.chargers):
            async_adopt_device(self._hass, self._entry.entry_id, device_id)
        parent_ids = {
            installation.id: self._register_installation(installation).id
            for installation in account.installations.values()
        }
        for charger in account.chargers.values():
            self._register_charger(charger, parent_ids)
        self._remove_gone(account)

    @callback
    def set_software_version(self, charger_id: str, version: Value | None) -> None:
        """Show the firmware version that a charger reports."""
        device = async_get_device(self._hass, self._entry.entry_id, charger_id)
        if device and version is not None:
            self._registry.async_update_device(
                device.id, sw_version=parse_words(str(version))
            )

    def _name(self, name: str | None) -> str:
        """Return the name of a device."""
        return f"{self._prefix} {name or MANUFACTURER}".lstrip()

    def _register_installation(self, installation: Installation) -> dr.DeviceEntry:
        """Register an installation."""
        return self._registry.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={(DOMAIN, installation.id)},
            manufacturer=MANUFACTURER,
            model=INSTALLATION_MODEL,
            name=self._name(installation.name),
            configuration_url=PORTAL_URL,
        )

    def _register_charger(self, charger: Charger, parent_ids: dict[str, str]) -> None:
        """Register a charger, as a device of its installation."""
        # Without an installation the list is incomplete: the device stays where it is.
        via_device_id: str | UndefinedType | None = UNDEFINED
        if charger.installation_id:
            via_device_id = parent_ids.get(charger.installation_id)
        self._registry.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={(DOMAIN, charger.id)},
            manufacturer=MANUFACTURER,
            model=charger.model,
            name=self._name(charger.name or charger.device_id),
            serial_number=charger.device_id,
            configuration_url=PORTAL_URL,
            via_device_id=via_device_id,
        )

    def _remove_gone(self, account: Account) -> None:
        """Remove the devices that were not chosen, or have been missing for long."""
        visible = self._ownership.visible
        unchosen = visible.device_ids - self._ownership.chosen.device_ids
        # What is left of a circuit goes with its last entity (see `Leftovers`).
        known = account.device_ids | visible.circuit_ids
        for device in dr.async_entries_for_config_entry(
            self._registry, self._entry.entry_id
        ):
            unknown = {identifier for _, identifier in device.identifiers} - known
            if unknown & self._ownership.elsewhere:
                # The account that shows it takes it over, with all that is set for it.
                continue
            # What was there before a restart is missing since the restart.
            self._missing.add(unknown)
            if unknown and all(
                device_id in unchosen or self._missing.is_gone(device_id)
                for device_id in unknown
            ):
                self._registry.async_remove_device(device.id)
