"""Let the test kit run with a Home Assistant that is newer than the kit.

The kit (pytest-homeassistant-custom-component) pins one Home Assistant, and follows a
new one weeks later. Until then it fails to load where Home Assistant has moved a name
that the kit imports. `scripts/test --newest` loads this module as a plugin before the
kit (`pytest -p tests.newest_kit`). Each part does nothing if the kit already fits.
"""

from importlib import import_module

# Home Assistant 2026.11 puts httpx2 in the place of httpx, which fails once httpx has
# been imported. The kit imports it first, so Home Assistant has to come before the kit.
import_module("homeassistant")

# The kit replaces these functions before any module of Home Assistant imports them.
# Without these lines, the imports below would come too early.
for _name in ("patch_json", "patch_recorder", "patch_time"):
    import_module(f"pytest_homeassistant_custom_component.{_name}")


def _give_back_names() -> None:
    """Let the kit find the private names that Home Assistant 2026.11 has moved."""
    logger = import_module("homeassistant.components.logger")
    helpers = import_module("homeassistant.components.logger.helpers")
    if not hasattr(logger, "_clear_logger_overwrites"):
        logger._clear_logger_overwrites = helpers._clear_logger_overwrites


def _give_back_restored_states() -> None:
    """Let the kit's mock_restore_cache provide what entities restore.

    Home Assistant 2026.11 keeps the states of entities that the registry knows by the
    registry's id. The kit assigns all of them by entity id, to an attribute that
    nothing reads any more.
    """
    restore_state = import_module("homeassistant.helpers.restore_state")
    states = restore_state.RestoreStateData
    if not hasattr(states, "async_get_stored_state"):
        return
    by_registry_id = states.async_get_stored_state

    def assign(data: restore_state.RestoreStateData, given: dict) -> None:
        data.last_states_by_entity_id = given

    def look_up(
        data: restore_state.RestoreStateData, entity_id: str
    ) -> restore_state.StoredState | None:
        return by_registry_id(data, entity_id) or data.last_states_by_entity_id.get(
            entity_id
        )

    states.last_states = property(lambda data: data.last_states_by_entity_id, assign)
    states.async_get_stored_state = look_up


_give_back_names()
_give_back_restored_states()
