"""Time limits of the user's actions, and marks for what happens without a user."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

# Longest time for all requests of one action of the user (s): reading the cloud's
# values before, the command, and reading them again after a refusal. The wait for the
# rate limit does not count as long as the queued requests ahead get responses.
ACTION_TIMEOUT = 20.0


class Deadline:
    """A moment, by the clock of the event loop, at which something is given up (s)."""

    def __init__(self, seconds: float, outer: Deadline | None = None) -> None:
        """Initialize the deadline, which is not later than the outer one."""
        self._at = asyncio.get_running_loop().time() + seconds
        self.outer = outer
        self.is_over = False

    @property
    def at(self) -> float:
        """Return the moment (s), by the clock of the event loop."""
        return self._at if self.outer is None else min(self._at, self.outer.at)

    @property
    def left(self) -> float:
        """Return the time left (s), 0 or more."""
        return max(0.0, self.at - asyncio.get_running_loop().time())

    def postpone(self, at: float) -> None:
        """Move the deadline to a later moment; the outer one is unchanged."""
        self._at = max(self._at, at)

    def extend(self, seconds: float) -> None:
        """Extend the deadline by a time (s); the outer one is unchanged."""
        self._at += seconds


_deadline: ContextVar[Deadline | None] = ContextVar("zaptec_deadline", default=None)
_is_automatic: ContextVar[bool] = ContextVar("zaptec_automatic", default=False)


def current_deadline() -> Deadline | None:
    """Return the deadline of the running action, None without one.

    A task or timer that an action has started keeps the action's context, but may
    outlive it. So a deadline only counts until its action is over.
    """
    deadline = _deadline.get()
    return None if deadline is None or deadline.is_over else deadline


def is_automatic() -> bool:
    """Return whether the integration acts without a user who waits for the result."""
    return _is_automatic.get()


@contextmanager
def time_limit(seconds: float | None = None) -> Iterator[Deadline]:
    """Apply one deadline to all requests within; an outer limit takes precedence.

    Args:
        seconds: The longest time (s); by default that of one action of the user.

    """
    if outer := current_deadline():
        yield outer
        return
    deadline = Deadline(ACTION_TIMEOUT if seconds is None else seconds)
    token = _deadline.set(deadline)
    try:
        yield deadline
    finally:
        deadline.is_over = True
        _deadline.reset(token)


@contextmanager
def automatic() -> Iterator[None]:
    """Send the commands within as `Priority.AUTOMATIC`.

    They are queued behind the user's commands, and not sent while the cloud asks for a
    pause. The deadline of an outer action does not apply.
    """
    deadline = _deadline.set(None)
    token = _is_automatic.set(True)
    try:
        yield
    finally:
        _is_automatic.reset(token)
        _deadline.reset(deadline)


@contextmanager
def outside_of_actions() -> Iterator[None]:
    """Run code that is not a part of the action that triggers it.

    Home Assistant runs the user's automations in the context in which a state is
    written. Their actions have their own time limits, and are not automatic.
    """
    deadline = _deadline.set(None)
    token = _is_automatic.set(False)
    try:
        yield
    finally:
        _is_automatic.reset(token)
        _deadline.reset(deadline)


def limits_time[**ParamsT, ReturnT](
    action: Callable[ParamsT, Awaitable[ReturnT]],
) -> Callable[ParamsT, Coroutine[Any, Any, ReturnT]]:
    """Apply the deadline of one action of the user to all requests of a function."""

    @wraps(action)
    async def limited(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ReturnT:
        with time_limit():
            return await action(*args, **kwargs)

    return limited


def acts_by_itself[**ParamsT, ReturnT](
    action: Callable[ParamsT, Awaitable[ReturnT]],
) -> Callable[ParamsT, Coroutine[Any, Any, ReturnT]]:
    """Mark a function as acting without a user; see `automatic`."""

    @wraps(action)
    async def acting(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ReturnT:
        with automatic():
            return await action(*args, **kwargs)

    return acting
