"""The meter between its readings."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
import json
import os
from random import Random
from typing import Any

import pytest

from custom_components.zaptec.api import (
    CompletedSession,
    Family,
    Observation,
    parse_value,
)
from custom_components.zaptec.counters import (
    EXCHANGE_READINGS,
    EXCHANGE_TIME,
    SESSION_MAX,
    Meter,
)
from custom_components.zaptec.live_meter import LiveMeter
from simulator.car import Car
from simulator.charger import Charger, Device
from simulator.clock import Clock
from simulator.scenario import ChargerScenario, InstallationScenario, Scenario
from simulator.simulator import Simulator

from .meter_walk import (
    FAMILIES,
    OLDER_MAX,
    MeterFaults,
    MeterWalk,
    Report,
    feed,
    replay,
)

# Number of walks; docs/chaos.md says how to run more.
WALKS = int(os.environ.get("ENERGY_WALKS", "500"))

# Energy by which the meter may be above the true one (kWh).
ABOVE_MAX = 0.05

# What the strongest charger delivers between two energies, and what is rounded (kWh).
LAG_MAX = 22.0 / 60 + 0.01

NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
A = "0d6f3c50-0000-4000-8000-00000000000a"
B = "0d6f3c50-0000-4000-8000-00000000000b"
C = "0d6f3c50-0000-4000-8000-00000000000c"

FAULTS = {
    "none": MeterFaults(),
    "repeated": MeterFaults(repeated=0.3),
    "late": MeterFaults(late=0.3),
    "lost": MeterFaults(lost=0.3),
    "offline": MeterFaults(offline=0.02),
    "outage": MeterFaults(outage=0.02),
    "restart": MeterFaults(restart=0.05, power_cut=0.05),
    "all of them": MeterFaults(
        lost=0.2,
        late=0.2,
        repeated=0.2,
        offline=0.01,
        outage=0.01,
        restart=0.02,
        power_cut=0.02,
    ),
}


def _walk(seed: int, wrong: float = 0.0) -> MeterWalk:
    """Return a walk."""
    random = Random(seed)
    walk = MeterWalk(random, random.choice(FAMILIES), wrong)
    walk.run()
    return walk


def _is_exact(walk: MeterWalk, report: Report | None, at: datetime) -> bool:
    """Return whether a report is a reading of all that the meter has counted by then."""
    match report:
        case Report(554, float() as reading):
            pass
        case Report(723, CompletedSession(meter_value=float() as reading)):
            pass
        case _:
            return False
    return reading == round(walk.meter(at), 3)


@pytest.mark.parametrize("wrong", [0.0, 0.05], ids=["right", "wrong"])
@pytest.mark.parametrize("faults", FAULTS)
def test_walks(faults: str, wrong: float) -> None:
    """The meter never falls, is never too high, and is right at the end of each session.

    A session has ended for the meter once its last reading has arrived. An energy that
    was reported too low just after a reading cannot be noticed until the next one.
    """
    exact = 0
    above_max = ABOVE_MAX + (OLDER_MAX if wrong else 0.0)
    for seed in range(max(1, WALKS // (2 * len(FAULTS)))):
        walk = _walk(seed, wrong)
        before: float | None = None
        for at, report, shown in replay(walk, FAULTS[faults]):
            where = f"seed {seed}, {at}, {report}"
            assert before is None or (shown is not None and shown >= before), where
            before = shown
            assert shown is None or shown <= walk.meter(at) + above_max, where
            if not wrong and report and report.state_id == 554:
                # What was lost is added with the next reading.
                assert isinstance(report.value, float)
                assert shown is not None, where
                assert shown >= report.value, where
            if _is_exact(walk, report, at):
                assert shown is not None
                assert shown >= round(walk.meter(at), 3), where
                assert wrong or shown == round(walk.meter(at), 3), where
                exact += 1
        assert wrong or before == round(walk.meter(walk.at), 3), f"seed {seed}"
    assert exact


@pytest.mark.parametrize("faults", ["none", "repeated"])
def test_walks_in_which_nothing_is_lost(faults: str) -> None:
    """Once it was read without a session, the meter is at most one energy behind."""
    followed = 0
    for seed in range(max(1, WALKS // 10)):
        walk = _walk(seed)
        is_read = False
        for at, report, shown in replay(walk, FAULTS[faults]):
            is_read |= _is_exact(walk, report, at)
            if is_read and report and report.state_id == 553:
                assert shown is not None
                assert shown >= walk.meter(at) - LAG_MAX, f"seed {seed}, {report}"
                followed += 1
    assert followed


@pytest.mark.parametrize("faults", ["none", "repeated", "lost", "outage", "restart"])
def test_walks_with_a_clock_that_is_ahead(faults: str) -> None:
    """A charger's clock may be ahead, and be set: its energies count nonetheless."""
    followed = 0
    for seed in range(max(1, WALKS // 5)):
        walk = _walk(seed)
        before: float | None = None
        is_read = False
        for at, report, shown in replay(walk, FAULTS[faults], is_clock_right=False):
            where = f"seed {seed}, {at}, {report}"
            assert before is None or (shown is not None and shown >= before), where
            before = shown
            assert shown is None or shown <= walk.meter(at) + ABOVE_MAX, where
            is_exact = _is_exact(walk, report, at)
            assert not is_exact or (shown or 0.0) >= round(walk.meter(at), 3), where
            is_read |= is_exact
            if is_read and report and report.state_id == 553 and faults == "none":
                assert shown is not None
                assert shown >= walk.meter(at) - LAG_MAX, where
                followed += 1
        assert (before or 0.0) >= round(walk.meter(walk.at), 3), f"seed {seed}"
    assert bool(followed) == (faults == "none")


class Day:
    """A Go that charges cars in the simulator for a day, and its meter."""

    def __init__(self, seed: str) -> None:
        """Initialize the day."""
        self.clock = Clock(NOON.replace(hour=0), speed=0)
        scenario = Scenario(
            seed=seed,
            accounts=(),
            installations=(
                InstallationScenario(
                    name="Home",
                    max_current=16,
                    chargers=(ChargerScenario(serial="ZAP000001", name="Garage"),),
                ),
            ),
        )
        [self.charger] = Simulator(scenario, clock=self.clock).chargers.values()
        self.meter = LiveMeter()
        self.energies = 0
        for state_id, stored in self.charger.observations.items():
            self._feed(Observation("", state_id, stored.timestamp, stored.value))
        self.charger.publish = self._hear

    def _hear(self, _charger: Device, body: bytes) -> None:
        document = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])
        self._feed(Observation.from_json(document))

    def _feed(self, observation: Observation) -> None:
        value = parse_value(observation, Family.GO)
        self.energies += observation.state_id == 553
        report = Report(observation.state_id, value, observation.timestamp)
        feed(self.meter, report, report.at)

    def play(
        self, events: dict[float, Callable[[Charger], object]]
    ) -> list[list[float]]:
        """Return what was shown and what was counted in each hour (kWh).

        Args:
            events: What happens to the charger, by the hour of the day.

        """
        moments = sorted({*events, *map(float, range(25))})
        readings: list[tuple[float, float]] = []
        for moment in moments:
            at = NOON.replace(hour=0) + timedelta(hours=moment)
            self.clock.advance((at - self.clock.now()).total_seconds())
            if moment in events:
                events[moment](self.charger)
            if moment.is_integer():
                assert self.meter.value
                readings.append((self.meter.value, self.charger.lifetime_energy))
        return [
            [later - earlier for earlier, later in zip(*pair, strict=True)]
            for pair in zip(readings, readings[1:], strict=False)
        ]


def test_a_day_of_charging() -> None:
    """A meter that is read once an hour puts 99.5 % of the energy into the right hour.

    The energy of an hour is late by what was drawn since the last report, which is as
    much before the hour as after it, but for the time of the report.
    """
    shares = []
    for seed in "abcdefgh":
        hours = Day(seed).play(
            {
                1.6: lambda charger: charger.plug_in(Car(capacity_kwh=70)),
                7.1: lambda charger: charger.unplug(),
                11.4: lambda charger: charger.plug_in(Car(capacity_kwh=3)),
                13.3: lambda charger: charger.unplug(),
                17.2: lambda charger: charger.plug_in(Car(capacity_kwh=70)),
                19.7: lambda charger: charger.stop_charging(),
                20.5: lambda charger: charger.resume_charging(),
                23.5: lambda charger: charger.unplug(),
            }
        )
        total = sum(counted for _, counted in hours)
        assert total > 80
        assert sum(shown for shown, _ in hours) == pytest.approx(total, abs=0.001)
        assert all(shown >= 0 for shown, _ in hours)
        shares.append(sum(abs(shown - counted) for shown, counted in hours) / 2 / total)
    assert sum(shares) / len(shares) < 0.005
    assert max(shares) < 0.01


type Step = tuple[float, int, Any]


def _report(meter: LiveMeter, *steps: Step) -> LiveMeter:
    """Report observations to a meter (minutes, StateId, value)."""
    for minutes, state_id, value in steps:
        at = NOON + timedelta(minutes=minutes)
        feed(meter, Report(state_id, value, at), at)
    return meter


def _play(*steps: Step) -> float | None:
    """Return what a meter shows at the end, if each step is followed by a restart."""
    meter = LiveMeter()
    for step in steps:
        _report(meter, step)
        meter = LiveMeter().restore(json.loads(json.dumps(meter.as_dict())))
    return meter.value


def _completed(
    minutes: float, energy: float | None = None, session: str | None = A, **more: Any
) -> CompletedSession:
    """Return a session that has ended."""
    end = NOON + timedelta(minutes=minutes)
    return CompletedSession(session_id=session, energy=energy, end=end, **more)


# A reading without a session, and one that begins.
READ = (0, 554, 100.0)
BEGUN = ((5, 721, A), (5, 553, 0.0))


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        pytest.param([(6, 553, 1.0)], None, id="no reading"),
        pytest.param([READ, (60, 554, 107.5)], 107.5, id="no energy"),
        pytest.param([READ, *BEGUN, (30, 553, 4.0)], 103.998, id="a session"),
        pytest.param([*BEGUN, READ, (30, 553, 4.0)], 103.998, id="a late reading"),
        pytest.param(
            [READ, *BEGUN, (30, 553, 4.0), (60, 554, 109.0)], 109.0, id="read"
        ),
        pytest.param(
            [READ, *BEGUN, (59, 553, 9.0), (60, 554, 109.2), (61, 553, 9.4)],
            109.398,
            id="after a reading",
        ),
        pytest.param(
            [READ, *BEGUN, (61, 553, 9.4), (60, 554, 109.2), (62, 553, 9.6)],
            109.598,
            id="an energy that overtakes a reading",
        ),
        pytest.param(
            [READ, *BEGUN, (59, 553, 9.0), (60, 554, 108.5), (61, 553, 9.2)],
            108.998,
            id="a lower reading is waited out",
        ),
        pytest.param(
            [READ, *BEGUN, (59, 553, 9.0), (60, 554, 108.5), (65, 553, 10.5)],
            109.998,
            id="a lower reading was waited out",
        ),
        pytest.param(
            [READ, *BEGUN, (59, 553, 9.0), (60, 554, 108.999), (61, 553, 9.5)],
            109.498,
            id="a reading that is lower by rounding",
        ),
        pytest.param(
            [(0, 553, 8.0), (0, 554, 100.0), (5, 553, 9.0), (6, 553, 9.3)],
            100.298,
            id="read in mid-session for the first time",
        ),
        pytest.param(
            [READ, *BEGUN, (30, 553, 4.0), (31, 553, 9917.125), (32, 553, 4.3)],
            104.298,
            id="an absurd energy",
        ),
        pytest.param(
            [READ, *BEGUN, (30, 553, 4.0), (31, 553, 0.0), (32, 553, 4.3)],
            104.298,
            id="a zero in mid-session",
        ),
        pytest.param(
            [READ, *BEGUN, (30, 553, 4.0), (31, 553, -1.0), (32, 553, SESSION_MAX + 1)],
            103.998,
            id="impossible energies",
        ),
        pytest.param(
            [READ, *BEGUN, (30, 553, 6.0), (31, 553, 5.9), (32, 553, 6.05)],
            106.048,
            id="a correction",
        ),
        pytest.param(
            [READ, *BEGUN, (6, 553, 0.2), (7, 553, 7.0), (8, 553, 7.2)],
            100.398,
            id="a jump that no charger delivers",
        ),
        pytest.param(
            [
                READ,
                *BEGUN,
                (6, 553, 0.2),
                (7, 553, 7.0),
                (8, 553, 7.2),
                (60, 554, 120.0),
                (61, 553, 15.3),
                (62, 553, 15.5),
            ],
            120.198,
            id="a jump is added with the next reading",
        ),
        pytest.param(
            [
                (5, 553, 0.0),
                (6, 553, 7.0),
                (7, 553, 7.2),
                READ,
                (9, 553, 7.4),
                (10, 553, 7.6),
            ],
            100.398,
            id="a jump before the first reading",
        ),
        pytest.param(
            [READ, *BEGUN, (6, 553, 0.2), (7, 553, 7.0), (8, 553, 6.9), (9, 553, 7.05)],
            100.348,
            id="of two jumps the second is lower",
        ),
        pytest.param(
            [
                READ,
                *BEGUN,
                (6, 553, 0.2),
                (7, 553, 7.0),
                (8, 553, 20.0),
                (9, 553, 20.2),
            ],
            100.398,
            id="a jump after a jump",
        ),
        pytest.param(
            [
                READ,
                *BEGUN,
                (6, 553, 0.2),
                (7, 553, 700.5),
                (8, 553, 700.5),
                (9, 553, 0.6),
            ],
            100.598,
            id="an absurd energy twice",
        ),
        pytest.param(
            [(0, 723, _completed(0, 8.0, meter_value=0.0)), (5, 553, 0.4)],
            None,
            id="a zero is no reading",
        ),
        pytest.param(
            [(0, 723, _completed(0, 8.0, meter_value=5e6)), (5, 553, 0.4)],
            None,
            id="an absurd first reading",
        ),
        pytest.param(
            [
                READ,
                (5, 553, 0.0),
                (39, 553, 8.0),
                (40, 723, _completed(40, 1.0, None)),
                (42, 553, 0.4),
            ],
            108.398,
            id="no identifier at all",
        ),
        pytest.param(
            [
                READ,
                (5, 553, 0.0),
                (39, 553, 8.0),
                (40, 721, B),
                (41, 553, 0.0),
                (90, 553, 8.2),
            ],
            108.198,
            id="a zero after the first identifier",
        ),
        pytest.param(
            [READ, *BEGUN, (6, 553, 0.2), (7, 553, 7.0), (8, 553, 5.0)],
            100.198,
            id="jumps that differ",
        ),
        pytest.param(
            [READ, *BEGUN, (59, 553, 9.0), (60, 554, 109.2), (61, 554, 109.2)],
            109.2,
            id="a reading that is repeated",
        ),
        pytest.param(
            [
                READ,
                *BEGUN,
                (59, 553, 9.0),
                (61, 553, 9.4),
                (62, 554, 100.0),
                (63, 553, 9.6),
            ],
            109.598,
            id="the reading before the session is repeated",
        ),
        pytest.param(
            [READ, *BEGUN, (59, 553, 9.0), (60, 554, 109.9), (62, 553, 9.0)],
            109.9,
            id="an energy that is repeated",
        ),
        pytest.param(
            [
                READ,
                *BEGUN,
                (59, 553, 9.0),
                (60, 554, 109.9),
                (62, 553, 9.0),
                (63, 553, 10.2),
            ],
            110.198,
            id="an energy that is repeated says nothing about a reading",
        ),
        pytest.param(
            [READ, *BEGUN, (30, 553, 4.0), (20, 553, 2.0), (29, 554, 103.5)],
            103.998,
            id="late reports",
        ),
        pytest.param(
            [READ, *BEGUN, (30, 553, 4.0), (29, 554, 103.5), (28, 554, 103.7)],
            103.998,
            id="a reading that is older, but higher",
        ),
    ],
)
def test_one_session(steps: list[Step], shown: float | None) -> None:
    """The meter shows its last reading, and what was drawn since then."""
    assert _play(*steps) == shown


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        pytest.param(
            [(41, 721, B), (41, 553, 0.0), (43, 553, 0.5)],
            108.498,
            id="another identifier",
        ),
        pytest.param(
            [(41, 553, 0.0), (43, 553, 0.5), (41, 721, B)],
            108.498,
            id="its identifier is late",
        ),
        pytest.param([(43, 553, 0.5), (41, 721, B)], 108.498, id="its zero is lost"),
        pytest.param(
            [(41, 553, 0.0), (43, 553, 0.5)], 107.998, id="it may be a mistake"
        ),
        pytest.param(
            [(40, 721, None), (41, 553, 0.0), (43, 553, 0.5), (44, 553, 0.7)],
            108.698,
            id="its identifier is lost",
        ),
        pytest.param(
            [(40, 721, None), (41, 553, 0.0), (43, 553, 0.5), (43, 553, 0.51)],
            107.998,
            id="its identifier is lost, and one moment has two energies",
        ),
        pytest.param(
            [(40, 721, None), (42, 553, 0.4), (43, 553, 0.6), (44, 553, 0.8)],
            108.398,
            id="its identifier and its zero are lost",
        ),
        pytest.param(
            [(41, 553, 0.0), (43, 553, 0.5), (44, 553, 0.7)],
            107.998,
            id="the identifier says that it is the same session",
        ),
        pytest.param(
            [
                (41, 553, 0.0),
                (59, 553, 3.0),
                (60, 554, 111.1),
                (61, 553, 3.4),
                (62, 553, 3.6),
            ],
            111.298,
            id="its identifier is lost, but the meter was read",
        ),
        pytest.param(
            [(45, 554, 108.05), (46, 553, 0.0), (47, 553, 0.2)],
            108.248,
            id="read before it",
        ),
        pytest.param(
            [(41, 721, B), (120, 553, 9.0)], 108.998, id="it is above the last one"
        ),
        pytest.param(
            [(41, 721, B), (41.1, 553, 7.6), (42, 553, 8.1)],
            108.098,
            id="only the identifier changes",
        ),
        pytest.param(
            [
                (40, 723, _completed(40, 8.0)),
                (42, 553, 0.4),
            ],
            108.398,
            id="completed",
        ),
        pytest.param(
            [(42, 553, 0.4), (40, 723, _completed(40, 8.0)), (43, 553, 0.6)],
            108.598,
            id="completed late",
        ),
        pytest.param(
            [(42, 553, 0.4), (43, 553, 0.6), (40, 723, _completed(40, 8.0))],
            108.598,
            id="completed late, after two energies",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.0, meter_value=104.0)), (42, 553, 0.4)],
            108.398,
            id="the readings at its end are incomplete",
        ),
        pytest.param(
            [(40, 723, CompletedSession(session_id=A, energy=8.0)), (42, 553, 0.4)],
            108.398,
            id="its end is unknown",
        ),
        pytest.param(
            [(40, 723, _completed(40, -8.0)), (42, 553, 0.4)],
            107.998,
            id="a negative final energy",
        ),
        pytest.param(
            [
                (40, 723, _completed(40, SESSION_MAX + 1, start=NOON - timedelta(99))),
                (42, 553, 0.4),
            ],
            107.998,
            id="a final energy that is too high for any session",
        ),
        pytest.param(
            [(40, 723, _completed(40, 120.0, start=NOON - timedelta(hours=9)))],
            219.998,
            id="a long session whose energies were lost",
        ),
        pytest.param(
            [
                (120, 553, 9.0),
                (40, 723, _completed(40, 8.0, meter_value=108.0)),
                (121, 721, B),
                (150, 553, 0.0),
                (151, 553, 9.4),
            ],
            117.398,
            id="completed late, and a zero in the next one",
        ),
        pytest.param(
            [
                (40, 721, None),
                (41, 553, 0.0),
                (42, 553, 0.2),
                (43, 553, 8.0),
                (44, 553, 0.4),
                (45, 553, 0.6),
            ],
            107.998,
            id="its energy is repeated in between",
        ),
        pytest.param(
            [
                (40, 721, None),
                (41, 553, 0.4),
                (42, 553, 0.0),
                (43, 553, 0.2),
                (44, 553, 0.4),
            ],
            108.398,
            id="two falls",
        ),
        pytest.param(
            [
                (40, 721, None),
                (41, 553, 0.0),
                (42, 553, 5.0),
                (43, 553, 5.2),
                (44, 553, 5.4),
            ],
            107.998,
            id="a fall and a jump",
        ),
        pytest.param(
            [
                (40, 721, None),
                (41, 553, 0.0),
                (42, 553, 0.0),
                (43, 553, 0.0),
                (90, 553, 8.2),
            ],
            108.198,
            id="a zero that is repeated",
        ),
        pytest.param(
            [(40, 721, None), (41, 553, 0.0), (90, 553, 8.2)],
            108.198,
            id="a zero while there is no identifier",
        ),
        pytest.param(
            [(45, 554, 108.05), (46, 553, 0.0), (90, 553, 8.2)],
            108.198,
            id="a zero after a reading",
        ),
        pytest.param(
            [
                (39.5, 721, None),
                (40, 553, 8.1),
                (41, 721, B),
                (41, 553, 0.0),
                (43, 553, 0.5),
            ],
            108.598,
            id="its last energy comes after its identifier has gone",
        ),
        pytest.param(
            [
                (40.001, 553, 0.0),
                (40, 723, _completed(40, 8.0)),
                (40, 723, _completed(40, 8.0)),
            ],
            107.998,
            id="completed twice, with a zero in the same moment",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.3)), (42, 553, 0.4)],
            108.698,
            id="its last energy was lost",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.3, meter_value=108.35)), (42, 553, 0.4)],
            108.748,
            id="read at its end",
        ),
        pytest.param(
            [(40, 723, _completed(40, 7.9)), (42, 553, 0.4)],
            108.298,
            id="its last energy was a mistake",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.0)), (120, 553, 9.0), (121, 553, 9.2)],
            117.198,
            id="completed, and the next is above it",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.0)), (41, 553, 0.0), (90, 553, 8.0)],
            107.998,
            id="its last energy is repeated after a zero",
        ),
        pytest.param(
            [
                (40, 723, _completed(40, 8.0)),
                (41, 721, B),
                (41, 553, 0.0),
                (90, 553, 8.0),
            ],
            115.998,
            id="the next has the same energy",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.0)), (90, 553, 8.0), (91, 553, 8.005)],
            107.998,
            id="its last energy is repeated",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.0)), (40.1, 553, 7.9), (40.2, 553, 8.5)],
            107.998,
            id="energies that the next cannot have",
        ),
        pytest.param(
            [
                (40, 721, None),
                (120, 553, 9.0),
                (60, 723, _completed(60, 1.5, B, meter_value=109.5)),
            ],
            118.498,
            id="another one ran in between",
        ),
        pytest.param(
            [
                (120, 553, 9.0),
                (40, 723, _completed(40, 8.1, meter_value=108.1)),
                (121, 721, B),
                (121, 553, 9.2),
            ],
            117.298,
            id="completed late, and the next is above it",
        ),
        pytest.param(
            [(90, 553, 8.5), (40, 723, _completed(40, 8.5, meter_value=108.5))],
            108.5,
            id="completed late, and its last energy was repeated",
        ),
        pytest.param(
            [(60, 723, _completed(60, 1.5, B)), (62, 553, 0.4)],
            108.398,
            id="one of which nothing else arrived",
        ),
        pytest.param(
            [(60, 723, _completed(60, 1.5, B, meter_value=109.5)), (62, 553, 0.4)],
            109.898,
            id="one of which nothing but its end arrived",
        ),
        pytest.param(
            [
                (41, 721, B),
                (41, 553, 0.0),
                (42, 553, 0.3),
                (43, 553, 0.5),
                (44, 723, _completed(44, 0.6, B)),
            ],
            108.598,
            id="the next has ended, too",
        ),
        pytest.param(
            [
                (41, 553, 0.0),
                (43, 553, 0.5),
                (44, 723, _completed(44, 0.6, B)),
            ],
            107.998,
            id="the next has ended before it was certain",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.0, reliable_clock=False)), (42, 553, 0.4)],
            107.998,
            id="a clock that is not reliable",
        ),
        pytest.param(
            [(41, 723, _completed(9999, 8.0, meter_value=108.1)), (43, 553, 0.4)],
            108.498,
            id="an end in the future",
        ),
        pytest.param(
            [(40, 723, _completed(40, 4000.0)), (42, 553, 0.4)],
            107.998,
            id="an absurd final energy",
        ),
        pytest.param(
            [(40, 723, _completed(40, 400.0, start=NOON)), (42, 553, 0.4)],
            107.998,
            id="a final energy that no charger delivers",
        ),
        pytest.param(
            [(40, 723, _completed(40, meter_value=108.1)), (42, 553, 0.4)],
            108.1,
            id="no final energy",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.0, None)), (42, 553, 0.4)],
            108.398,
            id="no identifier",
        ),
        pytest.param(
            [(40, 723, _completed(40, 8.0, meter_value=9917.0)), (42, 553, 0.4)],
            108.398,
            id="an absurd reading at the end",
        ),
    ],
)
def test_another_session(steps: list[Step], shown: float) -> None:
    """After a session of 8 kWh, the energy of the next one is added."""
    before = (READ, *BEGUN, (30, 553, 7.5), (39, 553, 8.0))
    assert _play(*before, *steps) == shown


def test_an_exchanged_meter() -> None:
    """Energy that both meters count is not shown until the exchange is certain."""
    meter = _report(LiveMeter(), (0, 554, 1234.5), *BEGUN)
    shown = []
    for hour in range(1, EXCHANGE_READINGS + 2):
        at = NOON + timedelta(hours=hour)
        is_new = meter.report_reading(3.0 + hour, at)
        assert is_new == (hour == EXCHANGE_READINGS)
        shown.append(meter.value)
        for minute in (1, 31):
            meter.report_energy(hour + minute / 60, at + timedelta(minutes=minute))
        shown.append(meter.value)
    assert timedelta(hours=EXCHANGE_READINGS - 1) >= EXCHANGE_TIME
    assert shown[: 2 * EXCHANGE_READINGS - 2] == [1234.5] * (2 * EXCHANGE_READINGS - 2)
    assert shown[2 * EXCHANGE_READINGS - 2 :] == [7.0, 7.498, 8.0, 8.498]


def test_a_meter_that_is_exchanged_for_a_similar_one() -> None:
    """A meter that begins a little below the last one is another one, too."""
    meter = _report(LiveMeter(), (0, 554, 5.0))
    is_new = [
        meter.report_reading(3.2 + hour / 10, NOON + timedelta(hours=hour))
        for hour in range(1, EXCHANGE_READINGS + 1)
    ]
    assert is_new == [False] * (EXCHANGE_READINGS - 1) + [True]
    assert meter.value == 3.2 + EXCHANGE_READINGS / 10


@pytest.mark.parametrize("before", [100.0, 149.9])
def test_a_lower_reading_of_the_same_meter(before: float) -> None:
    """A reading that is lower, but may be an earlier one, does not stop the meter."""
    meter = _report(LiveMeter(), (0, 554, before), *BEGUN, (31, 554, 50.0))
    _report(meter, (32, 553, 4.0))
    assert meter.value == before + 3.998


@pytest.mark.parametrize(
    ("resumed", "reading", "shown"),
    [
        (105.0, 106.0, 106.0),
        # An estimate that was a little too high.
        (105.0, 104.0, 105.0),
        (105.0, 94.0, 105.0),
        # Another meter's.
        (99999.5, 104.0, 99999.5),
    ],
)
def test_a_value_of_which_no_reading_is_known(
    resumed: float, reading: float, shown: float
) -> None:
    """A value that was recorded is kept, and readings that are near it are accepted."""
    meter = LiveMeter()
    meter.resume(resumed)
    assert meter.value == resumed
    meter.report_reading(reading, NOON)
    assert meter.value == shown
    meter.report_energy(1.0, NOON + timedelta(minutes=1))
    meter.report_energy(1.2, NOON + timedelta(minutes=2))
    is_followed = 0 <= resumed - reading < 10
    for hour in range(1, 10):
        is_new = meter.report_reading(reading + hour, NOON + timedelta(hours=hour))
        assert not (is_new and is_followed)
    assert meter.value == max(reading + 9, 105.0 if resumed < 1000 else 0)


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        (103.998, 103.998),
        (112.5, 112.5),
        # An estimate that was not shown any more.
        (99.0, 103.998),
        # More than was drawn meanwhile, and the reading of another meter.
        (200.0, 200.0),
        (3.5, 3.5),
    ],
)
def test_what_was_recorded_since_it_was_stored(recorded: float, shown: float) -> None:
    """The meter does not fall below what was recorded after it was stored."""
    meter = _report(LiveMeter(), READ, *BEGUN, (30, 553, 4.0))
    meter.catch_up(recorded, NOON, NOON + timedelta(minutes=30))
    assert meter.value == shown
    _report(meter, (90, 553, 13.0))
    is_its_own = abs(recorded - 104) < 10
    assert meter.value == (112.998 if is_its_own else shown)
    # The readings decide in the end.
    for hour in range(2, 9):
        meter.report_reading(113.0 + hour, NOON + timedelta(hours=hour))
    assert meter.value == 121.0


@pytest.mark.parametrize("ahead", [4.0, 60.0])
def test_a_clock_that_is_set_ahead(ahead: float) -> None:
    """Energies count at once, although their times may be the same as before, or older."""
    meter = _report(LiveMeter(), READ, *BEGUN)
    for minutes, shift, energy in (
        (10.0, ahead, 1.0),
        (11.0, ahead + 4, 1.3),
        (12.0, ahead + 4, 1.6),
        (13.0, 0.0, 1.9),
        (14.0, 0.0, 2.2),
    ):
        now = NOON + timedelta(minutes=minutes)
        feed(meter, Report(553, energy, now + timedelta(minutes=shift)), now)
        assert meter.value == pytest.approx(100 + energy - 0.002)


def test_a_meter_that_was_recorded_before_its_first_reading() -> None:
    """What was recorded is shown if the meter was stored before it was read."""
    meter = LiveMeter()
    meter.catch_up(5.0, NOON, NOON)
    assert meter.value == 5.0


def test_a_reading_of_the_list() -> None:
    """A reading of the list, whose time is unknown, is shown but not counted from."""
    meter = LiveMeter()
    meter.report_listed(100.0, NOON)
    assert meter.value == 100.0
    meter.report_energy(4.0, NOON + timedelta(minutes=1))
    meter.report_energy(4.2, NOON + timedelta(minutes=2))
    assert meter.value == 100.0
    meter.report_reading(100.0, NOON - timedelta(minutes=12))
    meter.report_energy(4.4, NOON + timedelta(minutes=3))
    assert meter.value == 100.198
    meter.report_listed(101.0, NOON + timedelta(hours=1))
    assert meter.value == 101.0


def test_a_meter_of_an_earlier_version() -> None:
    """A document that has no estimate is that of a meter which showed its readings."""
    earlier = Meter()
    earlier.report(100.0, NOON)
    meter = LiveMeter().restore(json.loads(json.dumps(earlier.as_dict())))
    assert meter.value == 100.0
    _report(meter, *BEGUN, (6, 553, 0.1), (60, 554, 104.0))
    assert meter.value == 104.0
    _report(meter, (61, 553, 4.0), (62, 553, 4.1))
    assert meter.value == 104.098


def test_an_earlier_version_reads_what_is_stored() -> None:
    """An earlier version finds the readings in the document."""
    meter = _report(LiveMeter(), READ, *BEGUN, (30, 553, 4.0))
    assert Meter().restore(meter.as_dict()).value == 100.0


def test_a_fall_is_remembered_over_a_restart() -> None:
    """Suspicious energies are stored, too."""
    meter = _report(LiveMeter(), READ, (30, 553, 4.0), (31, 553, 0.0))
    document = json.loads(json.dumps(meter.as_dict()))
    assert LiveMeter().restore(document).as_dict() == document
    meter.report_energy(500.0, NOON + timedelta(minutes=32))
    document = json.loads(json.dumps(meter.as_dict()))
    assert LiveMeter().restore(document).as_dict() == document
