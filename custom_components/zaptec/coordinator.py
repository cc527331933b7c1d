"""The account: what it holds, and the state of its chargers."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
import math
import os
from time import monotonic
from typing import Any, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import __version__
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.debounce import Debouncer
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.typing import UNDEFINED
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.loader import async_get_integration

from .api import (
    DEFAULT_URL,
    Charger,
    Installation,
    Observation,
    OperationMode,
    StateId,
    Value,
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecNotFoundError,
    ZaptecPermissionError,
    parse_value,
)
from .const import DISCOVERY_INTERVAL, DOMAIN, LOGGER, PORTAL_URL, PushStatus
from .reader import StateReader

# A charger nobody knows is looked up at once, but no flood of them may turn
# into a flood of requests.
UNKNOWN_CHARGER_COOLDOWN = 60
UNKNOWN_CHARGERS_MAX = 100

# After a failed discovery the next one is not an hour away.
DISCOVERY_RETRY = 300.0

# How often a charger is read while its installation's push is down (seconds).
POLL_CHARGING = 60.0
POLL_IDLE = 600.0
READ_RETRY = 60.0

# The push confirms what was written; without it, one reading does (seconds).
CONFIRMATION_TIME = 20.0

# How long a pushed value outranks the hourly list (seconds): the list may be
# older than the push that arrived just before it.
LIST_LAG = 60.0

# What a watcher can be told of: a StateId of a charger, or the link of an
# installation.
type Topic = tuple[str, int] | str

type ZaptecConfigEntry = ConfigEntry[ZaptecCoordinator]


async def async_create_client(
    hass: HomeAssistant, user_name: str, password: str
) -> ZaptecClient:
    """Return a client for an account, which says who we are to the cloud."""
    integration = await async_get_integration(hass, DOMAIN)
    return ZaptecClient(
        async_get_clientsession(hass),
        user_name,
        password,
        # For the simulator; a person's Home Assistant has no such variable.
        base_url=os.environ.get("ZAPTEC_API_URL", DEFAULT_URL),
        user_agent=(
            f"zaptec-home-assistant/{integration.version} HomeAssistant/{__version__}"
        ),
    )


@dataclass(frozen=True, slots=True)
class Account:
    """The installations and chargers that an account may see, by id."""

    installations: dict[str, Installation] = field(default_factory=dict)
    chargers: dict[str, Charger] = field(default_factory=dict)

    @property
    def installation_ids(self) -> set[str]:
        """Return the ids of all installations, the invisible ones too.

        A role for a charger alone shows its installation by id only.
        """
        return set(self.installations) | {
            charger.installation_id
            for charger in self.chargers.values()
            if charger.installation_id
        }


@dataclass(slots=True)
class Link:
    """How the state of an installation's chargers reaches us."""

    status: PushStatus = PushStatus.CONNECTING
    # Whether the latest request for this installation got an answer.
    cloud_answers: bool = True


class ChargerState:
    """The newest observation of each StateId of a charger."""

    def __init__(self, charger: Charger) -> None:
        """Initialize the state of a charger that has not told anything yet."""
        self.family = charger.family
        # Whether the latest reading over REST succeeded.
        self.readable = True
        self._observations: dict[int, Observation] = {}
        self._values: dict[int, Value | None] = {}
        self._received: dict[int, float] = {}

    def __contains__(self, state_id: int) -> bool:
        """Return whether this charger has told a value of this StateId."""
        return self._values.get(state_id) is not None

    def value(self, state_id: StateId) -> Value | None:
        """Return the value of a StateId, in the type and unit of the table."""
        return self._values.get(state_id)

    def timestamp(self, state_id: StateId) -> datetime | None:
        """Return when the value of a StateId came to be."""
        if observation := self._observations.get(state_id):
            return observation.timestamp
        return None

    def received_since(self, state_id: StateId, moment: float) -> bool:
        """Return whether an observation arrived after a monotonic moment."""
        return self._received.get(state_id, -math.inf) > moment

    def apply(self, observation: Observation) -> bool:
        """Take in an observation; return whether it changed anything.

        One that is older than what is held is dropped, so that snapshots and
        messages may arrive in any order. One without a value clears.
        """
        state_id = observation.state_id
        held = self._observations.get(state_id)
        if held and observation.timestamp < held.timestamp:
            return False
        self._observations[state_id] = observation
        self._received[state_id] = monotonic()
        if held and held.value == observation.value:
            return False
        self._values[state_id] = parse_value(observation, self.family)
        return True

    def apply_listed(self, state_id: StateId, charger_id: str, value: str) -> bool:
        """Take in what the hourly list says; return whether it changed anything.

        A list tells no time of its own, and our clock need not be the cloud's.
        So its word counts for no more than what it replaces: any observation
        that is made afterwards is newer.
        """
        held = self._observations.get(state_id)
        if held is None:
            timestamp = datetime.min.replace(tzinfo=UTC)
        elif held.value == value or self.received_since(
            state_id, monotonic() - LIST_LAG
        ):
            return False
        else:
            timestamp = held.timestamp
        return self.apply(Observation(charger_id, state_id, timestamp, value))


class ZaptecCoordinator(DataUpdateCoordinator[Account]):
    """Discovers what the account holds each hour, and keeps its state."""

    config_entry: ZaptecConfigEntry

    def __init__(
        self, hass: HomeAssistant, entry: ZaptecConfigEntry, client: ZaptecClient
    ) -> None:
        """Initialize the coordinator."""
        super().__init__(
            hass,
            LOGGER,
            config_entry=entry,
            name=DOMAIN,
            update_interval=DISCOVERY_INTERVAL,
            request_refresh_debouncer=Debouncer(
                hass, LOGGER, cooldown=UNKNOWN_CHARGER_COOLDOWN, immediate=True
            ),
            always_update=False,
        )
        self.client = client
        self.data = Account()
        self.states: dict[str, ChargerState] = {}
        self.links: dict[str, Link] = {}
        self.reader = StateReader(
            client, on_state=self._state_read, on_failure=self._state_unread
        )
        self._watchers: dict[Topic, list[CALLBACK_TYPE]] = {}
        self._unknown_chargers: set[str] = set()
        self._missed: set[str] = set()
        self._pending_confirmations: set[CALLBACK_TYPE] = set()

    @override
    async def _async_update_data(self) -> Account:
        """Look at the two lists."""
        try:
            installations = await self.client.installations()
            chargers = await self.client.chargers()
        except ZaptecAuthenticationError as err:
            raise ConfigEntryAuthFailed(
                translation_domain=DOMAIN, translation_key="authentication_failed"
            ) from err
        except ZaptecError as err:
            retry_after = err.retry_after if isinstance(err, ZaptecBusyError) else None
            if self.states:
                retry_after = max(retry_after or 0.0, DISCOVERY_RETRY)
            raise UpdateFailed(
                translation_domain=DOMAIN,
                translation_key="update_failed",
                translation_placeholders={"error": str(err)},
                retry_after=retry_after,
            ) from err
        return self._with_missed(
            Account(
                {installation.id: installation for installation in installations},
                {charger.id: charger for charger in chargers},
            )
        )

    def _with_missed(self, found: Account) -> Account:
        """Return what was found, with what is missing for the first time.

        A device is given up only when two discoveries did not show it: with it
        go its entities and all that a person has set for them.
        """
        known = {**self.data.installations, **self.data.chargers}
        missing = known.keys() - found.installations.keys() - found.chargers.keys()
        spared = missing - self._missed
        self._missed = spared
        return Account(
            {
                **found.installations,
                **{
                    key: value
                    for key, value in self.data.installations.items()
                    if key in spared
                },
            },
            {
                **found.chargers,
                **{
                    key: value
                    for key, value in self.data.chargers.items()
                    if key in spared
                },
            },
        )

    @callback
    @override
    def _async_refresh_finished(self) -> None:
        """Bring states, links and devices in line with what was found."""
        if not self.last_update_success:
            return
        for installation_id in self.data.installation_ids - self.links.keys():
            self.links[installation_id] = Link()
        for installation_id in self.links.keys() - self.data.installation_ids:
            del self.links[installation_id]
        for charger_id in self.states.keys() - self.data.chargers.keys():
            del self.states[charger_id]
            self.reader.forget(charger_id)
        for charger in self.data.chargers.values():
            if charger.id not in self.states:
                self.states[charger.id] = ChargerState(charger)
                self._read_newcomer(charger)
            self._apply_listed(charger)
        self._update_devices()

    @callback
    def _read_newcomer(self, charger: Charger) -> None:
        """Read a new charger, unless its installation's link is about to."""
        if self.link(charger).status is not PushStatus.CONNECTING:
            self.reader.read(charger.id, first=True)

    @callback
    def _apply_listed(self, charger: Charger) -> None:
        """Take in the two facts about a charger that the list carries."""
        if charger.id in self._missed:
            return
        listed: dict[StateId, str] = {}
        if charger.is_online is not None:
            listed[StateId.IS_ONLINE] = str(int(charger.is_online))
        if charger.operating_mode:
            listed[StateId.CHARGER_OPERATION_MODE] = str(int(charger.operating_mode))
        state = self.states[charger.id]
        self._announce(
            (charger.id, int(state_id))
            for state_id, value in listed.items()
            if state.apply_listed(state_id, charger.id, value)
        )

    @callback
    def _update_devices(self) -> None:
        """Register the devices of the account, and remove those that are gone."""
        registry = dr.async_get(self.hass)
        entry_id = self.config_entry.entry_id
        installations = {
            installation.id: registry.async_get_or_create(
                config_entry_id=entry_id,
                identifiers={(DOMAIN, installation.id)},
                manufacturer="Zaptec",
                model="Zaptec Installation",
                name=installation.name or "Zaptec",
                configuration_url=PORTAL_URL,
            )
            for installation in self.data.installations.values()
        }
        for charger in self.data.chargers.values():
            parent = installations.get(charger.installation_id or "")
            registry.async_get_or_create(
                config_entry_id=entry_id,
                identifiers={(DOMAIN, charger.id)},
                manufacturer="Zaptec",
                model=charger.model,
                name=charger.name or charger.device_id or "Zaptec",
                serial_number=charger.device_id,
                configuration_url=PORTAL_URL,
                via_device_id=parent.id if parent else UNDEFINED,
            )
        for device in dr.async_entries_for_config_entry(registry, entry_id):
            if not any(self.knows(identifier) for _, identifier in device.identifiers):
                registry.async_remove_device(device.id)

    def knows(self, device_id: str) -> bool:
        """Return whether the account holds this installation or charger."""
        return device_id in self.data.installations or device_id in self.data.chargers

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
        return link.status is PushStatus.CONNECTED or (
            link.cloud_answers and self.states[charger_id].readable
        )

    @callback
    @override
    def async_add_listener(
        self, update_callback: CALLBACK_TYPE, context: Any = None
    ) -> Callable[[], None]:
        """Listen for discoveries and, with topics as context, for these."""
        remove_listener = super().async_add_listener(update_callback, context)
        topics: tuple[Topic, ...] = context or ()
        for topic in topics:
            self._watchers.setdefault(topic, []).append(update_callback)

        @callback
        def remove() -> None:
            remove_listener()
            for topic in topics:
                self._watchers[topic].remove(update_callback)
                if not self._watchers[topic]:
                    del self._watchers[topic]

        return remove

    @callback
    def _announce(self, topics: Iterable[Topic]) -> None:
        """Tell each watcher of these topics, once."""
        watchers = dict.fromkeys(
            watcher for topic in topics for watcher in self._watchers.get(topic, ())
        )
        for watcher in watchers:
            try:
                watcher()
            except Exception:
                # One entity's fault must not keep the news from the others,
                # nor end the stream that brought them.
                LOGGER.exception("Unexpected error while updating an entity")

    @callback
    def apply(self, observations: Iterable[Observation]) -> None:
        """Take in observations, wherever they come from, and announce changes."""
        changed: list[Topic] = []
        for observation in observations:
            if (state := self.states.get(observation.charger_id)) is None:
                self._look_up(observation.charger_id)
            elif state.apply(observation):
                changed.append((observation.charger_id, observation.state_id))
                if observation.state_id == StateId.SOFTWARE_VERSION:
                    self._update_firmware(observation.charger_id)
        self._announce(changed)

    @callback
    def _look_up(self, charger_id: str) -> None:
        """Look for a charger that nobody knows, once."""
        if (
            charger_id in self._unknown_chargers
            or len(self._unknown_chargers) >= UNKNOWN_CHARGERS_MAX
        ):
            return
        self._unknown_chargers.add(charger_id)
        LOGGER.debug("Charger %s is unknown: looking at the lists", charger_id)
        self.config_entry.async_create_background_task(
            self.hass, self.async_request_refresh(), name=f"{DOMAIN} discovery"
        )

    @callback
    def _update_firmware(self, charger_id: str) -> None:
        """Show the firmware version that a charger tells of itself."""
        registry = dr.async_get(self.hass)
        device = registry.async_get_device_by_identifier(
            (DOMAIN, charger_id), self.config_entry.entry_id
        )
        version = self.states[charger_id].value(StateId.SOFTWARE_VERSION)
        if device and version is not None:
            registry.async_update_device(device.id, sw_version=str(version))

    @callback
    def set_link(
        self,
        installation_id: str,
        *,
        status: PushStatus | None = None,
        cloud_answers: bool | None = None,
    ) -> None:
        """Note how the link of an installation is, and act on a change."""
        if (link := self.links.get(installation_id)) is None:
            return
        before = replace(link)
        if status is not None:
            link.status = status
        if cloud_answers is not None:
            link.cloud_answers = cloud_answers
        if link == before:
            return
        if link.status is not before.status:
            self._plan_readings(installation_id, link)
        self._announce([installation_id])

    @callback
    def _plan_readings(self, installation_id: str, link: Link) -> None:
        """Read all chargers now that push is there, or poll while it is not."""
        for charger in self.data.chargers.values():
            if charger.installation_id != installation_id:
                continue
            first = not self.reader.has_read(charger.id)
            if link.status is PushStatus.CONNECTED or first:
                self.reader.read(charger.id, first=first)
            else:
                self._poll(charger.id)

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
        self._set_readable(charger_id, readable=True)
        self.set_link(charger.installation_id or "", cloud_answers=True)
        self.apply(observations)
        if self.link(charger).status is not PushStatus.CONNECTED:
            self._poll(charger_id)

    @callback
    def _state_unread(self, charger_id: str, error: ZaptecError) -> None:
        """Note that a charger could not be read, and try again later."""
        if charger_id not in self.states:
            return
        self._set_readable(charger_id, readable=False)
        if isinstance(error, ZaptecAuthenticationError):
            self.config_entry.async_start_reauth(self.hass)
            return
        refused = isinstance(error, (ZaptecPermissionError, ZaptecNotFoundError))
        self.reader.poll(
            charger_id, DISCOVERY_INTERVAL.total_seconds() if refused else READ_RETRY
        )

    @callback
    def _set_readable(self, charger_id: str, *, readable: bool) -> None:
        """Note whether a charger could be read; its entities depend on it."""
        state = self.states[charger_id]
        if state.readable is not readable:
            state.readable = readable
            self._announce([charger_id])

    async def async_write(
        self, charger_id: str, state_id: StateId, request: Awaitable[None]
    ) -> None:
        """Send a command or a setting whose effect a StateId tells.

        The push confirms it, perhaps before the answer is here. Where it does
        not, or where nobody knows whether the request arrived, the charger is
        read.

        Raises:
            ZaptecError: The cloud did not carry it out, as far as we know.

        """
        sent = monotonic()
        try:
            await request
        except ZaptecConnectionError:
            self._expect_confirmation(charger_id, state_id, sent)
            raise
        self._expect_confirmation(charger_id, state_id, sent)

    @callback
    def _expect_confirmation(
        self, charger_id: str, state_id: StateId, sent: float
    ) -> None:
        """Read a charger if the push does not tell of a StateId in time."""

        @callback
        def check(_now: datetime) -> None:
            self._pending_confirmations.discard(cancel)
            state = self.states.get(charger_id)
            if state and not state.received_since(state_id, sent):
                self.reader.read(charger_id)

        cancel = async_call_later(
            self.hass, timedelta(seconds=CONFIRMATION_TIME), check
        )
        self._pending_confirmations.add(cancel)

    @callback
    def installation_changed(self, installation: Installation) -> None:
        """Take in what the cloud has just accepted for an installation.

        No message tells of an installation's own settings; the next discovery
        does.
        """
        self.data = replace(
            self.data,
            installations={**self.data.installations, installation.id: installation},
        )
        self._announce([installation.id])

    @override
    async def async_shutdown(self) -> None:
        """Cancel what is still to come."""
        await super().async_shutdown()
        while self._pending_confirmations:
            self._pending_confirmations.pop()()
