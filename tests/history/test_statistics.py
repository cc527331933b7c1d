"""The energy of each hour, written into the database of a real recorder."""

import asyncio
from collections.abc import AsyncGenerator, Callable
import threading
from typing import Any

from homeassistant.components.recorder import (
    Recorder,
    get_instance,
    statistics as recorder,
)
from homeassistant.components.recorder.models import StatisticMeanType
from homeassistant.components.recorder.tasks import ImportStatisticsTask, RecorderTask
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from sqlalchemy.exc import OperationalError

from custom_components.zaptec.history import statistics
from custom_components.zaptec.history.statistics import (
    HourlyStatistics,
    NotStoredError,
    statistic_id,
)

from .conftest import Recorded

pytestmark = pytest.mark.usefixtures("_custom_integrations")

CHARGER = "0D6F3C50-0000-4000-8000-00000000000a"
ID = "zaptec:0d6f3c5000004000800000000000000a_energy"
NAME = "Space 1 energy (history)"

# An hour of November 2026.
H = 494_556


class Database:
    """The statistics of a charger, by the hour since H."""

    def __init__(self, hass: HomeAssistant, recorded: Recorded) -> None:
        """Initialize the database."""
        self.hass = hass
        self._recorded = recorded
        self._statistics = HourlyStatistics(hass)

    async def write(
        self, hours: dict[int, int], first: int = -1000, name: str = NAME
    ) -> int:
        """Write hours; return the number of rows."""
        return await self._statistics.async_write(
            ID,
            name,
            {H + hour: energy for hour, energy in hours.items()},
            H + first,
        )

    async def rows(self) -> dict[int, tuple[float, float]]:
        """Return state and sum of each row."""
        rows = await self._recorded.rows(CHARGER)
        return {
            hour - H: (round(state, 6), round(total, 6))
            for hour, (state, total) in rows.items()
        }

    async def metadata(self) -> dict[str, Any]:
        """Return what Home Assistant knows about the statistic."""
        found = await get_instance(self.hass).async_add_executor_job(
            lambda: recorder.get_metadata(self.hass, statistic_ids={ID})
        )
        return dict(found[ID][1])

    async def adjust(self, hour: int, amount: float) -> None:
        """Let the user adjust a sum."""
        get_instance(self.hass).async_adjust_statistics(
            ID, dt_util.utc_from_timestamp((H + hour) * 3600), amount, "kWh"
        )
        await async_wait_recording_done(self.hass)


@pytest.fixture
def database(hass: HomeAssistant, recorded: Recorded) -> Database:
    """Return the statistics of a charger."""
    return Database(hass, recorded)


async def test_hours(database: Database, hass: HomeAssistant) -> None:
    """Each hour has its energy, and sums are those of all hours before."""
    assert not await HourlyStatistics(hass).async_exists(ID)
    assert await database.write({5: 500, 0: 1000, 1: 2500}) == 3
    assert await database.rows() == {0: (1.0, 1.0), 1: (2.5, 3.5), 5: (0.5, 4.0)}
    assert await HourlyStatistics(hass).async_exists(ID)


async def test_the_metadata(database: Database) -> None:
    """The Energy dashboard does not check external statistics, so this has to be right."""
    await database.write({0: 1000})
    metadata = await database.metadata()
    expected = {
        "mean_type": StatisticMeanType.NONE,
        "has_sum": True,
        "name": NAME,
        "source": "zaptec",
        "statistic_id": ID,
        "unit_class": "energy",
        "unit_of_measurement": "kWh",
    }
    assert {key: metadata[key] for key in expected} == expected
    assert statistic_id(CHARGER) == ID
    await database.write({0: 1000, 1: 1}, name="Garage energy (history)")
    assert (await database.metadata())["name"] == "Garage energy (history)"
    # More than this is an error in databases other than SQLite.
    await database.write({0: 1000, 1: 2}, name="Garage" * 50)
    assert len((await database.metadata())["name"]) == 255


async def test_two_writes_at_once(database: Database) -> None:
    """A write reads the sum that it continues once the one before it is in the database."""
    written = await asyncio.gather(
        database.write({0: 1000}), database.write({1: 500}, first=1)
    )
    assert written == [1, 1]
    assert await database.rows() == {0: (1.0, 1.0), 1: (0.5, 1.5)}


async def test_a_second_run_writes_nothing(
    database: Database, imported: list[Any]
) -> None:
    """What is in the database already is not written again."""
    hours = {hour: 1000 + hour for hour in range(40)}
    assert await database.write(hours) == 40
    assert await database.write(hours) == 0
    later = {hour: energy for hour, energy in hours.items() if hour >= 20}
    assert await database.write(later, 20) == 0
    assert len(imported) == 1


async def test_a_correction(database: Database) -> None:
    """A corrected hour changes the sums of all hours after it."""
    await database.write({0: 1000, 1: 2000, 2: 3000, 3: 1000})
    assert await database.write({1: 500, 2: 3000, 3: 1000}, 1) == 3
    assert await database.rows() == {
        0: (1.0, 1.0),
        1: (0.5, 1.5),
        2: (3.0, 4.5),
        3: (1.0, 5.5),
    }


async def test_hours_in_front(database: Database) -> None:
    """A late session with old times is put in front, and between."""
    await database.write({10: 1000, 12: 2000})
    assert await database.write({-5: 100, 10: 1000, 11: 10, 12: 2000}, -5) == 4
    assert await database.rows() == {
        -5: (0.1, 0.1),
        10: (1.0, 1.1),
        11: (0.01, 1.11),
        12: (2.0, 3.11),
    }


async def test_an_hour_that_no_session_claims(database: Database) -> None:
    """A row of which the session was voided stays, with 0; removing it would change others."""
    await database.write({0: 1000, 1: 2000, 2: 3000})
    assert await database.write({2: 3000}, 1) == 2
    assert await database.rows() == {0: (1.0, 1.0), 1: (0.0, 1.0), 2: (3.0, 4.0)}


async def test_an_adjusted_sum_before(database: Database) -> None:
    """What the user has adjusted before the first hour stays."""
    await database.write({0: 1000, 1: 2000, 2: 3000})
    await database.adjust(1, 10.0)
    assert await database.write({2: 4000}, 2) == 1
    assert await database.rows() == {0: (1.0, 1.0), 1: (2.0, 13.0), 2: (4.0, 17.0)}


async def test_an_adjusted_sum_inside(database: Database) -> None:
    """What the user has adjusted within the rewritten hours is lost."""
    await database.write({0: 1000, 1: 2000, 2: 3000})
    await database.adjust(1, 10.0)
    assert await database.write({1: 2000, 2: 3000}, 1) == 2
    assert await database.rows() == {0: (1.0, 1.0), 1: (2.0, 3.0), 2: (3.0, 6.0)}


@pytest.mark.parametrize("hours", [1, 24 * 7 + 1, 24 * 100 + 1, 24 * 1000 + 1])
async def test_the_last_row_before(database: Database, hours: int) -> None:
    """The last row before the first hour may be years old."""
    await database.write({-hours: 1000}, -hours)
    assert await database.write({0: 500}, 0) == 1
    assert await database.rows() == {-hours: (1.0, 1.0), 0: (0.5, 1.5)}


async def test_many_rows(
    database: Database, imported: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many rows are written in batches, one after another."""
    hours = dict.fromkeys(range(2500), 1000)
    stored: list[ImportStatisticsTask] = []
    stored_before: list[int] = []
    add, run = statistics.async_add_external_statistics, ImportStatisticsTask.run

    def spy_add(*args: Any) -> None:
        stored_before.append(len(stored))
        add(*args)

    def spy_run(task: ImportStatisticsTask, instance: Recorder) -> None:
        run(task, instance)
        stored.append(task)

    monkeypatch.setattr(statistics, "async_add_external_statistics", spy_add)
    monkeypatch.setattr(ImportStatisticsTask, "run", spy_run)
    assert await database.write(hours) == 2500
    assert [len(rows) for _, rows in imported] == [1000, 1000, 500]
    assert all(isinstance(rows, list) for _, rows in imported)
    assert stored_before == [0, 1, 2]
    rows = await database.rows()
    assert len(rows) == 2500
    assert rows[2499] == (1.0, 2500.0)


class Blocked(RecorderTask):
    """Keeps the recorder busy."""

    def __init__(self) -> None:
        """Initialize the task."""
        self.go = threading.Event()

    def run(self, instance: Any) -> None:
        """Wait."""
        self.go.wait(20)


@pytest.fixture
async def busy(hass: HomeAssistant) -> AsyncGenerator[Blocked]:
    """Keep the recorder busy."""
    task = Blocked()
    get_instance(hass).queue_task(task)
    yield task
    task.go.set()


async def test_a_busy_recorder(
    database: Database, hass: HomeAssistant, busy: Blocked
) -> None:
    """While the recorder is busy, nothing counts as written."""
    writing = hass.async_create_task(database.write({0: 1000}))
    await asyncio.wait([writing], timeout=0.3)
    assert not writing.done()
    assert await database.rows() == {}
    busy.go.set()
    assert await writing == 1
    assert await database.rows() == {0: (1.0, 1.0)}


async def test_one_after_another(
    database: Database, hass: HomeAssistant, busy: Blocked, imported: list[Any]
) -> None:
    """A statistic is not read while it is being written: its sums would be outdated."""
    first = hass.async_create_task(database.write({0: 1000}))
    second = hass.async_create_task(database.write({0: 1000, 1: 2000}))
    await asyncio.wait([first, second], timeout=0.3)
    assert len(imported) == 1
    busy.go.set()
    assert await first == 1
    assert await second == 1
    assert await database.rows() == {0: (1.0, 1.0), 1: (2.0, 3.0)}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Return a function that lets a function of the recorder fail some times."""

    def fail(name: str, times: int) -> None:
        function = getattr(recorder, name)
        left = times

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left >= 0:
                raise OperationalError("insert", {}, Exception("database is locked"))
            return function(*args, **kwargs)

        monkeypatch.setattr(recorder, name, wrapper)

    return fail


async def test_a_locked_database(
    database: Database, failing: Callable[[str, int], None]
) -> None:
    """Home Assistant only logs that an import has failed, so it is checked."""
    failing("_import_statistics_with_session", 1)
    with pytest.raises(NotStoredError, match="1 of 1 rows"):
        await database.write({0: 1000})
    assert await database.rows() == {}
    assert await database.write({0: 1000}) == 1


@pytest.mark.parametrize("name", ["_generate_statistics_during_period_stmt"])
async def test_a_database_that_cannot_be_read(
    database: Database, failing: Callable[[str, int], None], name: str
) -> None:
    """Nothing is written while it is unknown what is there."""
    await database.write({0: 1000})
    failing(name, 1)
    with pytest.raises(NotStoredError, match="OperationalError"):
        await database.write({1: 1000}, 1)
    assert await database.rows() == {0: (1.0, 1.0)}


async def test_existence_that_cannot_be_read(
    hass: HomeAssistant, failing: Callable[[str, int], None]
) -> None:
    """A statistic that cannot be looked for is not missing."""
    failing("_get_last_statistics", 1)
    with pytest.raises(NotStoredError):
        await HourlyStatistics(hass).async_exists(ID)


async def test_a_barrier_that_is_lost(
    database: Database,
    failing: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The recorder never answers if the database fails at that moment: it is asked again."""
    monkeypatch.setattr(statistics, "BARRIER_TIMEOUT", 0.05)
    failing("clear_statistics", 2)
    assert await database.write({0: 1000}) == 1


async def test_a_recorder_that_is_busy_for_long(
    database: Database,
    hass: HomeAssistant,
    busy: Blocked,
    imported: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is waited for until it answers: queued rows are neither written nor lost yet."""
    monkeypatch.setattr(statistics, "BARRIER_TIMEOUT", 0.05)
    asked: list[Any] = []
    is_asked_again = asyncio.Event()
    ask = get_instance(hass).async_clear_statistics

    def spy(*args: Any, **kwargs: Any) -> None:
        asked.append(args)
        if len(asked) == 3:
            is_asked_again.set()
        ask(*args, **kwargs)

    monkeypatch.setattr(get_instance(hass), "async_clear_statistics", spy)
    writing = hass.async_create_task(database.write(dict.fromkeys(range(1001), 1000)))
    waiting = hass.async_create_task(is_asked_again.wait())
    await asyncio.wait(
        [writing, waiting], timeout=20, return_when=asyncio.FIRST_COMPLETED
    )
    assert waiting.done()
    assert not writing.done()
    # The second batch is not queued before the first one is carried out.
    assert len(imported) == 1
    busy.go.set()
    assert await writing == 1001
    assert (await database.rows())[1000] == (1.0, 1001.0)


async def test_readiness(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is migrated, or without a recorder, nothing is written."""
    hourly = HourlyStatistics(hass)
    assert hourly.is_ready
    monkeypatch.setattr(statistics, "async_migration_in_progress", lambda hass: True)
    assert hourly.has_recorder
    assert not hourly.is_ready
    hass.config.components.remove("recorder")
    assert not hourly.has_recorder
    assert not hourly.is_ready
    hass.config.components.add("recorder")
