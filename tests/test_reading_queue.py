"""The queue of charger readings, and its pace."""

import asyncio
from collections.abc import AsyncGenerator
from unittest.mock import AsyncMock, Mock

import pytest

from custom_components.zaptec.api import Priority, ZaptecConnectionError
from custom_components.zaptec.sources import reading_queue
from custom_components.zaptec.sources.reading_queue import ReadingQueue


class Cloud:
    """Records when each charger was read."""

    def __init__(self) -> None:
        """Initialize the cloud."""
        self.readings: list[tuple[str, float, Priority]] = []
        self.client = Mock()
        self.client.charger_state = AsyncMock(side_effect=self._read)
        self.on_state = Mock()
        self.on_failure = Mock()
        self.error: Exception | None = None
        # Readings wait for this before they end.
        self.answers = asyncio.Event()
        self.answers.set()
        # The reading order of the chargers.
        self.interest: dict[str, int] = {}
        # How often one of them was looked up.
        self.compared = 0
        self.reader = ReadingQueue(
            self.client,
            reading_order=self._order,
            on_state=self.on_state,
            on_failure=self.on_failure,
        )

    def _order(self, charger_id: str) -> int:
        self.compared += 1
        return self.interest.get(charger_id, 0)

    async def _read(self, charger_id: str, *, priority: Priority) -> list[object]:
        self.readings.append((charger_id, asyncio.get_running_loop().time(), priority))
        error = self.error
        await self.answers.wait()
        if error:
            raise error
        return []

    async def count(self, number: int) -> None:
        """Wait for a number of readings."""
        async with asyncio.timeout(60):
            while len(self.readings) < number:
                await asyncio.sleep(0.005)


@pytest.fixture
async def cloud(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Cloud]:
    """Return a cloud whose reading queue runs with shortened intervals."""
    monkeypatch.setattr(reading_queue, "CACHE_TIME", 0.2)
    monkeypatch.setattr(reading_queue, "POLL_SPACING", 0.1)
    cloud = Cloud()
    task = asyncio.create_task(cloud.reader.run())
    yield cloud
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_second_reading_waits_for_the_cloud_to_forget(cloud: Cloud) -> None:
    """A second reading waits until the cloud's cache has expired, or it could return old values."""
    cloud.reader.read("a", first=True)
    await cloud.count(1)
    cloud.reader.read("a")
    await cloud.count(2)
    (_, first, urgent), (_, second, background) = cloud.readings
    assert second - first >= 0.2
    assert (urgent, background) == (Priority.FIRST_STATE, Priority.BACKGROUND)
    assert cloud.on_state.call_count == 2


async def test_polls_are_spread(cloud: Cloud) -> None:
    """Polls of many chargers are spread over time, one request after another."""
    began_at = asyncio.get_running_loop().time()
    for charger_id in "abc":
        cloud.reader.poll(charger_id, 0)
    await cloud.count(3)
    # On a busy machine a reading begins late, so only the distance from here is certain.
    for number, (_, moment, _) in enumerate(cloud.readings):
        assert moment - began_at >= number * reading_queue.POLL_SPACING


async def test_a_wanted_reading_does_not_wait_for_a_poll(cloud: Cloud) -> None:
    """A requested reading, as after a reconnect, replaces the planned poll."""
    cloud.reader.poll("a", 3600)
    cloud.reader.read("a")
    await cloud.count(1)
    # A poll does not delay the reading.
    cloud.reader.read("b")
    cloud.reader.poll("b", 3600)
    await cloud.count(2)


async def test_what_people_look_at_is_read_first(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A charger that is charging is read before those that are idle."""
    monkeypatch.setattr(reading_queue, "PARALLEL_READINGS", 1)
    cloud.interest = {"idle": 2, "offline": 3, "connected": 1}
    for charger_id in ("offline", "idle", "connected", "charging"):
        cloud.reader.read(charger_id, first=True)
    cloud.reader.read("background")
    await cloud.count(5)
    assert [reading[0] for reading in cloud.readings] == [
        "charging",
        "connected",
        "idle",
        "offline",
        "background",
    ]


async def test_chargers_are_read_as_they_were_planned(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of chargers of the same order, the first of the list is read first.

    The set-up waits for the first ones of the list, whichever link comes up before theirs.
    """
    monkeypatch.setattr(reading_queue, "PARALLEL_READINGS", 1)
    cloud.answers.clear()
    cloud.reader.read("busy")
    await cloud.count(1)
    for charger_id in "abc":
        cloud.reader.read(charger_id, first=True, delay=3600)
    for charger_id in "cba":
        cloud.reader.read(charger_id, first=True)
    cloud.answers.set()
    await cloud.count(4)
    assert [reading[0] for reading in cloud.readings] == ["busy", "a", "b", "c"]


async def test_nothing_is_sorted_while_all_slots_are_in_use(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning hundreds of readings costs little as long as none of them can start."""
    monkeypatch.setattr(reading_queue, "PARALLEL_READINGS", 1)
    cloud.answers.clear()
    cloud.reader.read("busy")
    await cloud.count(1)
    for number in range(100):
        cloud.reader.read(f"charger {number}")
        await asyncio.sleep(0)
    assert cloud.compared == 1
    cloud.answers.set()
    await cloud.count(101)


async def test_a_forgotten_charger_is_not_read(cloud: Cloud) -> None:
    """A charger that was removed from the account is not read."""
    cloud.reader.poll("a", 0.05)
    cloud.reader.forget("a")
    cloud.reader.read("b")
    await cloud.count(1)
    await asyncio.sleep(0.1)
    assert [charger_id for charger_id, *_ in cloud.readings] == ["b"]


@pytest.mark.parametrize(
    "error", [None, ZaptecConnectionError("gone"), RuntimeError("a mistake")]
)
async def test_a_charger_forgotten_while_it_is_read(
    cloud: Cloud, error: Exception | None
) -> None:
    """The result of that reading is of a charger that is gone."""
    cloud.error = error
    cloud.answers.clear()
    cloud.reader.read("a", first=True)
    await cloud.count(1)
    tried = asyncio.create_task(cloud.reader.wait_until_tried("a"))
    await asyncio.sleep(0)
    cloud.reader.forget("a")
    # Nothing is left to wait for.
    await asyncio.wait_for(tried, 20)
    cloud.answers.set()
    cloud.error = None
    cloud.reader.read("b")
    await cloud.count(2)
    assert not cloud.reader.has_read("a")
    assert cloud.reader.due("a") is None
    assert [call.args[0] for call in cloud.on_state.call_args_list] in ([], ["b"])
    assert not cloud.on_failure.called


async def test_a_charger_that_comes_back_while_it_is_read(cloud: Cloud) -> None:
    """It is read as a new one, after the reading that is outdated, not beside it."""
    cloud.answers.clear()
    cloud.reader.read("a")
    await cloud.count(1)
    cloud.reader.forget("a")
    cloud.reader.read("a", first=True)
    tried = asyncio.create_task(cloud.reader.wait_until_tried("a"))
    await asyncio.sleep(0.02)
    assert len(cloud.readings) == 1

    cloud.answers.set()
    await asyncio.sleep(0)
    cloud.answers.clear()
    await cloud.count(2)
    assert [priority for *_, priority in cloud.readings] == [
        Priority.BACKGROUND,
        Priority.FIRST_STATE,
    ]
    assert not cloud.reader.has_read("a")
    assert not tried.done()
    assert not cloud.on_state.called

    cloud.answers.set()
    await asyncio.wait_for(tried, 20)
    assert cloud.reader.has_read("a")
    cloud.on_state.assert_called_once_with("a", [])


async def test_failures_are_reported_and_faults_end_nothing(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """Failures are reported, and neither they nor unexpected exceptions stop the queue."""
    cloud.error = ZaptecConnectionError("gone")
    cloud.reader.read("a")
    await cloud.count(1)
    async with asyncio.timeout(60):
        while not cloud.on_failure.called:
            await asyncio.sleep(0)
    assert not cloud.reader.has_read("a")

    cloud.error = RuntimeError("a mistake")
    cloud.reader.read("b")
    await cloud.count(2)
    cloud.error = None
    cloud.reader.read("c")
    await cloud.count(3)
    assert "Unexpected error while reading a charger" in caplog.text


async def test_a_fault_while_a_failure_is_handled_ends_nothing(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    """The other chargers are still read, or their values would silently grow old."""
    cloud.error = ZaptecConnectionError("gone")
    cloud.on_failure.side_effect = RuntimeError("a mistake")
    cloud.reader.read("a")
    await cloud.count(1)
    cloud.error = None
    cloud.reader.read("b")
    await cloud.count(2)
    assert "Unexpected error while reading a charger" in caplog.text
