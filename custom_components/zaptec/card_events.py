"""Decides which cards were presented at a charger.

Like `session_events.py`, a state machine without side effects compares the state of the
charger with its previous state. The first update only sets the state to compare with.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from .api import StateId, Value, parse_uuid
from .charging_status import status_changes_at
from .codes import APP_PREFIX
from .control.car import has_car
from .state import SAME_OBSERVATION, ChargerState

# Delay before a repeated report of a card counts as a card that is presented again. Within
# this time, a charger that has restarted and repeats its values also reports the restart.
AGAIN_TIME = timedelta(seconds=2)

# Maximum time that a charger takes to repeat all its values after a reconnect or restart.
RESTART_TIME = timedelta(minutes=1)

# The StateIds that a charger reports only after a reconnect or a restart.
_RESTARTED = (
    StateId.IS_ONLINE,
    StateId.MCU_RESET_SOURCE,
    StateId.SOFTWARE_VERSION,
)


class CardEventType(StrEnum):
    """What can happen when a card is presented."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NEW = "new"


class CardEvent(NamedTuple):
    """A card that was presented, with its code."""

    type: CardEventType
    code: str


class _Card(NamedTuple):
    """The card in a state, and when it was presented, by the charger's clock."""

    code: str
    at: datetime


class CardEvents:
    """Decides which cards were presented at a charger.

    StateId 722 contains the card that has authorized the session, 725 a card that was
    refused, and 750 a new card. If a card is presented again, the charger reports the same
    code with a newer time. A charger that restarts does the same with all its values.
    """

    def __init__(self) -> None:
        """Initialize without a previous state."""
        # When to update although the charger reports nothing, None for never.
        self.due: datetime | None = None
        self._seen: dict[CardEventType, _Card | None] = {}
        # When it will be known whether a card was presented again, by type.
        self._unsure: dict[CardEventType, datetime] = {}

    def skip(self) -> None:
        """Fire no event for what is reported until the next update.

        A card that was presented during an outage is no longer news.
        """
        self._seen.clear()
        self._unsure.clear()

    def update(self, state: ChargerState, now: datetime) -> list[CardEvent]:
        """Return which cards were presented since the previous update.

        Args:
            state: The state of the charger.
            now: The present time.

        """
        self.due = None
        if state.is_offline:
            self.due = status_changes_at(state, now)
            self.skip()
            return []
        if has_car(state) is None:
            return []
        found = [
            CardEvent(event_type, card.code)
            for event_type, card in _held_cards(state).items()
            if self._is_presented(event_type, card, state, now) and card
        ]
        self.due = min(self._unsure.values(), default=None)
        return found

    def _is_presented(
        self,
        event_type: CardEventType,
        card: _Card | None,
        state: ChargerState,
        now: datetime,
    ) -> bool:
        """Return whether the card was presented since the previous update."""
        if event_type not in self._seen:
            self._seen[event_type] = card
            return False
        is_presented = card is not None
        seen = self._seen[event_type]
        if card and seen and card.code == seen.code:
            if abs(card.at - seen.at) <= SAME_OBSERVATION:
                return False
            is_presented = not _has_restarted(state, card.at)
            if is_presented and now < self._unsure.setdefault(
                event_type, now + AGAIN_TIME
            ):
                return False
        self._unsure.pop(event_type, None)
        self._seen[event_type] = card
        return is_presented


def _held_cards(state: ChargerState) -> dict[CardEventType, _Card | None]:
    """Return the cards in a state.

    The id of a user is left out, because it does not show whether a card was used.
    """
    user_id = StateId.CHARGER_CURRENT_USER_UUID
    user = state.of_the_car(user_id)
    rejected_id, new_id = StateId.REJECTED_USER_UUID, StateId.NEW_CHARGE_CARD
    return {
        CardEventType.ACCEPTED: (
            None if parse_uuid(user) else _card(state, user_id, user)
        ),
        CardEventType.REJECTED: _card(state, rejected_id, state.value(rejected_id)),
        CardEventType.NEW: _card(state, new_id, state.value(new_id)),
    }


def _card(state: ChargerState, state_id: StateId, value: Value | None) -> _Card | None:
    """Return the card whose code is the value of a StateId, None if it is no card."""
    at = state.reported_at(state_id)
    if at is None or not isinstance(value, str) or value.startswith(APP_PREFIX):
        return None
    return _Card(value, at)


def _has_restarted(state: ChargerState, at: datetime) -> bool:
    """Return whether a charger restarted shortly before this time, or after it."""
    moments = map(state.reported_at, _RESTARTED)
    return any(moment and at - moment <= RESTART_TIME for moment in moments)
