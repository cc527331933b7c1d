"""The yardstick of the benchmark: the message library alone, and bare sensors."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import logging
from typing import Any

from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver
from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorStateClass,
)
from homeassistant.const import UnitOfPower
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_component import EntityComponent

from custom_components.zaptec.api.azure_link import FRAME_TIMEOUT, PREFETCH

from .cloud import Cloud


class BareSensor(SensorEntity):
    """The simplest possible sensor of Home Assistant: it only writes a value."""

    _attr_should_poll = False
    _attr_device_class = SensorDeviceClass.POWER
    _attr_state_class = SensorStateClass.MEASUREMENT
    _attr_native_unit_of_measurement = UnitOfPower.WATT
    _attr_suggested_display_precision = 0

    def __init__(self, number: int) -> None:
        """Initialize one of several sensors."""
        self._attr_name = f"Bare {number}"

    @callback
    def write(self, value: float) -> None:
        """Write a value to the state machine."""
        self._attr_native_value = value
        self.async_write_ha_state()


class Yardstick:
    """The client library and bare sensors: the minimum of work that any integration has to do."""

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
    hass: HomeAssistant, cloud: Cloud, sensors: int
) -> AsyncIterator[Yardstick]:
    """Run the yardstick, with its connection set up like the integration's."""
    details = await cloud.ask("yardstick", installation=cloud.installations[0])
    bare = [BareSensor(number) for number in range(sensors)]
    component = EntityComponent[BareSensor](logging.getLogger(__name__), "sensor", hass)
    await component.async_add_entities(bare)
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
