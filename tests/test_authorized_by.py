"""The sensor of who authorized a session never shows enough to copy a card."""

import json

from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId

from .conftest import CARD, EntityFinder, TimeMachine, set_up, wait_until_live

NOW = "charger_current_user_uuid"
LAST = "completed_session.AuthenticationCode"


@pytest.fixture
async def enabled(
    hass: HomeAssistant, charger: Charger, entry: MockConfigEntry
) -> MockConfigEntry:
    """Set up an account whose sensors were registered by version 0.8.8."""
    for key in (NOW, LAST):
        er.async_get(hass).async_get_or_create(
            "sensor", DOMAIN, f"{charger.id}_{key}", config_entry=entry
        )
    charger.observe(StateId.CURRENT_USER, CARD)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    return entry


def completed(code: str | None) -> str:
    """Return a completed session that was authorized with a code."""
    return json.dumps(
        {
            "SessionId": "0d6f3c50-0000-4000-8000-00000000000a",
            "Energy": 1.0,
            "AuthenticationCode": code,
        }
    )


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (CARD, "nfc-…E6F7"),
        ("ble-11111111-2222-4333-8444-55555555abcd", "ble-…abcd"),
        ("11111111-2222-4333-8444-55555555abcd", "…abcd"),
        ("nfc-04A2B3C4", "nfc-…B3C4"),
        # Such a code is too short to show a part of it.
        ("nfc-04A2B3", "nfc-…"),
        ("1234", "…"),
        ("nfc-", "nfc-…"),
        ("a-strange-code-of-someone", "…eone"),
        (None, STATE_UNKNOWN),
        ("", STATE_UNKNOWN),
    ],
)
@pytest.mark.usefixtures("enabled")
async def test_a_code_is_masked(
    time_machine: TimeMachine,
    charger: Charger,
    entities: EntityFinder,
    code: str | None,
    shown: str,
) -> None:
    """Four characters of the code are shown, enough to distinguish the cards of a household."""
    charger.plug_in(Car())
    await time_machine.travel(30)
    charger.observe(StateId.CURRENT_USER, code)
    charger.observe(StateId.COMPLETED_SESSION, completed(code))
    await time_machine.settle()
    assert entities.state("sensor", charger.id, NOW) == shown
    assert entities.state("sensor", charger.id, LAST) == shown


@pytest.mark.usefixtures("enabled")
async def test_without_a_car_there_is_no_one(
    time_machine: TimeMachine, charger: Charger, entities: EntityFinder
) -> None:
    """Without a car there is no user, even if the charger still reports the last one."""
    assert entities.state("sensor", charger.id, NOW) == STATE_UNKNOWN
    # A reading rounds the time of the user to milliseconds, maybe up.
    await time_machine.travel(1)
    charger.plug_in(Car())
    await time_machine.travel(30)
    # A user that was reported before this car came belongs to another car.
    assert entities.state("sensor", charger.id, NOW) == STATE_UNKNOWN
    charger.observe(StateId.CURRENT_USER, CARD)
    await time_machine.settle()
    assert entities.state("sensor", charger.id, NOW) == "nfc-…E6F7"
    charger.observe(StateId.OPERATION_MODE, 1)
    await time_machine.settle()
    assert entities.state("sensor", charger.id, NOW) == STATE_UNKNOWN


async def test_new_users_do_not_get_them_by_default(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
) -> None:
    """The sensor is disabled for new users, so that who charged is recorded only if they choose so."""
    charger.observe(StateId.CURRENT_USER, CARD)
    charger.observe(StateId.COMPLETED_SESSION, completed(CARD))
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    await hass.async_block_till_done()
    for key in (NOW, LAST):
        entity_id = entity_registry.async_get_entity_id(
            "sensor", DOMAIN, f"{charger.id}_{key}"
        )
        assert entity_id
        entity = entity_registry.async_get(entity_id)
        assert entity
        assert entity.disabled_by is er.RegistryEntryDisabler.INTEGRATION
