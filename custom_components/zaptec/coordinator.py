"""Coordinators that read the lists of an account each hour, and the firmware each day."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
import math
from time import monotonic
from typing import override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed
from homeassistant.helpers.debounce import Debouncer
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util

from .api import (
    Account,
    ChargerFirmware,
    Installation,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecClient,
    ZaptecError,
    ZaptecNotFoundError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    automatic,
    time_limit,
)
from .backoff import READ_RETRY, outage_pause
from .const import DISCOVERY_INTERVAL, DOMAIN, FIRMWARE_INTERVAL, LOGGER
from .listeners import Listeners, device_topics
from .outages import REFRESH_LOGGER, Outages, is_unreachable
from .state import LIST_LAG

# Minimum time between two discoveries because of an unknown charger (seconds), and the
# maximum number of unknown chargers. However many there are, they cause few requests.
UNKNOWN_CHARGER_COOLDOWN = 60
UNKNOWN_CHARGERS_MAX = 100

# Maximum delay of the next discovery after one that failed (seconds).
DISCOVERY_RETRY_MAX = 300.0

# Delay before a firmware list that failed is read again (seconds).
FIRMWARE_RETRY = 3600.0


class ZaptecCoordinator(DataUpdateCoordinator[Account]):
    """Reads the lists of an account each hour, and holds what it shows of them."""

    config_entry: ConfigEntry

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        client: ZaptecClient,
        listeners: Listeners,
        outages: Outages,
        *,
        select: Callable[[Account, float], Account],
        follow: Callable[[Account], None],
        on_lists: Callable[[Account], None],
    ) -> None:
        """Initialize the coordinator.

        Args:
            hass: Home Assistant.
            entry: The config entry.
            client: The client that reads the lists.
            listeners: Notified of each device that a discovery has changed.
            outages: The outages of the account, for the log.
            select: Returns what the account shows of its lists, given these and when
                they were requested (monotonic seconds).
            follow: Brings the other parts in line with what the account shows.
            on_lists: Called with what the account shows of new lists, after `follow`.

        """
        super().__init__(
            hass,
            REFRESH_LOGGER,
            config_entry=entry,
            name=DOMAIN,
            update_interval=DISCOVERY_INTERVAL,
            request_refresh_debouncer=Debouncer(
                hass, LOGGER, cooldown=UNKNOWN_CHARGER_COOLDOWN, immediate=True
            ),
            always_update=False,
        )
        self._client = client
        self._topic_listeners = listeners
        self._outages = outages
        self._select = select
        self._follow = follow
        self._on_lists = on_lists
        self.data = Account()
        # All that the account may see.
        self.visible = Account()
        # When an installation was replaced between two discoveries (monotonic seconds).
        self._replaced_at: dict[str, float] = {}
        # The account and whether its lists could be read, at the last notification.
        self._last_notified = (self.data, True)
        self._unknown_chargers: set[str] = set()
        # Since when the lists can't be read (monotonic seconds).
        self._undiscovered_since: float | None = None
        self.discovered_at: datetime | None = None

    @override
    async def _async_update_data(self) -> Account:
        """Read the two lists."""
        asked_at = monotonic()
        try:
            # The user waits for the first one, when the account is set up.
            with automatic() if self.data.chargers else time_limit():
                installations = await self._client.installations()
                chargers = await self._client.chargers()
        except ZaptecAuthenticationError as err:
            raise ConfigEntryAuthFailed(
                translation_domain=DOMAIN, translation_key="authentication_failed"
            ) from err
        except ZaptecError as err:
            retry_after = (
                err.retry_after
                if isinstance(err, (ZaptecBusyError, ZaptecNotSentError))
                else None
            )
            if self.data.chargers:
                retry_after = max(retry_after or 0.0, self._discovery_retry())
                self._outages.begin(
                    "lists",
                    f"The Zaptec cloud does not list the chargers: {err}",
                    "The Zaptec cloud lists the chargers again",
                    is_unreachable=is_unreachable(err),
                    is_hourly=True,
                )
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="update_failed",
                translation_placeholders={"error": str(err)},
                retry_after=retry_after,
            ) from err
        self._outages.end("lists")
        self._undiscovered_since = None
        self.discovered_at = dt_util.utcnow()
        self.visible = Account(
            {
                installation.id: self._newest(installation, asked_at)
                for installation in installations
            },
            {charger.id: charger for charger in chargers},
        )
        return self._select(self.visible, asked_at)

    def _discovery_retry(self) -> float:
        """Return the seconds until a failed discovery is tried again."""
        now = monotonic()
        if self._undiscovered_since is None:
            self._undiscovered_since = now
        outage = now - self._undiscovered_since
        return outage_pause(outage, READ_RETRY, DISCOVERY_RETRY_MAX)

    def _newest(self, listed: Installation, asked_at: float) -> Installation:
        """Return an installation as listed, unless it was changed about then.

        The list may be older than what the cloud has accepted meanwhile.
        """
        is_newer = self.replaced_at(listed.id) > asked_at - LIST_LAG
        if is_newer and listed.id in self.data.installations:
            return self.data.installations[listed.id]
        return listed

    @callback
    @override
    def _async_refresh_finished(self) -> None:
        """Bring the other parts in line with new lists, before the listeners run."""
        if self.last_update_success and not self._shutdown_requested:
            self._bring_in_line()
            self._on_lists(self.data)

    @callback
    def show(self, account: Account) -> None:
        """Show other devices of the lists, without reading these."""
        self.data = account
        self._bring_in_line()
        self.async_update_listeners()

    @callback
    def _bring_in_line(self) -> None:
        """Bring the other parts in line with what the account shows."""
        self._unknown_chargers.difference_update(self.data.chargers)
        self._follow(self.data)

    @property
    def unknown_chargers(self) -> int:
        """Return the number of chargers that messages name, but no list."""
        return len(self._unknown_chargers)

    @callback
    @override
    def async_update_listeners(self) -> None:
        """Notify the listeners of a discovery, and of each device that has changed."""
        super().async_update_listeners()
        (before, was_successful), self._last_notified = (
            self._last_notified,
            (self.data, self.last_update_success),
        )
        known = {**before.installations, **before.chargers}
        found = {**self.data.installations, **self.data.chargers}
        changed = {
            device_id
            for device_id in known | found
            if was_successful is not self.last_update_success
            or known.get(device_id) != found.get(device_id)
        }
        self._topic_listeners.notify(device_topics(changed, self.data))

    @callback
    def look_up(self, charger_id: str) -> None:
        """Read the lists because of an unknown charger, once for each."""
        if (
            charger_id in self._unknown_chargers
            or charger_id in self.visible.chargers
            or len(self._unknown_chargers) >= UNKNOWN_CHARGERS_MAX
        ):
            return
        self._unknown_chargers.add(charger_id)
        LOGGER.debug("Charger %s is unknown: looking at the lists", charger_id)
        self.refresh_soon()

    @callback
    def refresh_soon(self) -> None:
        """Read the lists, but not twice in a minute."""
        self.config_entry.async_create_background_task(
            self.hass, self.async_request_refresh(), name=f"{DOMAIN} discovery"
        )

    @callback
    def retry_soon(self) -> None:
        """Read the lists again, if that failed the last time."""
        if not self.last_update_success:
            self.refresh_soon()

    @callback
    def replace_installation(self, installation: Installation) -> None:
        """Show an installation as the cloud has just reported or accepted it.

        No message reports the settings of an installation, only the next discovery.
        """
        if installation.id not in self.data.installations:
            return
        self._replaced_at[installation.id] = monotonic()
        self.data = replace(
            self.data,
            installations={**self.data.installations, installation.id: installation},
        )
        self._topic_listeners.notify(device_topics([installation.id], self.data))

    def replaced_at(self, installation_id: str) -> float:
        """Return when an installation was replaced (monotonic seconds), -inf if never."""
        return self._replaced_at.get(installation_id, -math.inf)

    @override
    async def async_shutdown(self) -> None:
        """Cancel what is still to come, and leave the devices to other accounts."""
        await super().async_shutdown()
        self.data = Account()


class ZaptecFirmwareCoordinator(DataUpdateCoordinator[dict[str, ChargerFirmware]]):
    """Reads once a day which firmware is available for each charger.

    Source: GET /api/chargerFirmware/installation/{id}.
    """

    config_entry: ConfigEntry

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        client: ZaptecClient,
        outages: Outages,
    ) -> None:
        """Initialize the coordinator."""
        super().__init__(
            hass,
            REFRESH_LOGGER,
            config_entry=entry,
            name=f"{DOMAIN} firmware",
            update_interval=FIRMWARE_INTERVAL,
        )
        self.data = {}
        self._client = client
        self._outages = outages
        self._account = Account()

    @callback
    def follow(self, account: Account) -> None:
        """Read the lists again when a charger is new or has moved."""
        before, self._account = self._account.chargers, account
        if any(
            charger.id not in before
            or before[charger.id].installation_id != charger.installation_id
            for charger in account.chargers.values()
        ):
            self.config_entry.async_create_background_task(
                self.hass, self.async_refresh(), name=f"{DOMAIN} firmware"
            )

    def newest(self, charger_id: str) -> str | None:
        """Return the newest firmware version for a charger, None if it is unknown."""
        firmware = self.data.get(charger_id)
        return firmware.available_version if firmware else None

    @override
    async def _async_update_data(self) -> dict[str, ChargerFirmware]:
        """Read the firmware list of each installation."""
        firmware: dict[str, ChargerFirmware] = {}
        failure: ZaptecError | None = None
        for installation_id in self._account.installation_ids:
            try:
                found = await self._client.firmware(installation_id)
            except ZaptecPermissionError, ZaptecNotFoundError:
                # A role for a charger alone does not show the list.
                continue
            except ZaptecError as err:
                failure = err
                continue
            firmware |= {item.charger_id: item for item in found}
        if failure:
            self._outages.begin(
                "firmware",
                f"The Zaptec cloud does not list the firmware: {failure}",
                "The Zaptec cloud lists the firmware again",
                is_rare=True,
            )
            self.data = self.data | firmware
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="update_failed",
                translation_placeholders={"error": str(failure)},
                retry_after=FIRMWARE_RETRY,
            ) from failure
        self._outages.end("firmware")
        return firmware
