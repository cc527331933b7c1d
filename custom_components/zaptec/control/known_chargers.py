"""Which chargers belong to the installations that have web hooks.

Zaptec asks about all chargers of an installation, also about those that the user has not
chosen in the options, and also while the account is not loaded.
"""

from collections.abc import Callable, Container, Mapping

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from ..api import Account
from ..authorization import Access
from ..const import DOMAIN


class KnownChargers:
    """The chargers of an account's lists, by the installation that they are at.

    While the account is not loaded, they are those that have a device, and those without one
    that the lists had last.
    """

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Initialize without lists."""
        self._hass = hass
        self._entry_id = entry_id
        self._shown: Callable[[], Account] = Account
        self._visible: Callable[[], Account] = Account
        self._look_up: Callable[[str], None] | None = None
        # The installation of each charger that is not shown, by its id.
        self._hidden: dict[str, str] = {}

    def attach(
        self,
        shown: Callable[[], Account],
        visible: Callable[[], Account],
        look_up: Callable[[str], None],
    ) -> None:
        """Use the lists of the account, as it is loaded.

        Args:
            shown: Returns what the account shows.
            visible: Returns all that the lists hold.
            look_up: Reads the lists soon because of a charger that they do not hold.

        """
        self._shown = shown
        self._visible = visible
        self._look_up = look_up

    def detach(self) -> None:
        """Use what is kept, as the account is not loaded any more."""
        self._shown = self._visible = Account
        self._look_up = None

    @callback
    def follow(self, installations: Container[str | None]) -> bool:
        """Keep the chargers of installations that are not shown; return if that is news."""
        shown = self._shown().chargers
        before = self._hidden
        self._hidden = {
            charger.id: charger.installation_id
            for charger in self._visible().chargers.values()
            if charger.id not in shown
            and charger.installation_id
            and charger.installation_id in installations
        }
        return self._hidden != before

    def shown_at(self, installations: Container[str | None]) -> set[str]:
        """Return the chargers of installations that the account shows."""
        return {
            charger.id
            for charger in self._shown().chargers.values()
            if charger.installation_id in installations
        }

    def is_at(self, charger_id: str, installation_id: str) -> bool:
        """Return whether a charger is one of an installation's."""
        charger = self._shown().chargers.get(charger_id)
        charger = charger or self._visible().chargers.get(charger_id)
        if charger and charger.installation_id:
            return charger.installation_id == installation_id
        return self._hidden.get(charger_id) == installation_id or is_registered(
            self._hass, self._entry_id, charger_id, installation_id
        )

    @callback
    def look_up(self, charger_id: str) -> None:
        """Read the lists soon: a charger may have been installed since they were read."""
        if self._look_up:
            self._look_up(charger_id)

    def is_elsewhere(self, charger_id: str, installation_id: str) -> bool:
        """Return whether a charger is known to be at another installation."""
        is_known = (
            charger_id in self._shown().chargers
            or charger_id in self._visible().chargers
            or charger_id in self._hidden
            or _device(self._hass, self._entry_id, charger_id) is not None
        )
        return is_known and not self.is_at(charger_id, installation_id)

    def is_decided(
        self, charger_id: str | None, installation_id: str, access: Access | None
    ) -> bool:
        """Return whether it is decided about the cars at a charger of an installation.

        A charger that is not shown has no entities, so nobody can be asked about its cars.
        """
        if charger_id is None or not self.is_at(charger_id, installation_id):
            return False
        return access is not Access.ASK or charger_id not in self._hidden

    def as_dict(self) -> dict[str, str]:
        """Return what has to survive a restart, as JSON can store it."""
        return self._hidden

    def restore(self, stored: Mapping[str, str]) -> None:
        """Restore what `as_dict` has returned before a restart."""
        self._hidden = dict(stored)


@callback
def is_registered(
    hass: HomeAssistant, entry_id: str, charger_id: str, installation_id: str
) -> bool:
    """Return whether an account has a device for a charger of an installation."""
    if (device := _device(hass, entry_id, charger_id)) is None:
        return False
    installation = _device(hass, entry_id, installation_id)
    # Without a parent, the installation is none that the account may see.
    return device.via_device_id in (None, installation and installation.id)


def _device(
    hass: HomeAssistant, entry_id: str, device_id: str
) -> dr.DeviceEntry | None:
    """Return the device of an account by its Zaptec id, None if there is none."""
    return dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, device_id), entry_id
    )
