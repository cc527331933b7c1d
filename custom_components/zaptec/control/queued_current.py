"""An available current that waits until the vendor's rule allows it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later
from homeassistant.util import dt as dt_util

from .currents import Currents, stored_currents
from .recent_changes import INTERVAL, as_moment, as_text

# Delay before a queued current is tried again after a passing failure, and the limits
# after which it is given up (seconds).
RETRY_DELAY = 60.0
OVERDUE_MAX = 3600.0
TRIES_MAX = 8

# Longest time that a queued current is kept for an installation that is missing from
# the account's list (seconds).
MISSING_MAX = 24 * 3600.0


class QueuedCurrent:
    """The newest increase of an installation, and when it may be sent.

    All times are those of the event loop (seconds), so that a change of the wall clock
    does not move them. They are converted only to be stored or shown.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        send: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        """Initialize an empty queue.

        Args:
            hass: Home Assistant.
            send: Called when the current is due.
            changed: Called when the queued current or its time has changed.

        """
        self._hass = hass
        self._send = send
        self._changed = changed
        self._cancel_timer: CALLBACK_TYPE | None = None
        self._is_stopped = False
        self._due_at = 0.0
        # When the installation began to be missing from the account's list.
        self._missing_since: float | None = None
        # The currents that the cloud held when these were queued, and how often they
        # were tried.
        self.base: Currents | None = None
        self.tries = 0
        self.currents: Currents | None = None
        self.due: datetime | None = None

    def _now(self) -> float:
        """Return the time of the event loop (seconds)."""
        return self._hass.loop.time()

    @property
    def is_due(self) -> bool:
        """Return whether the current is to be sent now.

        The current of a missing installation is sent once it is listed again.
        """
        return (
            self.currents is not None
            and self._cancel_timer is None
            and self._missing_since is None
        )

    @property
    def is_given_up(self) -> bool:
        """Return whether the current was tried too often, or for too long."""
        return self.tries > TRIES_MAX or self._now() > self._due_at + OVERDUE_MAX

    @callback
    def put(self, currents: Currents, due_at: float, base: Currents) -> None:
        """Queue currents, which replace the queued ones."""
        self.base, self.tries, self.currents = base, 0, currents
        self._schedule(due_at)

    @callback
    def hold_back(self, seconds: float) -> None:
        """Send the queued current after a delay."""
        self._schedule(self._now() + seconds)

    @callback
    def advance(self, due_at: float) -> None:
        """Send the queued current at another time, if that is earlier."""
        self._schedule(min(self._due_at, due_at))

    @callback
    def retry(self) -> None:
        """Send the queued current again, after a delay that grows with each try."""
        self.hold_back(min(RETRY_DELAY * 2 ** (self.tries - 1), INTERVAL))

    @callback
    def _schedule(self, due_at: float) -> None:
        """Start the timer after which the currents are sent."""
        self._stop_timer()
        self._due_at = due_at
        left = due_at - self._now()
        self.due = dt_util.utcnow() + timedelta(seconds=left)

        @callback
        def send(_now: datetime) -> None:
            self._cancel_timer = None
            self._send()

        if not self._is_stopped:
            self._cancel_timer = async_call_later(
                self._hass, max(left, 0.0), HassJob(send)
            )
        self._changed()

    @callback
    def clear(self) -> None:
        """Drop the queued current."""
        self.base, self.tries = None, 0
        if self.currents is None:
            return
        self._stop_timer()
        self.currents = self.due = None
        self._changed()

    @callback
    def stop(self) -> None:
        """Stop: send nothing from now on."""
        self._is_stopped = True
        self._stop_timer()

    @callback
    def _stop_timer(self) -> None:
        """Cancel the timer, if there is one."""
        if self._cancel_timer:
            self._cancel_timer()
            self._cancel_timer = None

    @callback
    def set_listed(self, *, is_listed: bool) -> None:
        """Update whether the account's list contains the installation.

        The queued current of a missing installation is sent once it is listed again,
        although its time has passed meanwhile.
        """
        now = self._now()
        if not is_listed:
            if self._missing_since is None:
                self._missing_since = now
            return
        if (missing_since := self._missing_since) is None:
            return
        self._missing_since = None
        if self.currents is None:
            return
        was_overdue = missing_since > self._due_at + OVERDUE_MAX
        if not was_overdue and now - missing_since < MISSING_MAX:
            self._due_at = max(self._due_at, now)
        self._schedule(self._due_at)

    def as_document(self) -> dict[str, Any]:
        """Return the data that has to survive a restart."""
        due = None if self.currents is None else as_text(self._now(), self._due_at)
        return {
            "base": self.base,
            "due": due,
            "tries": self.tries,
            "waiting": self.currents,
        }

    @callback
    def restore(self, document: Mapping[str, Any]) -> bool:
        """Take over a current that was queued before a restart; return if there was one.

        It is sent only after `set_listed`.
        """
        now = self._now()
        due_at = as_moment(now, document["due"])
        if not document["waiting"] or due_at is None:
            return False
        self.base = stored_currents(document["base"]) if document["base"] else None
        self.tries = document["tries"]
        self._due_at = min(due_at, now + INTERVAL)
        self.currents = stored_currents(document["waiting"])
        self._missing_since = now
        return True
