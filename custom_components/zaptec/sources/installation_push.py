"""The messages of one installation, by whichever links report them."""

from collections.abc import Collection, Iterable
from datetime import datetime
import math

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..api import Observation
from ..const import PushRefusal, PushSource, PushStatus
from ..listeners import Listeners, link_topic
from .feed import Feed
from .link import Link
from .link_counters import LinkCounters
from .reader import StateReader


class InstallationPush:
    """The feeds of an installation, merged: what others need to know of its messages."""

    def __init__(self, own: Link, reader: StateReader, listeners: Listeners) -> None:
        """Initialize the messages of an installation, which has a link of its own."""
        self.installation_id = own.channel.id
        self.own = own
        """The link of the installation's own subscription."""
        self._links = [own]
        self._reader = reader
        self._listeners = listeners
        self.feeds: list[Feed] = [own.add_feed(self)]
        """What the links report of the installation, first that of its own link."""
        self.status = PushStatus.CONNECTING
        self.since = dt_util.utcnow()
        """When the status changed last."""
        # The feeds that were reporting after the last change.
        self._reporting: list[Feed] = []

    @property
    def source(self) -> PushSource | None:
        """Return by which subscriptions messages arrive, None while none do."""
        if not self._reporting:
            return None
        if len(self._reporting) > 1:
            return PushSource.BOTH
        is_own = self._reporting == self.feeds[:1]
        return PushSource.INSTALLATION if is_own else PushSource.USER_GROUP

    @property
    def transport(self) -> str | None:
        """Return how messages arrive, by the own link if it reports; None while none do."""
        for link, feed in zip(self._links, self.feeds, strict=True):
            if feed in self._reporting:
                return link.transport
        return None

    @property
    def charger_ids(self) -> tuple[str, ...]:
        """Return the chargers of the installation, in the order of the account."""
        return self.feeds[0].charger_ids

    @charger_ids.setter
    def charger_ids(self, charger_ids: tuple[str, ...]) -> None:
        """Set the chargers of the installation."""
        for feed in self.feeds:
            feed.charger_ids = charger_ids

    @property
    def counters(self) -> LinkCounters:
        """Return the counters of the installation's own link."""
        return self.own.counters

    @property
    def last_message(self) -> datetime | None:
        """Return when the latest message of the installation arrived."""
        return max(
            filter(
                None,
                (
                    self.counters.last_message,
                    *(feed.last_message for feed in self.feeds[1:]),
                ),
            ),
            default=None,
        )

    @property
    def refusal(self) -> PushRefusal | None:
        """Return why the messages are not permitted, None while a link reports them.

        None also while another link is about to report them, because that is over soon.
        """
        is_pending = any(feed.is_pending for feed in self.feeds[1:])
        return None if self._reporting or is_pending else self.own.refusal

    @property
    def is_permitted(self) -> bool:
        """Return whether the cloud is known to permit the messages."""
        return bool(self._reporting) or self.own.is_permitted

    @property
    def shared_since(self) -> datetime | None:
        """Return since when another program takes messages that no other link reports."""
        is_covered = any(feed.is_reliable for feed in self.feeds[1:])
        return None if is_covered else self.feeds[0].shared_since

    @property
    def is_incomplete(self) -> bool:
        """Return whether some of the messages are lost, although a link is up."""
        return any(feed.is_incomplete for feed in self.feeds) and not self.is_reliable

    @property
    def is_silent(self) -> bool:
        """Return whether no message arrived, although a link is up."""
        return self.feeds[0].is_silent

    @property
    def is_reliable(self) -> bool:
        """Return whether the messages report every change."""
        return any(feed.is_reliable for feed in self.feeds)

    def is_reliable_for(self, charger_id: str) -> bool:
        """Return whether the messages report every change of a charger."""
        return any(feed.is_reliable and feed.reports(charger_id) for feed in self.feeds)

    def is_complete(self, charger_id: str) -> bool:
        """Return whether a charger was read after any outage of the messages."""
        feeds = self._reporting or self.feeds[:1]
        return any(feed.is_complete(charger_id) for feed in feeds)

    def is_live(self, charger_id: str) -> bool:
        """Return whether messages have reported all that happened at a charger."""
        return self.feeds[0].is_live(charger_id) or any(
            feed.is_live(charger_id) for feed in self.feeds[1:]
        )

    def is_covered(self, charger_id: str, feed: Feed, since: float = math.inf) -> bool:
        """Return whether another feed reports all that happens at a charger.

        Args:
            charger_id: The charger.
            feed: The feed that is not asked.
            since: Since when the other feed must not miss a message (monotonic seconds):
                two feeds may have lost the same one.

        """
        return any(
            other is not feed
            and other.is_live(charger_id)
            and not other.has_missed(since)
            for other in self.feeds
        )

    def has_heard(self, charger_id: str, feed: Feed) -> bool:
        """Return whether another feed reported something of a charger a short time ago."""
        return any(
            other is not feed and other.has_heard(charger_id) for other in self.feeds
        )

    @callback
    def add_link(self, link: Link) -> None:
        """Add what a link of several installations reports of this one."""
        self._links.append(link)
        self.feeds.append(link.add_feed(self))

    @callback
    def add(self, charger_id: str, *, is_fresh: bool) -> None:
        """Add a charger that has moved here, and whether its state was fresh there."""
        for feed in self.feeds:
            feed.add(charger_id, is_fresh=is_fresh)

    @callback
    def remove(self, charger_id: str) -> None:
        """Remove a charger that is gone or has moved to another installation."""
        for feed in self.feeds:
            feed.remove(charger_id)

    @callback
    def compare(self, charger_id: str, observations: Iterable[Observation]) -> None:
        """Note a reading of a charger before it is applied, as evidence about the feeds."""
        for feed in self.feeds:
            feed.compare(charger_id, observations)

    @callback
    def feed_received(self, feed: Feed, observations: list[Observation]) -> None:
        """Note messages about chargers that arrived by a feed, before they are applied."""
        for other in self.feeds:
            if other is not feed:
                other.other_received(observations)

    @callback
    def feed_changed(self, feed: Feed) -> None:
        """Follow a change of a feed or its link: read or poll what no other feed reports."""
        before = self.status
        reporting_before, self._reporting = (
            self._reporting,
            [item for item in self.feeds if item.is_reporting],
        )
        self.status = self._merged_status()
        if self.status is not before:
            self.since = dt_util.utcnow()
        concerned = [
            charger_id
            for charger_id in self.charger_ids
            if not self.is_covered(charger_id, feed)
        ]
        is_other = self.status is not before or self._reporting != reporting_before
        for charger_id in concerned:
            if is_other or self._is_expected(charger_id):
                self._read_or_poll(charger_id, feed)
        self._listeners.notify(map(link_topic, (self.installation_id, *concerned)))

    @callback
    def chargers_reported(self, feed: Feed, charger_ids: Collection[str]) -> None:
        """Follow a feed that has reported chargers for the first time."""
        concerned = [
            charger_id
            for charger_id in self.charger_ids
            if charger_id in charger_ids and not self.is_covered(charger_id, feed)
        ]
        for charger_id in concerned:
            self._read_or_poll(charger_id, feed)
        self._listeners.notify(map(link_topic, concerned))

    def _merged_status(self) -> PushStatus:
        """Return the status of the best feed, else that of the own link.

        Once messages have arrived, the status is not CONNECTING any more, even if the own
        link is still connecting for the first time.
        """
        if self._reporting:
            return PushStatus.CONNECTED
        is_first = self.status is PushStatus.CONNECTING
        if self.own.status is PushStatus.CONNECTED or (
            self.own.status is PushStatus.CONNECTING and not is_first
        ):
            return PushStatus.DISCONNECTED
        return self.own.status

    @callback
    def _read_or_poll(self, charger_id: str, feed: Feed) -> None:
        """Read a charger once if a feed reports it from now on, else poll it."""
        reader = self._reader
        is_first = not reader.has_read(charger_id)
        is_unproven = charger_id in feed.new or not feed.is_proven
        is_reporting = feed.reports(charger_id)
        if is_first and is_unproven and reader.is_reading(charger_id):
            return
        if is_reporting and feed.has_read(charger_id):
            reader.cancel_poll(charger_id)
        elif is_reporting:
            reader.read(charger_id, first=is_first)
        elif is_first:
            # A charger that is read once another link is up need not be read again when
            # that link turns out to report it.
            delay = max(link.patience for link in self._links)
            reader.read(charger_id, first=True, delay=delay)
        else:
            reader.poll_regularly(charger_id)

    def _is_expected(self, charger_id: str) -> bool:
        """Return whether a first reading waits for a link of several installations."""
        return not (
            self.status is PushStatus.CONNECTING or self._reader.has_read(charger_id)
        )
