"""Which message subscriptions the account reads, and what each installation has of them."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_interval

from ..api import Account, Observation
from ..const import CONF_USER_GROUP, DOMAIN, PushStatus
from .installation_push import InstallationPush
from .link import Channel, Link, SharedByLinks
from .stream_watch import CHECK_INTERVAL


class Links(Mapping[str, InstallationPush]):
    """The messages that the account reads, by the ids of the installations."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        shared: SharedByLinks,
        is_fresh: Callable[[str], bool],
    ) -> None:
        """Initialize the links of an account that shows no installation yet.

        Args:
            hass: Home Assistant.
            entry: The config entry, with which the links end.
            shared: What the links have in common.
            is_fresh: Whether the state of a charger is what the cloud holds.

        """
        self._hass = hass
        self._entry = entry
        self._shared = shared
        self._is_fresh = is_fresh
        self._installations: dict[str, InstallationPush] = {}
        self._groups: list[Link] = []
        # The installation of each charger, by the charger's id.
        self._homes: dict[str, str | None] = {}
        self._tasks: dict[Link, asyncio.Task[None]] = {}
        self._is_started = False
        if group_id := entry.options.get(CONF_USER_GROUP):
            channel = Channel(
                group_id,
                f"user group {group_id}",
                partial(shared.client.group_connection_details, group_id),
            )
            self._groups.append(Link(channel, shared, home_of=self._home_of))

    @override
    def __getitem__(self, installation_id: str) -> InstallationPush:
        """Return the messages of an installation."""
        return self._installations[installation_id]

    @override
    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids of the installations."""
        return iter(self._installations)

    @override
    def __len__(self) -> int:
        """Return the number of installations."""
        return len(self._installations)

    @property
    def connections(self) -> Collection[Link]:
        """Return the links of all subscriptions."""
        own = [push.own for push in self._installations.values()]
        return [*own, *self._groups]

    @property
    def groups(self) -> Collection[Link]:
        """Return the links that report several installations each."""
        return self._groups

    def of(self, charger_id: str) -> InstallationPush | None:
        """Return the messages of a charger's installation, None if there are none."""
        return self._installations.get(self._home_of(charger_id) or "")

    def _home_of(self, charger_id: str) -> str | None:
        """Return the installation of a charger, None if it is unknown."""
        return self._homes.get(charger_id)

    def is_live(self, charger_id: str) -> bool:
        """Return whether messages have reported all that happened at a charger."""
        push = self._installations.get(self._homes.get(charger_id) or "")
        return push is not None and push.is_live(charger_id)

    def is_reliable(self, charger_id: str) -> bool:
        """Return whether messages report all that happens at a charger from now on."""
        push = self.of(charger_id)
        return push is not None and push.is_reliable_for(charger_id)

    def is_connecting(self, charger_id: str) -> bool:
        """Return whether the first connection of a charger's link is pending."""
        push = self.of(charger_id)
        return push is not None and push.status is PushStatus.CONNECTING

    @callback
    def compare(self, charger_id: str, observations: Iterable[Observation]) -> None:
        """Note a reading of a charger before it is applied."""
        if push := self.of(charger_id):
            push.compare(charger_id, observations)

    @callback
    def start(self) -> None:
        """Open the links and keep them open, as long as the entry is loaded."""
        self._is_started = True
        self._start_tasks()
        self._entry.async_on_unload(self._close)
        self._entry.async_on_unload(
            async_track_time_interval(
                self._hass,
                self._check,
                timedelta(seconds=CHECK_INTERVAL),
                name=f"{DOMAIN} streams",
            )
        )

    @callback
    def _close(self) -> None:
        """End what the log says of the links, whose tasks end with the entry."""
        for link in self.connections:
            link.close()

    @callback
    def follow(self, account: Account, installation_ids: Collection[str]) -> None:
        """Keep a link for each of these installations, and for no other.

        Args:
            account: What the account shows.
            installation_ids: The installations whose messages the account reads.

        """
        homes = {
            charger.id: charger.installation_id for charger in account.chargers.values()
        }
        moved = {
            charger_id: self._is_fresh(charger_id)
            for charger_id, home in self._homes.items()
            if charger_id in homes and homes[charger_id] != home
        }
        for charger_id in moved.keys() | (self._homes.keys() - homes.keys()):
            if push := self.of(charger_id):
                push.remove(charger_id)
        self._homes = homes
        for installation_id in self._installations.keys() - installation_ids:
            self._remove(installation_id)
        # In the order of the lists: the set-up waits for the first chargers.
        for installation_id in (*account.installations, *installation_ids):
            if (
                installation_id in installation_ids
                and installation_id not in self._installations
            ):
                self._add(installation_id)
        for installation_id, push in self._installations.items():
            push.charger_ids = tuple(
                charger_id
                for charger_id, home in homes.items()
                if home == installation_id
            )
        for charger_id, is_fresh in moved.items():
            if push := self.of(charger_id):
                push.add(charger_id, is_fresh=is_fresh)
        if self._is_started:
            self._start_tasks()

    @callback
    def _add(self, installation_id: str) -> None:
        """Add the messages of an installation, with a link of its own."""
        shared = self._shared
        link = Link(
            Channel(
                installation_id,
                f"installation {installation_id}",
                partial(shared.client.connection_details, installation_id),
            ),
            shared,
        )
        push = InstallationPush(link, shared.reader, shared.listeners)
        for group in self._groups:
            push.add_link(group)
        self._installations[installation_id] = push

    @callback
    def _remove(self, installation_id: str) -> None:
        """Remove the messages of an installation, and end its link."""
        link = self._installations.pop(installation_id).own
        for group in self._groups:
            group.feeds.remove(installation_id)
        link.close()
        if task := self._tasks.pop(link, None):
            task.cancel()

    @callback
    def _start_tasks(self) -> None:
        """Open the links that are new."""
        for link in self.connections:
            if link not in self._tasks:
                self._tasks[link] = self._entry.async_create_background_task(
                    self._hass, link.run(), name=f"{DOMAIN} push {link.channel.id}"
                )

    @callback
    def _check(self, _now: datetime) -> None:
        """Check whether the messages of each link report all that happens."""
        for link in self.connections:
            link.check()
