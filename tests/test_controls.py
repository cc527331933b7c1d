"""Controls whose request does not succeed: what a person is told."""

from homeassistant.components.number import (
    ATTR_VALUE,
    DOMAIN as NUMBER_DOMAIN,
    SERVICE_SET_VALUE,
)
from homeassistant.const import ATTR_ENTITY_ID, SERVICE_TURN_OFF, Platform
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.car import Car
from simulator.charger import Charger
from simulator.faults import Fault
from simulator.simulator import Simulator

from .conftest import EntityFinder

CONTROLS = ["switch", "charger number", "installation number"]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a command up sooner, and repeat it without a pause."""
    transport = "custom_components.zaptec.api.transport"
    monkeypatch.setattr(f"{transport}.COMMAND_TIMEOUT", 0.5)
    monkeypatch.setattr(f"{transport}.BACKOFF_BASE", 0.0)
    monkeypatch.setattr(f"{transport}.RETRY_AFTER_MAX", 0.0)


async def press(
    hass: HomeAssistant, entities: EntityFinder, charger: Charger, control: str
) -> None:
    """Use a control."""
    if control == "switch":
        await hass.services.async_call(
            Platform.SWITCH,
            SERVICE_TURN_OFF,
            {
                ATTR_ENTITY_ID: entities.id(
                    "switch", charger.id, "charger_operation_mode"
                )
            },
            blocking=True,
        )
        return
    number = (
        entities.id("number", charger.id, "charger_max_current")
        if control == "charger number"
        else entities.id("number", charger.installation.id, "available_current")
    )
    await hass.services.async_call(
        NUMBER_DOMAIN,
        SERVICE_SET_VALUE,
        {ATTR_ENTITY_ID: number, ATTR_VALUE: 11},
        blocking=True,
    )


@pytest.mark.parametrize(
    ("fault", "sentence", "times"),
    [
        (403, "not_permitted", 1),
        ("reset", "cannot_connect", 1),
        ("hang", "cannot_connect", 1),
        (500, "rejected", 1),
        (502, "uncertain", 1),
        (404, "command_failed", 1),
    ],
)
@pytest.mark.parametrize("control", CONTROLS)
async def test_a_failed_control_tells_why_and_is_sent_once(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    control: str,
    fault: Fault,
    sentence: str,
    times: int,
) -> None:
    """Each failure has its sentence, and nothing is changed."""
    charger.plug_in(Car())
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )
    sim.rest.fail("/(update|sendCommand)", fault=fault)
    sim.rest.clear()
    with pytest.raises(HomeAssistantError) as raised:
        await press(hass, entities, charger, control)
    assert raised.value.translation_key == sentence
    assert [record.method for record in sim.rest.requests].count("POST") == times
    assert charger.max_current == 32
    assert not charger.final_stop


@pytest.mark.parametrize("control", CONTROLS)
async def test_a_busy_cloud_is_asked_again_and_then_told_of(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    control: str,
) -> None:
    """What was certainly not carried out may be repeated."""
    charger.plug_in(Car())
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )
    sim.rest.fail("/(update|sendCommand)", fault=429, times=1)
    await press(hass, entities, charger, control)

    sim.rest.fail("/(update|sendCommand)", fault=503)
    with pytest.raises(HomeAssistantError) as raised:
        await hass.services.async_call(
            NUMBER_DOMAIN,
            SERVICE_SET_VALUE,
            {
                ATTR_ENTITY_ID: entities.id(
                    "number", charger.id, "charger_max_current"
                ),
                ATTR_VALUE: 12,
            },
            blocking=True,
        )
    assert raised.value.translation_key in ("cloud_busy", "cannot_connect")


async def test_a_control_with_a_password_that_no_longer_counts(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says so, and the reauthentication starts."""
    # Sign-ins are a second apart.
    monkeypatch.setattr("custom_components.zaptec.api.transport.COMMAND_TIMEOUT", 10.0)
    sim.set_password(next(iter(sim.accounts)), "another")
    with pytest.raises(HomeAssistantError) as raised:
        await press(hass, entities, charger, "charger number")
    assert raised.value.translation_key == "authentication_failed"
    await hass.async_block_till_done()
    assert len(hass.config_entries.flow.async_progress()) == 1
