"""Events of sessions and cards, with the simulator's chargers."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock

from homeassistant.components import automation
from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.restore_state import STORAGE_KEY, async_get
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_mock_service,
)

from custom_components.zaptec.api import Observation
from custom_components.zaptec.card_events import AGAIN_TIME, RESTART_TIME
from custom_components.zaptec.const import (
    CONF_EVENT_IDENTITY,
    CONF_PRICES,
    EventIdentity,
)
from custom_components.zaptec.diagnostics import async_get_config_entry_diagnostics
from custom_components.zaptec.history.prices import Period, Tariff
from custom_components.zaptec.persons import (
    CONF_HASHES,
    CONF_PERSON_KEY,
    KEY_SIZE,
    SUBENTRY_PERSON,
    Persons,
)
from custom_components.zaptec.session_events import RECORD_TIME, RELOAD_TIME
from simulator.accounts import Card
from simulator.car import Car
from simulator.observations import Mode, StateId
from simulator.simulator import Simulator
from simulator.telemetry import StoredObservation, Telemetry

from .conftest import CARD, add_entry
from .home import Home

SESSION, CARDS = "session", "card"
KEY = "5a" * KEY_SIZE
OTHER = "8d845c4a-7331-47c5-b308-f6d0c3a0a0b1"
USER_ID = "3e2d25c7-5b0f-4c55-9c0b-d9f6cf3b1c2d"

# A card whose code is in no log, and another one.
HELD = Card("Key ring", CARD.removeprefix("nfc-"))
UNKNOWN_CARD = "nfc-0499887766AA"

# Time after which the record of a session is there, or is missing (s).
RECORDED = RECORD_TIME.total_seconds() + 5


class Fired:
    """Records the events of a charger, in the order in which they are fired."""

    def __init__(self, home: Home) -> None:
        """Begin to record."""
        self._ids = {home.entity_id("event", key): key for key in (SESSION, CARDS)}
        self.events: list[tuple[str, Mapping[str, Any]]] = []
        self.states: list[str] = []
        home.hass.bus.async_listen(EVENT_STATE_CHANGED, self._note)

    @callback
    def _note(self, event: Event[EventStateChangedData]) -> None:
        """Record an event as a trigger of Home Assistant recognizes it."""
        old, new = event.data["old_state"], event.data["new_state"]
        if (
            event.data["entity_id"] in self._ids
            and old
            and new
            and new.state not in (STATE_UNAVAILABLE, STATE_UNKNOWN, old.state)
            and old.state != STATE_UNAVAILABLE
        ):
            self.events.append((new.attributes["event_type"], new.attributes))
        if new:
            self.states.append(event.data["entity_id"])

    def take(self) -> list[str]:
        """Return the types of the events since the last call."""
        events, self.events = self.events, []
        return [event_type for event_type, _ in events]

    def last(self, event_type: str) -> dict[str, Any]:
        """Return what the last event says besides its type, which is given."""
        found, attributes = self.events[-1]
        assert found == event_type
        own = {"event_type", "event_types", "friendly_name", "icon"}
        return {name: attributes[name] for name in attributes.keys() - own}


@pytest.fixture
def fired(home: Home) -> Fired:
    """Return the recorder of events."""
    return Fired(home)


@pytest.fixture
def options() -> dict[str, Any]:
    """Return the options of the account."""
    return {}


@pytest.fixture
def entry(
    hass: HomeAssistant, sim: Simulator, options: dict[str, Any]
) -> MockConfigEntry:
    """Return the entry of an account with options, not set up."""
    hass.config.currency = "EUR"
    entry = add_entry(hass, sim)
    hass.config_entries.async_update_entry(entry, options=options)
    return entry


async def charge(home: Home, minutes: float = 10) -> None:
    """Plug in a car, and let it charge."""
    home.charger.plug_in(Car())
    await home.travel(30, step=1)
    await home.travel(minutes * 60, step=30)


async def test_a_session_from_the_cable_in_to_the_cable_out(
    home: Home, fired: Fired
) -> None:
    """A session fires each event once, with the pause from elsewhere in between."""
    home.charger.plug_in(Car(capacity_kwh=2))
    await home.travel(60, step=1)
    assert fired.take() == ["connected", "charging_started"]
    home.charger.stop_charging()
    await home.travel(60, step=1)
    assert fired.take() == ["charging_paused"]
    home.charger.resume_charging()
    await home.travel(60, step=1)
    assert fired.take() == ["charging_resumed"]
    await home.travel(3600, step=30)
    assert fired.take() == ["charging_finished"]
    home.charger.unplug()
    await home.travel(RECORDED, step=1)
    ended = fired.last("ended")
    shown = float(home.state("sensor", "completed_session.Energy"))
    assert ended == {"duration": pytest.approx(1.05, abs=0.05), "energy": shown}
    assert fired.take() == ["ended"]


async def test_the_first_event_follows_the_other_states(
    home: Home, fired: Fired
) -> None:
    """An event is fired in the batch of its reports, after the states that they change."""
    runtime, charger_id = home.entry.runtime_data, home.charger.id
    now = home.sim.clock.now()
    fired.states.clear()
    runtime.states.apply(
        [Observation(charger_id, StateId.OPERATION_MODE, now, str(int(Mode.CHARGING)))]
    )
    # Home Assistant fires what it has written in the next iteration of its loop.
    session = home.hass.states.get(home.entity_id("event", SESSION))
    assert session
    assert session.attributes["event_type"] == "charging_started"
    await home.hass.async_block_till_done()
    assert fired.take() == ["connected", "charging_started"]
    session_id = home.entity_id("event", SESSION)
    assert fired.states[-2:] == [session_id, session_id]
    assert home.entity_id("sensor", "charging_status") in fired.states[:-2]
    assert home.entity_id("binary_sensor", "charging") in fired.states[:-2]


async def test_nothing_happens_at_a_start(hass: HomeAssistant, new_home: Home) -> None:
    """What was so before a start or a reload is no event."""
    new_home.charger.plug_in(Car())
    new_home.charger.observe(StateId.REJECTED_USER, UNKNOWN_CARD)
    new_home.sim.clock.advance(60)
    await new_home.start()
    assert new_home.state("event", SESSION) == STATE_UNKNOWN
    assert new_home.state("event", CARDS) == STATE_UNKNOWN
    fired = Fired(new_home)
    await new_home.reload()
    await new_home.travel(60)
    assert fired.take() == []
    new_home.charger.stop_charging()
    await new_home.travel(30, step=1)
    assert fired.take() == ["charging_paused"]
    shown = new_home.state("event", SESSION)
    await new_home.reload()
    assert new_home.state("event", SESSION) == shown
    assert fired.take() == []


async def automate(hass: HomeAssistant, entity_id: str, *event_types: str) -> list[Any]:
    """Add an automation with the trigger that Home Assistant offers for events."""
    calls = async_mock_service(hass, "test", "run")
    assert await async_setup_component(
        hass,
        automation.DOMAIN,
        {
            automation.DOMAIN: {
                "triggers": {
                    "trigger": "event.received",
                    "target": {"entity_id": entity_id},
                    "options": {"event_type": list(event_types)},
                },
                "actions": {
                    "action": "test.run",
                    "data": {
                        "type": "{{ trigger.to_state.attributes.event_type }}",
                        "status": f"{{{{ states('{entity_id}') }}}}",
                    },
                },
                "mode": "queued",
            }
        },
    )
    await hass.async_block_till_done()
    return calls


async def test_after_an_outage_only_what_is_still_true(
    hass: HomeAssistant, home: Home, fired: Fired
) -> None:
    """After an outage, what is still true is fired once, and triggers see it."""
    calls = await automate(
        hass, home.entity_id("event", SESSION), "connected", "charging_started", "ended"
    )
    await charge(home)
    fired.take()
    await home.sim.bus.cut()
    home.sim.rest.fail("/", fault=503)
    await home.travel(3600, step=60)
    assert home.state("event", SESSION) == STATE_UNAVAILABLE
    home.charger.stop_charging()
    home.charger.observe(StateId.REJECTED_USER, UNKNOWN_CARD)
    await home.travel(60)
    home.charger.unplug()
    await home.travel(60)
    home.charger.plug_in(Car())
    await home.travel(60)
    assert fired.take() == []
    calls.clear()
    home.sim.rest.heal()
    await home.sim.bus.restore()
    await home.travel(900, step=10)
    assert fired.take() == ["ended", "connected", "charging_started"]
    assert [call.data["type"] for call in calls] == [
        "ended",
        "connected",
        "charging_started",
    ]


async def test_an_outage_without_a_change(home: Home, fired: Fired) -> None:
    """What is as it was before an outage is no event."""
    await charge(home)
    fired.take()
    await home.sim.bus.cut()
    home.sim.rest.fail("/", fault=503)
    await home.travel(3600, step=60)
    home.sim.rest.heal()
    await home.sim.bus.restore()
    await home.travel(900, step=10)
    assert home.state("event", SESSION) != STATE_UNAVAILABLE
    assert fired.take() == []


async def test_a_cable_that_is_moved_to_another_car(home: Home, fired: Fired) -> None:
    """Where only the identifier changes, one session ends, and the next one begins."""
    await charge(home)
    fired.take()
    home.charger.observe(StateId.SESSION_IDENTIFIER, OTHER)
    await home.travel(1)
    ended = dict(fired.events[0][1])
    assert fired.take() == ["ended", "connected", "charging_started"]
    assert ended["duration"] == pytest.approx(0.17, abs=0.02)
    assert ended["energy"] == pytest.approx(
        float(home.state("sensor", "total_charge_power_session")), abs=0.001
    )


async def test_the_record_of_a_session_is_not_reported(
    home: Home, fired: Fired
) -> None:
    """Without its record, the end says what was reported of the session."""
    home.charger.recording.lost_reports = 1.0
    await charge(home)
    shown = home.charger.session_energy
    fired.take()
    home.charger.unplug()
    await home.travel(10, step=1)
    assert fired.take() == []
    await home.travel(RECORDED, step=1)
    ended = fired.last("ended")
    assert ended["energy"] == pytest.approx(shown, abs=0.05)
    assert ended["duration"] == pytest.approx(0.17, abs=0.02)
    assert fired.take() == ["ended"]


@pytest.mark.parametrize(
    "options", [{CONF_PRICES: Tariff((Period(0, 0.5),)).as_stored()}]
)
async def test_what_a_session_costs(home: Home, fired: Fired) -> None:
    """With a price, the end says what the sensor of the cost shows."""
    await charge(home, minutes=60)
    home.charger.unplug()
    await home.travel(RECORDED, step=1)
    ended = fired.last("ended")
    assert ended["cost"] == pytest.approx(ended["energy"] * 0.5, abs=0.01)
    assert ended["cost"] == pytest.approx(
        float(home.state("sensor", "session_cost")), abs=0.01
    )
    await charge(home, minutes=10)
    fired.take()
    # The energy of the next session is there before the first one has ended.
    now = home.sim.clock.now()
    home.entry.runtime_data.states.apply(
        [
            Observation(home.charger.id, StateId.SESSION_IDENTIFIER, now, OTHER),
            Observation(home.charger.id, StateId.SESSION_ENERGY, now, "0"),
        ]
    )
    await home.hass.async_block_till_done()
    (event_type, attributes), *_ = fired.events
    assert event_type == "ended"
    assert attributes["energy"] > 1
    assert "cost" not in attributes


def add_anna(home: Home) -> None:
    """Let the card be Anna's."""
    code = Persons(KEY, {}).identify_code(CARD).code
    entries = home.hass.config_entries
    entries.async_update_entry(
        home.entry, data={**home.entry.data, CONF_PERSON_KEY: KEY}
    )
    anna = ConfigSubentry(
        data=MappingProxyType({CONF_HASHES: [code]}),
        subentry_type=SUBENTRY_PERSON,
        title="Anna",
        unique_id=None,
    )
    entries.async_add_subentry(home.entry, anna)


async def require_authorization(home: Home) -> None:
    """Let each session have to be authorized."""
    home.charger.installation.authentication_required = True
    home.charger.observe(StateId.AUTHENTICATION_REQUIRED, True)
    await home.entry.runtime_data.coordinator.async_refresh()


@pytest.mark.parametrize(
    ("options", "of_anna", "of_a_stranger"),
    [
        ({}, {}, {}),
        ({CONF_EVENT_IDENTITY: EventIdentity.NOTHING}, {}, {}),
        ({CONF_EVENT_IDENTITY: EventIdentity.PERSON}, {"person": "Anna"}, {}),
        (
            {CONF_EVENT_IDENTITY: EventIdentity.CODE},
            {"code": "nfc-…E6F7"},
            {"code": "nfc-…66AA"},
        ),
    ],
    ids=["default", "nothing", "person", "code"],
)
async def test_who_has_charged(
    hass: HomeAssistant,
    home: Home,
    fired: Fired,
    of_anna: dict[str, str],
    of_a_stranger: dict[str, str],
) -> None:
    """Events show of who charges what the options allow, and never the whole code."""
    add_anna(home)
    await require_authorization(home)
    home.charger.plug_in(Car())
    await home.travel(60)
    assert fired.take() == ["connected"]
    home.charger.observe(StateId.REJECTED_USER, UNKNOWN_CARD)
    await home.travel(1)
    assert fired.last("rejected") == of_a_stranger
    home.charger.observe(StateId.NEW_CARD, UNKNOWN_CARD)
    await home.travel(1)
    assert fired.last("new") == of_a_stranger
    fired.take()
    home.charger.authorize(card=HELD)
    await home.travel(30, step=1)
    seen = dict(fired.events)
    assert fired.take() == ["authorized", "accepted", "charging_started"]
    for event_type in ("authorized", "accepted"):
        assert of_anna.items() <= seen[event_type].items()
        assert ("person" in seen[event_type], "code" in seen[event_type]) == (
            "person" in of_anna,
            "code" in of_anna,
        )
    home.charger.unplug()
    await home.travel(RECORDED, step=1)
    ended = fired.last("ended")
    assert ended.keys() - {"duration", "energy"} == of_anna.keys()
    assert of_anna.items() <= ended.items()
    for state in hass.states.async_all():
        assert CARD not in str(state.as_dict())
        assert HELD.code not in str(state.as_dict())
        assert UNKNOWN_CARD not in str(state.as_dict())
    diagnostics = str(await async_get_config_entry_diagnostics(hass, home.entry))
    assert "Anna" not in diagnostics
    assert HELD.code not in diagnostics


@pytest.mark.parametrize(
    ("options", "shown", "later"),
    [
        ({CONF_EVENT_IDENTITY: before}, attribute, later)
        for before, attribute in (
            (EventIdentity.CODE, {"code": "nfc-…E6F7"}),
            (EventIdentity.PERSON, {"person": "Anna"}),
        )
        for later in EventIdentity
    ],
)
async def test_an_option_that_allows_to_show_less(
    home: Home, fired: Fired, shown: dict[str, str], later: EventIdentity
) -> None:
    """A restored event shows about who charged only what the option then allows."""
    add_anna(home)
    await require_authorization(home)
    home.charger.plug_in(Car())
    await home.travel(30, step=1)
    home.charger.authorize(card=HELD)
    await home.travel(5, step=1)
    home.charger.unplug()
    await home.travel(RECORDED, step=1)
    ended = fired.last("ended")
    assert shown.items() <= ended.items()
    is_same = later == home.entry.options[CONF_EVENT_IDENTITY]
    home.hass.config_entries.async_update_entry(
        home.entry, options={CONF_EVENT_IDENTITY: later}
    )
    await home.reload()
    state = home.hass.states.get(home.entity_id("event", SESSION))
    assert state
    assert state.attributes["event_type"] == "ended"
    assert state.attributes["duration"] == ended["duration"]
    expected = shown.keys() if is_same else set()
    assert {"code", "person"} & state.attributes.keys() == expected
    card = home.hass.states.get(home.entity_id("event", CARDS))
    assert card
    assert card.attributes["event_type"] == "accepted"
    assert {"code", "person"} & card.attributes.keys() == expected


@pytest.mark.parametrize("options", [{CONF_EVENT_IDENTITY: EventIdentity.PERSON}])
async def test_a_person_that_is_removed(home: Home, fired: Fired) -> None:
    """A restored event does not show the name of a person that was removed meanwhile."""
    add_anna(home)
    home.charger.observe(StateId.REJECTED_USER, CARD)
    await home.travel(5, step=1)
    assert fired.last("rejected") == {"person": "Anna"}
    for subentry_id in list(home.entry.subentries):
        home.hass.config_entries.async_remove_subentry(home.entry, subentry_id)
    await home.reload()
    state = home.hass.states.get(home.entity_id("event", CARDS))
    assert state
    assert state.attributes["event_type"] == "rejected"
    assert "person" not in state.attributes


async def test_a_person_is_not_shown_unless_it_is_added(
    home: Home, fired: Fired
) -> None:
    """A card that belongs to no person of the account has no person in its events."""
    home.hass.config_entries.async_update_entry(
        home.entry, options={CONF_EVENT_IDENTITY: EventIdentity.PERSON}
    )
    await require_authorization(home)
    home.charger.plug_in(Car())
    await home.travel(30)
    home.charger.authorize(card=HELD)
    await home.travel(5, step=1)
    assert [dict(attributes).get("person") for _, attributes in fired.events] == [
        None
    ] * len(fired.events)


@pytest.mark.parametrize("options", [{CONF_EVENT_IDENTITY: EventIdentity.CODE}])
@pytest.mark.parametrize("user_id", [USER_ID, f"ble-{USER_ID}"])
async def test_the_id_of_a_user_is_no_code(
    home: Home, fired: Fired, user_id: str
) -> None:
    """Not even the end of a user's id is shown, because it is the code of no card."""
    await require_authorization(home)
    home.charger.plug_in(Car())
    await home.travel(60)
    fired.take()
    home.charger.observe(StateId.SESSION_IDENTIFIER, OTHER)
    home.charger.observe(StateId.CURRENT_USER, user_id)
    await home.travel(5, step=1)
    assert fired.last("authorized") == {}
    home.charger.observe(StateId.NEW_CARD, USER_ID)
    await home.travel(5, step=1)
    assert fired.last("new") == {}


@pytest.mark.parametrize("options", [{CONF_EVENT_IDENTITY: EventIdentity.CODE}])
@pytest.mark.parametrize("is_pushed", [True, False])
async def test_a_code_that_is_not_pushed(
    home: Home, fired: Fired, monkeypatch: pytest.MonkeyPatch, is_pushed: bool
) -> None:
    """The charger is read once if no message reports who has authorized a session."""
    send = Telemetry._send

    def send_all_but_the_user(
        self: Telemetry, state_id: int, report: StoredObservation
    ) -> None:
        if is_pushed or state_id != StateId.CURRENT_USER:
            send(self, state_id, report)
        else:
            self.observations[state_id] = report

    monkeypatch.setattr(Telemetry, "_send", send_all_but_the_user)
    await require_authorization(home)
    home.charger.plug_in(Car())
    await home.travel(60)
    fired.take()
    home.clear()
    home.charger.authorize(card=HELD)
    await home.travel(30, step=1)
    seen = dict(fired.events)
    assert seen.keys() == {"authorized", "accepted", "charging_started"}
    assert ("code" in seen["authorized"]) is is_pushed
    assert seen["accepted"]["code"] == "nfc-…E6F7"
    readings = [
        record for record in home.sim.rest.requests if record.path.endswith("/state")
    ]
    assert len(readings) == (0 if is_pushed else 1)
    await home.travel(300, step=5)
    assert len(fired.events) == len(seen)
    home.charger.unplug()
    await home.travel(RECORDED, step=1)
    assert fired.last("ended")["code"] == "nfc-…E6F7"


@pytest.mark.parametrize("is_live", [True, False])
async def test_a_session_that_no_code_has_authorized(
    home: Home, fired: Fired, monkeypatch: pytest.MonkeyPatch, is_live: bool
) -> None:
    """A charger that is polled is not read again, because the poll contained no code."""
    await require_authorization(home)
    home.charger.plug_in(Car())
    await home.travel(60)
    fired.take()
    runtime = home.entry.runtime_data
    read = Mock()
    monkeypatch.setattr(runtime.reader, "read", read)
    monkeypatch.setattr(runtime.links, "is_live", lambda _: is_live)
    home.charger.observe(StateId.SESSION_IDENTIFIER, OTHER)
    await home.travel(5, step=1)
    assert fired.take() == ["authorized"]
    assert read.call_count == is_live


async def test_a_card_that_is_shown_again(home: Home, fired: Fired) -> None:
    """The same card is an event each time, although no value changes."""
    await home.travel(RESTART_TIME.total_seconds())
    for number in range(3):
        home.charger.observe(StateId.REJECTED_USER, UNKNOWN_CARD)
        await home.travel(AGAIN_TIME.total_seconds() + 3, step=1)
        assert fired.take() == ["rejected"], number
    # A reading repeats what is held.
    home.entry.runtime_data.reader.read(home.charger.id)
    await home.travel(60)
    assert fired.take() == []


async def test_a_charger_that_restarts_reports_its_cards_again(
    home: Home, fired: Fired
) -> None:
    """What a charger reports again after a restart is no event."""
    home.charger.observe(StateId.REJECTED_USER, UNKNOWN_CARD)
    await home.travel(1)
    assert fired.take() == ["rejected"]
    home.charger.restart()
    await home.travel(20, step=1)
    assert not home.charger.is_online
    home.charger.observe(StateId.REJECTED_USER, UNKNOWN_CARD)
    await home.travel(20, step=1)
    assert home.charger.is_online
    home.charger.observe(StateId.REJECTED_USER, UNKNOWN_CARD)
    await home.travel(20, step=1)
    assert fired.take() == []


async def test_the_timer_ends_with_the_entity(home: Home, fired: Fired) -> None:
    """A session whose record is still to come leaves no timer behind."""
    home.charger.recording.lost_reports = 1.0
    await charge(home, minutes=1)
    home.charger.unplug()
    await home.travel(5, step=1)
    fired.take()
    await home.stop()
    assert fired.take() == []


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_session_ends_just_before_a_reload(
    hass: HomeAssistant, home: Home, fired: Fired, is_lost: bool
) -> None:
    """The end whose record was still awaited fires once after the reload."""
    calls = await automate(hass, home.entity_id("event", SESSION), "ended")
    home.charger.recording.lost_reports = float(is_lost)
    await charge(home, minutes=1)
    fired.take()
    home.charger.unplug()
    await home.travel(0.1, step=0.1)
    assert fired.take() == []
    await home.reload()
    await home.travel(RECORDED, step=1)
    assert fired.last("ended").keys() >= {"duration", "energy"}
    assert fired.take() == ["ended"]
    assert [call.data["type"] for call in calls] == ["ended"]
    await home.reload()
    await home.travel(RECORDED, step=1)
    assert fired.take() == []


async def test_a_session_that_ended_long_before_a_restart(
    home: Home, fired: Fired
) -> None:
    """The end of a session is no event once its record is no longer awaited."""
    await charge(home, minutes=1)
    home.charger.unplug()
    await home.travel(0.1, step=0.1)
    fired.take()
    await home.stop()
    await home.travel(RECORDED + RELOAD_TIME.total_seconds())
    await home.start()
    await home.travel(60)
    assert fired.take() == []


async def test_a_code_is_not_stored(
    home: Home, fired: Fired, hass_storage: dict[str, Any]
) -> None:
    """What is stored about a session that has ended does not contain the code of a card."""
    await require_authorization(home)
    home.charger.plug_in(Car())
    await home.travel(30, step=1)
    home.charger.authorize(card=HELD)
    await home.travel(30, step=1)
    home.charger.unplug()
    await home.travel(0.1, step=0.1)
    assert "ended" not in fired.take()
    await async_get(home.hass).async_dump_states()
    stored = hass_storage[STORAGE_KEY]["data"]
    (pending,) = (
        item["extra_data"]["pending"]
        for item in stored
        if item["state"]["entity_id"] == home.entity_id("event", SESSION)
    )
    assert pending["session_id"]
    assert HELD.code not in str(stored)


async def test_an_offline_charger(home: Home, fired: Fired) -> None:
    """What happens at a charger that is offline is fired when it is online again."""
    await charge(home)
    fired.take()
    home.charger.set_offline()
    home.charger.unplug()
    await home.travel(60)
    assert home.state("event", SESSION) != STATE_UNAVAILABLE
    assert fired.take() == []
    home.charger.set_online()
    await home.travel(RECORDED, step=1)
    assert fired.take() == ["ended"]


async def test_an_entity_id_that_is_changed(home: Home, fired: Fired) -> None:
    """A new entity id is no event, and the next one is fired."""
    await charge(home)
    fired.take()
    er.async_get(home.hass).async_update_entity(
        home.entity_id("event", SESSION), new_entity_id="event.renamed"
    )
    await home.hass.async_block_till_done()
    renamed = Fired(home)
    await home.travel(5)
    assert renamed.take() == []
    home.charger.stop_charging()
    await home.travel(10, step=1)
    assert renamed.take() == ["charging_paused"]
    assert isinstance(home.hass.states.get("event.renamed"), State)


async def test_the_energy_sensor_is_disabled(home: Home) -> None:
    """Without the sensor of the energy, the end of a lost record has no energy."""
    er.async_get(home.hass).async_update_entity(
        home.entity_id("sensor", "total_charge_power_session"),
        disabled_by=er.RegistryEntryDisabler.USER,
    )
    await home.reload()
    fired = Fired(home)
    home.charger.recording.lost_reports = 1.0
    await charge(home)
    home.charger.unplug()
    await home.travel(RECORDED, step=1)
    assert fired.last("ended").keys() == {"duration"}


async def test_the_energy_sensor_is_removed(home: Home) -> None:
    """A sensor that is removed is not asked for the energy of a session any more."""
    values = home.entry.runtime_data.session_values.energies
    assert values.keys() == {home.charger.id}
    er.async_get(home.hass).async_remove(
        home.entity_id("sensor", "total_charge_power_session")
    )
    await home.hass.async_block_till_done()
    assert not values


async def test_a_car_that_was_never_authorized(home: Home, fired: Fired) -> None:
    """A car without a session ends when it leaves, and only its duration is known."""
    await require_authorization(home)
    home.charger.plug_in(Car())
    await home.travel(60)
    fired.take()
    home.charger.unplug()
    await home.travel(1)
    assert fired.last("ended").keys() == {"duration"}
    assert fired.take() == ["ended"]
