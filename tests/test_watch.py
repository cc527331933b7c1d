"""Links that are connected but do not deliver all messages, over real sockets."""

import asyncio
from collections.abc import Callable
import json
import logging
from unittest.mock import patch

from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.sources.feed import HEALTHY_TIME
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.scenario import Scenario
from simulator.servicebus import TIME_TO_LIVE
from simulator.simulator import Simulator

from .another_reader import another_reader
from .conftest import EntityFinder, TimeMachine, wait_until
from .time_machine import real_seconds


async def seconds_until(
    time_machine: TimeMachine, condition: Callable[[], bool], at_most: float
) -> float:
    """Let time pass until a condition is met; return how long that took (s)."""
    passed = 0.0
    while not condition() and passed < at_most:
        await time_machine.travel(5)
        passed += 5
    # On a busy machine, a request that was sent in time may not be answered yet.
    end = real_seconds() + 3.0
    while not condition():
        assert real_seconds() < end, f"Not found within {at_most:.0f} s"
        await asyncio.sleep(0.005)
    return passed


def readings(sim: Simulator) -> int:
    """Return the number of requests for the state of a charger."""
    return sum(record.path.endswith("/state") for record in sim.rest.requests)


async def test_a_silent_link_is_found_within_8_minutes(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A link without messages during a charge is reopened, and its chargers are polled."""
    installation_id = charger.installation.id
    charger.plug_in(Car())
    await time_machine.travel(120)
    publish = sim.bus.publish
    sim.bus.publish = lambda topic, body: None
    opened = sim.bus.attach_count(charger.installation.topic)
    await time_machine.travel(480)
    await entities.wait_for("sensor", installation_id, "push_status", "disconnected")
    assert caplog.text.count("Push is lost") == 1

    # Polling shows the true state, and the link is not reopened repeatedly.
    charger.unplug()
    await time_machine.travel(90)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "disconnected"
    )
    await time_machine.travel(1800, step=20)
    assert sim.bus.attach_count(charger.installation.topic) == opened + 1

    # Only a message with an observation of a charger proves that the link works again.
    sim.bus.publish = publish
    publish(charger.installation.topic, b"nothing of a charger")
    link = live_entry.runtime_data.links[installation_id]
    await wait_until(lambda: link.counters.bad_messages == 1)
    assert entities.state("sensor", installation_id, "push_status") == "disconnected"
    charger.plug_in(Car())
    await entities.wait_for("sensor", installation_id, "push_status", "connected")
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )
    await time_machine.travel(HEALTHY_TIME + 5)
    assert caplog.text.count("Push is back") == 1


async def test_a_quiet_link_is_left_alone(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A link that is silent because nothing happens stays open, at two readings an hour."""
    monkeypatch.setattr(sim.bus, "publish", lambda topic, body: None)
    charger.stop_pulse()
    await time_machine.travel(60)
    sim.rest.clear()
    opened = sim.bus.attach_count(charger.installation.topic)
    await time_machine.travel(3600, step=20)
    assert readings(sim) <= 2
    assert sim.bus.attach_count(charger.installation.topic) == opened
    assert (
        entities.state("sensor", charger.installation.id, "push_status") == "connected"
    )


async def test_a_healthy_charge_costs_no_reading(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """While messages arrive without gaps, no charger is read."""
    sim.rest.clear()
    charger.plug_in(Car())
    await time_machine.travel(1800, step=15)
    assert readings(sim) == 0


@pytest.mark.parametrize("scenario", [Scenario.of(2)])
async def test_another_program_is_found_and_its_going_too(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A second reader that takes half of the messages is noticed, and so is its end.

    Meanwhile, readings replace the lost messages within about a minute.
    """
    installation_id = charger.installation.id
    link = live_entry.runtime_data.links[installation_id]
    charger.plug_in(Car())
    await time_machine.travel(60)
    async with another_reader(sim, charger.installation):
        await seconds_until(time_machine, lambda: link.shared_since is not None, 480)
        assert link.is_incomplete
        assert "another program seems to read them" in caplog.text
        issues = ir.async_get(hass)
        issue_id = f"push_shared_{installation_id}"
        await time_machine.travel(60)
        assert issues.async_get_issue(DOMAIN, issue_id)
        charger.unplug()
        await time_machine.travel(75)
        await entities.wait_for(
            "sensor", charger.id, "charger_operation_mode", "disconnected"
        )
        assert entities.state("sensor", installation_id, "push_status") == "connected"
        charger.plug_in(Car())
        await time_machine.travel(60)
    await time_machine.travel(1500, step=15)
    assert not link.is_incomplete
    assert link.shared_since is None
    assert caplog.text.count("All messages of installation") == 1
    await time_machine.travel(60)
    assert not issues.async_get_issue(DOMAIN, issue_id)
    sim.rest.clear()
    await time_machine.travel(1200, step=15)
    assert readings(sim) == 0


async def test_a_gap_soon_after_another_is_not_forgotten(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """A gap within a minute of another one is read, too, a minute after the first reading."""
    topic = sim.bus.topic(charger.installation.topic)

    def lose(_name: str, _body: bytes) -> None:
        topic.skip(1)

    # The first message of a link cannot show a gap, and the first gap loses no new value.
    charger.observe(StateId.HUMIDITY, 1.0)
    await time_machine.travel(20)
    sim.rest.clear()
    for power in (0.0, 2000.0):
        with patch.object(sim.bus, "publish", lose):
            charger.observe(StateId.TOTAL_CHARGE_POWER, power)
        charger.observe(StateId.HUMIDITY, 2.0 + power)
        await time_machine.travel(30)
    state = live_entry.runtime_data.states[charger.id]
    assert state.value(StateId.TOTAL_CHARGE_POWER) == 0.0
    assert readings(sim) == 1
    await seconds_until(
        time_machine,
        lambda: state.value(StateId.TOTAL_CHARGE_POWER) == 2000.0,
        125,
    )
    assert readings(sim) == 2
    # The first gap lost a repeated value, which proves nothing. The second one lost a new
    # value, which proves that messages are missing, even if a later message hides it.
    charger.observe(StateId.TOTAL_CHARGE_POWER, 2100.0)
    link = live_entry.runtime_data.links[charger.installation.id]
    await seconds_until(time_machine, lambda: link.is_incomplete, 125)


async def test_what_is_too_large_for_a_message_is_read(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
) -> None:
    """A message that is too large, such as the signed session of weeks, leads to a reading.

    The message itself cannot be decoded, but it has arrived, so it is not counted as a loss.
    """
    link = live_entry.runtime_data.links[charger.installation.id]

    def shown() -> str:
        return entities.state("sensor", charger.id, "completed_session.Energy")

    charger.observe(StateId.COMPLETED_SESSION, json.dumps({"Energy": 1.0}))
    await time_machine.travel(20)
    sim.rest.clear()
    for number, (energy, bound) in enumerate(((7.5, 20), (8.5, 125)), start=1):
        session = {"Energy": energy, "SignedSession": "x" * 70_000}
        charger.observe(StateId.COMPLETED_SESSION, json.dumps(session))
        # On a busy machine a message of this size takes longer than some jumps in time.
        await wait_until(lambda number=number: link.counters.bad_messages == number)
        await seconds_until(
            time_machine, lambda energy=energy: shown() == str(energy), bound
        )
    await time_machine.travel(130)
    assert link.counters.bad_messages == 2
    assert link.counters.losses == 0
    assert readings(sim) == 2


async def test_numbers_that_are_not_ours_alone_prove_nothing(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """If sequence numbers are shared with others, gaps soon cost no more than a reading an hour."""
    topic = sim.bus.topic(charger.installation.topic)
    publish = sim.bus.publish

    def publish_with_gaps(name: str, body: bytes) -> None:
        topic.skip(3)
        publish(name, body)

    sim.bus.publish = publish_with_gaps
    charger.plug_in(Car())
    await time_machine.travel(1200, step=15)
    assert 4 <= readings(sim) <= 1 + 6
    await time_machine.travel(1200, step=15)
    sim.rest.clear()
    await time_machine.travel(3600, step=20)
    assert readings(sim) <= 1
    link = live_entry.runtime_data.links[charger.installation.id]
    assert link.counters.losses == 0
    assert not link.is_incomplete


async def test_the_list_is_compared_with_what_was_pushed(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the list contradicts the pushed state and a reading confirms it, a message was lost."""
    link = live_entry.runtime_data.links[charger.installation.id]
    monkeypatch.setattr(sim.bus, "publish", lambda topic, body: None)
    charger.plug_in(Car(wants=False))
    await time_machine.travel(90)
    await live_entry.runtime_data.coordinator.async_refresh()
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_finished"
    )
    assert link.counters.losses == 0
    await time_machine.travel(130)
    assert link.counters.losses == 1
    assert (
        entities.state("sensor", charger.id, "charger_operation_mode")
        != STATE_UNAVAILABLE
    )
    await wait_until(lambda: link.counters.connects == 2)


@pytest.mark.parametrize(
    ("fault", "is_charging", "bound"),
    [
        # The clocks move in steps of 5 s, so each of the two timers may be 5 s late.
        ("frozen", False, 280 + 10),
        ("half open", False, 280 + 10),
        ("undelivered", True, 280 + 20),
        ("elsewhere", True, 480),
        ("lost", True, 300),
        ("elsewhere", False, 33 * 60),
    ],
)
async def test_the_time_to_detection(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    is_charging: bool,
    bound: float,
) -> None:
    """Each kind of silence is noticed within the time that docs/how-it-works.md states."""
    monkeypatch.setattr("custom_components.zaptec.api.azure_link.PROBE_TIMEOUT", 20.0)
    link = live_entry.runtime_data.links[charger.installation.id]
    if is_charging:
        charger.plug_in(Car())
        await time_machine.travel(60)
    match fault:
        case "frozen":
            sim.bus.freeze()
        case "half open":
            sim.bus.forget_connections()
        case _:
            sim.bus.interfere(charger.installation.topic, fault)
    if not is_charging:
        charger.plug_in(Car(wants=False))
    taken = await seconds_until(
        time_machine,
        lambda: link.status != "connected" or link.is_incomplete,
        bound,
    )
    logging.getLogger(__name__).info("Found after %.0f s: %s", taken, fault)
    sim.bus.thaw()


async def test_no_message_expires_unnoticed_in_a_frozen_bus(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the bus freezes until its messages expire, the chargers are read after that.

    The sequence numbers would show the loss only with the next message, which may come hours
    later. So the link has to be found dead before the service drops the first message.
    """
    monkeypatch.setattr("custom_components.zaptec.api.azure_link.PROBE_TIMEOUT", 20.0)
    link = live_entry.runtime_data.links[charger.installation.id]
    charger.plug_in(Car(wants=False))
    await entities.wait_for("binary_sensor", charger.id, "car_connected", "on")
    sim.bus.freeze()
    charger.unplug()
    expiry = TIME_TO_LIVE.total_seconds()
    taken = await seconds_until(
        time_machine, lambda: link.status != "connected", expiry
    )
    time_machine.tick(expiry - taken)
    sim.bus.thaw()
    await entities.wait_for("binary_sensor", charger.id, "car_connected", "off")
