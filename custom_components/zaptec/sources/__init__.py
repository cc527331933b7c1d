"""What reports the state of the chargers: the message subscriptions and the readings."""

from typing import Protocol


class Source(Protocol):
    """Something that reports the state of chargers.

    It calls `States.apply` with what it has learned, and answers for each charger
    whether that is what the cloud holds now.
    """

    def is_live(self, charger_id: str) -> bool:
        """Return whether the source reports all that happens at a charger."""
