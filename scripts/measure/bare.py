"""The yardstick of the benchmark: the message library alone, and bare sensors."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from homeassistant.components.sensor import (
    DOMAIN as SENSOR_DOMAIN,
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import EntityPlatform, async_get_platforms
from homeassistant.util import dt as dt_util

from custom_components.zaptec.api.azure_link import FRAME_TIMEOUT, PREFETCH
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.sensor import DESCRIPTIONS, SESSION_ENERGY

from .cloud import STATE_IDS, Cloud


class BareSensor(SensorEntity):
    """A sensor of Home Assistant that writes a number which it holds, and does no more.

    It has what Home Assistant gives to each sensor of a device: the description of one
    of the integration's sensors (with its device class, unit, precision and name), an
    entry in the entity registry, and a device. Without these, Home Assistant itself
    would do less for a write, and the integration would be compared with a sensor that
    no integration can have.
    """

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(self, number: int, description: SensorEntityDescription) -> None:
        """Initialize one of several sensors."""
        self.entity_description = description
        self._attr_unique_id = f"bare_{number}"
        device = str(number // len(STATE_IDS))
        self._attr_device_info = DeviceInfo(
            identifiers={("bare", device)}, name=f"Bare {device}"
        )
        if description.device_class is SensorDeviceClass.ENERGY:
            self._attr_state_class = SensorStateClass.TOTAL
            self._attr_last_reset = dt_util.utcnow()

    @callback
    def write(self, value: float) -> None:
        """Write a value to the state machine."""
        self._attr_native_value = value
        self.async_write_ha_state()


def _descriptions() -> list[SensorEntityDescription]:
    """Return the descriptions of the sensors that show `STATE_IDS`, in that order."""
    described: dict[int, SensorEntityDescription] = {
        description.state_ids[0]: description for description in DESCRIPTIONS
    }
    described[SESSION_ENERGY.state_ids[0]] = SESSION_ENERGY
    return [described[state_id] for state_id in STATE_IDS]


@callback
def _sensor_platform(hass: HomeAssistant) -> EntityPlatform:
    """Return the platform with the integration's sensors, which has their names."""
    return next(
        platform
        for platform in async_get_platforms(hass, DOMAIN)
        if platform.domain == SENSOR_DOMAIN
    )


async def add_bare_sensors(hass: HomeAssistant, devices: int) -> list[BareSensor]:
    """Add bare sensors beside the integration's: one for each of `STATE_IDS` of a device."""
    descriptions = _descriptions()
    sensors = [
        BareSensor(number, descriptions[number % len(descriptions)])
        for number in range(devices * len(descriptions))
    ]
    await _sensor_platform(hass).async_add_entities(sensors)
    return sensors


class Yardstick:
    """The client library and bare sensors: the minimum of work that any integration does."""

    def __init__(self, receiver: ServiceBusReceiver, sensors: list[BareSensor]) -> None:
        """Initialize the yardstick."""
        self._receiver = receiver
        self.sensors = sensors
        self.messages = 0
        self.last: deque[Any] = deque(maxlen=1000)
        """The latest messages, as returned by the library."""

    async def read(self) -> None:
        """Write a value for each message, until cancelled."""
        async for message in self._receiver:
            self.messages += 1
            self.last.append(message)
            self.sensors[self.messages % len(self.sensors)].write(
                self.messages % 9973 + 0.25
            )

    @callback
    def write_all(self) -> None:
        """Write a new value to each sensor."""
        for sensor in self.sensors:
            self.messages += 1
            sensor.write(self.messages % 9973 + 0.25)


@asynccontextmanager
async def yardstick(
    hass: HomeAssistant, cloud: Cloud, devices: int
) -> AsyncIterator[Yardstick]:
    """Run the yardstick, with its connection set up like the integration's."""
    details = await cloud.ask("yardstick", installation=cloud.installations[0])
    bare = await add_bare_sensors(hass, devices)
    client = ServiceBusClient.from_connection_string(
        f"Endpoint=sb://{details['Host']}:{details['Port']};"
        f"SharedAccessKeyName={details['Username']};"
        f"SharedAccessKey={details['Password']};UseDevelopmentEmulator=true",
        retry_total=0,
    )
    async with client.get_subscription_receiver(
        details["Topic"],
        details["Subscription"],
        receive_mode="receiveanddelete",
        prefetch_count=PREFETCH,
        max_wait_time=240,
        keep_alive=0,
        socket_timeout=FRAME_TIMEOUT,
    ) as receiver:
        stick = Yardstick(receiver, bare)
        task = asyncio.create_task(stick.read())
        yield stick
        task.cancel()
        await asyncio.wait([task])
    await client.close()
