"""Sensors of the session that ended last, besides its energy."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, override

from homeassistant.components.sensor import RestoreSensor, SensorEntityDescription

from .api import CompletedSession, StateId
from .entity import ZaptecChargerDescription, ZaptecChargerEntity
from .history.records import EARLIEST, LENGTH_MAX

HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class ZaptecLastSessionDescription(ZaptecChargerDescription, SensorEntityDescription):
    """Describe a sensor of the session that ended last."""

    value_fn: Callable[[CompletedSession], datetime | float | None]


def session_start(session: CompletedSession) -> datetime | None:
    """Return when a session started, None if that is not known."""
    return _set(session.start)


def session_end(session: CompletedSession) -> datetime | None:
    """Return when a session ended, None if that is not known."""
    return _set(session.end)


def _set(moment: datetime | None) -> datetime | None:
    """Return a moment, None if the charger's clock was not set."""
    return moment if moment and moment >= EARLIEST else None


def session_duration(session: CompletedSession) -> float | None:
    """Return how long a session took (h), None if its times cannot be right."""
    start, end = session.start, session.end
    if start is None or end is None:
        return None
    # It is much longer if the charger's clock was set during the session.
    length = end - start
    return length / HOUR if timedelta() <= length <= LENGTH_MAX else None


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
        session = self.state_of_charger.value(StateId.COMPLETED_SESSION)
        if isinstance(session, CompletedSession):
            return self.entity_description.value_fn(session)
        return self._restored
