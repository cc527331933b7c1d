"""What the diagnostics show of the history."""

from dataclasses import replace
from datetime import timedelta
import json
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest

from custom_components.zaptec.diagnostics import async_get_config_entry_diagnostics
from simulator.accounts import UserRole
from simulator.car import Car
from simulator.scenario import PastScenario, Scenario
from simulator.session import Session

from ..home import Home
from .conftest import wait_until_written

pytestmark = pytest.mark.usefixtures("_custom_integrations")


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with a past."""
    scenario = Scenario.of(1)
    (installation,) = scenario.installations
    past = PastScenario(days=150)
    return replace(scenario, installations=(replace(installation, past=past),))


async def _download(hass: HomeAssistant, home: Home) -> dict[str, Any]:
    """Return the diagnostics in the form in which they are downloaded."""
    found = await async_get_config_entry_diagnostics(hass, home.entry)
    document: dict[str, Any] = json.loads(json.dumps(found))
    return document


def _archived(home: Home) -> list[Session]:
    """Return the sessions of the archive."""
    now = dt_util.utcnow()
    return list(home.sim.archive.listed(start=now - timedelta(days=730), end=now))


async def test_what_was_imported(hass: HomeAssistant, home: Home) -> None:
    """The diagnostics show how many sessions are known, and since when."""
    await wait_until_written(home.entry)
    document = await _download(hass, home)
    assert document["history"] == {
        "recorder": True,
        "recorder_ready": True,
        "not_stored": False,
        "archive_failures": 0,
        "awaited_sessions": 0,
        "waiting_reports": 0,
    }
    charger = document["chargers"]["charger 1"]["history"]
    assert charger["state"] == "written"
    assert not charger["refused"]
    assert charger["left_out"] == []
    assert charger["sessions"] >= 20
    assert charger["old_sessions"] > 0
    assert charger["sessions"] + charger["old_sessions"] <= len(_archived(home))
    assert charger["complete_from"] < dt_util.utcnow().isoformat()
    assert charger["changed_from"] is charger["read_from"] is None
    assert charger["kept_before"] is None
    installation = document["installations"]["installation 1"]["history"]
    assert installation["swept_at"] < dt_util.utcnow().isoformat()
    assert installation["swept_long_at"] >= installation["swept_at"]
    assert installation["ended_sessions"] == installation["requests"] == 0


async def test_a_session_that_is_awaited(hass: HomeAssistant, home: Home) -> None:
    """A session that the archive is asked for is counted until it is found."""
    await wait_until_written(home.entry)
    home.charger.plug_in(Car(capacity_kwh=200))
    await home.travel(3600, step=600)
    home.charger.unplug()
    await home.travel(30, step=10)
    await wait_until_written(home.entry)
    document = await _download(hass, home)
    assert document["history"]["awaited_sessions"] == 1
    installation = document["installations"]["installation 1"]["history"]
    assert installation["ended_sessions"] == 1
    home.clear()
    await home.travel(200, step=20)
    await wait_until_written(home.entry)
    document = await _download(hass, home)
    assert document["history"]["awaited_sessions"] == 0
    installation = document["installations"]["installation 1"]["history"]
    assert installation["requests"] == 1


async def test_nothing_private(hass: HomeAssistant, home: Home) -> None:
    """The download has no ids of sessions or users, no names, and no cards."""
    await wait_until_written(home.entry)
    document = await _download(hass, home)
    text = json.dumps(document)
    private = {session.id for session in _archived(home)}
    for account in home.sim.accounts.values():
        private |= {account.id, account.full_name, account.user_name}
        private |= {card.name for card in account.cards}
    assert len(private) > 20
    assert not [item for item in private if item in text]


async def test_an_archive_that_is_refused(hass: HomeAssistant, new_home: Home) -> None:
    """The diagnostics say that the account may not read the archive."""
    (account,) = new_home.sim.accounts.values()
    account.roles[new_home.installation.id] = UserRole.MAINTAINER
    await new_home.start()
    await wait_until_written(new_home.entry)
    document = await _download(hass, new_home)
    charger = document["chargers"]["charger 1"]["history"]
    assert charger["refused"]
    assert charger["state"] == "written"
    assert charger["sessions"] == 0
    assert charger["read_from"] is charger["changed_from"] is None


async def test_an_archive_that_fails(hass: HomeAssistant, new_home: Home) -> None:
    """The diagnostics say what has to be read, and when that is tried again."""
    new_home.sim.rest.fail("/api/sessions/archived", fault=500)
    await new_home.start()
    await new_home.travel(120, step=10)
    document = await _download(hass, new_home)
    assert document["history"]["archive_failures"] > 0
    charger = document["chargers"]["charger 1"]["history"]
    assert charger["state"] == "reading"
    first = dt_util.utcnow() - timedelta(days=731)
    assert charger["read_from"] == charger["read_until"] > first.isoformat()


async def test_sessions_that_are_left_out(hass: HomeAssistant, new_home: Home) -> None:
    """The diagnostics say why sessions were left out, and what is in doubt for that."""
    new_home.sim.archive.distortions.add("negative")
    await new_home.start()
    await wait_until_written(new_home.entry)
    document = await _download(hass, new_home)
    charger = document["chargers"]["charger 1"]["history"]
    assert charger["left_out"] == ["negative"]
    now = dt_util.utcnow()
    kept_before = dt_util.parse_datetime(charger["kept_before"], raise_on_error=True)
    assert now - timedelta(minutes=5) < kept_before <= now + timedelta(hours=1)


async def test_without_a_recorder(hass: HomeAssistant, new_home: Home) -> None:
    """The diagnostics say that there is no recorder, and so no history."""
    hass.config.components.remove("recorder")
    await new_home.start()
    document = await _download(hass, new_home)
    assert not document["history"]["recorder"]
    assert document["chargers"]["charger 1"]["history"] is None
    assert document["installations"]["installation 1"]["history"] is None
    hass.config.components.add("recorder")
