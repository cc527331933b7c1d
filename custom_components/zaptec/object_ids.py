"""The object ids of entities, which do not follow later changes of their names.

Dashboards, automations, cards and other programs refer to entity ids. For a new user Home
Assistant derives an entity id from the name of the entity, so a better name would
invalidate each document that quotes the entity id. Therefore the object ids remain the
names of version 1.0.
"""

# Object ids by platform and translation key. They are spelled like the former names,
# because Home Assistant keeps them in its registry, and derives the entity id from them
# again when the user resets it.
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
    """Return the part of an entity id that follows the name of the device.

    For an entity that the table does not list it consists of the words of the translation
    key, which never changes.
    """
    listed = _OBJECT_IDS.get(platform, {}).get(translation_key)
    return listed or translation_key.replace("_", " ").capitalize()
