"""Adds entities on discovery, and as their first values arrive."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from functools import partial
from itertools import islice
from operator import length_hint

from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api import Charger, Installation
from .const import CHARGERS_AT_ONCE, DOMAIN
from .control.checks import may_control
from .entity import ZaptecChargerDescription, ZaptecInstallationDescription
from .listeners import charger_topics
from .runtime import ZaptecConfigEntry, ZaptecRuntime


@callback
def async_add_staggered(
    entry: ZaptecConfigEntry, charger_ids: Iterable[str], add: Callable[[str], None]
) -> None:
    """Add the entities of the first chargers at once, of the others in the background.

    The start of Home Assistant does not wait for hundreds of chargers, and the event loop
    runs other tasks between two of them. The chargers in use come first.
    """
    runtime = entry.runtime_data
    order = iter(sorted(charger_ids, key=runtime.reader.reading_order))
    for charger_id in islice(order, CHARGERS_AT_ONCE):
        add(charger_id)

    async def add_others() -> None:
        for charger_id in order:
            await asyncio.sleep(0)
            add(charger_id)

    if length_hint(order):
        entry.async_create_background_task(
            runtime.hass, add_others(), name=f"{DOMAIN} entities"
        )


@callback
def async_add_charger_entities[DescriptionT: ZaptecChargerDescription](
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    create: Callable[[ZaptecRuntime, Charger, DescriptionT], Entity],
    descriptions: Collection[DescriptionT],
) -> None:
    """Add the entities of all chargers, now and as chargers are discovered."""
    ChargerEntityLoader(entry, async_add_entities, create, descriptions).start()


class ChargerEntityLoader[DescriptionT: ZaptecChargerDescription]:
    """Adds the entities of one class for each charger of an account.

    An entity that each charger of its family has is added when the charger is discovered.
    Any other is added with its first value, and a control once the role of the account
    allows it.
    """

    def __init__(
        self,
        entry: ZaptecConfigEntry,
        async_add_entities: AddConfigEntryEntitiesCallback,
        create: Callable[[ZaptecRuntime, Charger, DescriptionT], Entity],
        descriptions: Collection[DescriptionT],
    ) -> None:
        """Initialize the loader."""
        self._entry = entry
        self._runtime = entry.runtime_data
        self._async_add_entities = async_add_entities
        self._create = create
        self._descriptions = descriptions
        # The descriptions that a charger has no entity for yet, by the charger's id.
        self._missing: dict[str, list[DescriptionT]] = {}
        # What ends the wait for the first values of a charger, by its id.
        self._stop_waiting: dict[str, CALLBACK_TYPE] = {}

    @callback
    def start(self) -> None:
        """Add entities now and after each discovery, until the entry is unloaded."""
        self._follow_discovery()
        self._entry.async_on_unload(
            self._runtime.coordinator.async_add_listener(self._follow_discovery)
        )
        self._entry.async_on_unload(self._stop)

    @callback
    def _follow_discovery(self) -> None:
        """Add what is missing, and start over for a charger that is gone."""
        chargers = self._runtime.coordinator.data.chargers
        for charger_id in self._missing.keys() - chargers.keys():
            self._add(charger_id)
        async_add_staggered(
            self._entry,
            [
                charger_id
                for charger_id in chargers
                if self._missing.get(charger_id, self._descriptions)
            ],
            self._add,
        )

    @callback
    def _add(self, charger_id: str) -> None:
        """Add the missing entities of a charger, and wait for the values of the rest."""
        self._end_wait(charger_id)
        if (charger := self._runtime.coordinator.data.chargers.get(charger_id)) is None:
            self._missing.pop(charger_id, None)
            return
        ready: list[DescriptionT] = []
        missing: list[DescriptionT] = []
        for description in self._missing.get(charger_id, self._descriptions):
            is_ready = _can_have(charger, description) and self._has_value(
                charger, description
            )
            (ready if is_ready else missing).append(description)
        self._missing[charger_id] = missing
        self._wait_for_values(charger, missing)
        if ready:
            self._async_add_entities(
                [
                    self._create(self._runtime, charger, description)
                    for description in ready
                ]
            )

    def _has_value(self, charger: Charger, description: DescriptionT) -> bool:
        """Return whether a charger has something to show, or always will have."""
        if charger.family in description.always or not description.state_ids:
            return True
        state = self._runtime.states[charger.id]
        return any(state_id in state for state_id in description.state_ids)

    @callback
    def _wait_for_values(
        self, charger: Charger, descriptions: Iterable[DescriptionT]
    ) -> None:
        """Add entities of a charger when their first values arrive."""
        topics = [
            topic
            for description in descriptions
            if _can_have(charger, description)
            for topic in charger_topics(charger.id, description.state_ids)
        ]
        if topics:
            self._stop_waiting[charger.id] = self._runtime.listeners.add(
                partial(self._add, charger.id), topics
            )

    @callback
    def _end_wait(self, charger_id: str) -> None:
        """Stop waiting for the first values of a charger."""
        if stop_waiting := self._stop_waiting.pop(charger_id, None):
            stop_waiting()

    @callback
    def _stop(self) -> None:
        """Stop waiting for first values."""
        for charger_id in list(self._stop_waiting):
            self._end_wait(charger_id)


def _can_have(charger: Charger, description: ZaptecChargerDescription) -> bool:
    """Return whether the family and the role of the account allow an entity."""
    return charger.family in description.families and (
        not description.control or may_control(charger)
    )


@callback
def async_add_installation_entities[DescriptionT: ZaptecInstallationDescription](
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    create: Callable[[ZaptecRuntime, Installation, DescriptionT], Entity],
    descriptions: Iterable[DescriptionT],
) -> None:
    """Add the entities of all installations, now and as they are discovered."""
    runtime = entry.runtime_data
    added: set[tuple[str, str]] = set()

    @callback
    def add() -> None:
        installations = runtime.coordinator.data.installations
        added.difference_update(
            [item for item in added if item[0] not in installations]
        )
        new = [
            (installation, description)
            for installation in installations.values()
            for description in descriptions
            if (installation.id, description.key) not in added
            and description.has_fn(installation)
        ]
        added.update(
            (installation.id, description.key) for installation, description in new
        )
        if new:
            async_add_entities(
                create(runtime, installation, description)
                for installation, description in new
            )

    add()
    entry.async_on_unload(runtime.coordinator.async_add_listener(add))
