"""Settings of chargers: sent once when they pause, and only if they change anything."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from ..api import (
    StateId,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecServerError,
)
from ..coordinator import ZaptecCoordinator
from .batch import Batch
from .errors import translated_errors
from .locks import async_hold


class ChargerSetting:
    """A setting of a charger, which confirms it by an observation."""

    def __init__(
        self,
        coordinator: ZaptecCoordinator,
        charger_id: str,
        state_id: StateId,
        send: Callable[[ZaptecClient, str, float], Awaitable[None]],
    ) -> None:
        """Initialize the setting."""
        self._coordinator = coordinator
        self._charger_id = charger_id
        self._state_id = state_id
        self._send = send
        # The value that was sent last, and the time of the observation held before.
        self._sent: float | None = None
        self._observed_before: datetime | None = None
        self._batch = coordinator.batches.add(Batch(coordinator.hass, self._async_send))

    @property
    def requested(self) -> float | None:
        """Return the newest value: the one that is requested, or else the one held.

        What was sent counts only while it may still be confirmed: it may have failed.
        """
        if self._batch.pending is not None:
            return self._batch.pending
        if self._coordinator.confirmations.is_pending(self._charger_id, self._state_id):
            return self._sent
        return self._held()

    async def async_set(self, value: float) -> None:
        """Set the value, unless the charger holds it already.

        Raises:
            HomeAssistantError: It was refused or failed.

        """
        is_idle = (
            not self._batch.is_busy
            and not self._coordinator.turns[self._charger_id].locked()
        )
        if is_idle and self._is_held(value):
            return
        await self._batch.async_request(value)

    async def _async_send(self, value: float) -> None:
        """Send a value, after what was sent to the charger before."""
        async with async_hold(self._coordinator.turns[self._charger_id]):
            if self._is_held(value):
                return
            before = (self._sent, self._observed_before)
            state = self._coordinator.states.get(self._charger_id)
            self._sent = value
            self._observed_before = state.timestamp(self._state_id) if state else None
            with translated_errors(self._coordinator):
                try:
                    await self._coordinator.confirmations.async_send(
                        self._charger_id,
                        self._state_id,
                        self._send(self._coordinator.client, self._charger_id, value),
                    )
                except ZaptecConnectionError, ZaptecServerError:
                    # The cloud may have carried it out all the same.
                    raise
                except ZaptecError:
                    self._sent, self._observed_before = before
                    raise

    def _held(self) -> float | None:
        """Return the value that the charger has confirmed."""
        state = self._coordinator.states.get(self._charger_id)
        value = state.value(self._state_id) if state else None
        return value if isinstance(value, (int, float)) else None

    def _is_confirmed(self) -> bool:
        """Return whether the charger has reported the setting since it was sent."""
        state = self._coordinator.states.get(self._charger_id)
        return state is not None and state.told_since(
            self._state_id, self._observed_before
        )

    def _is_held(self, value: float) -> bool:
        """Return whether the charger certainly holds a value.

        An offline charger gets what was sent to it when it is back. Until it reports
        that, what it held before is no reason to send nothing.
        """
        return (
            self._held() == value
            and self._coordinator.is_certain(self._charger_id, self._state_id)
            and (self._sent in (None, value) or self._is_confirmed())
        )
