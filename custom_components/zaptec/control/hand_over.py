"""Passes the sessions that Home Assistant has permitted to the history, each end once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
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

type CreateTask = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class HistoryDoors:
    """How the history learns of sessions."""

    permitted: Callable[[str, str, Identity, datetime], None]
    """Called with a charger, the id of a session, whom it is permitted to, and when."""
    async_ended: Callable[[str, EndedSession, datetime], Awaitable[None]]
    """Called with a charger, a session that has ended, and when that was reported."""


class HandOver:
    """Passes sessions to the history while the account is loaded.

    It is noted only afterwards that the history has the end of a session. If Home Assistant
    stops in between, it is passed again, and the history does not add it twice.
    """

    def __init__(self, permitted: PermittedSessions, store: AccessStore) -> None:
        """Initialize with the sessions, and where they are stored."""
        self._permitted = permitted
        self._store = store
        self._lock = asyncio.Lock()

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
                await self._async_pass_all(history)
            while due := self._permitted.due():
                for item in due:
                    assert item.ended and item.ended_at
                    await history.async_ended(
                        item.charger_id, item.ended, item.ended_at
                    )
                    item.is_handed_over = True
            await self._async_file()

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
            await self._store.async_save_large({"sessions": document})
            self._permitted.note_filed({item[0]: item for item in document})
        self._store.save_soon()
