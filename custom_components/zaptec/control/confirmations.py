"""Commands and settings that were sent, until it is known what came of them."""

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

# The push confirms what was written; without it, one reading does (seconds).
CONFIRMATION_TIME = 20.0

# With these nothing has changed, and what is held here is as good as before.
_REFUSED = (
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecNotFoundError,
    ZaptecNotSentError,
    ZaptecPermissionError,
)


class Confirmations:
    """What was sent, and by which StateId it is to be confirmed."""

    def __init__(
        self,
        hass: HomeAssistant,
        states: States,
        read: Callable[[str], None],
    ) -> None:
        """Initialize the writes.

        Args:
            hass: Home Assistant.
            states: What the chargers have told, by their ids.
            read: Reads a charger of which no message came.

        """
        self._hass = hass
        self._states = states
        self._read = read
        # When that which confirms a write was told last, before the write.
        self._pending: dict[tuple[str, StateId], datetime | None] = {}
        self._checks: set[CALLBACK_TYPE] = set()
        self._is_stopped = False

    def __len__(self) -> int:
        """Return how many are to be confirmed."""
        return len(self._pending)

    def pending(self, charger_id: str) -> set[StateId]:
        """Return what writes to a charger are still to be confirmed by."""
        return {
            state_id
            for pending_id, state_id in self._pending
            if pending_id == charger_id
        }

    def is_pending(self, charger_id: str, state_id: StateId) -> bool:
        """Return whether a write has not been confirmed yet."""
        key = (charger_id, state_id)
        state = self._states.get(charger_id)
        return (
            key in self._pending
            and state is not None
            and not state.told_since(state_id, self._pending[key])
        )

    async def async_send(
        self, charger_id: str, state_id: StateId, request: Awaitable[None]
    ) -> None:
        """Send a command or a setting whose effect a StateId tells.

        The push confirms it, perhaps before the answer is here. Where it does
        not, or where nobody knows whether the request arrived, the charger is
        read.

        Raises:
            ZaptecError: The cloud did not carry it out, as far as we know.

        """
        key = (charger_id, state_id)
        state = self._states.get(charger_id)
        told = state.timestamp(state_id) if state else None
        self._pending[key] = told
        try:
            await request
        except _REFUSED:
            self._pending.pop(key, None)
            raise
        except ZaptecRejectedError:
            # It tells that what is held here may be outdated.
            self._pending.pop(key, None)
            self._check_confirmation(key, told)
            raise
        except BaseException:
            self._check_confirmation(key, told)
            raise
        self._check_confirmation(key, told)

    @callback
    def _check_confirmation(
        self, key: tuple[str, StateId], told: datetime | None
    ) -> None:
        """Read a charger if nothing newer is told of a StateId in time."""
        charger_id, state_id = key

        @callback
        def check() -> None:
            if self._pending.get(key) == told:
                self._pending.pop(key, None)
            state = self._states.get(charger_id)
            if state and not state.told_since(state_id, told):
                self._read(charger_id)

        self.check_later(check)

    @callback
    def check_later(self, check: CALLBACK_TYPE) -> None:
        """Have somebody look what came of a write when its time is over."""
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
        """Look at nothing any more."""
        self._is_stopped = True
        while self._checks:
            self._checks.pop()()
