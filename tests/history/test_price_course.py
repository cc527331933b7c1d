"""The course of a price in some time."""

import pytest

from custom_components.zaptec.history.price_course import (
    CHANGES_MAX,
    KEPT,
    PriceCourse,
    mean_by_hour,
)

# The start of an hour of June 2026.
START = 494_556 * 3600.0


def course(*changes: tuple[float, float | None]) -> PriceCourse:
    """Return the course of a price that has changed some minutes after the start."""
    result = PriceCourse()
    for minutes, price in changes:
        result.show(START + minutes * 60, price)
    return result


def over(prices: PriceCourse, begin: float, end: float) -> float | None:
    """Return the mean price between some minutes after the start."""
    return prices.over(START + begin * 60, START + end * 60)


def test_the_mean_of_a_price_by_hour() -> None:
    """A price counts for as long as it was shown."""
    changes = [
        (START, 1.0),
        (START + 900, 9.0),
        (START + 900, 3.0),
        (START + 3600, None),
        (START + 3600 + 600, 5.0),
        (START + 3 * 3600, None),
    ]
    hour = int(START // 3600)
    assert mean_by_hour(changes, START + 5 * 3600) == pytest.approx(
        {hour: 2.5, hour + 1: 5.0, hour + 2: 5.0}
    )
    assert mean_by_hour([], START) == {}


def test_prices_of_a_quarter_of_an_hour() -> None:
    """Each counts for what is drawn in its time; one may be negative."""
    prices = course((0, 0.1), (15, 0.3), (30, -0.2), (45, 0.5))
    assert over(prices, 0, 15) == pytest.approx(0.1)
    assert over(prices, 10, 20) == pytest.approx(0.2)
    assert over(prices, 30, 45) == pytest.approx(-0.2)
    assert over(prices, 0, 60) == pytest.approx(0.175)
    # The last one counts until there is another one.
    assert over(prices, 70, 75) == pytest.approx(0.5)


def test_a_time_without_a_price() -> None:
    """It has the price of its hour, as in the statistics, and none in other hours."""
    prices = course((5, 0.2), (20, None), (40, 0.4), (70, None))
    assert (
        over(prices, 0, 5)
        == over(prices, 22, 30)
        == pytest.approx((0.2 * 15 + 0.4 * 20) / 35)
    )
    assert over(prices, 15, 25) == pytest.approx(0.2)
    assert over(prices, 80, 90) == pytest.approx(0.4)
    assert over(prices, 120, 130) is None
    assert over(prices, -5, 0) is None
    assert over(PriceCourse(), 0, 5) is None


def test_recorded_prices() -> None:
    """They count where the entity has shown nothing, as before a restart."""
    prices = course((20, 0.4))
    prices.record({int(START // 3600) - 1: 0.1, int(START // 3600): 0.2})
    assert over(prices, -30, -20) == pytest.approx(0.1)
    assert over(prices, 5, 10) == pytest.approx(0.2)
    assert over(prices, 15, 25) == pytest.approx(0.4)


def test_old_prices_are_dropped() -> None:
    """What counts at the beginning of the time that is kept stays."""
    prices = course((0, 0.1), (60, 0.2), (120, 0.2))
    prices.show(START + 3600 + KEPT, 0.3)
    assert over(prices, 30, 40) is None
    assert over(prices, 60, 90) == pytest.approx(0.2)
    for number in range(2 * CHANGES_MAX):
        prices.show(START + 7200 + KEPT + number / 100, float(number))
    assert over(prices, 60, 90) is None
    assert prices.over(START + 7300 + KEPT, START + 7400 + KEPT) == pytest.approx(
        2 * CHANGES_MAX - 1
    )
