"""The first values after a start, if the link comes up at once, late or never."""

from collections import Counter

from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.sources import reader as reader_module
from custom_components.zaptec.sources.reader import CONNECT_PATIENCE
from simulator.charger import Charger
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, set_up, wait_until, wait_until_live

PATIENCE = CONNECT_PATIENCE


@pytest.fixture(autouse=True)
def _real_patience(
    _patient_start: None, monkeypatch: pytest.MonkeyPatch, clocks: object
) -> None:
    """Keep the real time to wait for the link."""
    monkeypatch.setattr(reader_module, "CONNECT_PATIENCE", PATIENCE)


def readings(sim: Simulator) -> Counter[str]:
    """Return how often the state of each charger was requested."""
    return Counter(
        record.path for record in sim.rest.requests if record.path.endswith("/state")
    )


@pytest.mark.parametrize("scenario", [Scenario.of(1), Scenario.of(3)])
@pytest.mark.parametrize("fault", ["packets", "details", "silence"])
async def test_values_come_within_10_s_without_the_link(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
    fault: str,
) -> None:
    """Values come within 10 s if a firewall drops the link's packets, or the details are late."""
    if fault == "packets":
        await sim.bus.drop_packets()
    elif fault == "details":
        sim.rest.fail("messagingConnectionDetails", fault="hang")
    else:
        sim.bus.stall_sasl = True
    await set_up(hass, entry)
    passed = 0.0
    while passed < PATIENCE - 1:
        time_machine.tick(1)
        passed += 1
        await hass.async_block_till_done()
    assert entities.state("sensor", charger.id, "charger_operation_mode") in (
        STATE_UNKNOWN,
        "disconnected",
    )
    assert not readings(sim)
    while passed < 8:
        time_machine.tick(1)
        passed += 1
        await hass.async_block_till_done()
    await wait_until(lambda: set(readings(sim).values()) == {1})
    await wait_until(lambda: len(readings(sim)) == len(sim.chargers))
    await entities.wait_for("sensor", charger.id, "total_charge_power", "0.0")
    assert (
        entities.state("sensor", charger.installation.id, "push_status") == "connecting"
    )


async def test_the_link_that_comes_up_late_reads_once_more(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """A link that comes up late reads again, for changes since the first reading."""
    sim.rest.fail("messagingConnectionDetails", fault="hang")
    await set_up(hass, entry)
    time_machine.tick(PATIENCE)
    await wait_until(lambda: set(readings(sim).values()) == {1})
    await entities.wait_for("sensor", charger.id, "total_charge_power", "0.0")
    sim.rest.heal()
    await time_machine.travel(40)
    await wait_until_live(hass, entry)
    await time_machine.travel(20)
    assert set(readings(sim).values()) == {2}


@pytest.mark.parametrize("scenario", [Scenario.of(1), Scenario.of(3)])
async def test_a_healthy_start_reads_each_charger_once(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
) -> None:
    """If the link comes up at once, its reading replaces the planned one."""
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    await time_machine.travel(60)
    assert set(readings(sim).values()) == {1}
    assert len(readings(sim)) == len(sim.chargers)
