"""The persons of an account and the cards of nobody, whether the account is loaded or not."""

from datetime import datetime

from homeassistant.core import HomeAssistant

from ..persons import CONF_PERSON_KEY, Persons, new_key
from .seen_cards import SeenCards


class CurrentPersons:
    """The persons of an account, as they are now."""

    def __init__(self, hass: HomeAssistant, entry_id: str) -> None:
        """Initialize without cards that were shown."""
        self._hass = hass
        self._entry_id = entry_id
        self.cards = SeenCards()
        # The persons, and what they were read from.
        self._cached: tuple[object, object, Persons] | None = None

    def get(self) -> Persons:
        """Return the persons."""
        entry = self._hass.config_entries.async_get_entry(self._entry_id)
        if entry is None:
            return Persons(None, {})
        cached = self._cached
        if (
            cached is None
            or cached[0] is not entry.subentries
            or cached[1] is not entry.data
        ):
            persons = Persons.of(entry, is_keyed=True)
            cached = self._cached = (entry.subentries, entry.data, persons)
        return cached[2]

    def note_card(self, token: str, now: datetime) -> None:
        """Note a card that belongs to nobody, so that the user can choose it."""
        entry = self._hass.config_entries.async_get_entry(self._entry_id)
        if entry and CONF_PERSON_KEY not in entry.data:
            self._hass.config_entries.async_update_entry(
                entry, data={**entry.data, CONF_PERSON_KEY: new_key()}
            )
        self.cards.note(self.get(), token, now)
