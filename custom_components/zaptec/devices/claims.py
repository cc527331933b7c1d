"""Rules for which account shows a device that several accounts see."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one account sees, shows and has shown; all ids are Zaptec's own."""

    entry_id: str
    created_at: datetime
    """When its config entry was created."""
    chosen: frozenset[str] | None = None
    """The chargers that its options include; None for all."""
    read_at: float | None = None
    """When its lists were last read (monotonic seconds); None while they are unknown."""
    listed: frozenset[str] = frozenset()
    """The devices in its lists that its options include."""
    homes: Mapping[str, str | None] = field(default_factory=dict)
    """The installation of each charger in its lists, or that it shows."""
    shown: frozenset[str] = frozenset()
    """The devices that it shows at the moment."""
    held: frozenset[str] = frozenset()
    """The devices of its config entry in the device registry."""
    recorded: frozenset[str] = frozenset()
    """The devices that have entities of its config entry in the entity registry."""

    def includes(self, device_id: str, homes: Mapping[str, str | None]) -> bool:
        """Return whether its options include a charger, or one of an installation."""
        if self.chosen is None or device_id in self.chosen:
            return True
        if device_id in homes:
            return False
        chargers = {item for item, home in homes.items() if home == device_id}
        return not chargers or not chargers.isdisjoint(self.chosen)


def owners(claims: Collection[Claim]) -> dict[str, str]:
    """Return which account shows each device, as the entry id by the device's id.

    The result depends on the claims alone. The order in which the accounts start, reload
    or read their lists does not matter:

    1. An account can show a device that it shows already, or that its lists hold and its
       options include. For an account that is not running (because it starts or reloads,
       the cloud fails, or its password is rejected), the device registry decides what it
       can show, so that a temporary failure moves no device. A disabled or removed account
       has no claim.
    2. Of the accounts that can show an installation, the one that shows it already keeps
       it. Otherwise it goes to the account that has entities of it, then to the one that
       has its device, then to the one that was set up first.
    3. A charger goes with its installation, because an installation has only one
       subscription to its messages. Rule 2 applies to the charger itself only if that
       account does not see the charger, or its options exclude it. A running account
       whose lists are older than those that contain a new charger has to read them first.

    Args:
        claims: Those of all accounts that are enabled or still running.

    """
    homes: dict[str, str | None] = {}
    for claim in sorted(claims, key=lambda claim: claim.read_at or 0.0):
        homes.update(claim.homes)
    installations = {home for home in homes.values() if home}.union(
        *(claim.listed - homes.keys() for claim in claims)
    )
    found: dict[str, Claim] = {}
    for installation_id in installations:
        if best := _best(claims, installation_id, homes):
            found[installation_id] = best
    for charger_id, home in homes.items():
        host = found.get(home or "")
        if owner := _owner_of_charger(claims, charger_id, host, homes):
            found[charger_id] = owner
    # An installation that no account sees by itself still has a subscription.
    for installation_id in installations - found.keys():
        accounts = [
            found[charger_id]
            for charger_id, home in homes.items()
            if home == installation_id and charger_id in found
        ]
        if accounts:
            found[installation_id] = min(accounts, key=_age)
    return {device_id: claim.entry_id for device_id, claim in found.items()}


def _owner_of_charger(
    claims: Collection[Claim],
    charger_id: str,
    host: Claim | None,
    homes: Mapping[str, str | None],
) -> Claim | None:
    """Return which account shows a charger whose installation `host` shows."""
    if host and _can_show(host, charger_id, homes):
        return host
    if (
        host
        and _is_outdated(host, charger_id, claims)
        and host.includes(charger_id, homes)
    ):
        shown = [claim for claim in claims if charger_id in claim.shown]
        # An account that is running reads its lists soon. One that is not running may
        # never do so, and must not withhold the charger from an account that sees it.
        is_waited_for = host.read_at is not None and not any(
            charger_id in claim.held for claim in claims
        )
        if shown or is_waited_for:
            return min(shown, key=_age, default=host)
    return _best(claims, charger_id, homes)


def _is_outdated(claim: Claim, device_id: str, claims: Collection[Claim]) -> bool:
    """Return whether another account has newer lists that hold a device."""
    return claim.read_at is None or any(
        other.read_at is not None
        and other.read_at > claim.read_at
        and device_id in other.listed
        for other in claims
    )


def outdated_hosts(own: Claim, others: Collection[Claim]) -> set[str]:
    """Return the entry ids of the other accounts whose lists have to be read.

    They show the installation of a charger that only the newer lists of `own` hold, and
    so show the charger, if they see it.
    """
    claims = [own, *others]
    by_device = owners(claims)
    return {
        other.entry_id
        for charger_id, home in own.homes.items()
        for other in others
        if by_device.get(home or "") == other.entry_id
        and other.read_at is not None
        and charger_id not in other.listed
        and other.includes(charger_id, own.homes)
        and _is_outdated(other, charger_id, claims)
    }


def _can_show(claim: Claim, device_id: str, homes: Mapping[str, str | None]) -> bool:
    """Return whether an account sees a device and includes it (rule 1)."""
    if device_id in claim.shown:
        return True
    if claim.read_at is not None:
        return device_id in claim.listed
    return device_id in claim.held and claim.includes(device_id, homes)


def _best(
    claims: Collection[Claim], device_id: str, homes: Mapping[str, str | None]
) -> Claim | None:
    """Return which of the accounts that can show a device shows it (rule 2)."""
    return min(
        (claim for claim in claims if _can_show(claim, device_id, homes)),
        key=lambda claim: (
            device_id not in claim.shown,
            device_id not in claim.recorded,
            device_id not in claim.held,
            *_age(claim),
        ),
        default=None,
    )


def _age(claim: Claim) -> tuple[datetime, str]:
    """Return the sort key that puts the account first that was set up first."""
    return (claim.created_at, claim.entry_id)
