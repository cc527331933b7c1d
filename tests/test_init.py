"""Set-up, unload, reload and removal, over real sockets."""

import asyncio

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_PASSWORD, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.faults import Fault
from simulator.scenario import DEMO_USER
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, set_up, wait_until, wait_until_live

TRANSIENT: list[Fault] = [
    "reset",
    "html",
    "truncated",
    "malformed",
    "empty",
    429,
    500,
    502,
    503,
    504,
    524,
]


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a cloud that fails on purpose."""
    monkeypatch.setattr("custom_components.zaptec.api.transport.BACKOFF_BASE", 0.0)
    monkeypatch.setattr("custom_components.zaptec.api.transport.RETRY_AFTER_MAX", 0.0)


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize(
    "path", ["/oauth/token", "/api/installation$", "/api/chargers$"]
)
async def test_a_transient_failure_at_set_up_is_retried_by_home_assistant(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    path: str,
    fault: Fault,
) -> None:
    """None of them is permanent."""
    sim.rest.fail(path, fault=fault)
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert not hass.config_entries.flow.async_progress()

    sim.rest.heal()
    await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED


@pytest.mark.parametrize("fault", TRANSIENT)
@pytest.mark.parametrize("path", ["messagingConnectionDetails$", "/state$"])
async def test_a_transient_failure_behind_set_up_mends_itself(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
    entities: EntityFinder,
    path: str,
    fault: Fault,
) -> None:
    """The entry is loaded, and when the fault is over all is live."""
    sim.rest.fail(path, fault=fault)
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    await time_machine.travel(10)
    sim.rest.heal()
    await time_machine.travel(3700, step=15)
    await wait_until_live(hass, entry)
    charger = next(iter(sim.chargers.values()))
    charger.plug_in(Car())
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )


async def test_a_wrong_password_starts_a_reauthentication(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """The only failure that needs a person."""
    sim.set_password(DEMO_USER, "another")
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    flows = hass.config_entries.flow.async_progress()
    assert [flow["step_id"] for flow in flows] == ["reauth_confirm"]


async def test_a_password_changed_while_running(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """A reauthentication starts; after it all works without a restart."""
    sim.set_password(DEMO_USER, "another")
    await time_machine.travel(3610, step=15)
    flows = hass.config_entries.flow.async_progress()
    assert [flow["step_id"] for flow in flows] == ["reauth_confirm"]

    await hass.config_entries.flow.async_configure(
        flows[0]["flow_id"], {CONF_PASSWORD: "another"}
    )
    await hass.async_block_till_done()
    assert live_entry.state is ConfigEntryState.LOADED
    await wait_until_live(hass, live_entry)
    charger = next(iter(sim.chargers.values()))
    charger.plug_in(Car())
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )


async def test_unload_leaves_nothing_behind(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """No task, no connection, and entities that say so."""
    assert sim.bus.connections == 1
    assert await hass.config_entries.async_unload(live_entry.entry_id)
    await hass.async_block_till_done()
    assert live_entry.state is ConfigEntryState.NOT_LOADED
    await wait_until(lambda: sim.bus.connections == 0)
    assert not [
        task for task in asyncio.all_tasks() if task.get_name().startswith(f"{DOMAIN} ")
    ]
    charger = next(iter(sim.chargers.values()))
    assert (
        entities.state("sensor", charger.id, "charger_operation_mode")
        == STATE_UNAVAILABLE
    )


async def test_reload_comes_back_live(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """With one connection, not two."""
    assert await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    charger = next(iter(sim.chargers.values()))
    charger.plug_in(Car())
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )
    await wait_until(lambda: sim.bus.connections == 1)


async def test_removal_removes_devices_and_entities(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
) -> None:
    """Nothing of the account stays."""
    assert await hass.config_entries.async_remove(live_entry.entry_id)
    await hass.async_block_till_done()
    assert not dr.async_entries_for_config_entry(device_registry, live_entry.entry_id)
    assert not er.async_entries_for_config_entry(entity_registry, live_entry.entry_id)
    await wait_until(lambda: sim.bus.connections == 0)
