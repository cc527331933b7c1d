"""The choice of the devices that an account shows among those that it sees."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.util.hass_dict import HassKey

from ..api import Account
from ..const import CONF_CHARGERS, DOMAIN, LOGGER
from .adoption import async_held_ids, async_recorded_ids, async_remove_entities
from .claims import Claim, outdated_hosts, owners
from .missing import MissingDevices

# The accounts that are loaded or being set up, by entry id.
_RUNNING: HassKey[dict[str, Ownership]] = HassKey(f"{DOMAIN}_running")


class Ownership:
    """Which devices an account shows, where several accounts see the same ones.

    An account shows the devices of its lists that its options include and that no other
    account shows (see `owners`), and keeps those that have not been missing for long.
    """

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry, missing: MissingDevices
    ) -> None:
        """Initialize the ownership."""
        self.entry_id = entry.entry_id
        self._hass = hass
        self._entry = entry
        self._missing = missing
        self._account: Callable[[], Account] = Account
        self._show: Callable[[Account], None] = lambda _: None
        self.discover: Callable[[], None] = lambda: None
        # All that the lists hold, and when they were requested (monotonic seconds).
        self.visible = Account()
        self._read_at: float | None = None
        # The ids of the devices that other accounts show.
        self.elsewhere: set[str] = set()
        # The ids of the devices that another account is about to show, while this one
        # still has entities of them.
        self._leaving: set[str] = set()
        self._shown_before: set[str] = set()
        self._has_reported = False

    @callback
    def start(
        self,
        *,
        account: Callable[[], Account],
        show: Callable[[Account], None],
        discover: Callable[[], None],
    ) -> None:
        """Take part in the distribution of devices until the entry is unloaded.

        Args:
            account: Returns what the account shows at the moment.
            show: Makes the account show other devices, without reading its lists.
            discover: Reads the lists of the account soon.

        """
        self._account = account
        self._show = show
        self.discover = discover
        running = self._hass.data.setdefault(_RUNNING, {})
        running[self.entry_id] = self
        self._entry.async_on_unload(self._stop)

    @callback
    def _stop(self) -> None:
        """Leave the devices to other accounts."""
        del self._hass.data[_RUNNING][self.entry_id]

    @property
    def chosen(self) -> Account:
        """Return what the lists hold of the chargers that the options include."""
        chosen = self._entry.options.get(CONF_CHARGERS)
        return self.visible if chosen is None else self.visible.only(chosen)

    @property
    def claim(self) -> Claim:
        """Return what this account sees, shows and has shown."""
        account = self._account()
        return replace(
            _registry_claim(self._hass, self._entry),
            read_at=self._read_at,
            listed=frozenset(self.chosen.device_ids),
            homes={
                charger.id: charger.installation_id
                for charger in (
                    *account.chargers.values(),
                    *self.visible.chargers.values(),
                )
            },
            shown=frozenset(
                device_id
                for device_id in account.device_ids
                if not self._missing.is_gone(device_id)
            ),
        )

    @property
    def occupied_ids(self) -> set[str]:
        """Return the ids of the devices that this account may have entities of."""
        return self._account().device_ids | self._leaving

    def linked_ids(self, account: Account) -> set[str]:
        """Return the installations whose messages the account reads.

        An installation has one subscription: where another account reads it, the
        chargers that only this account shows are polled.
        """
        return account.installation_ids - self.elsewhere

    @callback
    def select(self, visible: Account, read_at: float) -> Account:
        """Return what the account shows of its new lists.

        Args:
            visible: All that the lists hold.
            read_at: When they were requested (monotonic seconds).

        """
        self.visible = visible
        self._read_at = read_at
        return self._select(self.chosen)

    @callback
    def reconsider(self) -> None:
        """Show what the account has to show by now, without reading its lists."""
        if self._read_at is None:
            return
        shown = self._account()
        linked_ids = self.linked_ids(shown)
        found = self.chosen
        # What the account shows may have been read since its lists were.
        account = self._select(found | shown.subset(found.device_ids))
        if account != shown or self.linked_ids(account) != linked_ids:
            self._show(account)

    def _select(self, found: Account) -> Account:
        """Return what was found and no other account shows, with what is kept."""
        return self._missing.keep(
            self._unclaimed(found), self._account(), self.elsewhere
        )

    def _unclaimed(self, found: Account) -> Account:
        """Return what was found, without what other accounts show (see `owners`).

        What another account is still removing its entities of has to wait, because a
        unique id can have only one entity at a time.
        """
        others = async_other_claims(self._hass, self._entry)
        by_device = owners([self.claim, *others]) if others else {}
        self.elsewhere = {
            device_id
            for device_id, owner in by_device.items()
            if owner != self.entry_id
        }
        hidden = self.elsewhere.union(
            *(other.occupied_ids for other in _running(self._hass) if other is not self)
        )
        unclaimed = found.subset(found.device_ids - hidden)
        if unclaimed != found and not self._has_reported:
            self._has_reported = True
            LOGGER.info(
                "Another Zaptec account shows %d of the %d chargers of this one",
                len(found.chargers) - len(unclaimed.chargers),
                len(found.chargers),
            )
        return unclaimed

    @callback
    def follow(self, account: Account) -> None:
        """Leave what another account shows from now on to it, and notify all accounts."""
        shown = account.device_ids
        if leaving := (self._shown_before - shown) & self.elsewhere:
            self._let_go(leaving)
        self._shown_before = shown
        self._hass.loop.call_soon(async_reconsider, self._hass)

    @callback
    def _let_go(self, device_ids: set[str]) -> None:
        """Remove the entities of devices, so that the other account can add its own."""
        self._leaving |= device_ids

        async def remove() -> None:
            # The listeners of this account add no entities once they have run.
            await asyncio.sleep(0)
            await async_remove_entities(self._hass, self.entry_id, device_ids)
            self._leaving -= device_ids
            async_reconsider(self._hass)

        self._entry.async_create_background_task(
            self._hass, remove(), name=f"{DOMAIN} release"
        )

    @callback
    def ask_outdated(self) -> None:
        """Have other accounts look for chargers that only the new lists hold yet.

        They show the installation of such a charger, and so the charger, if they see
        it.
        """
        if not (others := async_other_claims(self._hass, self._entry)):
            return
        hosts = outdated_hosts(self.claim, others)
        for other in _running(self._hass):
            if other.entry_id in hosts:
                other.discover()


@callback
def _running(hass: HomeAssistant) -> list[Ownership]:
    """Return the accounts that are loaded or being set up, in the order of entries."""
    running = hass.data.get(_RUNNING, {})
    return [
        running[entry.entry_id]
        for entry in hass.config_entries.async_entries(DOMAIN)
        if entry.entry_id in running
    ]


@callback
def _registry_claim(hass: HomeAssistant, entry: ConfigEntry) -> Claim:
    """Return the claim of an account that is not running, from the registries."""
    chosen = entry.options.get(CONF_CHARGERS)
    return Claim(
        entry_id=entry.entry_id,
        created_at=entry.created_at,
        chosen=None if chosen is None else frozenset(chosen),
        held=async_held_ids(hass, entry.entry_id),
        recorded=async_recorded_ids(hass, entry.entry_id),
    )


@callback
def async_other_claims(
    hass: HomeAssistant, entry: ConfigEntry | None = None
) -> list[Claim]:
    """Return the claims of all accounts but one."""
    running = hass.data.get(_RUNNING, {})
    return [
        running[other.entry_id].claim
        if other.entry_id in running
        else _registry_claim(hass, other)
        for other in hass.config_entries.async_entries(DOMAIN)
        if other is not entry and (other.entry_id in running or not other.disabled_by)
    ]


@callback
def async_reconsider(hass: HomeAssistant) -> None:
    """Have each account show what it has to show by now."""
    for ownership in _running(hass):
        ownership.reconsider()
