"""Which chargers a link is known to report."""

from collections.abc import Iterable


class Reported:
    """The chargers that a link is known to report: all, or those of its messages.

    A user group need not include all installations of the account, nor all chargers of an
    installation. Only a message about a charger proves that the group includes it.
    """

    def __init__(self, *, is_all: bool) -> None:
        """Initialize the chargers of a link, before its first message.

        Args:
            is_all: Whether the link reports all chargers of its installation.

        """
        self.is_all = is_all
        self._charger_ids: set[str] = set()

    def __contains__(self, charger_id: str) -> bool:
        """Return whether the link is known to report a charger."""
        return self.is_all or charger_id in self._charger_ids

    def update(self, charger_ids: Iterable[str]) -> None:
        """Note that messages about these chargers arrived."""
        self._charger_ids.update(charger_ids)
