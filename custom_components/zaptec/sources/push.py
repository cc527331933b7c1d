"""Keeps the message subscription of each installation alive."""

import asyncio
from datetime import timedelta
from functools import partial
import math
import random
import ssl
from time import monotonic

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_interval

from ..api import (
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
from ..const import DISCOVERY_INTERVAL, DOMAIN, LOGGER, PushRefusal, PushStatus
from ..coordinator import ZaptecCoordinator
from .link import Link
from .stream_watch import CHECK_INTERVAL

# How long the pause before another attempt is at least and at most (seconds).
PAUSE_MIN = 1.0
PAUSE_MAX = 300.0

# How the cloud says that there is no subscription to be had (ErrorCodes of the
# constants): FeatureNotEnabled, NotSupported, Forbidden.
NOT_PROVISIONED_CODES = {526, 527, 533}

# A link that lived shorter than this has not ended the outage (seconds).
HEALTHY_TIME = 60.0


class DetailsFailures:
    """Distinguishes a refusal of the connection details from an outage of the cloud.

    In an outage all requests fail, and the details are asked for again soon. If they
    fail, another request succeeds, and they fail again, then it is the details alone.
    That may last for months, so they are asked for less and less, at last once an hour.
    """

    def __init__(self, client: ZaptecClient) -> None:
        """Initialize with no failure."""
        self._client = client
        # When the latest request for them that failed was begun (monotonic seconds).
        self._failed_at: float | None = None
        self._refused_since: float | None = None

    def __bool__(self) -> bool:
        """Return whether the latest request failed."""
        return self._failed_at is not None

    def clear(self) -> None:
        """Note that the details have come."""
        self._failed_at = self._refused_since = None

    def add(self, began_at: float) -> None:
        """Note that a request for the details has failed.

        Args:
            began_at: When it was begun (monotonic seconds).

        """
        if self._failed_at is not None:
            was_served = self._client.was_served_since(self._failed_at)
            if was_served is False:
                self._refused_since = None
            elif was_served and self._refused_since is None:
                self._refused_since = began_at
        self._failed_at = began_at

    def pause(self) -> float | None:
        """Return the seconds until the next request, None if this is no refusal."""
        if self._refused_since is None:
            return None
        return refusal_pause(monotonic() - self._refused_since)


class Push:
    """The links to all installations of an account."""

    def __init__(
        self,
        hass: HomeAssistant,
        coordinator: ZaptecCoordinator,
        ssl_context: ssl.SSLContext,
    ) -> None:
        """Initialize the links."""
        self._hass = hass
        self._coordinator = coordinator
        self._ssl_context = ssl_context
        self._tasks: dict[str, asyncio.Task[None]] = {}
        # Which faults of messages were logged: once each, whatever the reconnects.
        self._reported: set[str] = set()
        self._time_slice = TimeSlice()

    @callback
    def start(self) -> None:
        """Keep one link per installation, as long as the entry is loaded."""
        self._follow_discovery()
        entry = self._coordinator.config_entry
        entry.async_on_unload(
            self._coordinator.async_add_listener(self._follow_discovery)
        )
        entry.async_on_unload(
            async_track_time_interval(
                self._hass,
                self._coordinator.check_streams,
                timedelta(seconds=CHECK_INTERVAL),
                name=f"{DOMAIN} streams",
            )
        )

    @callback
    def _follow_discovery(self) -> None:
        """Start the links of new installations, end those of removed ones."""
        for installation_id in self._tasks.keys() - self._coordinator.links.keys():
            self._tasks.pop(installation_id).cancel()
        for installation_id in self._coordinator.links.keys() - self._tasks.keys():
            self._tasks[installation_id] = (
                self._coordinator.config_entry.async_create_background_task(
                    self._hass,
                    self._keep(installation_id),
                    name=f"{DOMAIN} push {installation_id}",
                )
            )

    async def _keep(self, installation_id: str) -> None:
        """Listen to an installation for ever, whatever happens to the link."""
        link = self._coordinator.links[installation_id]
        down_since: float | None = None
        failures = DetailsFailures(self._coordinator.client)
        while True:
            link.opened_at = None
            status = PushStatus.DISCONNECTED
            refusal: PushRefusal | None = None
            patient = False
            try:
                await self._listen(installation_id, link, failures)
                reason = "it ended"
            except TimeoutError:
                reason = "it told nothing of what the chargers did"
            # In our words: the cloud's own may tell of what is private.
            except ZaptecPermissionError:
                refusal, reason = PushRefusal.ROLE, "the account may not read it"
            except ZaptecNotFoundError:
                refusal, reason = PushRefusal.UNAVAILABLE, "there is no subscription"
            except ZaptecRejectedError as err:
                reason = f"the cloud refuses it ({err.code})"
                if err.code in NOT_PROVISIONED_CODES:
                    refusal = PushRefusal.UNAVAILABLE
            except ZaptecAuthenticationError as err:
                reason, patient = str(err), True
                self._coordinator.config_entry.async_start_reauth(self._hass)
            except ZaptecError as err:
                reason = str(err)
            except Exception as err:
                # Whatever it is, charging goes on, and so must the push. It is
                # logged below, but only once.
                reason = type(err).__name__
                if reason not in self._reported:
                    self._reported.add(reason)
                    LOGGER.exception("Unexpected error in the push of an installation")
            if refusal:
                status = PushStatus.NOT_PERMITTED
            self._coordinator.set_link_status(
                installation_id, status, fault=reason, refusal=refusal
            )
            now = monotonic()
            if link.age >= HEALTHY_TIME:
                down_since = None
            if down_since is None:
                down_since = now
            if patient:
                await asyncio.sleep(DISCOVERY_INTERVAL.total_seconds())
            elif refusal:
                await asyncio.sleep(refusal_pause(now - down_since))
            elif pause := failures.pause():
                await asyncio.sleep(pause)
            else:
                await asyncio.sleep(self._pause(now - down_since))

    async def _listen(
        self, installation_id: str, link: Link, failures: DetailsFailures
    ) -> None:
        """Listen to one link until it ends.

        Raises:
            ZaptecError: It could not be opened, or has ended.
            TimeoutError: It was given up, because it does not tell what happens.

        """
        coordinator = self._coordinator
        async with (
            await self._subscription(installation_id, failures) as stream,
            asyncio.timeout(None) as patience,
        ):
            link.opened_at = monotonic()
            link.connects += 1
            link.stream = stream
            link.give_up = partial(patience.reschedule, -math.inf)
            coordinator.watch.opened(installation_id)
            try:
                if not link.is_silent:
                    coordinator.set_link_status(installation_id, PushStatus.CONNECTED)
                await stream.run(
                    partial(coordinator.messages_received, installation_id)
                )
            finally:
                link.give_up = None
                link.end_stream()

    async def _subscription(
        self, installation_id: str, failures: DetailsFailures
    ) -> Subscription:
        """Return a new subscription.

        Host and key may change at any time, so the vendor asks to fetch them
        before every connect (Integrating with Zaptec charging systems,
        Credentials).
        """
        client = self._coordinator.client
        began_at = monotonic()
        try:
            details = await client.connection_details(
                installation_id,
                # After a failure, the loop around this repeats it.
                repeats=not failures,
            )
        except (
            ZaptecAuthenticationError,
            ZaptecPermissionError,
            ZaptecNotFoundError,
        ):
            # These have pauses of their own.
            failures.clear()
            raise
        except ZaptecError as err:
            if not failures:
                self._look_for_outage(installation_id)
            failures.add(began_at)
            if isinstance(err, ZaptecConnectionError):
                self._coordinator.set_cloud_reached(installation_id, reached=False)
            raise
        failures.clear()
        self._coordinator.set_cloud_reached(installation_id, reached=True)
        return Subscription(
            details,
            ssl_context=self._ssl_context,
            allow_plain=client.allows_plain_bus,
            reported=self._reported,
            time_slice=self._time_slice,
        )

    @callback
    def _look_for_outage(self, installation_id: str) -> None:
        """Read a charger, to know whether the cloud fails with all requests."""
        for charger in self._coordinator.chargers_of(installation_id)[:1]:
            self._coordinator.reader.read(charger.id)

    @staticmethod
    def _pause(outage: float) -> float:
        """Return the seconds to wait before the next attempt."""
        longest = outage_pause(outage, PAUSE_MIN, PAUSE_MAX)
        return random.uniform(longest / 2, longest)
