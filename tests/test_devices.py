"""Devices that are missing from an account's lists, tested without Home Assistant."""

import pytest

from custom_components.zaptec.api import Account, Charger, Installation
from custom_components.zaptec.devices import missing as missing_module
from custom_components.zaptec.devices.adoption import split_unique_id
from custom_components.zaptec.devices.missing import GONE_TIME, MissingDevices

HOME = Installation(id="home")
GARAGE = Charger(id="garage", installation_id="home")
GUESTS = Charger(id="guests", installation_id="home", circuit_id="circuit")
ALL = Account({"home": HOME}, {"garage": GARAGE, "guests": GUESTS})


class Clock:
    """A monotonic clock that only a test advances."""

    def __init__(self) -> None:
        """Start the clock at an arbitrary time."""
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time (seconds)."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock for missing devices."""
    clock = Clock()
    monkeypatch.setattr(missing_module, "monotonic", clock)
    return clock


def test_a_missing_device_is_kept_until_it_has_been_missing_for_long(
    clock: Clock,
) -> None:
    """A device is removed after it was missing from lists for an hour, not after one list."""
    missing = MissingDevices()
    found = ALL.subset({"home", "garage"})

    assert missing.keep(found, ALL, set()) == ALL
    assert missing.ids == {"guests"}
    assert "guests" in missing
    assert "garage" not in missing

    clock.now += GONE_TIME - 1
    assert not missing.is_gone("guests")
    assert missing.keep(found, ALL, set()) == ALL

    clock.now += 1
    assert missing.is_gone("guests")
    assert missing.keep(found, ALL, set()) == found


def test_a_device_that_returns_is_not_missing_any_more(clock: Clock) -> None:
    """If a missing device returns, its time starts over with the next list that lacks it."""
    missing = MissingDevices()
    missing.add(["guests"])
    clock.now += GONE_TIME

    assert missing.keep(ALL, ALL, set()) == ALL
    assert not missing.ids
    assert not missing.is_gone("guests")


def test_a_device_that_another_account_shows_is_not_kept(clock: Clock) -> None:
    """A device that another account shows is neither kept nor missing."""
    missing = MissingDevices()
    missing.add(["guests"])
    found = ALL.subset({"home", "garage"})

    assert missing.keep(found, ALL, {"guests"}) == found
    assert not missing.ids


def test_a_device_is_missing_since_the_first_list_that_lacks_it(clock: Clock) -> None:
    """Further lists that lack the device do not extend the time."""
    missing = MissingDevices()
    missing.add(["guests"])
    clock.now += GONE_TIME
    missing.add(["guests", "garage"])

    assert missing.is_gone("guests")
    assert not missing.is_gone("garage")


def test_the_union_of_accounts_prefers_the_second_one() -> None:
    """The second source wins, because an installation may have been read after the lists."""
    newer = Installation(id="home", name="Home")

    assert ALL | Account({"home": newer}) == Account({"home": newer}, ALL.chargers)
    assert ALL.subset(()) == Account()
    assert ALL.device_ids == {"home", "garage", "guests"}
    assert ALL.circuit_ids == {"circuit"}


@pytest.mark.parametrize(
    ("unique_id", "parts"),
    [
        ("garage_is_online", ("garage", "is_online")),
        ("garage_completed_session.Energy", ("garage", "completed_session.Energy")),
        ("garage", ("garage", "")),
    ],
)
def test_a_unique_id_consists_of_a_device_and_a_key(
    unique_id: str, parts: tuple[str, str]
) -> None:
    """One entity of each device has the id of the device alone."""
    assert split_unique_id(unique_id) == parts
