"""What a kWh costs in each hour."""

from datetime import datetime, timedelta
from typing import Any

from homeassistant.components.recorder.models import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import async_import_statistics
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_purge_done,
    async_wait_recording_done,
)
from sqlalchemy.exc import OperationalError

from custom_components.zaptec.history import prices as prices_module
from custom_components.zaptec.history.prices import (
    Cost,
    HourlyPrices,
    Period,
    Prices,
    Tariff,
    cost_of,
    mean_by_hour,
    price_factor,
)
from custom_components.zaptec.history.statistics import NotStoredError

# An hour of June 2026.
H = 494_556

ENTITY = "sensor.price"
UNIT = {"unit_of_measurement": "EUR/kWh"}

FIXED = Tariff((Period(H, 0.25), Period(H + 10, 0.3)))
RECORDED = Tariff((Period(0, entity_id=ENTITY),))


def test_each_price_counts_until_the_next_one() -> None:
    """An hour in the past keeps the price of its time, and has none before the first one."""
    assert FIXED.at(H - 1) is None
    assert FIXED.at(H) == FIXED.at(H + 9) == Period(H, 0.25)
    assert FIXED.at(H + 10) == FIXED.at(H + 1000) == Period(H + 10, 0.3)


def test_a_new_price_replaces_those_from_its_start_on() -> None:
    """The user may correct a price that was entered too late, or with a wrong day."""
    new = Period(H + 5, entity_id=ENTITY)
    assert FIXED.changed_to(new) == Tariff((Period(H, 0.25), new))
    assert FIXED.changed_to(Period(H, 0.2)) == Tariff((Period(H, 0.2),))


def test_which_hours_a_change_concerns() -> None:
    """Only the costs from the first hour on whose price differs are computed again."""
    assert FIXED.first_difference(FIXED) is None
    assert Tariff().first_difference(FIXED) == H
    assert FIXED.first_difference(FIXED.changed_to(Period(H + 5, 0.1))) == H + 5
    assert FIXED.first_difference(FIXED.changed_to(Period(H + 20, 0.1))) == H + 20


def test_a_tariff_is_stored() -> None:
    """The options of the entry keep the prices as JSON."""
    tariff = FIXED.changed_to(Period(H + 20, entity_id=ENTITY))
    assert Tariff.from_stored(tariff.as_stored()) == tariff


def test_the_cost_of_a_session() -> None:
    """Each hour's energy has the price of the hour, which may be negative."""
    prices = HourlyPrices(
        Tariff((Period(H, 0.5), Period(H + 1, entity_id=ENTITY))),
        {ENTITY: {H + 1: -0.1, H + 2: 0.2}},
    )
    cost = cost_of({H: 1000, H + 1: 10_000, H + 2: 500}, prices)
    assert cost.amount == pytest.approx(0.5 - 1.0 + 0.1)
    assert cost.missing == ()
    assert cost_of({}, prices) == Cost(0.0, ())


def test_a_cost_is_not_guessed() -> None:
    """One hour without a price is enough for the cost to be unknown, and is listed."""
    assert cost_of({H: 1000, H - 1: 1, H - 2: 1}, HourlyPrices(FIXED)) == Cost(
        None, (H - 2, H - 1)
    )
    assert cost_of({H: 1000}, HourlyPrices(RECORDED)) == Cost(None, (H,))
    assert cost_of({H: 1000}, HourlyPrices(Tariff())) == Cost(None, (H,))


@pytest.mark.parametrize(
    ("unit", "currency", "factor"),
    [
        (None, "EUR", 1.0),
        ("", "EUR", 1.0),
        ("EUR/kWh", "EUR", 1.0),
        ("eur / kWh", "EUR", 1.0),
        ("€/kWh", "EUR", 1.0),
        ("kr/kWh", "SEK", 1.0),
        ("zł/kWh", "PLN", 1.0),
        ("NOK/MWh", "NOK", 0.001),
        ("NOK/Wh", "NOK", 1000.0),
        ("øre/kWh", "NOK", 0.01),
        ("öre/kWh", "SEK", 0.01),
        ("ct/kWh", "EUR", 0.01),
        ("p/kWh", "GBP", 0.01),
        ("CHF/kWh", "CHF", 1.0),
        # Of another currency, or no price of energy.
        ("SEK/kWh", "NOK", None),
        ("$/kWh", "EUR", None),
        ("kr/kWh", "EUR", None),
        ("EUR/m³", "EUR", None),
        ("EUR", "EUR", None),
        ("%", "EUR", None),
    ],
)
def test_the_unit_of_a_price(
    unit: str | None, currency: str, factor: float | None
) -> None:
    """Price entities spell the currency in several ways; no other currency is accepted."""
    assert price_factor(unit, currency) == (
        None if factor is None else pytest.approx(factor)
    )


def test_the_mean_of_a_price_by_hour() -> None:
    """A price counts for as long as it was shown."""
    start = H * 3600.0
    changes = [
        (start, 1.0),
        (start + 900, 9.0),
        (start + 900, 3.0),
        (start + 3600, None),
        (start + 3600 + 600, 5.0),
        (start + 3 * 3600, None),
    ]
    assert mean_by_hour(changes, start + 5 * 3600) == pytest.approx(
        {H: 2.5, H + 1: 5.0, H + 2: 5.0}
    )
    assert mean_by_hour([], start) == {}


@pytest.fixture
def recorder_config() -> dict[str, Any]:
    """Record the states of the price entity."""
    return {}


class Shown:
    """A price entity."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the entity; the present hour is the fifth one."""
        self.hass = hass
        hass.config.currency = "EUR"
        self.hour = int(dt_util.utcnow().timestamp() // 3600) - 5

    async def statistics(
        self,
        means: dict[int, float],
        unit: str = "EUR/kWh",
        mean_type: StatisticMeanType = StatisticMeanType.ARITHMETIC,
    ) -> None:
        """Let Home Assistant have long-term statistics of it, by the hour since `hour`."""
        async_import_statistics(
            self.hass,
            StatisticMetaData(
                mean_type=mean_type,
                has_sum=mean_type is StatisticMeanType.NONE,
                name=None,
                source="recorder",
                statistic_id=ENTITY,
                unit_class=None,
                unit_of_measurement=unit,
            ),
            [
                StatisticData(start=self.moment(hour), mean=mean)
                for hour, mean in means.items()
            ],
        )
        await async_wait_recording_done(self.hass)

    def moment(self, hour: float) -> datetime:
        """Return the start of an hour since `hour`."""
        return dt_util.utc_from_timestamp((self.hour + hour) * 3600)

    async def prices(self, tariff: Tariff = RECORDED) -> dict[int, float]:
        """Return the prices of the hours since `hour`, the present one included."""
        prices = await Prices(self.hass, tariff).async_of(self.hour, self.hour + 5)
        known = {hour: prices.of(self.hour + hour) for hour in range(6)}
        return {hour: price for hour, price in known.items() if price is not None}


@pytest.fixture
def shown(hass: HomeAssistant) -> Shown:
    """Return the price entity."""
    return Shown(hass)


@pytest.mark.usefixtures("_custom_integrations")
async def test_the_price_of_an_hour_is_its_mean(shown: Shown) -> None:
    """Home Assistant's statistics of the entity say it; the present hour is not over."""
    await shown.statistics({0: 0.1, 1: 0.2, 3: -0.3, 5: 0.4})
    assert await shown.prices() == pytest.approx({0: 0.1, 1: 0.2, 3: -0.3})


@pytest.mark.usefixtures("_custom_integrations")
async def test_prices_in_another_unit_are_converted(shown: Shown) -> None:
    """A hundredth of the currency, and MWh, are converted."""
    await shown.statistics({0: 20.0}, unit="ct/kWh")
    assert await shown.prices() == pytest.approx({0: 0.2})
    await shown.statistics({0: 200.0}, unit="€/MWh")
    assert await shown.prices() == pytest.approx({0: 0.2})
    await shown.statistics({0: 200.0}, unit="SEK/kWh")
    assert await shown.prices() == {}


@pytest.mark.usefixtures("_custom_integrations")
async def test_only_the_hours_of_the_entity_are_read(shown: Shown) -> None:
    """Before and after, other prices count."""
    await shown.statistics({0: 0.1, 1: 0.2, 2: 0.3})
    tariff = Tariff(
        (
            Period(shown.hour, 7.0),
            Period(shown.hour + 1, entity_id=ENTITY),
            Period(shown.hour + 2, 9.0),
        )
    )
    assert await shown.prices(tariff) == pytest.approx(
        {0: 7.0, 1: 0.2, 2: 9.0, 3: 9.0, 4: 9.0, 5: 9.0}
    )


@pytest.mark.usefixtures("_custom_integrations")
async def test_recorded_states_of_an_entity_without_statistics(
    shown: Shown,
) -> None:
    """A helper has no statistics, so what it has shown counts, for as long as it did."""
    start = shown.moment(1)
    states = {
        start - timedelta(hours=2): "0.5",
        start + timedelta(minutes=15): "0.1",
        start + timedelta(hours=1): "unavailable",
        start + timedelta(hours=1, minutes=30): "0.2",
        start + timedelta(hours=2): "nan",
    }
    for moment, state in states.items():
        shown.hass.states.async_set(ENTITY, state, UNIT, timestamp=moment.timestamp())
    await async_wait_recording_done(shown.hass)
    assert await shown.prices() == pytest.approx({0: 0.5, 1: 0.2, 2: 0.2})
    # A sensor that only has sums has no price of an hour in its statistics.
    await shown.statistics({}, mean_type=StatisticMeanType.NONE)
    assert await shown.prices() == pytest.approx({0: 0.5, 1: 0.2, 2: 0.2})


@pytest.mark.usefixtures("_custom_integrations")
async def test_a_helper_that_has_not_changed_for_long(shown: Shown) -> None:
    """Home Assistant deletes old states, also the one that a helper still shows."""
    for moment, state in ((-800, "0.7"), (-700, "0.5")):
        timestamp = shown.moment(moment).timestamp()
        shown.hass.states.async_set(ENTITY, state, UNIT, timestamp=timestamp)
    await async_wait_recording_done(shown.hass)
    await shown.hass.services.async_call(
        "recorder", "purge", {"keep_days": 10}, blocking=True
    )
    await async_wait_purge_done(shown.hass)
    prices = await shown.prices()
    assert {prices[hour] for hour in range(4)} == {0.5}
    # What was shown before that state is not known any more.
    past = await Prices(shown.hass, RECORDED).async_of(
        shown.hour - 701, shown.hour - 700
    )
    assert [past.of(shown.hour - hour) for hour in (701, 700)] == [None, 0.5]


@pytest.mark.usefixtures("_custom_integrations")
async def test_a_helper_that_was_changed_after_the_hours(shown: Shown) -> None:
    """What it shows now does not count for hours before, nor does it lengthen them."""
    for moment, state in ((1, "0.7"), (2.5, "0.5")):
        timestamp = shown.moment(moment).timestamp()
        shown.hass.states.async_set(ENTITY, state, UNIT, timestamp=timestamp)
    await async_wait_recording_done(shown.hass)
    prices = await Prices(shown.hass, RECORDED).async_of(shown.hour, shown.hour + 1)
    assert [prices.of(shown.hour + hour) for hour in range(3)] == [None, 0.7, None]


@pytest.mark.usefixtures("_custom_integrations")
async def test_the_price_of_an_hour_that_has_just_ended(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Home Assistant has not recorded all of that hour yet, so its mean may be wrong."""
    await shown.statistics({3: 0.1, 4: 0.2})
    for seconds, known in ((299, {3: 0.1}), (300, {3: 0.1, 4: 0.2})):
        now = shown.moment(5) + timedelta(seconds=seconds)
        with monkeypatch.context() as patch:
            patch.setattr(prices_module.dt_util, "utcnow", lambda now=now: now)
            prices = await shown.prices()
        assert prices == pytest.approx(known)


@pytest.mark.usefixtures("_custom_integrations")
async def test_short_term_statistics_fill_the_gaps(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Home Assistant stops before an hour ends, that hour only has rows of 5 minutes."""
    await shown.statistics({0: 0.1})
    read = prices_module.statistics_during_period

    def with_short_term(*args: Any) -> Any:
        if args[4] != "5minute":
            return read(*args)
        start = shown.moment(0).timestamp()
        rows = [
            {"start": start + offset * 300, "mean": mean}
            for offset, mean in ((0, 9.0), (12, 0.2), (13, 0.4), (14, None))
        ]
        return {ENTITY: rows}

    monkeypatch.setattr(prices_module, "statistics_during_period", with_short_term)
    assert await shown.prices() == pytest.approx({0: 0.1, 1: 0.3})


@pytest.mark.usefixtures("_custom_integrations")
async def test_a_database_that_cannot_be_read(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price is not taken as unknown then, because the database may be locked only."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("", {}, Exception("database is locked"))

    monkeypatch.setattr(prices_module, "get_metadata", fail)
    with pytest.raises(NotStoredError, match="OperationalError"):
        await shown.prices()


async def test_prices_without_the_recorder(hass: HomeAssistant) -> None:
    """A fixed price needs no recorder; nothing is known of an entity."""
    hass.config.components.remove("recorder")
    prices = await Prices(hass, FIXED).async_of(H, H + 10)
    assert (prices.of(H), prices.of(H + 10)) == (0.25, 0.3)
    prices = await Prices(hass, RECORDED).async_of(H, H + 10)
    assert prices.of(H) is None


def test_whether_there_is_a_price(hass: HomeAssistant) -> None:
    """The user may choose none, a fixed one or an entity."""
    assert not Prices(hass, Tariff())
    assert Prices(hass, Tariff()).entity_id is None
    assert Prices(hass, FIXED)
    assert Prices(hass, FIXED).entity_id is None
    assert Prices(hass, FIXED.changed_to(Period(H + 20, entity_id=ENTITY))).entity_id


async def test_the_price_of_what_is_drawn_now(hass: HomeAssistant) -> None:
    """Energy that is drawn over a long time has no one price if that may have changed."""
    hass.config.currency = "EUR"
    start = dt_util.utc_from_timestamp((H + 1) * 3600)
    short, long = start + timedelta(minutes=60), start + timedelta(minutes=61)

    fixed = Prices(hass, FIXED)
    assert fixed.over(start, long) == 0.25
    assert fixed.over(start, start + timedelta(hours=10)) is None
    assert fixed.over(start + timedelta(hours=8.5), start + timedelta(hours=9.2)) == 0.3
    assert fixed.over(start - timedelta(hours=2), start - timedelta(hours=2)) is None

    shown = Prices(hass, RECORDED)
    short = dt_util.utcnow()
    start, long = short - timedelta(minutes=60), short + timedelta(minutes=1)
    assert shown.over(start, short) is None
    for state, price in (("0.2", 0.2), ("unknown", None), ("inf", None)):
        hass.states.async_set(ENTITY, state, UNIT)
        assert shown.over(start, short) == price
    hass.states.async_set(ENTITY, "20", {"unit_of_measurement": "ct/kWh"})
    assert shown.over(start, short) == pytest.approx(0.2)
    assert shown.over(start, long) is None
    # It has changed since.
    assert shown.over(start - timedelta(minutes=70), short - timedelta(minutes=65)) is (
        None
    )
    hass.states.async_set(ENTITY, "20", {"unit_of_measurement": "SEK/kWh"})
    assert shown.over(start, short) is None
