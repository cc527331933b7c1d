"""The request limit of an account.

Source: vendor's "API usage guidelines": 10 requests a second, HTTP 429 above.
"""

from collections import deque

REQUESTS_PER_SECOND = 10


class RequestCounter:
    """Requests of one account in a sliding second of real time."""

    def __init__(self) -> None:
        """Initialize the counter."""
        self._accepted: deque[float] = deque()
        self._seen: deque[float] = deque()

    def count(self, now: float) -> tuple[bool, int]:
        """Count a request; return whether it is allowed, and the requests of the last second."""
        for times in (self._accepted, self._seen):
            while times and times[0] <= now - 1.0:
                times.popleft()
        self._seen.append(now)
        accepted = len(self._accepted) < REQUESTS_PER_SECOND
        if accepted:
            self._accepted.append(now)
        return accepted, len(self._seen)
