"""Conditions for automations: a car is connected or charging, or the charging status."""

from typing import ClassVar, override

from homeassistant.const import CONF_OPTIONS, STATE_ON
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers.condition import (
    ENTITY_STATE_CONDITION_SCHEMA_ANY_ALL,
    Condition,
    ConditionConfig,
    EntityStateConditionBase,
)
import probatio

from .trigger_targets import (
    BINARY_SENSORS,
    CAR_CONNECTED,
    CHARGING,
    CHARGING_STATUS,
    CONF_STATUS,
    SENSORS,
    STATUSES,
    async_own_entities,
    is_left_out,
)


class _OwnEntityCondition(EntityStateConditionBase):
    """A condition for one kind of entity of this integration.

    A targeted area or label may also contain plugs and chargers of other integrations.
    """

    _translation_key: ClassVar[str]

    @override
    def entity_filter(self, entities: set[str]) -> set[str]:
        """Return the entities to test."""
        return async_own_entities(
            self._hass, super().entity_filter(entities), self._translation_key
        )


def _make_binary_sensor_condition(key: str) -> type[Condition]:
    """Return a condition that is met while a binary sensor of a charger is on."""
    states: set[str | bool] = {STATE_ON}

    class BinarySensorCondition(_OwnEntityCondition):
        """A condition for a binary sensor of a charger."""

        _domain_specs = BINARY_SENSORS
        _translation_key = key
        _states = states

    return BinarySensorCondition


class ChargingStatusCondition(_OwnEntityCondition):
    """Tests whether the charging status is one of those that the user has selected."""

    _domain_specs = SENSORS
    _translation_key = CHARGING_STATUS
    _schema = ENTITY_STATE_CONDITION_SCHEMA_ANY_ALL.extend(
        {probatio.Required(CONF_OPTIONS): {probatio.Required(CONF_STATUS): STATUSES}}
    )

    def __init__(self, hass: HomeAssistant, config: ConditionConfig) -> None:
        """Initialize the condition."""
        super().__init__(hass, config)
        assert config.options is not None
        self._states = set(config.options[CONF_STATUS])

    @override
    def _should_include(self, _state: State) -> bool:
        """Return whether a charger counts if all chargers have to match."""
        return super()._should_include(_state) and not is_left_out(_state, self._states)


CONDITIONS: dict[str, type[Condition]] = {
    "is_car_connected": _make_binary_sensor_condition(CAR_CONNECTED),
    "is_charging": _make_binary_sensor_condition(CHARGING),
    "is_charging_status": ChargingStatusCondition,
}


async def async_get_conditions(hass: HomeAssistant) -> dict[str, type[Condition]]:
    """Return the conditions of the integration."""
    return CONDITIONS
