"""A home with a charger, for tests of its entities."""

from collections.abc import Callable
from typing import Any

from homeassistant.components.button import DOMAIN as BUTTON_DOMAIN, SERVICE_PRESS
from homeassistant.components.number import (
    ATTR_VALUE,
    DOMAIN as NUMBER_DOMAIN,
    SERVICE_SET_VALUE,
)
from homeassistant.components.switch import DOMAIN as SWITCH_DOMAIN
from homeassistant.const import ATTR_ENTITY_ID, SERVICE_TURN_OFF, SERVICE_TURN_ON
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.charger import Charger
from simulator.installation import Installation
from simulator.scenario import ChargerScenario
from simulator.simulator import Simulator

from .time_machine import TimeMachine, wait_until

# The key of the Charging switch, and of the sensor of the charger mode.
OPERATION_MODE = "charger_operation_mode"

# What the serial numbers of a Go and of two kinds of Pro begin with.
_PREFIXES = ("ZAP", "ZPR", "ZPG")


def mixed_chargers(count: int) -> tuple[ChargerScenario, ...]:
    """Return a number of chargers; every third one has Go, not Pro."""
    return tuple(
        ChargerScenario(
            serial=f"{_PREFIXES[number % len(_PREFIXES)]}000{number:03}",
            name=f"Space {number}",
            lifetime_energy=1000.0 + number,
        )
        for number in range(1, count + 1)
    )


class Home:
    """A charger and its installation, the account in Home Assistant, and the time machine."""

    def __init__(
        self,
        hass: HomeAssistant,
        sim: Simulator,
        charger: Charger,
        entry: MockConfigEntry,
        time_machine: TimeMachine,
    ) -> None:
        """Initialize the home."""
        self.hass = hass
        self.sim = sim
        self.charger = charger
        self.entry = entry
        self.time_machine = time_machine
        self._registry = er.async_get(hass)

    @property
    def installation(self) -> Installation:
        """Return the installation of the charger."""
        return self.charger.installation

    async def travel(
        self,
        seconds: float,
        *,
        step: float = 5.0,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Let time pass in steps, and wait after each for its effects."""
        await self.time_machine.travel(seconds, step=step, check=check)

    async def start(self) -> None:
        """Set up the account, and wait until all of it is live."""
        await self.hass.config_entries.async_setup(self.entry.entry_id)
        await self.hass.async_block_till_done()
        await self.wait_until_live()

    async def stop(self) -> None:
        """Unload the account."""
        await self.hass.config_entries.async_unload(self.entry.entry_id)

    async def reload(self) -> None:
        """Reload the account, and wait until all of it is live."""
        await self.hass.config_entries.async_reload(self.entry.entry_id)
        await self.wait_until_live()

    async def wait_until_live(self) -> None:
        """Wait until each link is up and each charger was read."""
        await wait_until_live(self.hass, self.entry)

    def entity_id(self, platform: str, key: str) -> str:
        """Return the id of an entity of the charger, or else of its installation."""
        entity_id = self._found_id(platform, key)
        assert entity_id, f"There is no {platform} {key}"
        return entity_id

    def _found_id(self, platform: str, key: str) -> str | None:
        """Return the id of an entity, None if it was not added yet."""
        for device in (self.charger, self.installation):
            if entity_id := self._registry.async_get_entity_id(
                platform, DOMAIN, f"{device.id}_{key}"
            ):
                return entity_id
        return None

    def state(self, platform: str, key: str) -> str:
        """Return the state of an entity."""
        state = self._found_state(platform, key)
        assert state is not None, f"There is no state of {platform} {key}"
        return state

    def _found_state(self, platform: str, key: str) -> str | None:
        """Return the state of an entity, None if it was not added yet."""
        entity_id = self._found_id(platform, key)
        state = self.hass.states.get(entity_id) if entity_id else None
        return state.state if state else None

    async def wait_for(self, platform: str, key: str, expected: str) -> None:
        """Wait until an entity is there and has a state.

        Entities are added in the background, so one may follow its first value after some
        iterations of the event loop.
        """
        await wait_until(
            lambda: self._found_state(platform, key) == expected,
            lambda: f"{key} is {self._found_state(platform, key)}, not {expected}",
        )

    @property
    def switch(self) -> str:
        """Return the state of the Charging switch."""
        return self.state("switch", OPERATION_MODE)

    @property
    def mode(self) -> str:
        """Return the charger's mode."""
        return self.state("sensor", OPERATION_MODE)

    async def press(self, key: str) -> None:
        """Press a button."""
        await self._call(BUTTON_DOMAIN, SERVICE_PRESS, key)

    async def set_value(self, key: str, value: float) -> None:
        """Set a number."""
        await self._call(NUMBER_DOMAIN, SERVICE_SET_VALUE, key, {ATTR_VALUE: value})

    async def turn_on(self) -> list[str]:
        """Turn the Charging switch on; return what was sent to the cloud for it."""
        return await self.turn(SERVICE_TURN_ON)

    async def turn_off(self) -> list[str]:
        """Turn the Charging switch off; return what was sent to the cloud for it."""
        return await self.turn(SERVICE_TURN_OFF)

    async def turn(self, service: str) -> list[str]:
        """Turn the Charging switch on or off; return what was sent to the cloud."""
        self.sim.rest.clear()
        await self._call(SWITCH_DOMAIN, service, OPERATION_MODE)
        return self.sent()

    def sent(self) -> list[str]:
        """Return the ends of the paths of all POST requests since the last `clear`."""
        return [
            record.path.rpartition("/")[2]
            for record in self.sim.rest.requests
            if record.method == "POST"
        ]

    def clear(self) -> None:
        """Clear the recorded requests of the cloud."""
        self.sim.rest.clear()

    async def _call(
        self, domain: str, service: str, key: str, data: dict[str, float] | None = None
    ) -> None:
        """Call an action on an entity, and wait until it is done."""
        await self.hass.services.async_call(
            domain,
            service,
            {ATTR_ENTITY_ID: self.entity_id(domain, key), **(data or {})},
            blocking=True,
        )


async def wait_until_live(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Wait until each link is up, each charger was read and its entities were added."""
    runtime = entry.runtime_data
    await wait_until(
        lambda: (
            all(link.status == "connected" for link in runtime.links.values())
            and all(
                runtime.reader.has_read(charger_id)
                for charger_id in runtime.coordinator.data.chargers
            )
            and runtime.round_robin.is_idle
        ),
        lambda: runtime.links,
    )
    await hass.async_block_till_done()


async def open_options(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, Any]:
    """Open the options of an entry that are its settings."""
    menu = await hass.config_entries.options.async_init(entry.entry_id)
    result: dict[str, Any] = dict(
        await hass.config_entries.options.async_configure(
            menu["flow_id"], {"next_step_id": "settings"}
        )
    )
    return result
