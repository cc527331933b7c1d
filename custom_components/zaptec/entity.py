"""Base entities for the Zaptec integration."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import override

from homeassistant.core import callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity, EntityDescription

from .api import Charger, Family, Installation, StateId
from .const import DOMAIN, PushStatus
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

    # The StateIds it shows; their change is what makes it write its state. With
    # none of them it shows what the hourly list tells.
    state_ids: tuple[StateId, ...] = ()
    # Further StateIds that its value depends on. They make it write its state, too, but
    # an entity does not appear because of them alone.
    depends_on: tuple[StateId, ...] = ()
    # The families that have it from the start; the others with its first value.
    always: frozenset[Family] = frozenset()
    # The families that can have it, as one StateId differs between them.
    families: frozenset[Family] = frozenset(Family)
    # Whether it tells nothing true of a charger that is offline.
    live: bool = False
    # Whether it needs the right to change the charger.
    control: bool = False
    # Whether it is enabled by default in an account of many chargers, too.
    essential: bool = False


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationDescription(EntityDescription):
    """Describe an entity of an installation."""

    has_fn: Callable[[Installation], bool] = lambda _: True
    # Whether each message of the installation changes it.
    each_message: bool = False


# Number of chargers of an account above which only essential entities are enabled by
# default. Home Assistant accepts 10,000 enabled entities per config entry, and drops
# the rest.
MANY_CHARGERS = 250

# The one key that custom-components/zaptec leaves out of the unique id.
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
        topics: tuple[Topic, ...],
    ) -> None:
        """Initialize the entity of an installation or charger."""
        self.runtime = runtime
        self._topics = topics
        self.entity_description = description
        self._attr_unique_id = (
            device_id
            if description.key == BARE_KEY
            else f"{device_id}_{description.key}"
        )
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, device_id)})

    @property
    @override
    def suggested_object_id(self) -> str | None:
        """Return what follows the device's name in the entity id of a new user.

        Home Assistant would take the name, in the language of the system.
        """
        key = self.entity_description.translation_key
        return object_id(self.platform_data.domain, key) if key else None

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the topics."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.runtime.listeners.add(self._handle_update, self._topics)
        )

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
    """Something of a charger."""

    entity_description: ZaptecChargerDescription

    def __init__(
        self,
        runtime: ZaptecRuntime,
        charger: Charger,
        description: ZaptecChargerDescription,
    ) -> None:
        """Initialize the entity."""
        topics: tuple[Topic, ...] = (charger.id, installation_topic(charger.id))
        if description.state_ids:
            topics = (
                *charger_topics(
                    charger.id,
                    {
                        *description.state_ids,
                        *description.depends_on,
                        StateId.IS_ONLINE,
                    },
                ),
                charger.id,
                link_topic(charger.id),
            )
        super().__init__(runtime, charger.id, description, topics)
        self.charger_id = charger.id
        self._first_seen = charger

    @property
    @override
    def entity_registry_enabled_default(self) -> bool:
        """Return whether it is enabled when it is new."""
        if len(self.runtime.coordinator.data.chargers) > MANY_CHARGERS:
            return self.entity_description.essential
        return super().entity_registry_enabled_default

    @property
    def state_of_charger(self) -> ChargerState:
        """Return what the charger has reported, nothing if it is gone."""
        state = self.runtime.states.get(self.charger_id)
        return ChargerState(self._first_seen) if state is None else state

    @property
    def charger(self) -> Charger:
        """Return the charger as the hourly list told it last."""
        return self.runtime.coordinator.data.chargers.get(
            self.charger_id, self._first_seen
        )

    @property
    @override
    def available(self) -> bool:
        """Return whether what is shown is what the cloud shows."""
        if not self.entity_description.state_ids:
            return (
                self.runtime.coordinator.last_update_success
                and self.charger_id in self.runtime.coordinator.data.chargers
            )
        return self.runtime.is_fresh(self.charger_id) and not (
            self.entity_description.live
            and self.state_of_charger.value(StateId.IS_ONLINE) is False
        )


class ZaptecInstallationEntity(ZaptecEntity):
    """Something of an installation."""

    entity_description: ZaptecInstallationDescription

    def __init__(
        self,
        runtime: ZaptecRuntime,
        installation: Installation,
        description: ZaptecInstallationDescription,
    ) -> None:
        """Initialize the entity."""
        topics: tuple[Topic, ...] = (installation.id, link_topic(installation.id))
        if description.each_message:
            topics += (message_topic(installation.id),)
        super().__init__(runtime, installation.id, description, topics)
        self.installation_id = installation.id
        self._first_seen = installation

    @property
    def installation(self) -> Installation:
        """Return the installation as the cloud last told it."""
        return self.runtime.coordinator.data.installations.get(
            self.installation_id, self._first_seen
        )

    @property
    @override
    def available(self) -> bool:
        """Return whether the account still holds the installation."""
        link = self.runtime.links.get(self.installation_id)
        return (
            link is not None
            and self.installation_id in self.runtime.coordinator.data.installations
            and (
                self.runtime.coordinator.last_update_success
                or link.status is PushStatus.CONNECTED
            )
        )
