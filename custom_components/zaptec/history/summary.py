"""What the diagnostics show of the history: states, counts and times.

Times are in UTC. There is nothing in here by which a session or a user can be found.
"""

from typing import Any

from homeassistant.util import dt as dt_util

from .awaited import AwaitedSessions
from .book import Book
from .faults import Faults
from .hours import HOUR
from .statistics import HourlyStatistics
from .sweeps import Sweeps


class Summary:
    """A summary of the history of an account, of its chargers and installations."""

    def __init__(
        self,
        book: Book,
        sweeps: Sweeps,
        awaited: AwaitedSessions,
        statistics: HourlyStatistics,
        faults: Faults,
    ) -> None:
        """Initialize the summary of what the parts of the history know."""
        self._book = book
        self._sweeps = sweeps
        self._awaited = awaited
        self._statistics = statistics
        self._faults = faults

    def of_account(self) -> dict[str, Any]:
        """Return the state of the history as a whole."""
        return {
            "recorder": self._statistics.has_recorder,
            "recorder_ready": self._statistics.is_ready,
            "not_stored": self._faults.is_not_stored,
            "archive_failures": self._faults.failed_readings,
            "awaited_sessions": len(self._awaited),
            "waiting_reports": self._book.waiting,
        }

    def of_charger(self, charger_id: str) -> dict[str, Any] | None:
        """Return what is known of a charger, None if there is no history of it."""
        if (ledger := self._book.ledgers.get(charger_id)) is None:
            return None
        if ledger.is_reading:
            state = "reading" if ledger.read_until is not None else "to be read"
        else:
            state = "written" if ledger.changed_from is None else "to be written"
        return {
            "state": state,
            "refused": ledger.refused_roles is not None,
            "sessions": len(ledger),
            "old_sessions": ledger.old_count,
            "complete_from": _hour(ledger.complete_from),
            "changed_from": _hour(ledger.changed_from),
            "read_from": _moment(ledger.read_from),
            "read_until": _moment(ledger.read_until),
            "left_out": self._book.problems(charger_id),
            "kept_before": _hour(ledger.doubts.keep_before or None),
        }

    def of_installation(self, installation_id: str) -> dict[str, Any] | None:
        """Return how an archive was swept, and what happened since; None if it was not."""
        if (sweep := self._sweeps.get(installation_id)) is None:
            return None
        return {
            "swept_at": _moment(sweep.at),
            "swept_long_at": _moment(sweep.long_at),
            "resume_from": _moment(sweep.resume_from),
            "ended_sessions": sweep.ended,
            "requests": sweep.requests,
        }


def _hour(hour: int | None) -> str | None:
    """Return the start of an hour, which is counted from 1970."""
    return None if hour is None else _moment(hour * HOUR)


def _moment(seconds: float | None) -> str | None:
    """Return a time, which is given in seconds since 1970."""
    return None if seconds is None else dt_util.utc_from_timestamp(seconds).isoformat()
