"""What a kWh costs in each hour: a fixed price, or what a price entity has shown.

The user may change the price, and each price counts from a day on. So there may be several
in turn, and an hour in the past has the price of its time. An hour without a price has no
cost: it is not guessed from the hours around it.

An entity's price of an hour is the mean of that hour, as Home Assistant has recorded it. It
is known some minutes after the hour is over.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
import math
from typing import Any, Self

from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.history import state_changes_during_period
from homeassistant.components.recorder.models import StatisticMeanType
from homeassistant.components.recorder.statistics import (
    get_metadata,
    statistics_during_period,
)
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, UnitOfEnergy
from homeassistant.core import (
    CALLBACK_TYPE,
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import EnergyConverter
from sqlalchemy.exc import SQLAlchemyError

from ..const import RECORDER
from .hours import HOUR
from .price_course import PriceCourse, mean_by_hour
from .statistics import NotStoredError

# Longest time over which the mean of an entity's price is computed (s). Home Assistant
# deletes states after such a time.
OVER_MAX = 10 * 24 * HOUR

# Time after an hour until its price is known (s), because Home Assistant has to store its
# states and to compile its statistics first.
AFTER_HOUR = 300

# What the currencies are called in the units of price entities, besides their codes.
_SYMBOLS = {
    "AUD": {"$"},
    "CAD": {"$"},
    "DKK": {"kr", "kr."},
    "EUR": {"€"},
    "GBP": {"£"},
    "ISK": {"kr", "kr."},
    "NOK": {"kr", "kr."},
    "NZD": {"$"},
    "PLN": {"zł"},
    "SEK": {"kr", "kr."},
    "USD": {"$"},
}

# What the hundredth part of the currency is called in the units of price entities.
_HUNDREDTHS = {"c", "ct", "cent", "cents", "gr", "p", "øre", "öre", "¢"}


@dataclass(frozen=True, slots=True)
class Period:
    """A price, and from when on it counts."""

    start: int
    """The first hour, counted from 1970 (UTC)."""
    price: float | None = None
    """The fixed price of a kWh."""
    entity_id: str | None = None
    """The entity whose price it is, if it is not fixed."""

    def as_dict(self) -> dict[str, Any]:
        """Return the period as it is stored."""
        return {"start": self.start, "price": self.price, "entity_id": self.entity_id}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return a period that was stored."""
        return cls(stored["start"], stored["price"], stored["entity_id"])


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices that count, one after another."""

    periods: tuple[Period, ...] = ()
    """In the order of their starts."""

    @classmethod
    def from_stored(cls, stored: Iterable[Mapping[str, Any]]) -> Self:
        """Return a tariff that was stored."""
        return cls(tuple(map(Period.from_dict, stored)))

    def as_stored(self) -> list[dict[str, Any]]:
        """Return the tariff as JSON can store it."""
        return [period.as_dict() for period in self.periods]

    def at(self, hour: int) -> Period | None:
        """Return the price that counts in an hour, None before the first one."""
        return next(
            (period for period in reversed(self.periods) if period.start <= hour), None
        )

    def changed_to(self, new: Period) -> Self:
        """Return the tariff in which another price replaces all others from its start on."""
        before = (period for period in self.periods if period.start < new.start)
        return type(self)((*before, new))

    def renamed(self, old: str, new: str) -> Self:
        """Return the tariff after the user has renamed an entity."""
        return type(self)(
            tuple(
                replace(period, entity_id=new) if period.entity_id == old else period
                for period in self.periods
            )
        )

    def first_difference(self, other: Self) -> int | None:
        """Return the first hour whose price may differ, None if there is none."""
        different = set(self.periods) ^ set(other.periods)
        return min((period.start for period in different), default=None)


@dataclass(frozen=True, slots=True)
class HourlyPrices:
    """The price of a kWh in each hour of some time."""

    tariff: Tariff
    recorded: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """The price of each hour that an entity has shown, by entity."""

    def of(self, hour: int) -> float | None:
        """Return the price of an hour, None if it is unknown."""
        if (period := self.tariff.at(hour)) is None:
            return None
        if period.entity_id is None:
            return period.price
        return self.recorded.get(period.entity_id, {}).get(hour)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the energy of some hours costs."""

    amount: float | None
    """In Home Assistant's currency; None if the price of an hour is unknown."""
    missing: tuple[int, ...]
    """The hours whose price is unknown, counted from 1970 (UTC)."""


def cost_of(hours: Mapping[int, int], prices: HourlyPrices) -> Cost:
    """Return what the energy of some hours costs.

    Args:
        hours: The energy (Wh) by the hour, counted from 1970 (UTC).
        prices: The prices of these hours.

    """
    amounts: list[float] = []
    missing: list[int] = []
    for hour in sorted(hours):
        if (price := prices.of(hour)) is None:
            missing.append(hour)
        else:
            amounts.append(hours[hour] / 1000 * price)
    return Cost(None if missing else math.fsum(amounts), tuple(missing))


# The topic of the listeners that follow the prices.
PRICE_TOPIC = "price"


class Prices:
    """The prices that the user has chosen for an account."""

    def __init__(self, hass: HomeAssistant, tariff: Tariff) -> None:
        """Initialize the prices."""
        self._hass = hass
        self.tariff = tariff
        # What the entities have shown that are followed, or whose past was read.
        self._courses: dict[str, PriceCourse] = {}
        self._on_change: Callable[[], None] = lambda: None
        self._cancel: CALLBACK_TYPE | None = None

    def __bool__(self) -> bool:
        """Return whether the user has chosen a price."""
        return bool(self.tariff.periods)

    @property
    def entity_id(self) -> str | None:
        """Return the entity whose price counts at present, None for a fixed price."""
        period = self.tariff.at(int(dt_util.utcnow().timestamp() // HOUR))
        return period.entity_id if period else None

    @callback
    def rename(self, old: str, new: str) -> None:
        """Follow an entity that the user has renamed."""
        self.tariff = self.tariff.renamed(old, new)
        if course := self._courses.pop(old, None):
            self._courses[new] = course
        if self._cancel:
            self._untrack()
            self._track()

    async def async_of(self, first: int, last: int) -> HourlyPrices:
        """Return the prices of the hours from one to another, both included.

        Raises:
            NotStoredError: The database cannot be read.

        """
        if not self._entities(self.tariff, first, last):
            return HourlyPrices(self.tariff)
        return await self._async_read(self.read, first, last)

    async def _async_read[T](
        self, read: Callable[[int, int], T], first: int, last: int
    ) -> T:
        """Return what is read from the database about some hours.

        Raises:
            NotStoredError: The database cannot be read.

        """
        try:
            return await get_instance(self._hass).async_add_executor_job(
                read, first, last
            )
        except SQLAlchemyError as err:
            raise NotStoredError(type(err).__name__) from err

    def read(self, first: int, last: int) -> HourlyPrices:
        """Return the prices of the hours from one to another, both included; blocks."""
        # The present hour goes on, and so may its price change.
        present = int((dt_util.utcnow().timestamp() - AFTER_HOUR) // HOUR)
        last = min(last, present - 1)
        # The event loop may replace it meanwhile.
        tariff = self.tariff
        return HourlyPrices(tariff, self._read(first, last, tariff))

    def _read(
        self, first: int, last: int, tariff: Tariff | None = None
    ) -> dict[str, dict[int, float]]:
        """Return the recorded prices of the hours from one to another; blocks."""
        recorded: dict[str, dict[int, float]] = {}
        for entity_id, begin, end in self._entities(tariff or self.tariff, first, last):
            recorded.setdefault(entity_id, {}).update(
                _recorded(self._hass, entity_id, begin, end)
            )
        return recorded

    def _entities(
        self, tariff: Tariff, first: int, last: int
    ) -> list[tuple[str, int, int]]:
        """Return which entities' prices count, each with its first and its last hour.

        Nothing is recorded without the recorder.
        """
        if RECORDER not in self._hass.config.components:
            return []
        periods = pairwise([*tariff.periods, Period(last + 1)])
        return [
            (period.entity_id, begin, end)
            for period, following in periods
            if period.entity_id
            and (begin := max(first, period.start))
            <= (end := min(last, following.start - 1))
        ]

    def over(self, start: datetime, end: datetime) -> float | None:
        """Return the mean price from one moment to another, None if a part is unknown."""
        begin, until = start.timestamp(), max(start, end).timestamp()
        first, last = int(begin // HOUR), int(until // HOUR)
        period = self.tariff.at(last)
        if period is None or self.tariff.at(first) is None:
            return None
        if period.entity_id is None and period.start <= first:
            return period.price
        if until - begin > OVER_MAX:
            return None
        if until == begin:
            return self._in_hour(first, begin, begin + 1)
        amounts: list[float] = []
        for hour in range(first, last + 1):
            part = max(begin, hour * HOUR), min(until, (hour + 1) * HOUR)
            if part[0] == part[1]:
                continue
            if (price := self._in_hour(hour, *part)) is None:
                return None
            amounts.append(price * (part[1] - part[0]))
        return math.fsum(amounts) / (until - begin)

    def _in_hour(self, hour: int, begin: float, end: float) -> float | None:
        """Return the mean price in a part of an hour, None if it is unknown."""
        if (period := self.tariff.at(hour)) is None:
            return None
        if period.entity_id is None:
            return period.price
        course = self._courses.get(period.entity_id)
        return course.over(begin, end) if course else None

    @callback
    def follow(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Follow what the entities show from now on; return what ends it.

        Args:
            on_change: Called when a price has changed.

        """
        self._on_change = on_change
        self._track()
        return self._untrack

    @callback
    def _track(self) -> None:
        """Follow the entities whose prices count now or later."""
        hour = int(dt_util.utcnow().timestamp() // HOUR)
        present = self.tariff.at(hour)
        for period in self.tariff.periods:
            if period.entity_id and (period == present or period.start > hour):
                course = self._courses.setdefault(period.entity_id, PriceCourse())
                if state := self._hass.states.get(period.entity_id):
                    course.show(state.last_changed.timestamp(), self._shown(state))
        self._cancel = async_track_state_change_event(
            self._hass, self._courses, self._changed
        )

    @callback
    def _untrack(self) -> None:
        """Follow the entities no longer."""
        if self._cancel:
            self._cancel()
            self._cancel = None

    @callback
    def _changed(self, event: Event[EventStateChangedData]) -> None:
        """Note another price."""
        state = event.data["new_state"]
        course = self._courses[event.data["entity_id"]]
        course.show(event.time_fired_timestamp, self._shown(state) if state else None)
        self._on_change()

    def _shown(self, state: State) -> float | None:
        """Return the price of a kWh that a state shows, None if it shows none."""
        return _price(state, self._hass.config.currency)

    async def async_load(self, since: datetime) -> None:
        """Read what was recorded since a moment, such as before a restart.

        Raises:
            NotStoredError: The database cannot be read.

        """
        now = dt_util.utcnow()
        if (now - since).total_seconds() > OVER_MAX:
            return
        hours = int(since.timestamp() // HOUR), int(now.timestamp() // HOUR)
        if not self._entities(self.tariff, *hours):
            return
        for entity_id, prices in (await self._async_read(self._read, *hours)).items():
            self._courses.setdefault(entity_id, PriceCourse()).record(prices)


def price_factor(unit: str | None, currency: str) -> float | None:
    """Return what turns a number of a unit into the price of a kWh in a currency.

    Args:
        unit: The unit of a price entity. Without one, such as that of a helper, the number
            is the price of a kWh.
        currency: The code of the currency.

    Returns:
        The factor, None if the unit is not a price of energy in this currency.

    """
    if not unit:
        return 1.0
    money, _, energy = (part.strip() for part in unit.partition("/"))
    if energy not in EnergyConverter.VALID_UNITS:
        return None
    if money.lower() in {currency.lower(), *_SYMBOLS.get(currency, ())}:
        share = 1.0
    elif money.lower() in _HUNDREDTHS:
        share = 0.01
    else:
        return None
    return share * EnergyConverter.convert(1, UnitOfEnergy.KILO_WATT_HOUR, energy)


def _price(state: State, currency: str) -> float | None:
    """Return the price of a kWh that a state shows, None if it shows none."""
    factor = price_factor(state.attributes.get(ATTR_UNIT_OF_MEASUREMENT), currency)
    try:
        price = float(state.state)
    except ValueError:
        return None
    return price * factor if factor is not None and math.isfinite(price) else None


def _recorded(
    hass: HomeAssistant, entity_id: str, first: int, last: int
) -> dict[int, float]:
    """Return the prices of an entity that Home Assistant has recorded; blocks."""
    start = dt_util.utc_from_timestamp(first * HOUR)
    end = dt_util.utc_from_timestamp((last + 1) * HOUR)
    currency = hass.config.currency
    _, metadata = get_metadata(hass, statistic_ids={entity_id}).get(
        entity_id, (None, None)
    )
    if metadata is None or metadata["mean_type"] is StatisticMeanType.NONE:
        return _means(hass, entity_id, start, end)
    factor = price_factor(metadata["unit_of_measurement"], currency)
    if factor is None:
        return {}
    prices: dict[int, float] = {}
    # The rows of 5 minutes are kept for some days. They are there earlier, and also if Home
    # Assistant has stopped before the end of the hour.
    for period in ("5minute", "hour"):
        amounts: dict[int, list[float]] = {}
        found = statistics_during_period(
            hass, start, end, {entity_id}, period, None, {"mean"}
        )
        for row in found.get(entity_id, ()):
            if (mean := row.get("mean")) is not None:
                amounts.setdefault(int(row["start"] // HOUR), []).append(mean * factor)
        prices |= {hour: math.fsum(item) / len(item) for hour, item in amounts.items()}
    return prices


def _means(
    hass: HomeAssistant, entity_id: str, start: datetime, end: datetime
) -> dict[int, float]:
    """Return the mean of the prices that an entity without statistics has shown; blocks.

    As in Home Assistant's statistics, it is about the part of the hour in which the entity
    has shown a price. The part of an hour that is still to come does not count.

    Home Assistant deletes states after some days, even the one that an entity still shows,
    such as that of a helper that is seldom changed. So that one counts since it is shown.
    """
    end = min(end, dt_util.utcnow())
    states = state_changes_during_period(hass, start, end, entity_id)
    changes = [
        (
            max(state.last_updated, start).timestamp(),
            _price(state, hass.config.currency),
        )
        for state in states.get(entity_id, ())
    ]
    shown = hass.states.get(entity_id)
    if shown and shown.last_changed < end:
        since = max(shown.last_changed, start).timestamp()
        changes = [change for change in changes if change[0] < since]
        changes.append((since, _price(shown, hass.config.currency)))
    return mean_by_hour(changes, end.timestamp())
