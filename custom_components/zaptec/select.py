"""Selects of Zaptec installations: the number of phases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.select import SelectEntity, SelectEntityDescription
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.restore_state import RestoreEntity

from .api import Installation
from .control.checks import may_control
from .control.device_store import device_stores
from .control.phases import PhaseMemory, PhaseMode, Phases, phase_mode
from .entity import ZaptecInstallationDescription, ZaptecInstallationEntity
from .entity_loader import Kind, async_add_installation_entities
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


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the selects of an account."""
    await async_add_installation_entities(
        entry, async_add_entities, Kind(ZaptecPhaseModeSelect, (PHASE_MODE,))
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
