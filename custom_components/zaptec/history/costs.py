"""Writes what the energy of each hour costs, as a statistic beside that of the energy.

The cost of an hour is its energy, as the database has it, times the price of the hour. So
the past can get another price without being read from the archive again.

An hour without a price gets no row, and is tried again each day. If the price was known
once and is not any more, the hour keeps its cost.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import get_metadata
from homeassistant.core import HomeAssistant, callback

from ..const import DOMAIN, LOGGER
from .cost_ledger import CostLedger, Gap
from .hours import HOUR
from .prices import AFTER_HOUR, HourlyPrices, Prices, Tariff
from .statistics import (
    NAME_MAX,
    HourlyStatistics,
    differs,
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


def cost_id(energy_id: str) -> str:
    """Return the id of the cost statistic that belongs to one of energy."""
    return f"{energy_id.removesuffix('_energy')}_cost"


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
        # What returns the name of the charger of each energy statistic.
        self._names: Mapping[str, Callable[[], str]] = {}
        # When a price is looked for that was unknown only because its hour went on: at the
        # start, and then some minutes after the hour.
        self._soon: float | None = 0.0
        # The statistics whose missing prices are logged, or that have another currency.
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
        regular = self._store.costs_checked_at + INTERVAL
        return regular if self._soon is None else min(regular, self._soon)

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
            await self._async_write(energy_id, ledger, name, now)
            return True
        return False

    async def _async_look_for_prices(self, now: float) -> None:
        """Try again where prices were unknown, or a statistic was deleted."""
        costs = self._store.costs
        if self._soon is not None and now >= self._soon:
            self._soon = None
            recent = now // HOUR - OVERDUE
            for ledger in costs.values():
                if ledger.gaps and ledger.gaps[-1].last >= recent:
                    ledger.mark(ledger.gaps[-1].first)
        if now < self._store.costs_checked_at + INTERVAL:
            return
        names = {cost_id(energy_id) for energy_id in costs}
        held = await self._statistics.async_read(
            partial(get_metadata, self._hass, statistic_ids=names)
        )
        for energy_id, ledger in costs.items():
            if cost_id(energy_id) not in held:
                ledger.mark(0)
            elif ledger.gaps:
                ledger.mark(ledger.gaps[0].first)
        self._store.costs_checked_at = now
        self._store.save_soon()

    async def _async_write(
        self, energy_id: str, ledger: CostLedger, name: str, now: float
    ) -> None:
        """Write the costs of one statistic."""
        revision, first = ledger.revision, ledger.begin()
        plan = _Plan(self._hass, self._prices, energy_id, first)
        metadata = _metadata(cost_id(energy_id), name, self._hass.config.currency)
        rows = await self._statistics.async_import(metadata, plan)
        LOGGER.debug("The costs of %s have %d new rows", energy_id, rows)
        ledger.written(revision, first, plan.gaps)
        self._store.save_soon()
        if plan.other_currency:
            self._log(
                energy_id,
                "The costs of %s stay as they are, because they are in %s. Delete the"
                " statistic %s to have them in the currency of Home Assistant",
                energy_id,
                plan.other_currency,
                cost_id(energy_id),
            )
            return
        if not rows and plan.name not in (None, name):
            self._statistics.describe(metadata)
        if not plan.gaps:
            return
        hour = int(now // HOUR)
        if plan.gaps[-1].last >= hour - 1:
            soon = (plan.gaps[-1].last + 1) * HOUR + AFTER_HOUR
            if soon > now and (self._soon is None or soon < self._soon):
                self._soon = soon
        if plan.gaps[0].first < hour - OVERDUE:
            self._log(
                energy_id,
                "%d hours of %s have no cost, because their price is unknown. They are"
                " added when it is known",
                ledger.missing,
                energy_id,
            )

    def _log(self, energy_id: str, message: str, *args: object) -> None:
        """Log once what keeps a statistic incomplete."""
        if energy_id not in self._logged:
            self._logged.add(energy_id)
            LOGGER.warning(message, *args)


class _Plan:
    """The rows of a cost statistic that have to be written."""

    def __init__(
        self, hass: HomeAssistant, prices: Prices, energy_id: str, first: int
    ) -> None:
        """Initialize a plan from an hour on."""
        self._hass = hass
        self._prices = prices
        self._energy_id = energy_id
        self._first = first
        # Read once: a price that becomes known while the rows are written comes later.
        self._known: HourlyPrices | None = None
        self.gaps: list[Gap] = []
        self.other_currency: str | None = None
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
                self.other_currency = unit
                return []
        energies = {
            hour: energy
            for hour, (energy, _) in rows_from(
                hass, self._energy_id, self._first
            ).items()
            if energy
        }
        held = rows_from(hass, name, self._first)
        if energies and self._known is None:
            self._known = self._prices.read(min(energies), max(energies))
        amounts: dict[int, float] = {}
        missing: dict[int, bool] = {}
        for hour in sorted(energies.keys() | held.keys()):
            energy = energies.get(hour, 0.0)
            price = self._known.of(hour) if self._known and energy else 0.0
            before = held[hour][0] if hour in held else None
            if price is None:
                missing[hour] = (
                    before is None and self._prices.tariff.at(hour) is not None
                )
            amount = before if price is None else energy * price
            if amount is not None:
                amounts[hour] = amount
        self.gaps = _gaps(sorted(energies), missing)
        total = sum_before(hass, name, self._first)
        rows: list[StatisticData] = []
        for hour, amount in amounts.items():
            total += amount
            if differs(held.get(hour), (amount, total)):
                rows.append(row_of(hour, (amount, total)))
        return rows


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


def _metadata(name_id: str, name: str, currency: str) -> StatisticMetaData:
    """Return what describes a cost statistic."""
    return StatisticMetaData(
        mean_type=StatisticMeanType.NONE,
        has_sum=True,
        name=name[:NAME_MAX],
        source=DOMAIN,
        statistic_id=name_id,
        # Home Assistant has no class for currencies.
        unit_class=None,
        unit_of_measurement=currency,
    )
