"""Commands and settings of chargers, sent to each charger one after another."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError

from ..api import (
    Account,
    Charger,
    Command,
    Priority,
    StateId,
    ZaptecClient,
    ZaptecError,
    ZaptecRejectedError,
    current_deadline,
    limits_time,
)
from ..const import DOMAIN
from ..listeners import Listeners, charger_topics
from ..state import ChargerState, States
from .batch import Batch, Batches
from .car import is_about_to_stop
from .checks import check_may_control, check_number, check_stand_alone, check_start
from .commands import CHARGING_STATE_IDS, COMMANDS, CommandRule
from .confirmations import Confirmations
from .errors import translated_errors
from .locks import async_hold
from .settings import ChargerSetting, ChargerValue

# ErrorCodes of GET /api/constants: the charger's state does not allow it.
DEVICE_COMMAND_REJECTED = 528

# Maximum time that a charger takes to stop (seconds), with something to spare.
STOP_TIME = 10.0

# Maximum time to read a charger before a command (seconds). It leaves enough of the time
# limit of the action for the command itself.
READ_TIME = 3.0


class ChargerControl:
    """Sends commands and settings to chargers, unless there is nothing to change."""

    def __init__(
        self,
        hass: HomeAssistant,
        client: ZaptecClient,
        states: States,
        listeners: Listeners,
        *,
        account: Callable[[], Account],
        confirmations: Confirmations,
        batches: Batches,
        is_live: Callable[[str], bool],
        look_at_installation: Callable[[str], Awaitable[None]],
        newest_firmware: Callable[[str], str | None],
        start_reauth: Callable[[], None],
    ) -> None:
        """Initialize the control.

        Args:
            hass: Home Assistant.
            client: Sends the requests to the cloud.
            states: The states of the chargers, by id.
            listeners: Call a callback when a state changes.
            account: Returns the chargers and installations.
            confirmations: The requests that were sent and are not confirmed yet.
            batches: The requests that are sent when the account is unloaded.
            is_live: Returns whether a charger's state is what the cloud holds, unless
                a request is about to change it.
            look_at_installation: Reads an installation, unless it was just read.
            newest_firmware: Returns the newest firmware for a charger, None if unknown.
            start_reauth: Asks the user to sign in again.

        """
        self._hass = hass
        self._client = client
        self._states = states
        self._listeners = listeners
        self._account = account
        self._confirmations = confirmations
        self._batches = batches
        self.is_live = is_live
        self._look_at_installation = look_at_installation
        self._newest_firmware = newest_firmware
        self._start_reauth = start_reauth
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        # Kept while the account is loaded: Home Assistant may remove an entity and add it
        # again while a value that was sent is not confirmed yet.
        self._values: dict[tuple[str, StateId], ChargerValue] = {}

    def is_certain(self, charger_id: str, state_id: StateId) -> bool:
        """Return whether the value of a StateId is the one that the cloud holds.

        It is uncertain while no messages arrive, and until a request is confirmed.
        """
        return self.is_live(charger_id) and not self.is_pending(charger_id, state_id)

    def is_pending(self, charger_id: str, state_id: StateId) -> bool:
        """Return whether a request was sent that a StateId does not confirm yet."""
        return self._confirmations.is_pending(charger_id, state_id)

    @limits_time
    async def async_send(
        self,
        charger_id: str,
        command: Command,
        *,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Send a command, unless there is nothing to change; return whether it was sent.

        Args:
            charger_id: The charger.
            command: The command.
            is_wanted: Returns whether to send it, once earlier requests are answered and
                the charger was read if that was necessary.

        Raises:
            HomeAssistantError: It was not carried out, or would have no effect.

        """
        async with async_hold(self._locks[charger_id]):
            return await self._async_send(
                charger_id, command, COMMANDS[command], is_wanted
            )

    async def _async_send(
        self,
        charger_id: str,
        command: Command,
        rule: CommandRule,
        is_wanted: Callable[[], bool],
    ) -> bool:
        """Send a command while the lock of the charger is held."""
        charger = self._account().chargers.get(charger_id)
        state = self._states.get(charger_id)
        if charger is None or state is None:
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="charger_gone"
            )
        check_may_control(charger)
        if rule.controls_charging:
            await self._async_check_controllable(charger, rule)
        if rule.resumes_session:
            await self._async_wait_for_effects(charger_id)
        is_certain = await self._async_make_certain(charger_id, rule)
        if rule.resumes_session:
            check_start(charger, state)
        if is_certain and self._is_done(charger_id, state, rule):
            return False
        if not is_wanted():
            return False
        with translated_errors(self._start_reauth):
            try:
                await self._confirmations.async_send(
                    charger_id,
                    rule.confirmed_by(state),
                    self._async_request(charger_id, command, rule),
                )
            except ZaptecRejectedError as err:
                if err.code != DEVICE_COMMAND_REJECTED:
                    raise
                if not await self._async_is_done(charger, rule):
                    raise
        return True

    async def _async_request(
        self, charger_id: str, command: Command, rule: CommandRule
    ) -> None:
        """Send a command to the cloud."""
        try:
            await self._client.send_command(charger_id, command)
        except ZaptecRejectedError as err:
            if not rule.is_sent_if_rejected or err.code != DEVICE_COMMAND_REJECTED:
                raise

    async def _async_check_controllable(
        self, charger: Charger, rule: CommandRule
    ) -> None:
        """Raise an error if the cloud does not decide about charging."""
        check_stand_alone(self._states.get(charger.id))
        home = charger.installation_id or ""
        installation = self._account().installations.get(home)
        if installation and rule.is_blocked_by(installation.authentication_type):
            await self._look_at_installation(home)
            installation = self._account().installations.get(home)
        decides = installation or charger
        if rule.is_blocked_by(decides.authentication_type):
            raise ServiceValidationError(
                translation_domain=DOMAIN, translation_key="ocpp_controls_charging"
            )

    async def _async_make_certain(self, charger_id: str, rule: CommandRule) -> bool:
        """Return whether the values that a command depends on are those of the cloud.

        While no messages arrive, the state that is held may be ten minutes old, so the
        charger is read before the command is refused, left out or sent.
        """
        if all(self.is_certain(charger_id, item) for item in rule.depends_on):
            return True
        try:
            async with asyncio.timeout(READ_TIME):
                await self._async_read(charger_id)
        except TimeoutError, ZaptecError:
            return False
        return not self._is_any_pending(charger_id, rule.depends_on)

    def _is_any_pending(self, charger_id: str, state_ids: Iterable[StateId]) -> bool:
        """Return whether the charger has yet to report the effect of a request."""
        return any(self.is_pending(charger_id, state_id) for state_id in state_ids)

    def _is_done(self, charger_id: str, state: ChargerState, rule: CommandRule) -> bool:
        """Return whether a command would have no effect."""
        return rule.is_done is not None and rule.is_done(
            state, self._newest_firmware(charger_id)
        )

    async def _async_is_done(self, charger: Charger, rule: CommandRule) -> bool:
        """Return whether a rejected command has nothing to do, after a reading.

        Raises:
            ServiceValidationError: The car could not charge after a resume either.

        """
        try:
            state = await self._async_read(charger.id)
        except ZaptecError:
            return False
        if state is None:
            return False
        if rule.resumes_session:
            check_start(charger, state)
        return self._is_done(charger.id, state, rule)

    async def _async_read(self, charger_id: str) -> ChargerState | None:
        """Read a charger now, because the user waits for it; None if it is gone.

        Raises:
            ZaptecError: The cloud does not answer, or refuses it.

        """
        self._states.apply(
            await self._client.charger_state(charger_id, priority=Priority.COMMAND)
        )
        return self._states.get(charger_id)

    async def _async_wait_for_effects(self, charger_id: str) -> None:
        """Wait until a charger has carried out the commands that were just sent.

        A pause takes some seconds, and until then the cloud refuses to resume.
        """
        settled = asyncio.Event()

        def check() -> None:
            state = self._states.get(charger_id)
            is_stopping = state is not None and is_about_to_stop(state)
            if not is_stopping and not self._is_any_pending(
                charger_id, CHARGING_STATE_IDS
            ):
                settled.set()

        remove = self._listeners.add(
            check, charger_topics(charger_id, CHARGING_STATE_IDS)
        )
        deadline = current_deadline()
        try:
            check()
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    min(STOP_TIME, deadline.left) if deadline else STOP_TIME
                ):
                    await settled.wait()
        finally:
            remove()

    @limits_time
    async def async_set(
        self, charger_id: str, setting: ChargerSetting, value: float
    ) -> None:
        """Set a setting, unless the charger certainly holds the value already.

        Requests that follow each other within a moment are sent as one.

        Raises:
            HomeAssistantError: The value was refused, or could not be set.

        """
        check_number(value)
        value = setting.round(value)
        setting.check(value, lambda other: self._value(charger_id, other).requested)
        if setting.needs_cloud:
            check_stand_alone(self._states.get(charger_id))
        held = self._value(charger_id, setting)
        is_idle = not held.batch.is_busy and not self._locks[charger_id].locked()
        if is_idle and self._is_held(charger_id, setting, value):
            return
        await held.batch.async_request(value)

    async def _async_send_setting(
        self, charger_id: str, setting: ChargerSetting, value: float
    ) -> None:
        """Send the value of a setting, after earlier requests to the charger."""
        changes: dict[str, Any] = {setting.keyword: value}
        async with async_hold(self._locks[charger_id]):
            if self._is_held(charger_id, setting, value):
                return
            with translated_errors(self._start_reauth):
                await self._value(charger_id, setting).async_send(
                    value, self._client.update_charger(charger_id, **changes)
                )

    def _is_held(self, charger_id: str, setting: ChargerSetting, value: float) -> bool:
        """Return whether a charger certainly holds a value."""
        return self.is_certain(charger_id, setting.state_id) and self._value(
            charger_id, setting
        ).is_confirmed(value)

    def _value(self, charger_id: str, setting: ChargerSetting) -> ChargerValue:
        """Return the requests for a setting of a charger."""
        key = (charger_id, setting.state_id)
        if key not in self._values:
            self._values[key] = ChargerValue(
                charger_id,
                setting.state_id,
                self._states,
                self._confirmations,
                self._batches.add(
                    Batch(
                        self._hass,
                        partial(self._async_send_setting, charger_id, setting),
                    )
                ),
            )
        return self._values[key]
