"""What Home Assistant itself knows of sessions, because it has permitted them."""

from collections.abc import Callable
from datetime import datetime

from homeassistant.core import callback

from ..api import CompletedSession, parse_uuid
from ..authorization import EndedSession
from ..persons import Identity
from .awaited import AwaitedSessions
from .book import Book
from .records import key_of


class PermittedReports:
    """Adds to the history whom sessions were permitted to, and when they have ended."""

    def __init__(
        self,
        book: Book,
        awaited: AwaitedSessions,
        *,
        on_change: Callable[[], None],
    ) -> None:
        """Initialize the reports.

        Args:
            book: The ledgers, to which sessions are added.
            awaited: Looks for the sessions in the archive.
            on_change: Called when there may be something to read or to write.

        """
        self._book = book
        self._awaited = awaited
        self._on_change = on_change

    @callback
    def take(
        self, charger_id: str, session_id: str, identity: Identity, at: datetime
    ) -> None:
        """Note whom a session is permitted to.

        Args:
            charger_id: The charger.
            session_id: The id that Home Assistant has given to the session.
            identity: Whom it is permitted to.
            at: When it was permitted.

        """
        self._book.note_identity(charger_id, key_of(session_id), identity, at)
        self._on_change()

    @callback
    def end(
        self, charger_id: str, session: EndedSession, reported_at: datetime
    ) -> None:
        """Add a session whose end a web hook has reported; a second time changes nothing.

        The charger's own report and the archive know more of the session, so they count if
        one of them was first.
        """
        session_id = parse_uuid(session.session_id)
        if charger_id not in self._book.ledgers or session_id is None:
            return
        key = key_of(session_id)
        if self._book.has_session(charger_id, key):
            return
        if None not in (session.start, session.end, session.energy):
            record = CompletedSession(
                session_id=session_id,
                start=session.start,
                end=session.end,
                energy=session.energy,
            )
            self._book.add_reported(charger_id, record, reported_at)
        end = session.end or reported_at
        if not self._awaited.expect(charger_id, key, end.timestamp()):
            self._book.stop_waiting(charger_id, key, is_found=False)
        self._on_change()
