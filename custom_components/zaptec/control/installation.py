"""Settings of installations, and whether those held here are certain."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
import math
from time import monotonic
from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.util import dt as dt_util

from ..api import (
    Account,
    Charger,
    Family,
    Installation,
    Priority,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecNotSentError,
    ZaptecRejectedError,
    ZaptecServerError,
    limits_time,
)
from ..const import DOMAIN
from ..state import ChargerState
from .batch import Batch, Batches
from .checks import check_current_is_settable, check_number
from .confirmations import Confirmations
from .errors import is_uncertain, translated_errors
from .settings import InstallationSetting

# Minimum interval between two readings of an installation because of requests that it
# does not allow (seconds).
LOOK_INTERVAL = 60.0

# Time for which the settings of an installation are certain after the cloud has accepted
# or reported them, and maximum time that a request waits for a reading (seconds).
CERTAIN_TIME = 60.0
LOOK_TIME = 7.5


class InstallationControl:
    """Changes settings of installations, and reads them when they may be outdated."""

    def __init__(
        self,
        hass: HomeAssistant,
        client: ZaptecClient,
        states: Mapping[str, ChargerState],
        *,
        account: Callable[[], Account],
        visible: Callable[[], Account],
        missing: Callable[[], Collection[str]],
        replace_installation: Callable[[Installation], None],
        replaced_at: Callable[[str], float],
        confirmations: Confirmations,
        batches: Batches,
        create_task: Callable[[Coroutine[Any, Any, None], str], object],
        start_reauth: Callable[[], None],
    ) -> None:
        """Initialize the control.

        Args:
            hass: Home Assistant.
            client: Sends the requests to the cloud.
            states: The states of the chargers, by id.
            account: Returns the installations, and the chargers that are shown.
            visible: Returns also the chargers that the user has not chosen.
            missing: Returns the ids of devices that the cloud does not list any more.
            replace_installation: Shows an installation as the cloud has just reported or
                accepted it.
            replaced_at: Returns when that was done last (monotonic seconds), or -inf.
            confirmations: Run a check after the time for a confirmation.
            batches: The requests that are sent when the account is unloaded.
            create_task: Starts a coroutine that ends with the account.
            start_reauth: Asks the user to sign in again.

        """
        self._hass = hass
        self._client = client
        self._states = states
        self._account = account
        self._visible = visible
        self._missing = missing
        self._replace_installation = replace_installation
        self._replaced_at = replaced_at
        self._confirmations = confirmations
        self._batches = batches
        self._create_task = create_task
        self._start_reauth = start_reauth
        # When an installation was last read because of a request (monotonic seconds).
        self._looked_at: dict[str, float] = {}
        self._looks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # The requests for a setting, by installation and keyword, and the settings of
        # which no answer says whether the cloud has made the last change.
        self._requests: dict[tuple[str, str], Batch[float]] = {}
        self._uncertain: set[tuple[str, str]] = set()

    @limits_time
    async def async_set(
        self, installation_id: str, setting: InstallationSetting, value: float
    ) -> None:
        """Set a setting, unless the cloud certainly holds the value already.

        Requests that follow each other within a moment are sent as one.

        Raises:
            HomeAssistantError: The value was refused, or could not be set.

        """
        check_number(value)
        value = setting.round(value)
        setting.check(value)
        await self.async_check_current_is_settable(installation_id)
        key = (installation_id, setting.keyword)
        if key not in self._requests:
            self._requests[key] = self._batches.add(
                Batch(
                    self._hass,
                    partial(self._async_send_setting, installation_id, setting),
                )
            )
        if not self._requests[key].is_busy and await self._async_is_held(
            installation_id, setting, value
        ):
            return
        await self._requests[key].async_request(value)

    async def _async_is_held(
        self, installation_id: str, setting: InstallationSetting, value: float
    ) -> bool:
        """Return whether the cloud certainly holds a value; read it if necessary."""

        def seems_held() -> bool:
            installation = self._account().installations.get(installation_id)
            return (
                installation is not None
                and setting.held(installation) == value
                and (installation_id, setting.keyword) not in self._uncertain
            )

        return (
            seems_held()
            and await self.async_is_certain(installation_id)
            # The reading may have shown another value.
            and seems_held()
        )

    async def _async_send_setting(
        self, installation_id: str, setting: InstallationSetting, value: float
    ) -> None:
        """Send the value of a setting, unless the cloud holds it by now."""
        if await self._async_is_held(installation_id, setting, value):
            return
        key = (installation_id, setting.keyword)
        changes: dict[str, Any] = {setting.keyword: value}

        async def request(client: ZaptecClient) -> None:
            self._uncertain.add(key)
            await client.update_installation(installation_id, **changes)

        try:
            await self.async_update(
                installation_id,
                request,
                lambda installation: replace(installation, **changes),
                lambda _: self._uncertain.discard(key),
            )
        except HomeAssistantError as err:
            if not is_uncertain(err):
                self._uncertain.discard(key)
            raise
        self._uncertain.discard(key)

    @limits_time
    async def async_update(
        self,
        installation_id: str,
        request: Callable[[ZaptecClient], Awaitable[None]],
        accepted: Callable[[Installation], Installation],
        checked: Callable[[Installation], None],
    ) -> None:
        """Change settings of an installation.

        Args:
            installation_id: The installation.
            request: Changes it in the cloud.
            accepted: Returns the installation as it is after the change.
            checked: Called with the installation as it was read some time after a request
                of which no answer says whether it was carried out.

        Raises:
            HomeAssistantError: Something else controls its current, or it failed.

        """
        await self.async_check_current_is_settable(installation_id)
        with translated_errors(self._start_reauth):
            try:
                await request(self._client)
            except ZaptecNotSentError:
                raise
            except ZaptecConnectionError, ZaptecServerError:
                self._read_later(installation_id, checked)
                raise
            except ZaptecRejectedError:
                # A schedule or a power meter may control it since it was last read.
                await self.async_look(installation_id)
                self._check_current_is_settable(installation_id)
                raise
        if installation := self._account().installations.get(installation_id):
            self._replace_installation(
                replace(accepted(installation), updated_on=dt_util.utcnow())
            )

    @limits_time
    async def async_check_current_is_settable(self, installation_id: str) -> None:
        """Raise an error if something else controls the current of an installation.

        The hourly list may be outdated, so the installation is read before the request
        is refused.
        """
        try:
            self._check_current_is_settable(installation_id)
        except ServiceValidationError:
            await self.async_look(installation_id)
            self._check_current_is_settable(installation_id)

    def _check_current_is_settable(self, installation_id: str) -> None:
        """Raise an error if something else controls the current, as far as is known.

        The current limits all chargers of the installation.
        """
        check_current_is_settable(
            self._account().installations.get(installation_id),
            [
                self._states.get(charger.id)
                for charger in self.chargers(installation_id)
            ],
        )

    def chargers(self, installation_id: str) -> list[Charger]:
        """Return all chargers of an installation, also those that the user has not chosen.

        Other devices, such as a power meter, do not charge at all.
        """
        chargers = {**self._visible().chargers, **self._account().chargers}
        return [
            charger
            for charger in chargers.values()
            if charger.installation_id == installation_id
            and charger.family is not Family.OTHER
        ]

    async def async_refresh(
        self, installation_id: str, *, priority: Priority = Priority.COMMAND
    ) -> Installation:
        """Read an installation now.

        Raises:
            ZaptecError: The cloud does not answer, or refuses it.

        """
        asked_at = monotonic()
        installation = await self._client.installation(
            installation_id, priority=priority
        )
        if self._replaced_at(installation_id) > asked_at:
            # The cloud accepted a change while it answered, so the answer may be older.
            installation = await self._client.installation(
                installation_id, priority=priority
            )
        self._replace_installation(installation)
        return installation

    async def async_look(self, installation_id: str) -> None:
        """Read an installation because the user waits for it, but not too often.

        After a failure the installation stays as it is known.
        """
        looked_at = self._looked_at.get(installation_id, -math.inf)
        if monotonic() - looked_at < LOOK_INTERVAL:
            return
        self._looked_at[installation_id] = monotonic()
        with suppress(ZaptecError):
            await self.async_refresh(installation_id)

    def is_certain(self, installation_id: str) -> bool:
        """Return whether an installation's settings are what the cloud holds.

        No message reports them, and the portal or another program may change them at any
        time. So they are certain only for a moment after the cloud has accepted or
        reported them. A change of unknown outcome is known to the caller alone.
        """
        return (
            installation_id not in self._missing()
            and monotonic() - self._replaced_at(installation_id) < CERTAIN_TIME
        )

    async def async_is_certain(self, installation_id: str) -> bool:
        """Return whether an installation's settings are certain; read it if necessary.

        Concurrent callers wait for the same reading. Its time limit leaves time to send
        the request if the cloud does not answer.
        """
        async with self._looks[installation_id]:
            if not self.is_certain(installation_id):
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_TIME):
                        await self.async_look(installation_id)
        return self.is_certain(installation_id)

    @callback
    def _read_later(
        self, installation_id: str, then: Callable[[Installation], None]
    ) -> None:
        """Read an installation when the time for a confirmation is over."""

        async def read() -> None:
            with suppress(ZaptecError):
                # The user does not wait for it any more, so it respects a pause that
                # the cloud has asked for.
                then(
                    await self.async_refresh(
                        installation_id, priority=Priority.BACKGROUND
                    )
                )

        @callback
        def start() -> None:
            self._create_task(read(), f"{DOMAIN} installation")

        self._confirmations.check_later(start)
