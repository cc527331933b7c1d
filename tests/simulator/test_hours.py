"""Tests of the energy by the hour."""

from datetime import UTC, datetime, timedelta
import math

import pytest

from simulator.car import Car
from simulator.charger import Charger
from simulator.hours import HourlyEnergy
from simulator.simulator import Simulator

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_energy_is_divided_at_the_full_hour() -> None:
    """A power that lasts over the full hour counts in both hours, by the time in each."""
    hours = HourlyEnergy()
    hours.add(NOON + timedelta(minutes=45), NOON + timedelta(minutes=90), 2000)
    hours.add(NOON + timedelta(hours=3), NOON + timedelta(hours=5), 0)
    hours.add(NOON, NOON, 2000)
    assert hours.between() == {
        NOON: pytest.approx(0.5),
        NOON + timedelta(hours=1): pytest.approx(1.0),
    }


def test_hours_of_a_period_and_of_several_sources() -> None:
    """The first hour of a period is included, the last one is not; the hours are in order."""
    hours, others = HourlyEnergy(), HourlyEnergy()
    hours.add(NOON, NOON + timedelta(hours=3), 1000)
    others.add(NOON - timedelta(hours=1), NOON + timedelta(hours=1), 500)
    hours.merge(others)
    later = NOON + timedelta(hours=1)
    assert hours.between(NOON, later) == {NOON: pytest.approx(1.5)}
    assert list(hours.between(end=later)) == [NOON - timedelta(hours=1), NOON]
    assert list(hours.between(later)) == [later, NOON + timedelta(hours=2)]


def test_a_chargers_hours_are_the_integral_of_its_power(
    world: Simulator, pro: Charger
) -> None:
    """The hours add up to the meter's difference at any moment, also in mid-charge."""
    before = pro.lifetime_energy
    pro.plug_in(Car(capacity_kwh=30))
    readings = [before]
    # The clock starts at three minutes past ten.
    for seconds in (57 * 60, 3600, 1800):
        pro.clock.advance(seconds)
        readings.append(pro.lifetime_energy)
        assert math.fsum(world.energy_by_hour(pro.id).values()) == pytest.approx(
            pro.lifetime_energy - before
        )
    pro.unplug()
    pro.clock.advance(7200)
    hours = [datetime(2026, 1, 5, hour, tzinfo=UTC) for hour in (10, 11, 12)]
    assert world.energy_by_hour(pro.id) == {
        hour: pytest.approx(readings[index + 1] - readings[index], abs=1e-9)
        for index, hour in enumerate(hours)
    }
    assert list(world.energy_by_hour(pro.id, hours[1], hours[2])) == [hours[1]]
