"""Faults of the recorder, of the disk and of the archive: what they do, and what is left."""

from collections.abc import AsyncGenerator, Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
import json
import math
import threading
from typing import Any
from unittest.mock import Mock

from homeassistant.components.recorder import get_instance, statistics as recorder
from homeassistant.components.recorder.tasks import RecorderTask
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
from homeassistant.util.file import WriteError
import pytest
from sqlalchemy.exc import OperationalError

from custom_components.zaptec.api import (
    ZaptecClient,
    ZaptecConnectionError,
    ZaptecResponseError,
)
from custom_components.zaptec.history import history as history_module, statistics
from custom_components.zaptec.history.faults import FAILED_READINGS, Faults
from custom_components.zaptec.history.statistics import statistic_id
from simulator.accounts import UserRole
from simulator.observations import StateId
from simulator.scenario import PastScenario, Scenario

from ..home import Home
from ..time_machine import calm_down, wait_until
from .conftest import (
    Recorded,
    charge,
    check,
    truth,
    visit,
    wait_until_pending,
    wait_until_written,
    wrong,
)

pytestmark = pytest.mark.usefixtures("_custom_integrations")

ARCHIVE = "/api/sessions/archived"


@pytest.fixture
def past() -> PastScenario | None:
    """Return the past of the charger, None for none."""
    return None


@pytest.fixture
def scenario(past: PastScenario | None) -> Scenario:
    """Return a home whose charger may have a past."""
    scenario = Scenario.of(1)
    (installation,) = scenario.installations
    return replace(scenario, installations=(replace(installation, past=past),))


@pytest.mark.parametrize(
    "name",
    ["_import_statistics_with_session", "_generate_statistics_during_period_stmt"],
    ids=["writing", "reading"],
)
@pytest.mark.parametrize("reason", ["database is locked", "database or disk is full"])
async def test_a_database_that_fails(
    home: Home,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    warnings_with: Callable[[str], int],
    name: str,
    reason: str,
) -> None:
    """While the database is locked or full, sessions wait; it is logged once."""
    await wait_until_written(home.entry)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("insert", {}, Exception(reason))

    with monkeypatch.context() as patch:
        patch.setattr(recorder, name, fail)
        await charge(home)
        await charge(home)
        await wait_until_pending(home)
        assert home.state("sensor", "push_status") == "connected"
        assert float(home.state("sensor", "signed_meter_value_kwh")) > 0
        assert warnings_with("cannot be stored") == 1
    await home.travel(1000, step=100)
    await check(home, recorded)
    assert warnings_with("cannot be stored") == 1


class Blocked(RecorderTask):
    """Keeps the recorder busy."""

    def __init__(self) -> None:
        """Initialize the task."""
        self.go = threading.Event()

    def run(self, instance: Any) -> None:
        """Wait."""
        self.go.wait(60)


@pytest.fixture
async def busy(hass: HomeAssistant) -> AsyncGenerator[Blocked]:
    """Return a task that keeps the recorder busy once it is queued."""
    task = Blocked()
    yield task
    task.go.set()


async def test_a_busy_recorder(
    hass: HomeAssistant, home: Home, recorded: Recorded, busy: Blocked
) -> None:
    """While the recorder is busy, the session waits; the event loop does not."""
    await wait_until_written(home.entry)
    get_instance(hass).queue_task(busy)
    await charge(home)
    await calm_down()
    history = home.entry.runtime_data.history
    assert history.pending == {home.charger.id: "write"}
    assert not history.is_idle
    busy.go.set()
    await check(home, recorded)


async def test_a_stop_while_the_recorder_is_busy(
    hass: HomeAssistant, home: Home, recorded: Recorded, busy: Blocked
) -> None:
    """Home Assistant may stop before the recorder is done; nothing counts as written."""
    await wait_until_written(home.entry)
    get_instance(hass).queue_task(busy)
    await charge(home)
    await home.stop()
    busy.go.set()
    await home.start()
    await home.travel(300, step=60)
    await check(home, recorded)


@pytest.mark.parametrize("past", [PastScenario(days=40)])
async def test_a_recorder_that_was_missing(
    hass: HomeAssistant, new_home: Home, recorded: Recorded
) -> None:
    """Once there is a recorder again, what was drawn without one is imported."""
    hass.config.components.remove("recorder")
    await new_home.start()
    await charge(new_home)
    assert await recorded.rows(new_home.charger.id) == {}
    hass.config.components.add("recorder")
    await new_home.reload()
    await new_home.travel(300, step=60)
    await check(new_home, recorded)


async def test_a_migration_of_the_database_while_it_runs(
    home: Home, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that ends while the database is migrated is written afterwards."""
    await wait_until_written(home.entry)
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "async_migration_in_progress", lambda hass: True)
        await charge(home)
        await wait_until_pending(home)
        assert await recorded.rows(home.charger.id) == {}
    await home.travel(400, step=100)
    await check(home, recorded)


async def test_a_disk_that_is_full(
    home: Home, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the store does not have after a restart, the archive has."""
    await charge(home)
    await wait_until_written(home.entry)
    await home.travel(300, step=60)
    write = Store._async_write_data
    tried = []

    async def fail(store: Store[Any], data: dict[str, Any]) -> None:
        if store.key.startswith("zaptec.history."):
            tried.append(store.key)
            raise WriteError("No space left on device")
        await write(store, data)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "_async_write_data", fail)
        await charge(home)
        await home.travel(300, step=60)
        await home.stop()
    assert tried
    await home.start()
    await home.travel(26 * 3600, step=3600)
    await check(home, recorded)


@pytest.mark.parametrize("past", [PastScenario(days=60)])
async def test_a_power_cut_between_two_batches(
    new_home: Home,
    recorded: Recorded,
    hass_storage: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If Home Assistant stops in the middle of an import, the rest follows, once."""
    monkeypatch.setattr(statistics, "BATCH_MAX", 20)
    monkeypatch.setattr(history_module, "BATCH_MAX", 20)
    add = statistics.async_add_external_statistics
    batches = []

    def add_some(*args: Any) -> None:
        batches.append(args)
        if len(batches) <= 2:
            add(*args)

    with monkeypatch.context() as patch:
        patch.setattr(statistics, "async_add_external_statistics", add_some)
        patch.setattr(statistics, "BARRIER_TIMEOUT", 1e6)
        await new_home.start()
        await wait_until(lambda: len(batches) >= 3)
        # A power cut: what is on the disk stays as it is now.
        key = f"zaptec.history.{new_home.entry.entry_id}"
        on_disk = deepcopy(hass_storage[key])
        await new_home.stop()
    hass_storage[key] = on_disk
    rows = await recorded.rows(new_home.charger.id)
    assert len(rows) >= 40
    await new_home.start()
    await new_home.travel(300, step=60)
    await check(new_home, recorded)
    assert len(await recorded.rows(new_home.charger.id)) > len(rows)


@pytest.mark.parametrize("past", [PastScenario(days=40)])
@pytest.mark.parametrize("fault", ["truncated", "malformed", "stuck"])
async def test_an_archive_that_cannot_be_read(
    new_home: Home,
    recorded: Recorded,
    warnings_with: Callable[[str], int],
    fault: str,
) -> None:
    """An answer that is cut off or has no end is logged once, and leads to no row."""
    if fault == "stuck":
        new_home.sim.archive.distortions.add(fault)
    else:
        new_home.sim.rest.fail(ARCHIVE, fault=fault)
    await new_home.start()
    await new_home.travel(6 * 3600, step=600)
    await wait_until(lambda: warnings_with("archive of sessions cannot be read") == 1)
    assert await recorded.rows(new_home.charger.id) == {}
    new_home.sim.rest.heal()
    new_home.sim.archive.heal()
    await new_home.travel(26 * 3600, step=3600)
    await check(new_home, recorded)
    assert warnings_with("archive of sessions cannot be read") == 1


@pytest.mark.parametrize("past", [PastScenario(days=40)])
@pytest.mark.parametrize("distortion", ["future", "negative", "absurd"])
async def test_sessions_that_cannot_be_right(
    new_home: Home,
    recorded: Recorded,
    warnings_with: Callable[[str], int],
    distortion: str,
) -> None:
    """However often it is read, why sessions are left out is logged once."""
    new_home.sim.archive.distortions.add(distortion)
    await new_home.start()
    await wait_until_written(new_home.entry)
    await new_home.travel(26 * 3600, step=3600)
    assert warnings_with("leaves out a session") == 1
    await new_home.reload()
    await new_home.travel(26 * 3600, step=3600)
    await wait_until_written(new_home.entry)
    assert await recorded.rows(new_home.charger.id) == {}
    # It is logged again if the next sweep finds them after a restart.
    assert warnings_with("leaves out a session") == 2


@pytest.mark.parametrize("past", [PastScenario(days=80, sessions_per_week=14)])
async def test_many_sessions_that_were_missing(
    new_home: Home, recorded: Recorded
) -> None:
    """The weekly sweep of many sessions is continued on the next days."""
    new_home.sim.archive.distortions.add("future")
    await new_home.start()
    await wait_until_written(new_home.entry)
    assert await recorded.rows(new_home.charger.id) == {}
    new_home.sim.archive.heal()
    await new_home.travel(10 * 86400, step=6 * 3600)
    await check(new_home, recorded)


async def test_a_wrong_answer_about_a_session_that_was_written(
    home: Home, recorded: Recorded
) -> None:
    """A session that is right in the statistics is not replaced by an impossible one."""
    await charge(home)
    await check(home, recorded)
    rows = await recorded.rows(home.charger.id)
    assert rows
    for distortion in ("negative", "absurd", "future", "long", "odd"):
        home.sim.archive.distortions.add(distortion)
        await home.travel(26 * 3600, step=3600)
        await wait_until_written(home.entry)
        home.sim.archive.heal()
        assert await recorded.rows(home.charger.id) == rows


@pytest.mark.parametrize("past", [PastScenario(days=30)])
@pytest.mark.parametrize("role", ["user", "maintainer", "owner, 403", "owner, 204"])
async def test_an_account_that_may_not_read_the_archive(
    new_home: Home,
    recorded: Recorded,
    issue_registry: ir.IssueRegistry,
    warnings_with: Callable[[str], int],
    role: str,
) -> None:
    """The history has what the charger reports, and the user learns that once."""
    home = new_home
    (account,) = home.sim.accounts.values()
    match role:
        case "user":
            account.roles[home.installation.id] = UserRole.USER
        case "maintainer":
            account.roles[home.installation.id] = UserRole.MAINTAINER
        case "owner, 403":
            home.sim.rest.fail(ARCHIVE, fault=403)
        case _:
            home.sim.rest.fail(ARCHIVE, fault="empty")
    before = max(truth(home.sim, home.charger.id))
    await home.hass.config_entries.async_setup(home.entry.entry_id)
    await wait_until(lambda: home.charger.id in home.entry.runtime_data.states)
    await wait_until(lambda: home.entry.runtime_data.history.refused() != set())
    await home.travel(3600, step=600)
    for _ in range(2):
        await visit(home, home.charger)
        # Without messages, the charger is read once in a while.
        await home.travel(1800, step=300)
    await wait_until_written(home.entry)
    hours = await recorded.hours(home.charger.id)
    expected = {
        hour: energy
        for hour, energy in truth(home.sim, home.charger.id).items()
        if hour > before
    }
    assert math.fsum(hours.values()) == pytest.approx(
        math.fsum(expected.values()), abs=0.1
    )
    assert wrong(hours, expected) <= 0.005 * math.fsum(expected.values()) + 0.01
    issue = f"history_not_permitted_{home.installation.id}"
    assert issue_registry.async_get_issue("zaptec", issue)
    assert home.entry.runtime_data.history.pending == {}
    assert warnings_with("history") == 0
    # It is not asked again, but for a look once a week.
    home.clear()
    await home.hass.config_entries.async_reload(home.entry.entry_id)
    await home.travel(3600, step=600)
    assert not [item for item in home.sim.rest.requests if item.path == ARCHIVE]
    assert await recorded.hours(home.charger.id) == hours


async def test_a_lost_store_without_the_archive(
    new_home: Home, recorded: Recorded, hass_storage: dict[str, Any]
) -> None:
    """Hours that were written before stay, although their sessions are not known any more."""
    home = new_home
    (account,) = home.sim.accounts.values()
    account.roles[home.installation.id] = UserRole.MAINTAINER
    await home.start()
    for _ in range(3):
        await charge(home)
        await home.travel(3 * 3600, step=1800)
    await check(home, recorded)
    await home.stop()
    del hass_storage[f"zaptec.history.{home.entry.entry_id}"]
    await home.start()
    # A session from before all of them arrives late.
    now = dt_util.utcnow()
    late = {
        "SessionId": "0d6f3c50-0000-4000-8000-00000000000a",
        "Energy": 1.0,
        "StartDateTime": (now - timedelta(days=3)).isoformat(),
        "EndDateTime": (now - timedelta(days=3, hours=-1)).isoformat(),
    }
    home.charger.observe(StateId.COMPLETED_SESSION, json.dumps(late))
    await home.travel(60, step=10)
    await charge(home)
    await check(home, recorded)


def test_an_archive_that_never_works() -> None:
    """The delay between two tries grows up to an hour, however often the archive fails."""
    faults = Faults()
    err = ZaptecConnectionError("")
    delays = [faults.archive_failed(err, 0) for _ in range(2000)]
    assert delays[:7] == [60, 120, 240, 480, 960, 1920, 3600]
    assert set(delays[7:]) == {3600}
    faults.archive_works(0, is_read=False, is_failing=True)
    assert faults.archive_failed(err, 0) == 60


def test_outages_of_the_archive(caplog: pytest.LogCaptureFixture) -> None:
    """Each is logged when it begins and when it ends, and is not taken for several."""
    caplog.set_level("INFO", logger="custom_components.zaptec")
    faults = Faults()
    err = ZaptecResponseError("")

    def logged() -> list[str]:
        levels = [record.levelname for record in caplog.records]
        caplog.clear()
        return levels

    for outage in (0, 100 * 3600):
        for hour in (0, 2, 4):
            faults.archive_failed(err, outage + hour * 3600)
            # Another charger can be read.
            faults.archive_works(
                outage + (hour + 1) * 3600, is_read=True, is_failing=True
            )
        assert logged() == ["WARNING"]
        faults.archive_works(outage + 6 * 3600, is_read=False, is_failing=False)
        assert logged() == []
        faults.archive_works(outage + 8 * 3600, is_read=True, is_failing=False)
        assert logged() == ["INFO"]
    faults.archive_failed(err, 300 * 3600)
    faults.archive_works(400 * 3600, is_read=False, is_failing=False)
    assert logged() == ["WARNING"]


def test_an_outage_of_one_archive_of_several(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged although the archive of another charger can be read in between."""
    caplog.set_level("INFO", logger="custom_components.zaptec")
    faults = Faults()
    for hour in range(FAILED_READINGS):
        assert not caplog.records
        faults.archive_failed(ZaptecConnectionError(""), hour * 3600)
        faults.archive_works((hour + 0.5) * 3600, is_read=True, is_failing=True)
    assert len(caplog.records) == 1


def test_failures_with_hours_in_between(caplog: pytest.LogCaptureFixture) -> None:
    """Failures that are not of one outage are not counted together, and not logged."""
    caplog.set_level("INFO", logger="custom_components.zaptec")
    faults = Faults()
    for hour in range(0, 50 * 4, 4):
        faults.archive_failed(ZaptecConnectionError(""), hour * 3600)
        faults.archive_works((hour + 3) * 3600, is_read=True, is_failing=True)
    assert not caplog.records


def test_failures_that_are_made_up_for(caplog: pytest.LogCaptureFixture) -> None:
    """A failure is not counted any more once the archive that failed was read."""
    caplog.set_level("INFO", logger="custom_components.zaptec")
    faults = Faults()
    for minute in range(2 * FAILED_READINGS):
        faults.archive_failed(ZaptecConnectionError(""), minute * 60)
        assert faults.failed_readings == 1
        # Nothing is due yet, so nothing was read.
        faults.archive_works(minute * 60 + 1, is_read=False, is_failing=False)
        assert faults.failed_readings == 1
        faults.archive_works(minute * 60 + 30, is_read=True, is_failing=False)
        assert faults.failed_readings == 0
    assert not caplog.records


async def test_an_archive_that_fails_now_and_then(
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    warnings_with: Callable[[str], int],
) -> None:
    """Each time it is read soon after, so it is not logged as one that cannot be read."""
    await wait_until_written(home.entry)
    history = home.entry.runtime_data.history
    for _ in range(FAILED_READINGS):
        with monkeypatch.context() as patch:
            patch.setattr(
                ZaptecClient,
                "archived_sessions",
                Mock(side_effect=ZaptecConnectionError("")),
            )
            assert await history.async_read_again(home.charger.id, 0.0) is None
        assert history.summary.of_account()["archive_failures"] == 1
        assert await history.async_read_again(home.charger.id, 0.0) is not None
        await wait_until_written(home.entry)
        assert history.summary.of_account()["archive_failures"] == 0
    assert warnings_with("archive of sessions cannot be read") == 0


@pytest.mark.parametrize("past", [PastScenario(days=200, irregular=0.0)])
@pytest.mark.parametrize("distortion", ["absurd", "future", "incomplete"])
async def test_an_archive_that_is_wrong_after_the_store_was_lost(
    home: Home, recorded: Recorded, hass_storage: dict[str, Any], distortion: str
) -> None:
    """Hours keep what the statistics have until the archive says the same twice."""
    await check(home, recorded)
    rows = await recorded.rows(home.charger.id)
    await home.stop()
    del hass_storage[f"zaptec.history.{home.entry.entry_id}"]
    home.sim.archive.distortions.add(distortion)
    await home.start()
    await wait_until_written(home.entry)
    assert await recorded.rows(home.charger.id) == rows
    home.sim.archive.heal()
    await charge(home)
    await home.travel(3 * 86400, step=6 * 3600)
    await check(home, recorded)


@pytest.mark.parametrize("past", [PastScenario(days=200, irregular=0.0)])
async def test_energy_that_no_session_claims(
    hass: HomeAssistant,
    home: Home,
    recorded: Recorded,
    hass_storage: dict[str, Any],
    full_readings: list[str],
) -> None:
    """What was lost with the store and is not in the archive goes after a second reading."""
    await check(home, recorded)
    await home.stop()
    del hass_storage[f"zaptec.history.{home.entry.entry_id}"]
    hour = min(await recorded.rows(home.charger.id)) + 1
    name = statistic_id(home.charger.id)
    await statistics.HourlyStatistics(hass).async_write(
        name, "x", {hour: 5000}, hour, hour + 10_000
    )
    full_readings.clear()
    await home.start()
    await wait_until_written(home.entry)
    assert (await recorded.hours(home.charger.id))[hour] == 5.0
    await home.travel(2 * 86400, step=6 * 3600)
    await check(home, recorded)
    await home.travel(4 * 86400, step=6 * 3600)
    # The sweeps go on, but there is no third reading.
    assert full_readings == [home.charger.id, home.charger.id]
