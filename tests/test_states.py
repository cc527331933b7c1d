"""The states of all chargers of an account."""

from datetime import UTC, datetime
from unittest.mock import Mock

import pytest

from custom_components.zaptec.api import Account, Charger, Observation, StateId
from custom_components.zaptec.listeners import Listeners
from custom_components.zaptec.state import States

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
