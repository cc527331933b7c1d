"""Random faults: after each of them, the entities must show what the cloud says.

A failure names its seed. `scripts/chaos SEED` replays that walk.
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

from simulator.simulator import Simulator

from .report import Report
from .walk import run

# Number of walks that share a Home Assistant.
SHARE = 10


def chosen_seeds() -> range:
    """Return the seeds: 200 of them, or those that scripts/chaos sets."""
    first, _, last = os.environ.get("CHAOS_SEEDS", "0..199").partition("..")
    return range(int(first), int(last or first) + 1)


def write_failure(error: AssertionError, path: Path) -> None:
    """Write the traceback of a failed walk to a file."""
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")


@pytest.fixture
def use_cloud(monkeypatch: pytest.MonkeyPatch) -> Callable[[Simulator], None]:
    """Return a function that sets which simulated cloud the integration uses."""

    def use(sim: Simulator) -> None:
        monkeypatch.setenv("ZAPTEC_API_URL", sim.api_url)
        monkeypatch.setenv("ZAPTEC_WEB_SOCKET_PORT", str(sim.bus.web_socket.number))

    return use


# Ten walks take up to half a minute, and many times that on a busy machine. The default limit
# would then end a task of the integration, and the walk would fail for what that task did.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", chosen_seeds()[::SHARE])
async def test_walk(
    hass: HomeAssistant,
    clocks: TickingDateTimeFactory,
    socket_enabled: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    use_cloud: Callable[[Simulator], None],
    first: int,
) -> None:
    """Everything is right in time after every fault, and no task or socket is left at the end."""
    # Debug mode and the library's log would take most of the time.
    asyncio.get_running_loop().set_debug(False)
    caplog.set_level(logging.WARNING, "azure")
    azure_link = "custom_components.zaptec.api.azure_link"
    monkeypatch.setattr(f"{azure_link}.OPEN_TIMEOUT", 30.0)
    monkeypatch.setattr(f"{azure_link}.FIRST_OPEN_TIMEOUT", 10.0)
    monkeypatch.setattr(f"{azure_link}.PROBE_TIMEOUT", 20.0)
    folder = os.environ.get("CHAOS_REPORT")
    report = Report()
    seeds = chosen_seeds()
    for seed in range(first, min(first + SHARE, seeds.stop)):
        try:
            await run(hass, clocks, seed, use_cloud, report)
        except AssertionError as err:
            if folder:
                # A run of thousands of walks takes long, so a failure can be read before
                # the run has ended.
                write_failure(err, Path(folder, f"{seed}.failed"))
            raise
    if folder:
        report.save(Path(folder, f"{first}.json"))
