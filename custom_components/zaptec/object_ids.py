"""The object ids of entities, whatever their names become.

Dashboards, automations, cards and other programs hold entity ids. Home Assistant makes
those of a new user from the entity's name, so a better name would break each page that
quotes an entity id. The names of version 1.0 therefore stay the object ids.
"""

# By platform and translation key. They are spelled as the names were, because Home
# Assistant keeps them in its registry, to make an entity id again when a user asks.
_OBJECT_IDS = {
    "binary_sensor": {
        "is_enabled": "Enabled",
        "is_stand_alone": "Stand-alone mode",
    },
    "button": {
        "deauthorize_and_stop": "Deauthorize charging",
    },
    "number": {
        "three_to_one_phase_switch_current": "3 to 1-phase switch current",
    },
    "sensor": {
        "available_current_phase1": "Available current phase 1",
        "available_current_phase2": "Available current phase 2",
        "available_current_phase3": "Available current phase 3",
        "cable_type": "Cable rating",
        "charge_current_set": "Allocated charge current",
        "charger_operation_mode": "Charger mode",
        "current_phase1": "Current phase 1",
        "current_phase2": "Current phase 2",
        "current_phase3": "Current phase 3",
        "set_phases": "Phases in use",
        "signed_meter_value": "Energy meter",
        "temperature_internal5": "Temperature (internal)",
        "temperature_internal6": "Temperature (internal, second)",
        "total_charge_power": "Charge power",
        "total_charge_power_session": "Session total charge",
        "voltage_phase1": "Voltage phase 1",
        "voltage_phase2": "Voltage phase 2",
        "voltage_phase3": "Voltage phase 3",
    },
}


def object_id(platform: str, translation_key: str) -> str:
    """Return what follows the name of the device in an entity id.

    An entity that the table does not list has the words of its translation key, which
    never changes.
    """
    listed = _OBJECT_IDS.get(platform, {}).get(translation_key)
    return listed or translation_key.replace("_", " ").capitalize()
