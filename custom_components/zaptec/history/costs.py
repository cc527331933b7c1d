"""Writes what the energy of each hour costs, as a statistic beside that of the energy.

The cost of an hour is its energy, as the database has it, times the price of the hour. So
the past can get another price without being read from the archive again.

An hour without a price gets no row, and is tried again each day. If the price was known
once and is not any more, the hour keeps its cost, unless its energy has changed since.
"""

from bisect import bisect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
import math

from homeassistant.components.recorder.models import StatisticData
from homeassistant.components.recorder.statistics import get_metadata
from homeassistant.core import HomeAssistant, callback

from ..const import LOGGER
from .cost_ledger import CostLedger, Gap
from .hours import HOUR
from .prices import AFTER_HOUR, HourlyPrices, Prices, Tariff
from .statistics import (
    HourlyStatistics,
    cost_id,
    differs,
    metadata_of,
    row_of,
    rows_from,
    sum_before,
)
from .store import HistoryStore

# Interval between two looks for prices that were unknown (s).
INTERVAL = 24 * HOUR

# Age from which on an hour without a price is logged (hours).
OVERDUE = 2


# What follows the name of a charger in the name of its statistic, so that the user does
# not take it for the sensor.
NAME = "cost (history)"


class Costs:
    """The cost statistics of an account."""

    def __init__(
        self,
        hass: HomeAssistant,
        statistics: HourlyStatistics,
        store: HistoryStore,
        prices: Prices,
    ) -> None:
        """Initialize the costs, which the store may load later.

        Args:
            hass: Home Assistant.
            statistics: Where they are written to.
            store: Where it is kept what has to be written.
            prices: The prices.

        """
        self._hass = hass
        self._statistics = statistics
        self._store = store
        self._prices = prices
        statistics.on_change = self._async_note_change
        # What returns the name of the charger of each energy statistic.
        self._names: Mapping[str, Callable[[], str]] = {}
        # Until when prices were looked for that were unknown only because their hour went
        # on (seconds since 1970); 0 before the first look, which is at the start.
        self._looked_at = 0.0
        # The cost statistics in another currency than that of Home Assistant.
        self._in_other_currency: set[str] = set()
        # Whether a statistic was written, so that there may be something to log.
        self._is_written = False
        # What is logged: each message once for all statistics.
        self._logged: set[str] = set()

    @property
    def missing(self) -> dict[str, int]:
        """Return how many hours have no price, by the energy statistic."""
        if not self._prices:
            return {}
        return {
            energy_id: ledger.missing
            for energy_id, ledger in self._store.costs.items()
            if energy_id in self._names
        }

    @property
    def due(self) -> float | None:
        """Return when prices are looked for again (seconds since 1970), None if never."""
        if not self._prices:
            return None
        return min(self._store.costs_checked_at + INTERVAL, self._next_look)

    @property
    def _next_look(self) -> float:
        """Return when a price is looked for whose hour went on (seconds since 1970).

        That is some minutes after the hour, and infinity if there is no such hour. It
        follows from the gaps, so neither a restart nor another statistic cancels it.
        """
        if not self._looked_at:
            return 0.0
        unfinished = int((self._looked_at - AFTER_HOUR) // HOUR)
        last_gaps = [item.gaps[-1] for item in self._store.costs.values() if item.gaps]
        hours = [
            max(gap.first, unfinished) for gap in last_gaps if gap.last >= unfinished
        ]
        return (min(hours) + 1) * HOUR + AFTER_HOUR if hours else math.inf

    @property
    def is_pending(self) -> bool:
        """Return whether costs have to be written."""
        return any(self._pending())

    def _pending(self) -> Iterable[tuple[str, CostLedger, str]]:
        """Yield what has to be written: the energy statistic, and the cost's name."""
        for energy_id, ledger in self._store.costs.items():
            if ledger.changed_from is not None and (name := self._names.get(energy_id)):
                yield energy_id, ledger, f"{name()} {NAME}"

    @callback
    def start(self) -> None:
        """Compute again what other prices concern."""
        store = self._store
        if not self._prices:
            # What changes from now on is not noted, so all is compared later.
            if store.costs:
                store.costs.clear()
                store.save_soon()
            return
        tariff = self._prices.tariff
        first = tariff.first_difference(Tariff.from_stored(store.cost_tariff))
        if first is not None:
            for ledger in store.costs.values():
                ledger.mark(first)
            store.cost_tariff = tariff.as_stored()
            store.save_soon()

    @callback
    def follow(self, names: Mapping[str, Callable[[], str]]) -> None:
        """Keep the costs of energy statistics from now on.

        Args:
            names: By energy statistic, what returns the name of its charger.

        """
        self._names = names
        if not self._prices:
            return
        for energy_id in names:
            if energy_id not in self._store.costs:
                self._store.costs[energy_id] = CostLedger()
                self._store.save_soon()

    @callback
    def rename(self, old: str, new: str) -> None:
        """Note that a price entity has another id; its prices are still the same ones."""
        stored = Tariff.from_stored(self._store.cost_tariff)
        self._store.cost_tariff = stored.renamed(old, new).as_stored()
        self._store.save_soon()

    async def _async_note_change(self, energy_id: str, hours: Collection[int]) -> None:
        """Note that hours of an energy statistic, which may have a cost, will change.

        If Home Assistant stops before the change is stored, the next sweep reads the
        sessions again, and their costs are computed again. But an hour whose price is
        unknown would keep the cost of another energy, so such a change is stored before
        the energy is written. Others are not stored at once, because the store of a large
        account is large.

        Raises:
            NotStoredError: The database cannot be read.

        """
        if not (ledger := self._store.costs.get(energy_id)):
            return
        ledger.change(hours)
        self._store.save_soon()
        if await self._statistics.async_read(
            partial(_would_stay, self._hass, self._prices, energy_id, hours)
        ):
            await self._store.async_save()

    @callback
    def mark(self, energy_id: str, hour: int) -> None:
        """Note that the energy of an hour, and of later ones, may have changed."""
        if ledger := self._store.costs.get(energy_id):
            ledger.mark(hour)
            self._store.save_soon()

    async def async_step(self, now: float) -> bool:
        """Write the costs of one statistic; return False if all are written.

        Raises:
            NotStoredError: The database cannot be read, or has not stored the costs.

        """
        if not self._prices:
            return False
        await self._async_look_for_prices(now)
        for energy_id, ledger, name in self._pending():
            await self._async_write(energy_id, ledger, name)
            self._is_written = True
            return True
        if self._is_written:
            self._is_written = False
            self._log_gaps(now)
        return False

    async def _async_look_for_prices(self, now: float) -> None:
        """Try again where prices were unknown, or a statistic was deleted."""
        costs = self._store.costs
        if now >= self._next_look:
            # After a start, Home Assistant may have been stopped for long.
            recent = now // HOUR - OVERDUE if self._looked_at else 0
            for energy_id, ledger in list(costs.items()):
                if ledger.gaps and ledger.gaps[-1].last >= recent:
                    await self._async_look(energy_id, ledger, ledger.gaps[-1].first)
        self._looked_at = now
        if now < self._store.costs_checked_at + INTERVAL:
            return
        names = {cost_id(energy_id) for energy_id in costs}
        held = await self._statistics.async_read(
            partial(get_metadata, self._hass, statistic_ids=names)
        )
        for energy_id, ledger in list(costs.items()):
            if cost_id(energy_id) not in held:
                ledger.mark(0)
            elif ledger.gaps:
                await self._async_look(energy_id, ledger, ledger.gaps[0].first)
        self._store.costs_checked_at = now
        self._store.save_soon()

    async def _async_look(self, energy_id: str, ledger: CostLedger, first: int) -> None:
        """Note the first hour whose price has become known, among the gaps from an hour on.

        The rows before it stay as they are, because the user may have adjusted their sums.
        """
        gaps = [gap for gap in ledger.gaps if gap.last >= first]
        hour = await self._statistics.async_read(
            partial(_first_known, self._hass, self._prices, energy_id, gaps)
        )
        if hour is not None:
            # If Home Assistant stops before all is written, the gap is still noted, so the
            # next look finds the same hour.
            ledger.mark(hour)
            self._store.save_soon()

    async def _async_write(self, energy_id: str, ledger: CostLedger, name: str) -> None:
        """Write the costs of one statistic."""
        if ledger.changed_from and not await self._statistics.async_exists(
            cost_id(energy_id)
        ):
            # The user has deleted it, so it is written with all hours.
            ledger.mark(0)
        begin = ledger.begin()
        if begin != ledger.changed_from:
            await self._async_look(energy_id, ledger, begin)
        revision, first, begin = ledger.revision, ledger.changed_from, ledger.begin()
        assert first is not None
        plan = _Plan(
            self._hass,
            self._prices,
            energy_id,
            first,
            begin,
            frozenset(ledger.changed_hours),
        )
        metadata = metadata_of(
            cost_id(energy_id), name, unit=self._hass.config.currency
        )
        rows = await self._statistics.async_import(metadata, plan)
        LOGGER.debug("The costs of %s have %d new rows", energy_id, rows)
        ledger.written(revision, begin, plan.gaps)
        if plan.late_from is not None:
            ledger.mark(plan.late_from)
        self._store.save_soon()
        if plan.is_in_other_currency:
            self._in_other_currency.add(cost_id(energy_id))
            return
        self._in_other_currency.discard(cost_id(energy_id))
        if not rows and plan.name not in (None, name):
            self._statistics.describe(metadata)

    def _log_gaps(self, now: float) -> None:
        """Log what keeps statistics incomplete, once all that is known is written."""
        first = now // HOUR - OVERDUE
        gaps = [
            count
            for energy_id, count in self.missing.items()
            if count and self._store.costs[energy_id].gaps[0].first < first
        ]
        if gaps:
            self._log(
                "%d hours of %d statistics have no cost, because their price is unknown."
                " They are added when it is known",
                sum(gaps),
                len(gaps),
            )
        if self._in_other_currency:
            self._log(
                "%d statistics of costs stay as they are, because they are in another"
                " currency than that of Home Assistant. Delete %s to have them in it",
                len(self._in_other_currency),
                ", ".join(sorted(self._in_other_currency)),
            )

    def _log(self, message: str, *args: object) -> None:
        """Log a message once."""
        if message not in self._logged:
            self._logged.add(message)
            LOGGER.warning(message, *args)


# State and sum of an hour that has no row.
_NO_ROW = (None, 0.0)


class _Plan:
    """The rows of a cost statistic that have to be written."""

    def __init__(
        self,
        hass: HomeAssistant,
        prices: Prices,
        energy_id: str,
        first: int,
        begin: int,
        changed: Collection[int],
    ) -> None:
        """Initialize a plan.

        Args:
            hass: Home Assistant.
            prices: The prices.
            energy_id: The statistic of the energy.
            first: The first hour that may have to be written.
            begin: The first hour of the gap in which that hour is, or the same hour.
            changed: The hours whose cost is that of another energy.

        """
        self._hass = hass
        self._prices = prices
        self._energy_id = energy_id
        self._first = first
        self._begin = begin
        self._changed = changed
        # Read once: a price that becomes known while the rows are written comes later.
        self._known: HourlyPrices | None = None
        self.gaps: list[Gap] = []
        # The first hour before those to be written whose price has become known since
        # prices were looked for; None if there is none.
        self.late_from: int | None = None
        self.is_in_other_currency = False
        # The name of the statistic in the database, None if there is none.
        self.name: str | None = None

    def __call__(self) -> list[StatisticData]:
        """Return the rows that differ from those in the database; blocks."""
        hass, name = self._hass, cost_id(self._energy_id)
        metadata = get_metadata(hass, statistic_ids={name})
        if name in metadata:
            self.name = metadata[name][1]["name"]
            unit = metadata[name][1]["unit_of_measurement"]
            if unit != hass.config.currency:
                self.is_in_other_currency = True
                return []
        energies = {
            hour: energy
            for hour, (energy, _) in rows_from(
                hass, self._energy_id, self._begin
            ).items()
            if energy
        }
        held = rows_from(hass, name, self._begin)
        if energies and self._known is None:
            self._known = self._prices.read(min(energies), max(energies))
        amounts: dict[int, float | None] = {}
        missing: dict[int, bool] = {}
        late: list[int] = []
        for hour in sorted(energies.keys() | held.keys()):
            energy = energies.get(hour, 0.0)
            price = self._known.of(hour) if self._known and energy else 0.0
            amount: float | None
            if price is not None:
                amount = energy * price
                is_written = held.get(hour, _NO_ROW)[0] is not None
                if hour < self._first and not is_written:
                    late.append(hour)
            else:
                is_kept = hour in held and hour not in self._changed
                amount = held[hour][0] if is_kept else None
                missing[hour] = (
                    amount is None and self._prices.tariff.at(hour) is not None
                )
            # A row cannot be deleted. Without a state, it only continues the sum.
            if hour >= self._first and (amount is not None or hour in held):
                amounts[hour] = amount
        self.gaps = _gaps(sorted(energies), missing)
        self.late_from = min(late, default=None)
        total = sum_before(hass, name, self._first)
        rows: list[StatisticData] = []
        for hour, amount in amounts.items():
            total += amount or 0.0
            if differs(held.get(hour), (amount, total)):
                rows.append(row_of(hour, (amount, total)))
        return rows


def _would_stay(
    hass: HomeAssistant, prices: Prices, energy_id: str, hours: Collection[int]
) -> bool:
    """Return whether an hour would keep its cost if a change were lost; blocks."""
    held = rows_from(hass, cost_id(energy_id), min(hours))
    with_cost = [hour for hour in hours if held.get(hour, _NO_ROW)[0] is not None]
    if not with_cost:
        return False
    known = prices.read(min(with_cost), max(with_cost))
    return any(known.of(hour) is None for hour in with_cost)


def _first_known(
    hass: HomeAssistant, prices: Prices, energy_id: str, gaps: Sequence[Gap]
) -> int | None:
    """Return the first hour of some gaps whose price is known now, if any; blocks."""
    known = prices.read(gaps[0].first, gaps[-1].last)
    firsts = [gap.first for gap in gaps]
    rows = rows_from(hass, energy_id, gaps[0].first)
    return min(
        (
            hour
            for hour, (energy, _) in rows.items()
            if energy
            and hour <= gaps[bisect(firsts, hour) - 1].last
            and known.of(hour) is not None
        ),
        default=None,
    )


def _gaps(hours: list[int], missing: dict[int, bool]) -> list[Gap]:
    """Return the hours whose price is missing, those that follow each other as one."""
    gaps: list[Gap] = []
    is_open = False
    for hour in hours:
        if not missing.get(hour):
            is_open = False
        elif is_open:
            gaps[-1] = Gap(gaps[-1].first, hour, gaps[-1].count + 1)
        else:
            gaps.append(Gap(hour, hour, 1))
            is_open = True
    return gaps
