"""Which chargers the Energy dashboard of Home Assistant counts twice."""

from collections.abc import Callable, Iterable

from homeassistant.components.energy.data import async_get_manager
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from .const import DOMAIN
from .history.statistics import statistic_id

ENERGY = "energy"

# The sensors that count the same energy as the history.
_KEYS = ("signed_meter_value_kwh", "total_charge_power_session")

type CountedTwice = Callable[[Iterable[str]], set[str]]


async def async_counted_twice(hass: HomeAssistant) -> CountedTwice:
    """Return a function that says which of some chargers are counted twice.

    That is, both a sensor of the charger and its history are among the individual devices.
    Home Assistant does not notice that they are about the same energy.
    """
    if ENERGY not in hass.config.components:
        return lambda charger_ids: set()
    manager = await async_get_manager(hass)

    @callback
    def counted_twice(charger_ids: Iterable[str]) -> set[str]:
        devices = {
            device["stat_consumption"]: device.get("included_in_stat")
            for device in (manager.data["device_consumption"] if manager.data else ())
        }
        registry = er.async_get(hass)
        found: set[str] = set()
        for charger_id in charger_ids:
            history = statistic_id(charger_id)
            if history not in devices:
                continue
            sensors = {
                registry.async_get_entity_id(
                    Platform.SENSOR, DOMAIN, f"{charger_id}_{key}"
                )
                for key in _KEYS
            }
            if any(
                sensor in devices
                # What is included in another device is not counted again.
                and devices[sensor] != history
                and devices[history] != sensor
                for sensor in sensors
                if sensor
            ):
                found.add(charger_id)
        return found

    return counted_twice
