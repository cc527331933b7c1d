"""Which devices have been missing from the lists of an account, and for how long."""

from collections.abc import Iterable
from time import monotonic

from ..api import Account
from ..const import DISCOVERY_INTERVAL

# Time for which a device has to be missing before it is given up (seconds). It exceeds
# the interval between two discoveries that follow each other closely, so that one
# incomplete list removes no device.
GONE_TIME = DISCOVERY_INTERVAL.total_seconds() * 0.9


class MissingDevices:
    """The devices that the lists do not hold any more.

    With a device go its entities and all that the user has set for them, so one
    incomplete list is no reason to remove it.
    """

    def __init__(self) -> None:
        """Initialize without a missing device."""
        # When each device was first missing, by id (monotonic seconds).
        self._since: dict[str, float] = {}

    @property
    def ids(self) -> set[str]:
        """Return the ids of the missing devices."""
        return set(self._since)

    def __contains__(self, device_id: object) -> bool:
        """Return whether a device is missing."""
        return device_id in self._since

    def add(self, device_ids: Iterable[str]) -> None:
        """Note that devices are missing, unless that is known already."""
        now = monotonic()
        for device_id in device_ids:
            self._since.setdefault(device_id, now)

    def is_gone(self, device_id: str) -> bool:
        """Return whether a device has been missing for long."""
        since = self._since.get(device_id)
        return since is not None and monotonic() - since >= GONE_TIME

    def keep(self, found: Account, shown: Account, elsewhere: set[str]) -> Account:
        """Return what was found, with what has not been missing for long.

        Args:
            found: What the account has to show of its lists.
            shown: What it has shown so far.
            elsewhere: The ids of the devices that other accounts show.

        """
        for device_id in found.device_ids | elsewhere:
            self._since.pop(device_id, None)
        missing = shown.device_ids - found.device_ids - elsewhere
        self.add(missing)
        kept = {device_id for device_id in missing if not self.is_gone(device_id)}
        return shown.subset(kept) | found
