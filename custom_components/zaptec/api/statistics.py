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
    """How long requests waited for their slot (seconds)."""

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
    """What was requested within a minute."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    waits: dict[Priority, Waits] = field(default_factory=dict)
    retries: int = 0


@dataclass(slots=True)
class Statistics:
    """What was requested, for diagnostics; never with an id, only with templates.

    The last hour is kept by the minute, so that it takes little memory however
    many requests there are.
    """

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """By method, endpoint, and status; 0 where there was no answer."""
    retries: int = 0
    """How often a request was sent again after a fault."""
    last_error: str | None = None
    last_error_at: datetime | None = None
    _minutes: dict[int, _Minute] = field(default_factory=dict)
    # When the cloud has served or failed each endpoint last (monotonic seconds).
    _succeeded_at: dict[str, float] = field(default_factory=dict)
    _failed_at: dict[str, float] = field(default_factory=dict)

    def count(self, method: str, endpoint: str, status: int) -> None:
        """Count a request; the status is 0 where there was no answer."""
        self.requests[method, endpoint, status] += 1
        self._minute().requests[method, endpoint, status] += 1
        if not status or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._failed_at[endpoint] = monotonic()

    def serve(self, endpoint: str, *, is_served: bool) -> None:
        """Note whether an answer was what was asked for, whatever its status."""
        times = self._succeeded_at if is_served else self._failed_at
        times[endpoint] = monotonic()

    def was_served_since(self, moment: float, *, but: Collection[str]) -> bool | None:
        """Return whether the cloud has served requests after a monotonic moment.

        Args:
            moment: Monotonic seconds.
            but: Endpoints that do not count.

        Returns:
            True if any request succeeded, False if the cloud failed with all of
            them, None if there was none.

        """

        def is_newer(times: Mapping[str, float]) -> bool:
            return any(
                at > moment for endpoint, at in times.items() if endpoint not in but
            )

        if is_newer(self._succeeded_at):
            return True
        return False if is_newer(self._failed_at) else None

    def count_retry(self) -> None:
        """Count that a request is sent again."""
        self.retries += 1
        self._minute().retries += 1

    def count_wait(self, priority: Priority, seconds: float) -> None:
        """Count the wait of a request for its slot."""
        self._minute().waits.setdefault(priority, Waits()).add(1, seconds, seconds)

    def failed(self, error: str) -> None:
        """Keep the last error, in words fit for a log."""
        self.last_error = error
        self.last_error_at = datetime.now(UTC)

    def requests_last_hour(self) -> Counter[tuple[str, str, int]]:
        """Return the requests of the last hour, as `requests`."""
        requests: Counter[tuple[str, str, int]] = Counter()
        for minute in self._last_hour():
            requests.update(minute.requests)
        return requests

    def retries_last_hour(self) -> int:
        """Return how often a request was sent again in the last hour."""
        return sum(minute.retries for minute in self._last_hour())

    def waits_last_hour(self) -> dict[Priority, Waits]:
        """Return the waits of the last hour, those that took no time too."""
        waits: dict[Priority, Waits] = {}
        for minute in self._last_hour():
            for priority, item in minute.waits.items():
                waits.setdefault(priority, Waits()).add(
                    item.count, item.total, item.longest
                )
        return waits

    def _minute(self) -> _Minute:
        """Return the present minute, and drop those that are over an hour old."""
        now = int(monotonic() // 60)
        if now not in self._minutes:
            for minute in [key for key in self._minutes if key <= now - 60]:
                del self._minutes[minute]
            self._minutes[now] = _Minute()
        return self._minutes[now]

    def _last_hour(self) -> list[_Minute]:
        """Return the minutes of the last hour in which anything happened."""
        now = int(monotonic() // 60)
        return [item for key, item in self._minutes.items() if key > now - 60]
