"""The power and current shown must agree with whether a car is connected."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers.event import async_track_state_change_event
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import Charger as ZaptecCharger, Observation, StateId
from custom_components.zaptec.state import LIST_LAG, ChargerState
from simulator.charger import Charger
from simulator.simulator import Simulator
from simulator.telemetry import StoredObservation

from .conftest import EntityFinder, TimeMachine, set_up, wait_until, wait_until_live
from .test_push import message

POWER = "total_charge_power"
DRAWN = {
    POWER: (StateId.TOTAL_CHARGE_POWER, "10969"),
    "current_phase1": (StateId.CURRENT_PHASE1, "15.9"),
    "current_phase2": (StateId.CURRENT_PHASE2, "15.8"),
    "current_phase3": (StateId.CURRENT_PHASE3, "15.9"),
}
MODE = StateId.CHARGER_OPERATION_MODE
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

type Send = Callable[..., None]


@pytest.fixture
def send(sim: Simulator, charger: Charger) -> Send:
    """Return a function that sends messages of the charger, in the given order, in one batch."""

    def publish(*facts: tuple[StateId, str | None], minutes: int = 1) -> None:
        for state_id, value in facts:
            body = message(charger, state_id, value, minutes)
            sim.bus.publish(charger.installation.topic, body)

    return publish


@pytest.fixture
async def charging(
    charger: Charger, live_entry: MockConfigEntry, entities: EntityFinder, send: Send
) -> None:
    """Let a car draw power on three phases."""
    send((MODE, "3"), *DRAWN.values())
    await entities.wait_for("sensor", charger.id, "current_phase3", "15.9")
    await entities.wait_for("sensor", charger.id, POWER, "10969.0")


@pytest.fixture
def written(
    hass: HomeAssistant, charger: Charger, charging: None, entities: EntityFinder
) -> list[str]:
    """Return a list that collects the powers shown from now on."""
    states: list[str] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        assert event.data["new_state"]
        states.append(event.data["new_state"].state)

    async_track_state_change_event(hass, entities.id("sensor", charger.id, POWER), note)
    return states


async def test_nothing_is_drawn_once_the_car_has_left(
    time_machine: TimeMachine,
    charger: Charger,
    charging: None,
    entities: EntityFinder,
    send: Send,
) -> None:
    """Power and currents show 0 after the car has left, although the charger never reported that."""
    send((MODE, "1"))
    for key in DRAWN:
        await entities.wait_for("sensor", charger.id, key, "0.0")
    await time_machine.travel(3600, step=300)
    assert {entities.state("sensor", charger.id, key) for key in DRAWN} == {"0.0"}


async def test_the_next_car_does_not_draw_what_the_last_one_drew(
    charger: Charger, charging: None, entities: EntityFinder, send: Send
) -> None:
    """A measurement from before the car was connected is not shown as its power."""
    send((MODE, "1"))
    await entities.wait_for("sensor", charger.id, POWER, "0.0")
    send((MODE, "2"), minutes=2)
    await entities.wait_for("binary_sensor", charger.id, "car_connected", "on")
    assert {entities.state("sensor", charger.id, key) for key in DRAWN} == {"0.0"}
    send((StateId.TOTAL_CHARGE_POWER, "7000"), minutes=9)
    await entities.wait_for("sensor", charger.id, POWER, "7000.0")
    # The currents of this car have not been measured yet.
    assert entities.state("sensor", charger.id, "current_phase1") == "0.0"


@pytest.mark.parametrize(
    "after", [[("513", "10500")], [("513", "10500"), ("513", "0.000")]]
)
async def test_a_late_power_does_not_flicker(
    charger: Charger,
    entities: EntityFinder,
    written: list[str],
    send: Send,
    after: list[tuple[str, str]],
) -> None:
    """Power that is reported just after the car has left is outdated, and not shown."""
    send((MODE, "1"))
    await entities.wait_for("sensor", charger.id, POWER, "0.0")
    late = [(StateId(int(state_id)), value) for state_id, value in after]
    send(*late, (StateId.HUMIDITY, "41"), minutes=2)
    await entities.wait_for("sensor", charger.id, "humidity", "41.0")
    assert written == ["0.0"]


async def test_what_comes_in_one_batch_is_written_once(
    hass: HomeAssistant,
    charger: Charger,
    live_entry: MockConfigEntry,
    written: list[str],
) -> None:
    """If mode and power arrive in one batch, the power is written once."""
    runtime = live_entry.runtime_data
    moment = datetime.now(UTC) + timedelta(minutes=3)
    runtime.states.apply(
        Observation(charger.id, state_id, moment, value)
        for state_id, value in ((MODE, "1"), (513, "0"), (507, "0"))
    )
    await hass.async_block_till_done()
    assert written == ["0.0"]


@pytest.mark.parametrize("mode", ["2", "5", "17", None])
async def test_only_the_absence_of_a_car_is_certain(
    charger: Charger,
    charging: None,
    entities: EntityFinder,
    send: Send,
    mode: str | None,
) -> None:
    """With a car, or with an unknown mode, the last measurement is shown."""
    send((MODE, mode), (StateId.HUMIDITY, "41"))
    await entities.wait_for("sensor", charger.id, "humidity", "41.0")
    assert entities.state("sensor", charger.id, POWER) == "10969.0"


async def test_what_the_cloud_is_silent_about_is_unknown(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """If the charger never reported a power, it is unknown rather than 0, even without a car."""
    for state_id, _ in DRAWN.values():
        charger.observations.pop(state_id, None)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    assert entities.state("sensor", charger.id, "charger_operation_mode") == (
        "disconnected"
    )
    assert entities.state("sensor", charger.id, POWER) == STATE_UNKNOWN


async def test_a_start_with_an_old_power_shows_none(
    hass: HomeAssistant,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """The first reading has no car but an old power, which the cloud never drops; 0 is shown."""
    moment = charger.clock.now() - timedelta(hours=1)
    for state_id, value in DRAWN.values():
        charger.observations[state_id] = StoredObservation(moment, value)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    assert {entities.state("sensor", charger.id, key) for key in DRAWN} == {"0.0"}


async def test_the_list_may_say_that_the_car_has_left(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    charging: None,
    entities: EntityFinder,
) -> None:
    """If there are no messages or readings, the hourly list may report that the car has left."""
    await sim.bus.cut()
    await entities.wait_for(
        "sensor", charger.installation.id, "push_status", "disconnected"
    )
    await time_machine.travel(LIST_LAG + 5)
    sim.rest.fail("/state$", fault=500)
    await live_entry.runtime_data.coordinator.async_refresh()
    await wait_until(
        lambda: entities.state("binary_sensor", charger.id, "car_connected") != "on"
    )
    state = live_entry.runtime_data.states[charger.id]
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == 0.0


@pytest.fixture
def state() -> ChargerState:
    """Return the state of a Go."""
    return ChargerState(
        ZaptecCharger(id="3f0c5f5e-0b8e-4d4b-9a51-5d0f1f6f2a01", device_type=4)
    )


def apply(
    state: ChargerState, state_id: int, value: str | None, seconds: float
) -> None:
    """Report a value some seconds after noon."""
    state.apply(Observation("", state_id, NOON + timedelta(seconds=seconds), value))


def test_a_reading_that_holds_power_and_car_in_any_order(
    state: ChargerState, freezer
) -> None:
    """The order within a reading does not matter; it is sorted by StateId, with power first."""
    freezer.move_to(NOON + timedelta(hours=1))
    apply(state, MODE, "1", 0)
    apply(state, 513, "7400", 30)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == 0.0
    apply(state, MODE, "2", 20)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == 7400.0
    # The mode changes again while the same car is connected.
    apply(state, MODE, "5", 50)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == 7400.0


@pytest.mark.parametrize(("measured", "shown"), [(-1, 0.0), (99, 7400.0)])
@pytest.mark.parametrize("ahead", [0, 7200])
def test_a_car_that_charges_before_it_is_reported(
    state: ChargerState, freezer, measured: float, shown: float, ahead: float
) -> None:
    """The power of a car is shown although the message of its connection was lost."""
    freezer.move_to(NOON + timedelta(hours=1))
    apply(state, 513, "7400", measured + ahead)
    freezer.tick(1)
    apply(state, MODE, "1", ahead)
    freezer.tick(1)
    if shown:
        apply(state, 513, "7400", measured + ahead)
    apply(state, MODE, "3", 100 + ahead)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == shown


def test_a_car_of_which_the_list_knew_nothing(state: ChargerState, freezer) -> None:
    """The list has no timestamps, so a power may be from before the car that it reports."""
    freezer.move_to(NOON + timedelta(hours=1))
    apply(state, MODE, "3", 0)
    apply(state, 513, "10969", 60)
    freezer.tick(LIST_LAG + 1)
    assert state.apply_listed(MODE, "", "1")
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == 0.0
    apply(state, MODE, "3", 100)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == 0.0


@pytest.mark.parametrize(("measured", "shown"), [(3600, 7400.0), (3590, 0.0)])
def test_a_clock_ahead_that_stays_so(
    state: ChargerState, freezer, measured: float, shown: float
) -> None:
    """If the charger's clock is ahead, its own timestamps still order power and mode."""
    freezer.move_to(NOON)
    apply(state, MODE, "1", 3000)
    freezer.tick(5)
    apply(state, 513, "7400", measured)
    freezer.tick(5)
    apply(state, MODE, "2", 3595)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == shown


def test_a_clock_ahead_that_is_set_right(state: ChargerState, freezer) -> None:
    """After the clock is corrected, a power has an earlier timestamp than the car but counts."""
    freezer.move_to(NOON)
    apply(state, 513, "10969", -60)
    apply(state, MODE, "1", 3000)
    freezer.tick(5)
    apply(state, MODE, "2", 3600)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == 0.0
    freezer.tick(60)
    apply(state, 513, "7400", 65)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) == 7400.0


def test_a_text_that_is_no_power(state: ChargerState) -> None:
    """A power that cannot be parsed is shown as unknown, with and without a car."""
    apply(state, 513, "much", 0)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) is None
    apply(state, MODE, "1", 0)
    assert state.drawn(StateId.TOTAL_CHARGE_POWER) is None
