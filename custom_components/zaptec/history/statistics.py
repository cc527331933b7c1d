"""Writes the energy of each hour into the long-term statistics of Home Assistant.

The statistics are external ones: those of an entity are compiled by Home Assistant
itself, which would continue from its own sum.

Home Assistant's recorder carries out an import later, in its own thread, and does not
report whether it has succeeded: while the database is locked or the disk is full, it
logs an error and goes on. So what was written is read again before it counts as stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched

from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import (
    async_add_external_statistics,
    get_last_statistics,
    get_metadata,
    statistics_during_period,
)
from homeassistant.const import UnitOfEnergy
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.recorder import async_migration_in_progress
from homeassistant.util.hass_dict import HassKey
from homeassistant.util.unit_conversion import EnergyConverter
from sqlalchemy.exc import SQLAlchemyError

from ..const import DOMAIN, RECORDER
from .hours import HOUR

# Maximum number of rows per import. Home Assistant 2026.10 needs a query for each row, and
# records nothing else meanwhile.
BATCH_MAX = 1000

# Maximum length of the name of a statistic. SQLite stores longer ones, but other databases
# refuse them, and then no row of the statistic is stored.
NAME_MAX = 255

# Interval after which the recorder is asked again whether it is done (s). It drops what it
# was asked while the database fails.
BARRIER_TIMEOUT = 600.0

# Maximum difference between equal energies (kWh), as sums are not whole numbers.
EQUAL = 1e-6

# Periods before an hour in which the last row before it is looked for, the shortest first.
_LOOK_BACK = (
    timedelta(days=7),
    timedelta(days=100),
    timedelta(days=1000),
    timedelta(days=20_000),
)

# What the ids of the statistics of persons begin with.
_PERSONS = f"{DOMAIN}:person_"

# Held while one statistic is written: the recorder works on one batch at a time anyway.
_LOCK: HassKey[asyncio.Lock] = HassKey(f"{DOMAIN}_history")


type Row = tuple[float | None, float | None]
"""State and sum of a row in the database."""


class NotStoredError(Exception):
    """The recorder has not stored what it was given."""


def statistic_id(charger_id: str) -> str:
    """Return the id of the energy statistic of a charger."""
    return f"{DOMAIN}:{charger_id.replace('-', '').lower()}_energy"


def person_statistic_id(person_id: str) -> str:
    """Return the id of the energy statistic of one person."""
    return f"{_PERSONS}{person_id.lower()}_energy"


def person_statistic_ids(person_id: str) -> list[str]:
    """Return the ids of all statistics that one person may have."""
    energy = person_statistic_id(person_id)
    return [energy, cost_id(energy)]


def cost_id(energy_id: str) -> str:
    """Return the id of the cost statistic that belongs to one of energy."""
    return f"{energy_id.removesuffix('_energy')}_cost"


class HourlyStatistics:
    """Statistics with the energy of each hour, by their ids."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the statistics."""
        self._hass = hass
        # Called before hours of a statistic get another energy, with the hours.
        self.on_change: Callable[[str, Collection[int]], Awaitable[None]] = _ignore

    @property
    def has_recorder(self) -> bool:
        """Return whether Home Assistant records anything."""
        return RECORDER in self._hass.config.components

    @property
    def is_ready(self) -> bool:
        """Return whether the recorder can be used now."""
        return self.has_recorder and not async_migration_in_progress(self._hass)

    async def async_exists(self, statistic: str) -> bool:
        """Return whether there is a statistic with an id.

        Raises:
            NotStoredError: The database cannot be read.

        """
        return bool(
            await self.async_read(
                partial(get_last_statistics, self._hass, 1, statistic, False, {"sum"})
            )
        )

    async def async_charger_statistics(self) -> set[str]:
        """Return the ids of the energy statistics of all chargers, of any account.

        Raises:
            NotStoredError: The database cannot be read.

        """
        found = await self.async_read(
            partial(get_metadata, self._hass, statistic_source=DOMAIN)
        )
        return {
            statistic
            for statistic in found
            if statistic.endswith("_energy") and not statistic.startswith(_PERSONS)
        }

    async def async_write(
        self,
        statistic: str,
        name: str,
        hours: Mapping[int, int],
        first: int,
        keep_before: int = 0,
    ) -> int:
        """Write the energy of all hours from one on; return the number of written rows.

        An hour that has a row but no energy gets 0. Rows that are right already are not
        written, so a second run writes none.

        Args:
            statistic: The id of the statistic.
            name: Its name.
            hours: The energy of each hour that has any (Wh).
            first: The first hour that may be wrong.
            keep_before: Hours before this one keep at least the energy of their rows.

        Raises:
            NotStoredError: The recorder has not stored all of it.

        """
        changed: set[int] = set()

        async def note_change() -> None:
            # Also a write that fails may store some of it.
            if changed:
                await self.on_change(statistic, changed)

        return await self.async_import(
            _energy_metadata(statistic, name),
            partial(_plan, self._hass, statistic, hours, first, keep_before, changed),
            before=note_change,
        )

    async def async_import(
        self,
        metadata: StatisticMetaData,
        plan: Callable[[], list[StatisticData]],
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Write the rows of a statistic that differ; return their number.

        Args:
            metadata: What describes the statistic.
            plan: Reads the database, and returns the rows that differ from it; blocks.
            before: Called once the rows are known, before the first one is written.

        Raises:
            NotStoredError: The recorder has not stored all of it.

        """
        lock = self._hass.data.setdefault(_LOCK, asyncio.Lock())
        async with lock:
            rows = await self.async_read(plan)
            if before:
                await before()
            for batch in batched(rows, BATCH_MAX, strict=False):
                # A list: the check would exhaust an iterator, and nothing be stored.
                async_add_external_statistics(self._hass, metadata, list(batch))
                await self._async_barrier()
            if rows:
                left = await self.async_read(plan)
                if left:
                    raise NotStoredError(f"{len(left)} of {len(rows)} rows are missing")
        return len(rows)

    @callback
    def rename(self, statistic: str, name: str) -> None:
        """Rename a statistic of energy; its rows stay as they are."""
        self.describe(_energy_metadata(statistic, name))

    @callback
    def describe(self, metadata: StatisticMetaData) -> None:
        """Describe a statistic in another way; its rows stay as they are."""
        async_add_external_statistics(self._hass, metadata, [])

    async def async_read[T](self, read: Callable[[], T]) -> T:
        """Return what a function reads from the database.

        Raises:
            NotStoredError: The database cannot be read.

        """
        try:
            return await get_instance(self._hass).async_add_executor_job(read)
        except SQLAlchemyError as err:
            raise NotStoredError(type(err).__name__) from err

    async def _async_barrier(self) -> None:
        """Wait until the recorder has carried out everything that was queued so far.

        Home Assistant 2026.10: `async_block_till_done` of the recorder returns at once
        while the last task is being carried out. Tasks are carried out in their order, so
        one that does nothing is carried out after the import.
        """
        loop = asyncio.get_running_loop()
        is_done = asyncio.Event()

        def on_done() -> None:
            loop.call_soon_threadsafe(is_done.set)

        while not is_done.is_set():
            get_instance(self._hass).async_clear_statistics([], on_done=on_done)
            try:
                async with asyncio.timeout(BARRIER_TIMEOUT):
                    await is_done.wait()
            except TimeoutError:
                continue


def _energy_metadata(statistic: str, name: str) -> StatisticMetaData:
    """Return what describes a statistic of energy."""
    return metadata_of(
        statistic,
        name,
        unit=UnitOfEnergy.KILO_WATT_HOUR,
        unit_class=EnergyConverter.UNIT_CLASS,
    )


def metadata_of(
    statistic: str,
    name: str,
    *,
    unit: str,
    unit_class: str | None = None,
) -> StatisticMetaData:
    """Return what describes a statistic; Home Assistant has no class for currencies."""
    return StatisticMetaData(
        mean_type=StatisticMeanType.NONE,
        has_sum=True,
        name=name[:NAME_MAX],
        source=DOMAIN,
        statistic_id=statistic,
        unit_class=unit_class,
        unit_of_measurement=unit,
    )


async def _ignore(_statistic: str, _hours: Collection[int]) -> None:
    """Ignore a change of the energy."""


def _plan(
    hass: HomeAssistant,
    name: str,
    hours: Mapping[int, int],
    first: int,
    keep_before: int,
    changed: set[int],
) -> list[StatisticData]:
    """Return the rows of a statistic that have to be written; blocks.

    The hours among them that have another energy in the database are added to `changed`.
    """
    held = rows_from(hass, name, first)
    total = sum_before(hass, name, first)
    rows: list[StatisticData] = []
    energy_so_far = 0
    for hour in sorted(hours.keys() | held.keys()):
        energy = hours.get(hour, 0)
        if hour < keep_before and hour in held:
            energy = max(energy, round(1000 * (held[hour][0] or 0.0)))
        energy_so_far += energy
        row = (energy / 1000, total + energy_so_far / 1000)
        if differs(held.get(hour), row):
            rows.append(row_of(hour, row))
        if hour in held and not _are_equal(held[hour][0], row[0]):
            changed.add(hour)
    return rows


def differs(held: Row | None, wanted: Row) -> bool:
    """Return whether a row has to be written."""
    return held is None or not all(map(_are_equal, held, wanted))


def _are_equal(one: float | None, other: float | None) -> bool:
    """Return whether two numbers of a row are equal."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= EQUAL


def row_of(hour: int, row: tuple[float | None, float]) -> StatisticData:
    """Return a row as the recorder takes it."""
    start = datetime.fromtimestamp(hour * HOUR, UTC)
    state, total = row
    if state is None:
        return StatisticData(start=start, sum=total)
    return StatisticData(start=start, state=state, sum=total)


def rows_from(hass: HomeAssistant, name: str, first: int) -> dict[int, Row]:
    """Return all rows of a statistic from an hour on; blocks."""
    start = datetime.fromtimestamp(first * HOUR, UTC)
    found = statistics_during_period(
        hass, start, None, {name}, "hour", None, {"state", "sum"}
    )
    return {
        round(row["start"] / HOUR): (row.get("state"), row.get("sum"))
        for row in found.get(name, ())
    }


def sum_before(hass: HomeAssistant, name: str, first: int) -> float:
    """Return the sum of the last row before an hour, as it is in the database; blocks.

    A user may have adjusted it.
    """
    end = datetime.fromtimestamp(first * HOUR, UTC)
    for period in _LOOK_BACK:
        start = max(end - period, datetime.fromtimestamp(0, UTC))
        found = statistics_during_period(
            hass, start, end, {name}, "hour", None, {"sum"}
        )
        if rows := found.get(name):
            return rows[-1].get("sum") or 0.0
    return 0.0
