"""Live messages where a firewall blocks port 5671, port 443, or both."""

from collections import Counter
import logging

from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import azure_link
from custom_components.zaptec.diagnostics import async_get_config_entry_diagnostics
from custom_components.zaptec.sources import link as link_module
from custom_components.zaptec.sources.feed import HEALTHY_TIME
from custom_components.zaptec.sources.link import OPEN_PATIENCE
from simulator.car import Car
from simulator.port import BLOCKS, Block
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .home import Home
from .time_machine import TimeMachine, calm_down, wait_until

PATIENCE = OPEN_PATIENCE


@pytest.fixture(autouse=True)
def _real_limits(
    _patient_start: None,
    monkeypatch: pytest.MonkeyPatch,
    sim: Simulator,
    clocks: object,
) -> None:
    """Keep the real time limits, and say where the simulator's WebSocket is."""
    monkeypatch.setattr(link_module, "OPEN_PATIENCE", PATIENCE)
    monkeypatch.setattr(azure_link, "FIRST_OPEN_TIMEOUT", 10.0)
    monkeypatch.setenv(
        azure_link.WEB_SOCKET_PORT_VARIABLE, str(sim.bus.web_socket.number)
    )


def readings(sim: Simulator) -> Counter[str]:
    """Return how often the state of each charger was requested."""
    return Counter(
        record.path for record in sim.rest.requests if record.path.endswith("/state")
    )


def details_requests(sim: Simulator) -> int:
    """Return how often connection details were requested."""
    return sum(
        record.path.endswith("messagingConnectionDetails")
        for record in sim.rest.requests
    )


def transport(home: Home) -> object:
    """Return the attribute of the sensor *Live messages*."""
    state = home.hass.states.get(home.entity_id("sensor", "push_status"))
    assert state
    return state.attributes["transport"]


async def diagnosed(home: Home) -> object:
    """Return the transport in the diagnostics."""
    diagnostics = await async_get_config_entry_diagnostics(home.hass, home.entry)
    (installation,) = diagnostics["installations"].values()
    return installation["link"]["transport"]


async def wait_for_link(home: Home) -> None:
    """Let time pass until the messages arrive again."""
    await home.time_machine.travel_until(
        lambda: home.state("sensor", "push_status") == "connected", step=0.5
    )


@pytest.mark.parametrize("scenario", [Scenario.of(1), Scenario.of(3)])
@pytest.mark.parametrize("how", ["dropped", "silent"])
async def test_newcomers_do_not_wait_for_a_firewall(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    new_home: Home,
    how: Block,
) -> None:
    """The first values are there after 2 s, and the messages follow by WebSocket after 10 s."""
    home = new_home
    await sim.bus.block(sim.bus.direct, how)
    await hass.config_entries.async_setup(home.entry.entry_id)
    await hass.async_block_till_done()
    await wait_until(lambda: details_requests(sim) == 1)
    await calm_down()
    assert not readings(sim)
    for _ in range(5):
        time_machine.tick(0.5)
        await calm_down()
    await wait_until(lambda: len(readings(sim)) == len(sim.chargers))
    await home.wait_for("sensor", "total_charge_power", "0.0")
    assert home.state("sensor", "push_status") == "connecting"
    assert transport(home) is None
    assert await diagnosed(home) is None

    for _ in range(15):
        time_machine.tick(0.5)
        await calm_down()
    await wait_until(lambda: sim.bus.connections == 1)
    await home.wait_until_live()
    assert transport(home) == "amqp_over_websocket"
    assert await diagnosed(home) == "amqp_over_websocket"
    await time_machine.travel(60)
    # What was read before the messages arrived may be outdated.
    assert set(readings(sim).values()) == {2}
    assert details_requests(sim) == 1

    home.charger.plug_in(Car())
    await home.wait_for("sensor", "charger_operation_mode", "connected_requesting")
    assert set(readings(sim).values()) == {2}


@pytest.mark.parametrize("scenario", [Scenario.of(1), Scenario.of(3)])
async def test_a_normal_start_reads_each_charger_once(
    sim: Simulator, home: Home, time_machine: TimeMachine
) -> None:
    """If port 5671 is open, it is used, and no charger is read before the messages arrive."""
    await time_machine.travel(60)
    assert set(readings(sim).values()) == {1}
    assert len(readings(sim)) == len(sim.chargers)
    assert details_requests(sim) == 1
    assert transport(home) == await diagnosed(home) == "amqp"


@pytest.mark.parametrize("how", ["refused", "reset"])
async def test_a_port_that_answers_costs_no_time(
    hass: HomeAssistant, sim: Simulator, new_home: Home, how: Block
) -> None:
    """If port 5671 is refused or reset, the WebSocket is opened at once."""
    await sim.bus.block(sim.bus.direct, how)
    await new_home.start()
    assert transport(new_home) == "amqp_over_websocket"
    assert set(readings(sim).values()) == {1}
    assert details_requests(sim) == 1


@pytest.mark.parametrize("how", BLOCKS)
async def test_a_port_is_blocked_while_running(
    home: Home, sim: Simulator, how: Block, caplog: pytest.LogCaptureFixture
) -> None:
    """The messages arrive by the other port, which is remembered, and come back in turn."""
    caplog.set_level(logging.INFO)
    await sim.bus.block(sim.bus.direct, how)
    await home.wait_for("sensor", "push_status", "disconnected")
    assert transport(home) is None
    await wait_for_link(home)
    assert transport(home) == "amqp_over_websocket"

    await sim.bus.unblock(sim.bus.direct)
    sim.bus.drop_connections()
    await home.wait_for("sensor", "push_status", "disconnected")
    await wait_for_link(home)
    assert transport(home) == "amqp_over_websocket"

    await sim.bus.block(sim.bus.web_socket, how)
    await home.wait_for("sensor", "push_status", "disconnected")
    await wait_for_link(home)
    assert transport(home) == await diagnosed(home) == "amqp"
    assert caplog.text.count("arrive by WebSocket (port 443), because AMQP") == 1


@pytest.mark.parametrize("how", BLOCKS)
async def test_both_ports_are_blocked(
    home: Home, sim: Simulator, how: Block, caplog: pytest.LogCaptureFixture
) -> None:
    """Without any port, the chargers are polled, and the log says what failed, once."""
    caplog.set_level(logging.INFO)
    home.clear()
    for port in sim.bus.ports:
        await sim.bus.block(port, how)
    await home.wait_for("sensor", "push_status", "disconnected")
    home.charger.plug_in(Car())
    await home.travel(700)
    assert home.mode == "connected_charging"
    assert transport(home) is None
    diagnostics = await async_get_config_entry_diagnostics(home.hass, home.entry)
    (installation,) = diagnostics["installations"].values()
    fault = installation["link"]["fault"]
    assert "by AMQP (port 5671): " in fault
    assert "; by WebSocket (port 443): " in fault
    # An attempt in progress would end by the WebSocket, so open the ports after one has failed.
    (link,) = home.entry.runtime_data.links.connections
    failed_at = link.fault_at
    await home.time_machine.travel_until(lambda: link.fault_at != failed_at, step=0.5)
    for port in sim.bus.ports:
        await sim.bus.unblock(port)
    await wait_for_link(home)
    assert transport(home) == "amqp"
    await home.time_machine.travel(HEALTHY_TIME + 5)
    assert caplog.text.count("Push is lost") == caplog.text.count("Push is back") == 1


@pytest.mark.parametrize("seconds", [0.0, 5.0, 10.5, 15.0])
async def test_a_stop_while_a_port_is_tried(
    hass: HomeAssistant,
    sim: Simulator,
    entry: MockConfigEntry,
    time_machine: TimeMachine,
    seconds: float,
) -> None:
    """Unloading ends whatever attempt is in progress; the fixtures find what is left of it."""
    for port in sim.bus.ports:
        await sim.bus.block(port, "silent")
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    await wait_until(lambda: details_requests(sim) == 1)
    while seconds > 0:
        time_machine.tick(0.5)
        await calm_down()
        seconds -= 0.5
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert sim.bus.connections == 0
