"""Set-up, unload, reload and removal, over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
import gc

from homeassistant.config_entries import ConfigEntryDisabler, ConfigEntryState
from homeassistant.const import CONF_PASSWORD, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import StateId
from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.faults import Fault
from simulator.scenario import DEMO_USER, Scenario
from simulator.simulator import Simulator

from .conftest import (
    EntityFinder,
    TimeMachine,
    add_entry,
    set_up,
    wait_until,
    wait_until_live,
)

TRANSIENT: list[Fault] = [
    "reset",
    "html",
    "truncated",
    "malformed",
    "empty",
    401,
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
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
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
    """Home Assistant retries a set-up that fails temporarily, until the cloud works again."""
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
    """A failure after the lists were read does not prevent the set-up; all is live after it."""
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
    """A wrong password starts a reauthentication, because only the user can correct it."""
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
    """A password that is changed elsewhere starts a reauthentication, and no restart is needed."""
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
    """After the unload there is no task and no connection, and all entities are unavailable."""
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
    """After a reload everything is live, with one connection instead of two."""
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
    """Removing the account removes its devices and entities from the registries."""
    assert await hass.config_entries.async_remove(live_entry.entry_id)
    await hass.async_block_till_done()
    assert not dr.async_entries_for_config_entry(device_registry, live_entry.entry_id)
    assert not er.async_entries_for_config_entry(entity_registry, live_entry.entry_id)
    await wait_until(lambda: sim.bus.connections == 0)


async def test_a_refused_password_is_not_tried_again_and_again(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
) -> None:
    """A refused password is tried once only, because repeated failures might lock the account."""
    sim.set_password(DEMO_USER, "another")
    sim.rest.clear()
    sim.bus.drop_connections()
    await time_machine.travel(3500, step=15)
    logins = [record for record in sim.rest.requests if record.path == "/oauth/token"]
    assert len(logins) == 1
    assert len(hass.config_entries.flow.async_progress()) == 1


async def test_a_passing_401_is_no_password_problem(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """A temporary 401 leaves the hourly discovery running and starts no reauthentication."""
    sim.rest.fail("/api/(installation|chargers)$", fault=401)
    await time_machine.travel(3700, step=15)
    installation_id = next(iter(sim.installations))
    sim.rest.heal()
    await time_machine.travel(400, step=15)
    assert not hass.config_entries.flow.async_progress()
    assert live_entry.runtime_data.coordinator.last_update_success
    assert entities.state("number", installation_id, "available_current") != (
        STATE_UNAVAILABLE
    )


async def test_an_incomplete_list_after_a_restart_deletes_nothing(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
) -> None:
    """Devices are removed only after they have been missing for an hour."""
    entry_id = live_entry.entry_id
    assert len(dr.async_entries_for_config_entry(device_registry, entry_id)) == 2
    roles = dict(sim.accounts[DEMO_USER].roles)
    sim.accounts[DEMO_USER].roles.clear()
    await hass.config_entries.async_reload(entry_id)
    assert len(dr.async_entries_for_config_entry(device_registry, entry_id)) == 2
    await live_entry.runtime_data.coordinator.async_refresh()
    assert len(dr.async_entries_for_config_entry(device_registry, entry_id)) == 2
    await time_machine.travel(3700, step=15)
    assert not dr.async_entries_for_config_entry(device_registry, entry_id)

    sim.accounts[DEMO_USER].roles.update(roles)
    await time_machine.travel(3700, step=15)
    await wait_until_live(hass, live_entry)
    assert len(dr.async_entries_for_config_entry(device_registry, entry_id)) == 2


@pytest.mark.parametrize("after_restart", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("missing", ["everything", "a charger"])
@pytest.mark.parametrize("scenario", [Scenario.of(2)], ids=["two chargers"])
async def test_a_device_is_kept_until_it_has_been_missing_for_long(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    missing: str,
    after_restart: bool,
) -> None:
    """Several lists in quick succession are no more evidence that a device is gone than one."""
    entry_id = live_entry.entry_id
    if missing == "everything":
        sim.accounts[DEMO_USER].roles.clear()
        left = 0
    else:
        sim.remove_charger(next(iter(sim.chargers)))
        left = 2
    if after_restart:
        await hass.config_entries.async_reload(entry_id)
    for _ in range(10):
        await live_entry.runtime_data.coordinator.async_refresh()
        assert len(dr.async_entries_for_config_entry(device_registry, entry_id)) == 3
        await time_machine.travel(300, step=60)
    # 50 minutes have passed, and the next list is more than an hour after the first.
    await time_machine.travel(900, step=60)
    await live_entry.runtime_data.coordinator.async_refresh()
    assert len(dr.async_entries_for_config_entry(device_registry, entry_id)) == left


async def test_a_write_under_way_at_unload_leaves_no_timer(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
) -> None:
    """A write that finishes after the unload waits for no confirmation, so it starts no timer."""
    runtime = live_entry.runtime_data
    charger_id = next(iter(sim.chargers))
    release = asyncio.Event()

    async def write() -> None:
        await release.wait()

    task = hass.async_create_task(
        runtime.confirmations.async_send(
            charger_id, StateId.CHARGER_MAX_CURRENT, write()
        )
    )
    await asyncio.sleep(0)
    assert await hass.config_entries.async_unload(live_entry.entry_id)
    release.set()
    await task


async def remove(hass: HomeAssistant, entry_id: str) -> None:
    """Remove an entry."""
    await hass.config_entries.async_remove(entry_id)


async def disable(hass: HomeAssistant, entry_id: str) -> None:
    """Disable an entry."""
    await hass.config_entries.async_set_disabled_by(entry_id, ConfigEntryDisabler.USER)


@pytest.mark.parametrize("leave", [remove, disable])
@pytest.mark.parametrize("scenario", [Scenario.of(2)], ids=["shared installation"])
async def test_two_accounts_that_see_the_same_installation(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    leave: Callable[[HomeAssistant, str], Awaitable[None]],
) -> None:
    """One account shows the installation; when it is removed or disabled, the other takes over.

    An installation has a single subscription, which two accounts cannot share.
    """
    first = sim.accounts[DEMO_USER]
    sim.accounts["partner@example.com"] = replace(
        first, user_name="partner@example.com", roles=dict(first.roles)
    )
    second = add_entry(hass, sim, "partner@example.com")
    await set_up(hass, second)
    assert second.state is ConfigEntryState.LOADED
    assert not second.runtime_data.coordinator.data.chargers
    assert not second.runtime_data.links
    topic = next(iter(sim.installations.values())).topic
    assert sim.bus.consumers(topic) == 1

    # A reload, as after a change of options, does not hand over the installation.
    await hass.config_entries.async_reload(live_entry.entry_id)
    await second.runtime_data.coordinator.async_refresh()
    await wait_until_live(hass, live_entry)
    assert len(live_entry.runtime_data.coordinator.data.chargers) == 2
    assert not second.runtime_data.coordinator.data.chargers
    await hass.config_entries.async_unload(live_entry.entry_id)
    await second.runtime_data.coordinator.async_refresh()
    assert not second.runtime_data.coordinator.data.chargers
    await hass.config_entries.async_setup(live_entry.entry_id)
    await wait_until_live(hass, live_entry)

    await leave(hass, live_entry.entry_id)
    await wait_until(lambda: len(second.runtime_data.coordinator.data.chargers) == 2)
    await wait_until_live(hass, second)
    assert sim.bus.consumers(topic) == 1
    charger = next(iter(sim.chargers.values()))
    charger.plug_in(Car())
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )


async def test_unload_while_a_link_is_being_opened_closes_it(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """An unload during opening closes the socket, which the library itself does not close."""
    sim.bus.stall_sasl = True
    await set_up(hass, entry)
    await wait_until(lambda: sim.bus.connections == 1)
    gc.disable()
    try:
        assert await hass.config_entries.async_unload(entry.entry_id)
        await wait_until(lambda: sim.bus.connections == 0)
    finally:
        gc.enable()
