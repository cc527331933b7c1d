"""The ledgers of all chargers of an account, and what is added to them."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial

from homeassistant.core import HomeAssistant, callback
from homeassistant.util import dt as dt_util

from ..api import METER_INTERVALS, Account, CompletedSession, Family, Session, StateId
from ..const import LOGGER
from ..persons import ANONYMOUS, Identity, Persons
from ..state import States
from .hours import HOUR, Charge
from .ledger import Contribution, Ledger
from .records import Problem, Record, key_of
from .store import HistoryStore

# Time before the present for which the archive is read at first (s). The vendor keeps
# sessions for longer, but few users look further back.
FIRST_READING = 730 * 24 * HOUR

# Number of sessions that are added without a pause for others.
ADDED_AT_ONCE = 200

type Finding = tuple[str, int, Contribution | Problem]
"""A charger, the key of a session, and what it contributes or why it does not."""


class Book:
    """The ledgers of an account."""

    def __init__(
        self,
        hass: HomeAssistant,
        states: States,
        store: HistoryStore,
        *,
        account: Callable[[], Account],
        permitted: Callable[[str], Identity],
        on_refusal: Callable[[str], None],
    ) -> None:
        """Initialize the ledgers, which the store may load later.

        Args:
            hass: Home Assistant.
            states: The states of the chargers.
            store: Where the ledgers are kept.
            account: Returns what the account shows.
            permitted: Returns whom Home Assistant has permitted a session to.
            on_refusal: Called with each charger whose archive is refused.

        """
        self._hass = hass
        self._states = states
        self._store = store
        self._account = account
        self._permitted = permitted
        self._on_refusal = on_refusal
        # What chargers have reported of sessions, for which the archive is asked.
        self._waiting: dict[int, Contribution] = {}
        self._logged: set[tuple[str, Problem]] = set()

    @property
    def ledgers(self) -> Mapping[str, Ledger]:
        """Return the ledgers by charger."""
        return self._store.ledgers

    @property
    def persons(self) -> Persons:
        """Return the persons of the account."""
        return self._store.persons.persons

    def person_of(self, session: Session) -> str | None:
        """Return the id of the person who has charged, None if it is not a known one.

        A session of the archive does not contain the code of the card, so this is more
        than `Persons.identify` can say: the charger may have reported it, or Home Assistant
        has permitted it.
        """
        identity = self.persons.identify(session)
        ledger = self.ledgers.get(session.charger_id or "")
        known = ledger.identity(key_of(session.id)) if ledger is not None else ANONYMOUS
        permitted = self._permitted(session.id)
        return self.persons.person_of(
            identity._replace(
                code=known.code,
                user=identity.user or known.user,
                permitted=known.permitted or permitted.permitted,
            )
        )

    def has_session(self, charger_id: str, key: int) -> bool:
        """Return whether a session that has ended is known already."""
        return key in self._waiting or self.ledgers[charger_id].has_session(key)

    @property
    def waiting(self) -> int:
        """Return the number of sessions that wait for the archive."""
        return len(self._waiting)

    def problems(self, charger_id: str) -> list[str]:
        """Return why sessions of a charger were left out since Home Assistant started."""
        return sorted(
            problem.name.lower() for key, problem in self._logged if key == charger_id
        )

    def roles(self, charger_id: str) -> int:
        """Return the roles on which it depends whether the archive can be read."""
        return _roles(self._account(), charger_id)

    def is_refused(self, charger_id: str) -> bool:
        """Return whether the cloud does not show the archive of a charger."""
        ledger = self.ledgers.get(charger_id)
        return ledger is not None and ledger.refused_roles is not None

    def chargers(self, installation_id: str) -> list[str]:
        """Return the chargers of an installation."""
        return [
            charger.id
            for charger in self._account().chargers.values()
            if charger.installation_id == installation_id and charger.id in self.ledgers
        ]

    def is_refused_all(self, installation_id: str) -> bool:
        """Return whether the cloud shows no archive of an installation's chargers."""
        chargers = self.chargers(installation_id)
        return bool(chargers) and all(map(self.is_refused, chargers))

    def refused_installations(self) -> set[str]:
        """Return the installations none of whose archives the cloud shows.

        That is asked each minute, so the chargers of an account are looked at only once.
        """
        account = self._account()
        refused: set[str | None] = set()
        shown: set[str | None] = set()
        for charger in account.chargers.values():
            if charger.id in self.ledgers:
                is_refused = self.is_refused(charger.id)
                (refused if is_refused else shown).add(charger.installation_id)
        return account.installations.keys() & (refused - shown)

    def ask_again(self, installation_id: str) -> None:
        """Read the archives of an installation that the cloud has refused before."""
        for charger_id in self.chargers(installation_id):
            self._request(self.ledgers[charger_id])

    def is_shown(self, charger_id: str) -> bool:
        """Return whether the account shows a charger."""
        return charger_id in self._account().chargers

    def refuse(self, charger_id: str) -> None:
        """Note that the cloud does not show the archive of a charger."""
        self.ledgers[charger_id].refuse(self.roles(charger_id))
        self._store.save_soon()
        self._on_refusal(charger_id)

    def start_over(self, charger_id: str) -> None:
        """Import everything that can be known of a charger."""
        ledger = self.ledgers[charger_id]
        if self.is_refused(charger_id) or ledger.complete_from == 0:
            ledger.write_again()
            self._store.save_soon()
        else:
            self._request(ledger)

    @property
    def first_hour(self) -> int:
        """Return the first hour of which an archive is read."""
        return _first_reading() // HOUR

    def begin_reading(self, charger_id: str, complete_from: int) -> None:
        """Note that the archive of a charger is read from now on.

        Args:
            charger_id: The charger.
            complete_from: The first hour of which all sessions will be known then.

        """
        self._store.persons.begin_reading(charger_id)
        self.ledgers[charger_id].begin_reading(complete_from)

    def end_reading(self, charger_id: str) -> None:
        """Note that all of the archive of a charger was read."""
        ledger = self.ledgers[charger_id]
        # Of sessions from before, it may not be known who has charged, though their hours are.
        first = (ledger.read_from or 0) // HOUR
        ledger.end_reading(dt_util.utcnow().timestamp())
        self._store.persons.end_reading(charger_id, first)

    def request(self, charger_id: str, hour: int) -> bool:
        """Read the archive of a charger from the month of an hour on.

        What is older than the first reading is not read.

        Returns:
            Whether it is read; False if the archive is refused, or the charger not shown.

        """
        if not self.is_shown(charger_id) or self.is_refused(charger_id):
            return False
        start = max(_month(hour), _first_reading())
        self.ledgers[charger_id].request_reading(start)
        self._store.save_soon()
        return True

    def compact(
        self, charger_id: str, limit: int, sessions_max: int, forget_before: int
    ) -> None:
        """Drop the hours of old sessions of a charger; see `Ledger.compact`."""
        persons = self._store.persons
        self.ledgers[charger_id].compact(
            limit,
            sessions_max,
            forget_before,
            is_needed=persons.is_needed,
            on_forget=partial(persons.note_forgotten, charger_id),
        )

    def follow(self, account: Account) -> None:
        """Keep a ledger for each charger, and ask again where the roles have changed."""
        for charger_id in account.chargers:
            ledger = self._store.ledgers.get(charger_id)
            if ledger is None:
                ledger = self._store.ledgers[charger_id] = Ledger()
            elif ledger.refused_roles in (None, _roles(account, charger_id)):
                continue
            self._request(ledger)

    def read_again(self, charger_id: str, start: int) -> None:
        """Read the archive of a charger again.

        Args:
            charger_id: The charger.
            start: The end of the earliest session to read (seconds since 1970).

        """
        self.ledgers[charger_id].request_reading(start)
        self._store.save_soon()

    def read_doubtful(self, installation_id: str, now: float) -> None:
        """Read the archives of an installation again that are in doubt.

        An archive that is refused is not read before the roles of the account change.
        """
        for charger_id in self.chargers(installation_id):
            if self.is_refused(charger_id):
                continue
            ledger = self.ledgers[charger_id]
            if (start := ledger.doubts.repeat_from(now)) is not None:
                ledger.request_reading(start)

    def _request(self, ledger: Ledger) -> None:
        """Read all of an archive, whether it was refused or not."""
        ledger.refused_roles = None
        ledger.request_reading(_first_reading())
        self._store.save_soon()

    @callback
    def note_identity(
        self, charger_id: str, key: int, identity: Identity, at: datetime
    ) -> None:
        """Note who has charged in a session, as the charger reports it."""
        ledger = self.ledgers.get(charger_id)
        if ledger is not None and identity != ANONYMOUS:
            ledger.note_identity(
                key,
                identity,
                int(at.timestamp()) // HOUR,
                partial(self._store.persons.note_change, charger_id),
            )
            self._store.save_soon()

    @callback
    def add_reported(
        self, charger_id: str, session: CompletedSession, reported_at: datetime
    ) -> Record | None:
        """Add a session that a charger has reported, as far as it can be used.

        Without a record of when its energy was drawn, a session waits for the archive, if
        that can be read.

        Returns:
            The session, None if it cannot be right.

        """
        record = Record.from_charger(session, reported_at, dt_util.utcnow())
        if isinstance(record, Problem):
            self._log(charger_id, record)
            return None
        assert record.charge is not None
        contribution = _contribution(
            record,
            self._interval(charger_id),
            self.persons.identify(session),
        )
        if record.charge.is_traced or self.is_refused(charger_id):
            self._add(charger_id, record.key, contribution)
        else:
            self._waiting[record.key] = contribution
        return record

    def stop_waiting(self, charger_id: str, key: int, *, is_found: bool) -> None:
        """Note that the archive is not asked for a session any more.

        Without its version, what the charger has reported is used.
        """
        contribution = self._waiting.pop(key, None)
        if contribution and not is_found:
            self._add(charger_id, key, contribution)

    async def async_add_archived(self, sessions: Iterable[Session]) -> set[int]:
        """Add sessions of the archive; return their keys."""
        findings = await self._hass.async_add_executor_job(
            _findings,
            [item for item in sessions if item.charger_id in self.ledgers],
            {charger_id: self._interval(charger_id) for charger_id in self.ledgers},
            self.persons,
            dt_util.utcnow(),
        )
        for number, (charger_id, key, finding) in enumerate(findings, start=1):
            if number % ADDED_AT_ONCE == 0:
                # The sweep of a large installation finds thousands of sessions.
                await asyncio.sleep(0)
            if isinstance(finding, Problem):
                self._log(charger_id, finding)
                if self.ledgers[charger_id].is_reading:
                    self.ledgers[charger_id].doubts.leave_out(key)
            else:
                self._add(charger_id, key, finding)
        return {key for _, key, _ in findings}

    def _add(self, charger_id: str, key: int, contribution: Contribution) -> None:
        """Add a session to a ledger; read the archive again if it is a very old one."""
        ledger = self.ledgers[charger_id]
        hour = ledger.add(
            key, contribution, partial(self._store.persons.note_change, charger_id)
        )
        self._store.save_soon()
        if hour is None:
            return
        if self.is_refused(charger_id):
            self._log(charger_id, Problem.LATE)
            return
        if ledger.is_reading:
            # The reading starts again with this session. The sessions of a charger follow
            # each other, so no other one began before and is read, too.
            ledger.request_reading(hour * HOUR)
        else:
            ledger.request_reading(_month(hour))

    def hours_of(self, charger_id: str, charge: Charge) -> dict[int, int]:
        """Return the energy of each hour of a session (Wh); this may run in a thread."""
        return charge.by_hour(self._interval(charger_id))

    def _interval(self, charger_id: str) -> float:
        """Return the interval between two reports of a charger's meter (s)."""
        state = self._states.get(charger_id)
        interval = state and state.value(StateId.SIGNED_METER_VALUE_INTERVAL)
        if isinstance(interval, int) and interval > 0:
            return float(interval)
        family = state.family if state else Family.OTHER
        return METER_INTERVALS.get(family, float(HOUR))

    def _log(self, charger_id: str, problem: Problem) -> None:
        """Log once per charger why a session is left out."""
        if (charger_id, problem) not in self._logged:
            self._logged.add((charger_id, problem))
            LOGGER.warning(
                "The session history of charger %s leaves out a session, because %s",
                charger_id,
                problem,
            )


def _findings(
    sessions: Iterable[Session],
    intervals: Mapping[str, float],
    persons: Persons,
    now: datetime,
) -> list[Finding]:
    """Return what sessions contribute; this takes a while for many."""
    findings: list[Finding] = []
    for session in sessions:
        assert session.charger_id is not None
        record = Record.from_archive(session, now)
        findings.append(
            (
                session.charger_id,
                key_of(session.id),
                record
                if isinstance(record, Problem)
                else _contribution(
                    record, intervals[session.charger_id], persons.identify(session)
                ),
            )
        )
    return findings


def _contribution(record: Record, interval: float, identity: Identity) -> Contribution:
    """Return what a session contributes to its hours."""
    charge = record.charge
    return Contribution(
        record.content,
        record.end,
        charge.by_hour(interval) if charge else {},
        record.is_final,
        identity,
    )


def _roles(account: Account, charger_id: str) -> int:
    """Return the roles of an account for a charger, 0 if it does not show the charger."""
    if (charger := account.chargers.get(charger_id)) is None:
        return 0
    installation = account.installations.get(charger.installation_id or "")
    roles = int(charger.current_user_roles)
    return roles | (int(installation.current_user_roles) if installation else 0)


def _first_reading() -> int:
    """Return from when on the archive is read at first, in seconds since 1970."""
    return int((dt_util.utcnow().timestamp() - FIRST_READING) // HOUR * HOUR)


def _month(hour: int) -> int:
    """Return the start of the month of an hour, in seconds since 1970."""
    moment = dt_util.utc_from_timestamp(hour * HOUR)
    return int(moment.replace(day=1, hour=0).timestamp())
