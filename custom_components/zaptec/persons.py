"""Persons: whose charging sessions the user wants to see together.

The user chooses by which Zaptec users and cards each person is recognized. Neither their ids
and names nor the codes of cards are stored, but keyed hashes of them, which are enough to
recognize them again. Each entry has a key of its own, which is created with its first
person, or with the first card that is shown where webhooks ask who may charge. Without
either, nothing of who has charged is noted.
"""

from collections.abc import Iterable, Mapping
import hmac
import secrets
from typing import Any, Final, NamedTuple, Self

from homeassistant.config_entries import ConfigEntry

from .api import CompletedSession, Session, parse_uuid
from .codes import CARD_PREFIX, CODE_PREFIXES
from .const import CONF_CHARGERS

SUBENTRY_PERSON: Final = "person"

# What the data of the subentry of each person contains: the hashes of users and cards.
CONF_HASHES: Final = "hashes"

# What the data of an entry contains once it has persons: the key of the hashes.
CONF_PERSON_KEY: Final = "person_key"

# Size of a key (bytes) and of a hash (bits). JSON keeps whole numbers of this size.
KEY_SIZE = 32
_HASH_BITS = 52


class Identity(NamedTuple):
    """Who has charged in a session, as keyed hashes; 0 for what is not known.

    The charger reports the code of a card, and the archive has the name of the card.
    """

    code: int = 0
    card: int = 0
    user: int = 0
    permitted: int = 0
    """The person whom Home Assistant has permitted it to, or else the card."""


# The identity of a session of which it is not known who has charged.
ANONYMOUS = Identity()


class Persons:
    """The persons of an account, by the ids of their subentries; it never changes."""

    def __init__(
        self,
        key: str | None,
        persons: Mapping[str, tuple[str, Iterable[int]]],
        chargers: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """Initialize the persons.

        Args:
            key: The key of the hashes, None if there has been no person yet.
            persons: The name of each person, and the hashes of users and cards.
            chargers: The chargers at which a person may charge; all if there are none.

        """
        self._key = bytes.fromhex(key) if key else None
        self.names = {person_id: name for person_id, (name, _) in persons.items()}
        self.hashes = {
            person_id: frozenset(hashes) for person_id, (_, hashes) in persons.items()
        }
        self._chargers = {
            person_id: frozenset(ids) for person_id, ids in (chargers or {}).items()
        }
        self._persons = {
            item: person_id
            for person_id, hashes in reversed(self.hashes.items())
            for item in hashes
        } | {self._hash("person", person_id): person_id for person_id in self.names}
        self._persons.pop(0, None)

    @classmethod
    def of(cls, entry: ConfigEntry[Any], *, is_keyed: bool = False) -> Self:
        """Return the persons of an account.

        Args:
            entry: The entry of the account.
            is_keyed: Whether unknown cards get hashes even while there are no persons.

        """
        subentries = [
            subentry
            for subentry in entry.subentries.values()
            if subentry.subentry_type == SUBENTRY_PERSON
        ]
        return cls(
            entry.data.get(CONF_PERSON_KEY) if subentries or is_keyed else None,
            {
                item.subentry_id: (item.title, item.data[CONF_HASHES])
                for item in subentries
            },
            {item.subentry_id: item.data.get(CONF_CHARGERS, ()) for item in subentries},
        )

    def identify(self, session: Session | CompletedSession) -> Identity:
        """Return who has charged in a session of the archive or of a charger."""
        if isinstance(session, CompletedSession):
            return self.identify_code(session.authentication_code)
        user = session.user_id and session.user_id.lower()
        return Identity(
            # Cards of different users may have the same name.
            card=self._hash("card", user or "", session.token_name),
            user=self._hash("user", user),
        )

    def identify_code(self, code: str | None) -> Identity:
        """Return who has charged, from what a charger reports (StateIds 722 and 723).

        That is the code of a card, or of the app, or the id of a user.
        """
        if user_id := parse_uuid(code):
            return Identity(user=self._hash("user", user_id))
        return Identity(code=self._hash("code", code and code.strip().lower()))

    def person_of(self, identity: Identity) -> str | None:
        """Return the person with an identity, None if it belongs to none of them.

        A card that was chosen for one person is that person's, although its Zaptec user
        may be another person. A session that was permitted to a person is that person's,
        whatever card was shown.
        """
        for item in (identity.permitted, *identity):
            if person_id := self._persons.get(item):
                return person_id
        return None

    def card_of(self, token: str) -> int:
        """Return the keyed hash of the code of a card, 0 if there is no key.

        A charger reports the code with a prefix. It is not documented whether a web hook
        gets the prefix, too, so a code without one is taken as that of a card.
        """
        code = token.strip().lower()
        if code and not code.startswith(CODE_PREFIXES) and not parse_uuid(code):
            code = f"{CARD_PREFIX}{code}"
        return max(self.identify_code(code))

    def person_of_token(self, token: str) -> str | None:
        """Return the person with a card, None if it belongs to none of them."""
        for card in (self.card_of(token), max(self.identify_code(token))):
            if person_id := self._persons.get(card):
                return person_id
        return None

    def permitted(self, card: int, person_id: str | None) -> Identity:
        """Return the identity of a session that Home Assistant has permitted.

        It is kept apart from the code that the charger reports: that may be the code of the
        same card in another form, and would otherwise replace the one known here.

        Args:
            card: The hash of the card that was shown, 0 if none was.
            person_id: The person whom it was permitted to, None if that is unknown.

        """
        return Identity(permitted=self._hash("person", person_id) or card)

    def may_charge(self, person_id: str, charger_id: str) -> bool:
        """Return whether a person is known and may charge at a charger."""
        chargers = self._chargers.get(person_id)
        return person_id in self.names and (not chargers or charger_id in chargers)

    def _hash(self, kind: str, *words: str | None) -> int:
        """Return the hash of some words, 0 if the last one is missing or there is no key."""
        if self._key is None or not words[-1]:
            return 0
        text = "\0".join((kind, *map(str, words))).encode()
        digest = int.from_bytes(hmac.digest(self._key, text, "sha256")[:8])
        return (digest >> (64 - _HASH_BITS)) or 1


def new_key() -> str:
    """Return a new key for the hashes of an account."""
    return secrets.token_hex(KEY_SIZE)
