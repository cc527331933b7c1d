"""The firmware of Zaptec chargers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, override

from homeassistant.components.update import (
    UpdateDeviceClass,
    UpdateEntity,
    UpdateEntityDescription,
    UpdateEntityFeature,
)
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EntityCategory
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.event import async_call_later

from .api import Charger, ChargerFirmware, Command, StateId
from .const import LOGGER
from .control.checks import may_control
from .entity import ZaptecChargerDescription, ZaptecChargerEntity
from .entity_loader import EntityQueue
from .runtime import ZaptecConfigEntry, ZaptecRuntime
from .texts import text

# Requests to one charger are sent one after another by its control. Requests to several
# chargers are not, so that a charger that does not answer delays no other.
PARALLEL_UPDATES = 0

# Maximum time of an installation. A charger downloads its firmware and restarts within some
# minutes; an installation that takes longer has not begun, or has failed.
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
    """Set up the firmware of the chargers in the firmware list."""
    runtime = entry.runtime_data
    queue = EntityQueue(entry, async_add_entities)
    added: set[str] = set()

    @callback
    def follow_lists() -> None:
        # The set-up does not wait for the firmware.
        if entry.state is not ConfigEntryState.LOADED:
            return
        chargers = runtime.coordinator.data.chargers
        for charger_id in added - chargers.keys():
            added.remove(charger_id)
            queue.drop(charger_id)
        listed = runtime.firmware.data.keys() & chargers.keys()
        for charger_id in sorted(listed - added, key=runtime.reader.reading_order):
            added.add(charger_id)
            queue.put(
                charger_id,
                partial(ZaptecUpdate, runtime, chargers[charger_id], FIRMWARE),
            )
        queue.start()

    entry.async_on_unload(runtime.coordinator.async_add_listener(follow_lists))
    entry.async_on_unload(runtime.firmware.async_add_listener(follow_lists))
    entry.async_on_unload(entry.async_on_state_change(follow_lists))


class ZaptecUpdate(ZaptecChargerEntity, UpdateEntity):
    """The firmware of a charger.

    The firmware list, which is read once a day, contains the latest version. The charger
    itself reports the installed version (StateId 911), for example after its restart.
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
        """Return whether the lists hold the charger, which may be restarting."""
        return (
            self.runtime.coordinator.last_update_success
            and self.charger_id in self.runtime.states
            and self._firmware is not None
        )

    @property
    @override
    def supported_features(self) -> UpdateEntityFeature:
        """Return what the role of the account allows."""
        if may_control(self.charger):
            return UpdateEntityFeature.INSTALL | UpdateEntityFeature.PROGRESS
        return UpdateEntityFeature(0)

    @property
    def _firmware(self) -> ChargerFirmware | None:
        """Return the entry of the charger in the firmware list."""
        return self.runtime.firmware.data.get(self.charger_id)

    @property
    @override
    def installed_version(self) -> str | None:
        """Return the version that is installed."""
        reported = self.state_of_charger.value(StateId.SOFTWARE_VERSION)
        if isinstance(reported, str):
            return reported
        return self._firmware.current_version if self._firmware else None

    @property
    @override
    def latest_version(self) -> str | None:
        """Return the latest version that the cloud offers for the charger."""
        return self._firmware.available_version if self._firmware else None

    @property
    @override
    def release_summary(self) -> str | None:
        """Return what the user should know before installing a newer version."""
        if self.latest_version in (None, self.installed_version):
            return None
        return text(self.hass, "firmware_update_warning")

    @property
    @override
    def in_progress(self) -> bool:
        """Return whether a version is being installed; its progress is not reported."""
        return self._cancel_timeout is not None

    @override
    async def async_install(
        self, version: str | None, backup: bool, **kwargs: Any
    ) -> None:
        """Install the version that the cloud offers for the charger."""
        self._end_install()
        self._replaced_version = self.installed_version

        @callback
        def give_up(_now: datetime) -> None:
            self._cancel_timeout = None
            LOGGER.warning(
                "%s still has firmware %s, half an hour after its update was requested",
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
            # The call has failed or was cancelled, so no response confirms that the
            # installation has begun. If it has, the charger reports its new version.
            self._end_install()
            raise
        finally:
            self.async_write_ha_state()

    @callback
    def _end_install(self) -> None:
        """Stop waiting for the new version."""
        if self._cancel_timeout:
            self._cancel_timeout()
            self._cancel_timeout = None

    @callback
    @override
    def _handle_update(self) -> None:
        """End the installation when the charger reports another version."""
        if self.installed_version != self._replaced_version:
            self._end_install()
        super()._handle_update()
