"""The account: what it holds, and the state of its chargers."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
import math
from time import monotonic
from typing import override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed
from homeassistant.helpers.debounce import Debouncer
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util

from .api import (
    Account,
    Charger,
    ChargerFirmware,
    Installation,
    Observation,
    OperationMode,
    StateId,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotFoundError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecServerError,
    automatic,
    time_limit,
)
from .backoff import READ_RETRY, outage_pause, refusal_pause
from .const import (
    CHARGERS_AT_ONCE,
    DISCOVERY_INTERVAL,
    DOMAIN,
    FIRMWARE_INTERVAL,
    LOGGER,
    PushRefusal,
    PushStatus,
)
from .devices.missing import MissingDevices
from .devices.ownership import Ownership
from .devices.registry import Devices
from .listeners import Listeners, Topic, installation_topic, link_topic, message_topic
from .outages import REFRESH_LOGGER, Outages
from .sources.link import Link
from .sources.reading_queue import ReadingQueue
from .sources.stream_watch import StreamWatch
from .state import LIST_LAG, States

# A charger nobody knows is looked up at once, but no flood of them may turn
# into a flood of requests.
UNKNOWN_CHARGER_COOLDOWN = 60
UNKNOWN_CHARGERS_MAX = 100

# After a failed discovery the next one is not an hour away (seconds).
DISCOVERY_RETRY_MAX = 300.0

# How often a charger is read while its installation's push is down (seconds).
POLL_CHARGING = 60.0
POLL_IDLE = 600.0

# Delay before a new charger is read although its installation's link is not up yet
# (seconds). A link takes less than a second. Where a firewall drops the packets to its
# port, the attempt takes half a minute to fail, and the user waits for the first values.
CONNECT_PATIENCE = 5.0

# How long the set-up waits for the first readings (seconds): for those without a link,
# which begin after CONNECT_PATIENCE, too. Home Assistant complains of ten.
FIRST_READINGS_TIME = 8.0


# A link that tells nothing is opened anew no more often than this (seconds).
GIVE_UP_INTERVAL = 3600.0

# A firmware list that failed is not asked for again at once (seconds).
FIRMWARE_RETRY = 3600.0


class ZaptecCoordinator(DataUpdateCoordinator[Account]):
    """Discovers what the account holds each hour, and keeps its state."""

    config_entry: ConfigEntry

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry, client: ZaptecClient
    ) -> None:
        """Initialize the coordinator."""
        super().__init__(
            hass,
            REFRESH_LOGGER,
            config_entry=entry,
            name=DOMAIN,
            update_interval=DISCOVERY_INTERVAL,
            request_refresh_debouncer=Debouncer(
                hass, LOGGER, cooldown=UNKNOWN_CHARGER_COOLDOWN, immediate=True
            ),
            always_update=False,
        )
        self.client = client
        self.outages = Outages()
        # The installations whose messages were logged as not permitted.
        self._not_permitted: set[str] = set()
        self.data = Account()
        # All that the account may see.
        self.visible = Account()
        self.missing = MissingDevices()
        self._ownership = Ownership(hass, entry, self.missing)
        self._devices = Devices(hass, entry, self._ownership, self.missing)
        # The installation of each charger when it was last brought in line.
        self._homes: dict[str, str | None] = {}
        # When an installation was replaced between two discoveries (monotonic seconds).
        self._replaced_at: dict[str, float] = {}
        self.firmware = ZaptecFirmwareCoordinator(hass, entry, self)
        self.listeners = Listeners()
        self.states = States(
            self.listeners,
            on_unknown=self.look_up,
            on_new_version=self._devices.set_software_version,
        )
        self.links: dict[str, Link] = {}
        self.reader = ReadingQueue(
            client,
            interest=self.interest,
            on_state=self._state_read,
            on_failure=self._state_unread,
        )
        self.watch = StreamWatch(
            read=self.reader.read,
            on_silence=self._stream_silent,
            on_loss=self._message_lost,
            on_complete=self._stream_complete,
        )
        # What was told last, and whether it was what the cloud said.
        self._told = (self.data, True)
        self._unknown_chargers: set[str] = set()
        # Since when the lists could not be read (monotonic seconds).
        self._undiscovered_since: float | None = None
        # When they were last read.
        self.discovered_at: datetime | None = None
        self._ownership.start(
            account=lambda: self.data, show=self._show, discover=self.refresh_soon
        )

    @override
    async def _async_update_data(self) -> Account:
        """Look at the two lists."""
        asked_at = monotonic()
        try:
            # The user waits for the first one, when the account is set up.
            with automatic() if self.states else time_limit():
                installations = await self.client.installations()
                chargers = await self.client.chargers()
        except ZaptecAuthenticationError as err:
            raise ConfigEntryAuthFailed(
                translation_domain=DOMAIN, translation_key="authentication_failed"
            ) from err
        except ZaptecError as err:
            retry_after = (
                err.retry_after
                if isinstance(err, (ZaptecBusyError, ZaptecNotSentError))
                else None
            )
            if self.states:
                retry_after = max(retry_after or 0.0, self._discovery_retry())
                self.outages.begin(
                    "lists",
                    f"The Zaptec cloud does not list the chargers: {err}",
                    "The Zaptec cloud lists the chargers again",
                    is_unreachable=_is_unreachable(err),
                    is_hourly=True,
                )
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="update_failed",
                translation_placeholders={"error": str(err)},
                retry_after=retry_after,
            ) from err
        self.outages.end("lists")
        self._undiscovered_since = None
        self.discovered_at = dt_util.utcnow()
        self.visible = Account(
            {
                installation.id: self._newest(installation, asked_at)
                for installation in installations
            },
            {charger.id: charger for charger in chargers},
        )
        return self._ownership.select(self.visible, asked_at)

    def _discovery_retry(self) -> float:
        """Return the seconds until a failed discovery is tried again."""
        now = monotonic()
        if self._undiscovered_since is None:
            self._undiscovered_since = now
        outage = now - self._undiscovered_since
        return outage_pause(outage, READ_RETRY, DISCOVERY_RETRY_MAX)

    def _newest(self, listed: Installation, asked_at: float) -> Installation:
        """Return an installation as listed, unless it was changed about then.

        The list may be older than what the cloud has accepted meanwhile.
        """
        is_newer = self.replaced_at(listed.id) > asked_at - LIST_LAG
        if is_newer and listed.id in self.data.installations:
            return self.data.installations[listed.id]
        return listed

    @callback
    @override
    def _async_refresh_finished(self) -> None:
        """Take in what the lists have brought."""
        if not self.last_update_success or self._shutdown_requested:
            return
        self._bring_in_line()
        for charger in self.data.chargers.values():
            self._apply_listed(charger)
        self._ownership.ask_outdated()

    @callback
    def _show(self, account: Account) -> None:
        """Show other devices of the lists, without reading these."""
        self.data = account
        self._bring_in_line()
        self.async_update_listeners()

    @callback
    def _bring_in_line(self) -> None:
        """Bring states, links and devices in line with what this account shows."""
        chargers = self.data.chargers
        self._ownership.follow(self.data)
        linked_ids = self._ownership.linked_ids(self.data)
        moved = [
            charger
            for charger in chargers.values()
            if charger.id in self.states
            and self._homes.get(charger.id) != charger.installation_id
        ]
        for charger in moved:
            self._leave_installation(charger.id, self._homes.get(charger.id))
        self._homes = {
            charger.id: charger.installation_id for charger in chargers.values()
        }
        for installation_id in linked_ids - self.links.keys():
            self.links[installation_id] = Link()
        for installation_id in self.links.keys() - linked_ids:
            del self.links[installation_id]
            self.watch.forget(installation_id)
            self._not_permitted.discard(installation_id)
            for part in (installation_id, _details_of(installation_id)):
                self.outages.end(part, is_back=False)
        for charger_id in self.states.keys() - chargers.keys():
            self.reader.forget(charger_id)
            self.outages.end(charger_id, is_back=False)
        newcomers = chargers.keys() - self.states.keys()
        self.states.follow(self.data)
        self._unknown_chargers -= newcomers
        self._devices.follow(self.data)
        for charger in moved:
            self._read_unlinked(charger)
        for charger_id in newcomers:
            self._read_unlinked(chargers[charger_id], first=True)
        if newcomers or moved:
            self.config_entry.async_create_background_task(
                self.hass, self.firmware.async_refresh(), name=f"{DOMAIN} firmware"
            )

    @callback
    def _leave_installation(self, charger_id: str, installation_id: str | None) -> None:
        """Keep of a charger's former installation only whether its state is fresh.

        The messages of that installation do not cover the charger any more, so what
        they have not reported is no evidence against them.
        """
        link = self.links.get(installation_id or "")
        state = self.states[charger_id]
        if link is None or not link.is_reliable:
            state.complete = state.readable
        self.watch.forget_charger(charger_id)

    @callback
    def _read_unlinked(self, charger: Charger, *, first: bool = False) -> None:
        """Read a charger, once its installation's link is up or takes too long.

        With the link up all its chargers are read, in place of what is planned here.
        """
        is_connecting = self.link(charger).status is PushStatus.CONNECTING
        delay = CONNECT_PATIENCE if is_connecting else 0.0
        self.reader.read(charger.id, first=first, delay=delay)

    @callback
    def _apply_listed(self, charger: Charger) -> None:
        """Apply what the list says of a charger, unless its messages say otherwise."""
        if charger.id in self.missing:
            return
        if (
            self.states[charger.id].complete
            and self.link(charger).is_reliable
            and self.states.is_contradicted_by(charger)
        ):
            # The list and the pushed state disagree, and the list may be outdated.
            # Read the charger: if the list was right, a message was lost.
            self.reader.read(charger.id)
            return
        self.states.apply_listed(charger)

    @property
    def unknown_chargers(self) -> int:
        """Return how many chargers told something that no list shows."""
        return len(self._unknown_chargers)

    def link(self, charger: Charger) -> Link:
        """Return how the state of this charger reaches us."""
        return self.links.get(charger.installation_id or "") or Link(
            PushStatus.NOT_PERMITTED
        )

    def is_fresh(self, charger_id: str) -> bool:
        """Return whether what is held of a charger is what the cloud holds."""
        if (charger := self.data.chargers.get(charger_id)) is None:
            return False
        link = self.link(charger)
        state = self.states[charger_id]
        return state.complete if link.is_reliable else state.readable

    @callback
    @override
    def async_add_listener(
        self, update_callback: CALLBACK_TYPE, context: Iterable[Topic] | None = None
    ) -> Callable[[], None]:
        """Listen for discoveries or, with topics as context, for these alone."""
        if context is None:
            return super().async_add_listener(update_callback)
        return self.listeners.add(update_callback, context)

    @callback
    @override
    def async_update_listeners(self) -> None:
        """Tell of a discovery, and of the devices that it has changed."""
        super().async_update_listeners()
        (before, was_successful), self._told = (
            self._told,
            (self.data, self.last_update_success),
        )
        told = {**before.installations, **before.chargers}
        found = {**self.data.installations, **self.data.chargers}
        changed = {
            device_id
            for device_id in told | found
            if was_successful is not self.last_update_success
            or told.get(device_id) != found.get(device_id)
        }
        self.listeners.notify(
            (
                *changed,
                *(
                    installation_topic(charger.id)
                    for charger in self.data.chargers.values()
                    if charger.installation_id in changed
                ),
            )
        )

    @callback
    def look_up(self, charger_id: str) -> None:
        """Look for a charger that nobody knows, once."""
        if (
            charger_id in self._unknown_chargers
            or charger_id in self.visible.chargers
            or len(self._unknown_chargers) >= UNKNOWN_CHARGERS_MAX
        ):
            return
        self._unknown_chargers.add(charger_id)
        LOGGER.debug("Charger %s is unknown: looking at the lists", charger_id)
        self.refresh_soon()

    @callback
    def refresh_soon(self) -> None:
        """Look at the lists, but not twice in a minute."""
        self.config_entry.async_create_background_task(
            self.hass, self.async_request_refresh(), name=f"{DOMAIN} discovery"
        )

    @callback
    def messages_received(
        self, installation_id: str, observations: list[Observation]
    ) -> None:
        """Take in what messages of an installation tell."""
        if link := self.links.get(installation_id):
            self._look_for_gaps(installation_id, link)
            if link.is_silent and observations:
                link.is_silent = False
                self.set_link_status(installation_id, PushStatus.CONNECTED)
            for observation in observations:
                self.watch.heard(
                    installation_id,
                    observation,
                    is_known=observation.charger_id in self.states,
                )
            self.listeners.notify([message_topic(installation_id)])
        self.states.apply(observations)

    @callback
    def _look_for_gaps(self, installation_id: str, link: Link) -> None:
        """Note that some messages seem to have gone elsewhere, or could not be read."""
        if (stream := link.stream) is None:
            return
        if stream.missed > link.missed_before:
            link.missed_before = stream.missed
            self.watch.missed(installation_id, self._charger_ids(installation_id))
        if stream.oversized > link.oversized_before:
            link.oversized_before = stream.oversized
            self.watch.oversized(installation_id, self._charger_ids(installation_id))

    def _charger_ids(self, installation_id: str) -> list[str]:
        """Return the ids of the chargers of an installation."""
        return [charger.id for charger in self.chargers_of(installation_id)]

    @callback
    def check_streams(self, _now: datetime) -> None:
        """Look whether the streams that are open tell all that happens."""
        for installation_id, link in self.links.items():
            if link.give_up:
                self.watch.check(
                    installation_id,
                    {
                        charger.id: self.states[charger.id]
                        for charger in self.chargers_of(installation_id)
                    },
                )

    @callback
    def _stream_silent(self, installation_id: str) -> None:
        """Poll instead, and have the link opened anew, but not all the time."""
        link = self.links[installation_id]
        link.losses += 1
        link.is_silent = True
        self.set_link_status(
            installation_id,
            PushStatus.DISCONNECTED,
            fault="it does not tell what the chargers do",
        )
        if link.give_up and monotonic() - link.given_up_at >= GIVE_UP_INTERVAL:
            link.given_up_at = monotonic()
            link.give_up()

    @callback
    def _message_lost(self, installation_id: str, again: bool) -> None:
        """Poll what is not told by messages; somebody else may be reading them."""
        link = self.links[installation_id]
        link.losses += 1
        if not link.loses_messages:
            link.loses_messages = True
            for charger in self.chargers_of(installation_id):
                self.reader.poll(charger.id, 0)
        if again and link.shared_since is None:
            link.shared_since = dt_util.utcnow()
            LOGGER.warning(
                "Some messages of installation %s do not reach us: another program"
                " seems to read them too. Its chargers are polled",
                installation_id,
            )
        self._announce_link(installation_id)

    @callback
    def _stream_complete(self, installation_id: str) -> None:
        """Note that all messages of an installation reach us again."""
        link = self.links[installation_id]
        if link.shared_since is not None:
            LOGGER.info(
                "All messages of installation %s reach us again", installation_id
            )
        link.loses_messages = False
        link.shared_since = None
        for charger in self.chargers_of(installation_id):
            self.reader.read(charger.id)
        self._announce_link(installation_id)

    @callback
    def set_link_status(
        self,
        installation_id: str,
        status: PushStatus,
        *,
        fault: str | None = None,
        refusal: PushRefusal | None = None,
    ) -> None:
        """Note how a link is; read all chargers when it is up, else poll them.

        Args:
            installation_id: Whose link it is.
            status: How it is.
            fault: Why it is not up, in words fit for a log.
            refusal: Why it is not permitted.

        """
        if (link := self.links.get(installation_id)) is None:
            return
        if refusal:
            link.admitted = False
        if fault:
            link.fault = fault
            link.fault_at = dt_util.utcnow()
            LOGGER.debug("Push of installation %s: %s", installation_id, fault)
        if (status, refusal) == (link.status, link.refusal):
            return
        self._log_transition(installation_id, link.status, status, fault)
        link.refusal = refusal
        chargers = self.chargers_of(installation_id)
        fresh = {charger.id for charger in chargers if self.is_fresh(charger.id)}
        if status is not link.status:
            link.since = dt_util.utcnow()
        link.status = status
        for charger in chargers:
            self.states[charger.id].complete = charger.id in fresh
            first = not self.reader.has_read(charger.id)
            if status is PushStatus.CONNECTED or first:
                self.reader.read(charger.id, first=first)
            else:
                self._poll(charger.id)
        self._announce_link(installation_id)

    @callback
    def _announce_link(self, installation_id: str) -> None:
        """Announce that a link has changed, to its chargers' entities too."""
        self.listeners.notify(
            (
                link_topic(installation_id),
                *(link_topic(item.id) for item in self.chargers_of(installation_id)),
            )
        )

    @callback
    def announce_installation(self, installation_id: str) -> None:
        """Announce that an installation has changed, to its chargers' entities too."""
        self.listeners.notify(
            (
                installation_id,
                *(
                    installation_topic(item.id)
                    for item in self.chargers_of(installation_id)
                ),
            )
        )

    @callback
    def _log_transition(
        self,
        installation_id: str,
        before: PushStatus,
        now: PushStatus,
        fault: str | None,
    ) -> None:
        """Log when the push is lost and when it is back, once each."""
        back = f"Push is back for installation {installation_id}"
        if now is PushStatus.CONNECTED:
            was_refused = installation_id in self._not_permitted
            self._not_permitted.discard(installation_id)
            if not self.outages.end(installation_id) and was_refused:
                LOGGER.info(back)
        elif now is PushStatus.NOT_PERMITTED:
            self.outages.end(installation_id, is_back=False)
            if installation_id not in self._not_permitted:
                self._not_permitted.add(installation_id)
                LOGGER.info(
                    "Push is not permitted for installation %s: polling its chargers",
                    installation_id,
                )
        elif now is PushStatus.DISCONNECTED and before is not PushStatus.NOT_PERMITTED:
            self.outages.begin(
                installation_id,
                f"Push is lost for installation {installation_id}: {fault}",
                back,
            )

    @callback
    def set_cloud_reached(self, installation_id: str, *, reached: bool) -> None:
        """Note whether the cloud answers; what it did not confirm may be outdated."""
        if reached:
            self.outages.end(_details_of(installation_id))
        else:
            self.outages.begin(
                _details_of(installation_id),
                "The Zaptec cloud cannot be reached",
                "The Zaptec cloud can be reached again",
                is_unreachable=True,
            )
        if reached and (link := self.links.get(installation_id)):
            link.admitted = True
        for charger in self.chargers_of(installation_id):
            if not reached:
                self._set_readable(charger.id, readable=False)
            elif not self.states[charger.id].readable:
                self.reader.poll(charger.id, 0)

    def chargers_of(self, installation_id: str) -> list[Charger]:
        """Return the chargers of an installation."""
        return [
            charger
            for charger in self.data.chargers.values()
            if charger.installation_id == installation_id
        ]

    def interest(self, charger_id: str) -> int:
        """Return how soon people want to see a charger, the soonest first."""
        charger = self.data.chargers.get(charger_id)
        if charger is None or charger.is_online is False:
            return 3
        match charger.operating_mode:
            case OperationMode.CONNECTED_CHARGING:
                return 0
            case OperationMode.CONNECTED_REQUESTING | OperationMode.CONNECTED_FINISHED:
                return 1
        return 2

    async def async_wait_for_first_readings(self) -> None:
        """Wait until the chargers that people look at first were read, but not for long.

        Automations and templates look at states when Home Assistant has started. A value
        that came after that would be a change, as if the car had begun to draw power.
        """
        first = sorted(self.data.chargers, key=self.interest)[:CHARGERS_AT_ONCE]
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_READINGS_TIME):
                for charger_id in first:
                    await self.reader.wait_until_tried(charger_id)

    @callback
    def _poll(self, charger_id: str) -> None:
        """Plan the next reading of a charger whose push is down."""
        charging = (
            self.states[charger_id].value(StateId.CHARGER_OPERATION_MODE)
            is OperationMode.CONNECTED_CHARGING
        )
        self.reader.poll(charger_id, POLL_CHARGING if charging else POLL_IDLE)

    @callback
    def _state_read(self, charger_id: str, observations: list[Observation]) -> None:
        """Take in a charger's whole state."""
        if (charger := self.data.chargers.get(charger_id)) is None:
            return
        self.outages.end(charger_id)
        self._set_readable(charger_id, readable=True)
        self._compare(charger, observations)
        self.states.apply(observations)
        if not self.link(charger).is_reliable:
            self._poll(charger_id)

    @callback
    def _compare(self, charger: Charger, observations: list[Observation]) -> None:
        """Compare what was read of a charger with what its messages told."""
        link = self.link(charger)
        if link.give_up and charger.installation_id:
            self.watch.compare(
                charger.installation_id,
                charger.id,
                self.states[charger.id],
                observations,
            )

    @callback
    def _state_unread(self, charger_id: str, error: ZaptecError) -> None:
        """Note that a charger could not be read, and try again later."""
        if charger_id not in self.states:
            return
        self._set_readable(charger_id, readable=False)
        if isinstance(error, ZaptecAuthenticationError):
            self.config_entry.async_start_reauth(self.hass)
        refused = isinstance(
            error,
            (ZaptecAuthenticationError, ZaptecPermissionError, ZaptecNotFoundError),
        )
        charger = self.data.chargers[charger_id]
        if refused:
            self.outages.end(charger_id, is_back=False)
        elif not self.link(charger).is_reliable:
            self.outages.begin(
                charger_id,
                f"The state of charger {charger_id} cannot be read: {error}",
                f"The state of charger {charger_id} can be read again",
                is_unreachable=_is_unreachable(error),
            )
        outage = monotonic() - self.states[charger_id].unreadable_since
        self.reader.poll(charger_id, refusal_pause(outage) if refused else READ_RETRY)

    @callback
    def _set_readable(self, charger_id: str, *, readable: bool) -> None:
        """Note whether a charger could be read; its entities depend on it."""
        state = self.states[charger_id]
        before = (state.readable, state.complete)
        state.readable = readable
        state.complete = state.complete or readable
        if (state.readable, state.complete) == before:
            return
        if not readable:
            state.unreadable_since = monotonic()
        elif not self.last_update_success:
            # The cloud is back, so the lists need not wait.
            self.refresh_soon()
        self.listeners.notify([charger_id])

    def is_reliable(self, charger_id: str) -> bool:
        """Return whether the messages keep the state of a charger as the cloud holds it."""
        charger = self.data.chargers.get(charger_id)
        state = self.states.get(charger_id)
        return (
            charger is not None
            and state is not None
            and state.complete
            and self.link(charger).is_reliable
        )

    @callback
    def replace_installation(self, installation: Installation) -> None:
        """Show an installation as the cloud has just reported or accepted it.

        No message reports the settings of an installation, only the next discovery.
        """
        if installation.id not in self.data.installations:
            return
        self._replaced_at[installation.id] = monotonic()
        self.data = replace(
            self.data,
            installations={**self.data.installations, installation.id: installation},
        )
        self.announce_installation(installation.id)

    def replaced_at(self, installation_id: str) -> float:
        """Return when an installation was replaced (monotonic seconds), -inf if never."""
        return self._replaced_at.get(installation_id, -math.inf)

    @override
    async def async_shutdown(self) -> None:
        """Cancel what is still to come, and leave the devices to other accounts."""
        await super().async_shutdown()
        self.data = Account()


def _is_unreachable(error: ZaptecError) -> bool:
    """Return whether an error is one of the cloud as a whole, not of what was asked."""
    if isinstance(error, ZaptecServerError):
        return error.status > HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(
        error, (ZaptecConnectionError, ZaptecBusyError, ZaptecInterceptedError)
    )


def _details_of(installation_id: str) -> str:
    """Return how an outage names the connection details of an installation."""
    return f"details {installation_id}"


class ZaptecFirmwareCoordinator(DataUpdateCoordinator[dict[str, ChargerFirmware]]):
    """Looks once a day which firmware each charger could have.

    Source: GET /api/chargerFirmware/installation/{id}.
    """

    config_entry: ConfigEntry

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        account: ZaptecCoordinator,
    ) -> None:
        """Initialize the coordinator."""
        super().__init__(
            hass,
            REFRESH_LOGGER,
            config_entry=entry,
            name=f"{DOMAIN} firmware",
            update_interval=FIRMWARE_INTERVAL,
        )
        self.data = {}
        self._account = account

    def newest(self, charger_id: str) -> str | None:
        """Return the newest firmware version for a charger, None if it is unknown."""
        firmware = self.data.get(charger_id)
        return firmware.available_version if firmware else None

    @override
    async def _async_update_data(self) -> dict[str, ChargerFirmware]:
        """Look at the list of each installation."""
        firmware: dict[str, ChargerFirmware] = {}
        failure: ZaptecError | None = None
        for installation_id in self._account.data.installation_ids:
            try:
                found = await self._account.client.firmware(installation_id)
            except ZaptecPermissionError, ZaptecNotFoundError:
                # A role for a charger alone does not show the list.
                continue
            except ZaptecError as err:
                failure = err
                continue
            firmware |= {item.charger_id: item for item in found}
        if failure:
            self._account.outages.begin(
                "firmware",
                f"The Zaptec cloud does not list the firmware: {failure}",
                "The Zaptec cloud lists the firmware again",
                is_rare=True,
            )
            self.data = self.data | firmware
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="update_failed",
                translation_placeholders={"error": str(failure)},
                retry_after=FIRMWARE_RETRY,
            ) from failure
        self._account.outages.end("firmware")
        return firmware
