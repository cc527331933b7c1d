"""The history of an account, from the simulated cloud into a real recorder."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
import json
import math
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import NAMESPACE_OID, uuid5

from homeassistant.components.recorder import (
    get_instance,
    statistics as recorder_statistics,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest

from custom_components.zaptec.history import history as history_module
from custom_components.zaptec.history.awaited import AwaitedSessions
from custom_components.zaptec.history.statistics import statistic_id
from simulator.accounts import UserRole
from simulator.car import Car
from simulator.observations import StateId
from simulator.scenario import PastScenario, Scenario

from ..home import Home
from ..time_machine import wait_until
from .conftest import (
    Recorded,
    charge,
    check,
    truth,
    wait_until_at_rest,
    wait_until_pending,
    wait_until_written,
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


def count(home: Home) -> int:
    """Return the number of requests to the archive since the last `clear`."""
    return sum(record.path == ARCHIVE for record in home.sim.rest.requests)


def report(home: Home, start: datetime, end: datetime, energy: float) -> None:
    """Let the charger report a session, without a record of its hours."""
    session = {
        "SessionId": str(uuid5(NAMESPACE_OID, end.isoformat())),
        "Energy": energy,
        "StartDateTime": start.isoformat(),
        "EndDateTime": end.isoformat(),
    }
    home.charger.observe(StateId.COMPLETED_SESSION, json.dumps(session))


@pytest.mark.parametrize("past", [PastScenario(days=150, irregular=0.3)])
async def test_the_first_import(
    imported: list[Any], home: Home, recorded: Recorded
) -> None:
    """All that the archive has is imported at first, oldest first and once."""
    await check(home, recorded)
    assert len(imported) == 1
    name, rows = imported[0]
    assert name == statistic_id(home.charger.id)
    assert [row["start"] for row in rows] == sorted(row["start"] for row in rows)
    assert count(home) == 1


@pytest.mark.parametrize("past", [PastScenario(days=40)])
async def test_many_sessions_at_once(
    new_home: Home, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the sessions of a page, the event loop does what else is due."""
    pauses: list[float] = []

    async def sleep(delay: float) -> None:
        pauses.append(delay)

    book = "custom_components.zaptec.history.book"
    monkeypatch.setattr(f"{book}.ADDED_AT_ONCE", 5)
    monkeypatch.setattr(f"{book}.asyncio", SimpleNamespace(sleep=sleep))
    await new_home.start()
    await check(new_home, recorded)
    assert len(pauses) >= 3


@pytest.mark.parametrize(
    "past", [PastScenario(days=730, sessions_per_week=7, irregular=0.0)]
)
async def test_two_years(home: Home, recorded: Recorded) -> None:
    """Two years of one charger take at most 30 requests."""
    await check(home, recorded, abs_error=0.5)
    assert count(home) <= 15


async def test_nothing_yet(home: Home, recorded: Recorded) -> None:
    """A charger that has never charged has no statistic."""
    await wait_until_written(home.entry)
    assert await recorded.rows(home.charger.id) == {}


async def test_a_session_is_known_at_once(home: Home, recorded: Recorded) -> None:
    """When the cable is pulled, the charger itself reports the hours of its session."""
    await wait_until_written(home.entry)
    home.clear()
    await charge(home)
    await check(home, recorded)
    assert count(home) == 0


async def test_the_archive_confirms_a_session(home: Home, imported: list[Any]) -> None:
    """Two minutes later, one request asks the archive, and nothing has to be written."""
    await wait_until_written(home.entry)
    await charge(home)
    await wait_until(lambda: bool(imported))
    await wait_until_written(home.entry)
    home.clear()
    imports = len(imported)
    await home.travel(150, step=30)
    await wait_until(lambda: count(home) == 1)
    await wait_until_written(home.entry)
    assert len(imported) == imports
    await home.travel(7200, step=600)
    assert len(imported) == imports


async def test_a_session_that_the_charger_does_not_report(
    home: Home, recorded: Recorded
) -> None:
    """Without its report, it shows that the session has ended, and the archive has it."""
    home.charger.recording.lost_reports = 1.0
    await charge(home)
    await wait_until_written(home.entry)
    assert await recorded.rows(home.charger.id) == {}
    await home.travel(150, step=30)
    await check(home, recorded)


async def test_an_archive_that_is_late(home: Home, recorded: Recorded) -> None:
    """The archive is asked after 2, 15 and 60 minutes, and not more often."""
    home.charger.recording.lost_reports = 1.0
    home.sim.archive.delay = 3000.0
    await charge(home)
    home.clear()
    asked = []
    for minute in range(0, 90, 2):
        asked += [minute] * count(home)
        home.clear()
        await home.travel(120, step=60)
    # A request may be repeated, and a sweep may be due.
    for minute in (2, 16, 60):
        assert any(abs(item - minute) <= 4 for item in asked)
    assert len(asked) <= 6
    await check(home, recorded)


async def test_an_archive_that_never_has_it(home: Home, recorded: Recorded) -> None:
    """A session that the archive does not have within an hour is left to the next sweep."""
    home.charger.recording.lost_reports = 1.0
    home.sim.archive.delay = 3 * 3600.0
    await wait_until_written(home.entry)
    await charge(home)
    home.clear()
    await home.travel(3 * 3600, step=300)
    # The daily sweep may be due in these hours, and a request may be repeated.
    assert 3 <= count(home) <= 6
    assert await recorded.rows(home.charger.id) == {}
    await home.travel(25 * 3600, step=3600)
    await check(home, recorded)


async def test_a_session_that_is_corrected(home: Home, recorded: Recorded) -> None:
    """A session that is replaced by a corrected one does not count any more."""
    home.charger.recording.measured_share = 0.5
    await charge(home, 3)
    await home.travel(150, step=30)
    session = home.installation.archive[-1]
    home.sim.archive.correct(session.id)
    await home.travel(25 * 3600, step=3600)
    await check(home, recorded)


async def test_an_offline_session(home: Home, recorded: Recorded) -> None:
    """A charger that was offline for days reports its session late, with its old times."""
    home.charger.plug_in(Car(capacity_kwh=200))
    await home.travel(3600, step=600)
    home.charger.set_offline()
    await home.travel(3600, step=600)
    home.charger.unplug()
    await home.travel(3 * 86400, step=6 * 3600)
    home.clear()
    home.charger.set_online()
    await home.travel(200, step=20)
    await check(home, recorded)
    assert count(home) == 1


async def test_the_steady_cost(home: Home, recorded: Recorded) -> None:
    """A request for each session that has ended, and one a day, is the most."""
    await wait_until_written(home.entry)
    home.clear()
    sessions = 0
    for day in range(16):
        if day % 3:
            await charge(home, 1)
            sessions += 1
        for _ in range(6):
            await home.travel(14_400, step=14_400)
            await wait_until_written(home.entry)
    assert count(home) <= sessions + 17
    await check(home, recorded)


@pytest.mark.parametrize("past", [PastScenario(days=20)])
async def test_a_restart(imported: list[Any], home: Home, recorded: Recorded) -> None:
    """After a restart, nothing is read or written again."""
    await wait_until_written(home.entry)
    assert len(imported) == 1
    home.clear()
    await home.reload()
    await home.travel(300, step=60)
    await check(home, recorded)
    assert count(home) <= 1
    assert len(imported) == 1


@pytest.mark.parametrize("past", [PastScenario(days=20)])
async def test_a_lost_store(
    imported: list[Any],
    home: Home,
    recorded: Recorded,
    hass_storage: dict[str, Any],
) -> None:
    """If the store is lost, the archive is read again, and nothing has to be written."""
    await wait_until_written(home.entry)
    await home.stop()
    key = f"zaptec.history.{home.entry.entry_id}"
    assert key in hass_storage
    del hass_storage[key]
    home.clear()
    await home.start()
    await check(home, recorded)
    assert count(home) == 1
    assert len(imported) == 1


@pytest.mark.parametrize("past", [PastScenario(days=20)])
@pytest.mark.parametrize(
    "stored",
    [
        {"chargers": {"a": {}}, "sweeps": {}},
        {"chargers": [], "sweeps": {}},
        {"chargers": {}, "sweeps": {"a": {"at": 1}}},
        {},
    ],
)
async def test_a_damaged_store(
    new_home: Home,
    recorded: Recorded,
    hass_storage: dict[str, Any],
    warnings_with: Callable[[str], int],
    stored: dict[str, Any],
) -> None:
    """A store that cannot be understood is as good as none."""
    key = f"zaptec.history.{new_home.entry.entry_id}"
    hass_storage[key] = {"version": 1, "minor_version": 1, "key": key, "data": stored}
    await new_home.start()
    await check(new_home, recorded)
    assert warnings_with("history is damaged") == 1


@pytest.mark.parametrize("past", [PastScenario(days=20)])
async def test_an_entry_that_is_removed(
    hass: HomeAssistant,
    home: Home,
    recorded: Recorded,
    hass_storage: dict[str, Any],
) -> None:
    """The store is removed with the entry; the statistics stay, as they are the user's."""
    await wait_until_written(home.entry)
    rows = await recorded.rows(home.charger.id)
    await home.stop()
    key = f"zaptec.history.{home.entry.entry_id}"
    assert key in hass_storage
    await hass.config_entries.async_remove(home.entry.entry_id)
    await hass.async_block_till_done()
    assert key not in hass_storage
    assert await recorded.rows(home.charger.id) == rows
    assert rows


@pytest.mark.parametrize("past", [PastScenario(days=20)])
async def test_the_store_names_nobody(home: Home, hass_storage: dict[str, Any]) -> None:
    """The store has no ids of sessions or users, no names and no cards."""
    await charge(home)
    await wait_until_written(home.entry)
    await home.stop()
    text = repr(hass_storage[f"zaptec.history.{home.entry.entry_id}"])
    assert len(text) > 500
    private = {session.id for session in home.installation.archive}
    for account in home.sim.accounts.values():
        private |= {account.id, account.full_name, account.user_name}
        private |= {card.name for card in account.cards}
    assert len(private) > 3
    assert not [item for item in private if item in text]


async def test_the_name_of_the_statistic(
    hass: HomeAssistant,
    home: Home,
    imported: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The statistic is named after the device, which the user may have renamed."""
    names = []
    write = history_module.HourlyStatistics.async_write

    async def spy(self: Any, statistic: str, name: str, *args: Any) -> int:
        names.append(name)
        return await write(self, statistic, name, *args)

    monkeypatch.setattr(history_module.HourlyStatistics, "async_write", spy)
    await wait_until_written(home.entry)
    await charge(home, 0.5)
    await wait_until_written(home.entry)
    devices = dr.async_get(hass)
    (device,) = [
        item
        for item in dr.async_entries_for_config_entry(devices, home.entry.entry_id)
        if ("zaptec", home.charger.id) in item.identifiers
    ]
    devices.async_update_device(device.id, name_by_user="Garage")
    await charge(home, 0.5)
    await wait_until_written(home.entry)
    assert names[0] == f"{home.charger.name} energy (history)"
    assert names[-1] == "Garage energy (history)"


@pytest.mark.parametrize("past", [PastScenario(days=20)])
async def test_without_a_recorder(
    hass: HomeAssistant, new_home: Home, recorded: Recorded
) -> None:
    """Without the recorder there is no history, and nothing is read for it."""
    hass.config.components.remove("recorder")
    await new_home.start()
    await charge(new_home, 0.5)
    assert count(new_home) == 0
    assert new_home.entry.runtime_data.history.is_idle
    await new_home.reload()
    hass.config.components.add("recorder")


@pytest.mark.parametrize("past", [PastScenario(days=20)])
async def test_a_database_that_is_migrated(
    new_home: Home, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database is migrated, the history waits."""
    migrating = True
    monkeypatch.setattr(
        "custom_components.zaptec.history.statistics.async_migration_in_progress",
        lambda hass: migrating,
    )
    await new_home.start()
    await new_home.travel(600, step=60)
    assert count(new_home) == 0
    migrating = False
    await new_home.travel(600, step=60)
    await check(new_home, recorded)


def storing_nothing() -> AbstractContextManager[Any]:
    """Return a context in which the recorder ignores all rows, and says that it has them."""
    return patch.object(
        recorder_statistics, "_import_statistics_with_session", lambda *_: True
    )


async def test_a_recorder_that_stores_nothing(
    home: Home,
    recorded: Recorded,
    warnings_with: Callable[[str], int],
) -> None:
    """What cannot be stored is kept, and written when it can; both are logged once."""
    await wait_until_written(home.entry)
    with storing_nothing():
        await charge(home)
        await home.travel(3 * 3600, step=300)
        assert await recorded.rows(home.charger.id) == {}
        assert warnings_with("cannot be stored") == 1
        await home.reload()
    await home.travel(1200, step=60)
    await check(home, recorded)


async def test_a_recorder_that_recovers(
    home: Home, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """After a quarter of an hour, the statistics are written again."""
    await wait_until_written(home.entry)
    with storing_nothing():
        await charge(home)
        await wait_until(lambda: "cannot be stored" in caplog.text)
    assert await recorded.rows(home.charger.id) == {}
    await home.travel(800, step=100)
    assert await recorded.rows(home.charger.id) == {}
    await home.travel(200, step=50)
    await check(home, recorded)
    assert "The session history is stored again" in caplog.text


@pytest.mark.parametrize("past", [PastScenario(days=60)])
@pytest.mark.parametrize(
    "fault", [500, 503, 400, "reset", "malformed", "truncated", "html"]
)
async def test_an_archive_that_fails(
    new_home: Home, recorded: Recorded, fault: Any
) -> None:
    """If the archive fails, it is read later, and nothing else suffers."""
    new_home.sim.rest.fail(ARCHIVE, fault=fault)
    await new_home.start()
    await charge(new_home, 0.5)
    # The requests are retried a few times, and then with longer and longer breaks.
    await new_home.travel(3600, step=60)
    assert count(new_home) <= 40
    assert new_home.state("sensor", "push_status") == "connected"
    new_home.sim.rest.heal()
    await new_home.travel(7200, step=300)
    await check(new_home, recorded)


@pytest.mark.parametrize("past", [PastScenario(days=40)])
@pytest.mark.parametrize(
    ("distortion", "problem"),
    [
        ("unordered", None),
        ("doubled", None),
        ("odd", None),
        ("incomplete", None),
        ("future", "it ends in the future"),
        ("negative", "its energy is negative"),
        ("absurd", "cannot have delivered so much energy"),
        ("stuck", None),
    ],
)
async def test_an_archive_that_answers_wrong(
    new_home: Home,
    recorded: Recorded,
    warnings_with: Callable[[str], int],
    distortion: str,
    problem: str | None,
) -> None:
    """A wrong answer leads to no wrong row, and is corrected by the next sweeps."""
    new_home.sim.archive.distortions.add(distortion)
    await new_home.start()
    await new_home.travel(600, step=60)
    hours = await recorded.hours(new_home.charger.id)
    expected = truth(new_home.sim, new_home.charger.id)
    for hour, energy in hours.items():
        assert energy <= expected.get(hour, 0.0) + 0.1
    if problem:
        assert warnings_with(problem) == 1
        assert hours == {}
    new_home.sim.archive.heal()
    await new_home.travel(8 * 86400, step=12 * 3600)
    await check(new_home, recorded)


@pytest.mark.parametrize("past", [PastScenario(days=10)])
async def test_sessions_with_ten_thousand_reports(
    new_home: Home, recorded: Recorded, warnings_with: Callable[[str], int]
) -> None:
    """A charger does not report its meter every few seconds, so such an answer is wrong."""
    new_home.sim.archive.distortions.add("long")
    await new_home.start()
    await wait_until_written(new_home.entry)
    assert await recorded.hours(new_home.charger.id) == {}
    assert warnings_with("more meter reports") == 1


@pytest.mark.parametrize("past", [PastScenario(days=30)])
async def test_statistics_that_were_deleted(
    hass: HomeAssistant, home: Home, recorded: Recorded
) -> None:
    """Statistics that were deleted, or lost with the database, are imported again."""
    await wait_until_written(home.entry)
    get_instance(hass).async_clear_statistics([statistic_id(home.charger.id)])
    await home.travel(26 * 3600, step=3600)
    await check(home, recorded)


@pytest.mark.parametrize("past", [PastScenario(days=30), PastScenario(days=150)])
async def test_a_session_after_statistics_were_deleted(
    hass: HomeAssistant, home: Home, recorded: Recorded
) -> None:
    """The statistic returns with the next session, and with all that it had."""
    await wait_until_written(home.entry)
    get_instance(hass).async_clear_statistics([statistic_id(home.charger.id)])
    await charge(home)
    await check(home, recorded)


async def test_a_bug_does_not_end_the_history(
    home: Home,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An unexpected error is logged, and an hour later the history goes on."""
    await wait_until_written(home.entry)
    with monkeypatch.context() as patch:
        patch.setattr(
            history_module.HourlyStatistics, "async_write", lambda *args: 1 // 0
        )
        await charge(home)
        await wait_until(lambda: "Unexpected error in the history" in caplog.text)
    await home.travel(3700, step=300)
    await check(home, recorded)


@pytest.fixture
def service_home(new_home: Home) -> Home:
    """Return a home whose account has the service role: it may not read the archive."""
    (account,) = new_home.sim.accounts.values()
    account.roles[new_home.installation.id] = UserRole.MAINTAINER
    return new_home


@pytest.mark.parametrize("past", [PastScenario(days=30)])
async def test_an_account_without_the_right(
    service_home: Home, recorded: Recorded, issue_registry: ir.IssueRegistry
) -> None:
    """Without the archive there is what the chargers report; the user is notified once."""
    home = service_home
    await home.start()
    await wait_until_written(home.entry)
    assert count(home) == 1
    start = max(truth(home.sim, home.charger.id), default=0)
    await charge(home)
    await wait_until_written(home.entry)
    hours = await recorded.hours(home.charger.id)
    expected = truth(home.sim, home.charger.id)
    assert math.fsum(hours.values()) == pytest.approx(
        math.fsum(energy for hour, energy in expected.items() if hour >= min(hours)),
        abs=0.1,
    )
    assert min(hours) >= start
    await home.travel(3600, step=300)
    issue = f"history_not_permitted_{home.installation.id}"
    assert issue_registry.async_get_issue("zaptec", issue)
    assert count(home) == 1
    home.clear()
    await home.reload()
    await home.travel(3600, step=300)
    assert count(home) == 0
    assert issue_registry.async_get_issue("zaptec", issue)


@pytest.mark.parametrize("past", [PastScenario(days=30)])
async def test_an_account_that_gets_the_right(
    service_home: Home, recorded: Recorded, issue_registry: ir.IssueRegistry
) -> None:
    """When the roles change, the archive is asked again, and all of it is imported."""
    home = service_home
    await home.start()
    await charge(home)
    await wait_until_written(home.entry)
    (account,) = home.sim.accounts.values()
    account.roles[home.installation.id] = UserRole.OWNER
    await home.travel(2 * 3600, step=600)
    await check(home, recorded)
    issue = f"history_not_permitted_{home.installation.id}"
    assert not issue_registry.async_get_issue("zaptec", issue)


@pytest.mark.parametrize("past", [PastScenario(days=30)])
async def test_a_refusal_by_mistake(new_home: Home, recorded: Recorded) -> None:
    """Once a week it is tried whether the archive can be read by now."""
    new_home.sim.rest.fail(ARCHIVE, fault=403)
    await new_home.start()
    await wait_until_written(new_home.entry)
    assert new_home.entry.runtime_data.history.refused()
    await new_home.travel(9 * 86400, step=6 * 3600)
    assert new_home.entry.runtime_data.history.refused()
    assert count(new_home) <= 3
    new_home.sim.rest.heal()
    await new_home.travel(8 * 86400, step=6 * 3600)
    await check(new_home, recorded)
    assert not new_home.entry.runtime_data.history.refused()


@pytest.mark.parametrize("scenario", [Scenario.of(2)])
@pytest.mark.parametrize("times", [0, 1, 2])
async def test_a_refusal_of_some_chargers(new_home: Home, times: int) -> None:
    """An installation is refused if the archives of all its chargers are."""
    if times:
        new_home.sim.rest.fail(ARCHIVE, fault=403, times=times)
    await new_home.start()
    await wait_until_written(new_home.entry)
    history = new_home.entry.runtime_data.history
    expected = {new_home.installation.id} if times == 2 else set()
    assert history.refused() == expected


async def test_a_session_without_reports_and_without_the_archive(
    service_home: Home, recorded: Recorded
) -> None:
    """Without any record of its hours, a session was charged right before its end."""
    home = service_home
    await home.start()
    await wait_until_written(home.entry)
    now = dt_util.utcnow()
    report(home, now - timedelta(hours=9), now, 10.0)
    await home.travel(60, step=10)
    await wait_until_written(home.entry)
    hours = await recorded.hours(home.charger.id)
    assert math.fsum(hours.values()) == pytest.approx(10.0)
    assert min(hours) >= now.timestamp() // 3600 - 1


async def test_a_report_that_waits_for_the_archive(
    home: Home, recorded: Recorded, issue_registry: ir.IssueRegistry
) -> None:
    """Without any record of its hours, a session waits until the archive has it."""
    await wait_until_written(home.entry)
    now = dt_util.utcnow()
    report(home, now - timedelta(hours=9), now, 10.0)
    await home.travel(60, step=10)
    await wait_until_written(home.entry)
    assert await recorded.hours(home.charger.id) == {}
    # If the archive is refused in the end, the report has to do.
    home.sim.rest.fail(ARCHIVE, fault=403)
    await home.travel(300, step=60)
    await wait_until_written(home.entry)
    hours = await recorded.hours(home.charger.id)
    assert math.fsum(hours.values()) == pytest.approx(10.0)
    # Repairs are looked at each minute.
    await home.travel(60)
    assert issue_registry.async_get_issue(
        "zaptec", f"history_not_permitted_{home.installation.id}"
    )


@pytest.mark.parametrize("energy", [-1.0, 1e6])
async def test_a_report_that_cannot_be_right(
    home: Home, recorded: Recorded, warnings_with: Callable[[str], int], energy: float
) -> None:
    """A report that cannot be right is left out, and the archive is asked."""
    await wait_until_written(home.entry)
    now = dt_util.utcnow()
    for number in range(2):
        end = now + timedelta(seconds=number)
        report(home, now - timedelta(hours=1), end, energy)
        await home.travel(20, step=5)
    await wait_until_written(home.entry)
    assert await recorded.rows(home.charger.id) == {}
    assert warnings_with("leaves out a session") == 1
    home.clear()
    await home.travel(300, step=60)
    await wait_until_at_rest(home.hass)
    # One request for each session, or one for both.
    assert count(home) in (1, 2)


async def test_a_charger_that_is_removed_and_added(
    home: Home, recorded: Recorded
) -> None:
    """New chargers are followed, and those that are gone are not."""
    await wait_until_written(home.entry)
    new = home.sim.add_charger(home.installation.id, serial="ZPR000009", name="Space 9")
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.travel(600, step=60)
    await wait_until(lambda: new.id in home.entry.runtime_data.states)
    await charge(home, charger=new)
    await wait_until_written(home.entry)
    hours = await recorded.hours(new.id)
    assert hours == pytest.approx(truth(home.sim, new.id), abs=0.01)
    new.remove()
    await home.travel(3 * 86400, step=6 * 3600)
    await charge(home)
    await check(home, recorded)


async def test_a_session_that_only_the_charger_has(
    home: Home, recorded: Recorded
) -> None:
    """If the archive does not have a session within an hour, the report has to do."""
    await wait_until_written(home.entry)
    now = dt_util.utcnow()
    report(home, now - timedelta(hours=9), now, 10.0)
    await home.travel(60, step=10)
    await home.travel(3000, step=300)
    assert await recorded.hours(home.charger.id) == {}
    await home.travel(1200, step=300)
    await wait_until_written(home.entry)
    hours = await recorded.hours(home.charger.id)
    assert math.fsum(hours.values()) == pytest.approx(10.0)


async def test_a_report_that_is_not_looked_for(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a charger has just gone, its report does not wait for an answer of the archive."""
    await wait_until_written(home.entry)
    runtime = home.entry.runtime_data
    now = dt_util.utcnow()
    state = runtime.states[home.charger.id]
    with monkeypatch.context() as patch:
        patch.setattr(AwaitedSessions, "expect", lambda *args: False)
        report(home, now - timedelta(hours=9), now, 10.0)
        await wait_until(lambda: state.value(StateId.COMPLETED_SESSION) is not None)
        await wait_until_pending(home)
        assert runtime.history.summary.of_account()["waiting_reports"] == 0
