"""Numbers: their ranges and steps, and that only a change is sent, and only once."""

import asyncio
from collections.abc import Callable
import gc
from typing import Any

from homeassistant.components.number import ATTR_VALUE, SERVICE_SET_VALUE
from homeassistant.const import ATTR_ENTITY_ID, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import action
from custom_components.zaptec.control import batch
from custom_components.zaptec.control.batch import CALM_TIME, CALM_TIME_MAX
from custom_components.zaptec.control.checks import round_current
from custom_components.zaptec.control.confirmations import CONFIRMATION_TIME
from simulator.charger import Charger
from simulator.faults import Fault, Rejection
from simulator.observations import StateId
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, wait_until

# Delay before a change is sent: one minute, so that real time cannot end it early on a
# busy machine.
CALM = 60.0

# The key of each number, and whether it belongs to the installation.
NUMBERS = {
    "charger_max_current": False,
    "charger_min_current": False,
    "offline_current": False,
    "meter_value_interval": False,
    "available_current": True,
    "three_to_one_phase_switch_current": True,
}


@pytest.fixture(autouse=True)
def _all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the entities that are disabled by default."""
    monkeypatch.setattr(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    )


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a cloud that fails on purpose."""
    requester = "custom_components.zaptec.api.requester"
    monkeypatch.setattr(f"{requester}.BACKOFF_BASE", 0.0)


@pytest.fixture
def _calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a calm moment before anything is sent."""
    monkeypatch.setattr(batch, "CALM_TIME", CALM)
    monkeypatch.setattr(batch, "CALM_TIME_MAX", 2.5 * CALM)
    # The time limit of an action is longer than its calm moment.
    monkeypatch.setattr(action, "ACTION_TIMEOUT", 600.0)


class Numbers:
    """The numbers of a charger and its installation."""

    def __init__(
        self, hass: HomeAssistant, charger: Charger, found: EntityFinder
    ) -> None:
        """Initialize the helper."""
        self._hass = hass
        self._charger = charger
        self._found = found

    def state(self, key: str) -> State:
        """Return the state of a number."""
        device = self._charger.installation if NUMBERS[key] else self._charger
        state = self._hass.states.get(self._found.id("number", device.id, key))
        assert state
        return state

    def value(self, key: str) -> float:
        """Return what a number shows."""
        return float(self.state(key).state)

    async def set(self, key: str, value: float) -> None:
        """Set a number."""
        await self._hass.services.async_call(
            "number",
            SERVICE_SET_VALUE,
            {ATTR_ENTITY_ID: self.state(key).entity_id, ATTR_VALUE: value},
            blocking=True,
        )

    def press(self, key: str, value: float) -> asyncio.Task[None]:
        """Set a number without waiting for the outcome."""
        return asyncio.create_task(self.set(key, value))


@pytest.fixture
def numbers(hass: HomeAssistant, charger: Charger, entities: EntityFinder) -> Numbers:
    """Return the numbers."""
    charger.installation.available_current = (20.0, 20.0, 20.0)
    charger.installation.three_to_one_phase_switch_current = 10.0
    charger.set_meter_interval(1800)
    charger.set_max_current(32)
    charger.set_offline_current(10)
    return Numbers(hass, charger, entities)


def writes(sim: Simulator) -> int:
    """Return how many writes were requested since the last call."""
    count = [record.method for record in sim.rest.requests].count("POST")
    sim.rest.clear()
    return count


# Values that the charger or installation already holds.


@pytest.mark.parametrize("key", NUMBERS)
async def test_a_value_that_is_held_is_not_sent(
    sim: Simulator, numbers: Numbers, live_entry: MockConfigEntry, key: str
) -> None:
    """A load balancer that repeats itself costs the cloud no request."""
    held = numbers.value(key)
    sim.rest.clear()
    for _ in range(60):
        await numbers.set(key, held)
    # No message reports the settings of an installation, so one request may check them.
    assert [record.method for record in sim.rest.requests] in ([], ["GET"])


@pytest.mark.parametrize("key", ["charger_max_current", "meter_value_interval"])
async def test_a_held_value_is_sent_while_the_push_is_down(
    sim: Simulator,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    key: str,
) -> None:
    """What the charger holds may have changed since its last message."""
    sim.rest.fail("messagingConnectionDetails", fault=503)
    sim.bus.drop_connections()
    link = live_entry.runtime_data.links[charger.installation.id]
    await wait_until(lambda: link.status != "connected")
    sim.rest.clear()
    await numbers.set(key, numbers.value(key))
    assert writes(sim) >= 1


@pytest.mark.parametrize("waits", [0, 30])
async def test_a_held_value_is_sent_while_another_is_on_its_way(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    waits: float,
) -> None:
    """The held value is sent if another is pending: an offline charger gets the last one sent."""
    monkeypatch.setattr(charger, "set_max_current", lambda _: None)
    sim.rest.clear()
    await numbers.set("charger_max_current", 10)
    await time_machine.travel(waits)
    assert writes(sim) == 1
    assert numbers.value("charger_max_current") == 32
    await numbers.set("charger_max_current", 32)
    assert writes(sim) == 1
    # The cloud has accepted 32, and 32 is what the charger holds.
    await time_machine.travel(30)
    sim.rest.clear()
    await numbers.set("charger_max_current", 32)
    assert writes(sim) == 0


@pytest.mark.parametrize("is_confirmed", [True, False])
async def test_a_held_value_after_a_change_of_unknown_outcome(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    is_confirmed: bool,
) -> None:
    """If the outcome of a change is unknown, a value is sent until the charger has reported one."""
    sim.rest.fail("/update$", fault="reset")
    with pytest.raises(HomeAssistantError):
        await numbers.set("charger_max_current", 10)
    sim.rest.heal()
    if is_confirmed:
        await time_machine.travel(1)
        charger.observe(StateId.MAX_CURRENT, 10)
        await wait_until(lambda: numbers.value("charger_max_current") == 10)
        charger.observe(StateId.MAX_CURRENT, 32)
        await wait_until(lambda: numbers.value("charger_max_current") == 32)
    sim.rest.clear()
    await numbers.set("charger_max_current", 32)
    assert writes(sim) == (0 if is_confirmed else 1)


async def test_a_held_value_after_a_refusal(
    sim: Simulator,
    time_machine: TimeMachine,
    numbers: Numbers,
    live_entry: MockConfigEntry,
) -> None:
    """After a refusal the charger still holds its value, so sending it again is unnecessary."""
    sim.rest.fail("/update$", fault=403)
    for key in ("charger_max_current", "three_to_one_phase_switch_current"):
        with pytest.raises(HomeAssistantError):
            await numbers.set(key, 12)
    sim.rest.heal()
    sim.rest.clear()
    await numbers.set("charger_max_current", 32)
    await numbers.set("three_to_one_phase_switch_current", 10)
    assert writes(sim) == 0


@pytest.mark.parametrize(
    ("fault", "is_read"), [(Rejection(520, "No answer"), True), (403, False)]
)
async def test_a_charger_is_read_after_a_rejection(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    fault: Fault,
    is_read: bool,
) -> None:
    """A rejected value may mean that the shown one is outdated, so the charger is read.

    A rejection for lack of a role does not mean that, and causes no reading.
    """
    sim.rest.fail("/update$", fault=fault)
    with pytest.raises(HomeAssistantError):
        await numbers.set("charger_max_current", 12)
    sim.rest.heal()
    sim.rest.clear()
    await time_machine.travel(CONFIRMATION_TIME + 5)
    paths = [record.path for record in sim.rest.requests]
    assert (f"/api/chargers/{charger.id}/state" in paths) is is_read


async def test_a_switch_current_of_unknown_outcome(
    sim: Simulator,
    time_machine: TimeMachine,
    numbers: Numbers,
    live_entry: MockConfigEntry,
) -> None:
    """If the outcome is unknown, the previous value is sent until the cloud was checked."""
    key = "three_to_one_phase_switch_current"
    sim.rest.fail("/update$", fault="reset")
    with pytest.raises(HomeAssistantError):
        await numbers.set(key, 12)
    with pytest.raises(HomeAssistantError):
        await numbers.set(key, 10)
    sim.rest.heal()
    await time_machine.travel(25)
    sim.rest.clear()
    await numbers.set(key, 10)
    assert writes(sim) == 0


async def test_an_installation_that_was_not_listed_for_an_hour(
    sim: Simulator,
    time_machine: TimeMachine,
    numbers: Numbers,
    live_entry: MockConfigEntry,
) -> None:
    """Settings that were not listed for an hour may be outdated, so a value is sent anyway."""
    key = "three_to_one_phase_switch_current"
    sim.rest.fail("/api/(installation|chargers)$", fault=502)
    await time_machine.travel(2 * 3600, step=60)
    # Reading the installation would make its settings current, so let that fail.
    sim.rest.fail("/api/installation/[^/]+$", fault=403)
    sim.rest.clear()
    await numbers.set(key, 10)
    assert writes(sim) == 1
    # The cloud has confirmed this value just now.
    await numbers.set(key, 10)
    assert writes(sim) == 0


# Several changes in a short time.


def test_the_calm_moment() -> None:
    """The delay is short for a single change, and long enough to join presses 2 s apart."""
    assert 1 <= CALM_TIME <= 2 < CALM_TIME_MAX <= 3


@pytest.mark.usefixtures("_calm")
@pytest.mark.parametrize("fault", [None, 502])
@pytest.mark.parametrize("key", NUMBERS)
async def test_five_presses_make_one_request(
    sim: Simulator,
    time_machine: TimeMachine,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    key: str,
    fault: int | None,
) -> None:
    """Five presses cause one request with the newest value, and every caller gets its outcome."""
    if fault:
        sim.rest.fail("/update$", fault=fault)
    values = (3600, 3000, 2400, 900, 600) if "interval" in key else (19, 18, 17, 16, 15)
    sim.rest.clear()
    presses = []
    for value in values:
        presses.append(numbers.press(key, value))
        await time_machine.pass_by(CALM / 2)
    assert not sim.rest.requests
    await time_machine.pass_by(CALM / 2)
    outcomes = await asyncio.gather(*presses, return_exceptions=True)
    assert writes(sim) == 1
    if fault:
        keys = {getattr(outcome, "translation_key", None) for outcome in outcomes}
        assert keys == {"uncertain"}
        return
    assert outcomes == [None] * 5
    await wait_until(lambda: numbers.value(key) == values[-1])


@pytest.mark.usefixtures("_calm")
@pytest.mark.parametrize("key", ["charger_max_current", "available_current"])
async def test_changes_without_a_pause_do_not_hold_the_newest_back(
    sim: Simulator,
    time_machine: TimeMachine,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    key: str,
) -> None:
    """Changes without a pause do not delay the newest one without limit; it may protect a fuse."""
    sim.rest.clear()
    presses = []
    shown = []
    for step in range(12):
        presses.append(numbers.press(key, 19 - step))
        await time_machine.pass_by(CALM / 2)
        await wait_until(lambda: all(record.status for record in sim.rest.requests))
        shown.append(len([1 for item in sim.rest.requests if item.method == "POST"]))
    await time_machine.pass_by(CALM)
    await asyncio.gather(*presses)
    # Changes are sent after 2.5 delays, and again after 2.5 more.
    assert shown[3] == 0
    assert shown[5] == 1
    assert shown[11] == 2
    await wait_until(lambda: numbers.value(key) == 8)


@pytest.mark.usefixtures("_calm")
@pytest.mark.parametrize("end", ["unload", "reload", "remove", "stop"])
@pytest.mark.parametrize("key", NUMBERS)
async def test_a_last_change_is_sent_before_the_end(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    key: str,
    end: str,
) -> None:
    """If Home Assistant stops or the entry is unloaded during the delay, the change is still sent."""
    sim.rest.clear()
    press = numbers.press(key, 600 if "interval" in key else 8)
    await time_machine.spin()
    assert not sim.rest.requests
    if end == "stop":
        await hass.async_stop(force=True)
    else:
        await getattr(hass.config_entries, f"async_{end}")(live_entry.entry_id)
    await press
    held: Callable[[], Any] = {
        "charger_max_current": lambda: charger.max_current,
        "charger_min_current": lambda: charger.min_current,
        "offline_current": lambda: charger.offline_current,
        "meter_value_interval": lambda: charger.value(
            StateId.SIGNED_METER_VALUE_INTERVAL
        ),
        "available_current": lambda: min(charger.installation.available_current or ()),
        "three_to_one_phase_switch_current": lambda: (
            charger.installation.three_to_one_phase_switch_current
        ),
    }[key]
    assert float(held()) == (600 if "interval" in key else 8)


@pytest.mark.usefixtures("_calm")
@pytest.mark.parametrize("key", ["charger_max_current", "available_current"])
async def test_a_failure_at_the_end_is_raised(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    key: str,
) -> None:
    """If the change at the unload fails, the error is raised to the user who made it."""
    sim.rest.fail("/update$", fault=502)
    press = numbers.press(key, 8)
    await time_machine.spin()
    await hass.config_entries.async_unload(live_entry.entry_id)
    with pytest.raises(HomeAssistantError):
        await press


@pytest.mark.usefixtures("_calm")
@pytest.mark.parametrize("key", NUMBERS)
async def test_presses_that_end_where_they_began(
    sim: Simulator,
    time_machine: TimeMachine,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    key: str,
) -> None:
    """Presses that end at the held value cause no write."""
    held = numbers.value(key)
    sim.rest.clear()
    presses = []
    for value in (3600 if "interval" in key else 8, held):
        presses.append(numbers.press(key, value))
        await time_machine.pass_by(CALM / 2)
    await time_machine.pass_by(CALM)
    await asyncio.gather(*presses)
    # No message reports the settings of an installation, so one request may check them.
    assert [record.method for record in sim.rest.requests] in ([], ["GET"])


@pytest.mark.usefixtures("_calm")
async def test_a_change_while_home_assistant_stops(
    sim: Simulator, charger: Charger, numbers: Numbers, live_entry: MockConfigEntry
) -> None:
    """Changes while Home Assistant stops are sent without a delay."""
    await live_entry.runtime_data.batches.async_close()
    async with asyncio.timeout(CALM / 2):
        await numbers.set("charger_max_current", 8)
    assert charger.max_current == 8


@pytest.mark.usefixtures("_calm")
async def test_an_automation_that_is_stopped_takes_nothing_back(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
) -> None:
    """Cancelling the automation does not cancel its change, which may protect a fuse."""
    press = numbers.press("charger_max_current", 8)
    await time_machine.spin()
    press.cancel()
    await time_machine.pass_by(CALM + 1)
    await wait_until(lambda: charger.max_current == 8)


async def test_a_slow_cloud_gets_one_change_at_a_time(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a request is in flight, further changes are collected and sent as one."""
    monkeypatch.setattr(
        "custom_components.zaptec.api.requester.COMMAND_TIMEOUT", 3600.0
    )
    sim.rest.fail("/update$", fault="hang", times=1)
    sim.rest.clear()
    presses = [numbers.press("charger_max_current", 20)]
    await wait_until(lambda: len(sim.rest.requests) == 1)
    for value in (19, 18, 17, 16):
        presses.append(numbers.press("charger_max_current", value))
        await time_machine.spin()
    assert len(sim.rest.requests) == 1
    sim.rest.heal()
    await asyncio.gather(*presses, return_exceptions=True)
    assert writes(sim) == 2
    assert charger.max_current == 16


# Ranges.


@pytest.mark.parametrize(
    ("state_id", "value"),
    [(StateId.INSTALLATION_MAX_LIMIT, 25.0), (StateId.MAX_CURRENT, 40.0)],
)
async def test_a_charger_accepts_the_maximum_that_it_holds(
    sim: Simulator,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    state_id: StateId,
    value: float,
) -> None:
    """The range is the charger's own limit, not that of its installation (StateId 546)."""
    key = "charger_max_current"
    charger.observe(state_id, value)
    charger.observe(StateId.PULSE, 1)
    state = live_entry.runtime_data.states[charger.id]
    await wait_until(lambda: state.value(state_id) == value)
    held = 32 if state_id is StateId.INSTALLATION_MAX_LIMIT else 40
    await wait_until(lambda: numbers.value(key) == held)
    assert numbers.state(key).attributes["max"] == held
    assert numbers.state("charger_min_current").attributes["max"] == 32
    await numbers.set(key, held)


async def test_an_installation_accepts_the_current_that_it_holds(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
) -> None:
    """The held current is accepted even if the installation's limit is lower now, or unknown."""
    charger.installation.max_current = 16
    await time_machine.travel(3700, step=60)
    assert numbers.state("available_current").attributes["max"] == 20
    sim.rest.clear()
    await numbers.set("available_current", 20)
    assert writes(sim) == 0
    await numbers.set("available_current", 16)
    assert numbers.state("available_current").attributes["max"] == 16


async def test_a_minimum_above_the_maximum_is_refused(
    sim: Simulator,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
) -> None:
    """A minimum above the maximum is refused, because the charger would never charge."""
    await numbers.set("charger_max_current", 10.5)
    await wait_until(lambda: numbers.value("charger_max_current") == 10.5)
    sim.rest.clear()
    with pytest.raises(ServiceValidationError) as raised:
        await numbers.set("charger_min_current", 16)
    assert raised.value.translation_key == "min_current_above_max"
    assert raised.value.translation_placeholders == {"maximum": "10.5"}
    assert not sim.rest.requests
    await numbers.set("charger_min_current", 10.5)
    assert charger.min_current == 10.5


async def test_a_maximum_below_the_minimum_pauses_the_charger(
    sim: Simulator, charger: Charger, numbers: Numbers, live_entry: MockConfigEntry
) -> None:
    """A maximum below the minimum is accepted, because a reduction may protect a fuse."""
    await numbers.set("charger_min_current", 16)
    await numbers.set("charger_max_current", 6)
    assert charger.max_current == 6


@pytest.mark.usefixtures("_calm")
@pytest.mark.parametrize("is_sent", [False, True])
async def test_a_minimum_is_compared_with_the_newest_maximum(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    is_sent: bool,
) -> None:
    """A minimum is compared with a maximum that is requested or sent, but not confirmed yet."""
    monkeypatch.setattr(charger, "set_max_current", lambda _: None)
    press = numbers.press("charger_max_current", 10)
    await time_machine.pass_by(CALM + 1 if is_sent else CALM / 2)
    if is_sent:
        await press
    with pytest.raises(ServiceValidationError) as raised:
        await numbers.set("charger_min_current", 16)
    assert raised.value.translation_key == "min_current_above_max"
    await time_machine.pass_by(CALM)
    await press


async def test_a_charger_of_unknown_maximum(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
) -> None:
    """If the maximum is unknown, any minimum is accepted, and any maximum is sent."""
    charger.observe(StateId.MAX_CURRENT, None)
    await wait_until(lambda: numbers.state("charger_max_current").state == "unknown")
    sim.rest.clear()
    await numbers.set("charger_min_current", 32)
    await numbers.set("charger_max_current", 32)
    assert writes(sim) == 2


# Tenths.


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (16.05, 16.1),
        (15.96, 16.0),
        (10.100000000000001, 10.1),
        (10.14999, 10.1),
        (7, 7.0),
    ],
)
@pytest.mark.parametrize(
    "key",
    ["charger_max_current", "available_current", "three_to_one_phase_switch_current"],
)
async def test_a_current_is_rounded_to_a_tenth(
    sim: Simulator,
    charger: Charger,
    numbers: Numbers,
    live_entry: MockConfigEntry,
    key: str,
    value: float,
    rounded: float,
) -> None:
    """Values are rounded to 0.1 A, the cloud's resolution; the buttons step by 1 A."""
    await numbers.set(key, value)
    await wait_until(lambda: numbers.value(key) == rounded)
    assert numbers.state(key).state == f"{rounded:.1f}"
    assert numbers.state(key).attributes["step"] == 1


@pytest.mark.parametrize(
    ("value", "highest", "rounded"),
    [
        (24.97, 24.97, 24.9),
        (24.97, 25, 25),
        (-0.04, 32, 0),
        (-0.96, 32, -1),
        (float("inf"), 32, float("inf")),
    ],
)
def test_rounding_stays_below_the_limit(
    value: float, highest: float, rounded: float
) -> None:
    """A value is not rounded up beyond the limit, because the cloud would refuse it."""
    assert round_current(value, highest) == rounded
    assert str(round_current(value, highest)) != "-0.0"


async def test_a_current_that_was_set_elsewhere_is_shown_in_tenths(
    sim: Simulator, charger: Charger, numbers: Numbers, live_entry: MockConfigEntry
) -> None:
    """A value of another program, such as 10.100000000000001, is shown rounded to a tenth."""
    charger.observe(StateId.MIN_CURRENT, 10.100000000000001)
    await wait_until(lambda: numbers.state("charger_min_current").state == "10.1")
    assert numbers.state("charger_min_current").state != STATE_UNAVAILABLE


@pytest.mark.parametrize("is_looked_at", [True, False])
async def test_a_phase_switch_current_that_was_changed_elsewhere_is_set_again(
    sim: Simulator,
    charger: Charger,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    numbers: Numbers,
    is_looked_at: bool,
) -> None:
    """A value that was changed elsewhere is set again, although no message reported the change."""
    key = "three_to_one_phase_switch_current"
    await numbers.set(key, 10)
    await time_machine.travel(120, step=15)
    charger.installation.three_to_one_phase_switch_current = 0
    if not is_looked_at:
        sim.rest.fail("/api/installation/[^/]*$", fault=403)
    await numbers.set(key, 10)
    assert charger.installation.three_to_one_phase_switch_current == 10


async def test_an_entity_that_is_added_again_leaves_no_batch_behind(
    hass: HomeAssistant, live_entry: MockConfigEntry, numbers: Numbers
) -> None:
    """Renaming an entity adds it again; its old batch must not be left behind."""
    batches = live_entry.runtime_data.batches
    gc.collect()
    before = len(batches)
    registry = er.async_get(hass)
    for index in range(3):
        for key in ("charger_max_current", "three_to_one_phase_switch_current"):
            registry.async_update_entity(
                numbers.state(key).entity_id, new_entity_id=f"number.{key}_{index}"
            )
            await hass.async_block_till_done()
    gc.collect()
    assert len(batches) == before


async def test_a_maximum_that_failed_limits_no_minimum(
    sim: Simulator,
    charger: Charger,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    numbers: Numbers,
) -> None:
    """After a maximum has certainly failed, a minimum is compared with the held maximum."""
    await time_machine.travel(30)
    sim.rest.fail("/update$", fault="reset", times=1)
    with pytest.raises(HomeAssistantError):
        await numbers.set("charger_max_current", 10)
    # Until that is certain, it may have arrived.
    with pytest.raises(ServiceValidationError) as raised:
        await numbers.set("charger_min_current", 12)
    assert raised.value.translation_key == "min_current_above_max"
    await time_machine.travel(60, step=5)
    assert numbers.value("charger_max_current") == 32
    await numbers.set("charger_min_current", 12)
