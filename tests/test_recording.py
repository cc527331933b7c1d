"""Sums over the switch-over, tested with the recorder's rule for five-minute periods."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import json
import os
from random import Random

import pytest

from custom_components.zaptec.counters import SessionEnergy, Total
from custom_components.zaptec.recording import PERIOD, Recorded, Recording

from .energy_walk import START, Report, Walk, feed_session, rounded

# Number of walks of each kind; docs/chaos.md says how to run more.
WALKS = int(os.environ.get("ENERGY_WALKS", "500"))

# Resolution of reported energies (kWh).
PRECISION = 0.0015

# Delay after a five-minute period until the recorder compiles its statistics.
COMPILED_AFTER = timedelta(seconds=10)


class RecorderOfPeriods:
    """The sum that the recorder makes (sensor/recorder.py of 2026.10).

    The state class of the entity at the time of compiling applies to all states of the
    five-minute period.
    """

    def __init__(self, start: datetime) -> None:
        """Initialize the sum before the first state."""
        self.sum = 0.0
        self.is_increasing = True
        self._state: float | None = None
        self._reset: datetime | None = None
        self._pending: list[tuple[datetime, Recorded]] = []
        self._end = _period(start) + PERIOD

    def record(self, at: datetime, state: Recorded) -> None:
        """Record a state; times must not decrease."""
        self.compile(at)
        self._pending.append((at, state))
        self.is_increasing = state.is_increasing

    def compile(self, now: datetime) -> None:
        """Compile the five-minute periods that have ended."""
        while self._end + COMPILED_AFTER <= now:
            states = [state for at, state in self._pending if at < self._end]
            self._pending = self._pending[len(states) :]
            self._end += PERIOD
            if states:
                self._compile(states)

    def _compile(self, states: list[Recorded]) -> None:
        """Compile one period with the current state class."""
        old = new = self._state
        for state in states:
            if self.is_increasing:
                is_reset = new is None or state.value < 0.9 * new
            else:
                is_reset = new is None or (
                    state.last_reset is not None and state.last_reset != self._reset
                )
            if is_reset:
                if old is not None and new is not None:
                    self.sum += new - old
                old = state.value if old is None else 0.0
                if not self.is_increasing:
                    self._reset = state.last_reset
            new = state.value
        assert old is not None
        assert new is not None
        self.sum += new - old
        self._state = new


def _period(moment: datetime) -> datetime:
    """Return the start of the five-minute period of a time."""
    return moment.replace(minute=moment.minute // 5 * 5, second=0, microsecond=0)


@dataclass
class SwitchOver:
    """A walk whose first part custom-components/zaptec shows, and this integration the rest."""

    walk: Walk
    stopped_at: datetime
    started_at: datetime
    random: Random
    recorder: RecorderOfPeriods
    lag: float
    """Maximum delay of a report to custom-components/zaptec (s)."""

    def incumbent(self) -> tuple[Report, datetime, float] | None:
        """Record what custom-components/zaptec shows.

        Return its last report, the time when that arrived, and the sum of all it has shown.
        """
        last: Report | None = None
        shown, shown_at, total = 0.0, START, 0.0
        for report in self.walk.reports:
            at = report.at + timedelta(seconds=self.random.uniform(0.05, self.lag))
            if not isinstance(report.value, float) or at < shown_at:
                continue
            if at >= self.stopped_at:
                break
            if last is None or report.value != shown:
                total += report.value - (shown if report.value >= 0.9 * shown else 0.0)
                shown, shown_at = report.value, at
                self.recorder.record(at, Recorded(shown, None, is_increasing=True))
            last = report
        return last and (last, shown_at, total)

    def successor(self, energy: float, until: datetime) -> None:
        """Record what this integration shows, beginning with a reading."""
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
        batches.insert(0, (self.started_at, [rounded(item) for item in held.values()]))
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


def sums(seed: int, lag: float = 2, **options: float) -> tuple[float, float] | None:
    """Return a sum over the switch-over, and the expected sum.

    Return None if the expected sum is unknown: nothing was recorded, the last state is a wrong
    report, or two sessions have ended since, of which the cloud only shows the last.
    """
    random = Random(seed)
    walk = Walk(random, family=random.choice(("go", "go2", "pro")), **options)
    for _ in range(random.randint(2, 5)):
        walk.session()
    seconds = (walk.at - START).total_seconds()
    stopped_at = START + timedelta(seconds=random.uniform(0, seconds))
    started_at = stopped_at + timedelta(seconds=random.uniform(10, 200))
    recorder = RecorderOfPeriods(START)
    switch = SwitchOver(walk, stopped_at, started_at, random, recorder, lag)
    if (seen := switch.incumbent()) is None:
        return None
    last, until, total = seen
    ended = [
        report
        for report in walk.reports
        if report.state_id == 723 and last.at < report.at < started_at
    ]
    if len(ended) > 1 or _is_mistake(walk.reports, last):
        return None
    assert isinstance(last.value, float)
    switch.successor(last.value, until)
    return recorder.sum, total + walk.delivered - last.delivered


def _is_mistake(reports: list[Report], last: Report) -> bool:
    """Return whether a report is a wrong one that the charger corrects at once."""
    index = reports.index(last)
    following = [
        report
        for report in reports[index + 1 :]
        if report.state_id == 553 and report.delivered == last.delivered
    ]
    values = [report.value for report in following if isinstance(report.value, float)]
    assert isinstance(last.value, float)
    return not 0 <= last.value < 5000 or any(value > last.value for value in values)


@pytest.mark.parametrize("lag", [2, 20])
def test_sums_over_the_switch_over_are_exact(lag: float) -> None:
    """Sums are exact if the switch-over is at any time, even as another session begins."""
    found = [sums(seed, lag, blips=0.0, unknown_starts=0.0) for seed in range(WALKS)]
    known = [item for item in found if item]
    assert len(known) > 0.9 * WALKS
    for total, expected in known:
        assert total == pytest.approx(expected, abs=8 * PRECISION)


def test_sums_with_mistakes_of_the_charger() -> None:
    """A wrong report is never counted; energy may be missing if it hides a session's beginning."""
    found = [sums(seed, blips=0.2, unknown_starts=0.0) for seed in range(WALKS)]
    differences = [item[0] - item[1] for item in found if item]
    assert len(differences) > 0.8 * WALKS
    assert min(differences) > -8 * PRECISION
    assert max(differences) < 0.5
    assert sum(item > 8 * PRECISION for item in differences) <= 0.005 * WALKS


def test_sums_with_sessions_of_unknown_start() -> None:
    """If the start of a session is unknown, its energy is missing rather than counted twice."""
    found = [sums(seed, blips=0.0, unknown_starts=1.0) for seed in range(WALKS)]
    for total, expected in filter(None, found):
        assert total <= expected + 8 * PRECISION


NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
A, B, C, D = (NOON + number * MINUTE for number in (-60, 1, 2, 3))


def shown(
    recording: Recording, minutes: float, *totals: tuple[float, datetime | None]
) -> list[tuple[float, datetime | None, bool]]:
    """Return the shown values of a series of totals, by minutes after noon."""
    states = recording.show(
        [Total(energy, reset) for energy, reset in totals], NOON + minutes * MINUTE
    )
    return [(item.value, item.last_reset, item.is_increasing) for item in states]


@pytest.fixture
def recording() -> Recording:
    """Return the recording of 5 kWh that custom-components/zaptec has shown until noon."""
    recording = Recording()
    recording.resume(Total(5.0, None), NOON)
    return recording


def test_nothing_was_recorded_before() -> None:
    """If nothing was recorded before, the state class is `total` from the start."""
    recording = Recording()
    assert shown(recording, 0, (5.0, A), (1.0, B)) == [(5.0, A, False), (1.0, B, False)]
    assert recording.last_reset(B) == B
    assert recording.energy(1.0) == 1.0


def test_a_first_state_is_the_baseline() -> None:
    """If nothing was recorded before, the first state is shown before what follows it."""
    recording = Recording()
    assert shown(recording, 0, (0.0, A), (5.0, A)) == [(0.0, A, False), (5.0, A, False)]


def test_a_cycle_that_begins_at_once(recording: Recording) -> None:
    """A cycle that begins at once begins with a fall, whatever its first value is."""
    assert shown(recording, 2, (5.5, None), (7.0, B)) == [
        (5.5, None, True),
        (0.0, None, True),
        (7.0, None, True),
    ]
    assert recording.last_reset(B) is None
    # The state class can only change after the next period, so this must be a fall, too.
    assert shown(recording, 9, (1.0, C)) == [(0.0, None, True), (1.0, None, True)]
    # Each fall postpones the change.
    assert shown(recording, 14, (0.5, D)) == [(0.0, None, True), (0.5, None, True)]
    later = NOON + 21 * MINUTE
    assert shown(recording, 21, (1.5, D), (0.5, later)) == [
        (1.5, None, True),
        (0.5, later, False),
    ]
    assert recording.last_reset(later) == later


@pytest.mark.parametrize(("minutes", "waits"), [(9.9, True), (10, False)])
def test_the_class_changes_once_the_statistics_are_compiled(
    recording: Recording, minutes: float, waits: bool
) -> None:
    """The state class changes after the statistics of the switch-over are compiled."""
    states = shown(recording, minutes, (1.0, B))
    assert states[-1] == ((1.0, None, True) if waits else (1.0, B, False))


def test_a_correction_waits(recording: Recording) -> None:
    """A correction is delayed, with all that follows; statistics would see a new cycle."""
    assert shown(recording, 2, (4.0, None)) == []
    assert recording.energy(4.0) == 5.0
    assert recording.due == NOON + 10 * MINUTE
    assert shown(recording, 3, (4.2, None)) == []
    assert shown(recording, 4, (2.0, B)) == []
    stored = json.loads(json.dumps(recording.as_dict()))
    recording = Recording().restore(stored, NOON + 9 * MINUTE)
    assert shown(recording, 11) == []
    assert shown(recording, 15) == [(4.2, None, False), (2.0, B, False)]
    assert recording.energy(2.0) == 2.0
    assert recording.due is None


def test_a_correction_that_is_overtaken(recording: Recording) -> None:
    """A delayed correction is skipped once the energy has risen above the shown value."""
    assert shown(recording, 2, (4.0, None)) == []
    assert shown(recording, 3, (5.1, None)) == [(5.1, None, True)]
    assert recording.energy(5.1) == 5.1


def test_a_late_session_waits(recording: Recording) -> None:
    """A late session waits for the state class `total`.

    It needs the newest session to be subtracted and counted again, which only `total` allows.
    """
    late = [(0.0, None), (2.0, B), (5.0, C)]
    assert shown(recording, 2, *late) == []
    assert shown(recording, 10) == [
        (0.0, None, False),
        (2.0, B, False),
        (5.0, C, False),
    ]


def test_what_was_recorded_after_a_power_cut(recording: Recording) -> None:
    """After a power cut, more than was stored belongs to the same cycle, and less to another."""
    assert recording.catch_up(5.5)
    assert not recording.catch_up(5.0)
    assert not Recording().catch_up(5.0)
    assert shown(recording, 1, (5.6, None)) == [(5.6, None, True)]


def test_a_document_outlives_the_change(recording: Recording) -> None:
    """Stored data of the time before the change continue a cycle without a reset."""
    assert shown(recording, 20, (4.0, None)) == [(4.0, None, False)]
    stored = json.loads(json.dumps(recording.as_dict()))
    recording = Recording().restore(stored, NOON + 30 * MINUTE)
    assert not recording.is_increasing
    assert shown(recording, 30, (4.5, None), (1.0, B)) == [
        (4.5, None, False),
        (1.0, B, False),
    ]
