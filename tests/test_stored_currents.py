"""The document of queued currents, as versions since the first one have stored it."""

from datetime import datetime, timedelta
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.charger import Charger
from simulator.installation import Installation

from .conftest import EntityFinder, TimeMachine, set_up, wait_until_live

MINUTE = 60


def document(**changed: Any) -> dict[str, Any]:
    """Return what is stored of one installation, with 25 A queued for ten minutes."""
    now = dt_util.utcnow()
    return {
        "base": [16.0, 16.0, 16.0],
        "changed_at": (now - timedelta(minutes=5)).isoformat(),
        "due": (now + timedelta(minutes=10)).isoformat(),
        "tries": 0,
        "uncertain": [],
        "waiting": [25.0, 25.0, 25.0],
        **changed,
    }


@pytest.fixture
def installation(charger: Charger) -> Installation:
    """Return the installation, with 16 of its 32 A available."""
    charger.installation.available_current = (16.0, 16.0, 16.0)
    return charger.installation


async def start(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    entry: MockConfigEntry,
    stored: dict[str, Any],
) -> None:
    """Set up an account for which a queued current was stored before Home Assistant stopped."""
    key = f"{DOMAIN}.{entry.entry_id}"
    hass_storage[key] = {"version": 1, "minor_version": 1, "key": key, "data": stored}
    await set_up(hass, entry)
    await wait_until_live(hass, entry)


@pytest.mark.parametrize(
    "changed",
    [{}, {"base": None}, {"uncertain": [[16.0, 16.0, 16.0]]}],
    ids=["queued", "of an unknown base", "after a change of unknown outcome"],
)
async def test_a_stored_current_is_sent_when_it_is_due(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    time_machine: TimeMachine,
    entry: MockConfigEntry,
    entities: EntityFinder,
    installation: Installation,
    changed: dict[str, Any],
) -> None:
    """A stored current is sent when it is due, not lost or sent early by an update."""
    stored = document(**changed)
    await start(hass, hass_storage, entry, {installation.id: stored})
    state = hass.states.get(entities.id("number", installation.id, "available_current"))
    assert state is not None
    assert state.attributes["waiting_current"] == 25
    due = state.attributes["waiting_until"]
    assert abs(due - datetime.fromisoformat(stored["due"])) < timedelta(seconds=30)
    await time_machine.travel(8 * MINUTE, step=15)
    assert installation.available_current == (16, 16, 16)
    await time_machine.travel(3 * MINUTE, step=15)
    assert installation.available_current == (25, 25, 25)


async def test_a_stored_current_is_not_sent_over_a_change_from_elsewhere(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    time_machine: TimeMachine,
    entry: MockConfigEntry,
    installation: Installation,
) -> None:
    """A stored current is dropped if the stored base shows that the current was changed since."""
    stored = document(base=[20.0, 20.0, 20.0])
    await start(hass, hass_storage, entry, {installation.id: stored})
    await time_machine.travel(12 * MINUTE, step=15)
    assert installation.available_current == (16, 16, 16)


async def test_the_document_keeps_its_form(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    entry: MockConfigEntry,
    installation: Installation,
) -> None:
    """The stored document keeps its form, so that the user can go back to an earlier version."""
    stored = document(tries=2)
    await start(hass, hass_storage, entry, {installation.id: stored})
    current = entry.runtime_data.available_currents.of(installation.id)
    kept = current.as_document()
    assert kept.keys() == stored.keys()
    assert {key: kept[key] for key in ("base", "tries", "uncertain", "waiting")} == {
        "base": (16.0, 16.0, 16.0),
        "tries": 2,
        "uncertain": [],
        "waiting": (25.0, 25.0, 25.0),
    }
    for key in ("changed_at", "due"):
        moved = datetime.fromisoformat(kept[key]) - datetime.fromisoformat(stored[key])
        assert abs(moved) < timedelta(seconds=30)
