"""The signal of a charger's network, with one entity for each unit."""

from homeassistant.components.sensor import DOMAIN as SENSOR_DOMAIN
from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec import entity as entity_module
from custom_components.zaptec.const import DOMAIN
from simulator.charger import Charger
from simulator.observations import StateId

from .conftest import EntityFinder, set_up, wait_until_live

SHOWN = {"signal_strength": "dBm", "signal_quality": "%"}


@pytest.fixture
def enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable every new entity."""
    monkeypatch.setattr(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    )


def report(charger: Charger, mode: str | None, signal: float | None) -> None:
    """Report the network of the charger, and its signal strength."""
    charger.observe(StateId.COMMUNICATION_MODE, mode)
    charger.observe(StateId.SIGNAL_STRENGTH, signal)


def is_enabled(hass: HomeAssistant, charger: Charger, key: str) -> bool:
    """Return whether a sensor is enabled."""
    registry = er.async_get(hass)
    entity_id = registry.async_get_entity_id(
        SENSOR_DOMAIN, DOMAIN, f"{charger.id}_{key}"
    )
    assert entity_id
    entity = registry.async_get(entity_id)
    assert entity
    return not entity.disabled


@pytest.mark.parametrize(
    ("mode", "signal", "strength", "quality"),
    [
        ("Wifi", -65, "-65.0", STATE_UNKNOWN),
        ("LTE", 60, STATE_UNKNOWN, "60.0"),
        ("LTE", 0, STATE_UNKNOWN, "0.0"),
        ("LTE", 100, STATE_UNKNOWN, "100.0"),
        # Right after a change of the network, the value is still that of the old network.
        ("Wifi", 60, STATE_UNKNOWN, STATE_UNKNOWN),
        ("Wifi", 0, STATE_UNKNOWN, STATE_UNKNOWN),
        ("LTE", -65, STATE_UNKNOWN, STATE_UNKNOWN),
        ("LTE", 101, STATE_UNKNOWN, STATE_UNKNOWN),
        # Without a known network, the unit of the value is unknown.
        ("PLC", 60, STATE_UNKNOWN, STATE_UNKNOWN),
        ("none", -65, STATE_UNKNOWN, STATE_UNKNOWN),
        (None, -65, STATE_UNKNOWN, STATE_UNKNOWN),
        ("Wifi", None, STATE_UNKNOWN, STATE_UNKNOWN),
        ("LTE", None, STATE_UNKNOWN, STATE_UNKNOWN),
    ],
)
async def test_each_unit_has_its_entity(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
    enabled: None,
    mode: str | None,
    signal: float | None,
    strength: str,
    quality: str,
) -> None:
    """The cloud reports dBm and percent under one StateId, and the network decides which it is."""
    report(charger, mode, signal)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    assert entities.state("sensor", charger.id, "signal_strength") == strength
    assert entities.state("sensor", charger.id, "signal_quality") == quality


async def test_a_change_of_the_network_changes_no_unit(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
    enabled: None,
) -> None:
    """Each unit keeps its own entity, because a change of unit breaks an entity's statistics."""
    report(charger, "LTE", 60)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)

    def units() -> dict[str, str]:
        found = {}
        for key in SHOWN:
            state = hass.states.get(entities.id("sensor", charger.id, key))
            assert state
            found[key] = state.attributes["unit_of_measurement"]
        return found

    assert units() == SHOWN
    charger.observe(StateId.COMMUNICATION_MODE, "Wifi")
    await entities.wait_for("sensor", charger.id, "signal_quality", STATE_UNKNOWN)
    assert entities.state("sensor", charger.id, "signal_strength") == STATE_UNKNOWN
    charger.observe(StateId.SIGNAL_STRENGTH, -58)
    await entities.wait_for("sensor", charger.id, "signal_strength", "-58.0")
    assert units() == SHOWN


@pytest.mark.parametrize(
    ("mode", "disabled_by", "many", "expected"),
    [
        ("LTE", None, False, True),
        ("LTE", None, True, True),
        ("LTE", er.RegistryEntryDisabler.USER, False, False),
        ("Wifi", None, False, False),
    ],
)
async def test_who_looked_at_the_percentage_goes_on_seeing_it(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entity_registry: er.EntityRegistry,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    disabled_by: er.RegistryEntryDisabler | None,
    many: bool,
    expected: bool,
) -> None:
    """If the user had enabled the signal strength, the quality is enabled, too, for LTE."""
    if many:
        monkeypatch.setattr(entity_module, "MANY_CHARGERS", 0)
    report(charger, mode, 60 if mode == "LTE" else -60)
    entity_registry.async_get_or_create(
        SENSOR_DOMAIN,
        DOMAIN,
        f"{charger.id}_signal_strength",
        config_entry=entry,
        disabled_by=disabled_by,
        unit_of_measurement="%",
    )
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    assert is_enabled(hass, charger, "signal_quality") is expected
    assert is_enabled(hass, charger, "signal_strength") is (disabled_by is None)


async def test_a_new_user_gets_neither(
    hass: HomeAssistant, charger: Charger, live_entry: MockConfigEntry
) -> None:
    """New users have neither entity enabled: few need them, and 500 chargers must fit."""
    assert not is_enabled(hass, charger, "signal_strength")
    assert not is_enabled(hass, charger, "signal_quality")
