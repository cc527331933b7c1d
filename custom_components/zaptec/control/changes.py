"""The changes of an available current: the last one, and those of unknown outcome."""

from dataclasses import dataclass

from homeassistant.core import callback

from .currents import Currents, highest_currents
from .recent_changes import RecentChanges


@dataclass(eq=False, slots=True)
class Change:
    """A change that was sent.

    Attributes:
        before: The currents that the cloud held before, as far as is known.
        currents: The currents that were sent.
        sent_at: When (time of the event loop).

    """

    before: Currents
    currents: Currents
    sent_at: float


class Changes:
    """The changes of one installation of which no answer says whether they were made.

    The next answer, or the next reading of the installation, settles them.
    """

    def __init__(self, installation_id: str, recent: RecentChanges) -> None:
        """Initialize the changes.

        Args:
            installation_id: The installation.
            recent: When the available currents changed last.

        """
        self._installation_id = installation_id
        self._recent = recent
        # The oldest first.
        self._uncertain: list[Change] = []

    def __contains__(self, change: Change) -> bool:
        """Return whether it is still unknown what became of a change."""
        return change in self._uncertain

    @property
    def last(self) -> Change | None:
        """Return the newest one, None if there is none."""
        return self._uncertain[-1] if self._uncertain else None

    @property
    def changed_at(self) -> float | None:
        """Return when the last change was made, one of unknown outcome included."""
        if last := self.last:
            return last.sent_at
        return self._recent.changed_at(self._installation_id)

    @property
    def currents(self) -> list[Currents]:
        """Return the currents that the cloud may hold because of them."""
        return [change.currents for change in self._uncertain]

    def ceiling(self, held: Currents) -> Currents:
        """Return the highest currents that the cloud may hold.

        Args:
            held: The currents that it held before the changes.

        """
        ceiling = held
        for currents in self.currents:
            ceiling = highest_currents(ceiling, currents)
        return ceiling

    @callback
    def begin(self, change: Change) -> None:
        """Add a change that is being sent."""
        self._uncertain.append(change)

    @callback
    def fail(self, change: Change) -> None:
        """Remove a change that was certainly not made."""
        self._uncertain = [item for item in self._uncertain if item is not change]

    @callback
    def succeed(self, change: Change) -> None:
        """Note a change that the cloud has accepted, which settles all before it."""
        self._recent.note(self._installation_id, change.sent_at)
        self._uncertain.clear()

    @callback
    def settle(self, last: Change, found: Currents) -> bool:
        """Settle the changes up to one of them, after a reading of the installation.

        Args:
            last: The newest change that was sent before the reading.
            found: The currents that the cloud holds.

        Returns:
            Whether the changes explain these currents, so that no other program has
            set them.

        """
        is_explained = any(
            found in (change.before, change.currents) for change in self._uncertain
        )
        while last in self._uncertain:
            change = self._uncertain.pop(0)
            if change.currents == found:
                self._recent.note(self._installation_id, change.sent_at)
        return is_explained
