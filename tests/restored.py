"""Access to the states that entities restore, for each supported version of Home Assistant."""

from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, restore_state


def provide_restored_state(
    hass: HomeAssistant, stored: restore_state.StoredState
) -> None:
    """Let an entity of the registry restore a state, in place of any that was stored before."""
    data = restore_state.async_get(hass)
    entity_id = stored.state.entity_id
    entry = er.async_get(hass).async_get(entity_id)
    assert entry is not None
    by_registry_id = getattr(data, "last_states_by_entity_registry_id", None)
    if by_registry_id is None:
        data.last_states[entity_id] = stored
    else:
        by_registry_id[entry.id] = stored


def forget_restored_states(hass: HomeAssistant) -> None:
    """Discard the states that entities would restore.

    Home Assistant 2026.10 keeps the states in `last_states`, by entity id. Since
    2026.11 there are two: `last_states_by_entity_registry_id` for the entities of the
    registry, and `last_states_by_entity_id` for the others.
    """
    data = restore_state.async_get(hass)
    kept = [states for name, states in vars(data).items() if "last_states" in name]
    assert kept
    for states in kept:
        states.clear()
