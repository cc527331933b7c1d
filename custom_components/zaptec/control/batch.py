"""Requests for one setting that follow each other quickly and are sent once."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later

from ..const import DOMAIN

# Time without another request after which the newest one is sent (seconds).
CALM_TIME = 1.0

# Maximum time that a request waits while others keep coming (seconds). A reduction may
# protect a fuse, so a program that changes a current all the time must not delay it for
# long. A user who presses minus for two seconds still causes one request.
CALM_TIME_MAX = 2.5

# Maximum time that an unload, or the stop of Home Assistant, waits for the outcome of
# pending requests (seconds).
CLOSE_TIME = 20.0


@dataclass(slots=True)
class _Pending[ValueT]:
    """The newest value of requests that are sent together, and their outcome."""

    value: ValueT
    outcome: asyncio.Future[None]
    # Latest time at which the value is sent (time of the event loop).
    deadline: float
    # The context of the newest request, whose time limit counts for all of them.
    context: Context
    is_due: bool = False


class Batch[ValueT]:
    """Collects the requests for one setting until they pause, and sends the newest.

    While one is being sent the next ones are collected, so a slow cloud gets no more
    requests than it can answer.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        send: Callable[[ValueT], Coroutine[Any, Any, None]],
        merge: Callable[[ValueT, ValueT], ValueT] = lambda _, newest: newest,
    ) -> None:
        """Initialize the batch.

        Args:
            hass: Home Assistant.
            send: Sends a value. Its exceptions are raised to every caller whose request
                is part of the value.
            merge: Combines an earlier request with the newest one.

        """
        self._hass = hass
        self._send = send
        self._merge = merge
        self._pending: _Pending[ValueT] | None = None
        self._cancel_timer: CALLBACK_TYPE | None = None
        self._task: asyncio.Task[None] | None = None
        # The outcome of the value that is being sent.
        self._outcome: asyncio.Future[None] | None = None
        self._is_closed = False

    @property
    def is_busy(self) -> bool:
        """Return whether a request waits or is being sent."""
        return self._pending is not None or self._task is not None

    @property
    def pending(self) -> ValueT | None:
        """Return the value that is sent next, None if there is none."""
        return self._pending.value if self._pending else None

    async def async_request(self, value: ValueT) -> None:
        """Request a value, which a newer request may replace, and wait for the outcome.

        If the caller is cancelled meanwhile, as in an automation that restarts, the
        request still counts.

        Raises:
            HomeAssistantError: The value that was sent was refused or failed.

        """
        loop = self._hass.loop
        if self._pending is None:
            outcome = loop.create_future()
            # Retrieve the exception: if all callers are cancelled, asyncio would log it
            # as never retrieved.
            outcome.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._pending = _Pending(
                value, outcome, loop.time() + CALM_TIME_MAX, copy_context()
            )
        else:
            self._pending.value = self._merge(self._pending.value, value)
            self._pending.context = copy_context()
        outcome = self._pending.outcome
        self._schedule(self._pending)
        # `asyncio.shield` would log the failure of a request whose caller is cancelled.
        await asyncio.wait([outcome])
        outcome.result()

    @callback
    def _schedule(self, pending: _Pending[ValueT]) -> None:
        """Schedule the pending value after a calm moment, or at its deadline."""
        self._stop_timer()
        left = pending.deadline - self._hass.loop.time()
        if self._is_closed or left <= 0:
            self._start()
            return

        @callback
        def start(_now: datetime) -> None:
            self._cancel_timer = None
            self._start()

        self._cancel_timer = async_call_later(
            self._hass, min(CALM_TIME, left), HassJob(start)
        )

    @callback
    def _stop_timer(self) -> None:
        """Cancel the timer, if there is one."""
        if self._cancel_timer:
            self._cancel_timer()
            self._cancel_timer = None

    @callback
    def _start(self) -> None:
        """Send the pending value, now or after the value that is being sent."""
        if (pending := self._pending) is None:
            return
        pending.is_due = True
        if self._task:
            return
        self._pending = None
        self._outcome = pending.outcome
        # A background task of the config entry would be cancelled on unload. The task
        # runs in the context of the newest request: the timer, or the task before, runs
        # in the context of an earlier one, whose time limit may have passed.
        self._task = pending.context.run(
            partial(
                self._hass.async_create_task,
                self._send(pending.value),
                name=f"{DOMAIN} setting",
                eager_start=False,
            )
        )
        self._task.add_done_callback(partial(self._finish, pending.outcome))

    @callback
    def _finish(self, outcome: asyncio.Future[None], task: asyncio.Task[None]) -> None:
        """Pass the outcome of a value to its callers, and send the next value."""
        self._task = self._outcome = None
        if task.cancelled():
            outcome.cancel()
        elif error := task.exception():
            outcome.set_exception(error)
        else:
            outcome.set_result(None)
        if self._pending and self._pending.is_due:
            self._start()

    @callback
    def close(self) -> list[asyncio.Future[None]]:
        """Send the pending value at once, and later requests without a calm moment.

        Returns:
            The outcomes that are still open.

        """
        self._is_closed = True
        self._stop_timer()
        outcomes = [self._outcome] if self._outcome else []
        if self._pending:
            outcomes.append(self._pending.outcome)
        self._start()
        return outcomes


class Batches:
    """All batches of an account, which are sent before it is unloaded."""

    def __init__(self) -> None:
        """Initialize the collection."""
        # Weak, so that a batch whose owner is gone disappears once it has sent its value.
        self._batches: WeakKeyDictionary[Batch[Any], None] = WeakKeyDictionary()
        self._is_closed = False

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self._batches)

    def add[ValueT](self, batch: Batch[ValueT]) -> Batch[ValueT]:
        """Add a batch, and return it."""
        self._batches[batch] = None
        if self._is_closed:
            # The first request for a setting may come while Home Assistant stops.
            batch.close()
        return batch

    async def async_close(self) -> None:
        """Send all pending values at once, and later requests without a calm moment.

        Wait for the requests so far, but no longer than CLOSE_TIME: neither a cloud that
        does not answer, nor a program that keeps requesting, may hold up an unload.
        """
        self._is_closed = True
        outcomes = [
            outcome for batch in list(self._batches) for outcome in batch.close()
        ]
        if outcomes:
            await asyncio.wait(outcomes, timeout=CLOSE_TIME)
