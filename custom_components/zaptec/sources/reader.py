"""Reads the state of chargers over REST: at first, on evidence, and by polling."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Protocol, override

from homeassistant.core import callback

from ..api import (
    Account,
    Observation,
    OperationMode,
    StateId,
    ZaptecAuthenticationError,
    ZaptecClient,
    ZaptecError,
    ZaptecNotFoundError,
    ZaptecPermissionError,
)
from ..backoff import READ_RETRY, refusal_pause
from ..const import CHARGERS_AT_ONCE
from ..listeners import Listeners
from ..outages import Outages, is_unreachable
from ..state import States
from .reading_queue import ReadingQueue

# Interval between readings of a charger whose link is down (seconds).
POLL_CHARGING = 60.0
POLL_IDLE = 600.0

# Delay before a new charger is read although its installation's link is not up yet
# (seconds): at the latest then, if the cloud is slow to return the connection details. A
# link that has these shortens the delay.
CONNECT_PATIENCE = 5.0

# Maximum time that the set-up waits for the first readings (seconds): for those without
# a link, which begin after CONNECT_PATIENCE, too. Home Assistant complains of ten.
FIRST_READINGS_TIME = 8.0


class _Links(Protocol):
    """What the reader asks of the links of an account."""

    def is_reliable(self, charger_id: str) -> bool:
        """Return whether messages report all that happens at a charger from now on."""

    def is_connecting(self, charger_id: str) -> bool:
        """Return whether the first connection of a charger's link is pending."""

    def compare(self, charger_id: str, observations: Iterable[Observation]) -> None:
        """Note a reading of a charger before it is applied."""


class StateReader(ReadingQueue):
    """The readings of an account: applies them, and reads again what failed."""

    def __init__(
        self,
        client: ZaptecClient,
        states: States,
        listeners: Listeners,
        outages: Outages,
        *,
        on_recovery: Callable[[], None],
        start_reauth: Callable[[], None],
    ) -> None:
        """Initialize the reader.

        Args:
            client: The client that reads.
            states: The states to which a reading is applied.
            listeners: Notified when a charger can be read or can't be read any more.
            outages: The outages of the account, for the log.
            on_recovery: Called when a charger can be read again.
            start_reauth: Called when the cloud refuses the login.

        """
        super().__init__(
            client,
            reading_order=self.reading_order,
            on_state=self._state_read,
            on_failure=self._state_unread,
        )
        self._states = states
        self._listeners = listeners
        self._outages = outages
        self._links: _Links
        self._on_recovery = on_recovery
        self._start_reauth = start_reauth
        self._account = Account()
        # Since when a charger can't be read, by its id (monotonic seconds).
        self._failing_since: dict[str, float] = {}

    def attach(self, links: _Links) -> None:
        """Set the links, which report what need not be read."""
        self._links = links

    def is_live(self, charger_id: str) -> bool:
        """Return whether the last reading of a charger succeeded."""
        return charger_id in self._states and charger_id not in self._failing_since

    def reading_order(self, charger_id: str) -> int:
        """Return which of several chargers is read first: the lowest number."""
        charger = self._account.chargers.get(charger_id)
        if charger is None or charger.is_online is False:
            return 3
        match charger.operating_mode:
            case OperationMode.CONNECTED_CHARGING:
                return 0
            case OperationMode.CONNECTED_REQUESTING | OperationMode.CONNECTED_FINISHED:
                return 1
        return 2

    @callback
    def follow(self, account: Account) -> None:
        """Read the chargers that are new or have moved, and forget those that are gone."""
        before, self._account = self._account.chargers, account
        for charger_id in before.keys() - account.chargers.keys():
            self.forget(charger_id)
        new = [item for item in account.chargers if item not in before]
        moved = [
            charger.id
            for charger in account.chargers.values()
            if charger.id in before
            and before[charger.id].installation_id != charger.installation_id
        ]
        for charger_id in moved:
            self._read_unlinked(charger_id)
        for charger_id in new:
            self._read_unlinked(charger_id, is_first=True)

    @override
    def forget(self, charger_id: str) -> None:
        """Drop what is planned and known of a charger that is gone."""
        super().forget(charger_id)
        self._failing_since.pop(charger_id, None)
        self._outages.end(charger_id, is_back=False)

    @callback
    def _read_unlinked(self, charger_id: str, *, is_first: bool = False) -> None:
        """Read a charger, once its installation's link is up or takes too long.

        With the link up all its chargers are read, in place of what is planned here.
        """
        delay = CONNECT_PATIENCE if self._links.is_connecting(charger_id) else 0.0
        self.read(charger_id, first=is_first, delay=delay)

    async def async_wait_for_first_readings(self) -> None:
        """Wait until the chargers in use were read, but not for long.

        Automations and templates look at states when Home Assistant has started. A value
        that came after that would be a change, as if the car had begun to draw power.
        """
        first = sorted(self._account.chargers, key=self.reading_order)
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_READINGS_TIME):
                for charger_id in first[:CHARGERS_AT_ONCE]:
                    await self.wait_until_tried(charger_id)

    @callback
    def poll_regularly(self, charger_id: str) -> None:
        """Plan the next reading of a charger whose link is down."""
        is_charging = (
            self._states[charger_id].value(StateId.CHARGER_OPERATION_MODE)
            is OperationMode.CONNECTED_CHARGING
        )
        self.poll(charger_id, POLL_CHARGING if is_charging else POLL_IDLE)

    @callback
    def cloud_reached(self, charger_ids: Iterable[str]) -> None:
        """Read chargers that could not be read, because the cloud answers again."""
        for charger_id in charger_ids:
            if not self.is_live(charger_id):
                self.poll(charger_id, 0)

    @callback
    def cloud_unreachable(self, charger_ids: Iterable[str]) -> None:
        """Note that the states of chargers may be outdated."""
        for charger_id in charger_ids:
            self._set_failing(charger_id)

    @callback
    def _state_read(self, charger_id: str, observations: list[Observation]) -> None:
        """Apply a charger's whole state."""
        if charger_id not in self._states:
            return
        self._outages.end(charger_id)
        self._links.compare(charger_id, observations)
        is_back = self._failing_since.pop(charger_id, None) is not None
        if is_back:
            self._on_recovery()
        self._states.apply_reading(charger_id, observations, is_back=is_back)
        if not self._links.is_reliable(charger_id):
            self.poll_regularly(charger_id)

    @callback
    def _state_unread(self, charger_id: str, error: ZaptecError) -> None:
        """Note that a charger could not be read, and try again later."""
        if charger_id not in self._states:
            return
        self._set_failing(charger_id)
        if isinstance(error, ZaptecAuthenticationError):
            self._start_reauth()
        is_refused = isinstance(
            error,
            (ZaptecAuthenticationError, ZaptecPermissionError, ZaptecNotFoundError),
        )
        if is_refused:
            self._outages.end(charger_id, is_back=False)
        elif not self._links.is_reliable(charger_id):
            self._outages.begin(
                charger_id,
                f"The state of charger {charger_id} cannot be read: {error}",
                f"The state of charger {charger_id} can be read again",
                is_unreachable=is_unreachable(error),
            )
        outage = monotonic() - self._failing_since[charger_id]
        self.poll(charger_id, refusal_pause(outage) if is_refused else READ_RETRY)

    @callback
    def _set_failing(self, charger_id: str) -> None:
        """Note that a charger can't be read; its entities may become unavailable."""
        if charger_id not in self._failing_since:
            self._failing_since[charger_id] = monotonic()
            self._listeners.notify([charger_id])
