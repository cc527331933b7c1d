"""The rate limiter."""

import asyncio
import gc

import pytest

from custom_components.zaptec.api import (
    Priority,
    RateLimiter,
    ZaptecBusyError,
    ZaptecNotSentError,
    limiter as limiter_module,
    limiter_for,
)
from custom_components.zaptec.api.action import Deadline

pytestmark = pytest.mark.serial

WINDOW = 0.05


async def test_never_more_than_ten_in_a_second() -> None:
    """No second has more than ten requests, wherever between start and end the cloud counts one."""
    loop = asyncio.get_running_loop()
    limiter = RateLimiter()
    spans: list[tuple[float, float]] = []

    async def request(number: int) -> None:
        async with limiter.slot(Priority.BACKGROUND):
            start = loop.time()
            await asyncio.sleep(0.03 * (number % 3))
            spans.append((start, loop.time()))

    begin = loop.time()
    await asyncio.gather(*(request(number) for number in range(25)))
    spans.sort()
    # The 11th request begins a second after the first ten have ended, and so on.
    for index, (start, _) in enumerate(spans):
        assert sum(end > start - 1 for _, end in spans[:index]) < 10
    assert loop.time() - begin < 3 * limiter_module.REQUEST_WINDOW


async def test_the_first_ones_do_not_wait() -> None:
    """The first ten requests do not wait, so a small home is read at once."""
    limiter = RateLimiter(3, 60)
    async with asyncio.timeout(20):
        for _ in range(3):
            async with limiter.slot(Priority.BACKGROUND):
                pass


async def test_requests_under_way_count() -> None:
    """A request keeps its slot until a second after its response."""
    limiter = RateLimiter(1, 0.0)
    slow = limiter.slot(Priority.BACKGROUND)
    await slow.__aenter__()
    second = asyncio.create_task(limiter.slot(Priority.BACKGROUND).__aenter__())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not second.done()
    await slow.__aexit__(None, None, None)
    async with asyncio.timeout(20):
        await second


async def test_reads_that_hang_do_not_hold_up_a_command() -> None:
    """Some slots are reserved for commands, whatever else is in flight."""
    limiter = RateLimiter()
    reads = [
        asyncio.create_task(limiter.slot(Priority.BACKGROUND).__aenter__())
        for _ in range(20)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(read.done() for read in reads) == 8
    async with asyncio.timeout(20):
        await take(limiter)
    for read in reads:
        read.cancel()
    await asyncio.gather(*reads, return_exceptions=True)


async def test_the_urgent_go_first() -> None:
    """Commands are sent first, and requests of the same priority keep their order."""
    limiter = RateLimiter(1, 0.01)
    served: list[str] = []

    async def request(name: str, priority: Priority) -> None:
        async with limiter.slot(priority):
            served.append(name)

    async with asyncio.TaskGroup() as group, limiter.slot(Priority.BACKGROUND):
        served.append("at once")
        for name, priority in (
            ("background 1", Priority.BACKGROUND),
            ("background 2", Priority.BACKGROUND),
            ("state 1", Priority.FIRST_STATE),
            ("state 2", Priority.FIRST_STATE),
            ("command 1", Priority.COMMAND),
            ("command 2", Priority.COMMAND),
        ):
            group.create_task(request(name, priority))
        # All requests must be queued before the first one ends, even on a busy machine.
        await asyncio.sleep(0)
    assert served == [
        "at once",
        "command 1",
        "command 2",
        "state 1",
        "state 2",
        "background 1",
        "background 2",
    ]


async def take(limiter: RateLimiter) -> None:
    """Take a slot and release it at once."""
    async with limiter.slot(Priority.COMMAND):
        pass


async def test_a_cancelled_request_leaves_its_place() -> None:
    """Cancelling a queued request lets the others move up; the last one cancels the timer."""
    limiter = RateLimiter(1, WINDOW)
    await take(limiter)
    first, second = (asyncio.create_task(take(limiter)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()

    third = asyncio.create_task(take(limiter))
    await asyncio.sleep(0)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    assert limiter._timer is None
    async with asyncio.timeout(20):
        await take(limiter)


async def test_a_cancelled_request_does_not_disturb_the_order() -> None:
    """After the most urgent request was cancelled, the others keep their order."""
    limiter = RateLimiter(1, WINDOW)
    await take(limiter)
    served: list[Priority] = []

    async def request(priority: Priority) -> None:
        async with limiter.slot(priority):
            served.append(priority)

    command, *others = (
        asyncio.create_task(request(priority))
        for priority in (Priority.COMMAND, Priority.BACKGROUND, Priority.FIRST_STATE)
    )
    await asyncio.sleep(0)
    command.cancel()
    await asyncio.gather(*others)
    assert served == [Priority.FIRST_STATE, Priority.BACKGROUND]


@pytest.mark.parametrize("cancelled_first", [True, False])
async def test_a_request_cancelled_at_its_turn(cancelled_first: bool) -> None:
    """A slot that is granted to a cancelled request goes to the next one."""
    limiter = RateLimiter(1, WINDOW)
    await take(limiter)
    first = asyncio.create_task(take(limiter))
    second = asyncio.create_task(take(limiter))
    await asyncio.sleep(0)
    limiter._released_at.clear()
    if cancelled_first:
        first.cancel()
        limiter._release()
    else:
        limiter._release()
        first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(20):
        await second
        await take(limiter)
    assert limiter._in_flight == 0


def test_one_limiter_per_account() -> None:
    """Clients of an account share a limiter, which is freed after them."""
    limiter = limiter_for("https://one", "Anna@example.com")
    assert limiter_for("https://one", "anna@example.com ") is limiter
    assert limiter_for("https://two", "anna@example.com") is not limiter
    assert limiter_for("https://one", "bert@example.com") is not limiter
    assert limiter_for("https://one", "anna@example.com", 1) is not limiter
    before = len(limiter_module._limiters)
    del limiter
    gc.collect()
    assert len(limiter_module._limiters) < before


async def test_a_reload_forgets_nothing() -> None:
    """A limiter outlives its last client until its window has passed."""
    limiter = limiter_for("http://127.0.0.1:1", "reloaded@example.com")
    async with limiter.slot(Priority.COMMAND):
        pass
    identity = id(limiter)
    del limiter
    gc.collect()
    again = limiter_for("http://127.0.0.1:1", "reloaded@example.com")
    assert id(again) == identity
    assert len(again._released_at) == 1


async def test_a_deadline_ends_the_wait_for_a_turn() -> None:
    """A request leaves a blocked queue at its deadline."""
    limiter = RateLimiter(1, WINDOW)
    async with limiter.slot(Priority.COMMAND), asyncio.timeout(10):
        deadline = Deadline(60, Deadline(0.05))
        with pytest.raises(ZaptecNotSentError):
            await limiter.slot(Priority.COMMAND, deadline=deadline).__aenter__()
    assert not limiter._queue


async def test_a_pause_does_not_disturb_the_order() -> None:
    """Requests that are sent during a pause keep their order."""
    limiter = RateLimiter(1, WINDOW)
    served: list[int] = []

    async def request(priority: Priority, number: int) -> None:
        async with limiter.slot(priority):
            served.append(number)

    async with limiter.slot(Priority.COMMAND):
        tasks = [
            asyncio.create_task(request(priority, number))
            for number in range(8)
            for priority in (Priority.BACKGROUND, Priority.COMMAND)
        ]
        await asyncio.sleep(0)
        limiter.pause(600)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(item, ZaptecBusyError) for item in results] == [True, False] * 8
    assert served == list(range(8))
    # The failed requests were never in flight.
    assert limiter._in_flight == 0


async def test_a_pause_that_begins_at_the_turn_of_a_request() -> None:
    """A request that has a slot but was not sent yet when a pause begins is not sent."""
    limiter = RateLimiter(1, 0.0)
    sent: list[str] = []

    async def request() -> None:
        async with limiter.slot(Priority.BACKGROUND):
            sent.append("request")

    async with limiter.slot(Priority.COMMAND):
        task = asyncio.create_task(request())
        await asyncio.sleep(0)
    # The slot was passed on just now.
    assert not limiter._queue
    limiter.pause(600)
    with pytest.raises(ZaptecBusyError):
        await task
    assert not sent
    assert limiter._in_flight == 0
    await take(limiter)


async def test_a_pause_in_the_middle_of_a_queue_leaves_a_queue() -> None:
    """Requests that a pause lets through are sent by priority, not by their place in the queue."""
    limiter = RateLimiter(1, WINDOW)
    served: list[int] = []

    async def request(number: int, priority: Priority) -> None:
        async with limiter.slot(
            priority,
            pause_priority=lambda: Priority(number % 2 and Priority.BACKGROUND),
        ):
            served.append(number)

    order = (8, 1, 6, 3, 5, 4, 7, 2, 0)
    async with limiter.slot(Priority.COMMAND):
        tasks = [
            asyncio.create_task(request(number, Priority(number // 2)))
            for number in order
        ]
        await asyncio.sleep(0)
        limiter.pause(600)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == [0, 2, 4, 6, 8]
