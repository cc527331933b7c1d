"""The main job over real sockets: plug in a car, and Home Assistant shows it."""

from collections import Counter

from homeassistant.components.number import (
    ATTR_VALUE,
    DOMAIN as NUMBER_DOMAIN,
    SERVICE_SET_VALUE,
)
from homeassistant.const import (
    ATTR_ENTITY_ID,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_OFF,
    STATE_ON,
    Platform,
)
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import Charger
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import (
    EntityFinder,
    TimeMachine,
    add_entry,
    set_up,
    wait_until,
    wait_until_live,
)

# Unique ids must never change: the history of users and other programs depend on them.
CHARGER_ENTITIES = {
    "binary_sensor": (
        "authentication_required car_connected charging is_enabled is_online "
        "is_stand_alone permanent_cable_lock problem"
    ),
    "button": (
        "deauthorize_and_stop restart_charger resume_charging stop_charging_final "
        "upgrade_firmware"
    ),
    "event": "card session",
    "number": (
        "charger_max_current charger_min_current meter_value_interval offline_current"
    ),
    "sensor": (
        "available_current cable_type charge_current_set charger_operation_mode "
        "charging_status communication_mode completed_session_duration completed_session_end "
        "completed_session_start current_phase1 current_phase2 current_phase3 device_type "
        "humidity network_type set_phases signal_quality signal_strength "
        "signed_meter_value_kwh temperature_internal5 total_charge_power "
        "total_charge_power_session voltage_phase1 voltage_phase2 voltage_phase3 "
        "warnings"
    ),
    "switch": "auto_start charger_operation_mode",
    "update": "firmware_update",
}
INSTALLATION_ENTITIES = {
    "binary_sensor": "is_required_authentication",
    "number": "available_current three_to_one_phase_switch_current",
    "sensor": (
        "authentication_type available_current_phase1 available_current_phase2 "
        "available_current_phase3 installation_type last_message max_current "
        "network_type pending_available_current pending_until push_status"
    ),
}


def unique_ids(device_id: str, keys: dict[str, str]) -> set[tuple[str, str]]:
    """Return the platform and key of each entity of a device."""
    return {("binary_sensor", device_id)} | {
        (platform, f"{device_id}_{key}")
        for platform, names in keys.items()
        for key in names.split()
    }


LISTS = {("GET", "/api/installation"), ("GET", "/api/chargers")}


def requests(sim: Simulator) -> Counter[tuple[str, str]]:
    """Return the requests since the last call."""
    counted = Counter((record.method, record.path) for record in sim.rest.requests)
    sim.rest.clear()
    return counted


async def test_devices_and_entities_appear(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    device_registry: dr.DeviceRegistry,
    entity_registry: er.EntityRegistry,
) -> None:
    """The charger's device is connected via its installation, and has all its entities."""
    installation = device_registry.async_get_device_by_identifier(
        (DOMAIN, charger.installation.id), live_entry.entry_id
    )
    device = device_registry.async_get_device_by_identifier(
        (DOMAIN, charger.id), live_entry.entry_id
    )
    assert installation
    assert device
    assert device.via_device_id == installation.id
    assert device.model == "Zaptec Go"
    assert device.serial_number == charger.serial
    assert device.sw_version == charger.firmware
    assert {
        (entity.domain, entity.unique_id)
        for entity in er.async_entries_for_config_entry(
            entity_registry, live_entry.entry_id
        )
    } == unique_ids(charger.id, CHARGER_ENTITIES) | unique_ids(
        charger.installation.id, INSTALLATION_ENTITIES
    )
    assert requests(sim) == Counter(
        {
            ("POST", "/oauth/token"): 1,
            ("GET", "/api/installation"): 1,
            ("GET", "/api/chargers"): 1,
            (
                "GET",
                f"/api/installation/{charger.installation.id}/messagingConnectionDetails",
            ): 1,
            ("GET", f"/api/chargerFirmware/installation/{charger.installation.id}"): 1,
            ("GET", f"/api/chargers/{charger.id}/state"): 1,
        }
    )


async def test_a_plugged_in_car_shows_at_once_without_a_request(
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """Plugging in a car changes the mode by the message alone, without a request."""
    requests(sim)
    assert entities.state("sensor", charger.id, "charger_operation_mode") == (
        "disconnected"
    )
    assert entities.state("binary_sensor", charger.id, "car_connected") == STATE_OFF
    charger.plug_in(Car())
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )
    assert entities.state("binary_sensor", charger.id, "car_connected") == STATE_ON
    assert not requests(sim)


async def test_a_charge_runs_to_its_end(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """Session and lifetime energy at the end match the simulator's own integral."""
    charger.plug_in(Car(capacity_kwh=4.0))
    await time_machine.travel(120)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_charging"
    )
    assert entities.state("binary_sensor", charger.id, "charging") == STATE_ON
    power = float(entities.state("sensor", charger.id, "total_charge_power"))
    assert power == pytest.approx(
        sum(
            float(entities.state("sensor", charger.id, f"voltage_phase{phase}"))
            * float(entities.state("sensor", charger.id, f"current_phase{phase}"))
            for phase in (1, 2, 3)
        ),
        rel=0.05,
    )
    await time_machine.travel(50 * 60, step=10)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_finished"
    )
    assert charger.session_energy == pytest.approx(4.0, abs=0.01)
    await wait_until(
        lambda: (
            float(entities.state("sensor", charger.id, "total_charge_power_session"))
            == pytest.approx(charger.session_energy, abs=0.01)
        )
    )
    assert float(entities.state("sensor", charger.id, "total_charge_power")) == 0

    charger.unplug()
    await time_machine.travel(15)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "disconnected"
    )
    await wait_until(
        lambda: (
            float(entities.state("sensor", charger.id, "signed_meter_value_kwh"))
            == pytest.approx(charger.lifetime_energy, abs=0.01)
        )
    )


async def test_the_charging_switch_pauses_and_resumes(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """The switch follows the pushed confirmation; a command without effect is not sent."""
    switch = entities.id("switch", charger.id, "charger_operation_mode")
    charger.plug_in(Car())
    await time_machine.travel(60)
    await entities.wait_for("switch", charger.id, "charger_operation_mode", STATE_ON)
    requests(sim)

    await hass.services.async_call(
        Platform.SWITCH, SERVICE_TURN_OFF, {ATTR_ENTITY_ID: switch}, blocking=True
    )
    await time_machine.travel(30)
    await entities.wait_for("switch", charger.id, "charger_operation_mode", STATE_OFF)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_finished"
    )
    await hass.services.async_call(
        Platform.SWITCH, SERVICE_TURN_OFF, {ATTR_ENTITY_ID: switch}, blocking=True
    )
    assert requests(sim) == Counter(
        {("POST", f"/api/chargers/{charger.id}/sendCommand/506"): 1}
    )

    await hass.services.async_call(
        Platform.SWITCH, SERVICE_TURN_ON, {ATTR_ENTITY_ID: switch}, blocking=True
    )
    await time_machine.travel(30)
    await entities.wait_for("switch", charger.id, "charger_operation_mode", STATE_ON)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_charging"
    )
    assert requests(sim) == Counter(
        {("POST", f"/api/chargers/{charger.id}/sendCommand/507"): 1}
    )


async def test_the_max_current_is_set_and_confirmed_by_push(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """The number follows the charger's confirmation; a value out of range is refused."""
    number = entities.id("number", charger.id, "charger_max_current")
    requests(sim)
    await hass.services.async_call(
        NUMBER_DOMAIN,
        SERVICE_SET_VALUE,
        {ATTR_ENTITY_ID: number, ATTR_VALUE: 10.5},
        blocking=True,
    )
    await entities.wait_for("number", charger.id, "charger_max_current", "10.5")
    assert charger.max_current == 10.5
    with pytest.raises(ServiceValidationError):
        await hass.services.async_call(
            NUMBER_DOMAIN,
            SERVICE_SET_VALUE,
            {ATTR_ENTITY_ID: number, ATTR_VALUE: 33},
            blocking=True,
        )
    assert charger.max_current == 10.5
    assert requests(sim) == Counter({("POST", f"/api/chargers/{charger.id}/update"): 1})


async def test_the_available_current_limits_the_chargers(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """The number shows the accepted current, and messages show its effect on the chargers."""
    charger.plug_in(Car())
    await time_machine.travel(60)
    number = entities.id("number", charger.installation.id, "available_current")
    await hass.services.async_call(
        NUMBER_DOMAIN,
        SERVICE_SET_VALUE,
        {ATTR_ENTITY_ID: number, ATTR_VALUE: 8.5},
        blocking=True,
    )
    assert (
        entities.state("number", charger.installation.id, "available_current") == "8.5"
    )
    await time_machine.travel(30)
    await entities.wait_for("sensor", charger.id, "charge_current_set", "8.5")
    # The next discovery shows the same current.
    await time_machine.travel(3610, step=15)
    assert (
        entities.state("number", charger.installation.id, "available_current") == "8.5"
    )


@pytest.mark.parametrize(
    ("scenario", "charging"),
    [
        (Scenario.of(1), False),
        (Scenario.of(1), True),
        (Scenario.of(30), False),
        (Scenario.of(30), True),
    ],
    ids=["1 idle", "1 charging", "30 idle", "30 charging"],
)
async def test_an_hour_costs_two_lists_and_nothing_else(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charging: bool,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """An hour costs two requests for the lists, because everything else is pushed."""
    for charger in sim.chargers.values():
        if charging:
            charger.plug_in(Car(capacity_kwh=60))
    await time_machine.travel(60)
    requests(sim)
    await time_machine.travel(3600, step=15)
    assert requests(sim) == Counter(dict.fromkeys(LISTS, 1))
    for charger in sim.chargers.values():
        await entities.wait_for(
            "sensor",
            charger.id,
            "charger_operation_mode",
            "connected_charging" if charging else "disconnected",
        )
        assert (
            entities.state("sensor", charger.installation.id, "push_status")
            == "connected"
        )


@pytest.mark.parametrize("scenario", [Scenario.of(130)], ids=["130 chargers"])
async def test_all_pages_are_read_within_the_rate_limit(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """130 chargers on two pages are all read, with at most 10 requests in a second."""
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    assert len(sim.chargers) == 130
    for charger in sim.chargers.values():
        assert (
            entities.state("sensor", charger.id, "charger_operation_mode")
            == "disconnected"
        )
    await wait_until(lambda: len(entry.runtime_data.firmware.data) == 130)
    assert 0 < sim.rest.peak_per_second <= 10
    assert sum(requests(sim).values()) == 1 + 1 + 2 + 6 + 6 + 130


@pytest.mark.parametrize("scenario", [Scenario.default()], ids=["two accounts"])
async def test_two_accounts_do_not_disturb_each_other(
    hass: HomeAssistant,
    sim: Simulator,
    entities: EntityFinder,
    device_registry: dr.DeviceRegistry,
) -> None:
    """Unloading one account does not affect the other."""
    user_names = list(sim.accounts)
    sim.accounts[user_names[1]].roles = {
        installation_id: sim.accounts[user_names[0]].roles.pop(installation_id)
        for installation_id in list(sim.accounts[user_names[0]].roles)[1:]
    }
    first = add_entry(hass, sim, user_names[0])
    await set_up(hass, first)
    second = add_entry(hass, sim, user_names[1])
    await set_up(hass, second)
    await wait_until_live(hass, first)
    await wait_until_live(hass, second)
    assert len(first.runtime_data.coordinator.data.chargers) == 1
    assert len(second.runtime_data.coordinator.data.chargers) == 6

    assert await hass.config_entries.async_remove(first.entry_id)
    await hass.async_block_till_done()
    assert not dr.async_entries_for_config_entry(device_registry, first.entry_id)
    charger = next(
        charger
        for charger in sim.chargers.values()
        if charger.id in second.runtime_data.coordinator.data.chargers
    )
    charger.plug_in(Car())
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )
