"""Base entities for the Zaptec integration."""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Concatenate, override

from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity, EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .api import (
    Charger,
    Family,
    Installation,
    StateId,
    UserRole,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecServerError,
)
from .const import DOMAIN, PushStatus
from .coordinator import ChargerState, Topic, ZaptecConfigEntry, ZaptecCoordinator

# The roles that may change anything (Integrating with Zaptec charging systems,
# API documentation): owner, and service, which the constants call maintainer.
CONTROL_ROLES = UserRole.OWNER | UserRole.MAINTAINER


@dataclass(frozen=True, kw_only=True)
class ZaptecChargerDescription(EntityDescription):
    """Describe an entity of a charger."""

    # The StateIds it shows; their change is what makes it write its state.
    state_ids: tuple[StateId, ...]
    # Whether it tells nothing true of a charger that is offline.
    live: bool = False
    # Whether it needs the right to change the charger.
    control: bool = False


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationDescription(EntityDescription):
    """Describe an entity of an installation."""

    has_fn: Callable[[Installation], bool] = lambda _: True


def charger_topics(charger_id: str, state_ids: Iterable[StateId]) -> tuple[Topic, ...]:
    """Return the topics that tell of these StateIds of a charger."""
    return tuple((charger_id, int(state_id)) for state_id in state_ids)


class ZaptecEntity(CoordinatorEntity[ZaptecCoordinator]):
    """Something of the account, told of by its topics alone."""

    _attr_has_entity_name = True

    def __init__(
        self,
        coordinator: ZaptecCoordinator,
        device_id: str,
        description: EntityDescription,
        topics: tuple[Topic, ...],
    ) -> None:
        """Initialize the entity of an installation or charger."""
        super().__init__(coordinator, context=topics)
        self.entity_description = description
        self._attr_unique_id = f"{device_id}_{description.key}"
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, device_id)})

    @override
    async def async_update(self) -> None:
        """Do nothing when asked to update: what there is has been pushed."""


class ZaptecChargerEntity(ZaptecEntity):
    """Something of a charger."""

    entity_description: ZaptecChargerDescription

    def __init__(
        self,
        coordinator: ZaptecCoordinator,
        charger: Charger,
        description: ZaptecChargerDescription,
    ) -> None:
        """Initialize the entity."""
        topics = (
            *charger_topics(charger.id, {*description.state_ids, StateId.IS_ONLINE}),
            charger.id,
            charger.installation_id or "",
        )
        super().__init__(coordinator, charger.id, description, topics)
        self.charger_id = charger.id

    @property
    def state_of_charger(self) -> ChargerState:
        """Return what the charger has told."""
        return self.coordinator.states[self.charger_id]

    @property
    @override
    def available(self) -> bool:
        """Return whether what is shown is what the cloud shows."""
        return self.coordinator.is_fresh(self.charger_id) and not (
            self.entity_description.live
            and self.state_of_charger.value(StateId.IS_ONLINE) is False
        )


class ZaptecInstallationEntity(ZaptecEntity):
    """Something of an installation."""

    entity_description: ZaptecInstallationDescription

    def __init__(
        self,
        coordinator: ZaptecCoordinator,
        installation: Installation,
        description: ZaptecInstallationDescription,
    ) -> None:
        """Initialize the entity."""
        super().__init__(coordinator, installation.id, description, (installation.id,))
        self.installation_id = installation.id
        self._first_seen = installation

    @property
    def installation(self) -> Installation:
        """Return the installation as the cloud last told it."""
        return self.coordinator.data.installations.get(
            self.installation_id, self._first_seen
        )

    @property
    @override
    def available(self) -> bool:
        """Return whether the account still holds the installation."""
        link = self.coordinator.links.get(self.installation_id)
        return (
            link is not None
            and self.installation_id in self.coordinator.data.installations
            and (super().available or link.status is PushStatus.CONNECTED)
        )


@callback
def async_add_charger_entities[DescriptionT: ZaptecChargerDescription](
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    create: Callable[[ZaptecCoordinator, Charger, DescriptionT], Entity],
    descriptions: Iterable[DescriptionT],
) -> None:
    """Add the entities of all chargers, now and as chargers are discovered.

    What every Pro and Go tells is there at once. For other devices an entity
    appears with its first value.
    """
    coordinator = entry.runtime_data
    added: set[tuple[str, str]] = set()
    waiting: dict[tuple[str, str], CALLBACK_TYPE] = {}

    def tells(charger: Charger, description: DescriptionT) -> bool:
        if charger.family is not Family.OTHER:
            return True
        state = coordinator.states[charger.id]
        return any(state_id in state for state_id in description.state_ids)

    @callback
    def add() -> None:
        chargers = coordinator.data.chargers
        added.difference_update([item for item in added if item[0] not in chargers])
        entities = []
        for charger in chargers.values():
            may_control = bool(charger.current_user_roles & CONTROL_ROLES)
            for description in descriptions:
                item = (charger.id, description.key)
                if item in added or (description.control and not may_control):
                    continue
                if not tells(charger, description):
                    if item not in waiting:
                        waiting[item] = coordinator.async_add_listener(
                            add, charger_topics(charger.id, description.state_ids)
                        )
                    continue
                if item in waiting:
                    waiting.pop(item)()
                added.add(item)
                entities.append(create(coordinator, charger, description))
        if entities:
            async_add_entities(entities)

    @callback
    def stop_waiting() -> None:
        while waiting:
            waiting.popitem()[1]()

    add()
    entry.async_on_unload(coordinator.async_add_listener(add))
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


def zaptec_command[EntityT: ZaptecEntity, **P](
    func: Callable[Concatenate[EntityT, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[EntityT, P], Coroutine[Any, Any, None]]:
    """Tell a person why the cloud did not do what they asked for."""

    async def handler(self: EntityT, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await func(self, *args, **kwargs)
        except ZaptecAuthenticationError as err:
            self.coordinator.config_entry.async_start_reauth(self.hass)
            raise HomeAssistantError(
                translation_domain=DOMAIN, translation_key="authentication_failed"
            ) from err
        except ZaptecPermissionError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN, translation_key="not_permitted"
            ) from err
        except ZaptecRejectedError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="rejected",
                translation_placeholders={
                    "reason": err.details or f"error code {err.code}"
                },
            ) from err
        except ZaptecConnectionError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN, translation_key="cannot_connect"
            ) from err
        except ZaptecBusyError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN, translation_key="cloud_busy"
            ) from err
        except ZaptecServerError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN, translation_key="uncertain"
            ) from err
        except ZaptecError as err:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="command_failed",
                translation_placeholders={"error": str(err)},
            ) from err

    return handler
