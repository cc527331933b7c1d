"""Whether the connection details alone fail, or the cloud as a whole."""

from time import monotonic

from ..api import ZaptecClient
from ..backoff import refusal_pause


class DetailsFailures:
    """Distinguishes a refusal of the connection details from an outage of the cloud.

    In an outage all requests fail, and the details are asked for again soon. If they
    fail, another request succeeds, and they fail again, then it is the details alone.
    That may last for months, so they are asked for less and less, at last once an hour.
    """

    def __init__(self, client: ZaptecClient) -> None:
        """Initialize with no failure."""
        self._client = client
        # When the latest request for them that failed was begun (monotonic seconds).
        self._failed_at: float | None = None
        self._refused_since: float | None = None

    def __bool__(self) -> bool:
        """Return whether the latest request failed."""
        return self._failed_at is not None

    def clear(self) -> None:
        """Note that the details have come."""
        self._failed_at = self._refused_since = None

    def add(self, began_at: float) -> None:
        """Note that a request for the details has failed.

        Args:
            began_at: When it was begun (monotonic seconds).

        """
        if self._failed_at is not None:
            was_served = self._client.was_served_since(self._failed_at)
            if was_served is False:
                self._refused_since = None
            elif was_served and self._refused_since is None:
                self._refused_since = began_at
        self._failed_at = began_at

    def pause(self) -> float | None:
        """Return the seconds until the next request, None if this is no refusal."""
        if self._refused_since is None:
            return None
        return refusal_pause(monotonic() - self._refused_since)
