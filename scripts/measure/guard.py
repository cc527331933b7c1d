"""Compares what the code executes with a table, so that a test notices what has grown.

The times of the benchmark differ from run to run, so a test of them would fail now and
then without a reason. Executed instructions do not. What is compared are their ratios:
to what the write of a bare sensor executes, or to the same with fewer chargers.
"""

import asyncio
from collections.abc import Callable, Mapping
import json
import logging
import os
from pathlib import Path
import subprocess
import sys

from homeassistant.helpers import entity_registry as er

from custom_components.zaptec import listeners
from custom_components.zaptec.sources import reader

from .bare import yardstick
from .cloud import SESSION_ENERGY, Cloud, cloud
from .home import Home, home
from .loop import CountingSelector, run
from .steps import PLAIN_STATE_IDS, Steps, plug_in
from .units import counted

TABLE = Path(__file__).with_name("guard.json")

# How much larger than in the table a ratio may be.
TOLERANCE = 0.10

# Number of messages that are decoded.
MESSAGES = 600

# Numbers of chargers of the homes.
ONE, SOME, MANY = 1, 10, 30


# What reads the lists and states of a start, and adds the entities. How often these are
# written, and how long requests wait for each other, depends on the time that they take.
_OF_A_START = (
    "api/models.py",
    "api/parsing.py",
    "coordinator.py",
    "devices/",
    "energy.py",
    "energy_store.py",
    "entity_loader.py",
    "listeners.py",
    "object_ids.py",
)
_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = _ROOT / "custom_components" / "zaptec"
_OF_A_START_PATHS = tuple(f"{_PACKAGE}/{place}" for place in _OF_A_START)


def _is_of_a_start(file: str) -> bool:
    """Return whether what a file executes in a start is the same each time."""
    return file.startswith(_OF_A_START_PATHS)


def _units(run: Callable[[], object]) -> int:
    """Return what a function executes."""
    with counted() as units:
        run()
    return units.total


async def _message(here: Home, other: Cloud) -> dict[str, float]:
    """Return what the steps of a message execute, and a bare sensor's write."""
    installation_id = other.installations[0]
    charger_ids = here.runtime.links[installation_id].charger_ids
    plug_in(here.runtime.states, charger_ids)
    async with yardstick(here.hass, other, len(charger_ids)) as stick:
        await other.ask(
            "publish", installation=installation_id, count=MESSAGES, yardstick=True
        )
        while stick.messages < MESSAGES:
            await asyncio.sleep(0.01)
        steps = Steps(here.runtime, installation_id, stick)
        found: dict[str, float] = {}
        # What is done only once is done the first time.
        for _ in range(2):
            bundle = steps.bundle()
            found = {
                "decode": _units(steps.decode) / len(steps.messages),
                "apply": _units(bundle.apply) / len(bundle.observations),
                "bare write": _units(steps.write_bare) / steps.sensors,
            }
            steps.write()
            for name, state_ids in (
                ("write", PLAIN_STATE_IDS),
                ("energy", (SESSION_ENERGY,)),
            ):
                reports = steps.reports(state_ids)
                reports.apply()
                found[name] = _units(steps.write) / len(reports.topics)
        return found


async def _wait_until_read(here: Home, other: Cloud) -> None:
    """Wait until each charger was read, without running code that is counted."""
    read = 0
    while read < other.chargers:
        await asyncio.sleep(0.1)
        requests = await other.ask("requests")
        read = sum(path.endswith("/state") for _, _, path in requests)
    await asyncio.sleep(0.5)
    await here.wait_until(here.is_live)


async def _home(chargers: int) -> dict[str, float]:
    """Return what a start executes for each registered entity, and then a message."""
    async with cloud(chargers) as other, home(other.api_url) as here:
        with counted(_is_of_a_start) as units:
            await here.set_up()
            await _wait_until_read(here, other)
        entities = len(er.async_get(here.hass).entities)
        return {"start": units.total / entities, **await _message(here, other)}


def _ratios_of_one(found: Mapping[str, float]) -> dict[str, float]:
    """Return the ratios of a home with one charger."""
    return {
        f"{name}, in bare writes": found[step] / found["bare write"]
        for name, step in (
            ("decoding a message", "decode"),
            ("applying a message", "apply"),
            ("a write", "write"),
            ("a write of a session's energy", "energy"),
        )
    }


def _ratios_of_many(
    one: Mapping[str, float], some: Mapping[str, float], many: Mapping[str, float]
) -> dict[str, float]:
    """Return the ratios of a home with many chargers."""
    return {
        f"a message with {MANY} chargers beside {ONE}": (
            (many["decode"] + many["apply"]) / (one["decode"] + one["apply"])
        ),
        f"a write with {MANY} chargers, in bare writes": (
            many["write"] / many["bare write"]
        ),
        f"an entity's start with {MANY} chargers, in bare writes": (
            many["start"] / many["bare write"]
        ),
        f"an entity's start with {MANY} chargers beside {SOME}": (
            many["start"] / some["start"]
        ),
    }


async def measure(*, is_quick: bool = False) -> dict[str, float]:
    """Return the ratios that are compared with the table.

    Args:
        is_quick: Whether to leave out the homes with several chargers.

    """
    # Both depend on the time that something takes: how many entities are written before
    # the event loop has its turn, and whether a charger is read before its link is up.
    listeners.SLICE_TIME = reader.CONNECT_PATIENCE = 3600.0
    one = await _home(ONE)
    ratios = _ratios_of_one(one)
    if not is_quick:
        ratios |= _ratios_of_many(one, await _home(SOME), await _home(MANY))
    return ratios


def compare(found: Mapping[str, float], table: Mapping[str, float]) -> list[str]:
    """Return a sentence for each ratio that is larger than the table allows."""
    return [
        f"{name} is {ratio:.3f}, {ratio / table[name] - 1:+.0%} of {table[name]:.3f}"
        for name, ratio in found.items()
        if ratio > table[name] * (1 + TOLERANCE)
    ]


def measured(*, is_quick: bool = False, after: str = "") -> dict[str, float]:
    """Return the ratios, measured in a process of its own.

    There, nothing else is executed, and sets have the same order in each run.

    Args:
        is_quick: Whether to leave out the homes with several chargers.
        after: Code that is run before.

    """
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            f"{after}\nfrom scripts.measure import guard\nguard.main({is_quick=})",
        ],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0"},
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def table() -> dict[str, float]:
    """Return the ratios as they were when the table was written."""
    found: dict[str, float] = json.loads(TABLE.read_text(encoding="utf-8"))
    return found


def write_table(found: Mapping[str, float]) -> None:
    """Write the ratios with which later ones are compared."""
    rounded = {name: round(ratio, 3) for name, ratio in found.items()}
    TABLE.write_text(f"{json.dumps(rounded, indent=2)}\n", encoding="utf-8")


def main(*, is_quick: bool) -> None:
    """Print the ratios as JSON."""
    logging.getLogger("homeassistant.loader").setLevel(logging.ERROR)
    print(json.dumps(run(measure(is_quick=is_quick), CountingSelector())))
