"""Reads the completed sessions of a period, for statements.

The names of users and cards, and mail addresses, are not taken from the archive.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from .api import (
    Account,
    CommitMetadata,
    Priority,
    Session,
    ZaptecClient,
    ZaptecPermissionError,
)
from .history.history import History
from .history.prices import HourlyPrices, Prices, cost_of
from .history.records import Problem, Record

# Number of sessions of a page, the most that the archive returns. The user waits, and the
# rate limit allows ten pages a second.
PAGE_SIZE = 200

# Number of sessions that are evaluated in one step, in a thread.
SESSIONS_AT_ONCE = 100


class Flag(StrEnum):
    """What is special about a session."""

    OFFLINE = "offline"
    """The charger was offline, so the session was received later."""
    UNRELIABLE_CLOCK = "unreliable_clock"
    """The charger's clock was not set, so the times may be wrong."""
    STOPPED_BY_CARD = "stopped_by_card"
    SIGNED = "signed"
    """The meter readings are signed."""
    OCPP = "ocpp"
    """An OCPP system has controlled the session."""
    ABANDONED = "abandoned"
    """Another system has ended the session without the charger."""
    NOT_IN_ARCHIVE = "not_in_archive"
    """Home Assistant has seen the session; its start and readings are not kept."""


_FLAGS = {
    CommitMetadata.OFFLINE: Flag.OFFLINE,
    CommitMetadata.STOPPED_BY_RFID: Flag.STOPPED_BY_CARD,
    CommitMetadata.SIGNED: Flag.SIGNED,
    CommitMetadata.OCPP_NATIVE: Flag.OCPP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A completed session, as a statement shows it."""

    charger_id: str
    start: datetime | None = None
    end: datetime
    energy: float
    """kWh."""
    meter_start: float | None = None
    meter_end: float | None = None
    """The lifetime meter at both ends of the session (kWh)."""
    flags: tuple[Flag, ...] = ()
    person_id: str | None = None
    """Who has charged, if that is one of the persons whom the user has added."""
    hours: Mapping[int, int] = field(default_factory=dict, repr=False)
    """The energy of each hour (Wh)."""
    cost: float | None = None
    """In Home Assistant's currency; None if the price of an hour is not known."""


@dataclass(frozen=True, slots=True)
class Period:
    """A period in which sessions have ended: its start, and the moment after its end."""

    start: datetime
    end: datetime


@dataclass(slots=True)
class Found:
    """What was found of a period."""

    records: list[SessionRecord] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    """The chargers whose archive the account may not read."""
    left_out: int = 0
    """Number of sessions whose data cannot be right."""
    missing_prices: set[int] = field(default_factory=set)
    """The hours whose price is not known, counted from 1970 (UTC)."""
    unpriced: set[str] = field(default_factory=set)
    """The chargers with sessions whose account has no price."""

    def add(self, other: Found) -> None:
        """Add what another account has found."""
        self.records += other.records
        self.refused |= other.refused
        self.left_out += other.left_out
        self.missing_prices |= other.missing_prices
        self.unpriced |= other.unpriced

    def select(self, person_ids: Collection[str]) -> None:
        """Leave only the sessions of some persons."""
        self.records = [item for item in self.records if item.person_id in person_ids]

    async def async_price(self, hass: HomeAssistant, prices: Prices) -> None:
        """Add what each session costs.

        Raises:
            NotStoredError: The prices cannot be read from the database.

        """
        if not prices:
            self.unpriced = {record.charger_id for record in self.records}
            return
        hours = [hour for record in self.records for hour in record.hours]
        # A session that has drawn nothing has no hours, and costs nothing.
        hourly = HourlyPrices(prices.tariff)
        if hours:
            hourly = await prices.async_of(min(hours), max(hours))
        await hass.async_add_executor_job(self._price, hourly)

    def _price(self, prices: HourlyPrices) -> None:
        """Add what each session costs; this takes a while for many."""
        records: list[SessionRecord] = []
        for record in self.records:
            cost = cost_of(record.hours, prices)
            records.append(replace(record, cost=cost.amount))
            self.missing_prices.update(cost.missing)
        self.records = records


class SessionReader:
    """Reads the sessions of an account.

    They come from the vendor's archive. Where the account may not read it, the history has
    the sessions that chargers have reported to Home Assistant.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        client: ZaptecClient,
        history: History,
        account: Account,
        *,
        with_hours: bool,
    ) -> None:
        """Initialize the reader.

        Args:
            hass: Home Assistant.
            client: The client of the account.
            history: The history of the account.
            account: What the account shows.
            with_hours: Whether to find out which hours a session has charged in.

        """
        self._with_hours = with_hours
        self._hass = hass
        self._client = client
        self._history = history
        self._account = account

    async def async_read(self, charger_ids: Iterable[str], period: Period) -> Found:
        """Return the sessions of chargers that have ended in a period.

        Raises:
            ZaptecError: The cloud has failed.

        """
        found = Found()
        # A session comes twice if the archive changes between two pages.
        records: dict[str, SessionRecord | None] = {}
        by_installation: dict[str | None, list[str]] = {}
        for charger_id in charger_ids:
            if self._history.known.is_refused(charger_id):
                found.refused.add(charger_id)
            else:
                charger = self._account.chargers[charger_id]
                by_installation.setdefault(charger.installation_id, []).append(
                    charger_id
                )
        for installation_id, chargers in by_installation.items():
            records |= await self._async_read_archive(
                installation_id, chargers, period, found.refused
            )
        for charger_id in sorted(found.refused):
            found.records += self._known(charger_id, period)
        found.records += [record for record in records.values() if record]
        found.left_out = sum(record is None for record in records.values())
        return found

    async def _async_read_archive(
        self,
        installation_id: str | None,
        charger_ids: Collection[str],
        period: Period,
        refused: set[str],
    ) -> dict[str, SessionRecord | None]:
        """Return the sessions of chargers by id, None for one that cannot be right.

        Args:
            installation_id: The installation of the chargers.
            charger_ids: The chargers.
            period: When the sessions have ended.
            refused: Gets the chargers whose archive the account may not read.

        Raises:
            ZaptecError: The cloud has failed.

        """
        # One reading of the installation has fewer pages than one of each charger.
        if installation_id and len(charger_ids) > 1:
            # The account may still own some of the chargers.
            with suppress(ZaptecPermissionError):
                return await self._async_evaluate(
                    charger_ids, period, installation_id=installation_id
                )
        records: dict[str, SessionRecord | None] = {}
        for charger_id in charger_ids:
            try:
                records |= await self._async_evaluate(
                    [charger_id], period, charger_id=charger_id
                )
            except ZaptecPermissionError:
                refused.add(charger_id)
        return records

    async def _async_evaluate(
        self,
        charger_ids: Collection[str],
        period: Period,
        *,
        installation_id: str | None = None,
        charger_id: str | None = None,
    ) -> dict[str, SessionRecord | None]:
        """Return what the archive of an installation or a charger has of some chargers.

        Sessions without an energy of their own, such as replaced ones, are not returned.

        Raises:
            ZaptecPermissionError: The account may not read the archive.
            ZaptecError: The cloud has failed.

        """
        records: dict[str, SessionRecord | None] = {}
        page: list[Session] = []

        async def evaluate() -> None:
            records.update(
                await self._hass.async_add_executor_job(
                    self._records, page, dt_util.utcnow()
                )
            )
            page.clear()

        async for session in self._client.archived_sessions(
            installation_id=installation_id,
            charger_id=charger_id,
            start=period.start,
            end=period.end,
            priority=Priority.FIRST_STATE,
            page_size=PAGE_SIZE,
        ):
            if session.charger_id in charger_ids:
                page.append(session)
            if len(page) >= SESSIONS_AT_ONCE:
                await evaluate()
        await evaluate()
        return records

    def _known(self, charger_id: str, period: Period) -> list[SessionRecord]:
        """Return the sessions that the history knows of a charger."""
        return [
            SessionRecord(
                charger_id=charger_id,
                end=dt_util.utc_from_timestamp(session.end),
                energy=session.energy / 1000,
                flags=(Flag.NOT_IN_ARCHIVE,),
                person_id=self._history.persons.person_of(session.identity),
                hours=session.hours,
            )
            for session in self._history.known.of(charger_id)
            if period.start.timestamp() <= session.end < period.end.timestamp()
            and session.energy
        ]

    def _records(
        self, sessions: Iterable[Session], now: datetime
    ) -> dict[str, SessionRecord | None]:
        """Return the records of sessions; this takes a while for many."""
        return {
            session.id: self._record(session, now)
            for session in sessions
            if session.counts
        }

    def _record(self, session: Session, now: datetime) -> SessionRecord | None:
        """Return the record of a session, None if its data cannot be right."""
        record = Record.from_archive(session, now)
        if isinstance(record, Problem):
            return None
        assert session.charger_id and session.end and session.energy is not None
        assert record.charge
        readings = session.readings
        return SessionRecord(
            charger_id=session.charger_id,
            start=session.start,
            end=session.end,
            energy=session.energy,
            meter_start=readings[0].energy if readings else None,
            meter_end=readings[-1].energy if readings else None,
            flags=_flags(session),
            person_id=self._history.known.person_of(session),
            hours=self._history.known.hours_of(session.charger_id, record.charge)
            if self._with_hours
            else {},
        )


def _flags(session: Session) -> tuple[Flag, ...]:
    """Return what is special about a session of the archive."""
    flags = [flag for bit, flag in _FLAGS.items() if session.metadata & bit]
    if not session.metadata & CommitMetadata.RELIABLE_CLOCK:
        flags.append(Flag.UNRELIABLE_CLOCK)
    if session.externally_abandoned:
        flags.append(Flag.ABANDONED)
    return tuple(flags)
