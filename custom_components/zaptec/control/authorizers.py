"""Who decides in each installation of an account, and what the decisions are based on."""

from collections.abc import Callable, Mapping
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant

from ..authorization import Access, AuthorizationEvent, Authorizer
from ..const import LOGGER
from ..persons import Persons
from ..web_hook_settings import (
    CONF_ACCESS,
    WebHookSettings,
    async_store_access,
    from_entry,
)


class Authorizers:
    """The authorizers of the installations whose web hooks are set up.

    Who may charge is kept in the entry, beside the web hooks, so that no damage of the store
    of requests lets anyone charge.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        entry_id: str,
        people: Callable[[], Persons],
        on_event: Callable[[AuthorizationEvent], None],
    ) -> None:
        """Initialize without an authorizer.

        Args:
            hass: Home Assistant.
            entry_id: The entry of the account.
            people: Returns the persons of the account.
            on_event: Called with what a user may want to know.

        """
        self._hass = hass
        self._entry_id = entry_id
        self._people = people
        self._on_event = on_event
        self._authorizers: dict[str, Authorizer] = {}
        self._settings: tuple[object, dict[str, WebHookSettings]] | None = None

    @property
    def entry(self) -> ConfigEntry[Any] | None:
        """Return the entry of the account, None if it was removed."""
        return self._hass.config_entries.async_get_entry(self._entry_id)

    @property
    def set_up(self) -> dict[str, WebHookSettings]:
        """Return the web hooks that are set up, by installation."""
        entry = self.entry
        if entry is None:
            return {}
        cached = self._settings
        if cached is None or cached[0] is not entry.data:
            cached = self._settings = (entry.data, from_entry(entry))
        return cached[1]

    def of(self, installation_id: str) -> Authorizer | None:
        """Return who decides in an installation, None if it is not set up."""
        settings = self.set_up.get(installation_id)
        if settings is None:
            return None
        access = settings.access_or_fallback
        authorizer = self._authorizers.get(installation_id)
        if authorizer is None:
            authorizer = self._authorizers[installation_id] = Authorizer(
                self._people, access=access, on_event=self._on_event
            )
        authorizer.access = access
        return authorizer

    def all(self) -> list[Authorizer]:
        """Return all that decide."""
        return list(self._authorizers.values())

    def set_access(self, installation_id: str, access: Access) -> bool:
        """Set who may charge in an installation; return whether it is set up."""
        entry = self.entry
        if entry is None or installation_id not in self.set_up:
            return False
        async_store_access(self._hass, entry, installation_id, access)
        # It takes that over.
        return self.of(installation_id) is not None

    def forget(self) -> None:
        """Forget the installations whose web hooks the user has turned off."""
        for installation_id in self._authorizers.keys() - self.set_up.keys():
            del self._authorizers[installation_id]

    def as_dict(self) -> dict[str, Any]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            installation_id: authorizer.as_dict()
            for installation_id, authorizer in self._authorizers.items()
        }

    def restore(self, stored: Mapping[str, Any]) -> bool:
        """Restore what `as_dict` has returned before; return whether it could be read."""
        is_whole = True
        try:
            for installation_id, item in stored.items():
                self._take_over_access(installation_id, item.get(CONF_ACCESS))
                if authorizer := self.of(installation_id):
                    is_whole &= authorizer.restore(item)
        except AttributeError, KeyError, TypeError, ValueError:
            is_whole = False
        for settings in self.set_up.values():
            if settings.access is None:
                LOGGER.error(
                    'Who may charge in an installation cannot be read, so "%s" counts; '
                    "select again who may charge",
                    settings.access_or_fallback,
                )
        return is_whole

    def _take_over_access(self, installation_id: str, stored: object) -> None:
        """Move to the entry who may charge, which the store had before."""
        entry, settings = self.entry, self.set_up.get(installation_id)
        if entry and settings and settings.access is None and stored in list(Access):
            access = Access(str(stored))
            async_store_access(self._hass, entry, installation_id, access)
