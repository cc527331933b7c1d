"""What the session history knows of the sessions of each charger."""

from collections.abc import Collection

from ..api import Session
from .book import Book
from .hours import Charge
from .ledger import Contribution


class KnownSessions:
    """The sessions in the ledgers of an account, for those who only read them."""

    def __init__(self, book: Book) -> None:
        """Initialize with the ledgers of the account."""
        self._book = book

    def is_refused(self, charger_id: str) -> bool:
        """Return whether the cloud refuses to show the archive of a charger."""
        return self._book.is_refused(charger_id)

    def of(self, charger_id: str) -> Collection[Contribution]:
        """Return the sessions of a charger whose hours are known."""
        ledger = self._book.ledgers.get(charger_id)
        return ledger.sessions if ledger else ()

    def person_of(self, session: Session) -> str | None:
        """Return the id of the person who has charged in a session of the archive."""
        return self._book.person_of(session)

    def hours_of(self, charger_id: str, charge: Charge) -> dict[int, int]:
        """Return the energy of each hour of a session (Wh); this may run in a thread."""
        return self._book.hours_of(charger_id, charge)
