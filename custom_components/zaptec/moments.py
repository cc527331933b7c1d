"""Moments of a charger's clock: compared with some tolerance, and stored."""

from datetime import datetime, timedelta

# What happens in one moment is reported with time stamps up to this far apart: those of
# the messages differ by milliseconds, and readings round them.
SAME_MOMENT = timedelta(seconds=0.5)

# Maximum difference between the clocks of the cloud and of Home Assistant: between the time
# stamp of a report and the time of its arrival.
CLOCKS_DIFFER_MAX = timedelta(seconds=30)


def is_since(moment: datetime | None, other: datetime | None) -> bool:
    """Return whether a moment is known and not before another one."""
    return moment is not None and (other is None or other - moment <= SAME_MOMENT)


def is_before(moment: datetime | None, other: datetime) -> bool:
    """Return whether a moment is known and before another one."""
    return moment is not None and other - moment > SAME_MOMENT


def latest(moment: datetime | None, other: datetime) -> datetime:
    """Return the later of two moments, the first of which may be unknown."""
    return other if moment is None else max(moment, other)


def from_text(stored: object) -> datetime | None:
    """Return a moment that was stored."""
    return datetime.fromisoformat(stored) if isinstance(stored, str) else None


def as_text(moment: datetime | None) -> str | None:
    """Return a moment as it is stored."""
    return moment.isoformat() if moment else None
