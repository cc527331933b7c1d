"""Faults at random: after each of them, everything is as the cloud says.

A failure names its seed; `scripts/chaos SEED` walks that way again.
"""

import asyncio
from collections.abc import Callable
import logging
import os
from pathlib import Path
import traceback

from freezegun.api import TickingDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest

from .report import Report
from .walk import LONG_STEP, run

# So many walks share a Home Assistant.
SHARE = 10


def chosen_seeds() -> range:
    """Return the seeds to walk: 200 of them, or those that scripts/chaos asks for."""
    first, _, last = os.environ.get("CHAOS_SEEDS", "0..199").partition("..")
    return range(int(first), int(last or first) + 1)


def tell_of(error: AssertionError, path: Path) -> None:
    """Write down what went wrong."""
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")


@pytest.fixture
def set_url(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what leads the integration to a cloud."""
    return lambda url: monkeypatch.setenv("ZAPTEC_API_URL", url)


@pytest.mark.parametrize("first", chosen_seeds()[::SHARE])
async def test_walk(
    hass: HomeAssistant,
    clocks: TickingDateTimeFactory,
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    set_url: Callable[[str], None],
    first: int,
) -> None:
    """All is right after every fault, in time, and nothing is left behind."""
    # Both would take most of the time.
    asyncio.get_running_loop().set_debug(False)
    caplog.set_level(logging.WARNING, "azure")
    azure_link = "custom_components.zaptec.api.azure_link"
    monkeypatch.setattr(f"{azure_link}.OPEN_TIMEOUT", 30.0)
    # The longest step must not look like an answer that does not come.
    monkeypatch.setattr(f"{azure_link}.PROBE_TIMEOUT", LONG_STEP + 10.0)
    folder = os.environ.get("CHAOS_REPORT")
    report = Report()
    seeds = chosen_seeds()
    for seed in range(first, min(first + SHARE, seeds.stop)):
        try:
            await run(hass, clocks, seed, set_url, report)
        except AssertionError as err:
            if folder:
                # Where thousands are walked, one need not wait for the last.
                tell_of(err, Path(folder, f"{seed}.failed"))
            raise
    if folder:
        report.save(Path(folder, f"{first}.json"))
