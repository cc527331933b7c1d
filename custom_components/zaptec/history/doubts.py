"""What a reading of the archive has left in doubt, and whether it has to be repeated.

The archive may be wrong for a while. If the hours of the statistics are not known in
another way, energy that no session claims may be that of a session which the archive does
not show correctly. It stays until a second reading, some time later, has the same result.
A second reading at once does not count, nor one that was broken off, nor one that begins
later: it says nothing about the sessions before.
"""

from collections.abc import Iterable
from typing import Any, Self

from .hours import HOUR

# Time after which a reading is repeated at the earliest (s), so that the archive is hardly
# wrong for the same reason again.
REPEAT_AFTER = 12 * HOUR


class Doubts:
    """The doubts about what was read from the archive of one charger."""

    def __init__(self) -> None:
        """Initialize without a doubt."""
        # The sessions that the last reading had to leave out, because they cannot be right,
        # and those of the reading that had ended before; None if nothing was known before.
        self._left_out: set[int] = set()
        self._left_out_before: set[int] | None = set()
        # When the two have ended (seconds since 1970). The first is None while a reading is
        # in progress, after it was broken off, and if a reading of a later part has left
        # out more.
        self._ended_at: float | None = None
        self._ended_before = 0.0
        # Where the last reading began (seconds since 1970), and whether to repeat it. If so,
        # a reading that begins later does not replace it.
        self._read_from: int | None = None
        self._is_repeated = False
        # Hours before this one have at least the energy that the statistics have.
        self.keep_before = 0

    def _is_part(self, read_from: int) -> bool:
        """Return whether a reading begins later than the one that has to be repeated."""
        return (
            self._is_repeated
            and self._read_from is not None
            and read_from > self._read_from
        )

    def begin(self, read_from: int, *, is_lost: bool) -> None:
        """Note that a reading begins.

        Args:
            read_from: Where it begins (seconds since 1970).
            is_lost: Whether there are statistics whose sessions are not known any more.

        """
        if self._is_part(read_from):
            return
        if is_lost:
            self._left_out_before = None
        elif self._ended_at is not None:
            self._left_out_before, self._ended_before = self._left_out, self._ended_at
        self._left_out, self._ended_at = set(), None

    def leave_out(self, key: int) -> None:
        """Note that a session is left out, because it cannot be right."""
        if key not in self._left_out:
            self._left_out.add(key)
            self._ended_at = None

    def add(self, key: int, *, is_reading: bool) -> None:
        """Note that a session is known."""
        if key in self._left_out:
            self._left_out.discard(key)
            # The archive was wrong about this one, so it was wrong about others, too.
            self._is_repeated |= not is_reading

    def end(self, read_from: int, now: float, sessions: int) -> None:
        """Note that a reading has come to the end.

        Args:
            read_from: Where it began (seconds since 1970).
            now: The present time (seconds since 1970).
            sessions: The number of sessions that are known.

        """
        hour = int(now // HOUR) + 1
        if self._is_part(read_from):
            if self._ended_at is None:
                # It has left out more, so there are doubts about later hours, too.
                self._ended_at, self.keep_before = now, hour
            return
        was_sure = self.keep_before == 0
        # If most sessions are wrong, the archive is, however often it is read.
        is_sure = (
            self._left_out == self._left_out_before
            and (was_sure or now - self._ended_before >= REPEAT_AFTER)
            and len(self._left_out) <= sessions
        )
        self._read_from = read_from
        self._ended_at = now
        self._is_repeated = not is_sure
        self.keep_before = 0 if is_sure else hour

    def refuse(self) -> None:
        """Note that the cloud does not show the archive, so that it cannot be repeated.

        The doubt ends with another reading, once there is one, wherever that begins.
        """
        self._is_repeated = False

    def repeat_from(self, now: float) -> int | None:
        """Return from when on to read again (seconds since 1970), None if not now."""
        if self._is_repeated and now >= self.keep_before * HOUR + REPEAT_AFTER:
            return self._read_from
        return None

    def as_list(self) -> list[Any]:
        """Return what has to survive a restart, as JSON can store it."""
        before = self._left_out_before
        return [
            sorted(self._left_out),
            None if before is None else sorted(before),
            self._read_from,
            self._is_repeated,
            self.keep_before,
            self._ended_at,
            self._ended_before,
        ]

    @classmethod
    def from_list(cls, stored: Iterable[Any]) -> Self:
        """Return what `as_list` has returned before a restart."""
        doubts = cls()
        left_out, before, doubts._read_from, doubts._is_repeated, keep_before, *ends = (
            stored
        )
        if ends:
            # An earlier version did not store them.
            doubts._ended_at, doubts._ended_before = ends
        doubts._left_out = set(left_out)
        doubts._left_out_before = None if before is None else set(before)
        doubts.keep_before = keep_before
        return doubts
