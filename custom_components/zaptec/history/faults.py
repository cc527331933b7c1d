"""What has failed: logged once, and tried again after a while."""

from ..api import ZaptecError, ZaptecResponseError
from ..const import LOGGER

# Delay before the archive is read again after the cloud has failed (s); it doubles with
# each failure.
RETRY_MIN = 60.0
RETRY_MAX = 3600.0

# Number of times that the archive fails before it is logged. The first few take an hour.
FAILED_READINGS = 3


class Faults:
    """The faults of the archive, and of the recorder."""

    def __init__(self) -> None:
        """Initialize without a fault."""
        # How often the archive has failed since it was read.
        self.failed_readings = 0
        # Whether the recorder stores nothing.
        self.is_not_stored = False
        self._is_logged = False
        # The same since there was nothing left to read.
        self._failures = 0

    def archive_failed(self, err: ZaptecError) -> float:
        """Log once that the archive cannot be read; return when to read it again (s).

        That the cloud is down for a moment, other parts of the integration log.
        """
        LOGGER.debug("The archive cannot be read: %s", err)
        self.failed_readings += 1
        if not self._is_logged and (
            isinstance(err, ZaptecResponseError)
            or self.failed_readings >= FAILED_READINGS
        ):
            self._is_logged = True
            LOGGER.warning(
                "The archive of sessions cannot be read, and is tried again later: %s",
                err,
            )
        delay = min(RETRY_MAX, RETRY_MIN * 2.0**self._failures)
        self._failures += 1
        return delay

    def archive_works(self, *, is_read: bool) -> None:
        """Note that the archive has not failed.

        Args:
            is_read: Whether something was read, or nothing was due.

        """
        self._failures = 0
        if is_read:
            self.failed_readings = 0

    def not_stored(self, reason: str) -> None:
        """Log once that the statistics cannot be stored."""
        if not self.is_not_stored:
            self.is_not_stored = True
            LOGGER.warning(
                "The session history cannot be stored at the moment, and is kept until it"
                " can: %s",
                reason,
            )

    def stored(self) -> None:
        """Log that the statistics are stored again."""
        if self.is_not_stored:
            self.is_not_stored = False
            LOGGER.info("The session history is stored again")
