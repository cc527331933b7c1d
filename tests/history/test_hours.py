"""When a session has drawn its energy, compared with the power of simulated cars."""

from dataclasses import dataclass, replace
import math
import os
from random import Random

import pytest

from custom_components.zaptec.history.hours import (
    ENERGY_SLACK,
    HOUR,
    POWER_MAX,
    SNAP,
    Charge,
)

# Number of random sessions of each kind; docs/chaos.md says how to run more.
WALKS = int(os.environ.get("HISTORY_WALKS", "500"))

# A full hour (2026-11-26 12:00 UTC).
NOON = 494_556 * HOUR
HOUR_OF_NOON = NOON // HOUR

MINUTE = 60


@dataclass(frozen=True, slots=True)
class Truth:
    """A simulated session, and the energy of each hour (kWh)."""

    charge: Charge
    hours: dict[int, float]
    interval: int


def session(random: Random, *, pauses: int, interval: int) -> Truth:
    """Return a session of a car that draws a constant power between its pauses.

    The meter reports on the full interval, a little late, and not while nothing is drawn.
    """
    start = NOON + random.uniform(0, 24 * HOUR)
    parts: list[tuple[float, float, float]] = []
    now = start + random.choice((0.0, random.uniform(0, 3 * HOUR)))
    for _ in range(pauses + 1):
        length = random.uniform(10 * MINUTE, 4 * HOUR)
        parts.append((now, now + length, random.uniform(1.4, 22.0)))
        now += length + random.uniform(5 * MINUTE, 6 * HOUR)
    end = parts[-1][1] + random.choice((0.5, random.uniform(0, 9 * HOUR)))

    def until(moment: float) -> float:
        return math.fsum(
            power * (min(moment, to) - since) / HOUR
            for since, to, power in parts
            if since < moment
        )

    reports, before = [(start, 0.0)], 0.0
    due = (math.floor(start / interval) + 1) * interval
    while due < end:
        moment = due + random.uniform(0, 0.2)
        if (energy := round(until(moment), 3)) != before and moment < end:
            reports.append((moment, round(energy - before, 3)))
            before = energy
        due += interval
    total = round(until(end), 3)
    reports.append((end, round(total - before, 3)))
    hours = {
        hour: until((hour + 1) * HOUR) - until(hour * HOUR)
        for hour in range(int(start // HOUR), int(end // HOUR) + 1)
    }
    return Truth(Charge(start, end, total, tuple(reports)), hours, interval)


def wrong(truth: Truth, by_hour: dict[int, int]) -> float:
    """Return how much energy is in a wrong hour (kWh)."""
    hours = truth.hours.keys() | by_hour.keys()
    return 0.5 * math.fsum(
        abs(truth.hours.get(hour, 0.0) - by_hour.get(hour, 0) / 1000) for hour in hours
    )


@pytest.mark.parametrize("interval", [900, 1800, 3600])
@pytest.mark.parametrize(("pauses", "share"), [(0, 0.0005), (3, 0.005)])
def test_energy_is_in_its_hour(interval: int, pauses: int, share: float) -> None:
    """The share of energy in a wrong hour is at most 0.05 %, and 0.5 % with pauses."""
    total = missed = 0.0
    for seed in range(WALKS):
        truth = session(Random(seed), pauses=pauses, interval=interval)
        by_hour = truth.charge.by_hour(interval)
        assert sum(by_hour.values()) == round(1000 * truth.charge.energy)
        assert min(by_hour.values()) > 0
        total += truth.charge.energy
        missed += wrong(truth, by_hour)
    assert missed <= share * total


def test_another_interval_than_the_charger_has_now() -> None:
    """The interval of a session that is over may have been another one."""
    total = missed = 0.0
    for seed in range(WALKS):
        random = Random(seed)
        truth = session(random, pauses=2, interval=random.choice((300, 900, 1800)))
        missed += wrong(truth, truth.charge.by_hour(3600))
        total += truth.charge.energy
    assert missed <= 0.01 * total


def test_whatever_the_reports_say_the_sum_is_right() -> None:
    """Reports that are missing, doubled, shuffled or absurd never change the sum."""
    for seed in range(4 * WALKS):
        random = Random(seed)
        truth = session(random, pauses=random.randint(0, 4), interval=900)
        reports = list(truth.charge.reports)
        for _ in range(random.randint(1, 4)):
            index = random.randrange(len(reports))
            match random.randrange(6):
                case 0:
                    reports.insert(index, reports[index])
                case 1 if len(reports) > 1:
                    del reports[index]
                case 2:
                    random.shuffle(reports)
                case 3:
                    reports[index] = (reports[index][0], random.uniform(-5, 50))
                case 4:
                    reports[index] = (random.uniform(0, 4e9), reports[index][1])
                case 5:
                    reports = reports[:index]
                    break
        charge = replace(truth.charge, reports=tuple(reports))
        by_hour = charge.by_hour(random.choice((900, 3600)))
        assert sum(by_hour.values()) == round(1000 * charge.energy)
        assert min(by_hour.values()) > 0
        assert max(by_hour.values()) <= 1000 * (25 + ENERGY_SLACK)
        assert min(by_hour) >= charge.start // HOUR
        assert max(by_hour) <= charge.end // HOUR


def hours(charge: Charge, interval: float = 3600) -> dict[int, int]:
    """Return the energy of each hour (Wh), counted from noon."""
    return {
        hour - HOUR_OF_NOON: energy for hour, energy in charge.by_hour(interval).items()
    }


def charge(
    start: float,
    end: float,
    energy: float,
    *reports: tuple[float, float],
    has_clock: bool = True,
) -> Charge:
    """Return a charge; times in minutes after noon."""
    return Charge(
        NOON + start * MINUTE,
        NOON + end * MINUTE,
        energy,
        tuple((NOON + time * MINUTE, amount) for time, amount in reports),
        has_clock=has_clock,
    )


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (0.2, {0: 5000}),
        (SNAP, {0: 5000}),
        (-SNAP, {0: 5000}),
        (60, {0: 4833, 1: 167}),
    ],
)
def test_a_report_close_to_the_full_hour(late: float, expected: dict[int, int]) -> None:
    """A report that is a few seconds late or early is about the hour that has ended."""
    end = 60 + late / 60
    item = charge(30, 240, 5, (30, 0), (end, 5), (240, 0))
    assert hours(item, 1800) == expected


def test_a_report_that_is_early_after_a_pause() -> None:
    """A report that is a few seconds early is about the interval as it was due."""
    item = charge(0, 240, 4, (0, 0), (15, 2), (74.95, 2), (240, 0))
    assert hours(item, 900) == {0: 2000, 1: 2000}


def test_a_report_after_a_pause() -> None:
    """A report after a pause is about the interval before it, not about the pause."""
    item = charge(0, 480, 8, (0, 0), (60, 4), (420, 4), (480, 0))
    assert hours(item) == {0: 4000, 6: 4000}


def test_a_report_that_an_interval_cannot_have_brought() -> None:
    """If the meter has reported less often than is known, the energy is spread further."""
    item = charge(0, 480, 44, (0, 0), (120, 22), (240, 22), (480, 0))
    assert hours(item, 900) == {0: 11000, 1: 11000, 2: 11000, 3: 11000}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (charge(30, 90, 4), {0: 2000, 1: 2000}),
        (charge(0, 300, 30), {3: 7920, 4: 22080}),
        (charge(0, 270, 20), {3: 8960, 4: 11040}),
        (charge(0, 300, 3), {4: 3000}),
        (charge(0, 300, 0), {}),
        (charge(10, 10, 0.05), {0: 50}),
        (charge(60, 60, 0.05), {0: 50}),
        (charge(59.99, 89.99, 1), {1: 1000}),
    ],
    ids=[
        "short",
        "long",
        "not at the full hour",
        "little",
        "nothing",
        "0 s",
        "full hour",
        "less than a watt hour in the first hour",
    ],
)
def test_a_session_without_reports(item: Charge, expected: dict[int, int]) -> None:
    """Energy was drawn evenly in a short session, otherwise right before its end."""
    assert hours(item) == expected


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        (((0, 0), (60, 4), (120, 4)), {0: 4000, 1: 4000, 7: 2000}),
        (((0, 0), (60, 4), (120, 5.995)), {0: 4000, 1: 6000}),
        (((0, 0), (60, 4), (120, 6.005)), {0: 3998, 1: 6002}),
    ],
    ids=["truncated", "rounded", "rounded up"],
)
def test_what_the_reports_leave_out(
    reports: tuple[tuple[float, float], ...], expected: dict[int, int]
) -> None:
    """What no report is about was drawn at the end, but rounding where the car charged."""
    assert hours(charge(0, 480, 10, *reports)) == expected


def test_what_the_reports_leave_out_has_room() -> None:
    """No hour gets more than the charger delivers in it."""
    item = charge(0, 180, 50, (0, 0), (60, 1), (180, 10))
    assert hours(item) == {0: 5840, 1: 22080, 2: 22080}
    assert POWER_MAX == 22.08


@pytest.mark.parametrize(
    "reports",
    [
        ((0, 0), (60, -1), (120, 11)),
        ((0, 0), (60, 40)),
        ((0, 0), (60, 5), (120, 5.1)),
        ((-10, 5), (60, 5)),
        ((60, 5), (500, 5)),
        ((0, 0), (60, 0)),
    ],
    ids=["negative", "too much", "too much in all", "before", "after", "nothing"],
)
def test_reports_that_cannot_be_right(
    reports: tuple[tuple[float, float], ...],
) -> None:
    """Reports that contradict the session are ignored."""
    item = charge(0, 480, 10, *reports)
    assert hours(item) == {7: 10000}
    assert not item.is_traced


def test_doubled_reports() -> None:
    """A report that is listed twice counts once."""
    item = charge(0, 120, 8, (0, 0), (60, 4), (60, 4), (120, 4))
    assert hours(item) == {0: 4000, 1: 4000}


def test_a_report_a_little_outside() -> None:
    """A report may be some seconds outside of the session, whose times are rounded."""
    item = charge(0, 120, 8, (-0.5, 0.05), (60, 4), (120.5, 3.95))
    assert hours(item) == {0: 4050, 1: 3950}


@pytest.mark.parametrize(
    ("item", "is_possible"),
    [
        (charge(0, 60, 25.1), True),
        (charge(0, 60, 25.2), False),
        (charge(0, 60, 125, has_clock=False), True),
        (charge(0, 60, 126, has_clock=False), False),
    ],
)
def test_what_is_possible(item: Charge, is_possible: bool) -> None:
    """No charger delivers more than 25 kW, but its clock may have been set meanwhile."""
    assert item.is_possible is is_possible


@pytest.mark.parametrize("length", [1, 90])
def test_a_session_whose_clock_was_set(length: float) -> None:
    """A session that was longer than is known has begun earlier."""
    item = charge(600 - length, 600, 50, has_clock=False)
    assert hours(item) == {7: 5840, 8: 22080, 9: 22080}


@pytest.mark.parametrize(
    ("item", "is_traced"),
    [
        (charge(0, 480, 8, (0, 0), (60, 4), (480, 4)), True),
        (charge(0, 480, 8, (0, 0), (480, 8)), False),
        (charge(0, 480, 8, (60, 8), (480, 0)), True),
        (charge(0, 60, 8, (0, 0), (60, 8)), True),
        (charge(0, 60, 8), False),
    ],
)
def test_whether_the_reports_suffice(item: Charge, is_traced: bool) -> None:
    """A single report says nothing about the hours of a long session."""
    assert item.is_traced is is_traced


def test_ten_thousand_reports() -> None:
    """Many reports, such as one each minute for a week, are evaluated as any others."""
    reports = [(float(minute), 0.01) for minute in range(1, 10_001)]
    item = charge(0, 10_000, 100, *reports)
    by_hour = hours(item, 60)
    assert len(by_hour) == math.ceil(10_000 / 60)
    assert sum(by_hour.values()) == 100_000
    assert max(by_hour.values()) == 600
