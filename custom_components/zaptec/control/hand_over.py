"""Passes the sessions that Home Assistant has permitted to the history, each end once."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from homeassistant.core import callback
from homeassistant.util import dt as dt_util

from ..access_store import AccessStore
from ..authorization import EndedSession
from ..const import DOMAIN
from ..permitted_sessions import PermittedSessions
from ..persons import Identity

# Number of sessions that are passed to the history without a pause for others.
PASSED_AT_ONCE: Final = 200

# Number of sessions that move to the large part of the store together. It is written as a
# whole, so that happens seldom.
FILED_AT_ONCE: Final = 50

# Time after which the history has stored what was passed to it: it does so with a delay, so
# that a large store is not written for each session.
STORED_AFTER: Final = timedelta(minutes=15)

type CreateTask = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class HistoryDoors:
    """How the history learns of sessions."""

    permitted: Callable[[str, str, Identity, datetime], None]
    """Called with a charger, the id of a session, whom it is permitted to, and when."""
    ended: Callable[[str, EndedSession, datetime], None]
    """Called with a charger, a session that has ended, and when that was reported."""


class HandOver:
    """Passes sessions to the history while the account is loaded.

    It is noted only once the history has stored the end of a session. If Home Assistant stops
    before, it is passed again, and the history does not add it twice.
    """

    def __init__(self, permitted: PermittedSessions, store: AccessStore) -> None:
        """Initialize with the sessions, and where they are stored."""
        self._permitted = permitted
        self._store = store
        self._lock = asyncio.Lock()
        # When each session was passed since the account was loaded, by its id.
        self._passed: dict[str, datetime] = {}

    @callback
    def start(
        self, history: HistoryDoors, create_task: CreateTask, *, is_all: bool = False
    ) -> None:
        """Pass what the history does not have.

        Args:
            history: The history.
            create_task: Creates a task that ends with the account.
            is_all: Whether to say of all sessions whom they were permitted to, in case the
                history has lost that.

        """
        create_task(
            self._async_run(history, is_all=is_all), f"{DOMAIN} permitted sessions"
        )

    async def _async_run(self, history: HistoryDoors, *, is_all: bool) -> None:
        """Pass what the history does not have."""
        async with self._lock:
            if is_all:
                self._passed.clear()
                await self._async_pass_all(history)
            self._pass_ended(history, dt_util.utcnow())
            await self._async_file()

    def _pass_ended(self, history: HistoryDoors, now: datetime) -> None:
        """Pass the sessions that have ended, and note which of them are stored by now."""
        for session_id, item in self._permitted.due():
            assert item.ended and item.ended_at
            if session_id not in self._passed:
                history.ended(item.charger_id, item.ended, item.ended_at)
                self._passed[session_id] = now
            elif now - self._passed[session_id] > STORED_AFTER:
                item.is_handed_over = True
                del self._passed[session_id]

    async def _async_pass_all(self, history: HistoryDoors) -> None:
        """Say of all sessions whom they were permitted to."""
        for number, (session_id, item) in enumerate(self._permitted.items(), start=1):
            history.permitted(
                item.charger_id, session_id, item.identity, item.permitted_at
            )
            if number % PASSED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _async_file(self) -> None:
        """Move what hardly changes any more to the large part of the store."""
        now = dt_util.utcnow()
        self._permitted.forget_old(now)
        also = self._permitted.to_file(now)
        if len(also) >= FILED_AT_ONCE:
            document = self._permitted.filed(also)
            # If that fails, it is in the log, and they stay in the small part.
            with suppress(Exception):
                await self._store.async_save_large({"sessions": document})
                self._permitted.note_filed({item[0]: item for item in document})
        self._store.save_soon()
