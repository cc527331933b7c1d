"""What automations and templates see when Home Assistant starts."""

from collections.abc import AsyncGenerator
import logging

from homeassistant.const import (
    EVENT_HOMEASSISTANT_STARTED,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_capture_events,
)

from custom_components.zaptec.sources import reader as reader_module
from custom_components.zaptec.sources.reader import FIRST_READINGS_TIME
from simulator.car import Car
from simulator.charger import Charger
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import TimeMachine, wait_until, wait_until_live
from .time_machine import calm_down

WAIT = FIRST_READINGS_TIME


@pytest.fixture(autouse=True)
def _as_users_set_up(
    _quick_set_up: None, monkeypatch: pytest.MonkeyPatch, clocks: object
) -> None:
    """Keep the real time to wait for the first readings."""
    monkeypatch.setattr(reader_module, "FIRST_READINGS_TIME", WAIT)


@pytest.fixture
async def starting(hass: HomeAssistant) -> AsyncGenerator[None]:
    """Let Home Assistant be starting, so that automations wait until it has started."""
    hass.set_state(CoreState.not_running)
    yield
    assert hass.state is CoreState.running


async def started(hass: HomeAssistant) -> None:
    """Finish the start of Home Assistant."""
    hass.set_state(CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    await hass.async_block_till_done()


@pytest.mark.parametrize(
    ("sensor", "trigger"),
    [
        ("charge_power", {"trigger": "numeric_state", "above": 1000}),
        ("current_phase_1", {"trigger": "numeric_state", "above": 5}),
        ("charger_mode", {"trigger": "state", "to": "connected_charging"}),
    ],
)
@pytest.mark.usefixtures("starting")
async def test_a_start_while_a_car_charges(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    charger: Charger,
    entry: MockConfigEntry,
    sensor: str,
    trigger: dict[str, object],
) -> None:
    """A start while a car charges triggers no automation, because nothing has changed."""
    charger.plug_in(Car())
    time_machine.tick(60)
    entity_id = f"sensor.space_1_{sensor}"
    fired = async_capture_events(hass, "charges")
    assert await async_setup_component(
        hass,
        "automation",
        {
            "automation": {
                "alias": "The car charges",
                "triggers": {"entity_id": entity_id, **trigger},
                "actions": {"event": "charges"},
            }
        },
    )
    assert await hass.config_entries.async_setup(entry.entry_id)
    state = hass.states.get(entity_id)
    assert state
    assert state.state not in (STATE_UNAVAILABLE, STATE_UNKNOWN, "0.0")
    await started(hass)
    await wait_until_live(hass, entry)
    assert fired == []


@pytest.mark.parametrize(
    "sensor", ["energy_meter", "session_total_charge", "charge_power"]
)
@pytest.mark.usefixtures("starting")
async def test_a_template_that_needs_a_number(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
    sensor: str,
) -> None:
    """A template that needs a number finds one when Home Assistant has started."""
    charger.plug_in(Car())
    assert await hass.config_entries.async_setup(entry.entry_id)
    assert await async_setup_component(
        hass,
        "template",
        {
            "template": {
                "sensor": {
                    "name": "Twice",
                    "state": f"{{{{ states('sensor.space_1_{sensor}') | float * 2 }}}}",
                }
            }
        },
    )
    await started(hass)
    await wait_until_live(hass, entry)
    state = hass.states.get("sensor.twice")
    assert state
    assert float(state.state) >= 0
    assert not [item for item in caplog.records if item.levelno >= logging.ERROR]


@pytest.mark.parametrize("scenario", [Scenario.of(13)])
async def test_the_first_ten_of_many(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """Set-up waits for the values of the first ten chargers, and not for the others."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    known = [
        state
        for state in hass.states.async_all("sensor")
        if state.entity_id.endswith("_charger_mode") and state.state == "disconnected"
    ]
    assert len(known) >= 10


@pytest.mark.parametrize("scenario", [Scenario.of(130)])
async def test_links_are_opened_in_the_order_of_the_chargers(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """The links of the chargers that the set-up waits for are opened first."""
    assert await hass.config_entries.async_setup(entry.entry_id)
    runtime = entry.runtime_data
    assert list(runtime.links) == list(runtime.coordinator.data.installations)
    assert len(runtime.links) == 6


@pytest.mark.parametrize("fault", ["hang", "status", "link"])
async def test_a_cloud_that_does_not_answer(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entry: MockConfigEntry,
    fault: str,
) -> None:
    """If the cloud hangs, the start continues after some seconds; after a refusal, at once."""
    if fault == "hang":
        sim.rest.fail("/state", fault="hang")
    elif fault == "status":
        sim.rest.fail("/state", fault=403)
    else:
        await sim.bus.drop_packets()
        # `conftest` delays readings without a link, so they do not disturb this test.
    task = hass.async_create_task(hass.config_entries.async_setup(entry.entry_id))
    if fault != "status":
        await wait_until(lambda: bool(getattr(entry, "runtime_data", None)))
        await time_machine.spin()
        passed = 0.0
        while not task.done() and passed < 30:
            time_machine.tick(0.5)
            passed += 0.5
            await calm_down()
        assert passed < 30
    assert await task
    states = hass.states.async_all("sensor")
    assert any(state.state in (STATE_UNAVAILABLE, STATE_UNKNOWN) for state in states)
    sim.rest.heal()
