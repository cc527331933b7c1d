"""What has failed: logged once, and tried again after a while."""

from ..api import ZaptecError, ZaptecResponseError
from ..const import LOGGER

# Delay before the archive is read again after the cloud has failed (s); it doubles with
# each failure.
RETRY_MIN = 60.0
RETRY_MAX = 3600.0

# Number of times that the archive fails before it is logged. The first few take an hour.
FAILED_READINGS = 3

# Time without a failure after which an outage of the archive is over (s). Whatever has
# failed is tried again earlier.
RECOVERY = 3 * 3600.0


class Faults:
    """The faults of the archive, and of the recorder."""

    def __init__(self) -> None:
        """Initialize without a fault."""
        # How often the archive has failed since all that had failed was read again, or
        # since it has worked for some hours.
        self.failed_readings = 0
        # Whether the recorder stores nothing.
        self.is_not_stored = False
        self._is_logged = False
        # When the archive has failed last (seconds since 1970), and whether something was
        # read since.
        self._failed_at = 0.0
        self._is_read_again = False
        # Delay before the next try (s).
        self._delay = RETRY_MIN

    def archive_failed(self, err: ZaptecError, now: float) -> float:
        """Log that the archive cannot be read; return the delay until the next try (s).

        It is logged once until the archive works again: an answer that makes no sense at
        once, and any other fault when it has come several times, because other parts of
        the integration log that the cloud is down.
        """
        LOGGER.debug("The archive cannot be read: %s", err)
        self.failed_readings += 1
        self._failed_at = now
        self._is_read_again = False
        if not self._is_logged and (
            isinstance(err, ZaptecResponseError)
            or self.failed_readings >= FAILED_READINGS
        ):
            self._is_logged = True
            LOGGER.warning(
                "The archive of sessions cannot be read, and is tried again later: %s",
                err,
            )
        delay = self._delay
        self._delay = min(RETRY_MAX, 2 * delay)
        return delay

    def archive_works(self, now: float, *, is_read: bool, is_failing: bool) -> None:
        """Note that the archive has not failed; log that it works again after a fault.

        Args:
            now: The present time (seconds since 1970).
            is_read: Whether something was read; otherwise nothing was due.
            is_failing: Whether a part of the archive has failed and was not read since.

        """
        self._delay = RETRY_MIN
        self._is_read_again |= is_read
        if is_read and not is_failing:
            # Single failures, each of which is made up for soon, are no outage.
            self.failed_readings = 0
        # A logged outage ends later, so that the archive of a cloud that fails now and
        # then is not logged again and again.
        if not self._is_read_again or now - self._failed_at < RECOVERY:
            return
        self.failed_readings = 0
        if self._is_logged:
            self._is_logged = False
            LOGGER.info("The archive of sessions can be read again")

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
