"""What one link reports of one installation, and whether that is all that happens."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
import math
from time import monotonic
from typing import Protocol

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..api import NO_CHARGER, Observation
from ..const import LOGGER
from ..state import States
from .reader import StateReader
from .reported import Reported
from .stream_watch import LOSS_MEMORY_MAX, MESSAGE_DELAY, SILENCE_IDLE, StreamWatch

# Minimum age of a connection that ends an outage (seconds).
HEALTHY_TIME = 60.0


class FedInstallation(Protocol):
    """What a feed asks of its installation, which may have other feeds."""

    installation_id: str

    def is_covered(self, charger_id: str, feed: Feed, since: float = ...) -> bool:
        """Return whether another feed reports all that happens at a charger."""

    def has_heard(self, charger_id: str, feed: Feed) -> bool:
        """Return whether another feed reported something of a charger a short time ago."""

    def feed_changed(self, feed: Feed) -> None:
        """Follow a change of a feed, or of its link."""

    def chargers_reported(self, feed: Feed, charger_ids: Collection[str]) -> None:
        """Follow a feed that has reported chargers for the first time."""

    def feed_received(self, feed: Feed, observations: list[Observation]) -> None:
        """Note messages about chargers that arrived by a feed, before they are applied."""


def _warn_of_loss(label: str, *, is_polled: bool) -> None:
    """Log that another program takes messages, and what that means for the chargers."""
    LOGGER.warning(
        "Some messages of %s do not reach us: another program seems to read them too. %s",
        label,
        "Its chargers are polled"
        if is_polled
        else "They arrive by another link, so its chargers are not polled",
    )


@dataclass(slots=True)
class _Absence:
    """Messages that arrive by another feed, but not by this one.

    Both links deliver each message at about the same time. The first absence looks like a
    dead link. If a message arrives by the same connection later, it is not dead, but
    another program takes some of its messages. All times are in monotonic seconds.
    """

    received_at: float = math.inf
    """When a message arrived last, or the link was opened."""
    since: float | None = None
    is_suspected: bool = False
    """Whether the connection is taken for dead."""

    def opened(self) -> None:
        """Start over for a new connection."""
        self.received()
        self.is_suspected = False

    def received(self) -> None:
        """Note that a message about a charger arrived."""
        self.received_at = monotonic()
        self.since = None

    def other_received(self) -> None:
        """Note that a message arrived by another feed."""
        now = monotonic()
        if self.since is None and now - self.received_at > MESSAGE_DELAY:
            self.since = now

    def take(self) -> bool:
        """Return whether messages are absent for certain, and forget it."""
        if self.since is None or monotonic() - self.since < MESSAGE_DELAY:
            return False
        self.since = None
        return True

    def suspect(self, *, is_incomplete: bool) -> bool:
        """Take the connection for dead after an absence; return False if it is not.

        Where messages are known to be lost, an absence is one more loss, unless nothing
        has arrived for as long as a loss is remembered.
        """
        age = monotonic() - self.received_at
        self.is_suspected = not is_incomplete or age >= LOSS_MEMORY_MAX
        return self.is_suspected

    def take_suspicion(self) -> bool:
        """Return whether the connection was taken for dead, and forget it."""
        is_suspected, self.is_suspected = self.is_suspected, False
        return is_suspected


class Feed:
    """The messages of one installation that arrive by one link.

    It reports while the link is up and it is not silent. Evidence that it does not report
    everything is a reading of a charger, or a message that arrives by another feed only.
    """

    def __init__(
        self,
        installation: FedInstallation,
        label: str,
        states: States,
        reader: StateReader,
        *,
        on_silence: Callable[[Feed], None],
        on_loss: Callable[[], None],
        reported: Reported,
    ) -> None:
        """Initialize the feed of a link that is not connected yet.

        Args:
            installation: The installation whose messages it reports.
            label: What its messages are called in the log.
            states: The states of the chargers.
            reader: Reads what the feed may have missed.
            on_silence: Called with the feed when it reports nothing any more.
            on_loss: Called when it did not report a change, although messages arrive.
            reported: The chargers that the link is known to report; messages add others.

        """
        self.installation_id = installation.installation_id
        self.charger_ids: tuple[str, ...] = ()
        self.is_proven = reported.is_all
        """Whether the link is known to report the installation."""
        self.is_silent = not self.is_proven
        """Whether no message arrived, so that the feed does not report before the next one."""
        self.is_incomplete = False
        """Whether some of the messages are lost, although the link is up."""
        self.new: set[str] = set()
        """The chargers whose first message is being processed."""
        self.last_message: datetime | None = None
        """When the latest message of the installation arrived."""
        self.shared_since: datetime | None = None
        """Since when another program takes some of the messages, as far as is known."""
        self._installation = installation
        self._label = label
        self._states = states
        self._reader = reader
        self._on_silence = on_silence
        self._on_loss = on_loss
        self._reported = reported
        self._is_up = self._is_refused = False
        # When the current connection was opened (monotonic seconds).
        self._opened_at: float | None = None
        # When it was added, or stopped reporting (monotonic seconds).
        self._awaited_since = monotonic()
        self._absence = _Absence()
        # Chargers that were read since the connection was opened.
        self._read: set[str] = set()
        # Outdated chargers that were not read since everything is reported again.
        self._unread: set[str] = set()
        self._watch = StreamWatch(
            read=reader.read,
            on_silence=partial(on_silence, self),
            on_loss=self._message_lost,
            on_complete=self._stream_complete,
        )

    @property
    def is_reporting(self) -> bool:
        """Return whether messages of the installation arrive."""
        return self._is_up and not self.is_silent

    @property
    def is_reliable(self) -> bool:
        """Return whether the messages report every change."""
        return self.is_reporting and not self.is_incomplete

    @property
    def is_pending(self) -> bool:
        """Return whether the feed may report soon, and nothing says that it will not.

        A connection that reports nothing, or ends at once, does not prolong it.
        """
        is_recent = monotonic() - self._awaited_since < SILENCE_IDLE
        return is_recent and not (self.is_reporting or self._is_refused)

    @property
    def is_needed(self) -> bool:
        """Return whether there are chargers that no other feed reports."""
        return bool(self._uncovered())

    def reports(self, charger_id: str) -> bool:
        """Return whether messages of a charger arrive."""
        return self.is_reporting and charger_id in self._reported

    def is_complete(self, charger_id: str) -> bool:
        """Return whether the charger was read after any outage or loss of the messages."""
        return charger_id not in self._unread

    def is_live(self, charger_id: str) -> bool:
        """Return whether the messages have reported all that happened at a charger.

        That is whether they are reliable and complete, without calling for each: every
        write of an entity asks for it.
        """
        return (
            self._is_up
            and not self.is_silent
            and not self.is_incomplete
            and charger_id not in self._unread
            and charger_id in self._reported
        )

    def has_missed(self, since: float) -> bool:
        """Return whether messages that were sent after a moment may be missing."""
        return self._watch.has_missed(since)

    def has_heard(self, charger_id: str) -> bool:
        """Return whether the feed reported something of a charger a short time ago."""
        return self.is_live(charger_id) and self._watch.has_heard(charger_id)

    def has_read(self, charger_id: str) -> bool:
        """Return whether a new charger was read at the beginning of the connection.

        Such a charger need not be read again when its first message proves the feed. If
        that message comes late, the charger may have been added to the subscription only
        then, and may have changed since it was read.
        """
        return (
            charger_id in self.new
            and charger_id in self._read
            and self._opened_at is not None
            and monotonic() - self._opened_at < SILENCE_IDLE
        )

    def _is_fresh(self, charger_id: str) -> bool:
        """Return whether the state of a charger is what the cloud holds."""
        if self._installation.is_covered(charger_id, self):
            return True
        if self.is_reliable and charger_id in self._reported:
            return self.is_complete(charger_id)
        return self._reader.is_live(charger_id)

    def _uncovered(self, since: float = math.inf) -> list[str]:
        """Return the chargers that no other feed reports, or has reported since a moment."""
        return [
            charger_id
            for charger_id in self.charger_ids
            if not self._installation.is_covered(charger_id, self, since)
        ]

    @callback
    def add(self, charger_id: str, *, is_fresh: bool) -> None:
        """Add a charger that has moved here, and whether its state was fresh there."""
        if not is_fresh:
            self._unread.add(charger_id)

    @callback
    def remove(self, charger_id: str) -> None:
        """Remove a charger that is gone or has moved to another installation.

        The messages do not cover it any more, so what they have not reported is no
        evidence against them.
        """
        self._unread.discard(charger_id)
        self._read.discard(charger_id)
        self._watch.forget(charger_id)

    @callback
    def close(self) -> None:
        """Release the chargers, because the account no longer reads their messages.

        The task of the link is cancelled only in the next iteration of the event loop.
        Messages that have arrived by then must not cause a reading.
        """
        self.charger_ids = ()

    @callback
    def link_opened(self) -> None:
        """Start over for a new connection of the link."""
        self._opened_at = monotonic()
        self._absence.opened()
        self._read.clear()
        self._watch.opened()

    @callback
    def link_closed(self) -> None:
        """Note that the connection of the link has ended."""
        now = monotonic()
        is_healthy = self._opened_at is not None and (
            now - self._opened_at >= HEALTHY_TIME
        )
        if self.is_reporting and is_healthy:
            self._awaited_since = now
        self._opened_at = None

    @callback
    def link_changed(self, *, is_up: bool, is_refused: bool) -> None:
        """Follow the link, whose status has changed."""
        self._note_outdated(self.charger_ids)
        self._is_up = is_up
        self._is_refused = is_refused
        self._installation.feed_changed(self)

    @callback
    def _note_outdated(self, charger_ids: Iterable[str]) -> None:
        """Note which chargers are outdated, because their messages begin or end."""
        outdated = {item for item in charger_ids if not self._is_fresh(item)}
        self._unread = self._unread.difference(charger_ids) | outdated

    @callback
    def silence(self) -> None:
        """Report no more until the next message."""
        if not self.is_silent:
            self._awaited_since = monotonic()
        self.is_silent = True
        self._installation.feed_changed(self)

    @callback
    def cloud_reached(self) -> None:
        """Read the chargers that could not be read, because the cloud answers again."""
        self._reader.cloud_reached(self._uncovered())

    @callback
    def cloud_unreachable(self) -> None:
        """Note that the states of the chargers may be outdated."""
        self._reader.cloud_unreachable(self._uncovered())

    @callback
    def read_one(self) -> bool:
        """Read one charger that no other feed reports; return whether there is one."""
        for charger_id in self._uncovered()[:1]:
            self._reader.read(charger_id)
            return True
        return False

    @callback
    def gap(self) -> None:
        """Note that messages are missing that were sent after the last one."""
        self._watch.gap(self._uncovered(since=self._watch.last_message_at))

    @callback
    def oversized(self, senders: Collection[str]) -> None:
        """Note that messages of these chargers were too large to be read.

        They were too large for any other link, too. One of an unknown charger may be about
        any of the installation.
        """
        concerned = self.charger_ids if NO_CHARGER in senders else senders
        self._watch.oversized([item for item in self.charger_ids if item in concerned])

    @callback
    def received(self, observations: list[Observation]) -> None:
        """Note the observations of messages before they are applied."""
        is_heard = False
        for observation in observations:
            charger_id = observation.charger_id
            is_known = charger_id in self._reported
            if not (is_heard and is_known) and charger_id in self.charger_ids:
                is_heard = True
                if not is_known:
                    self.new.add(charger_id)
            self._watch.received(observation, is_known=charger_id in self._states)
        if is_heard:
            self._absence.received()
            self._installation.feed_received(self, observations)
        if self.is_silent and observations:
            self._note_outdated(self.charger_ids)
            self._reported.update(self.new)
            self.is_silent = False
            self._installation.feed_changed(self)
            self.is_proven = True
            if self._absence.take_suspicion():
                self._watch.lost()
        elif self.new:
            self._note_outdated(self.new)
            self._reported.update(self.new)
            self._installation.chargers_reported(self, self.new)
        self.new.clear()

    @callback
    def other_received(self, observations: list[Observation]) -> None:
        """Note messages that arrived by another feed, before they are applied.

        What is held already is no evidence against this feed, which may have delivered it:
        the subscription of a link that was down keeps messages, and delivers them late.
        """
        if any(
            item.charger_id in self.charger_ids
            and item.charger_id in self._reported
            and self._states[item.charger_id].lacks(item)
            for item in observations
        ):
            self._absence.other_received()

    @callback
    def compare(self, charger_id: str, observations: Iterable[Observation]) -> None:
        """Note a reading of a charger before it is applied, as evidence about the feed."""
        self._unread.discard(charger_id)
        self._read.add(charger_id)
        if self._opened_at is not None and charger_id in self._reported:
            self._watch.compare(charger_id, self._states[charger_id], observations)

    @callback
    def check(self) -> None:
        """Check whether the messages of an open connection report all that happens.

        The silence of a charger is worth a reading only if the other feeds have not
        reported anything of it either.
        """
        if self.is_reporting and self._absence.take():
            if self._absence.suspect(is_incomplete=self.is_incomplete):
                self._on_silence(self)
                return
            self._watch.lost()
        self._watch.check(
            {
                charger_id: self._states[charger_id]
                for charger_id in self.charger_ids
                if charger_id in self._reported
                and not self._installation.has_heard(charger_id, self)
            }
        )

    @callback
    def _message_lost(self, is_repeated: bool) -> None:
        """Poll the chargers: another program may be reading their messages."""
        self._on_loss()
        if not self.is_incomplete:
            self.is_incomplete = True
            for charger_id in self._uncovered():
                self._reader.poll(charger_id, 0)
        if is_repeated and self.shared_since is None:
            self.shared_since = dt_util.utcnow()
            _warn_of_loss(self._label, is_polled=self.is_needed)
        self._installation.feed_changed(self)

    @callback
    def _stream_complete(self) -> None:
        """Read the chargers once, because all messages arrive again."""
        if self.shared_since is not None:
            LOGGER.info("All messages of %s reach us again", self._label)
        for charger_id in self._uncovered():
            self._reader.read(charger_id)
        # Some could not be read meanwhile, and no message repeats what was lost.
        self._note_outdated(self.charger_ids)
        self.is_incomplete = False
        self.shared_since = None
        self._installation.feed_changed(self)
