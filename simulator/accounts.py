"""Accounts, and what they may do in which installation."""

from dataclasses import dataclass, field
from enum import IntFlag


class UserRole(IntFlag):
    """Roles of an account in an installation, as in GET /api/constants."""

    NONE = 0
    USER = 1
    OWNER = 2
    MAINTAINER = 4


@dataclass(frozen=True, slots=True)
class Card:
    """An RFID card of a user: the name that the user has given it, and its secret code."""

    name: str
    code: str = field(repr=False)

    @property
    def identity(self) -> str:
        """What a charger reports when the card authorizes a session."""
        return f"nfc-{self.code}"


@dataclass(slots=True)
class Account:
    """A user's account, with its roles by installation id."""

    user_name: str
    password: str = field(repr=False)
    id: str
    full_name: str
    roles: dict[str, UserRole] = field(default_factory=dict)
    cards: tuple[Card, ...] = ()

    def role(self, installation_id: str) -> UserRole:
        """Return the account's roles in an installation."""
        return self.roles.get(installation_id, UserRole.NONE)

    def manages(self, installation_id: str) -> bool:
        """Whether it may change settings: owner or service (maintainer)."""
        return bool(self.role(installation_id) & (UserRole.OWNER | UserRole.MAINTAINER))
