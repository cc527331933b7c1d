"""Batches of settings that change several times in a short time."""

import asyncio
import gc

from freezegun.api import TickingDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest

from custom_components.zaptec.api.action import current_deadline, limits_time
from custom_components.zaptec.control.batch import Batch, Batches

from .time_machine import calm_down, leap, wait_until


@pytest.mark.parametrize("earlier", ["sent", "pending"])
async def test_what_is_sent_has_the_time_of_its_newest_request(
    hass: HomeAssistant, earlier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch has the time limit of its newest request, not that of one sent or replaced."""
    if earlier == "pending":
        monkeypatch.setattr("custom_components.zaptec.control.batch.CALM_TIME", 0.02)
    release = asyncio.Event()
    begun: list[int] = []
    found: dict[int, object] = {}
    deadlines: dict[int, object] = {}

    async def send(value: int) -> None:
        begun.append(value)
        await release.wait()
        found[value] = current_deadline()

    batch = Batch(hass, send)

    @limits_time
    async def request(value: int) -> None:
        deadlines[value] = current_deadline()
        await batch.async_request(value)

    first = asyncio.create_task(request(1))
    if earlier == "sent":
        await wait_until(lambda: begun == [1])
    second = asyncio.create_task(request(2))
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(first, second)
    assert found[2] is not None
    assert found[2] is deadlines[2]
    assert deadlines[1] is not deadlines[2]


@pytest.mark.parametrize("is_refused", [True, False])
async def test_a_caller_that_is_cancelled_leaves_no_trace_in_the_log(
    hass: HomeAssistant, caplog: pytest.LogCaptureFixture, is_refused: bool
) -> None:
    """If the caller is cancelled, the request continues, and its error is not logged by asyncio."""
    sent: list[int] = []

    async def send(value: int) -> None:
        sent.append(value)
        if is_refused:
            raise HomeAssistantError("refused")

    batch = Batch(hass, send)
    task = asyncio.create_task(batch.async_request(1))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await wait_until(lambda: bool(sent) and not batch.is_busy)
    await hass.async_block_till_done()
    assert not [item for item in caplog.records if item.levelname == "ERROR"]


async def test_one_is_sent_after_the_other(hass: HomeAssistant) -> None:
    """Only one request is in flight, so that a slow cloud gets the newest value next."""
    release = asyncio.Event()
    sent: list[int] = []

    async def send(value: int) -> None:
        sent.append(value)
        await release.wait()

    batch = Batch(hass, send)
    requests = [asyncio.create_task(batch.async_request(1))]
    await wait_until(lambda: sent == [1])
    for value in (2, 3):
        requests.append(asyncio.create_task(batch.async_request(value)))
        await calm_down()
    assert sent == [1]
    release.set()
    await asyncio.gather(*requests)
    assert sent == [1, 3]


@pytest.mark.parametrize("hindrance", ["no answer", "requests"])
async def test_an_unload_ends_in_time(
    clocks: TickingDateTimeFactory, hass: HomeAssistant, hindrance: str
) -> None:
    """An unload ends in time, even if the cloud hangs or a program keeps requesting."""
    release = asyncio.Event()
    sent: list[int] = []
    requests: list[asyncio.Task[None]] = []

    async def send(value: int) -> None:
        sent.append(value)
        if hindrance == "no answer":
            await release.wait()
        else:
            requests.append(asyncio.create_task(batch.async_request(value + 1)))
            await asyncio.sleep(0)

    batches = Batches()
    batch = batches.add(Batch(hass, send))
    requests.append(asyncio.create_task(batch.async_request(1)))
    await wait_until(lambda: bool(sent))
    # A jump leaves out the real time before it, which is not to count below.
    leap(clocks, 0.0)
    closing = asyncio.create_task(batches.async_close())
    await calm_down() if hindrance == "no answer" else await wait_until(closing.done)
    if hindrance == "no answer":
        clocks.tick(10.0)
        await calm_down()
        assert not closing.done()
        clocks.tick(11.0)
        await calm_down()
    assert closing.done()
    await closing
    release.set()
    hindrance = "no answer"
    await asyncio.gather(*requests)


async def test_a_close_sends_what_is_pending_and_waits_for_it(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing sends a pending request without its delay, and waits for it."""
    monkeypatch.setattr("custom_components.zaptec.control.batch.CALM_TIME", 60.0)
    sent: list[int] = []

    async def send(value: int) -> None:
        await asyncio.sleep(0)
        sent.append(value)

    batches = Batches()
    batch = batches.add(Batch(hass, send))
    await batches.async_close()
    assert sent == []
    batch = batches.add(Batch(hass, send))
    request = asyncio.create_task(batch.async_request(1))
    await asyncio.sleep(0)
    await batches.async_close()
    assert sent == [1]
    await request
    await batch.async_request(2)
    assert sent == [1, 2]


async def test_batches_of_entities_that_are_gone_do_not_pile_up(
    hass: HomeAssistant,
) -> None:
    """Batches of removed entities are freed, because an entity may be added again many times."""

    async def send(_value: int) -> None:
        """Send nothing."""

    batches = Batches()
    for _ in range(5):
        batch = batches.add(Batch(hass, send))
    gc.collect()
    assert len(batches) == 1
    assert not batch.is_busy
