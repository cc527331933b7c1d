"""The states of all chargers of an account."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest

from custom_components.zaptec import state as state_module
from custom_components.zaptec.api import Account, Charger, Observation, StateId
from custom_components.zaptec.listeners import Listeners
from custom_components.zaptec.state import States

from .time_machine import wait_until

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
GARAGE = Charger.from_json(
    {"Id": "5b9a5a3c-8e7e-4a59-9d53-05e3a0c1a001", "DeviceType": 1, "IsOnline": True}
)
SPACE = Charger.from_json(
    {"Id": "5b9a5a3c-8e7e-4a59-9d53-05e3a0c1a002", "DeviceType": 1, "IsOnline": True}
)


class House:
    """The states of an account's chargers, and the notifications that they cause."""

    def __init__(self) -> None:
        """Initialize the states of one charger."""
        self.on_unknown = Mock()
        self.on_new_version = Mock()
        self.listeners = Listeners()
        self.states = States(
            self.listeners,
            on_unknown=self.on_unknown,
            on_new_version=self.on_new_version,
        )
        self.states.follow(Account(chargers={GARAGE.id: GARAGE}))


@pytest.fixture
def house() -> House:
    """Return the states of an account with one charger."""
    return House()


def observation(
    state_id: StateId, value: str, charger: Charger = GARAGE
) -> Observation:
    """Return an observation of a charger."""
    return Observation(charger.id, state_id, NOW, value)


async def test_a_change_notifies_the_listeners_of_its_state_id(house: House) -> None:
    """A repeated value notifies no listener, so no entity writes its state."""
    run = Mock()
    house.listeners.add(run, [(GARAGE.id, int(StateId.CHARGER_MAX_CURRENT))])
    for value in ("16", "16", "10"):
        house.states.apply([observation(StateId.CHARGER_MAX_CURRENT, value)])

    assert house.states[GARAGE.id].value(StateId.CHARGER_MAX_CURRENT) == 10
    assert run.call_count == 2


async def test_topics_that_change_with_observations_are_one_batch(house: House) -> None:
    """A listener of both is called once, when the observations are held."""
    held: list[object] = []
    house.listeners.add(
        lambda: held.append(house.states[GARAGE.id].value(StateId.CHARGER_MAX_CURRENT)),
        [(GARAGE.id, int(StateId.CHARGER_MAX_CURRENT)), GARAGE.id],
    )
    house.states.apply(
        [observation(StateId.CHARGER_MAX_CURRENT, "16")], also=[GARAGE.id]
    )
    assert held == [16]


async def test_a_reading_that_makes_entities_available(house: House) -> None:
    """They are notified of the first reading, and of one after an outage, once for each."""
    held: list[object] = []
    house.listeners.add(
        lambda: held.append(house.states[GARAGE.id].value(StateId.CHARGER_MAX_CURRENT)),
        [(GARAGE.id, int(StateId.CHARGER_MAX_CURRENT)), GARAGE.id],
    )
    for value, is_back in (("16", False), ("16", False), ("10", True), ("10", True)):
        house.states.apply_reading(
            GARAGE.id,
            [observation(StateId.CHARGER_MAX_CURRENT, value)],
            is_back=is_back,
        )
    assert held == [16, 10, 10]


async def test_a_reading_that_changes_nothing(house: House) -> None:
    """It makes entities available all the same, the first time and after an outage."""
    run = Mock()
    house.listeners.add(run, [GARAGE.id])
    calls = []
    for is_back in (False, False, True):
        house.states.apply_reading(GARAGE.id, [], is_back=is_back)
        calls.append(run.call_count)
    assert calls == [1, 1, 2]


async def test_a_charger_that_is_online_again_is_offline_until_it_has_reported(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was offline with may be outdated until then; the latest connection counts."""
    loop = asyncio.get_running_loop()
    call_later, timers = loop.call_later, []

    def note(*args: Any) -> asyncio.TimerHandle:
        timers.append(call_later(*args))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", note)
    state = house.states[GARAGE.id]
    offline: list[bool] = []
    house.listeners.add(
        lambda: offline.append(state.is_offline),
        [(GARAGE.id, int(StateId.IS_ONLINE))],
    )
    for value in ("1", "0", "1", "0", "1"):
        house.states.apply([observation(StateId.IS_ONLINE, value)])
    assert offline == [False, True, True, True, True]
    *former, last = (timer.cancelled() for timer in timers)
    assert former
    assert all(former)
    assert not last
    monkeypatch.undo()
    await wait_until(lambda: not state.is_offline)
    await wait_until(lambda: len(offline) == 6)
    assert offline[5] is False


@pytest.mark.parametrize("stops", [False, True])
async def test_a_charger_that_the_list_says_is_online_again(
    house: House, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    """What is listed counts as well, and nothing is left after a stop."""
    monkeypatch.setattr(state_module, "LIST_LAG", -1.0)
    state = house.states[GARAGE.id]
    house.states.apply_listed(replace(GARAGE, is_online=False))
    assert state.is_offline
    house.states.apply_listed(GARAGE)
    assert state.is_offline
    run = Mock()
    house.listeners.add(run, [(GARAGE.id, int(StateId.IS_ONLINE))])
    if stops:
        house.states.stop()
        await wait_until(lambda: not state.is_offline)
        run.assert_not_called()
    else:
        await wait_until(lambda: run.call_count == 1)
        assert not state.is_offline


async def test_a_charger_that_is_online_again_and_reports_one_by_one(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is offline until it reports no more, and no longer than the maximum."""
    moment = 1000.0
    monkeypatch.setattr(state_module, "monotonic", lambda: moment)
    state = house.states[GARAGE.id]
    gap = state_module.ONLINE_AGAIN_TIME - 0.1
    for value in ("0", "1"):
        house.states.apply([observation(StateId.IS_ONLINE, value)])
    for value in ("16", "16", "10"):
        moment += gap
        assert state.is_offline
        house.states.apply([observation(StateId.CHARGER_MAX_CURRENT, value)])
    assert state.settles_in == pytest.approx(state_module.ONLINE_AGAIN_TIME)
    while moment < 1000.0 + state_module.ONLINE_AGAIN_MAX:
        assert state.is_offline
        house.states.apply([observation(StateId.CHARGER_MAX_CURRENT, "10")])
        moment += gap
    assert not state.is_offline
    house.states.apply([observation(StateId.CHARGER_MAX_CURRENT, "16")])
    assert not state.is_offline
    house.states.stop()


async def test_listeners_are_notified_when_the_last_report_is_there(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are notified once, even if the charger is gone by then."""
    monkeypatch.setattr(state_module, "ONLINE_AGAIN_TIME", 0.02)
    state = house.states[GARAGE.id]
    for value in ("0", "1"):
        house.states.apply([observation(StateId.IS_ONLINE, value)])
    offline: list[bool] = []
    house.listeners.add(
        lambda: offline.append(state.is_offline),
        [(GARAGE.id, int(StateId.IS_ONLINE))],
    )
    monkeypatch.setattr(state_module, "ONLINE_AGAIN_TIME", 0.2)
    house.states.apply([observation(StateId.CHARGER_MAX_CURRENT, "16")])
    await wait_until(lambda: bool(offline))
    assert offline == [False]
    for value in ("0", "1"):
        house.states.apply([observation(StateId.IS_ONLINE, value)])
    house.states.follow(Account())
    offline.clear()
    await wait_until(lambda: bool(offline))


async def test_a_list_that_arrives_when_a_charger_has_just_reported_all(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listeners are still notified if the timer that is due has not run yet."""
    state = house.states[GARAGE.id]
    for value in ("0", "1"):
        house.states.apply([observation(StateId.IS_ONLINE, value)])
    run = Mock()
    house.listeners.add(run, [(GARAGE.id, int(StateId.IS_ONLINE))])
    assert state.is_offline
    later = state_module.monotonic() + state_module.ONLINE_AGAIN_TIME + 0.1
    monkeypatch.setattr(state_module, "monotonic", lambda: later)
    assert not state.is_offline
    house.states.apply_listed(GARAGE)
    run.assert_not_called()
    await wait_until(lambda: run.call_count == 1)


async def test_an_unknown_charger_is_reported(house: House) -> None:
    """An unknown charger triggers a discovery; its observations are dropped until then."""
    house.states.apply([observation(StateId.CHARGER_MAX_CURRENT, "16", SPACE)])

    house.on_unknown.assert_called_once_with(SPACE.id)
    assert list(house.states) == [GARAGE.id]


async def test_a_new_version_is_reported(house: House) -> None:
    """A new firmware version is reported, so that the device registry is updated."""
    house.states.apply([observation(StateId.SOFTWARE_VERSION, "3.9.0.1")])

    house.on_new_version.assert_called_once_with(GARAGE.id, "3.9.0.1")


async def test_the_states_follow_the_account(house: House) -> None:
    """A charger's state is kept as long as the charger is shown."""
    state = house.states[GARAGE.id]
    house.states.follow(Account(chargers={GARAGE.id: GARAGE, SPACE.id: SPACE}))
    assert house.states[GARAGE.id] is state
    assert len(house.states) == 2

    house.states.follow(Account(chargers={SPACE.id: SPACE}))
    assert house.states.get(GARAGE.id) is None


async def test_the_list_contradicts_a_state_until_it_is_applied(house: House) -> None:
    """A contradiction is reported until the list is applied; without observations there is none."""
    assert house.states.is_contradicted_by(GARAGE)

    house.states.apply_listed(GARAGE)

    assert house.states[GARAGE.id].value(StateId.IS_ONLINE) is True
    assert not house.states.is_contradicted_by(GARAGE)
