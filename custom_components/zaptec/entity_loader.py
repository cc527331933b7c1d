"""Adds entities on discovery, and as their first values arrive."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api import Charger, Installation
from .const import CHARGERS_AT_ONCE
from .control.checks import may_control
from .entity import ZaptecChargerDescription, ZaptecInstallationDescription
from .listeners import charger_topics
from .runtime import ZaptecConfigEntry, ZaptecRuntime

# Maximum number of entities that are added in one iteration of the event loop. Home
# Assistant takes about a third of a millisecond for each.
ENTITIES_AT_ONCE = 8


class EntityQueue:
    """The entities of one platform that are to be added, a few at a time.

    The platforms of an account take turns, and the event loop runs other callbacks in
    between. So hundreds of chargers block neither Home Assistant nor the messages.
    """

    def __init__(
        self,
        entry: ZaptecConfigEntry,
        async_add_entities: AddConfigEntryEntitiesCallback,
    ) -> None:
        """Initialize the queue."""
        self._entry = entry
        self._round_robin = entry.runtime_data.round_robin
        self._async_add_entities = async_add_entities
        # What creates each entity, with the id of its device.
        self._waiting: deque[tuple[str, Callable[[], Entity]]] = deque()
        entry.async_on_unload(self._clear)

    @callback
    def _clear(self) -> None:
        """Add no more entities."""
        self._waiting.clear()

    @callback
    def put(self, device_id: str, create: Callable[[], Entity]) -> None:
        """Put what creates an entity of a device at the end of the queue."""
        self._waiting.append((device_id, create))

    @callback
    def drop(self, device_id: str) -> None:
        """Add no more entities of a device."""
        self._waiting = deque(item for item in self._waiting if item[0] != device_id)

    @callback
    def start(self) -> None:
        """Add the entities of the queue in the background."""
        if self._waiting:
            self._round_robin.add(self._add_some)

    async def async_run(self) -> None:
        """Add the entities of the queue, and return when that is done."""
        self.start()
        while self._waiting:
            await asyncio.sleep(0)

    @callback
    def _add_some(self) -> bool:
        """Add the first entities of the queue; return whether there are more."""
        if self._entry.state is ConfigEntryState.UNLOAD_IN_PROGRESS:
            # A platform that is unloaded would keep what is added now.
            self._clear()
        chunk: list[Entity] = []
        try:
            while self._waiting and len(chunk) < ENTITIES_AT_ONCE:
                _, create = self._waiting.popleft()
                chunk.append(create())
        finally:
            # Those before an entity that cannot be created are no longer in the queue.
            self._async_add_entities(chunk)
        return bool(self._waiting)


# What creates an entity of a charger, and its description.
type _Row = tuple[
    Callable[[ZaptecRuntime, Charger, Any], Entity], ZaptecChargerDescription
]


@dataclass(frozen=True, slots=True)
class Kind[DeviceT: (Charger, Installation), DescriptionT]:
    """A class of entities of a device, and the descriptions of these."""

    create: Callable[[ZaptecRuntime, DeviceT, DescriptionT], Entity]
    descriptions: Collection[DescriptionT]


async def async_add_charger_entities(
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    *kinds: Kind[Charger, Any],
) -> None:
    """Add the entities of all chargers, now and as chargers are discovered."""
    await ChargerEntityLoader(entry, async_add_entities, kinds).async_start()


class ChargerEntityLoader:
    """Adds the entities of one platform for each charger of an account.

    An entity that each charger of its family has is added when the charger is discovered.
    Any other is added with its first value, and a control once the role of the account
    allows it.
    """

    def __init__(
        self,
        entry: ZaptecConfigEntry,
        async_add_entities: AddConfigEntryEntitiesCallback,
        kinds: Iterable[Kind[Charger, Any]],
    ) -> None:
        """Initialize the loader."""
        self._entry = entry
        self._runtime = entry.runtime_data
        self._queue = EntityQueue(entry, async_add_entities)
        self._rows: list[_Row] = [
            (kind.create, description)
            for kind in kinds
            for description in kind.descriptions
        ]
        # The rows that a charger has no entity for yet, by the charger's id.
        self._missing: dict[str, list[_Row]] = {}
        # What ends the wait for the first values of a charger, by its id.
        self._stop_waiting: dict[str, CALLBACK_TYPE] = {}

    async def async_start(self) -> None:
        """Add entities now and after each discovery, until the entry is unloaded.

        The set-up, and so the start of Home Assistant, waits for the first chargers only;
        those in use come first. The others follow as soon as the entry is loaded.
        """
        coordinator = self._runtime.coordinator
        on_unload = self._entry.async_on_unload
        on_unload(coordinator.async_add_listener(self._follow_discovery))
        on_unload(self._entry.async_on_state_change(self._follow_discovery))
        on_unload(self._stop)
        order = sorted(self._chargers, key=self._runtime.reader.reading_order)
        for charger_id in order[:CHARGERS_AT_ONCE]:
            self._prepare(charger_id)
        await self._queue.async_run()

    @property
    def _chargers(self) -> dict[str, Charger]:
        """Return the chargers that the account shows."""
        return self._runtime.coordinator.data.chargers

    @callback
    def _follow_discovery(self) -> None:
        """Add what is missing, and start over for a charger that is gone."""
        # Also during the set-up: another account that shows the charger from now on adds
        # entities with the same unique ids.
        for charger_id in self._missing.keys() - self._chargers.keys():
            self._end_wait(charger_id)
            self._queue.drop(charger_id)
            del self._missing[charger_id]
        if self._entry.state is not ConfigEntryState.LOADED:
            return
        new = [
            charger_id
            for charger_id in self._chargers
            if self._missing.get(charger_id, self._rows)
        ]
        for charger_id in sorted(new, key=self._runtime.reader.reading_order):
            self._prepare(charger_id)
        self._queue.start()

    @callback
    def _add(self, charger_id: str) -> None:
        """Add the entities of a charger whose first values have arrived."""
        self._prepare(charger_id)
        self._queue.start()

    @callback
    def _prepare(self, charger_id: str) -> None:
        """Put the missing entities into the queue, and wait for the values of the rest."""
        self._end_wait(charger_id)
        charger = self._chargers[charger_id]
        missing: list[_Row] = []
        for row in self._missing.get(charger_id, self._rows):
            create, description = row
            if self._can_have(charger, description) and self._has_value(
                charger, description
            ):
                self._queue.put(
                    charger_id, partial(create, self._runtime, charger, description)
                )
            else:
                missing.append(row)
        self._missing[charger_id] = missing
        self._wait_for_values(charger, missing)

    def _can_have(
        self, charger: Charger, description: ZaptecChargerDescription
    ) -> bool:
        """Return whether the family, the role and the web hooks allow an entity."""
        return (
            charger.family in description.families
            and (not description.control or may_control(charger))
            and (
                not description.web_hooks
                or charger.installation_id in self._runtime.web_hooks
            )
        )

    def _has_value(
        self, charger: Charger, description: ZaptecChargerDescription
    ) -> bool:
        """Return whether a charger has something to show, or always will have."""
        if charger.family in description.always or not description.state_ids:
            return True
        state = self._runtime.states[charger.id]
        return any(state_id in state for state_id in description.state_ids)

    @callback
    def _wait_for_values(self, charger: Charger, rows: Iterable[_Row]) -> None:
        """Add entities of a charger when their first values arrive."""
        topics = {
            topic
            for _, description in rows
            if self._can_have(charger, description)
            for topic in charger_topics(charger.id, description.state_ids)
        }
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


async def async_add_installation_entities(
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    *kinds: Kind[Installation, Any],
) -> None:
    """Add the entities of all installations, now and as they are discovered."""
    runtime = entry.runtime_data
    queue = EntityQueue(entry, async_add_entities)
    rows: list[tuple[Callable[..., Entity], ZaptecInstallationDescription]] = [
        (kind.create, description)
        for kind in kinds
        for description in kind.descriptions
    ]
    # The keys of the entities that each installation has, by its id.
    added: defaultdict[str, set[str]] = defaultdict(set)

    @callback
    def prepare() -> None:
        installations = runtime.coordinator.data.installations
        for installation_id in added.keys() - installations.keys():
            del added[installation_id]
            queue.drop(installation_id)
        for installation in installations.values():
            keys = added[installation.id]
            for create, description in rows:
                is_possible = description.has_fn(installation) and (
                    not description.web_hooks or installation.id in runtime.web_hooks
                )
                if description.key not in keys and is_possible:
                    keys.add(description.key)
                    queue.put(
                        installation.id,
                        partial(create, runtime, installation, description),
                    )

    @callback
    def follow_discovery() -> None:
        prepare()
        queue.start()

    entry.async_on_unload(runtime.coordinator.async_add_listener(follow_discovery))
    prepare()
    await queue.async_run()
