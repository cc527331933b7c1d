"""The message stream over real sockets: outages, odd messages, and new or removed chargers."""

from collections import defaultdict
from datetime import timedelta
import json
from unittest.mock import patch

from homeassistant.components.homeassistant import (
    DOMAIN as HOMEASSISTANT_DOMAIN,
    SERVICE_UPDATE_ENTITY,
)
from homeassistant.const import (
    ATTR_ENTITY_ID,
    EVENT_STATE_CHANGED,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
import pytest

from custom_components.zaptec.api import (
    Observation,
    StateId,
    ZaptecClient,
    ZaptecRejectedError,
)
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.sources.feed import HEALTHY_TIME
from custom_components.zaptec.sources.link import reconnect_pause
from simulator.car import Car
from simulator.charger import Charger
from simulator.faults import Fault
from simulator.nbfx import encode
from simulator.scenario import RESIDENT_USER, Scenario
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, add_entry, set_up, wait_until
from .home import Home


def message(
    charger: Charger,
    state_id: int,
    value: str | None,
    minutes: int = 1,
    **fields: object,
) -> bytes:
    """Return the body of a message, minutes newer than the charger's last report."""
    last = charger.observations.get(state_id)
    moment = (last.timestamp if last else charger.clock.now()) + timedelta(
        minutes=minutes
    )
    document = {
        "DeviceId": charger.serial,
        "ChargerId": charger.id,
        "StateId": state_id,
        "Timestamp": f"{moment:%Y-%m-%dT%H:%M:%S}.5Z",
        **fields,
    }
    if value is not None:
        document["ValueAsString"] = value
    return encode(json.dumps(document))


async def test_a_cut_of_20_s_loses_nothing(
    home: Home, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a cut of 20 s, states are right within 5 s, and push_status was always right."""
    # Pauses have a random part. Use the longest ones.
    monkeypatch.setattr(
        "custom_components.zaptec.sources.link.random.uniform",
        lambda shortest, longest: longest,
    )
    home.charger.plug_in(Car())
    await home.travel(120)
    await home.wait_for("sensor", "charger_operation_mode", "connected_charging")
    assert home.state("sensor", "push_status") == "connected"

    await home.sim.bus.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    await home.travel(10, step=1)
    home.charger.unplug()
    await home.travel(10, step=1)
    assert home.state("sensor", "push_status") == "disconnected"
    # The charger mode shown is outdated, which the integration cannot know yet.
    assert home.mode == "connected_charging"

    await home.sim.bus.restore()
    await home.travel(4, step=1)
    # The library needs half a second of real time to open a link.
    await home.wait_for("sensor", "push_status", "connected")
    await home.wait_for("sensor", "charger_operation_mode", "disconnected")
    await home.wait_for("sensor", "total_charge_power", "0.0")
    await home.travel(HEALTHY_TIME + 5)
    assert caplog.text.count("Push is lost") == 1
    assert caplog.text.count("Push is back") == 1


@pytest.mark.parametrize(
    ("outage", "longest"),
    [(0.0, 1.0), (5.0, 1.0), (20.0, 4.0), (600.0, 120.0), (86400.0, 300.0)],
)
def test_a_pause_grows_with_the_outage(outage: float, longest: float) -> None:
    """The pause is a fifth of the outage so far, with jitter, and at most 5 minutes."""
    pauses = [reconnect_pause(outage) for _ in range(200)]
    assert max(pauses) <= longest
    assert min(pauses) >= longest / 2
    assert len(set(pauses)) > 1


async def test_what_expired_during_a_long_cut_is_read(home: Home) -> None:
    """Messages expire after 5 minutes, so a long cut needs polling and a reading after it."""
    home.charger.plug_in(Car())
    await home.travel(60)
    await home.sim.bus.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    home.clear()
    await home.travel(600, step=10)
    polls = [
        record for record in home.sim.rest.requests if record.path.endswith("/state")
    ]
    assert 8 <= len(polls) <= 11
    home.charger.unplug()
    await home.travel(50, step=10)
    await home.travel(20, step=10)
    await home.wait_for("sensor", "charger_operation_mode", "disconnected")
    await home.sim.bus.restore()
    await home.travel(200, step=10)
    await home.wait_until_live()


async def test_a_cloud_out_of_reach_makes_entities_unavailable(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without push and REST, entities are unavailable, because their values may be outdated."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    await home.sim.bus.cut()
    await home.sim.rest.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    await home.travel(10, step=1)
    await home.wait_for("sensor", "charger_operation_mode", STATE_UNAVAILABLE)
    home.charger.plug_in(Car())
    await home.sim.rest.restore()
    await home.sim.bus.restore()
    await home.travel(10, step=1)
    await home.wait_until_live()
    await home.wait_for("sensor", "charger_operation_mode", "connected_charging")


async def test_a_reading_after_an_outage_is_shown_at_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No entity shows what it held before the outage, not even for a moment.

    Automations would take the next state for a change, and the recorder would keep it.
    """
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    home.charger.plug_in(Car())
    await home.travel(60)
    await home.wait_for("binary_sensor", "charging", STATE_ON)
    await home.sim.bus.cut()
    await home.sim.rest.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    await home.travel(10, step=1)
    await home.wait_for("binary_sensor", "charging", STATE_UNAVAILABLE)
    written: defaultdict[str, list[str]] = defaultdict(list)

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        new, old = event.data["new_state"], event.data["old_state"]
        assert new is not None
        if written[new.entity_id] or (old and old.state == STATE_UNAVAILABLE):
            written[new.entity_id].append(new.state)

    home.hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    home.charger.unplug()
    await home.travel(60, step=10)
    assert not written
    await home.sim.rest.restore()
    await home.travel(20, step=1)
    await home.wait_for("binary_sensor", "car_connected", STATE_OFF)
    for platform, key, state in (
        ("binary_sensor", "car_connected", STATE_OFF),
        ("binary_sensor", "charging", STATE_OFF),
        ("sensor", "charger_operation_mode", "disconnected"),
        ("sensor", "charging_status", "disconnected"),
        ("sensor", "total_charge_power", "0.0"),
    ):
        assert written[home.entity_id(platform, key)] == [state]
    # Events show the last one again, and then what has happened meanwhile.
    twice = {entity_id for entity_id, states in written.items() if len(states) > 1}
    assert twice <= {home.entity_id("event", "session")}


async def test_a_reading_after_an_outage_that_changes_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entities are available again, although there is nothing new to show."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    home.charger.stop_pulse()
    await home.sim.bus.cut()
    await home.sim.rest.cut()
    await home.wait_for("sensor", "push_status", "disconnected")
    await home.travel(10, step=1)
    await home.wait_for("number", "charger_max_current", STATE_UNAVAILABLE)
    await home.sim.rest.restore()
    await home.travel(20, step=1)
    await home.wait_for("number", "charger_max_current", "32.0")


async def test_an_offline_charger_shows_its_settings_only(home: Home) -> None:
    """For an offline charger, settings stay available; measurements would be frozen values."""
    home.charger.set_offline()
    await home.wait_for("sensor", "charger_operation_mode", STATE_UNAVAILABLE)
    assert home.state("binary_sensor", "is_online") == "off"
    # Whether the charger has a fault now is unknown.
    for platform, key in (("sensor", "warnings"), ("binary_sensor", "problem")):
        assert home.state(platform, key) == STATE_UNAVAILABLE
    assert home.state("number", "charger_max_current") == "32.0"
    assert home.state("sensor", "signed_meter_value_kwh") not in (
        STATE_UNAVAILABLE,
        STATE_UNKNOWN,
    )
    home.charger.set_online()
    await home.wait_for("sensor", "charger_operation_mode", "disconnected")


async def test_odd_messages_do_not_stop_the_stream(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """Outdated, empty, unknown and damaged messages are handled, and the next one still arrives."""
    mode = 710
    home.charger.plug_in(Car())
    await home.wait_for("sensor", "charger_operation_mode", "connected_requesting")
    stale = json.dumps(
        {
            "ChargerId": home.charger.id,
            "StateId": mode,
            "Timestamp": "2020-01-01T00:00:00Z",
            "ValueAsString": "3",
        }
    )
    for body in (
        encode(stale),
        message(home.charger, 4711, "a new StateId"),
        message(
            home.charger, mode, "1", ChargerId="00000000-0000-0000-0000-000000000000"
        ),
        b"",
        b"\x00\x01\x02",
        b"{not json",
        encode("[1, 2, 3]"),
        encode('{"ChargerId": 5}'),
        encode(json.dumps({"deep": [[[[[[]]]]]]})),
        message(home.charger, 513, "no number"),
        message(home.charger, mode, "17"),
    ):
        home.sim.bus.publish(home.installation.topic, body)
    await home.wait_for("sensor", "charger_operation_mode", STATE_UNKNOWN)
    home.sim.bus.publish(
        home.installation.topic,
        message(home.charger, mode, "5", minutes=2),
    )
    await home.wait_for("sensor", "charger_operation_mode", "connected_finished")
    assert home.state("sensor", "total_charge_power") == STATE_UNKNOWN
    assert "Traceback" not in caplog.text
    assert home.sim.bus.connections == 1


async def test_a_message_without_a_value_clears(home: Home) -> None:
    """A message without a value clears the value, as at the end of a session."""
    home.sim.bus.publish(home.installation.topic, message(home.charger, 553, "7.25"))
    await home.wait_for("sensor", "total_charge_power_session", "7.25")
    home.sim.bus.publish(
        home.installation.topic,
        message(home.charger, 553, None, minutes=2),
    )
    await home.wait_for("sensor", "total_charge_power_session", STATE_UNKNOWN)


async def test_an_unknown_charger_is_looked_up_once(home: Home) -> None:
    """A message of an unknown charger causes one discovery, which may find a new charger."""
    home.clear()
    stranger = "11111111-2222-3333-4444-555555555555"
    for _ in range(3):
        home.sim.bus.publish(
            home.installation.topic, message(home.charger, 710, "1", ChargerId=stranger)
        )
    await home.sim.bus.wait_idle()
    await wait_until(lambda: len(home.sim.rest.requests) >= 2)
    home.charger.observe(501, 1.0)
    await home.wait_for("sensor", "voltage_phase1", "1.0")
    assert [record.path for record in home.sim.rest.requests] == [
        "/api/installation",
        "/api/chargers",
    ]


async def test_strangers_cannot_flood_the_cloud_with_look_ups(home: Home) -> None:
    """After 100 unknown chargers, further ones cause no discovery, which protects the cloud."""
    runtime = home.entry.runtime_data
    with patch.object(runtime.coordinator, "async_request_refresh") as look_up:
        runtime.states.apply(
            Observation(
                f"11111111-2222-3333-4444-{number:012d}",
                StateId.PULSE,
                home.charger.clock.now(),
                None,
            )
            for number in range(150)
        )
        await home.hass.async_block_till_done(wait_background_tasks=False)
        await wait_until(lambda: look_up.call_count >= 100)
    assert look_up.call_count == 100


async def test_a_new_charger_appears_and_a_removed_one_goes(
    home: Home, entities: EntityFinder
) -> None:
    """Chargers are added without a reload, and removed when two discoveries an hour apart lack them."""
    added = home.sim.add_charger(
        home.installation.id, serial="ZAP000777", name="Newcomer"
    )
    added.plug_in(Car())
    await wait_until(lambda: added.id in home.entry.runtime_data.states)
    await home.hass.async_block_till_done()
    await entities.wait_for(
        "sensor", added.id, "charger_operation_mode", "connected_requesting"
    )
    entity_id = entities.id("sensor", added.id, "charger_operation_mode")

    home.sim.remove_charger(added.id)
    await home.travel(3610, step=15)
    assert home.hass.states.get(entity_id)
    await home.travel(3610, step=15)
    await wait_until(lambda: home.hass.states.get(entity_id) is None)


@pytest.mark.parametrize("scenario", [Scenario.default()], ids=["housing cooperative"])
async def test_a_mere_user_is_polled(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    entities: EntityFinder,
) -> None:
    """With the role User, there are no messages and no controls, so the charger is polled."""
    entry = add_entry(hass, sim, RESIDENT_USER)
    await set_up(hass, entry)
    await wait_until(
        lambda: all(
            entry.runtime_data.reader.has_read(charger_id)
            for charger_id in entry.runtime_data.coordinator.data.chargers
        )
    )
    charger = sim.chargers[next(iter(entry.runtime_data.coordinator.data.chargers))]
    await entities.wait_for(
        "sensor", charger.installation.id, "push_status", "not_permitted"
    )
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "disconnected"
    )
    assert not hass.states.async_entity_ids("switch")
    assert not hass.states.async_entity_ids("number")
    charger.plug_in(Car())
    await time_machine.travel(620, step=20)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_charging"
    )


async def test_an_unconfirmed_write_is_read_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no message confirms a write within 20 s, the charger is read once."""
    monkeypatch.setattr(home.sim.bus, "publish", lambda topic, body: None)
    home.clear()
    await home.set_value("charger_max_current", 12)
    await home.travel(15)
    assert home.state("number", "charger_max_current") == "32.0"
    await home.travel(10)
    await home.wait_for("number", "charger_max_current", "12.0")
    await home.travel(60)
    assert [record.path for record in home.sim.rest.requests] == [
        f"/api/chargers/{home.charger.id}/update",
        f"/api/chargers/{home.charger.id}/state",
    ]


async def test_a_missing_subscription_leaves_polled_chargers_available(
    new_home: Home,
) -> None:
    """Without a subscription there are no messages, but polling keeps chargers available."""
    new_home.sim.rest.fail("messagingConnectionDetails$", fault=500)
    await set_up(new_home.hass, new_home.entry)
    await wait_until(
        lambda: new_home.entry.runtime_data.reader.has_read(new_home.charger.id)
    )
    seen: set[str] = set()
    await new_home.travel(
        1800,
        step=15,
        check=lambda: seen.add(new_home.mode),
    )
    assert seen == {"disconnected"}
    assert new_home.state("sensor", "push_status") == "disconnected"


@pytest.mark.parametrize(
    ("code", "status"),
    [(526, "not_permitted"), (527, "not_permitted"), (505, "disconnected")],
)
async def test_a_subscription_that_is_not_to_be_had(
    new_home: Home, code: int, status: str
) -> None:
    """The error code of the cloud decides whether the connection details are requested again soon."""
    with patch.object(
        ZaptecClient,
        "connection_details",
        side_effect=ZaptecRejectedError(code, "not here"),
    ):
        await set_up(new_home.hass, new_home.entry)
        await new_home.wait_for("sensor", "push_status", status)


async def test_what_was_missed_in_an_outage_is_not_shown_before_it_is_read(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an outage, entities stay unavailable until the charger was read.

    A new link does not deliver the messages that were sent during the outage.
    """
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    home.charger.plug_in(Car())
    await home.travel(60)
    await home.sim.bus.cut()
    await home.sim.rest.cut()
    await home.travel(60)
    await home.wait_for("sensor", "charger_operation_mode", STATE_UNAVAILABLE)
    home.charger.unplug()
    await home.travel(400, step=10)
    home.sim.rest.fail("/state$", fault=500)
    await home.sim.rest.restore()
    await home.sim.bus.restore()
    await home.travel(120, step=10)
    await home.wait_for("sensor", "push_status", "connected")
    assert home.mode == STATE_UNAVAILABLE
    home.sim.rest.heal()
    await home.travel(90, step=10)
    await home.wait_for("sensor", "charger_operation_mode", "disconnected")


async def test_a_clock_that_is_ahead_freezes_nothing(home: Home) -> None:
    """A timestamp in the future does not block later observations."""
    body = message(home.charger, 501, "240", Timestamp="2031-01-01T00:00:00Z")
    home.sim.bus.publish(home.installation.topic, body)
    await home.wait_for("sensor", "voltage_phase1", "240.0")
    await home.travel(10)
    home.charger.observe(501, 1.0)
    await home.wait_for("sensor", "voltage_phase1", "1.0")


async def test_asking_for_an_update_costs_the_cloud_nothing(home: Home) -> None:
    """`homeassistant.update_entity` causes no request, because the state is pushed."""
    await async_setup_component(home.hass, HOMEASSISTANT_DOMAIN, {})
    home.clear()
    await home.hass.services.async_call(
        HOMEASSISTANT_DOMAIN,
        SERVICE_UPDATE_ENTITY,
        {
            ATTR_ENTITY_ID: [
                home.entity_id("sensor", "charger_operation_mode"),
                home.entity_id("number", "available_current"),
            ]
        },
        blocking=True,
    )
    await home.hass.async_block_till_done()
    assert not home.sim.rest.requests


async def test_a_cached_snapshot_is_no_confirmation(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading from the cloud's cache does not confirm a write, because it may be older."""
    runtime = home.entry.runtime_data
    monkeypatch.setattr(home.sim.bus, "publish", lambda topic, body: None)
    before = await runtime.client.charger_state(home.charger.id)
    await home.set_value("charger_max_current", 12)
    runtime.states.apply(before)
    await home.travel(40)
    await home.wait_for("number", "charger_max_current", "12.0")


async def test_lone_surrogates_reach_no_registry(
    home: Home, device_registry: dr.DeviceRegistry
) -> None:
    """Lone surrogates in names are replaced; Home Assistant could not save its registries."""
    home.sim.bus.publish(
        home.installation.topic, message(home.charger, 911, "9.9\ud800")
    )

    def version() -> str | None:
        device = device_registry.async_get_device_by_identifier(
            (DOMAIN, home.charger.id), home.entry.entry_id
        )
        assert device
        return device.sw_version

    await wait_until(lambda: version() == "9.9?", version)


def asked_for_details(home: Home) -> int:
    """Return how often the connection details were requested since the last call."""
    paths = [record.path for record in home.sim.rest.requests]
    home.clear()
    return sum(path.endswith("/messagingConnectionDetails") for path in paths)


@pytest.mark.parametrize("fault", [500, 502, "malformed", "html", "hang"])
@pytest.mark.parametrize("start", ["at start", "later"])
async def test_details_that_fail_alone_are_asked_for_less_and_less(
    new_home: Home, start: str, fault: Fault
) -> None:
    """If only the connection details fail, the delay grows, because that may last for months."""
    if start == "later":
        await new_home.start()
        await new_home.travel(30)
    new_home.clear()
    new_home.sim.rest.fail("messagingConnectionDetails$", fault=fault)
    if start == "at start":
        await set_up(new_home.hass, new_home.entry)
    new_home.sim.bus.drop_connections()
    await new_home.travel(3600, step=15)
    assert 3 <= asked_for_details(new_home) <= 15
    for _ in range(3):
        await new_home.travel(2 * 3600, step=60)
        assert 1 <= asked_for_details(new_home) <= 2


async def test_details_that_fail_alone_and_then_come(home: Home) -> None:
    """After such a failure the link is up within the time it was down, at most an hour."""
    await home.travel(30)
    home.sim.rest.fail("messagingConnectionDetails$", fault=500)
    home.sim.bus.drop_connections()
    await home.travel(600, step=15)
    home.sim.rest.heal()
    await home.travel(600, step=15)
    await home.wait_until_live()
    # The long delay does not carry over to the next outage.
    home.sim.rest.fail("messagingConnectionDetails$", fault=500, times=1)
    home.sim.bus.drop_connections()
    await home.travel(5, step=1)
    await home.wait_until_live()


@pytest.mark.parametrize("outage", [60, 1200])
@pytest.mark.parametrize("lag", [0, 20])
@pytest.mark.parametrize("fault", [500, "malformed", "truncated"])
async def test_a_real_outage_is_no_refusal(
    home: Home, outage: float, lag: float, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a real outage the push is back within a fifth of its length, or within a minute."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    await home.travel(30)
    home.sim.rest.fail("/api/", fault=fault)
    home.sim.bus.drop_connections()
    await home.travel(outage, step=5)
    home.sim.rest.heal()
    home.sim.rest.fail("messagingConnectionDetails$", fault=500)
    await home.travel(lag, step=5)
    home.sim.rest.heal()
    await home.travel(max(outage / 5, 75), step=5)
    await home.wait_until_live()


async def test_a_link_that_cannot_be_opened_is_tried_again_soon(home: Home) -> None:
    """A link that fails to open is tried again soon, because the details were not refused."""
    await home.travel(30)
    await home.sim.bus.cut()
    home.clear()
    await home.travel(120, step=1)
    assert asked_for_details(home) > 10
    await home.sim.bus.restore()
    await home.travel(30, step=1)
    await home.wait_until_live()


async def test_a_refusal_that_becomes_an_outage(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If all requests fail after a refusal, the delays are those of an ordinary outage."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    home.charger.plug_in(Car())
    await home.travel(60)
    home.sim.rest.fail("messagingConnectionDetails$", fault=500)
    home.sim.bus.drop_connections()
    await home.travel(600, step=15)
    home.sim.rest.heal()
    home.sim.rest.fail("/api/", fault=500)
    await home.travel(3600, step=15)
    home.sim.rest.heal()
    await home.travel(330, step=15)
    await home.wait_until_live()
