"""Sensors of the session that ended last, besides its energy."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, override

from homeassistant.components.sensor import RestoreSensor, SensorEntityDescription

from .api import CompletedSession, StateId
from .entity import ZaptecChargerDescription, ZaptecChargerEntity
from .history.records import EARLIEST, LENGTH_MAX
from .plausibility import could_be_drawn, has_happened

HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class ZaptecLastSessionDescription(ZaptecChargerDescription, SensorEntityDescription):
    """Describe a sensor of the session that ended last."""

    value_fn: Callable[[CompletedSession, datetime], datetime | float | None]
    """Called with the session, and the moment when it was reported."""


def session_start(session: CompletedSession, reported_at: datetime) -> datetime | None:
    """Return when a session started, None if that is not known."""
    end = session.end
    if end and not has_happened(end, reported_at):
        # The charger's clock is ahead, so the start is wrong, too.
        return None
    return _plausible(session.start, reported_at)


def session_end(session: CompletedSession, reported_at: datetime) -> datetime | None:
    """Return when a session ended, None if that is not known."""
    return _plausible(session.end, reported_at)


def _plausible(moment: datetime | None, reported_at: datetime) -> datetime | None:
    """Return a moment, None if the charger's clock was not set, or was ahead."""
    if moment and moment >= EARLIEST and has_happened(moment, reported_at):
        return moment
    return None


def session_duration(session: CompletedSession, reported_at: datetime) -> float | None:
    """Return how long a session took (h), None if its times cannot be right."""
    start, end = session.start, session.end
    if start is None or end is None:
        return None
    # It is much longer if the charger's clock was set during the session.
    length = end - start
    if not timedelta() <= length <= LENGTH_MAX:
        return None
    # A clock that is wrong at both ends measures the time nonetheless.
    if has_happened(start, reported_at) and not has_happened(end, reported_at):
        return None
    is_possible = could_be_drawn(session.energy or 0.0, start, end)
    return length / HOUR if is_possible else None


class ZaptecLastSessionSensor(ZaptecChargerEntity, RestoreSensor):
    """A fact about the session that ended last (StateId 723).

    It stays what it was if the cloud does not report the session again after a restart.
    """

    entity_description: ZaptecLastSessionDescription
    _restored: Any = None

    @override
    async def async_added_to_hass(self) -> None:
        """Restore what was shown last."""
        if (data := await self.async_get_last_sensor_data()) is not None:
            self._restored = data.native_value
        await super().async_added_to_hass()

    @property
    @override
    def native_value(self) -> Any:
        """Return the value."""
        state = self.state_of_charger
        session = state.value(StateId.COMPLETED_SESSION)
        reported_at = state.timestamp(StateId.COMPLETED_SESSION)
        if isinstance(session, CompletedSession) and reported_at:
            return self.entity_description.value_fn(session, reported_at)
        return self._restored
