"""Links that are up and do not tell all that happens, over real sockets."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import (
    ConnectionDetails,
    Subscription,
    SubscriptionError,
)
from simulator.car import Car
from simulator.charger import Charger
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, wait_until


@asynccontextmanager
async def another_program(sim: Simulator, charger: Charger) -> AsyncGenerator[None]:
    """Read the same subscription, which gives each message to one of the two."""
    document = sim.connection_details(charger.installation)
    stream = Subscription(ConnectionDetails.from_json(document), allow_plain=True)

    async def read() -> None:
        with suppress(SubscriptionError):
            async for _ in stream:
                pass

    async with stream:
        reading = asyncio.create_task(read())
        await sim.bus.wait_until(
            lambda: sim.bus.consumers(charger.installation.topic) == 2
        )
        yield
        reading.cancel()
        await asyncio.wait([reading])
    await sim.bus.wait_until(lambda: sim.bus.consumers(charger.installation.topic) == 1)


def readings(sim: Simulator) -> int:
    """Return how many chargers' states were asked for."""
    return sum(record.path.endswith("/state") for record in sim.rest.requests)


async def test_a_link_that_tells_nothing_is_found_within_8_minutes(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its messages go elsewhere: it is opened anew, and its chargers are polled."""
    installation_id = charger.installation.id
    charger.plug_in(Car())
    await time_machine.travel(120)
    publish = sim.bus.publish
    sim.bus.publish = lambda topic, body: None  # type: ignore[method-assign]
    opened = sim.bus.attach_count(charger.installation.topic)
    await time_machine.travel(480)
    await entities.wait_for("sensor", installation_id, "push_status", "disconnected")
    assert caplog.text.count("Push is lost") == 1

    # Polled, it shows what is; the link is not opened again and again.
    charger.unplug()
    await time_machine.travel(90)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "disconnected"
    )
    await time_machine.travel(1800, step=20)
    assert sim.bus.attach_count(charger.installation.topic) == opened + 1

    # The first message is the proof that it speaks again.
    sim.bus.publish = publish  # type: ignore[method-assign]
    charger.plug_in(Car())
    await entities.wait_for("sensor", installation_id, "push_status", "connected")
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )
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
    """Nothing happens, so nothing is told: that costs two readings an hour."""
    monkeypatch.setattr(sim.bus, "publish", lambda topic, body: None)
    monkeypatch.setattr(charger, "_pulse", lambda: None)
    # What the simulated charger measures all the time is not told of as a change.
    monkeypatch.setattr(charger, "_store", lambda *args, **kwargs: None, raising=False)
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
    """Messages that come are all that is needed."""
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
    """Half of the messages are gone; what they told is read within a minute or so."""
    installation_id = charger.installation.id
    link = live_entry.runtime_data.links[installation_id]
    charger.plug_in(Car())
    await time_machine.travel(60)
    async with another_program(sim, charger):
        await time_machine.travel(300)
        assert link.loses_messages
        assert link.shared_since is not None
        assert "another program seems to read them" in caplog.text
        charger.unplug()
        await time_machine.travel(75)
        await entities.wait_for(
            "sensor", charger.id, "charger_operation_mode", "disconnected"
        )
        assert entities.state("sensor", installation_id, "push_status") == "connected"
        charger.plug_in(Car())
        await time_machine.travel(60)
    await time_machine.travel(900, step=15)
    assert not link.loses_messages
    assert link.shared_since is None
    assert caplog.text.count("All messages of installation") == 1
    sim.rest.clear()
    await time_machine.travel(1200, step=15)
    assert readings(sim) == 0


async def test_numbers_that_are_not_ours_alone_prove_nothing(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
) -> None:
    """Gaps without a loss cost a few readings, and soon one an hour."""
    topic = sim.bus._topics[charger.installation.topic]
    publish = sim.bus.publish

    def publish_with_gaps(name: str, body: bytes) -> None:
        topic._sequence_number += 3
        publish(name, body)

    sim.bus.publish = publish_with_gaps  # type: ignore[method-assign]
    charger.plug_in(Car())
    await time_machine.travel(1200, step=15)
    assert 1 <= readings(sim) <= 1 + 3
    sim.rest.clear()
    await time_machine.travel(3600, step=20)
    assert readings(sim) <= 1
    link = live_entry.runtime_data.links[charger.installation.id]
    assert link.losses == 0
    assert not link.loses_messages


async def test_the_list_is_compared_with_what_was_pushed(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where they differ the charger is read, and the stream is to blame."""
    link = live_entry.runtime_data.links[charger.installation.id]
    monkeypatch.setattr(sim.bus, "publish", lambda topic, body: None)
    charger.plug_in(Car(wants=False))
    await time_machine.travel(90)
    await live_entry.runtime_data.async_refresh()
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_finished"
    )
    assert link.losses == 0
    await time_machine.travel(130)
    assert link.losses == 1
    assert (
        entities.state("sensor", charger.id, "charger_operation_mode")
        != STATE_UNAVAILABLE
    )
    await wait_until(lambda: link.connects == 2)
