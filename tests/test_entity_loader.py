"""How entities are added: a few at a time, each once, and none while Home Assistant unloads."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import EntityPlatform
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec import entity_loader
from custom_components.zaptec.api import Account
from custom_components.zaptec.const import CHARGERS_AT_ONCE, DOMAIN
from custom_components.zaptec.devices.adoption import async_get_device
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import wait_until, wait_until_live

pytestmark = pytest.mark.parametrize("scenario", [Scenario.of(13)])


def of_device(hass: HomeAssistant, entry: MockConfigEntry, device_id: str) -> set[str]:
    """Return the ids of the entities of a device."""
    registry = er.async_get(hass)
    return {
        item.entity_id
        for item in er.async_entries_for_config_entry(registry, entry.entry_id)
        if item.unique_id.startswith(device_id)
    }


async def test_few_entities_are_added_at_once(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many chargers there are, an iteration of the event loop adds few entities."""
    iterations = 0
    added: Counter[int] = Counter()
    add = EntityPlatform.async_add_entities

    def count() -> None:
        nonlocal iterations, handle
        iterations += 1
        handle = hass.loop.call_soon(count)

    async def record(
        self: EntityPlatform, new_entities: Iterable[Entity], *args: Any, **kwargs: Any
    ) -> None:
        entities = list(new_entities)
        if self.platform_name == DOMAIN:
            added[iterations] += len(entities)
        await add(self, entities, *args, **kwargs)

    handle = hass.loop.call_soon(count)
    monkeypatch.setattr(EntityPlatform, "async_add_entities", record)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    handle.cancel()
    assert max(added.values()) <= entity_loader.ENTITIES_AT_ONCE
    assert added.total() > 30 * len(sim.chargers)
    listeners = entry.runtime_data.listeners
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert len(listeners) == 0


async def test_an_account_that_is_unloaded_while_entities_are_added(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unloading ends the adding, and the next set-up adds each entity once."""
    monkeypatch.setattr(entity_loader, "ENTITIES_AT_ONCE", 1)
    assert await hass.config_entries.async_setup(entry.entry_id)
    runtime = entry.runtime_data
    assert await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()
    assert {
        state.state for state in hass.states.async_all(("sensor", "binary_sensor"))
    } == {STATE_UNAVAILABLE}
    await wait_until(lambda: runtime.round_robin.is_idle)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    for charger_id in sim.chargers:
        assert of_device(hass, entry, charger_id)
    assert not [
        state
        for state in hass.states.async_all(("sensor", "binary_sensor"))
        if state.state == STATE_UNAVAILABLE
    ]
    assert "already exists" not in caplog.text


async def test_a_charger_that_leaves_while_its_entities_wait(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No entity is added for a charger that has left, and each one once when it is back."""
    monkeypatch.setattr(entity_loader, "ENTITIES_AT_ONCE", 1)

    def show(account: Account) -> None:
        entry.runtime_data.ownership.visible = account
        entry.runtime_data.coordinator.show(account)

    accounts: list[Account] = []

    def leave() -> None:
        account = entry.runtime_data.coordinator.data
        last = list(account.chargers)[-1]
        assert not of_device(hass, entry, last)
        accounts.append(account)
        show(account.subset(account.device_ids - {last}))

    def leave_soon() -> None:
        if entry.state is ConfigEntryState.LOADED:
            # The loaders have put the entities into their queues until then.
            hass.loop.call_soon(leave)

    entry.async_on_unload(entry.async_on_state_change(leave_soon))
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until(lambda: bool(accounts))
    await wait_until_live(hass, entry)
    (account,) = accounts
    *others, last = account.chargers
    for charger_id in others:
        assert of_device(hass, entry, charger_id)
    assert not of_device(hass, entry, last)
    show(account)
    await wait_until_live(hass, entry)
    assert len(of_device(hass, entry, last)) == len(of_device(hass, entry, others[-1]))
    assert "already exists" not in caplog.text


async def test_a_charger_that_leaves_during_the_set_up(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The set-up adds no entity of a charger that another account shows meanwhile."""
    monkeypatch.setattr(entity_loader, "ENTITIES_AT_ONCE", 1)
    setting_up = hass.async_create_task(
        hass.config_entries.async_setup(entry.entry_id), eager_start=True
    )
    await wait_until(
        lambda: any(of_device(hass, entry, charger_id) for charger_id in sim.chargers)
    )
    runtime = entry.runtime_data
    account = runtime.coordinator.data
    order = sorted(account.chargers, key=runtime.reader.reading_order)
    left = order[CHARGERS_AT_ONCE - 1]
    assert entry.state is ConfigEntryState.SETUP_IN_PROGRESS
    assert not of_device(hass, entry, left)
    runtime.ownership.visible = account.subset(account.device_ids - {left})
    runtime.coordinator.show(runtime.ownership.visible)
    assert await setting_up
    await wait_until_live(hass, entry)
    assert not of_device(hass, entry, left)
    runtime.ownership.visible = account
    runtime.coordinator.show(account)
    await wait_until_live(hass, entry)
    assert of_device(hass, entry, left)


async def test_an_entity_that_cannot_be_created(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All entities are added but the one whose creation fails, and the log shows the error."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    added: list[Entity] = []
    entities = [Entity() for _ in range(2 * entity_loader.ENTITIES_AT_ONCE)]

    def fail() -> Entity:
        raise ZeroDivisionError

    queue = entity_loader.EntityQueue(
        entry, lambda chunk, *args, **kwargs: added.extend(chunk)
    )
    for number, entity in enumerate(entities):
        if number == 5:
            queue.put("device", fail)
        queue.put("device", partial(lambda each: each, entity))
    await queue.async_run()
    assert added == entities
    assert caplog.text.count("Unexpected error while adding entities") == 1


async def test_entities_do_not_register_their_devices(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each device is registered once, and each entity is an entity of its device."""
    registered: list[set[tuple[str, str]]] = []
    register = dr.DeviceRegistry.async_get_or_create

    def record(
        self: dr.DeviceRegistry, *, identifiers: set[tuple[str, str]], **kwargs: Any
    ) -> dr.DeviceEntry:
        registered.append(identifiers)
        return register(self, identifiers=identifiers, **kwargs)

    monkeypatch.setattr(dr.DeviceRegistry, "async_get_or_create", record)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    assert len(registered) == len(sim.chargers) + len(sim.installations)
    devices = dr.async_get(hass)
    for item in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id):
        assert item.device_id
        device = devices.async_get(item.device_id)
        assert device
        assert device.identifiers == {(DOMAIN, item.unique_id.partition("_")[0])}


async def test_an_installation_that_comes_back_has_its_entities_again(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The entities of an installation that was removed are added when it is back."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    runtime = entry.runtime_data
    account = runtime.coordinator.data
    installation_id = next(iter(sim.installations))
    found = of_device(hass, entry, installation_id)

    def show(account: Account) -> None:
        runtime.ownership.visible = account
        runtime.coordinator.show(account)

    without = account.subset(account.device_ids - {installation_id})
    show(without)
    device = async_get_device(hass, entry.entry_id, installation_id)
    assert device
    dr.async_get(hass).async_remove_device(device.id)
    await hass.async_block_till_done()
    assert not of_device(hass, entry, installation_id)

    # It is gone again before its entities are added.
    show(account)
    show(without)
    await wait_until(lambda: runtime.round_robin.is_idle)
    await hass.async_block_till_done()
    assert not of_device(hass, entry, installation_id)
    show(account)
    await wait_until_live(hass, entry)
    assert of_device(hass, entry, installation_id) == found
    assert "already exists" not in caplog.text
