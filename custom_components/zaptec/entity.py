"""Base entities for the Zaptec integration."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import override

from homeassistant.core import callback
from homeassistant.helpers.entity import Entity, EntityDescription

from .api import Charger, Family, Installation, StateId
from .const import PushStatus
from .devices.adoption import async_get_device
from .listeners import (
    Topic,
    charger_topics,
    installation_topic,
    link_topic,
    message_topic,
)
from .object_ids import object_id
from .runtime import ZaptecRuntime
from .state import ChargerState

CHARGERS = frozenset({Family.PRO, Family.GO})


@dataclass(frozen=True, kw_only=True)
class ZaptecChargerDescription(EntityDescription):
    """Describe an entity of a charger."""

    # The StateIds that it shows; it writes its state when one of them changes. Without a
    # StateId it shows a value of the hourly list.
    state_ids: tuple[StateId, ...] = ()
    # Further StateIds that its value depends on. It writes its state when one of them
    # changes, too, but is not added because of them alone.
    depends_on: tuple[StateId, ...] = ()
    # The families for which it is added at once; for the others it is added with its first
    # value.
    always: frozenset[Family] = frozenset()
    # The families for which it can be added, because some StateIds differ between them.
    families: frozenset[Family] = frozenset(Family)
    # Whether its value is only valid while the charger is online.
    live: bool = False
    # Whether its value is only valid once the charger has been read. The hourly list does
    # not contain everything that decides it, and messages from before a start would look
    # like changes that happen now.
    from_reading: bool = False
    # Whether it needs a role that allows to change the charger.
    control: bool = False
    # Whether it is enabled by default even in an account of many chargers.
    essential: bool = False
    # Whether it exists only where web hooks ask Home Assistant who may charge.
    web_hooks: bool = False


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationDescription(EntityDescription):
    """Describe an entity of an installation."""

    has_fn: Callable[[Installation], bool] = lambda _: True
    # Whether it writes its state with each message of the installation.
    each_message: bool = False
    # Whether it exists only where web hooks ask Home Assistant who may charge.
    web_hooks: bool = False


# Number of chargers of an account above which only essential entities are enabled by
# default. Home Assistant accepts 10,000 enabled entities per config entry, and drops
# the rest.
MANY_CHARGERS = 250

# The key that custom-components/zaptec omits from the unique id.
BARE_KEY = "active"


class ZaptecEntity(Entity):
    """An entity that writes its state when one of its topics has changed."""

    _attr_has_entity_name = True
    # Values are pushed; there is nothing to fetch.
    _attr_should_poll = False

    def __init__(
        self,
        runtime: ZaptecRuntime,
        device_id: str,
        description: EntityDescription,
    ) -> None:
        """Initialize the entity of an installation or charger."""
        self.runtime = runtime
        self.entity_description = description
        self._attr_unique_id = (
            device_id
            if description.key == BARE_KEY
            else f"{device_id}_{description.key}"
        )
        # The device is registered before. With `device_info`, Home Assistant would compare
        # the device with its registry for each entity.
        self.device_entry = async_get_device(
            runtime.hass, runtime.entry.entry_id, device_id
        )

    @property
    @override
    def suggested_object_id(self) -> str | None:
        """Return the part of the entity id of a new entity that follows the device's name.

        Home Assistant would use the name of the entity, in the language of the system.
        """
        key = self.entity_description.translation_key
        return object_id(self.platform_data.domain, key) if key else None

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the topics."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.runtime.listeners.add(self._handle_update, self._topics())
        )

    @abstractmethod
    def _topics(self) -> tuple[Topic, ...]:
        """Return the topics that change what the entity shows."""

    @callback
    def async_entity_id_changed(self, old_entity_id: str) -> None:
        """Do nothing, because nothing depends on the entity id.

        Home Assistant 2026.11: without this hook, an entity with its own
        async_added_to_hass is removed and added again when it is renamed.
        """

    @callback
    def _handle_update(self) -> None:
        """Write the state, because a topic has changed."""
        self.async_write_ha_state()


class ZaptecChargerEntity(ZaptecEntity):
    """An entity of a charger."""

    entity_description: ZaptecChargerDescription

    def __init__(
        self,
        runtime: ZaptecRuntime,
        charger: Charger,
        description: ZaptecChargerDescription,
    ) -> None:
        """Initialize the entity."""
        super().__init__(runtime, charger.id, description)
        self.charger_id = charger.id
        self._first_seen = charger

    @override
    def _topics(self) -> tuple[Topic, ...]:
        """Return the StateIds that it shows, and what its availability depends on."""
        charger_id, description = self.charger_id, self.entity_description
        if not description.state_ids:
            return (charger_id, installation_topic(charger_id))
        return (
            *charger_topics(
                charger_id,
                {
                    *description.state_ids,
                    *description.depends_on,
                    StateId.IS_ONLINE,
                },
            ),
            charger_id,
            link_topic(charger_id),
        )

    @property
    @override
    def entity_registry_enabled_default(self) -> bool:
        """Return whether the entity is enabled when it is added for the first time."""
        if len(self.runtime.coordinator.data.chargers) > MANY_CHARGERS:
            return self.entity_description.essential
        return super().entity_registry_enabled_default

    @property
    def state_of_charger(self) -> ChargerState:
        """Return the state of the charger, an empty one if the charger is gone."""
        try:
            return self.runtime.states[self.charger_id]
        except KeyError:
            return ChargerState(self._first_seen)

    @property
    def charger(self) -> Charger:
        """Return the charger as the latest hourly list describes it."""
        return self.runtime.coordinator.data.chargers.get(
            self.charger_id, self._first_seen
        )

    @property
    @override
    def available(self) -> bool:
        """Return whether the value is up to date with the cloud."""
        if not self.entity_description.state_ids:
            return (
                self.runtime.coordinator.last_update_success
                and self.charger_id in self.runtime.coordinator.data.chargers
            )
        if not self.runtime.is_fresh(self.charger_id):
            return False
        description, state = self.entity_description, self.state_of_charger
        return (state.was_read or not description.from_reading) and not (
            description.live and state.is_offline
        )


class ZaptecInstallationEntity(ZaptecEntity):
    """An entity of an installation."""

    entity_description: ZaptecInstallationDescription

    def __init__(
        self,
        runtime: ZaptecRuntime,
        installation: Installation,
        description: ZaptecInstallationDescription,
    ) -> None:
        """Initialize the entity."""
        super().__init__(runtime, installation.id, description)
        self.installation_id = installation.id
        self._first_seen = installation

    @override
    def _topics(self) -> tuple[Topic, ...]:
        """Return the installation, its link, and possibly its messages."""
        topics: tuple[Topic, ...] = (
            self.installation_id,
            link_topic(self.installation_id),
        )
        if self.entity_description.each_message:
            topics += (message_topic(self.installation_id),)
        return topics

    @property
    def installation(self) -> Installation:
        """Return the installation as the cloud last described it."""
        return self.runtime.coordinator.data.installations.get(
            self.installation_id, self._first_seen
        )

    @property
    @override
    def available(self) -> bool:
        """Return whether the account shows the installation, and its data are current."""
        link = self.runtime.links.get(self.installation_id)
        return (
            link is not None
            and self.installation_id in self.runtime.coordinator.data.installations
            and (
                self.runtime.coordinator.last_update_success
                or link.status is PushStatus.CONNECTED
            )
        )
