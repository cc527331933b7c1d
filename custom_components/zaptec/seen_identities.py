"""Which users and cards have charged lately, for the user to choose from.

Their names and the last characters of codes are shown in the form only. What is stored of
the choice are keyed hashes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeassistant.core import HomeAssistant
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util

from .api import CompletedSession, Priority, Session, StateId, ZaptecError, time_limit
from .codes import APP_PREFIX, end_of
from .const import DOMAIN, LOGGER
from .history.records import EARLIEST
from .persons import Identity, Persons
from .runtime import ZaptecRuntime
from .state import ChargerState
from .texts import text

# Spans before the present in which users and cards are looked for, one after another until
# there are enough sessions.
SPANS = (timedelta(days=7), timedelta(days=30), timedelta(days=90))
SESSIONS_MAX = 500


@dataclass(slots=True)
class SeenIdentity:
    """A user, a card or an app, and when it was used last."""

    hashes: frozenset[int]
    last_used: datetime
    user: str = ""
    """The name of a user, or the end of the id."""
    card: str = ""
    """The name of a card."""
    code: str = ""
    """The end of the code of a card or of an app."""
    is_app: bool = False
    is_refused: bool = False
    """Whether a web hook has the card from someone who is not known."""

    @property
    def value(self) -> str:
        """Return the value of the choice in a form."""
        return as_value(self.hashes)

    def label(self, hass: HomeAssistant) -> str:
        """Return what the form shows."""
        placeholders = {
            "user": self.user,
            "card": self.card,
            "code": self.code,
            "date": f"{dt_util.as_local(self.last_used):%Y-%m-%d}",
        }
        if self.user:
            key = "seen_user"
        elif self.is_app:
            key = "seen_app"
        elif self.is_refused:
            key = "seen_refused_card" if self.code else "seen_refused_card_since"
        elif self.card and self.code:
            key = "seen_named_card"
        else:
            key = "seen_card_name" if self.card else "seen_card"
        return text(hass, key, **placeholders)


class SeenIdentities:
    """The users and cards that have charged lately."""

    def __init__(self, key: str) -> None:
        """Initialize without a user or card.

        Args:
            key: The key of the hashes of the account.

        """
        self._persons = Persons(key, {})
        self._seen: dict[int, SeenIdentity] = {}
        # The codes by session, so that a card is shown once with its name and its code.
        self._cards: dict[str, int] = {}

    def add_archived(self, session: Session) -> None:
        """Add who has charged in a session of the archive."""
        if session.end is None or not session.counts:
            return
        identity = self._persons.identify(session)
        if identity.card:
            self._cards[session.id] = identity.card
            self._add(identity.card, session.end, card=session.token_name or "")
        if identity.user:
            user = session.user_name or _shown(session.user_id or "")
            self._add(identity.user, session.end, user=user)

    def add_state(self, state: ChargerState) -> None:
        """Add who charges now, and who has charged in the session that ended last.

        Sessions of the archive have to be added before.
        """
        completed = state.value(StateId.COMPLETED_SESSION)
        if isinstance(completed, CompletedSession):
            end = completed.end
            if end is None or end < EARLIEST:
                # The charger's clock was not set.
                end = state.timestamp(StateId.COMPLETED_SESSION)
            self._add_code(completed.authentication_code, end, completed.session_id)
        running = state.value(StateId.CHARGER_CURRENT_USER_UUID)
        session_id = state.value(StateId.SESSION_IDENTIFIER)
        if isinstance(running, str):
            self._add_code(
                running,
                state.timestamp(StateId.CHARGER_CURRENT_USER_UUID),
                session_id if isinstance(session_id, str) else None,
            )

    def add_card(self, card: int, at: datetime, code: str) -> None:
        """Add a card that was shown at a charger, where a web hook asks who may charge.

        Args:
            card: The hash of its code.
            at: When it was shown.
            code: The last characters of its code, if they are known.

        """
        is_new = card not in self._seen
        self._add(card, at, code=code)
        if is_new:
            self._seen[card].is_refused = True

    def _add_code(
        self, code: str | None, at: datetime | None, session_id: str | None
    ) -> None:
        """Add what a charger has reported of who has charged."""
        identity: Identity = self._persons.identify_code(code)
        if code is None or at is None:
            return
        if identity.user:
            self._add(identity.user, at, user=_shown(code))
        elif identity.code:
            self._add(
                identity.code,
                at,
                code=_shown(code),
                is_app=code.startswith(APP_PREFIX),
            )
            self._join(identity.code, self._cards.get(session_id or ""))

    def _add(
        self,
        key: int,
        at: datetime,
        *,
        user: str = "",
        card: str = "",
        code: str = "",
        is_app: bool = False,
    ) -> None:
        """Add a user or a card, or note that it was used again."""
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = SeenIdentity(
                frozenset({key}), at, user, card, code, is_app
            )
        else:
            seen.last_used = max(seen.last_used, at)

    def _join(self, code: int, card: int | None) -> None:
        """Note that a code and the name of a card are those of the same card."""
        one, other = self._seen.get(card or 0), self._seen[code]
        if one is None or one is other:
            return
        joined = SeenIdentity(
            one.hashes | other.hashes,
            max(one.last_used, other.last_used),
            card=one.card,
            code=other.code,
        )
        for item in joined.hashes:
            self._seen[item] = joined

    def listed(self, taken: Iterable[int] = ()) -> list[SeenIdentity]:
        """Return the users and cards, the one that was used last first.

        Args:
            taken: Hashes of users and cards that are left out.

        """
        left_out = set(taken)
        found = {
            id(item): item for item in self._seen.values() if not item.hashes & left_out
        }
        return sorted(found.values(), key=lambda item: item.last_used, reverse=True)


async def async_see(
    hass: HomeAssistant, runtime: ZaptecRuntime, key: str
) -> SeenIdentities:
    """Return who has charged lately, as far as the archive and the chargers show it."""
    # For the labels.
    await async_get_translations(hass, hass.config.language, "common", [DOMAIN])
    seen = SeenIdentities(key)
    with time_limit():
        for installation_id in runtime.coordinator.data.installations:
            try:
                await _async_add_archive(runtime, installation_id, seen)
            except ZaptecError as err:
                LOGGER.debug("An archive cannot be read for the persons: %s", err)
    for state in runtime.states.values():
        seen.add_state(state)
    for card, item in runtime.access.cards.cards.items():
        seen.add_card(card, item.last_used, item.ending)
    return seen


async def _async_add_archive(
    runtime: ZaptecRuntime, installation_id: str, seen: SeenIdentities
) -> None:
    """Add who has charged lately in an installation, the newest first.

    Raises:
        ZaptecError: The archive cannot be read, or the account may not read it.

    """
    now = end = dt_util.utcnow()
    count = 0
    for span in SPANS:
        start = now - span
        async for session in runtime.client.archived_sessions(
            installation_id=installation_id,
            start=start,
            end=end,
            priority=Priority.FIRST_STATE,
        ):
            seen.add_archived(session)
            count += 1
        if count >= SESSIONS_MAX:
            return
        end = start


def as_value(hashes: Iterable[int]) -> str:
    """Return hashes as the value of a choice in a form."""
    return "-".join(f"{item:x}" for item in sorted(hashes))


def from_value(value: str) -> frozenset[int]:
    """Return the hashes of the value of a choice in a form."""
    return frozenset(int(item, 16) for item in value.split("-"))


def _shown(code: str) -> str:
    """Return the last characters of a code, or that it is too short to show them."""
    return end_of(code) or "…"
