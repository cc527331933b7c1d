"""Sensors that remember: the session's energy and the lifetime meter."""

import asyncio
from dataclasses import replace
import json
import uuid

from homeassistant.components.sensor import ATTR_LAST_RESET
from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    mock_restore_cache_with_extra_data,
)

from custom_components.zaptec.api import Charger as ZaptecCharger, Family
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.energy import ZaptecCycleSensor
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, set_up, wait_until, wait_until_live
from .home import Home
from .time_machine import calm_down

SESSION_ENERGY = "total_charge_power_session"
METER = "signed_meter_value_kwh"


async def test_each_session_has_its_own_reset(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """The last reset changes with each new session, and at no other time."""
    entity_id = entities.id("sensor", charger.id, SESSION_ENERGY)

    def last_reset() -> str | None:
        state = hass.states.get(entity_id)
        assert state
        return state.attributes.get(ATTR_LAST_RESET)

    assert last_reset() is None
    charger.plug_in(Car())
    await time_machine.travel(120)
    first = last_reset()
    assert first is not None
    charger.unplug()
    await time_machine.travel(60)
    # A Go keeps the energy of the last session, so the last reset is kept as well.
    assert last_reset() == first
    assert float(entities.state("sensor", charger.id, SESSION_ENERGY)) > 0

    charger.plug_in(Car())
    await time_machine.travel(60)
    second = last_reset()
    assert second is not None
    assert second > first
    charger.unplug()
    await time_machine.travel(10)


@pytest.mark.parametrize("identifier_first", [True, False])
async def test_the_energy_and_its_reset_move_in_one_state(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    identifier_first: bool,
) -> None:
    """Energy and last reset change in the same state, whichever message of a session comes first.

    Statistics would otherwise count energy twice, or take it back.
    """
    entity_id = entities.id("sensor", charger.id, SESSION_ENERGY)
    sessions = [
        "0d6f3c50-0000-4000-8000-000000000001",
        "0d6f3c50-0000-4000-8000-000000000002",
    ]
    charger.observe(721, sessions[0])
    charger.observe(553, 0.0)
    charger.observe(553, 12.3)
    await entities.wait_for("sensor", charger.id, SESSION_ENERGY, "12.3")
    # A correction is not a new session.
    charger.observe(553, 12.1)
    await entities.wait_for("sensor", charger.id, SESSION_ENERGY, "12.1")
    await time_machine.travel(600)

    states: list[tuple[str, object]] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        if event.data["entity_id"] == entity_id and (new := event.data["new_state"]):
            states.append((new.state, new.attributes.get(ATTR_LAST_RESET)))

    before = hass.states.get(entity_id)
    assert before
    first_reset = before.attributes[ATTR_LAST_RESET]
    hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    if identifier_first:
        charger.observe(721, sessions[1])
        charger.observe(553, 0.0)
    else:
        charger.observe(553, 0.0)
        charger.observe(721, sessions[1])
    charger.observe(553, 0.5)
    await entities.wait_for("sensor", charger.id, SESSION_ENERGY, "0.5")
    energies = [float(state) for state, _ in states if state != STATE_UNKNOWN]
    assert energies[-1] == 0.5
    assert 12.1 not in energies
    resets = {reset for state, reset in states if state != STATE_UNKNOWN}
    assert len(resets) == 1
    assert first_reset not in resets


async def test_a_reload_in_mid_session_does_not_move_its_start(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """A reload keeps the last reset to the microsecond, or statistics would count energy twice."""
    entity_id = entities.id("sensor", charger.id, SESSION_ENERGY)
    charger.plug_in(Car())
    await time_machine.travel(300)
    before = hass.states.get(entity_id)
    assert before
    assert before.attributes[ATTR_LAST_RESET]

    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(60)
    after = hass.states.get(entity_id)
    assert after
    assert float(after.state) >= float(before.state)
    assert after.attributes[ATTR_LAST_RESET] == before.attributes[ATTR_LAST_RESET]


async def test_a_session_that_has_not_begun_to_charge_shows_none(
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """A session that has not charged yet shows 0, not unknown."""
    charger.observe(553, 0.0)
    await entities.wait_for("sensor", charger.id, SESSION_ENERGY, "0.0")
    await time_machine.travel(600)
    charger.observe(721, "0d6f3c50-0000-4000-8000-000000000003")
    charger.observe(553, 0.0)
    charger.observe(501, 3.0)
    await entities.wait_for("sensor", charger.id, "voltage_phase1", "3.0")
    assert entities.state("sensor", charger.id, SESSION_ENERGY) == "0.0"


async def test_the_meter_starts_where_it_was(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
    entity_registry: er.EntityRegistry,
) -> None:
    """After a restart the meter never falls, whatever value the cloud reports first."""
    entity = entity_registry.async_get_or_create(
        "sensor", DOMAIN, f"{charger.id}_{METER}", config_entry=entry
    )
    mock_restore_cache_with_extra_data(
        hass,
        [
            (
                State(entity.entity_id, "99999.5"),
                {"native_value": 99999.5, "native_unit_of_measurement": "kWh"},
            )
        ],
    )
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    assert charger.lifetime_energy < 99999.5
    assert entities.state("sensor", charger.id, METER) == "99999.5"


async def test_a_meter_reading_of_the_list(
    charger: Charger, live_entry: MockConfigEntry, entities: EntityFinder
) -> None:
    """A reading that only the hourly list has is shown, too."""
    chargers = live_entry.runtime_data.coordinator.data.chargers
    chargers[charger.id] = replace(chargers[charger.id], signed_meter_value_kwh=2000.5)
    charger.observe(553, 0.1)
    await entities.wait_for("sensor", charger.id, METER, "2000.5")


@pytest.mark.parametrize(
    ("reading", "shown"),
    [
        ("OCMF|" + json.dumps({"RD": [{"RV": 2000.25, "RU": "kWh"}]}), "2000.25"),
        ("OCMF|" + json.dumps({"RD": [{"RV": 2000250, "RU": "Wh"}]}), "2000.25"),
        ("OCMF|" + json.dumps({"RD": [{"RV": 1.0, "RU": "kWh"}]}), None),
        ("OCMF|" + json.dumps({"RD": []}), None),
        ("", None),
        ("damaged", None),
    ],
)
async def test_the_meter_never_falls(
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    reading: str,
    shown: str | None,
) -> None:
    """A lower reading, or a reading without a value, does not lower the meter."""
    before = entities.state("sensor", charger.id, METER)
    assert before not in (STATE_UNKNOWN, "0.0")
    charger.observe(554, reading)
    charger.observe(501, 7.0)
    await entities.wait_for("sensor", charger.id, "voltage_phase1", "7.0")
    assert entities.state("sensor", charger.id, METER) == (shown or before)


async def test_a_device_of_another_kind_gets_what_it_reports(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    device_registry: dr.DeviceRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Entities of other device types appear with their first values, also for a new device."""
    monkeypatch.setattr(ZaptecCharger, "family", Family.OTHER)
    del charger.observations[513]

    def keys(charger: Charger) -> set[str]:
        return {
            entity.unique_id.removeprefix(f"{charger.id}_")
            for entity in er.async_entries_for_config_entry(
                entity_registry, entry.entry_id
            )
            if entity.unique_id.startswith(charger.id)
        }

    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    assert METER in keys(charger)
    assert "total_charge_power" not in keys(charger)
    charger.observe(513, 5.0)
    await wait_until(lambda: "total_charge_power" in keys(charger))

    newcomer = sim.add_charger(
        charger.installation.id, serial="ZAP000778", name="Newcomer"
    )
    newcomer.observe(513, 6.0)
    await wait_until(lambda: METER in keys(newcomer))
    device = device_registry.async_get_device_by_identifier(
        (DOMAIN, newcomer.id), entry.entry_id
    )
    assert device
    assert all(
        entity.device_id == device.id
        for entity in er.async_entries_for_config_entry(entity_registry, entry.entry_id)
        if entity.unique_id.startswith(newcomer.id)
    )
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_session_that_ended_unseen(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """If a session ended while Home Assistant was down, the last reset changes with the energy.

    Statistics would otherwise subtract the energy of the last session.
    """
    reset = "2026-11-20T10:00:00+00:00"
    mock_restore_cache_with_extra_data(
        hass,
        [
            (
                State(
                    "sensor.space_1_session_total_charge", "10.0", {"last_reset": reset}
                ),
                {"native_value": 10.0, "native_unit_of_measurement": "kWh"},
            )
        ],
    )
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    state = hass.states.get(entities.id("sensor", charger.id, SESSION_ENERGY))
    assert state
    assert float(state.state) == 0
    assert state.attributes[ATTR_LAST_RESET] > reset


async def test_a_sensor_that_is_added_during_an_unload(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first session that ends just before a reload leaves a sensor that goes on.

    Home Assistant writes the state of the sensor that is still being added, which must
    not block the id of the next one.
    """
    looked_up, is_asked = asyncio.Event(), asyncio.Event()

    async def look_up(_sensor: ZaptecCycleSensor) -> None:
        is_asked.set()
        await looked_up.wait()

    with monkeypatch.context() as patch:
        patch.setattr(ZaptecCycleSensor, "_async_last_recorded", look_up)
        session = {"SessionId": str(uuid.uuid4()), "Energy": 1.5}
        home.charger.observe(StateId.COMPLETED_SESSION, json.dumps(session))
        async with asyncio.timeout(10):
            await is_asked.wait()
        stopping = asyncio.create_task(home.stop())
        await calm_down()
        looked_up.set()
        await stopping
    assert home.state("sensor", "completed_session.Energy") == STATE_UNAVAILABLE
    # The cloud answers a reading from a cache for 15 s.
    await home.travel(20)
    await home.start()
    await home.wait_for("sensor", "completed_session.Energy", "1.5")
    session = {"SessionId": str(uuid.uuid4()), "Energy": 2.5}
    home.charger.observe(StateId.COMPLETED_SESSION, json.dumps(session))
    await home.wait_for("sensor", "completed_session.Energy", "2.5")
