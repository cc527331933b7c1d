"""Log lines about outages: one when an outage begins, and one when it ends.

The lists, the readings, the firmware list and the messages of each installation fail one
by one, or all together because there is no internet. Whatever fails in the same outage
belongs to one line, or the log would say the same in as many words as there are parts.
"""

from dataclasses import dataclass, field
from http import HTTPStatus
import logging
import math
from time import monotonic
from typing import override

from .api import (
    ZaptecBusyError,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecServerError,
)
from .const import LOGGER

# How long after the first part of an outage others are taken for parts of it (seconds).
# The links to several installations find a dead peer within 260 s.
JOIN_TIME = 300.0

# How long a part may work, while the rest of its outage goes on, for its next failure to
# belong to that outage (seconds). Where a service ends each connection with its first message,
# the links are open by turns, each until its chargers report something, which they do hourly.
RETURN_TIME = 3600.0

# What Home Assistant logs about each coordinator that cannot be refreshed, and about each
# that can be again (version 2026.10).
_REFRESH_LINES = {"Error fetching %s data: %s", "Fetching %s data recovered"}

REFRESH_LOGGER = logging.getLogger(f"{__package__}.refresh")


class _RefreshFilter(logging.Filter):
    """Keeps Home Assistant's lines about refreshes for debugging.

    Two coordinators fail in the same outage, and `Outages` has a line for it already.
    """

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is to be logged."""
        if record.msg not in _REFRESH_LINES:
            return True
        record.levelno = logging.DEBUG
        record.levelname = logging.getLevelName(logging.DEBUG)
        return REFRESH_LOGGER.isEnabledFor(logging.DEBUG)


REFRESH_LOGGER.addFilter(_RefreshFilter())


@dataclass(slots=True)
class _Outage:
    """One outage: the parts that fail in it, and since when (monotonic seconds)."""

    began_at: float
    over: str
    """What is logged when it ends, if nothing else fails in it."""
    failing: set[str] = field(default_factory=set)
    unreachable: set[str] = field(default_factory=set)
    """The parts that fail because the cloud cannot be reached."""
    rare: set[str] = field(default_factory=set)
    """The parts that are tried too rarely for the end of the outage to wait for them."""
    returned: dict[str, float] = field(default_factory=dict)
    """When each part that worked again did so last (monotonic seconds)."""
    is_mixed: bool = False
    """Whether more than one part has failed."""

    @property
    def is_over(self) -> bool:
        """Return whether all of it is back."""
        waiting = self.failing - self.rare if self.is_mixed else self.failing
        return not waiting


class Outages:
    """The outages of an account."""

    def __init__(self) -> None:
        """Initialize the outages."""
        self._ongoing: list[_Outage] = []

    def begin(
        self,
        part: str,
        warning: str,
        over: str,
        *,
        is_unreachable: bool = False,
        is_hourly: bool = False,
        is_rare: bool = False,
    ) -> None:
        """Note that something fails, and log it unless it is part of an outage.

        Args:
            part: What fails.
            warning: What to log, if an outage begins with it.
            over: What to log, if the outage ends with it and nothing else has failed.
            is_unreachable: Whether the cloud as a whole is out of reach.
            is_hourly: Whether it is tried once an hour, so that it joins an outage of the
                cloud as a whole late.
            is_rare: Whether it is tried less often still, so that the end of an outage
                does not wait for it.

        """
        outage = (
            self._outage_of(part)
            or self._left_by(part)
            or self._current(
                is_unreachable=is_unreachable, is_hourly=is_rare or is_hourly
            )
        )
        if outage is None:
            LOGGER.warning(warning)
            outage = _Outage(monotonic(), over)
            self._ongoing.append(outage)
        elif part not in outage.failing:
            LOGGER.debug("In the same outage: %s", warning)
            outage.is_mixed = True
        outage.failing.add(part)
        if is_unreachable:
            outage.unreachable.add(part)
        else:
            outage.unreachable.discard(part)
        if is_rare:
            outage.rare.add(part)

    def is_ongoing(self, part: str) -> bool:
        """Return whether something fails."""
        return self._outage_of(part) is not None

    def end(self, part: str, *, is_back: bool = True) -> bool:
        """Note that something does not fail any more; return whether it did.

        Args:
            part: What has failed.
            is_back: Whether it works; otherwise it is no longer there to fail.

        """
        if not is_back:
            # The caller logs why, so the next failure is logged, too.
            for item in self._ongoing:
                item.returned.pop(part, None)
        if (outage := self._outage_of(part)) is None:
            return False
        outage.failing.discard(part)
        outage.unreachable.discard(part)
        if is_back:
            outage.returned[part] = monotonic()
        if outage.is_over:
            self._ongoing.remove(outage)
            if outage.is_mixed:
                minutes = round((monotonic() - outage.began_at) / 60)
                LOGGER.info("Zaptec is back after an outage of %d min", minutes)
            elif is_back:
                LOGGER.info(outage.over)
        return True

    def _outage_of(self, part: str) -> _Outage | None:
        """Return the outage in which something fails."""
        return next((item for item in self._ongoing if part in item.failing), None)

    def _left_by(self, part: str) -> _Outage | None:
        """Return the outage that goes on without a part, if that worked for a short time only."""
        now = monotonic()
        return next(
            (
                item
                for item in self._ongoing
                if now - item.returned.get(part, -math.inf) < RETURN_TIME
            ),
            None,
        )

    def _current(self, *, is_unreachable: bool, is_hourly: bool) -> _Outage | None:
        """Return the outage that whatever fails now is a part of.

        What begins to fail later worked meanwhile, so that is another outage: a charger
        that cannot be read for days must not hide it. Only an outage of the cloud as a
        whole is joined late: by what is tried rarely, and, once several parts have found
        the cloud out of reach, by others that do.
        """
        now = monotonic()
        return next(
            (
                item
                for item in self._ongoing
                if now - item.began_at < JOIN_TIME
                or (is_hourly and item.unreachable)
                or (is_unreachable and len(item.unreachable) > 1)
            ),
            None,
        )


def is_unreachable(error: ZaptecError) -> bool:
    """Return whether an error is one of the cloud as a whole, not of what was asked."""
    if isinstance(error, ZaptecServerError):
        return error.status > HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(
        error, (ZaptecConnectionError, ZaptecBusyError, ZaptecInterceptedError)
    )
