"""Timestamps at the ends of the calendar do not spoil the rest of a reading."""

from datetime import UTC, datetime, timedelta

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from simulator.charger import Charger
from simulator.observations import StateId
from simulator.simulator import Simulator
from simulator.telemetry import StoredObservation

from .conftest import EntityFinder, TimeMachine, wait_until
from .test_push import message

STAMPS = [
    "9999-12-31T23:59:59.9999999Z",
    "9999-12-31T23:59:59.9999999-05:00",
    "9999-12-31T23:59:59.9999999+05:00",
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+05:00",
    "0001-01-01T00:00:00-05:00",
]


def read_again(entry: MockConfigEntry, charger: Charger) -> None:
    """Read a charger as soon as the cloud's cache has expired."""
    entry.runtime_data.reader.read(charger.id)


@pytest.mark.parametrize(
    "end", [datetime.max.replace(microsecond=990_000), datetime.min]
)
async def test_a_reading_with_such_a_stamp_is_read(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    caplog: pytest.LogCaptureFixture,
    end: datetime,
) -> None:
    """A reading with such a timestamp is applied, and so are the readings after it."""
    charger.observations[StateId.TOTAL_CHARGE_POWER] = StoredObservation(
        end.replace(tzinfo=UTC), "1.0"
    )
    for humidity in ("50", "51", "52"):
        charger.observations[StateId.HUMIDITY] = StoredObservation(
            charger.clock.now() + timedelta(seconds=1), humidity
        )
        read_again(live_entry, charger)
        await time_machine.travel(20)
        await entities.wait_for("sensor", charger.id, "humidity", f"{humidity}.0")
    assert "Unexpected error" not in caplog.text


@pytest.mark.parametrize("stamp", STAMPS)
async def test_a_message_with_such_a_stamp_spoils_no_reading(
    time_machine: TimeMachine,
    sim: Simulator,
    charger: Charger,
    live_entry: MockConfigEntry,
    entities: EntityFinder,
    caplog: pytest.LogCaptureFixture,
    stamp: str,
) -> None:
    """A message with such a timestamp spoils neither later readings nor later messages."""
    topic = charger.installation.topic
    sim.bus.publish(topic, message(charger, 711, "0", Timestamp=stamp))
    sim.bus.publish(topic, message(charger, 513, "7.0", Timestamp=stamp))
    sim.bus.publish(topic, message(charger, 270, "50"))
    await entities.wait_for("sensor", charger.id, "humidity", "50.0")
    charger.observations[StateId.TEMPERATURE_INTERNAL5] = StoredObservation(
        charger.clock.now() + timedelta(seconds=1), "44.0"
    )
    read_again(live_entry, charger)
    await time_machine.travel(20)
    await entities.wait_for("sensor", charger.id, "temperature_internal5", "44.0")
    link = live_entry.runtime_data.links[charger.installation.id]
    await wait_until(lambda: link.counters.messages == 3)
    assert "Unexpected error" not in caplog.text
    assert sim.bus.attach_count(topic) == 1
