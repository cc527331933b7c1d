"""The feeds of one link: what it reports of each installation."""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import override

from homeassistant.core import callback

from ..api import Observation
from .feed import Feed
from .reported import Reported


class Feeds(Mapping[str, Feed]):
    """The feeds of a link, by the ids of their installations."""

    def __init__(self, home_of: Callable[[str], str | None] | None) -> None:
        """Initialize the feeds of a link that reports nothing yet.

        Args:
            home_of: Returns the installation of a charger, whose feed gets its messages.
                Without it, the only feed gets all messages.

        """
        self._home_of = home_of
        self.reported = Reported(is_all=home_of is None)
        """The chargers that the link is known to report."""
        self._feeds: dict[str, Feed] = {}

    @override
    def __getitem__(self, installation_id: str) -> Feed:
        """Return the feed of an installation."""
        return self._feeds[installation_id]

    @override
    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids of the installations."""
        return iter(self._feeds)

    @override
    def __len__(self) -> int:
        """Return the number of installations."""
        return len(self._feeds)

    @property
    def shared_since(self) -> datetime | None:
        """Return since when another program takes messages that no other link reports."""
        return min(
            (
                feed.shared_since
                for feed in self._feeds.values()
                if feed.shared_since and feed.is_needed
            ),
            default=None,
        )

    @property
    def is_incomplete(self) -> bool:
        """Return whether messages are lost that no other link reports."""
        return any(
            feed.is_incomplete and feed.is_needed for feed in self._feeds.values()
        )

    def is_reporting_without(self, feed: Feed) -> bool:
        """Return whether the link reports another installation than that of a feed."""
        return any(
            other.is_reporting for other in self._feeds.values() if other is not feed
        )

    def sort(self, observations: list[Observation]) -> dict[Feed, list[Observation]]:
        """Return the observations of each feed."""
        if self._home_of is None:
            return dict.fromkeys(self._feeds.values(), observations)
        by_feed: dict[Feed, list[Observation]] = {}
        for observation in observations:
            home = self._home_of(observation.charger_id)
            if feed := self._feeds.get(home or ""):
                by_feed.setdefault(feed, []).append(observation)
        return by_feed

    @callback
    def add(self, feed: Feed) -> None:
        """Add a feed."""
        self._feeds[feed.installation_id] = feed

    @callback
    def remove(self, installation_id: str) -> None:
        """Remove the feed of an installation that the account no longer reads."""
        self._feeds.pop(installation_id).close()

    @callback
    def close(self) -> None:
        """Release all chargers."""
        for feed in self._feeds.values():
            feed.close()

    @callback
    def link_opened(self) -> None:
        """Start over for a new connection of the link."""
        for feed in self._feeds.values():
            feed.link_opened()

    @callback
    def link_closed(self) -> None:
        """Note that the connection of the link has ended."""
        for feed in self._feeds.values():
            feed.link_closed()

    @callback
    def link_changed(self, *, is_up: bool, is_refused: bool) -> None:
        """Follow the link, whose status has changed."""
        for feed in self._feeds.values():
            feed.link_changed(is_up=is_up, is_refused=is_refused)

    @callback
    def cloud_reached(self, *, is_reached: bool) -> None:
        """Note whether the cloud answers."""
        for feed in self._feeds.values():
            if is_reached:
                feed.cloud_reached()
            else:
                feed.cloud_unreachable()

    @callback
    def read_one(self) -> None:
        """Read one of the chargers that no other link reports."""
        for feed in self._feeds.values():
            if feed.read_one():
                return

    @callback
    def gap(self) -> None:
        """Note that messages of the link are missing."""
        for feed in self._feeds.values():
            feed.gap()

    @callback
    def oversized(self, senders: Collection[str]) -> None:
        """Note that messages of these chargers were too large to be read."""
        for feed in self._feeds.values():
            feed.oversized(senders)

    @callback
    def check(self, *, is_silent: bool) -> None:
        """Check whether the messages of an open connection report all that happens.

        A feed that does not report gives no evidence, unless the whole link is silent.
        """
        for feed in self._feeds.values():
            if feed.is_proven and (is_silent or not feed.is_silent):
                feed.check()
