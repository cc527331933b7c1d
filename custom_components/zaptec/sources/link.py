"""One message subscription, kept open: its status and its counters."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
import math
import random
import ssl
from time import monotonic
from typing import Protocol

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..api import (
    ConnectionDetails,
    Observation,
    Subscription,
    TimeSlice,
    ZaptecAuthenticationError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecNotFoundError,
    ZaptecPermissionError,
    ZaptecRejectedError,
)
from ..api.azure_link import Transports
from ..backoff import outage_pause, refusal_pause
from ..const import DISCOVERY_INTERVAL, LOGGER, PushRefusal, PushStatus
from ..listeners import Listeners, link_topic, message_topic
from ..outages import Outages
from ..state import States
from .details_failures import DetailsFailures
from .feed import HEALTHY_TIME, FedInstallation, Feed
from .feeds import Feeds
from .link_counters import LinkCounters
from .link_log import LinkLog
from .reader import StateReader
from .stream_watch import MESSAGE_DELAY

# Delay before new chargers are read although the link is still being opened (seconds).
# That takes less than a second, unless a firewall drops the packets to the port.
OPEN_PATIENCE = 2.0

# Minimum and maximum pause before the next attempt to connect (seconds).
PAUSE_MIN = 1.0
PAUSE_MAX = 300.0

# Error codes with which the cloud says that no subscription is available (ErrorCodes
# of the constants): FeatureNotEnabled, NotSupported, Forbidden.
NOT_PROVISIONED_CODES = {526, 527, 533}

# Minimum time between two connections that are closed because they are silent (seconds).
REOPEN_INTERVAL = 3600.0


class _DetailsRequest(Protocol):
    """A request for the connection details of a subscription."""

    async def __call__(self, *, repeats: bool) -> ConnectionDetails:
        """Return the details; `repeats` says whether to retry after temporary faults."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A message subscription of the cloud."""

    id: str
    label: str
    """What it is called in the log."""
    request_details: _DetailsRequest


@dataclass(frozen=True, slots=True)
class SharedByLinks:
    """The parts that all links of an account share."""

    client: ZaptecClient
    states: States
    listeners: Listeners
    outages: Outages
    reader: StateReader
    ssl_context: ssl.SSLContext
    start_reauth: Callable[[], None]
    logged_faults: set[str]
    """The faults of messages that were logged: each once, in spite of reconnects."""
    time_slice: TimeSlice


@dataclass(frozen=True, slots=True)
class _End:
    """The reason why a connection ended, or could not be opened."""

    reason: str
    """The text for the log. Never the cloud's own text, which may be private."""
    refusal: PushRefusal | None = None
    is_login: bool = False
    """Whether the cloud refuses the login, so that only the user can help."""


def reconnect_pause(outage: float) -> float:
    """Return the seconds until the next attempt to connect, after such an outage."""
    longest = outage_pause(outage, PAUSE_MIN, PAUSE_MAX)
    return random.uniform(longest / 2, longest)


def _end_of(error: ZaptecError) -> _End:
    """Return what an error says about the end of a connection."""
    if isinstance(error, ZaptecPermissionError):
        return _End("the account may not read it", PushRefusal.ROLE)
    if isinstance(error, ZaptecNotFoundError):
        return _End("there is no subscription", PushRefusal.UNAVAILABLE)
    if isinstance(error, ZaptecRejectedError):
        return _End(
            f"the cloud refuses it ({error.code})",
            PushRefusal.UNAVAILABLE if error.code in NOT_PROVISIONED_CODES else None,
        )
    return _End(str(error), is_login=isinstance(error, ZaptecAuthenticationError))


class Link:
    """A message subscription, kept open; each of its feeds is of one installation."""

    def __init__(
        self,
        channel: Channel,
        shared: SharedByLinks,
        *,
        home_of: Callable[[str], str | None] | None = None,
    ) -> None:
        """Initialize a link that is not connected yet, and has no feed.

        Args:
            channel: The subscription.
            shared: The parts that all links share.
            home_of: Returns the installation of a charger, whose feed gets its messages.
                Without it, the subscription is that of one installation.

        """
        self.channel = channel
        self._shared = shared
        # Whether a message has to prove that the link reports an installation.
        self._is_unproven = home_of is not None
        self.feeds = Feeds(home_of)
        """What the link reports, by the ids of the installations."""
        self.status = PushStatus.CONNECTING
        self.since = dt_util.utcnow()
        """When the status changed last."""
        self.refusal: PushRefusal | None = None
        """Why the status is `not_permitted`."""
        self.is_permitted = False
        """Whether the cloud gave the connection details when it last gave a clear answer."""
        self.fault: str | None = None
        """The reason why the last attempt ended, as a text that is fit for the log."""
        self.fault_at: datetime | None = None
        self.is_silent = False
        """Whether the last connection reported nothing; the next one counts once it does."""
        self.reopened_at = -math.inf
        """When a silent connection was closed last (monotonic seconds)."""
        self.counters = LinkCounters()
        self._log = LinkLog(channel.id, channel.label, shared.outages)
        self._opened_at: float | None = None
        # When the latest observation arrived (monotonic seconds).
        self._received_at = -math.inf
        self._open: asyncio.Timeout | None = None
        self._transports = Transports(channel.label)
        self._failures = DetailsFailures(shared.client)

    @property
    def age(self) -> float:
        """Return the age of the current connection, or of the last one (seconds)."""
        return 0.0 if self._opened_at is None else monotonic() - self._opened_at

    @property
    def shared_since(self) -> datetime | None:
        """Return since when another program takes messages that no other link reports."""
        return self.feeds.shared_since

    @property
    def is_incomplete(self) -> bool:
        """Return whether messages are lost that no other link reports."""
        return self.feeds.is_incomplete

    @property
    def patience(self) -> float:
        """Return how long a first reading should wait for the link at most (seconds)."""
        return OPEN_PATIENCE if self.status is PushStatus.CONNECTING else 0.0

    @property
    def transport(self) -> str | None:
        """Return how the messages arrive, None while they do not."""
        return self._transports.current if self._is_up else None

    @callback
    def add_feed(self, installation: FedInstallation) -> Feed:
        """Return a new feed, with the messages of an installation."""
        feed = Feed(
            installation,
            self.channel.label,
            self._shared.states,
            self._shared.reader,
            on_silence=self._feed_silent,
            on_loss=self._message_lost,
            reported=self.feeds.reported,
        )
        self.feeds.add(feed)
        if self._open:
            feed.link_opened()
        if self.status is not PushStatus.CONNECTING:
            feed.link_changed(is_up=self._is_up, is_refused=self.refusal is not None)
        return feed

    @property
    def _is_up(self) -> bool:
        """Return whether messages arrive."""
        return self.status is PushStatus.CONNECTED

    @callback
    def close(self) -> None:
        """Release the chargers, and end what the log says of the link."""
        self.feeds.close()
        self._log.close()

    async def run(self) -> None:
        """Keep the subscription open until cancelled, whatever ends a connection."""
        down_since: float | None = None
        while True:
            self._opened_at = None
            end = await self._connect()
            status = PushStatus.DISCONNECTED
            if end.refusal:
                status = PushStatus.NOT_PERMITTED
            self._set_status(status, fault=end.reason, refusal=end.refusal)
            now = monotonic()
            if down_since is None or self.age >= HEALTHY_TIME:
                down_since = now
            await asyncio.sleep(self._pause_after(end, now - down_since))

    def _pause_after(self, end: _End, outage: float) -> float:
        """Return the seconds until the next attempt to connect."""
        if end.is_login:
            return DISCOVERY_INTERVAL.total_seconds()
        if end.refusal:
            return refusal_pause(outage)
        return self._failures.pause() or reconnect_pause(outage)

    async def _connect(self) -> _End:
        """Receive messages until a connection ends; return why it did."""
        try:
            await self._receive()
        except TimeoutError:
            return _End("it reported nothing of what the chargers did")
        except ZaptecError as err:
            end = _end_of(err)
            if end.is_login:
                self._shared.start_reauth()
            return end
        except Exception as err:
            # Chargers continue to charge after any error, so the messages must
            # continue, too. Log the error here, but only once.
            reason = type(err).__name__
            if reason not in self._shared.logged_faults:
                self._shared.logged_faults.add(reason)
                LOGGER.exception("Unexpected error in the push of an installation")
            return _End(reason)
        return _End("it ended")

    async def _receive(self) -> None:
        """Open a connection, and receive messages until it ends.

        Raises:
            ZaptecError: It could not be opened, or has ended.
            TimeoutError: It was closed by `reopen`.

        """
        async with (
            await self._subscription() as stream,
            asyncio.timeout(None) as self._open,
        ):
            self._opened_at = monotonic()
            self._received_at = -math.inf
            self.counters.begin(stream)
            self.feeds.link_opened()
            try:
                if not self.is_silent:
                    self._set_status(PushStatus.CONNECTED)
                await stream.run(self.received)
            finally:
                self._open = None
                self.counters.end()
                self.feeds.link_closed()

    @callback
    def reopen(self) -> None:
        """Close the current connection, so that another one is opened."""
        if self._open:
            self._open.reschedule(-math.inf)

    async def _subscription(self) -> Subscription:
        """Return a new subscription.

        Host and key may change at any time, so the vendor asks to fetch them
        before every connect (Integrating with Zaptec charging systems,
        Credentials).
        """
        client, failures = self._shared.client, self._failures
        began_at = monotonic()
        try:
            # After a failure, the loop around this repeats it.
            details = await self.channel.request_details(repeats=not failures)
        except (
            ZaptecAuthenticationError,
            ZaptecPermissionError,
            ZaptecNotFoundError,
        ):
            # These errors have their own delays.
            failures.clear()
            raise
        except ZaptecError as err:
            if not failures:
                # Whether this succeeds shows whether the cloud fails with all requests.
                self.feeds.read_one()
            failures.add(began_at)
            if isinstance(err, ZaptecConnectionError):
                self._set_cloud_reached(is_reached=False)
            raise
        failures.clear()
        self._set_cloud_reached(is_reached=True)
        if self.status is PushStatus.CONNECTING and not self._is_unproven:
            self._plan_first_readings()
        return Subscription(
            details,
            ssl_context=self._shared.ssl_context,
            allow_plain=client.allows_plain_bus,
            reported=self._shared.logged_faults,
            time_slice=self._shared.time_slice,
            transports=self._transports,
        )

    @callback
    def _plan_first_readings(self) -> None:
        """Plan to read the new chargers, in case that opening the link takes long.

        When it is up, its chargers are read in place of what is planned here.
        """
        reader = self._shared.reader
        for feed in self.feeds.values():
            for charger_id in feed.charger_ids:
                if not reader.has_read(charger_id):
                    reader.read(charger_id, first=True, delay=OPEN_PATIENCE)

    @callback
    def received(self, observations: list[Observation]) -> None:
        """Apply the observations of messages."""
        if self.counters.take_gap():
            self.feeds.gap()
        if senders := self.counters.take_oversized():
            self.feeds.oversized(senders)
        by_feed = self.feeds.sort(observations)
        if observations:
            self._received_at = monotonic()
        if self.is_silent and any(by_feed.values()):
            self.is_silent = False
            self._set_status(PushStatus.CONNECTED)
        for feed, its_observations in by_feed.items():
            feed.last_message = self.counters.last_message
            feed.received(its_observations)
        self._shared.listeners.notify(
            [message_topic(feed.installation_id) for feed in by_feed]
        )
        self._shared.states.apply(observations)

    @callback
    def check(self) -> None:
        """Check whether the messages of an open connection report all that happens."""
        if self._open:
            self.feeds.check(is_silent=self.is_silent)

    @callback
    def _feed_silent(self, feed: Feed) -> None:
        """Reopen the connection, but not too often, if nothing else arrives by it."""
        self.counters.losses += 1
        if (
            self.feeds.is_reporting_without(feed)
            or monotonic() - self._received_at < MESSAGE_DELAY
        ):
            feed.silence()
            return
        self.is_silent = True
        self._set_status(
            PushStatus.DISCONNECTED, fault="it does not report what the chargers do"
        )
        feed.silence()
        if self._open and monotonic() - self.reopened_at >= REOPEN_INTERVAL:
            self.reopened_at = monotonic()
            self.reopen()

    @callback
    def _message_lost(self) -> None:
        """Count a loss of one of the feeds."""
        self.counters.losses += 1

    @callback
    def _set_status(
        self,
        status: PushStatus,
        *,
        fault: str | None = None,
        refusal: PushRefusal | None = None,
    ) -> None:
        """Set the status, and notify the feeds of it.

        Args:
            status: The new status.
            fault: Why the link is not up, in words fit for a log.
            refusal: Why it is not permitted.

        """
        if refusal:
            self.is_permitted = False
        if fault:
            self.fault = fault
            self.fault_at = dt_util.utcnow()
            LOGGER.debug("Push of %s: %s", self.channel.label, fault)
        if (status, refusal) == (self.status, self.refusal):
            return
        self._log.status_changed(self.status, status, fault)
        self.refusal = refusal
        if status is not self.status:
            self.since = dt_util.utcnow()
        self.status = status
        self.feeds.link_changed(is_up=self._is_up, is_refused=refusal is not None)
        if self.channel.id not in self.feeds:
            self._shared.listeners.notify([link_topic(self.channel.id)])

    @callback
    def _set_cloud_reached(self, *, is_reached: bool) -> None:
        """Note whether the cloud answers; without an answer, a state may be outdated."""
        if is_reached:
            self._log.cloud_reached()
            self.is_permitted = True
        else:
            self._log.cloud_unreachable()
        self.feeds.cloud_reached(is_reached=is_reached)
