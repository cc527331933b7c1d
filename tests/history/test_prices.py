"""What a kWh costs in each hour."""

from datetime import datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
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


def moment(hour: float) -> datetime:
    """Return a moment some hours after H."""
    return dt_util.utc_from_timestamp((H + hour) * 3600)


async def test_the_fixed_price_of_what_is_drawn(hass: HomeAssistant) -> None:
    """Over a change of the price, each has its share of the time."""
    fixed = Prices(hass, FIXED)
    assert fixed.over(moment(1), moment(2.5)) == 0.25
    assert fixed.over(moment(10), moment(5000)) == 0.3
    assert fixed.over(moment(1), moment(11)) == pytest.approx(0.255)
    assert fixed.over(moment(9.5), moment(10.25)) == pytest.approx(0.8 / 3)
    assert fixed.over(moment(9), moment(9)) == 0.25
    # The moment of a report may be before the last one.
    assert fixed.over(moment(10.5), moment(9)) == 0.3
    assert fixed.over(moment(-2), moment(-2)) is None
    assert fixed.over(moment(-2), moment(5)) is None
    assert fixed.over(moment(1), moment(1 + 10 * 24 + 1)) is None
    mixed = Prices(hass, FIXED.changed_to(Period(H + 20, entity_id=ENTITY)))
    assert mixed.over(moment(19), moment(19.5)) == 0.3
    assert mixed.over(moment(19), moment(20.5)) is None


async def test_the_price_that_an_entity_shows_while_it_is_drawn(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """It is the mean of what was shown in that time, in each of its hours."""
    hass.config.currency = "EUR"
    freezer.move_to(moment(0))
    hass.states.async_set(ENTITY, "0.2", UNIT)
    freezer.move_to(moment(0.25))
    changes: list[float] = []
    prices = Prices(hass, RECORDED)
    assert prices.over(moment(0), moment(0.5)) is None
    end = prices.follow(lambda: changes.append(dt_util.utcnow().timestamp()))
    # The entity has shown its price since before it was followed.
    assert prices.over(moment(0), moment(0.25)) == pytest.approx(0.2)
    for hour, state, unit in (
        (0.5, "40", "ct/kWh"),
        (1.0, "unknown", "EUR/kWh"),
        (2.0, "-0.1", "EUR/kWh"),
        (3.0, "inf", "EUR/kWh"),
        (4.0, "20", "SEK/kWh"),
    ):
        freezer.move_to(moment(hour))
        hass.states.async_set(ENTITY, state, {"unit_of_measurement": unit})
        await hass.async_block_till_done()
    assert len(changes) == 5
    assert prices.over(moment(0.25), moment(0.75)) == pytest.approx(0.3)
    assert prices.over(moment(0.5), moment(0.5)) == pytest.approx(0.4)
    assert prices.over(moment(0), moment(1)) == pytest.approx(0.3)
    assert prices.over(moment(0), moment(1.25)) is None
    assert prices.over(moment(2), moment(3)) == pytest.approx(-0.1)
    assert prices.over(moment(2), moment(3.5)) is None
    assert prices.over(moment(4), moment(5)) is None
    freezer.move_to(moment(5))
    hass.states.async_remove(ENTITY)
    await hass.async_block_till_done()
    assert prices.over(moment(5), moment(5.5)) is None
    freezer.move_to(moment(6))
    hass.states.async_set(ENTITY, "0.7", UNIT)
    await hass.async_block_till_done()
    assert prices.over(moment(6), moment(6.5)) == 0.7
    end()
    end()
    hass.states.async_set(ENTITY, "0.8", UNIT)
    await hass.async_block_till_done()
    assert len(changes) == 7


async def test_an_entity_whose_price_counts_later(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """It is followed from now on, and those before are not followed any more."""
    hass.config.currency = "EUR"
    freezer.move_to(moment(5))
    tariff = Tariff(
        (
            Period(0, entity_id="sensor.first"),
            Period(H, entity_id="sensor.second"),
            Period(H + 10, entity_id="sensor.third"),
        )
    )
    for name, price in (("first", 0.1), ("second", 0.2), ("third", 0.3)):
        hass.states.async_set(f"sensor.{name}", str(price), UNIT)
    prices = Prices(hass, tariff)
    prices.follow(lambda: None)
    assert prices.entity_id == "sensor.second"
    assert prices.over(moment(5), moment(6)) == pytest.approx(0.2)
    assert prices.over(moment(9.5), moment(10.5)) == pytest.approx(0.25)
    assert prices.over(moment(-0.5), moment(5.5)) is None
    freezer.move_to(moment(10))
    assert prices.entity_id == "sensor.third"


@pytest.mark.usefixtures("_custom_integrations")
async def test_recorded_prices_of_what_was_drawn_before(shown: Shown) -> None:
    """After a restart, they are read from the database."""
    await shown.statistics({1: 0.1, 2: 0.3})
    prices = Prices(shown.hass, RECORDED)
    await prices.async_load(shown.moment(1.5))
    assert prices.over(shown.moment(1.5), shown.moment(2.5)) == pytest.approx(0.2)
    assert prices.over(shown.moment(1.5), shown.moment(3.5)) is None
    # Nothing is read of a time that is too long, or for a fixed price.
    for tariff, since in ((RECORDED, -300), (FIXED, 1)):
        prices = Prices(shown.hass, tariff)
        await prices.async_load(shown.moment(since))
        if tariff is RECORDED:
            assert prices.over(shown.moment(1.5), shown.moment(2.5)) is None
