"""The pace of requests."""

import asyncio
import gc

import pytest

from custom_components.zaptec.api import Priority, RateLimiter, limiter_for, transport

INTERVAL = 0.01


async def test_never_more_than_ten_in_a_second() -> None:
    """Whatever waits, no second holds more than ten requests."""
    loop = asyncio.get_running_loop()
    limiter = RateLimiter()
    moments: list[float] = []

    async def request() -> None:
        await limiter.acquire(Priority.BACKGROUND)
        moments.append(loop.time())

    await asyncio.gather(*(request() for _ in range(12)))
    assert all(
        later - earlier > 1
        for earlier, later in zip(moments, moments[10:], strict=False)
    )
    assert moments[-1] - moments[0] < 11 * transport.REQUEST_INTERVAL + 0.5


async def test_no_burst_after_a_pause() -> None:
    """A pause does not save up requests."""
    loop = asyncio.get_running_loop()
    limiter = RateLimiter(INTERVAL)
    await limiter.acquire(Priority.COMMAND)
    await asyncio.sleep(3 * INTERVAL)
    await limiter.acquire(Priority.COMMAND)
    first = loop.time()
    await limiter.acquire(Priority.COMMAND)
    assert loop.time() - first >= INTERVAL * 0.9


async def test_the_urgent_go_first() -> None:
    """Commands overtake all, and nobody is overtaken by their like."""
    limiter = RateLimiter(INTERVAL)
    served: list[str] = []

    async def request(name: str, priority: Priority) -> None:
        await limiter.acquire(priority)
        served.append(name)

    async with asyncio.TaskGroup() as group:
        for name, priority in (
            ("at once", Priority.BACKGROUND),
            ("background 1", Priority.BACKGROUND),
            ("background 2", Priority.BACKGROUND),
            ("state 1", Priority.FIRST_STATE),
            ("state 2", Priority.FIRST_STATE),
            ("command 1", Priority.COMMAND),
            ("command 2", Priority.COMMAND),
        ):
            group.create_task(request(name, priority))
    assert served == [
        "at once",
        "command 1",
        "command 2",
        "state 1",
        "state 2",
        "background 1",
        "background 2",
    ]


async def test_a_cancelled_request_leaves_its_place() -> None:
    """Those behind move up, and the last one takes the timer with it."""
    limiter = RateLimiter(INTERVAL)
    await limiter.acquire(Priority.COMMAND)
    first, second = (
        asyncio.create_task(limiter.acquire(Priority.COMMAND)) for _ in range(2)
    )
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert first.cancelled()

    third = asyncio.create_task(limiter.acquire(Priority.COMMAND))
    await asyncio.sleep(0)
    third.cancel()
    with pytest.raises(asyncio.CancelledError):
        await third
    assert limiter._timer is None
    async with asyncio.timeout(1):
        await limiter.acquire(Priority.COMMAND)


async def test_a_request_cancelled_at_its_turn() -> None:
    """A turn that is not taken delays the next one, and nothing else."""
    limiter = RateLimiter(INTERVAL)
    await limiter.acquire(Priority.COMMAND)
    first = asyncio.create_task(limiter.acquire(Priority.COMMAND))
    await asyncio.sleep(0)
    # Cancelled, but not yet gone when the timer fires.
    assert limiter._timer is not None
    limiter._timer.cancel()
    first.cancel()
    limiter._serve()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with asyncio.timeout(1):
        await limiter.acquire(Priority.COMMAND)

    granted = asyncio.create_task(limiter.acquire(Priority.COMMAND))
    await asyncio.sleep(0)
    limiter._timer.cancel()
    limiter._serve()
    granted.cancel()
    with pytest.raises(asyncio.CancelledError):
        await granted
    async with asyncio.timeout(1):
        await limiter.acquire(Priority.COMMAND)


def test_one_limiter_per_account() -> None:
    """Two clients of an account share its pace, which is forgotten with them."""
    limiter = limiter_for("https://one", "Anna@example.com")
    assert limiter_for("https://one", "anna@example.com ") is limiter
    assert limiter_for("https://two", "anna@example.com") is not limiter
    assert limiter_for("https://one", "bert@example.com") is not limiter
    assert limiter_for("https://one", "anna@example.com", 1.0) is not limiter
    before = len(transport._limiters)
    del limiter
    gc.collect()
    assert len(transport._limiters) < before
