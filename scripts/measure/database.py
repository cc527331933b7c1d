"""Measure what a charging charger adds to the recorder's database in an hour."""

from contextlib import closing
from pathlib import Path
import sqlite3

from homeassistant.components.recorder import DOMAIN as RECORDER_DOMAIN, get_instance

from .travel import Travel, travel

# What is counted: the rows of the tables that grow with what entities show, and the
# pages, whether they are still in the write-ahead log or not.
_QUERIES = {
    "states": "SELECT count(*) FROM states",
    "state attributes": "SELECT count(*) FROM state_attributes",
    "events": "SELECT count(*) FROM events",
    "statistics": "SELECT count(*) FROM statistics",
    "short-term statistics": "SELECT count(*) FROM statistics_short_term",
    "pages": "PRAGMA page_count",
    "free pages": "PRAGMA freelist_count",
    "octets of a page": "PRAGMA page_size",
}


def sizes(path: Path) -> dict[str, int]:
    """Return the number of rows of each table, and the size with indexes (octets)."""
    with closing(sqlite3.connect(path)) as database:
        found = {
            name: int(database.execute(query).fetchone()[0])
            for name, query in _QUERIES.items()
        }
    pages = found.pop("pages") - found.pop("free pages")
    return found | {"octets": pages * found.pop("octets of a page")}


async def _recorded(here: Travel) -> dict[str, int]:
    """Return the sizes of the database once everything up to now is in it."""
    hass = here.home.hass
    recorder = get_instance(hass)
    await recorder.async_block_till_done()
    return await recorder.async_add_executor_job(
        sizes, Path(hass.config.path("home-assistant_v2.db"))
    )


async def measure() -> dict[str, int]:
    """Return what an hour of charging adds with the entities that are enabled by default.

    The charger has charged for some minutes before, so that the attributes of each
    entity are in the database already.
    """
    async with travel(1, {RECORDER_DOMAIN: {}}) as here:
        await here.set_up()
        await here.charge()
        await here.machine.travel(600, step=10)
        before = await _recorded(here)
        await here.pass_hour()
        after = await _recorded(here)
        return {name: after[name] - before[name] for name in after}
