"""The sums over the switch-over, held to the recorder's own rule for five minutes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
import json
import os
from random import Random

import pytest

from custom_components.zaptec.counters import SessionEnergy, Total
from custom_components.zaptec.recording import PERIOD, Recorded, Recording

from .energy_walk import START, Report, Walk, _rounded, feed_session

# Number of walks of each kind; docs/chaos.md says how to walk more.
WALKS = int(os.environ.get("ENERGY_WALKS", "500"))

# Energies are reported with three decimals (kWh).
PRECISION = 0.0015

# How long after the end of five minutes the recorder compiles their statistics.
COMPILED_AFTER = timedelta(seconds=10)


class RecorderOfPeriods:
    """The sum that the recorder makes (sensor/recorder.py of 2026.10).

    It takes the state class that the entity has when five minutes are compiled for all
    states of these five minutes.
    """

    def __init__(self, start: datetime) -> None:
        """Initialize without a state, some time before the first one."""
        self.sum = 0.0
        self.is_increasing = True
        self._state: float | None = None
        self._reset: datetime | None = None
        self._pending: list[tuple[datetime, Recorded]] = []
        self._end = _period(start) + PERIOD

    def record(self, at: datetime, state: Recorded) -> None:
        """Record a state; the moments never go back."""
        self.compile(at)
        self._pending.append((at, state))
        self.is_increasing = state.is_increasing

    def compile(self, now: datetime) -> None:
        """Compile the five minutes that are over."""
        while self._end + COMPILED_AFTER <= now:
            states = [state for at, state in self._pending if at < self._end]
            self._pending = self._pending[len(states) :]
            self._end += PERIOD
            if states:
                self._compile(states)

    def _compile(self, states: list[Recorded]) -> None:
        """Compile five minutes, by the present state class."""
        old = new = self._state
        for state in states:
            if self.is_increasing:
                is_reset = new is None or state.energy < 0.9 * new
            else:
                is_reset = new is None or (
                    state.last_reset is not None and state.last_reset != self._reset
                )
            if is_reset:
                if old is not None and new is not None:
                    self.sum += new - old
                old = state.energy if old is None else 0.0
                if not self.is_increasing:
                    self._reset = state.last_reset
            new = state.energy
        assert old is not None
        assert new is not None
        self.sum += new - old
        self._state = new


def _period(moment: datetime) -> datetime:
    """Return the start of the five minutes of a moment."""
    return moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)


@dataclass
class SwitchOver:
    """A walk of which the incumbent shows the first part, and we the rest."""

    walk: Walk
    stopped_at: datetime
    started_at: datetime
    random: Random
    recorder: RecorderOfPeriods

    def incumbent(self) -> tuple[Report, datetime, float] | None:
        """Record what the incumbent shows.

        Return its last report, when that came, and the sum of all that it has shown.
        """
        last: Report | None = None
        shown, shown_at, total = 0.0, START, 0.0
        for report in self.walk.reports:
            at = report.at + timedelta(seconds=self.random.uniform(0.05, 2))
            if not isinstance(report.value, float) or at < shown_at:
                continue
            if at >= self.stopped_at:
                break
            if last is None or report.value != shown:
                total += report.value - (shown if report.value >= shown else 0.0)
                shown, shown_at = report.value, at
                self.recorder.record(at, Recorded(shown, None, is_increasing=True))
            last = report
        return last and (last, shown_at, total)

    def successor(self, energy: float, until: datetime) -> None:
        """Record what we show, a reading first."""
        counter, recording = SessionEnergy(), Recording()
        counter.resume(energy, None, until)
        recording.resume(Total(energy, None), self.started_at)
        held: dict[int, Report] = {}
        batches: list[tuple[datetime, list[Report]]] = []
        for report in self.walk.reports:
            if report.at < self.started_at:
                held[report.state_id] = report
            else:
                batches.append((report.at, [report]))
        batches.insert(0, (self.started_at, [_rounded(item) for item in held.values()]))
        now = self.started_at
        for at, batch in batches:
            now = max(now, at)
            if self.random.random() < 0.02:
                stored = json.loads(
                    json.dumps([counter.as_dict(), recording.as_dict()])
                )
                counter = SessionEnergy().restore(stored[0])
                recording = Recording().restore(stored[1], now)
            feed_session(counter, batch)
            for state in recording.show(counter.take_unshown(), now):
                self.recorder.record(now, state)
                now += timedelta(microseconds=1)
            self.recorder.compile(now)
        for state in recording.show([], now + 3 * PERIOD):
            self.recorder.record(now + 3 * PERIOD, state)
        self.recorder.compile(now + 6 * PERIOD)


def sums(seed: int, **options: float) -> tuple[float, float] | None:
    """Return a sum over the switch-over, and what it should be.

    None if the second cannot be known: nothing was recorded, or two sessions have ended
    since then, of which the cloud shows the last one only.
    """
    random = Random(seed)
    walk = Walk(random, family=random.choice(("go", "go2", "pro")), **options)
    for _ in range(random.randint(2, 5)):
        walk.session()
    seconds = (walk.at - START).total_seconds()
    stopped_at = START + timedelta(seconds=random.uniform(0, seconds))
    started_at = stopped_at + timedelta(seconds=random.uniform(10, 200))
    recorder = RecorderOfPeriods(START)
    switch = SwitchOver(walk, stopped_at, started_at, random, recorder)
    if (seen := switch.incumbent()) is None:
        return None
    last, until, total = seen
    ended = [
        report
        for report in walk.reports
        if report.state_id == 723 and last.at < report.at < started_at
    ]
    if len(ended) > 1:
        return None
    assert isinstance(last.value, float)
    switch.successor(last.value, until)
    return recorder.sum, total + walk.delivered - last.delivered


def test_sums_over_the_switch_over_are_exact() -> None:
    """At any moment of a session, and whatever has begun in the same five minutes."""
    count = 0
    wrong = []
    for seed in range(WALKS):
        if (found := sums(seed, blips=0.0, unknown_starts=0.0)) is None:
            continue
        count += 1
        if found[0] != pytest.approx(found[1], abs=8 * PRECISION):
            wrong.append((seed, *found))
    assert not wrong
    assert count > WALKS / 2
