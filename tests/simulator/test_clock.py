"""Tests of simulated time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest

from simulator.clock import Clock

START = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands at noon."""
    return Clock(START, speed=0)


@asynccontextmanager
async def running(clock: Clock) -> AsyncIterator[asyncio.Task[None]]:
    """Run a clock."""
    task = asyncio.create_task(clock.run())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def note(clock: Clock, log: list[tuple[str, float]], name: str) -> Callable[[], None]:
    """Return a callback that logs a name and the seconds after noon at which it ran."""
    return lambda: log.append((name, (clock.now() - START).total_seconds()))


async def within_seconds(event: asyncio.Event) -> None:
    """Wait for an event that real time brings, also on a busy machine."""
    async with asyncio.timeout(20):
        await event.wait()


def test_starts_at_the_real_time_by_default() -> None:
    """A clock without a start shows the real time, in UTC."""
    before = datetime.now(UTC)
    clock = Clock()
    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().utcoffset() == timedelta()


def test_stands_still_until_advanced(clock: Clock) -> None:
    """Nothing but `advance` moves a clock that does not run, whatever its speed."""
    clock.speed = 1000
    assert clock.now() == START
    clock.advance(90.5)
    assert clock.now() == START + timedelta(seconds=90.5)


def test_advance_runs_what_falls_due_in_order_at_its_moment(clock: Clock) -> None:
    """Events run by time, then by the order in which they were scheduled; later ones wait."""
    log: list[tuple[str, float]] = []
    for name, seconds in (("c", 3), ("a", 1), ("b1", 2), ("b2", 2), ("z", 10.001)):
        clock.call_later(seconds, note(clock, log, name))
    clock.advance(10)
    assert log == [("a", 1), ("b1", 2), ("b2", 2), ("c", 3)]
    assert clock.now() == START + timedelta(seconds=10)
    clock.advance(0.001)
    assert log[-1] == ("z", 10.001)


def test_callbacks_schedule_within_the_same_advance(clock: Clock) -> None:
    """What a callback schedules within the span runs in it, between the others."""
    log: list[tuple[str, float]] = []

    def tick() -> None:
        note(clock, log, "tick")()
        clock.call_later(10, tick)

    clock.call_later(10, tick)
    clock.call_later(25, note(clock, log, "other"))
    clock.advance(35)
    assert log == [("tick", 10), ("tick", 20), ("other", 25), ("tick", 30)]


def test_the_past_is_due_at_once_and_does_not_turn_time_back(clock: Clock) -> None:
    """An event in the past runs at the present, at the next move, even one of 0 s."""
    log: list[tuple[str, float]] = []
    clock.advance(60)
    clock.call_at(START, note(clock, log, "late"))
    assert not log
    clock.advance(0)
    assert log == [("late", 60)]


def test_moments_of_any_zone(clock: Clock) -> None:
    """A moment may be given in any zone, but not in none."""
    log: list[tuple[str, float]] = []
    oslo = timezone(timedelta(hours=2))
    clock.call_at(
        datetime(2026, 5, 20, 14, 0, 5, tzinfo=oslo), note(clock, log, "oslo")
    )
    clock.advance(5)
    assert log == [("oslo", 5)]
    naive = START.replace(tzinfo=None)
    with pytest.raises(ValueError, match="aware"):
        clock.call_at(naive, lambda: None)


def test_cancelled_callbacks_do_not_run(clock: Clock) -> None:
    """A handle cancels its callback, also from another callback; twice is harmless."""
    log: list[tuple[str, float]] = []
    early = clock.call_later(1, note(clock, log, "early"))
    later = clock.call_later(3, note(clock, log, "later"))
    clock.call_later(2, later.cancel)
    early.cancel()
    early.cancel()
    assert early.cancelled
    clock.advance(5)
    assert not log


def test_a_callback_that_raises_stops_time_at_its_moment(clock: Clock) -> None:
    """The exception is raised by `advance`; the remaining events run with the next one."""
    log: list[tuple[str, float]] = []

    def fail() -> None:
        raise LookupError

    clock.call_later(1, fail)
    clock.call_later(2, note(clock, log, "after"))
    with pytest.raises(LookupError):
        clock.advance(5)
    assert clock.now() == START + timedelta(seconds=1)
    clock.advance(1)
    assert log == [("after", 2)]


def test_what_time_cannot_do(clock: Clock) -> None:
    """Time cannot run backward, and callbacks cannot move it."""
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="backwards"):
        clock.speed = -1
    with pytest.raises(ValueError, match="backwards"):
        Clock(speed=-1)
    clock.call_later(1, lambda: clock.advance(1))
    with pytest.raises(RuntimeError):
        clock.advance(2)


async def test_run_follows_real_time_times_speed(clock: Clock) -> None:
    """An hour passes in 36 ms at 100 000 times, and the event finds its exact moment."""
    clock.speed = 100_000
    rung = asyncio.Event()
    log: list[tuple[str, float]] = []
    clock.call_later(3600, note(clock, log, "hour"))
    clock.call_later(3600, rung.set)
    started = asyncio.get_running_loop().time()
    async with running(clock):
        await within_seconds(rung)
    assert asyncio.get_running_loop().time() - started >= 0.035
    assert log == [("hour", 3600)]
    assert clock.now() >= START + timedelta(hours=1)


async def test_run_shows_time_passing_between_events(clock: Clock) -> None:
    """The present moves while no event is due, and stops where running stopped."""
    clock.speed = 1000
    async with running(clock):
        await asyncio.sleep(0.01)
        assert clock.now() >= START + timedelta(seconds=10)
    stopped = clock.now()
    await asyncio.sleep(0)
    assert clock.now() == stopped


async def test_the_present_never_passes_an_event_that_has_not_run(clock: Clock) -> None:
    """While the loop is late, the clock stays at the event that is due."""
    clock.speed = 1_000_000
    async with running(clock):
        event = clock.call_later(5, lambda: None)
        loop = asyncio.get_running_loop()
        late = loop.time() + 0.001
        while loop.time() < late:
            pass
        assert not event.cancelled
        assert clock.now() == event.when


async def test_run_wakes_for_an_earlier_event(clock: Clock) -> None:
    """An event that is scheduled before the one that is waited for is in time."""
    clock.speed = 1
    rung = asyncio.Event()
    async with running(clock):
        clock.call_later(3600, lambda: None)
        await asyncio.sleep(0)
        clock.call_later(0.01, rung.set)
        await within_seconds(rung)


async def test_run_wakes_for_a_change_of_speed(clock: Clock) -> None:
    """Speed 0 stands still; a new speed counts from when it was set."""
    rung = asyncio.Event()
    clock.call_later(3600, rung.set)
    async with running(clock):
        await asyncio.sleep(0.01)
        assert clock.now() == START
        clock.speed = 1_000_000
        await within_seconds(rung)
        clock.speed = 0
        stopped = clock.now()
        await asyncio.sleep(0.005)
        assert clock.now() == stopped


async def test_advance_while_running(clock: Clock) -> None:
    """A running clock can be advanced; it goes on from there."""
    clock.speed = 1
    log: list[tuple[str, float]] = []
    clock.call_later(60, note(clock, log, "minute"))
    async with running(clock) as task:
        clock.advance(120)
        assert log == [("minute", 60)]
        assert clock.now() >= START + timedelta(seconds=120)
        await asyncio.sleep(0)
        assert not task.done()


async def test_run_waits_without_spinning(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between events the clock looks at the time only when it is woken."""
    clock.speed = 1
    clock.call_later(3600, lambda: None)
    looked = 0
    look = Clock._catch_up

    def counting(self: Clock) -> None:
        nonlocal looked
        looked += 1
        look(self)

    monkeypatch.setattr(Clock, "_catch_up", counting)
    async with running(clock):
        await asyncio.sleep(0.02)
    assert looked == 1


async def test_runs_once_at_a_time_and_again_later(clock: Clock) -> None:
    """A second run is refused; after the first has ended there may be another."""
    async with running(clock):
        with pytest.raises(RuntimeError):
            await clock.run()
    async with running(clock) as task:
        assert not task.done()
