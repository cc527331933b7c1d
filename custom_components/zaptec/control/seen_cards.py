"""Cards that belonged to no person when they were shown, for the user to choose from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ..codes import end_of
from ..persons import Persons

# Maximum number of cards that are kept to choose from.
CARDS_MAX: Final = 50

# Time for which a card is kept to choose from.
KEPT_FOR: Final = timedelta(days=90)


@dataclass(slots=True)
class SeenCard:
    """A card that belonged to no person when it was shown."""

    last_used: datetime
    ending: str = ""
    """The last characters of its code; they are not stored."""


class SeenCards:
    """The cards of unknown persons that were shown, by their keyed hashes."""

    def __init__(self) -> None:
        """Initialize without a card."""
        self.cards: dict[int, SeenCard] = {}

    def note(self, persons: Persons, token: str, now: datetime) -> None:
        """Note a card that was shown, unless it belongs to a person."""
        card = persons.card_of(token)
        # The newest is the last one.
        self.cards.pop(card, None)
        if card and not persons.person_of_token(token):
            self.cards[card] = SeenCard(now, end_of(token.strip()))
        self.cards = {
            key: item
            for key, item in list(self.cards.items())[-CARDS_MAX:]
            if now - item.last_used < KEPT_FOR
        }

    def as_dict(self) -> dict[str, str]:
        """Return what has to survive a restart, as JSON can store it."""
        return {
            str(card): item.last_used.isoformat() for card, item in self.cards.items()
        }

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Restore what `as_dict` has returned before a restart."""
        self.cards = {
            int(card): SeenCard(datetime.fromisoformat(at))
            for card, at in stored.items()
        }
