"""EVSE Load Balancer 1.0.9: chargers/zaptec_charger.py, ha_device.py, coordinator.py."""

from collections.abc import Callable

from homeassistant.components.number import (
    ATTR_VALUE,
    DOMAIN as NUMBER_DOMAIN,
    SERVICE_SET_VALUE,
)
from homeassistant.const import ATTR_ENTITY_ID, STATE_ON
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import Charger
from simulator.simulator import Simulator
from tests.time_machine import TimeMachine, wait_until

from .conftest import call, number_of, state_of, table, wait_for

EVSE_LOAD_BALANCER = {
    "charger_max_current": "number.garage_charger_max_current",
    "available_current": "sensor.garage_available_current",
    "charger_operation_mode": "sensor.garage_charger_mode",
}


@pytest.fixture
def find(
    entity_registry: er.EntityRegistry, device: dr.DeviceEntry
) -> Callable[[str], er.RegistryEntry]:
    """Return a function that finds the charger's first entity with a translation key."""

    def first(translation_key: str) -> er.RegistryEntry:
        return next(
            entity
            for entity in entity_registry.entities.get_entries_for_device_id(
                device.id, include_disabled_entities=True
            )
            if entity.translation_key == translation_key
        )

    return first


async def test_the_evse_load_balancer_finds_its_entities(
    device: dr.DeviceEntry,
    entity_registry: er.EntityRegistry,
    find: Callable[[str], er.RegistryEntry],
) -> None:
    """The tool finds its entities on the charger's device, even after the user has changed them."""
    assert {domain for domain, _ in device.identifiers} == {DOMAIN}
    assert table("EVSE Load Balancer") == EVSE_LOAD_BALANCER
    for translation_key, entity_id in EVSE_LOAD_BALANCER.items():
        assert find(translation_key).entity_id == entity_id
        assert not find(translation_key).disabled
        # A change in the registry moves an entity to the end of the device's entities.
        entity_registry.async_update_entity(entity_id, icon="mdi:ev-station")
        assert find(translation_key).entity_id == entity_id


async def test_the_evse_load_balancer_reads_the_charger_mode(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    find: Callable[[str], er.RegistryEntry],
) -> None:
    """The charger mode has the states that the tool's status map expects."""
    entity_id = find("charger_operation_mode").entity_id
    await wait_for(hass, entity_id, "disconnected")
    charger.plug_in(Car(capacity_kwh=0.5))
    await wait_for(hass, entity_id, "connected_requesting")
    await time_machine.travel(60)
    await wait_for(hass, entity_id, "connected_charging")
    await time_machine.travel(1200, step=10)
    await wait_for(hass, entity_id, "connected_finished")


async def test_the_evse_load_balancer_sets_and_reads_its_limits(
    hass: HomeAssistant,
    charger: Charger,
    live_entry: MockConfigEntry,
    find: Callable[[str], er.RegistryEntry],
) -> None:
    """The tool sets whole amperes, and its upper limit is that of the installation."""
    limit = find("charger_max_current").entity_id
    for current in (16, 6, 0, 20):
        await call(
            hass,
            f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
            {ATTR_ENTITY_ID: limit, ATTR_VALUE: current},
        )
        await wait_until(lambda: int(number_of(hass, limit)) == charger.max_current)
        assert charger.max_current == current

    upper = find("available_current").entity_id
    assert int(number_of(hass, upper)) == 20
    await call(
        hass,
        f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
        {ATTR_ENTITY_ID: "number.home_available_current", ATTR_VALUE: 13},
    )
    assert int(number_of(hass, upper)) == 13


@pytest.mark.parametrize("current", [5, 3, 2, 1])
async def test_the_evse_load_balancer_pauses_a_charger_when_the_fuse_is_overloaded(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    find: Callable[[str], er.RegistryEntry],
    current: int,
) -> None:
    """The tool sets less current than a car can use, and raises it when the fuse allows."""
    mode = find("charger_operation_mode").entity_id
    limit = find("charger_max_current").entity_id

    async def set_current(value: int) -> None:
        await call(
            hass,
            f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
            {ATTR_ENTITY_ID: limit, ATTR_VALUE: value},
        )

    charger.plug_in(Car())
    await time_machine.travel(90)
    await wait_for(hass, mode, "connected_charging")
    for value in (13, current):
        await set_current(value)
        await time_machine.travel(30)
        assert int(number_of(hass, limit)) == value
    assert charger.power == 0
    # The tool only continues while a car is connected that may charge.
    assert state_of(hass, mode).state == "connected_requesting"
    await wait_for(hass, "switch.garage_charging", STATE_ON)
    await set_current(16)
    await time_machine.travel(60)
    await wait_for(hass, mode, "connected_charging")
    assert charger.power > 0


@pytest.fixture
def all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the entities that are disabled by default."""
    monkeypatch.setattr(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    )


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("number.garage_charger_min_current", "min_current_too_low"),
        ("number.garage_offline_current", "offline_current_invalid"),
        ("number.home_available_current", "current_too_low"),
    ],
)
@pytest.mark.parametrize("current", [1, 5, 5.9])
@pytest.mark.usefixtures("all_enabled", "live_entry")
async def test_other_currents_of_less_than_a_car_can_use_are_refused(
    hass: HomeAssistant, sim: Simulator, number: str, reason: str, current: float
) -> None:
    """Each setting refuses such a current with its own error, because its effect differs."""
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await call(
            hass,
            f"{NUMBER_DOMAIN}.{SERVICE_SET_VALUE}",
            {ATTR_ENTITY_ID: number, ATTR_VALUE: current},
        )
    assert raised.value.translation_key == reason
    assert not [item for item in sim.rest.requests if item.method == "POST"]
