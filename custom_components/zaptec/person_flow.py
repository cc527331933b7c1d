"""The flow for persons: a name, and the Zaptec users and cards of the person."""

from typing import Any

from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntryState,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_NAME
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
)
import probatio

from .const import CONF_CHARGERS
from .entity import CHARGERS
from .persons import CONF_HASHES, CONF_PERSON_KEY, Persons, new_key
from .runtime import ZaptecConfigEntry
from .seen_identities import SeenIdentities, as_value, async_see, from_value
from .service_targets import async_device_name
from .texts import text

# The field with the users and cards of the person.
CONF_SEEN = "seen"


class PersonFlow(ConfigSubentryFlow):
    """Adds or changes persons, who are recognized by users and cards seen before."""

    # Who has charged lately; read once, as the form is shown again after a mistake.
    _seen: SeenIdentities | None = None

    # The key of the hashes of what was seen, which is stored with the first person.
    _key: str = ""

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Add the person."""
        return await self._async_ask("user", "", frozenset(), user_input)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Change the person."""
        person = self._get_reconfigure_subentry()
        return await self._async_ask(
            "reconfigure",
            person.title,
            frozenset(person.data[CONF_HASHES]),
            user_input,
        )

    async def _async_ask(
        self,
        step_id: str,
        name: str,
        chosen: frozenset[int],
        user_input: dict[str, Any] | None,
    ) -> SubentryFlowResult:
        """Ask for the name, and for users and cards.

        Args:
            step_id: The step.
            name: The name that the person has had.
            chosen: The hashes of users and cards that the person has had.
            user_input: What the user has entered, None at first.

        """
        entry: ZaptecConfigEntry = self._get_entry()
        if entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        key: str = entry.data.get(CONF_PERSON_KEY) or self._key or new_key()
        # Another form may have saved the first person since this one was opened.
        if self._seen is None or key != self._key:
            self._key = key
            self._seen = await async_see(self.hass, entry.runtime_data, key)
        options = self._options(self._seen, chosen)
        if not options:
            return self.async_abort(reason="nothing_seen")
        places = self._places()
        errors: dict[str, str] = {}
        if user_input is not None:
            new_name = user_input[CONF_NAME].strip()
            if not new_name:
                errors[CONF_NAME] = "no_name"
            elif new_name.casefold() in map(
                str.casefold, self._others().names.values()
            ):
                errors[CONF_NAME] = "name_taken"
            # Hashes with another key are of no use.
            seen = [value for value in user_input[CONF_SEEN] if value in options]
            user_input = {**user_input, CONF_SEEN: seen}
            if not seen:
                errors[CONF_SEEN] = "none_chosen"
            if not errors:
                chargers = user_input.get(CONF_CHARGERS, places)
                return self._save(new_name, seen, chargers)
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(
                _schema(options, self._chargers(places)),
                user_input
                or {
                    CONF_NAME: name,
                    CONF_SEEN: [
                        value for value in options if from_value(value) & chosen
                    ],
                    CONF_CHARGERS: places,
                },
            ),
            errors=errors,
        )

    def _places(self) -> list[str]:
        """Return the chargers at which the person may charge so far, none for everywhere."""
        if self.source == SOURCE_USER:
            return []
        return list(self._get_reconfigure_subentry().data.get(CONF_CHARGERS, ()))

    def _chargers(self, places: list[str]) -> dict[str, str]:
        """Return the names of the chargers where web hooks ask who may charge, by id.

        A charger that was chosen before stays a choice, although the account does not show
        it at the moment.
        """
        entry: ZaptecConfigEntry = self._get_entry()
        runtime = entry.runtime_data
        names = {
            charger.id: async_device_name(self.hass, runtime, charger.id)
            for charger in runtime.coordinator.data.chargers.values()
            if charger.installation_id in runtime.web_hooks
            and charger.family in CHARGERS
        }
        return {item: item for item in places if names} | names

    def _others(self) -> Persons:
        """Return the persons of the account without the one that is changed."""
        changed = self.context.get("subentry_id")
        persons = Persons.of(self._get_entry())
        return Persons(
            None,
            {
                person_id: (name, persons.hashes[person_id])
                for person_id, name in persons.names.items()
                if person_id != changed
            },
        )

    def _options(self, seen: SeenIdentities, chosen: frozenset[int]) -> dict[str, str]:
        """Return the labels of what can be chosen, by their values in the form.

        What another person has is left out. What this person has, but has not used
        lately, is one choice, because nothing of it is known but hashes.
        """
        others = self._others().hashes.values()
        listed = seen.listed(item for hashes in others for item in hashes)
        options = {item.value: item.label(self.hass) for item in listed}
        unseen = chosen.difference(*(item.hashes for item in listed))
        if unseen:
            options[as_value(unseen)] = text(self.hass, "seen_before")
        return options

    def _save(
        self, name: str, values: list[str], chargers: list[str]
    ) -> SubentryFlowResult:
        """Save the person, and the key of the hashes with the first person."""
        entry = self._get_entry()
        if CONF_PERSON_KEY not in entry.data:
            self.hass.config_entries.async_update_entry(
                entry, data={**entry.data, CONF_PERSON_KEY: self._key}
            )
        data: dict[str, Any] = {
            CONF_HASHES: sorted(
                {item for value in values for item in from_value(value)}
            )
        }
        if chargers:
            data[CONF_CHARGERS] = chargers
        if self.source == SOURCE_USER:
            return self.async_create_entry(title=name, data=data)
        return self.async_update_and_abort(
            entry, self._get_reconfigure_subentry(), title=name, data=data
        )


def _schema(options: dict[str, str], chargers: dict[str, str]) -> probatio.Schema:
    """Return the schema of the form.

    Args:
        options: The labels of users and cards, by their values.
        chargers: The names of the chargers to choose from, by their ids.

    """
    fields = {
        probatio.Required(CONF_NAME): TextSelector(),
        probatio.Optional(CONF_SEEN, default=[]): _select(options),
    }
    if chargers:
        fields[probatio.Optional(CONF_CHARGERS, default=[])] = _select(chargers)
    return probatio.Schema(fields)


def _select(options: dict[str, str]) -> SelectSelector:
    """Return the field to choose some options."""
    return SelectSelector(
        SelectSelectorConfig(
            options=[
                SelectOptionDict(value=value, label=label)
                for value, label in options.items()
            ],
            multiple=True,
        )
    )
