"""Adds entities on discovery, and as their first values arrive."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from functools import partial
from itertools import islice
from operator import length_hint

from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .announcements import Topic
from .api import Charger, Installation
from .const import CHARGERS_AT_ONCE, DOMAIN
from .control.charger import may_control
from .coordinator import ZaptecConfigEntry, ZaptecCoordinator
from .entity import (
    ZaptecChargerDescription,
    ZaptecInstallationDescription,
    charger_topics,
)


@callback
def async_add_in_turns(
    entry: ZaptecConfigEntry, charger_ids: Iterable[str], add: Callable[[str], None]
) -> None:
    """Add the entities of chargers: of some at once, of the others soon.

    Home Assistant's start does not wait for the chargers of a housing cooperative, and
    others have their turns in between. Those that people look at come first.
    """
    coordinator = entry.runtime_data
    turns = iter(sorted(charger_ids, key=coordinator.interest))
    for charger_id in islice(turns, CHARGERS_AT_ONCE):
        add(charger_id)

    async def add_others() -> None:
        for charger_id in turns:
            await asyncio.sleep(0)
            add(charger_id)

    if length_hint(turns):
        entry.async_create_background_task(
            coordinator.hass, add_others(), name=f"{DOMAIN} entities"
        )


@callback
def async_add_charger_entities[DescriptionT: ZaptecChargerDescription](
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    create: Callable[[ZaptecCoordinator, Charger, DescriptionT], Entity],
    descriptions: Collection[DescriptionT],
) -> None:
    """Add the entities of all chargers, now and as chargers are discovered.

    What every charger of a family tells is there at once; the rest appears with
    its first value, and a control with the right to use it.
    """
    coordinator = entry.runtime_data
    # What each charger does not have yet, and what ends the waiting for it.
    missing: dict[str, list[DescriptionT]] = {}
    waiting: dict[str, CALLBACK_TYPE] = {}

    def can_have(charger: Charger, description: DescriptionT) -> bool:
        return charger.family in description.families and (
            not description.control or may_control(charger)
        )

    def tells(charger: Charger, description: DescriptionT) -> bool:
        if charger.family in description.always or not description.state_ids:
            return True
        state = coordinator.states[charger.id]
        return any(state_id in state for state_id in description.state_ids)

    @callback
    def add(charger_id: str) -> None:
        if charger_id in waiting:
            waiting.pop(charger_id)()
        if (charger := coordinator.data.chargers.get(charger_id)) is None:
            missing.pop(charger_id, None)
            return
        entities: list[Entity] = []
        left: list[DescriptionT] = []
        topics: list[Topic] = []
        for description in missing.get(charger_id, descriptions):
            if not can_have(charger, description):
                left.append(description)
            elif not tells(charger, description):
                left.append(description)
                topics.extend(charger_topics(charger_id, description.state_ids))
            else:
                entities.append(create(coordinator, charger, description))
        missing[charger_id] = left
        if topics:
            waiting[charger_id] = coordinator.async_add_listener(
                partial(add, charger_id), topics
            )
        if entities:
            async_add_entities(entities)

    @callback
    def follow_discovery() -> None:
        chargers = coordinator.data.chargers
        for charger_id in missing.keys() - chargers.keys():
            add(charger_id)
        async_add_in_turns(
            entry,
            [item for item in chargers if missing.get(item, descriptions)],
            add,
        )

    @callback
    def stop_waiting() -> None:
        while waiting:
            waiting.popitem()[1]()

    follow_discovery()
    entry.async_on_unload(coordinator.async_add_listener(follow_discovery))
    entry.async_on_unload(stop_waiting)


@callback
def async_add_installation_entities[DescriptionT: ZaptecInstallationDescription](
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    create: Callable[[ZaptecCoordinator, Installation, DescriptionT], Entity],
    descriptions: Iterable[DescriptionT],
) -> None:
    """Add the entities of all installations, now and as they are discovered."""
    coordinator = entry.runtime_data
    added: set[tuple[str, str]] = set()

    @callback
    def add() -> None:
        installations = coordinator.data.installations
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
                create(coordinator, installation, description)
                for installation, description in new
            )

    add()
    entry.async_on_unload(coordinator.async_add_listener(add))
