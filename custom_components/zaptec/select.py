"""Selects of Zaptec installations: the number of phases, and who may charge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.select import SelectEntity, SelectEntityDescription
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import RestoreEntity

from . import entity_access
from .api import Installation
from .authorization import Access
from .control.checks import may_control
from .control.device_store import device_stores
from .control.phases import PhaseMemory, PhaseMode, Phases, phase_mode
from .entity import ZaptecInstallationDescription, ZaptecInstallationEntity
from .entity_loader import Kind, async_add_installation_entities
from .listeners import Topic, access_topic
from .runtime import ZaptecConfigEntry, ZaptecRuntime

# InstallationControl merges requests that follow each other quickly.
PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ZaptecInstallationSelectDescription(
    ZaptecInstallationDescription, SelectEntityDescription
):
    """Describe a select of an installation."""


def _has_phase_mode(installation: Installation) -> bool:
    """Return whether the account may choose the phases, and the cloud has a value."""
    return may_control(installation) and phase_mode(installation) is not None


PHASE_MODE = ZaptecInstallationSelectDescription(
    key="phase_mode",
    translation_key="phase_mode",
    options=[mode.value for mode in PhaseMode],
    has_fn=_has_phase_mode,
)


CHARGING_ACCESS = ZaptecInstallationSelectDescription(
    key=entity_access.CHARGING_ACCESS[1],
    translation_key="charging_access",
    options=[access.value for access in Access],
    web_hooks=True,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the selects of an account."""
    await async_add_installation_entities(
        entry,
        async_add_entities,
        Kind(ZaptecPhaseModeSelect, (PHASE_MODE,)),
        Kind(ZaptecAccessSelect, (CHARGING_ACCESS,)),
    )


class ZaptecPhaseModeSelect(ZaptecInstallationEntity, SelectEntity, RestoreEntity):
    """The number of phases that all chargers of an installation use.

    It is the same setting of the cloud as the number for the switch current. While another
    mode is set, the select remembers the threshold of the automatic mode.
    """

    entity_description: ZaptecInstallationSelectDescription

    def __init__(
        self,
        runtime: ZaptecRuntime,
        installation: Installation,
        description: ZaptecInstallationSelectDescription,
    ) -> None:
        """Initialize the select."""
        super().__init__(runtime, installation, description)
        self._phases = Phases(
            installation.id,
            runtime.installations,
            runtime.states,
            account=lambda: runtime.coordinator.data,
        )

    @override
    async def async_added_to_hass(self) -> None:
        """Restore the threshold of the automatic mode."""
        # When a renamed entity is added again, it still has its memory.
        if self._phases.memory.current is None:
            self._phases.memory = PhaseMemory.from_stored(await self._async_stored())
        self._follow()
        await super().async_added_to_hass()

    async def _async_stored(self) -> Mapping[str, Any]:
        """Return the stored memory; earlier versions stored it with the entity's state."""
        stored = device_stores(self.hass).phases.document(self.installation_id)
        if stored is None and (data := await self.async_get_last_extra_data()):
            return data.as_dict()
        return stored or {}

    @property
    @override
    def current_option(self) -> PhaseMode | None:
        """Return the mode that the cloud holds."""
        return phase_mode(self.installation)

    @override
    async def async_select_option(self, option: str) -> None:
        """Set the mode."""
        await self._phases.async_set(PhaseMode(option))

    @callback
    @override
    def _handle_update(self) -> None:
        """Show the mode, and remember the threshold of the automatic mode."""
        self._follow()
        super()._handle_update()

    @callback
    def _follow(self) -> None:
        """Remember the threshold of the automatic mode, also over a restart."""
        memory = self._phases.memory
        memory.follow(self.installation)
        device_stores(self.hass).phases.keep(
            self.runtime.entry.entry_id, self.installation_id, memory.as_dict()
        )


class ZaptecAccessSelect(ZaptecInstallationEntity, SelectEntity):
    """Who may charge in an installation whose web hooks ask Home Assistant.

    Home Assistant keeps and applies it, so it does not depend on the cloud's answers.
    """

    entity_description: ZaptecInstallationSelectDescription

    @override
    def _topics(self) -> tuple[Topic, ...]:
        """Return the installation, and who may charge there."""
        return (self.installation_id, access_topic(self.installation_id))

    @property
    @override
    def available(self) -> bool:
        """Return whether the account shows the installation."""
        return self.installation_id in self.runtime.coordinator.data.installations

    @property
    @override
    def current_option(self) -> Access | None:
        """Return who may charge."""
        return self.runtime.access.access_of(self.installation_id)

    @override
    async def async_select_option(self, option: str) -> None:
        """Set who may charge; the next request of a waiting car, within 10 seconds, is decided by it."""
        await self.runtime.access.async_set_access(self.installation_id, Access(option))
