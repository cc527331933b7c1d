"""Which chargers the Energy dashboard counts twice."""

from typing import Any

from homeassistant.components.energy.data import async_get_manager
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest

from custom_components.zaptec.energy_dashboard import async_counted_twice
from custom_components.zaptec.history.statistics import statistic_id

from ..home import Home

pytestmark = pytest.mark.usefixtures("_custom_integrations")


@pytest.fixture
async def energy(hass: HomeAssistant) -> None:
    """Set the Energy dashboard up."""
    assert await async_setup_component(hass, "energy", {})
    await hass.async_block_till_done()


async def choose(hass: HomeAssistant, *devices: dict[str, str]) -> None:
    """Let the user choose the individual devices."""
    manager = await async_get_manager(hass)
    await manager.async_update({"device_consumption": list(devices)})


METER = "signed_meter_value_kwh"
SESSION = "total_charge_power_session"


@pytest.mark.usefixtures("energy")
@pytest.mark.parametrize("key", [METER, SESSION])
async def test_an_issue(
    hass: HomeAssistant, home: Home, issue_registry: ir.IssueRegistry, key: str
) -> None:
    """An issue says that both are chosen, until one of them is not."""
    history = {"stat_consumption": statistic_id(home.charger.id)}
    sensor = {"stat_consumption": home.entity_id("sensor", key)}
    issue = f"energy_counted_twice_{home.charger.id}"
    for devices, is_twice in (
        ([history], False),
        ([sensor], False),
        ([history, sensor], True),
        ([history], False),
    ):
        await choose(hass, *devices)
        await home.travel(70, step=35)
        assert (issue_registry.async_get_issue("zaptec", issue) is not None) is is_twice


@pytest.mark.usefixtures("energy")
@pytest.mark.parametrize(
    ("history_in", "sensor_in", "is_twice"),
    [
        (None, None, True),
        ("sensor.house", None, True),
        ("sensor", None, False),
        (None, "history", False),
    ],
)
async def test_devices_that_include_others(
    hass: HomeAssistant,
    home: Home,
    history_in: str | None,
    sensor_in: str | None,
    is_twice: bool,
) -> None:
    """A device that is included in another one is not counted again."""
    history = statistic_id(home.charger.id)
    sensor = home.entity_id("sensor", METER)
    names = {"history": history, "sensor": sensor}
    devices: list[dict[str, Any]] = []
    for device, parent in ((history, history_in), (sensor, sensor_in)):
        devices.append({"stat_consumption": device})
        if parent:
            devices[-1]["included_in_stat"] = names.get(parent, parent)
    await choose(hass, *devices)
    counted_twice = await async_counted_twice(hass)
    found = counted_twice([home.charger.id, "0d6f3c50-0000-4000-8000-00000000000b"])
    assert found == ({home.charger.id} if is_twice else set())


@pytest.mark.usefixtures("energy")
async def test_nothing_is_chosen(hass: HomeAssistant, home: Home) -> None:
    """Without any choice nothing is counted twice."""
    counted_twice = await async_counted_twice(hass)
    assert counted_twice([home.charger.id]) == set()


async def test_without_the_dashboard(hass: HomeAssistant, home: Home) -> None:
    """The Energy dashboard is no requirement."""
    assert "energy" not in hass.config.components
    counted_twice = await async_counted_twice(hass)
    assert counted_twice([home.charger.id]) == set()
