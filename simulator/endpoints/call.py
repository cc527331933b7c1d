"""A request to an endpoint, and its parameters."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
import json
import math
from typing import Any, Protocol

from aiohttp import web

from ..accounts import Account
from ..archive import Archive
from ..charger import Charger
from ..clock import Clock
from ..documents import Document
from ..faults import not_found, rejection
from ..installation import Installation
from ..telemetry import StoredObservation
from ..user_group import UserGroup

STATE_CACHE_SECONDS = 15.0
_PAGE_SIZE, _LARGEST_PAGE = 50, 100


class Channel(Protocol):
    """Something with a topic of its own: an installation or a user group."""

    bus_key: str
    messaging_enabled: bool

    @property
    def topic(self) -> str:
        """The Service Bus topic, also the name of its key."""


@dataclass(slots=True)
class Cloud:
    """The data that the endpoints serve.

    Attributes:
        clock: The simulated time.
        accounts: By user name.
        installations: By id.
        chargers: By id.
        archive: The completed sessions.
        user_groups: By id.
        connection_details: Returns the address of a topic of the Service Bus.
        states: The last answer for each charger's state, with its time.
    """

    clock: Clock
    accounts: dict[str, Account]
    installations: dict[str, Installation[Charger]]
    chargers: dict[str, Charger]
    archive: Archive[Charger]
    user_groups: dict[str, UserGroup]
    connection_details: Callable[[Channel], Document]
    states: dict[str, tuple[datetime, dict[int, StoredObservation]]] = field(
        default_factory=dict
    )

    def state(self, charger: Charger) -> dict[int, StoredObservation]:
        """Return a charger's state; as the vendor's server does, keep it for some seconds."""
        now = self.clock.now()
        cached = self.states.get(charger.id)
        if cached is None or (now - cached[0]).total_seconds() >= STATE_CACHE_SECONDS:
            cached = (now, dict(charger.observations))
            self.states[charger.id] = cached
        return cached[1]


class Refusal(Exception):
    """An endpoint answers a request with an error."""

    def __init__(self, response: web.Response) -> None:
        """Initialize the refusal."""
        super().__init__(response.status)
        self.response = response


@dataclass(frozen=True, slots=True)
class Call:
    """A request with its account and the ids in its path."""

    cloud: Cloud
    request: web.Request
    account: Account
    ids: tuple[str, ...]

    @property
    def query(self) -> dict[str, str]:
        """The query, its keys in lower case."""
        return {key.lower(): value for key, value in self.request.query.items()}

    async def body(self) -> dict[str, Any]:
        """Return the JSON object of the body, its keys in lower case.

        Raises:
            Refusal: The body is not a JSON object.
        """
        try:
            body = json.loads(await self.request.text() or "{}")
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refusal(rejection(529, "The body is not a JSON object", status=400))
        return {key.lower(): value for key, value in body.items()}

    def visible_installations(self) -> list[Installation[Charger]]:
        """Return the installations in which the account has a role."""
        return [
            item
            for item in self.cloud.installations.values()
            if self.account.role(item.id)
        ]

    def installation(self) -> Installation[Charger]:
        """Return the installation of the path.

        Raises:
            Refusal: It does not exist, or the account has no role in it.
        """
        item = self.cloud.installations.get(self.ids[0])
        if item is None or not self.account.role(item.id):
            raise Refusal(rejection(512, "Unknown object"))
        return item

    def managed_installation(self) -> Installation[Charger]:
        """Return the installation of the path.

        Raises:
            Refusal: It does not exist, or the account may not change it.
        """
        item = self.installation()
        if not self.account.manages(item.id):
            raise Refusal(web.Response(status=403))
        return item

    def charger(self, *, manages: bool) -> Charger:
        """Return the charger of the path.

        Args:
            manages: Whether the account needs a role that may change it.

        Raises:
            Refusal: It does not exist, or the account lacks the role.
        """
        charger = self.cloud.chargers.get(self.ids[0])
        if charger is None:
            raise Refusal(not_found("Charger not found."))
        installation_id = charger.installation.id
        if not self.account.role(installation_id) or (
            manages and not self.account.manages(installation_id)
        ):
            raise Refusal(web.Response(status=403))
        return charger


def page(items: list[Document], query: dict[str, str]) -> web.Response:
    """Return the page of a list that the query asks for."""
    size = integer(query, "pagesize", _PAGE_SIZE, 1, _LARGEST_PAGE)
    index = integer(query, "pageindex", 0, 0, 1_000_000)
    return web.json_response(
        {
            "Pages": math.ceil(len(items) / size),
            "Data": items[index * size : (index + 1) * size],
        }
    )


def invalid(details: str) -> Refusal:
    """Return the refusal of a value."""
    return Refusal(rejection(529, f"Invalid value: {details}", status=400))


def integer(
    query: dict[str, str], key: str, default: int, lowest: int, highest: int
) -> int:
    """Return a whole number of the query, at most `highest`.

    Raises:
        Refusal: It is not a whole number, or below `lowest`.
    """
    try:
        value = int(query.get(key, default))
    except ValueError:
        raise invalid(key) from None
    if value < lowest:
        raise invalid(key)
    return min(value, highest)


def number(body: dict[str, Any], key: str, lowest: float, highest: float) -> float:
    """Return a number of the body.

    Raises:
        Refusal: It is not a number, or out of range.
    """
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(key)
    if not lowest <= value <= highest:
        raise invalid(f"{key} must be between {lowest:g} and {highest:g}")
    return float(value)


def parse_time(text: str | None) -> datetime | None:
    """Return a time of the query, None if omitted; without a zone it is UTC.

    Raises:
        Refusal: It is not a time.
    """
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise invalid("time") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
