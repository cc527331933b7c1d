"""EV Charger Card, as of November 2026.

Its code: src/templates/const_zaptec.ts, src/editor.ts, src/charger-card.ts.
"""

from homeassistant.components.sensor import ATTR_OPTIONS
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.car import Car
from simulator.charger import Charger
from tests.time_machine import TimeMachine

from .conftest import blocks, call, entity_ids, state_of, wait_for

CHARGER_CARD_MAIN = "binary_sensor.garage_charger"
CHARGER_CARD_BASE = "_charger"
# The entities of the card's built-in template that this integration has, by prefix.
CHARGER_CARD_TEMPLATE = (
    "binary_sensor.{}_online",
    "binary_sensor.{}_permanent_cable_lock",
    "sensor.{}_charge_power",
    "sensor.{}_charger_mode",
    "sensor.{}_completed_session_energy",
    "sensor.{}_energy_meter",
    "sensor.{}_voltage_phase_1",
)


async def test_the_charger_cards_own_template_finds_its_entities(
    hass: HomeAssistant,
    entity_registry: er.EntityRegistry,
    device: dr.DeviceEntry,
) -> None:
    """The card derives all entity ids from that of the charger's binary sensor."""
    prefix = CHARGER_CARD_MAIN.split(".")[1].replace(CHARGER_CARD_BASE, "")
    main = state_of(hass, CHARGER_CARD_MAIN)
    assert main.attributes["name"] == "Garage"
    assert main.attributes["installation_name"] == "Home"
    entity = entity_registry.async_get(CHARGER_CARD_MAIN)
    assert entity
    assert entity.device_id == device.id
    for template in CHARGER_CARD_TEMPLATE:
        assert hass.states.get(template.format(prefix)), template


async def test_the_charger_card_shows_and_does_what_the_page_says(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """The card has a text for each mode, its buttons work, and its list sets the current."""
    [card] = blocks("EV Charger Card")
    details = card["details"]
    # The card shows a stray 0 below the mode unless this text is a space.
    assert details["substatus"] == " "
    assert set(details["statetext"]) == set(
        state_of(hass, card["entity"]).attributes[ATTR_OPTIONS]
    )
    assert entity_ids(card) - set(hass.states.async_entity_ids()) == set()
    stop, resume = details["toolbar_left"]["default"]
    [restart] = details["toolbar_right"]["default"]
    charger.plug_in(Car())
    await time_machine.travel(60)
    await call(hass, stop["service"], stop["service_data"])
    await time_machine.travel(30)
    await wait_for(hass, card["entity"], "connected_finished")
    await call(hass, resume["service"], resume["service_data"])
    await time_machine.travel(30)
    await wait_for(hass, card["entity"], "connected_charging")

    [limit] = details["group1"]
    for current in details["currentlimits"]:
        # The card replaces texts, so the values must be strings.
        await call(
            hass,
            limit["service"],
            {
                key: value.replace("#SERVICEVAL#", str(current))
                for key, value in limit["service_data"].items()
            },
        )
        assert charger.max_current == current
    await wait_for(hass, limit["entity_id"], "32.0")

    await call(hass, restart["service"], restart["service_data"])
    await time_machine.travel(5)
    assert not charger.is_online
