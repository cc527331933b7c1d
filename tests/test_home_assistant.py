"""The test helpers work with every supported version of Home Assistant."""

from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er, frame, restore_state
from homeassistant.util import dt as dt_util
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    mock_restore_cache,
)

from custom_components.zaptec.const import DOMAIN

from .conftest import ReportedUsage
from .restored import forget_restored_states, provide_restored_state

ENTITY_ID = "sensor.of_a_test"


async def test_a_deprecated_use_is_noticed(
    hass: HomeAssistant, entry: MockConfigEntry, reported_usage: ReportedUsage
) -> None:
    """Home Assistant's report of a deprecated use fails the test in which it occurs."""
    await hass.config_entries.async_setup(entry.entry_id)
    frame.report_usage(
        "uses something old",
        breaks_in_ha_version="2030.1",
        core_behavior=frame.ReportBehavior.LOG,
        integration_domain=DOMAIN,
    )
    assert len(reported_usage.lines) == 1
    reported_usage.lines.clear()


async def test_restored_states_are_provided_and_forgotten(
    hass: HomeAssistant, entity_registry: er.EntityRegistry
) -> None:
    """States can be provided and discarded, for entities with and without a registry entry."""

    class Restored(restore_state.RestoreEntity):
        """An entity that has just been added."""

        def __init__(self, entity_id: str) -> None:
            """Initialize the entity."""
            self.hass = hass
            self.entity_id = entity_id

    async def restored() -> list[State | None]:
        return [
            await Restored(entity_id).async_get_last_state()
            for entity_id in (entity.entity_id, ENTITY_ID)
        ]

    entity = entity_registry.async_get_or_create("sensor", DOMAIN, "an id")
    mock_restore_cache(hass, [State(entity.entity_id, "1"), State(ENTITY_ID, "2")])
    assert [state and state.state for state in await restored()] == ["1", "2"]
    forget_restored_states(hass)
    assert await restored() == [None, None]

    mock_restore_cache(hass, [State(entity.entity_id, "1")])
    stored = restore_state.StoredState(
        State(entity.entity_id, "3"), None, dt_util.utcnow()
    )
    provide_restored_state(hass, stored)
    assert [state and state.state for state in await restored()] == ["3", None]
