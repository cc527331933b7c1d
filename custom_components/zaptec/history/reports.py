"""What chargers report of their sessions: who charges, and which session has ended."""

from collections.abc import Callable

from homeassistant.core import CALLBACK_TYPE, callback

from ..api import CompletedSession, Observation, StateId, Value, parse_uuid
from ..persons import ANONYMOUS, Identity
from ..state import ChargerState, States
from .awaited import AwaitedSessions
from .book import Book
from .records import key_of

# What a charger reports of the session that runs, and when it ends.
_FOLLOWED = (
    StateId.CHARGER_CURRENT_USER_UUID,
    StateId.SESSION_IDENTIFIER,
    StateId.COMPLETED_SESSION,
)


class Reports:
    """Follows the chargers of an account, and adds the sessions that they report."""

    def __init__(
        self,
        states: States,
        book: Book,
        awaited: AwaitedSessions,
        *,
        on_ended: Callable[[], None],
    ) -> None:
        """Initialize the reports, which follow no charger yet.

        Args:
            states: The states of the chargers.
            book: The ledgers, to which sessions are added.
            awaited: Looks for the sessions in the archive.
            on_ended: Called when a session has ended.

        """
        self._states = states
        self._book = book
        self._awaited = awaited
        self._on_ended = on_ended
        self._followed: dict[str, tuple[ChargerState, CALLBACK_TYPE]] = {}
        self._running: dict[str, str] = {}
        # Who charges in the session that runs, as far as the charger has reported it.
        self._identities: dict[str, Identity] = {}

    @callback
    def follow(self) -> None:
        """Follow the chargers whose states are known."""
        for charger_id in self._followed.keys() - self._states.keys():
            self._followed.pop(charger_id)[1]()
        for charger_id, state in self._states.items():
            followed = self._followed.get(charger_id)
            if followed is None or followed[0] is not state:
                self._followed[charger_id] = (
                    state,
                    state.follow(_FOLLOWED, self._observed),
                )

    @callback
    def stop(self) -> None:
        """Follow no charger any more."""
        for _, remove in self._followed.values():
            remove()
        self._followed.clear()

    @callback
    def _observed(self, observation: Observation, value: Value | None) -> None:
        """Note that a session has ended."""
        charger_id = observation.charger_id
        if observation.state_id == StateId.COMPLETED_SESSION:
            if isinstance(value, CompletedSession):
                self._ended(charger_id, value, observation)
            return
        if observation.state_id == StateId.CHARGER_CURRENT_USER_UUID:
            if isinstance(value, str):
                self._identities[charger_id] = self._book.persons.identify_code(value)
            return
        session_id = parse_uuid(value) if isinstance(value, str) else None
        before = self._running.pop(charger_id, None)
        if session_id:
            self._running[charger_id] = session_id
        if before and before != session_id:
            key, at = key_of(before), observation.timestamp
            identity = self._identities.pop(charger_id, ANONYMOUS)
            self._book.note_identity(charger_id, key, identity, at)
            self._awaited.expect(charger_id, key, at.timestamp())
            self._on_ended()

    def _ended(
        self, charger_id: str, session: CompletedSession, observation: Observation
    ) -> None:
        """Add a session that a charger reports, and look for it in the archive."""
        ledger = self._book.ledgers.get(charger_id)
        if ledger is None or session.session_id is None:
            return
        key = key_of(session.session_id)
        if ledger.is_settled(key):
            identity = self._book.persons.identify(session)
            self._book.note_identity(charger_id, key, identity, observation.timestamp)
            return
        record = self._book.add_reported(charger_id, session, observation.timestamp)
        end = record.end if record else observation.timestamp.timestamp()
        if not self._awaited.expect(charger_id, key, end):
            self._book.stop_waiting(charger_id, key, is_found=False)
        self._on_ended()

    @callback
    def take(self, charger_id: str) -> None:
        """Use what a charger reports, because the cloud does not show its archive."""
        if (state := self._states.get(charger_id)) is None:
            return
        for observation, value, _ in state.observations():
            if observation.state_id == StateId.COMPLETED_SESSION:
                self._observed(observation, value)

    @callback
    def identify(self) -> None:
        """Note who charges, and who has charged last, as there are other persons."""
        for charger_id, state in self._states.items():
            user = state.value(StateId.CHARGER_CURRENT_USER_UUID)
            if isinstance(user, str):
                self._identities[charger_id] = self._book.persons.identify_code(user)
            session = state.value(StateId.COMPLETED_SESSION)
            at = state.timestamp(StateId.COMPLETED_SESSION)
            if isinstance(session, CompletedSession) and session.session_id and at:
                self._book.note_identity(
                    charger_id,
                    key_of(session.session_id),
                    self._book.persons.identify(session),
                    at,
                )
