"""The page about the architecture, compared with what the code does."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
import re
import sys
import threading
from types import FrameType

import pytest

from custom_components.zaptec.web_hook_settings import WebHookSettings, async_store
from simulator.car import Car
from simulator.observations import StateId

from .home import Home
from .web_hook_callers import Caller, through_the_cloud

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "custom_components/zaptec"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")

OBSERVATION = "An observation"
WRITE = "A write"
DISCOVERY = "A discovery"
COMPLETED_SESSION = "A completed session"
STATEMENT = "A statement"
REQUEST = "A car asks to charge"


def walk(title: str) -> list[tuple[str, str]]:
    """Return the file and the function of each step of a walk, as the page has them."""
    section = PAGE.split(f"### {title}\n")[1].split("\n#")[0]
    return [
        (file, function)
        for file, functions in re.findall(
            r"^\| `(\S+)` \| (`.+?`) \|", section, re.MULTILINE
        )
        for function in re.findall(r"`(\S+?)`", functions)
    ]


@contextmanager
def recorded(*, threads: bool = False) -> Generator[dict[tuple[str, str], None]]:
    """Record the functions of the integration in the order of their first call.

    Args:
        threads: Whether those are recorded, too, that run in other threads.

    """
    calls: dict[tuple[str, str], None] = {}
    prefix = f"{FOLDER}/"

    def record(frame: FrameType, event: str, _arg: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(prefix):
            calls[(code.co_filename.removeprefix(prefix), code.co_qualname)] = None

    before = sys.getprofile()
    set_profile = threading.setprofile_all_threads if threads else sys.setprofile
    set_profile(record)
    try:
        yield calls
    finally:
        set_profile(before)


def steps(calls: dict[tuple[str, str], None], title: str) -> list[tuple[str, str]]:
    """Return those steps of a walk that were called, in the order of their calls."""
    expected = set(walk(title))
    return [call for call in calls if call in expected]


def test_the_files_exist() -> None:
    """A file or folder that is renamed is renamed on the page, too."""
    named = re.findall(r"`([a-z_/]+(?:\.py|/))`", PAGE)
    missing = {
        path
        for path in named
        if not (FOLDER / path).exists() and not (ROOT / path).exists()
    }

    assert len(named) > 40
    assert missing == set()


@pytest.mark.parametrize(
    "title", [OBSERVATION, WRITE, DISCOVERY, REQUEST, COMPLETED_SESSION, STATEMENT]
)
def test_the_walks_are_found(title: str) -> None:
    """A table of another form would be compared with nothing."""
    assert len(walk(title)) >= 10


async def test_an_observation(home: Home) -> None:
    """A power that the charger reports goes the way that the page describes."""
    home.charger.plug_in(Car())
    await home.travel(30)
    with recorded() as calls:
        home.charger.observe(StateId.TOTAL_CHARGE_POWER, 2500)
        await home.wait_for("sensor", "total_charge_power", "2500.0")

    assert steps(calls, OBSERVATION) == walk(OBSERVATION)
    # Each message notifies its own topic before its observations are applied.
    assert ("listeners.py", "Listeners.run_due") in calls
    assert "coordinator.py" not in {file for file, _ in calls}


async def test_a_write(home: Home) -> None:
    """A number that the user sets goes the way that the page describes."""
    with recorded() as calls:
        await home.set_value("charger_max_current", 12)

    assert steps(calls, WRITE) == walk(WRITE)
    assert "coordinator.py" not in {file for file, _ in calls}


async def test_a_discovery(home: Home) -> None:
    """A new charger in the lists goes the way that the page describes."""
    home.sim.add_charger(home.installation.id, serial="ZPR000009", name="Space 9")
    with recorded() as calls:
        await home.entry.runtime_data.coordinator.async_refresh()

    assert steps(calls, DISCOVERY) == walk(DISCOVERY)


async def test_a_car_asks_to_charge(new_home: Home) -> None:
    """A call of the cloud goes the way that the page describes."""
    settings = WebHookSettings.new()
    async_store(new_home.hass, new_home.entry, new_home.installation.id, settings)
    await new_home.start()
    call = through_the_cloud(new_home.hass)
    caller = Caller(call, settings, new_home.installation.id)
    with recorded() as calls:
        reply = await caller.start(new_home.charger.id)

    assert reply.status == 200
    assert steps(calls, REQUEST) == walk(REQUEST)
