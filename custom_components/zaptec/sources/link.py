"""One message subscription, kept open: its status, its counters and its watch."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
import math
import random
import ssl
from time import monotonic

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..api import (
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
from ..backoff import outage_pause, refusal_pause
from ..const import DISCOVERY_INTERVAL, LOGGER, PushRefusal, PushStatus
from ..listeners import Listeners, link_topic, message_topic
from ..outages import Outages
from ..state import States
from .details_failures import DetailsFailures
from .link_counters import LinkCounters
from .link_log import LinkLog
from .reader import StateReader
from .stream_watch import StreamWatch

# Minimum and maximum pause before the next attempt to connect (seconds).
PAUSE_MIN = 1.0
PAUSE_MAX = 300.0

# Error codes with which the cloud says that no subscription is available (ErrorCodes
# of the constants): FeatureNotEnabled, NotSupported, Forbidden.
NOT_PROVISIONED_CODES = {526, 527, 533}

# Minimum age of a connection that ends an outage (seconds).
HEALTHY_TIME = 60.0

# Minimum time between two connections that are closed because they are silent (seconds).
REOPEN_INTERVAL = 3600.0


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
    """The message subscription of an installation, kept open."""

    def __init__(self, installation_id: str, shared: SharedByLinks) -> None:
        """Initialize a link that is not connected yet."""
        self.installation_id = installation_id
        self._shared = shared
        self._states = shared.states
        self._reader = shared.reader
        # The chargers whose messages arrive here, in the order of the account.
        self.charger_ids: tuple[str, ...] = ()
        # Chargers that were outdated when the link came up, and were not read since.
        self._unread: set[str] = set()
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
        self.shared_since: datetime | None = None
        """Since when another program takes some of the messages, as far as is known."""
        self.is_silent = False
        """Whether the last connection reported nothing; the next one counts once it does."""
        self.is_incomplete = False
        """Whether some of the messages are lost, although the link is up."""
        self.reopened_at = -math.inf
        """When a silent connection was closed last (monotonic seconds)."""
        self.counters = LinkCounters()
        self._log = LinkLog(installation_id, shared.outages)
        self._opened_at: float | None = None
        self._open: asyncio.Timeout | None = None
        self._failures = DetailsFailures(shared.client)
        self._watch = StreamWatch(
            read=self._reader.read,
            on_silence=self._stream_silent,
            on_loss=self._message_lost,
            on_complete=self._stream_complete,
        )

    @property
    def age(self) -> float:
        """Return the age of the current connection, or of the last one (seconds)."""
        return 0.0 if self._opened_at is None else monotonic() - self._opened_at

    @property
    def is_reliable(self) -> bool:
        """Return whether the messages report every change."""
        return self.status is PushStatus.CONNECTED and not self.is_incomplete

    def is_complete(self, charger_id: str) -> bool:
        """Return whether the charger was read after any outage before the link came up."""
        return charger_id not in self._unread

    def is_fresh(self, charger_id: str) -> bool:
        """Return whether the state of a charger is what the cloud holds."""
        if self.is_reliable:
            return self.is_complete(charger_id)
        return self._reader.is_live(charger_id)

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
        self._watch.forget(charger_id)

    @callback
    def close(self) -> None:
        """Release the chargers, because the account no longer reads their messages.

        The task of the link is cancelled only in the next iteration of the event loop.
        Messages that have arrived by then must not cause a reading.
        """
        self.charger_ids = ()
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
            self.counters.begin(stream)
            self._watch.opened()
            try:
                if not self.is_silent:
                    self._set_status(PushStatus.CONNECTED)
                await stream.run(self.received)
            finally:
                self._open = None
                self.counters.end()

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
            details = await client.connection_details(
                self.installation_id,
                # After a failure, the loop around this repeats it.
                repeats=not failures,
            )
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
                for charger_id in self.charger_ids[:1]:
                    self._reader.read(charger_id)
            failures.add(began_at)
            if isinstance(err, ZaptecConnectionError):
                self._set_cloud_reached(is_reached=False)
            raise
        failures.clear()
        self._set_cloud_reached(is_reached=True)
        return Subscription(
            details,
            ssl_context=self._shared.ssl_context,
            allow_plain=client.allows_plain_bus,
            reported=self._shared.logged_faults,
            time_slice=self._shared.time_slice,
        )

    @callback
    def received(self, observations: list[Observation]) -> None:
        """Apply the observations of messages."""
        if self.counters.take_gap():
            self._watch.gap(self.charger_ids)
        if self.counters.take_oversized():
            self._watch.oversized(self.charger_ids)
        if self.is_silent and observations:
            self.is_silent = False
            self._set_status(PushStatus.CONNECTED)
        for observation in observations:
            self._watch.received(
                observation, is_known=observation.charger_id in self._states
            )
        self._shared.listeners.notify([message_topic(self.installation_id)])
        self._states.apply(observations)

    @callback
    def compare(self, charger_id: str, observations: Iterable[Observation]) -> None:
        """Note a reading of a charger before it is applied, as evidence about the link."""
        self._unread.discard(charger_id)
        if self._open:
            self._watch.compare(charger_id, self._states[charger_id], observations)

    @callback
    def check(self) -> None:
        """Check whether the messages of an open connection report all that happens."""
        if self._open:
            self._watch.check(
                {
                    charger_id: self._states[charger_id]
                    for charger_id in self.charger_ids
                }
            )

    @callback
    def _stream_silent(self) -> None:
        """Poll the chargers, and reopen the connection, but not too often."""
        self.counters.losses += 1
        self.is_silent = True
        self._set_status(
            PushStatus.DISCONNECTED, fault="it does not report what the chargers do"
        )
        if self._open and monotonic() - self.reopened_at >= REOPEN_INTERVAL:
            self.reopened_at = monotonic()
            self.reopen()

    @callback
    def _message_lost(self, is_repeated: bool) -> None:
        """Poll the chargers: another program may be reading their messages."""
        self.counters.losses += 1
        if not self.is_incomplete:
            self.is_incomplete = True
            for charger_id in self.charger_ids:
                self._reader.poll(charger_id, 0)
        if is_repeated and self.shared_since is None:
            self.shared_since = dt_util.utcnow()
            LOGGER.warning(
                "Some messages of installation %s do not reach us: another program"
                " seems to read them too. Its chargers are polled",
                self.installation_id,
            )
        self._notify()

    @callback
    def _stream_complete(self) -> None:
        """Read the chargers once, because all messages arrive again."""
        if self.shared_since is not None:
            LOGGER.info(
                "All messages of installation %s reach us again", self.installation_id
            )
        self.is_incomplete = False
        self.shared_since = None
        for charger_id in self.charger_ids:
            self._reader.read(charger_id)
        self._notify()

    @callback
    def _set_status(
        self,
        status: PushStatus,
        *,
        fault: str | None = None,
        refusal: PushRefusal | None = None,
    ) -> None:
        """Set the status; read all chargers when the link is up, else poll them.

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
            LOGGER.debug("Push of installation %s: %s", self.installation_id, fault)
        if (status, refusal) == (self.status, self.refusal):
            return
        self._log.status_changed(self.status, status, fault)
        self.refusal = refusal
        self._unread = {
            charger_id
            for charger_id in self.charger_ids
            if not self.is_fresh(charger_id)
        }
        if status is not self.status:
            self.since = dt_util.utcnow()
        self.status = status
        for charger_id in self.charger_ids:
            is_first = not self._reader.has_read(charger_id)
            if status is PushStatus.CONNECTED or is_first:
                self._reader.read(charger_id, first=is_first)
            else:
                self._reader.poll_regularly(charger_id)
        self._notify()

    @callback
    def _notify(self) -> None:
        """Notify the listeners of the installation and of its chargers."""
        self._shared.listeners.notify(
            map(link_topic, (self.installation_id, *self.charger_ids))
        )

    @callback
    def _set_cloud_reached(self, *, is_reached: bool) -> None:
        """Note whether the cloud answers; without an answer, a state may be outdated."""
        if is_reached:
            self._log.cloud_reached()
            self.is_permitted = True
            self._reader.cloud_reached(self.charger_ids)
        else:
            self._log.cloud_unreachable()
            self._reader.cloud_unreachable(self.charger_ids)
