"""evcc 0.313, which drives a charger through Home Assistant's REST API.

Its code: charger/homeassistant.go, util/homeassistant/connection.go, and the template
homeassistant.yaml. It asks the REST API, with a long-lived token.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from aiohttp.hdrs import AUTHORIZATION
from aiohttp.test_utils import TestClient
from homeassistant.auth.models import TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN
from homeassistant.components.number import ATTR_VALUE
from homeassistant.components.sensor import ATTR_OPTIONS
from homeassistant.const import (
    ATTR_ENTITY_ID,
    ATTR_UNIT_OF_MEASUREMENT,
    SERVICE_TURN_OFF,
    SERVICE_TURN_ON,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from simulator.car import Car
from simulator.charger import Charger
from tests.time_machine import PATIENCE, TimeMachine, real_seconds

from .conftest import (
    A_FEW_SECONDS,
    NO_STATE,
    available_current,
    blocks,
    number_of,
    travel_to,
    wait_for,
)

EVCC = {
    "type": "template",
    "template": "homeassistant",
    "status": "sensor.garage_charger_mode",
    "statusB": "connected_requesting, connected_finished",
    "statusC": "connected_charging",
    "enabled": "switch.garage_charging",
    "enable": "switch.garage_charging",
    "setMaxCurrent": "number.garage_charger_max_current",
    "power": "sensor.garage_charge_power",
    "currentL1": "sensor.garage_current_phase_1",
    "currentL2": "sensor.garage_current_phase_2",
    "currentL3": "sensor.garage_current_phase_3",
    "voltageL1": "sensor.garage_voltage_phase_1",
    "voltageL2": "sensor.garage_voltage_phase_2",
    "voltageL3": "sensor.garage_voltage_phase_3",
}
EVCC_UNITS = {"power": "W"} | {
    f"{kind}L{phase}": unit
    for kind, unit in (("current", "A"), ("voltage", "V"))
    for phase in (1, 2, 3)
}
# The states that evcc knows without configuration.
EVCC_WORDS = {
    **dict.fromkeys(("a", "disconnected", "not_plugged"), "A"),
    **dict.fromkeys(
        (
            "b",
            "connected",
            "plugged",
            "starting",
            "stopped",
            "paused",
            "complete",
            "charging_completed",
        ),
        "B",
    ),
    **dict.fromkeys(("c", "charging"), "C"),
}
EVCC_BOOLEANS = {"on": True, "off": False}


@dataclass(frozen=True)
class Evcc:
    """A charger as evcc drives it through Home Assistant's REST API."""

    client: TestClient[Any, Any]
    config: Mapping[str, str]

    @property
    def words(self) -> dict[str, str]:
        """Return the evcc status of each state, including the configured ones."""
        return EVCC_WORDS | {
            word.strip().lower(): status
            for status in "ABC"
            for word in self.config.get(f"status{status}", "").split(",")
        }

    async def read(self, parameter: str) -> dict[str, Any]:
        """Return the state of the entity of a parameter, which must have a value."""
        response = await self.client.get(f"/api/states/{self.config[parameter]}")
        assert response.status == HTTPStatus.OK
        state: dict[str, Any] = await response.json()
        assert state["state"] not in NO_STATE, state
        return state

    async def post(self, action: str, data: Mapping[str, object]) -> HTTPStatus:
        """Call an action; return the HTTP status."""
        response = await self.client.post(f"/api/services/{action}", json=data)
        return HTTPStatus(response.status)

    async def status(self) -> str:
        """Return A (no car), B (connected) or C (charging)."""
        return self.words[(await self.read("status"))["state"].lower()]

    async def enabled(self) -> bool:
        """Return whether charging is allowed."""
        return EVCC_BOOLEANS[(await self.read("enabled"))["state"]]

    async def value(self, parameter: str) -> float:
        """Return a measurement."""
        return float((await self.read(parameter))["state"])

    async def enable(self, service: str) -> None:
        """Allow or stop charging."""
        data = {ATTR_ENTITY_ID: self.config["enable"]}
        assert await self.post(f"switch/{service}", data) == HTTPStatus.OK

    async def set_max_current(self, current: float) -> HTTPStatus:
        """Set the current, A; evcc sends a floating point number."""
        return await self.post(
            "number/set_value",
            {ATTR_ENTITY_ID: self.config["setMaxCurrent"], ATTR_VALUE: float(current)},
        )

    async def wait_for(self, status: str, *, enabled: bool) -> None:
        """Wait until evcc reads a value."""
        end = real_seconds() + PATIENCE
        while (found := (await self.status(), await self.enabled())) != (
            status,
            enabled,
        ):
            assert real_seconds() < end, found
            await asyncio.sleep(0.005)


@pytest.fixture
async def evcc(
    hass: HomeAssistant,
    hass_client_no_auth: ClientSessionGenerator,
    hass_admin_user: MockUser,
    live_entry: MockConfigEntry,
) -> Evcc:
    """Return an evcc with the configuration of the page."""
    assert await async_setup_component(hass, "api", {})
    token = await hass.auth.async_create_refresh_token(
        hass_admin_user,
        client_name="evcc",
        token_type=TOKEN_TYPE_LONG_LIVED_ACCESS_TOKEN,
        access_token_expiration=timedelta(days=3650),
    )
    client = await hass_client_no_auth()
    client.session.headers[AUTHORIZATION] = (
        f"Bearer {hass.auth.async_create_access_token(token)}"
    )
    [document] = blocks("evcc")
    [config] = document["chargers"]
    assert config.pop("name")
    assert config.pop("uri")
    return Evcc(client, config)


async def test_evcc_reads_numbers_in_units_that_it_knows(evcc: Evcc) -> None:
    """Each parameter of the template names an entity with a number and its unit."""
    assert evcc.config == EVCC
    for parameter, unit in EVCC_UNITS.items():
        state = await evcc.read(parameter)
        assert state["attributes"][ATTR_UNIT_OF_MEASUREMENT] == unit
        assert await evcc.value(parameter) >= 0


async def test_evcc_knows_each_word_of_the_charger_mode(evcc: Evcc) -> None:
    """With the two lists of the page, evcc accepts every charger mode."""
    options = (await evcc.read("status"))["attributes"][ATTR_OPTIONS]
    statuses = {word: evcc.words[word] for word in set(options) - {STATE_UNKNOWN}}
    assert statuses == {
        "disconnected": "A",
        "connected_requesting": "B",
        "connected_charging": "C",
        "connected_finished": "B",
    }


async def test_evcc_decides_from_before_the_car_comes_until_the_next_one(
    time_machine: TimeMachine, charger: Charger, evcc: Evcc
) -> None:
    """At each step evcc reads back what it wrote, so it never reports to be out of sync."""
    await evcc.wait_for("A", enabled=True)
    await evcc.enable(SERVICE_TURN_OFF)
    await evcc.wait_for("A", enabled=False)

    charger.plug_in(Car(capacity_kwh=1.0))
    await time_machine.travel(120)
    await evcc.wait_for("B", enabled=False)
    assert await evcc.value("power") == 0
    assert charger.power == 0

    await evcc.enable(SERVICE_TURN_ON)
    await time_machine.travel(90)
    await evcc.wait_for("C", enabled=True)
    assert await evcc.value("power") > 4000
    for phase in (1, 2, 3):
        assert await evcc.value(f"currentL{phase}") > 6
        assert 200 < await evcc.value(f"voltageL{phase}") < 250

    await evcc.enable(SERVICE_TURN_OFF)
    await time_machine.travel(60)
    await evcc.wait_for("B", enabled=False)
    await evcc.enable(SERVICE_TURN_OFF)
    await evcc.wait_for("B", enabled=False)

    await evcc.enable(SERVICE_TURN_ON)
    await time_machine.travel(90)
    await evcc.wait_for("C", enabled=True)
    await time_machine.travel(1800, step=10)
    # The car is full, but charging is still allowed.
    await evcc.wait_for("B", enabled=True)
    assert charger.session_energy == pytest.approx(1.0, abs=0.01)
    await evcc.enable(SERVICE_TURN_ON)
    await evcc.wait_for("B", enabled=True)

    await evcc.enable(SERVICE_TURN_OFF)
    charger.unplug()
    await time_machine.travel(60)
    await evcc.wait_for("A", enabled=False)
    charger.plug_in(Car())
    await time_machine.travel(120)
    await evcc.wait_for("B", enabled=False)
    assert charger.session_energy < A_FEW_SECONDS


async def test_evcc_could_follow_a_session_by_the_energy_meter(
    hass: HomeAssistant, time_machine: TimeMachine, charger: Charger, evcc: Evcc
) -> None:
    """The meter follows the session between its hourly readings, as the power does.

    So `energy`, which the page leaves to the user, and the power give the same energy.
    """
    # The charger reports its meter at each full hour.
    await travel_to(time_machine, (dt_util.now().hour + 1) % 24)
    meter = number_of(hass, "sensor.garage_energy_meter")
    charger.plug_in(Car())
    await time_machine.travel(60)
    power = 0.0
    for _ in range(20):
        await time_machine.travel(30)
        power += await evcc.value("power")
    drawn = number_of(hass, "sensor.garage_energy_meter") - meter
    assert drawn == pytest.approx(charger.session_energy, rel=0.15)
    assert power * 30 / 3_600_000 == pytest.approx(charger.session_energy, rel=0.1)


@pytest.mark.parametrize("current", [6, 6.5, 10, 15.9, 16, 25.5, 32])
async def test_evcc_sets_whole_and_fractional_amperes(
    hass: HomeAssistant, charger: Charger, evcc: Evcc, current: float
) -> None:
    """The charger gets the current that evcc sends, even above what its installation allows."""
    assert current > 20 or min(available_current(charger) or ()) == 20
    assert await evcc.set_max_current(current) == HTTPStatus.OK
    assert charger.max_current == current
    await wait_for(hass, evcc.config["setMaxCurrent"], str(float(current)))


async def test_evcc_is_refused_more_than_a_charger_is_built_for(
    charger: Charger, evcc: Evcc
) -> None:
    """A current above the charger's own limit is refused, as the page says, and changes nothing."""
    assert await evcc.set_max_current(40) == HTTPStatus.BAD_REQUEST
    assert charger.max_current == 32
