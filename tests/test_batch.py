"""Settings that change several times in a moment."""

import asyncio

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest

from custom_components.zaptec.api.action import current_deadline, limits_time
from custom_components.zaptec.batch import Batch

from .time_machine import wait_until


@pytest.mark.parametrize("earlier", ["sent", "pending"])
async def test_what_is_sent_has_the_time_of_its_newest_request(
    hass: HomeAssistant, earlier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier request, sent before or replaced, has begun its time sooner."""
    if earlier == "pending":
        monkeypatch.setattr("custom_components.zaptec.batch.CALM_TIME", 0.02)
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
    """The request goes on without its caller, whatever comes of it."""
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
