"""The firmware of Zaptec chargers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, override

from homeassistant.components.update import (
    UpdateDeviceClass,
    UpdateEntity,
    UpdateEntityDescription,
    UpdateEntityFeature,
)
from homeassistant.const import EntityCategory
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_call_later

from .api import Charger, ChargerFirmware, Command, StateId
from .const import LOGGER
from .control.checks import may_control
from .entity import ZaptecChargerDescription, ZaptecChargerEntity
from .entity_loader import async_add_staggered
from .runtime import ZaptecConfigEntry, ZaptecRuntime
from .texts import text

# What is sent to one charger goes out in its turn; one that does not answer must
# not keep the others waiting.
PARALLEL_UPDATES = 0

# A charger loads and restarts within some minutes. What takes longer than this
# did not begin, or failed.
INSTALL_TIME = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class ZaptecUpdateDescription(ZaptecChargerDescription, UpdateEntityDescription):
    """Describe the firmware of a charger."""


FIRMWARE = ZaptecUpdateDescription(
    key="firmware_update",
    translation_key="firmware_update",
    essential=True,
    state_ids=(StateId.SOFTWARE_VERSION,),
    device_class=UpdateDeviceClass.FIRMWARE,
    entity_category=EntityCategory.CONFIG,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: ZaptecConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the firmware of the chargers that the cloud has some for."""
    runtime = entry.runtime_data
    added: set[str] = set()

    @callback
    def add(charger_id: str) -> None:
        charger = runtime.coordinator.data.chargers.get(charger_id)
        if charger and charger_id not in added:
            added.add(charger_id)
            async_add_entities([ZaptecUpdate(runtime, charger, FIRMWARE)])

    @callback
    def follow_discovery() -> None:
        added.intersection_update(runtime.coordinator.data.chargers)
        async_add_staggered(entry, runtime.firmware.data.keys() - added, add)

    follow_discovery()
    entry.async_on_unload(runtime.coordinator.async_add_listener(follow_discovery))
    entry.async_on_unload(runtime.firmware.async_add_listener(follow_discovery))


class ZaptecUpdate(ZaptecChargerEntity, UpdateEntity):
    """The firmware of a charger.

    Which one there could be is told by the firmware list, once a day; which one
    there is by the charger itself (StateId 911), also after its restart.
    """

    entity_description: ZaptecUpdateDescription

    def __init__(
        self,
        runtime: ZaptecRuntime,
        charger: Charger,
        description: ZaptecUpdateDescription,
    ) -> None:
        """Initialize the entity."""
        super().__init__(runtime, charger, description)
        self._replaced_version: str | None = None
        self._cancel_timeout: CALLBACK_TYPE | None = None

    @override
    async def async_added_to_hass(self) -> None:
        """Follow the firmware list."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.runtime.firmware.async_add_listener(self.async_write_ha_state)
        )
        self.async_on_remove(self._end_install)

    @property
    @override
    def available(self) -> bool:
        """Return whether the lists tell of the charger, which may be restarting."""
        return (
            self.runtime.coordinator.last_update_success
            and self.charger_id in self.runtime.states
            and self._firmware is not None
        )

    @property
    @override
    def supported_features(self) -> UpdateEntityFeature:
        """Return what this account may do."""
        if may_control(self.charger):
            return UpdateEntityFeature.INSTALL | UpdateEntityFeature.PROGRESS
        return UpdateEntityFeature(0)

    @property
    def _firmware(self) -> ChargerFirmware | None:
        """Return what the firmware list tells."""
        return self.runtime.firmware.data.get(self.charger_id)

    @property
    @override
    def installed_version(self) -> str | None:
        """Return the version that the charger has."""
        told = self.state_of_charger.value(StateId.SOFTWARE_VERSION)
        if isinstance(told, str):
            return told
        return self._firmware.current_version if self._firmware else None

    @property
    @override
    def latest_version(self) -> str | None:
        """Return the version that the charger could have."""
        return self._firmware.available_version if self._firmware else None

    @property
    @override
    def release_summary(self) -> str | None:
        """Return what to know before a newer version is installed."""
        if self.latest_version in (None, self.installed_version):
            return None
        return text(self.hass, "firmware_update_warning")

    @property
    @override
    def in_progress(self) -> bool:
        """Return whether a version is being installed; how far is not told."""
        return self._cancel_timeout is not None

    @override
    async def async_install(
        self, version: str | None, backup: bool, **kwargs: Any
    ) -> None:
        """Install the version that the cloud has for this charger."""
        self._end_install()
        self._replaced_version = self.installed_version

        @callback
        def give_up(_now: datetime) -> None:
            self._cancel_timeout = None
            LOGGER.warning(
                "%s still has firmware %s, half an hour after it was told to update",
                self.entity_id,
                self.installed_version,
            )
            self.async_write_ha_state()

        self._cancel_timeout = async_call_later(self.hass, INSTALL_TIME, give_up)
        self.async_write_ha_state()
        try:
            await self.runtime.chargers.async_send(
                self.charger_id, Command.UPGRADE_FIRMWARE
            )
        except BaseException:
            # Whatever ended the call, also a cancellation: no answer says that the
            # installation has begun. If it has, the charger reports its new version.
            self._end_install()
            raise
        finally:
            self.async_write_ha_state()

    @callback
    def _end_install(self) -> None:
        """Wait no longer for the new version."""
        if self._cancel_timeout:
            self._cancel_timeout()
            self._cancel_timeout = None

    @callback
    @override
    def _handle_update(self) -> None:
        """End the installation when the charger tells another version."""
        if self.installed_version != self._replaced_version:
            self._end_install()
        super()._handle_update()
