"""Jobs that take turns: one step in each iteration of the event loop."""

import asyncio

import pytest

from custom_components.zaptec.api import current_deadline, limits_time
from custom_components.zaptec.api.action import Deadline
from custom_components.zaptec.round_robin import RoundRobin


async def test_jobs_take_turns() -> None:
    """Each iteration of the event loop runs one step, and each job has its turn."""
    steps: list[str] = []

    def job(name: str, count: int) -> bool:
        steps.append(name)
        return steps.count(name) < count

    jobs = RoundRobin()
    jobs.add(lambda: job("a", 3))
    jobs.add(lambda: job("b", 1))
    jobs.add(lambda: job("c", 2))
    seen = []
    while not jobs.is_idle:
        await asyncio.sleep(0)
        seen.append("".join(steps))
    assert seen == ["a", "ab", "abc", "abca", "abcac", "abcaca"]


async def test_a_job_is_added_once() -> None:
    """A job that is waiting for its turn already gets no second one."""
    steps = 0

    def job() -> bool:
        nonlocal steps
        steps += 1
        return False

    jobs = RoundRobin()
    jobs.add(job)
    jobs.add(job)
    assert not jobs.is_idle
    await asyncio.sleep(0)
    assert jobs.is_idle
    await asyncio.sleep(0)
    assert steps == 1
    jobs.add(job)
    await asyncio.sleep(0)
    assert steps == 2


async def test_a_step_may_add_jobs() -> None:
    """A step that adds its own job or another one leaves no job behind."""
    steps: list[str] = []
    jobs = RoundRobin()

    def other() -> bool:
        steps.append("other")
        return False

    def job() -> bool:
        steps.append("job")
        jobs.add(job)
        jobs.add(other)
        return False

    jobs.add(job)
    for _ in range(4):
        await asyncio.sleep(0)
    assert jobs.is_idle
    assert steps == ["job", "other"]


async def test_an_error_ends_no_job(caplog: pytest.LogCaptureFixture) -> None:
    """An exception in a step is logged, and all jobs go on."""
    steps: list[str] = []

    def job() -> bool:
        steps.append("job")
        if len(steps) == 1:
            raise ZeroDivisionError
        return False

    def other() -> bool:
        steps.append("other")
        return False

    jobs = RoundRobin()
    jobs.add(job)
    jobs.add(other)
    while not jobs.is_idle:
        await asyncio.sleep(0)
    assert steps == ["job", "other", "job"]
    assert "Unexpected error while adding entities" in caplog.text


async def test_the_work_is_part_of_no_action() -> None:
    """A job that an action has caused is not subject to the time limit of that action."""
    deadlines: list[Deadline | None] = []

    def job() -> bool:
        deadlines.append(current_deadline())
        return False

    jobs = RoundRobin()

    @limits_time
    async def act() -> None:
        jobs.add(job)
        await asyncio.sleep(0)
        deadlines.append(current_deadline())

    await act()
    assert deadlines[0] is None
    assert deadlines[1] is not None
