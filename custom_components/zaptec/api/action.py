"""What the user waits for, how long at most, and what happens by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

# Longest time for all that one action of the user makes: the look at the cloud before,
# the command, and the look after a refusal (s). What the account's own rate limit costs
# is not counted, as long as the requests ahead are answered.
ACTION_TIMEOUT = 20.0


class Deadline:
    """The moment, by the loop's clock, at which something is given up (s)."""

    def __init__(self, seconds: float, outer: Deadline | None = None) -> None:
        """Initialize the deadline, which is no later than the outer one."""
        self._at = asyncio.get_running_loop().time() + seconds
        self.outer = outer
        self.is_over = False

    @property
    def at(self) -> float:
        """Return the moment."""
        return self._at if self.outer is None else min(self._at, self.outer.at)

    @property
    def left(self) -> float:
        """Return the seconds until then, 0 or more."""
        return max(0.0, self.at - asyncio.get_running_loop().time())

    def postpone(self, at: float) -> None:
        """Move the moment, if that makes it later; the outer one stays."""
        self._at = max(self._at, at)

    def extend(self, seconds: float) -> None:
        """Move the moment by so many seconds; the outer one stays."""
        self._at += seconds


_deadline: ContextVar[Deadline | None] = ContextVar("zaptec_deadline", default=None)
_is_automatic: ContextVar[bool] = ContextVar("zaptec_automatic", default=False)


def current_deadline() -> Deadline | None:
    """Return the deadline of the action that is running.

    A task or timer that an action has started keeps the action's context, but may
    outlive it. So a deadline counts only until its action is over.
    """
    deadline = _deadline.get()
    return None if deadline is None or deadline.is_over else deadline


def is_automatic() -> bool:
    """Return whether the integration acts by itself, without a user who waits."""
    return _is_automatic.get()


@contextmanager
def time_limit(seconds: float | None = None) -> Iterator[Deadline]:
    """Give all requests within one deadline; an inner limit is part of the outer one.

    Args:
        seconds: How long; by default that of an action of the user.

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
    """Send commands as `Priority.AUTOMATIC`: no user has just asked for them.

    They wait behind the user's commands, and are not sent while the cloud asks for
    a pause. The deadline of an action around it does not count.
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
    """Run what is not a part of the action that happens to cause it.

    Home Assistant runs the user's automations in the context in which a state is
    written. They have time limits of their own, and are not automatic.
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
    """Give all requests of a function the deadline of one action of the user."""

    @wraps(action)
    async def limited(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ReturnT:
        with time_limit():
            return await action(*args, **kwargs)

    return limited


def acts_by_itself[**ParamsT, ReturnT](
    action: Callable[ParamsT, Awaitable[ReturnT]],
) -> Callable[ParamsT, Coroutine[Any, Any, ReturnT]]:
    """Let a function act without a user, as `automatic` says."""

    @wraps(action)
    async def acting(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ReturnT:
        with automatic():
            return await action(*args, **kwargs)

    return acting
