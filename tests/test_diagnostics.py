"""Tests of the diagnostics: they tell enough, and nothing private."""

from datetime import UTC, datetime
import json
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import Observation
from custom_components.zaptec.api.observations import StateId
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.diagnostics import (
    async_get_config_entry_diagnostics,
    async_get_device_diagnostics,
)
from simulator.charger import Charger
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import set_up

SECRET = "Kryptonite"


async def _download(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, Any]:
    """Return the diagnostics as they would be downloaded."""
    found = await async_get_config_entry_diagnostics(hass, entry)
    document: dict[str, Any] = json.loads(json.dumps(found))
    return document


def _private(sim: Simulator, entry: MockConfigEntry) -> set[str]:
    """Return what must not be in a download."""
    words = {SECRET, entry.title, *entry.data.values()}
    for item in sim.installations.values():
        words |= {item.id, item.name, "Ladeveien"}
    for charger in sim.chargers.values():
        words |= {charger.id, charger.name, charger.serial}
    return words


async def test_download(
    hass: HomeAssistant, sim: Simulator, live_entry: MockConfigEntry, charger: Charger
) -> None:
    """It tells of everything, asks nothing, and shows nothing private."""
    coordinator = live_entry.runtime_data
    state = coordinator.states[charger.id]
    # Whatever text any StateId may hold, known or not.
    for state_id in [*{int(item) for item in StateId}, 4711]:
        if state_id not in state or state_id == StateId.SESSION_IDENTIFIER:
            state.apply(
                Observation(charger.id, state_id, datetime.now(UTC), f"{SECRET} 1.2")
            )
    before = len(sim.rest.requests)
    document = await _download(hass, live_entry)
    assert len(sim.rest.requests) == before

    text = json.dumps(document)
    assert [word for word in _private(sim, live_entry) if word in text] == []
    assert document["entry"]["state"] == "loaded"
    assert document["installations"]["installation 1"]["link"]["status"] == "connected"
    shown = document["chargers"]["charger 1"]
    assert shown["installation"] == "installation 1"
    assert shown["observations"]["710"]["value"] == "disconnected"
    assert shown["observations"]["4711"]["value"] == "**REDACTED**"
    requests = document["requests"]["last_hour"]
    assert requests["GET /api/chargers/{id}/state"] == {"200": 1}


async def test_device(
    hass: HomeAssistant, live_entry: MockConfigEntry, charger: Charger
) -> None:
    """Of a device there is the device alone."""
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, charger.id), config_entry_id=live_entry.entry_id
    )
    assert device
    found = await async_get_device_diagnostics(hass, live_entry, device)
    assert list(found["chargers"]) == ["charger 1"]
    assert found["installations"] == {}


@pytest.mark.parametrize("scenario", [Scenario.of(30)])
async def test_size(hass: HomeAssistant, live_entry: MockConfigEntry) -> None:
    """Thirty chargers fit into what a forum takes."""
    document = await _download(hass, live_entry)
    assert len(document["chargers"]) == 30
    assert len(json.dumps(document)) < 1_000_000


async def test_wrong_password(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """An account that may not sign in has diagnostics, without its password."""
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, "password": SECRET}
    )
    await set_up(hass, entry)
    document = await _download(hass, entry)
    text = json.dumps(document)
    assert [word for word in _private(sim, entry) if word in text] == []
    assert document["entry"]["state"] == "setup_error"
    assert document["discovery"]["last_exception"] == "ConfigEntryAuthFailed"
    assert document["requests"]["last_error"] == "POST /oauth/token: 400"


async def test_never_set_up(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """An account that was not even tried has some, too."""
    document = await _download(hass, entry)
    text = json.dumps(document)
    assert [word for word in _private(sim, entry) if word in text] == []
    assert document["entry"]["state"] == "not_loaded"


@pytest.mark.parametrize("fault", [500, 401, "html", "malformed"])
async def test_cloud_is_down(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry, fault: Any
) -> None:
    """A setup that is being retried has diagnostics, and asks nothing more."""
    sim.rest.fail("/api/(installation|chargers)$", fault=fault)
    await set_up(hass, entry)
    before = len(sim.rest.requests)
    document = await _download(hass, entry)
    assert len(sim.rest.requests) == before
    text = json.dumps(document)
    assert [word for word in _private(sim, entry) if word in text] == []
    assert document["entry"]["state"] == "setup_retry"
    assert not document["discovery"]["last_update_success"]
