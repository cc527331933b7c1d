"""One link and the reader beside it, without a cloud."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from unittest.mock import AsyncMock, Mock

import pytest

from custom_components.zaptec.api import (
    Account,
    Charger,
    Observation,
    StateId,
    TimeSlice,
    ZaptecServerError,
)
from custom_components.zaptec.listeners import Listeners
from custom_components.zaptec.outages import Outages
from custom_components.zaptec.sources import link as link_module
from custom_components.zaptec.sources.installation_push import InstallationPush
from custom_components.zaptec.sources.link import Channel, Link, SharedByLinks
from custom_components.zaptec.sources.links import Links
from custom_components.zaptec.sources.reader import StateReader
from custom_components.zaptec.state import States

CHARGER = Charger.from_json(
    {"Id": "5b9a5a3c-8e7e-4a59-9d53-05e3a0c1a001", "DeviceType": 1}
)
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Parts:
    """The parts that a link and the reader need, and a client without a cloud."""

    def __init__(self) -> None:
        """Initialize the parts."""
        self.client = Mock()
        self.client.connection_details = AsyncMock()
        self.client.charger_state = AsyncMock(return_value=[])
        self.listeners = Listeners()
        self.outages = Outages()
        self.states = States(self.listeners, on_unknown=Mock(), on_new_version=Mock())
        self.reader = StateReader(
            self.client,
            self.states,
            self.listeners,
            self.outages,
            on_recovery=Mock(),
            start_reauth=Mock(),
        )
        self.links = Mock()
        self.reader.attach(self.links)
        self.shared = SharedByLinks(
            client=self.client,
            states=self.states,
            listeners=self.listeners,
            outages=self.outages,
            reader=self.reader,
            ssl_context=Mock(),
            start_reauth=Mock(),
            logged_faults=set(),
            time_slice=TimeSlice(),
        )
        self.link = Link(
            Channel(
                "home",
                "installation home",
                partial(self.client.connection_details, "home"),
            ),
            self.shared,
        )
        self.push = InstallationPush(self.link, self.reader, self.listeners)


@pytest.fixture
async def parts() -> Parts:
    """Return the parts."""
    return Parts()


async def test_an_unexpected_error_does_not_end_the_link(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, and the link tries again as often as ever."""
    monkeypatch.setattr(link_module, "reconnect_pause", lambda _: 0.0)
    attempts = asyncio.Semaphore(0)

    async def fail(*_: object, **__: object) -> None:
        attempts.release()
        raise ZeroDivisionError

    parts.client.connection_details.side_effect = fail
    task = asyncio.create_task(parts.link.run())
    for _ in range(3):
        await attempts.acquire()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert parts.link.fault == "ZeroDivisionError"
    assert caplog.text.count("Unexpected error in the push of an installation") == 1


async def test_a_charger_that_moves_here_outdated_is_incomplete_until_read(
    parts: Parts,
) -> None:
    """The link does not report what happened before the charger came."""
    parts.push.add(CHARGER.id, is_fresh=False)
    assert not parts.push.is_complete(CHARGER.id)

    parts.push.compare(CHARGER.id, [])
    assert parts.push.is_complete(CHARGER.id)


async def test_a_closed_link_is_neither_checked_nor_reopened(parts: Parts) -> None:
    """Silence is no evidence while there is no connection."""
    parts.push.charger_ids = (CHARGER.id,)
    parts.link.check()
    parts.link.reopen()
    assert parts.reader.due(CHARGER.id) is None


async def test_a_link_that_is_removed_reads_no_charger(parts: Parts) -> None:
    """Messages of the same loop iteration may follow the discovery that removed it.

    The charger may be one of another account by then.
    """
    links = Links(Mock(), Mock(options={}), parts.shared, is_fresh=lambda _: True)
    account = Account(chargers={CHARGER.id: replace(CHARGER, installation_id="home")})
    links.follow(account, {"home"})
    link = links["home"].own
    link.is_silent = True
    links.follow(Account(), set())

    link.received([Observation(CHARGER.id, StateId.IS_ONLINE, NOW, "1")])

    assert parts.reader.due(CHARGER.id) is None


@pytest.mark.parametrize("error", [None, ZaptecServerError("broken", 500)])
async def test_a_reading_of_a_charger_that_is_gone_is_dropped(
    parts: Parts, error: Exception | None
) -> None:
    """It was sent before the charger was removed, and is not repeated."""
    parts.client.charger_state.side_effect = error and [error]
    task = asyncio.create_task(parts.reader.run())
    parts.reader.read(CHARGER.id)
    await parts.reader.wait_until_tried(CHARGER.id)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert not parts.links.compare.called
    assert parts.reader.due(CHARGER.id) is None
    assert not parts.reader.is_live(CHARGER.id)


async def test_an_unreadable_charger_is_live_again_after_a_reading(
    parts: Parts,
) -> None:
    """Until then its entities are unavailable, unless messages report it."""
    parts.links.is_connecting.return_value = False
    account = Account(chargers={CHARGER.id: CHARGER})
    parts.states.follow(account)
    parts.reader.follow(account)
    assert parts.reader.is_live(CHARGER.id)
    parts.reader.cloud_unreachable([CHARGER.id])
    assert not parts.reader.is_live(CHARGER.id)

    task = asyncio.create_task(parts.reader.run())
    await parts.reader.wait_until_tried(CHARGER.id)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert parts.reader.is_live(CHARGER.id)
    assert parts.links.compare.called
