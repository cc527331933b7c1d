"""What was requested from the cloud, for diagnostics."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from time import monotonic

from .limiter import Priority


@dataclass(slots=True)
class Waits:
    """How long requests waited for their slots (s)."""

    count: int = 0
    total: float = 0.0
    longest: float = 0.0

    def add(self, count: int, total: float, longest: float) -> None:
        """Add other waits to these."""
        self.count += count
        self.total += total
        self.longest = max(self.longest, longest)


@dataclass(slots=True)
class _Minute:
    """The requests of one minute."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    waits: dict[Priority, Waits] = field(default_factory=dict)
    retries: int = 0


@dataclass(slots=True)
class Statistics:
    """Counts requests for the diagnostics; by path template, never with an id.

    The last hour is counted by the minute, so that the memory needed does not depend on
    the number of requests.
    """

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """By method, endpoint, and status; the status is 0 if there was no response."""
    retries: int = 0
    """The number of retries after faults."""
    last_error: str | None = None
    last_error_at: datetime | None = None
    _minutes: dict[int, _Minute] = field(default_factory=dict)
    # Time of the latest success and failure of each endpoint (monotonic seconds).
    _succeeded_at: dict[str, float] = field(default_factory=dict)
    _failed_at: dict[str, float] = field(default_factory=dict)

    def count(self, method: str, endpoint: str, status: int) -> None:
        """Count a request; the status is 0 if there was no response."""
        self.requests[method, endpoint, status] += 1
        self._minute().requests[method, endpoint, status] += 1
        if not status or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._failed_at[endpoint] = monotonic()

    def record_result(self, endpoint: str, *, is_served: bool) -> None:
        """Record whether a response was usable, whatever its status."""
        times = self._succeeded_at if is_served else self._failed_at
        times[endpoint] = monotonic()

    def was_served_since(
        self, moment: float, *, ignoring: Collection[str]
    ) -> bool | None:
        """Return whether the cloud has served requests since a moment.

        Args:
            moment: The moment (monotonic seconds).
            ignoring: Endpoints to ignore.

        Returns:
            True if any request succeeded, False if all of them failed, None if there
            were none.

        """

        def is_newer(times: Mapping[str, float]) -> bool:
            return any(
                at > moment
                for endpoint, at in times.items()
                if endpoint not in ignoring
            )

        if is_newer(self._succeeded_at):
            return True
        return False if is_newer(self._failed_at) else None

    def count_retry(self) -> None:
        """Count a retry of a request."""
        self.retries += 1
        self._minute().retries += 1

    def count_wait(self, priority: Priority, seconds: float) -> None:
        """Count how long a request waited for its slot (s)."""
        self._minute().waits.setdefault(priority, Waits()).add(1, seconds, seconds)

    def record_error(self, error: str) -> None:
        """Record the latest error; its text must be safe to log."""
        self.last_error = error
        self.last_error_at = datetime.now(UTC)

    def requests_last_hour(self) -> Counter[tuple[str, str, int]]:
        """Return the requests of the last hour, in the form of `requests`."""
        requests: Counter[tuple[str, str, int]] = Counter()
        for minute in self._last_hour():
            requests.update(minute.requests)
        return requests

    def retries_last_hour(self) -> int:
        """Return the number of retries in the last hour."""
        return sum(minute.retries for minute in self._last_hour())

    def waits_last_hour(self) -> dict[Priority, Waits]:
        """Return the waits of the last hour by priority; waits of 0 s count, too."""
        waits: dict[Priority, Waits] = {}
        for minute in self._last_hour():
            for priority, item in minute.waits.items():
                waits.setdefault(priority, Waits()).add(
                    item.count, item.total, item.longest
                )
        return waits

    def _minute(self) -> _Minute:
        """Return the current minute, and drop those that are over an hour old."""
        now = int(monotonic() // 60)
        if now not in self._minutes:
            for minute in [key for key in self._minutes if key <= now - 60]:
                del self._minutes[minute]
            self._minutes[now] = _Minute()
        return self._minutes[now]

    def _last_hour(self) -> list[_Minute]:
        """Return the minutes of the last hour that have requests."""
        now = int(monotonic() // 60)
        return [item for key, item in self._minutes.items() if key > now - 60]
