"""Commands and settings that were sent and are not confirmed yet."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from ..api import (
    StateId,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecNotFoundError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecRejectedError,
)
from ..state import States

# Time in which a message should confirm what was sent (seconds). After that, the charger
# is read once.
CONFIRMATION_TIME = 20.0

# Errors after which the charger certainly has not changed.
_REFUSED = (
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecNotFoundError,
    ZaptecNotSentError,
    ZaptecPermissionError,
)


class Confirmations:
    """The requests that were sent, and the StateIds that confirm them."""

    def __init__(
        self,
        hass: HomeAssistant,
        states: States,
        read: Callable[[str], None],
    ) -> None:
        """Initialize the confirmations.

        Args:
            hass: Home Assistant.
            states: The states of the chargers, by id.
            read: Has a charger read that has not confirmed a request in time.

        """
        self._hass = hass
        self._states = states
        self._read = read
        # The time of the observation that was held before the request.
        self._pending: dict[tuple[str, StateId], datetime | None] = {}
        self._checks: set[CALLBACK_TYPE] = set()
        self._is_stopped = False

    def __len__(self) -> int:
        """Return the number of requests that are not confirmed yet."""
        return len(self._pending)

    def pending(self, charger_id: str) -> set[StateId]:
        """Return the StateIds that will confirm the requests to a charger."""
        return {
            state_id
            for pending_id, state_id in self._pending
            if pending_id == charger_id
        }

    def is_pending(self, charger_id: str, state_id: StateId) -> bool:
        """Return whether a request is not confirmed by a StateId yet."""
        key = (charger_id, state_id)
        state = self._states.get(charger_id)
        return (
            key in self._pending
            and state is not None
            and not state.is_newer(state_id, self._pending[key])
        )

    async def async_send(
        self, charger_id: str, state_id: StateId, request: Awaitable[None]
    ) -> None:
        """Send a command or a setting whose effect a StateId reports.

        A message confirms it, perhaps before the cloud has answered. If none does, or
        if it is unknown whether the request arrived, the charger is read.

        Raises:
            ZaptecError: The cloud did not carry it out, as far as is known.

        """
        key = (charger_id, state_id)
        state = self._states.get(charger_id)
        observed_at = state.timestamp(state_id) if state else None
        self._pending[key] = observed_at
        try:
            await request
        except _REFUSED:
            self._pending.pop(key, None)
            raise
        except ZaptecRejectedError:
            # The rejection suggests that the state held here is outdated.
            self._pending.pop(key, None)
            self._check_confirmation(key, observed_at)
            raise
        except BaseException:
            self._check_confirmation(key, observed_at)
            raise
        self._check_confirmation(key, observed_at)

    @callback
    def _check_confirmation(
        self, key: tuple[str, StateId], observed_at: datetime | None
    ) -> None:
        """Read a charger unless it reports a newer value of a StateId in time."""
        charger_id, state_id = key

        @callback
        def check() -> None:
            if self._pending.get(key) == observed_at:
                self._pending.pop(key, None)
            state = self._states.get(charger_id)
            if state and not state.is_newer(state_id, observed_at):
                self._read(charger_id)

        self.check_later(check)

    @callback
    def check_later(self, check: CALLBACK_TYPE) -> None:
        """Run a check when the time for a confirmation is over."""
        if self._is_stopped:
            return

        @callback
        def start(_now: datetime) -> None:
            self._checks.discard(cancel)
            check()

        cancel = async_call_later(
            self._hass, timedelta(seconds=CONFIRMATION_TIME), start
        )
        self._checks.add(cancel)

    @callback
    def stop(self) -> None:
        """Cancel all checks, and start no more."""
        self._is_stopped = True
        while self._checks:
            self._checks.pop()()
