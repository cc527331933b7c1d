"""Virtual time for the tests of the API, which passes as fast as the machine allows."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from freezegun.api import TickingDateTimeFactory

from custom_components.zaptec.api import ZaptecError
from tests.time_machine import calm_down, leap


async def travel(
    clocks: TickingDateTimeFactory, seconds: float, *, step: float = 0.1
) -> None:
    """Let time pass in steps, and wait after each for its effects."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    await calm_down()
    while (left := end - loop.time()) > 0:
        leap(clocks, min(step, left))
        await calm_down()


async def outcomes(
    clocks: TickingDateTimeFactory,
    *awaitables: Awaitable[Any],
    longest: float,
    step: float = 0.1,
) -> list[tuple[BaseException | None, float]]:
    """Let time pass until all tasks are done; return the error and the duration (s) of each."""
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    results: list[tuple[BaseException | None, float]] = []

    async def run(awaitable: Awaitable[Any]) -> tuple[BaseException | None, float]:
        error: BaseException | None = None
        try:
            await awaitable
        except (ZaptecError, AssertionError) as err:
            error = err
        return error, loop.time() - began_at

    tasks = [asyncio.create_task(run(awaitable)) for awaitable in awaitables]
    try:
        while not all(task.done() for task in tasks):
            assert loop.time() - began_at < longest, "It takes too long"
            await travel(clocks, step, step=step)
        results = [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
    return results
