"""The sensors of the start, the end and the duration of the session that ended last."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
import json
from uuid import NAMESPACE_OID, uuid5

from homeassistant.components.sensor import SensorExtraStoredData
from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import State
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.restore_state import RestoredExtraData, StoredState
from homeassistant.util import dt as dt_util
import pytest

from custom_components.zaptec.api import CompletedSession
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.last_session import (
    session_duration,
    session_end,
    session_start,
)
from simulator.car import Car
from simulator.observations import StateId

from .conftest import CARD
from .home import Home
from .restored import provide_restored_state

START, END, DURATION = KEYS = (
    "completed_session_start",
    "completed_session_end",
    "completed_session_duration",
)
MOMENT = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
# When the session of a test without Home Assistant is reported.
REPORTED = MOMENT + timedelta(hours=2)


def registered(home: Home) -> dict[str, str]:
    """Register the sensors, as a user who has enabled them; return their entity ids."""
    registry = er.async_get(home.hass)
    return {
        key: registry.async_get_or_create(
            "sensor",
            DOMAIN,
            f"{home.charger.id}_{key}",
            config_entry=home.entry,
        ).entity_id
        for key in KEYS
    }


def report(home: Home, start: datetime, end: datetime) -> None:
    """Let the charger report a session that a card has authorized."""
    document = {
        "SessionId": str(uuid5(NAMESPACE_OID, end.isoformat())),
        "Energy": 1.0,
        "StartDateTime": start.isoformat(),
        "EndDateTime": end.isoformat(),
        "AuthenticationCode": CARD,
    }
    home.charger.observe(StateId.COMPLETED_SESSION, json.dumps(document))


async def test_a_session(new_home: Home) -> None:
    """The sensors show when a session began and ended, once it has ended."""
    home = new_home
    registered(home)
    await home.start()
    for key in KEYS:
        assert home.state("sensor", key) == STATE_UNKNOWN
    home.charger.plug_in(Car())
    await home.travel(60)
    session = home.charger.session
    assert session
    home.charger.unplug()
    await home.travel(30)
    assert session.ended
    await home.wait_for("sensor", END, session.ended.isoformat(timespec="seconds"))
    assert home.state("sensor", START) == session.started.isoformat(timespec="seconds")
    hours = (session.ended - session.started) / timedelta(hours=1)
    assert float(home.state("sensor", DURATION)) == pytest.approx(hours, abs=0.001)


async def test_new_users_do_not_get_them_by_default(home: Home) -> None:
    """The sensors are registered, but disabled."""
    registry = er.async_get(home.hass)
    for key in KEYS:
        entity = registry.async_get(home.entity_id("sensor", key))
        assert entity
        assert entity.disabled_by is er.RegistryEntryDisabler.INTEGRATION


async def test_no_code(new_home: Home) -> None:
    """Who charged is not shown by these sensors."""
    home = new_home
    entity_ids = registered(home)
    await home.start()
    report(home, MOMENT, MOMENT + timedelta(hours=2))
    await home.wait_for("sensor", DURATION, "2.0")
    for entity_id in entity_ids.values():
        state = home.hass.states.get(entity_id)
        assert state
        assert CARD[-4:] not in f"{state.as_dict()}"


async def test_a_restart(new_home: Home) -> None:
    """The last session is still shown if the cloud does not report it again."""
    home = new_home
    entity_ids = registered(home)
    values = {START: MOMENT, END: MOMENT + timedelta(hours=3), DURATION: 3.0}
    for key, value in values.items():
        data = SensorExtraStoredData(value, "h" if key == DURATION else None)
        provide_restored_state(
            home.hass,
            StoredState(
                State(entity_ids[key], f"{value}"),
                RestoredExtraData(data.as_dict()),
                dt_util.utcnow(),
            ),
        )
    await home.start()
    assert home.state("sensor", START) == MOMENT.isoformat()
    assert home.state("sensor", END) == (MOMENT + timedelta(hours=3)).isoformat()
    assert home.state("sensor", DURATION) == "3.0"
    report(home, MOMENT, MOMENT + timedelta(hours=4))
    await home.wait_for("sensor", DURATION, "4.0")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (MOMENT, MOMENT + timedelta(minutes=45), (True, True, 0.75)),
        (MOMENT, MOMENT, (True, True, 0.0)),
        (MOMENT, MOMENT - timedelta(minutes=1), (True, True, None)),
        (None, MOMENT, (False, True, None)),
        (MOMENT, None, (True, False, None)),
        (MOMENT.replace(year=1970), MOMENT, (False, True, None)),
        (MOMENT.replace(year=2024), MOMENT, (True, True, None)),
        # The clock was never set, but it has measured the time.
        (
            MOMENT.replace(year=1970),
            MOMENT.replace(year=1970) + timedelta(hours=1),
            (False, False, 1.0),
        ),
        # The clock is ahead a little, as clocks are.
        (MOMENT, REPORTED + timedelta(minutes=5), (True, True, 25 / 12)),
        # It is ahead by more: the start cannot be right, either.
        (MOMENT, REPORTED + timedelta(minutes=6), (False, False, None)),
        (MOMENT, MOMENT.replace(year=2106), (False, False, None)),
        # It was ahead during the whole session.
        (
            MOMENT.replace(year=2027),
            MOMENT.replace(year=2027) + timedelta(hours=1),
            (False, False, 1.0),
        ),
        # It was set during the session.
        (MOMENT.replace(year=2027), MOMENT, (False, True, None)),
        (MOMENT.replace(year=2027), None, (False, False, None)),
    ],
)
def test_times_that_cannot_be_right(
    start: datetime | None,
    end: datetime | None,
    expected: tuple[bool, bool, float | None],
) -> None:
    """A moment or a duration that cannot be right is unknown."""
    session = CompletedSession(start=start, end=end)
    has_start, has_end, duration = expected
    assert session_start(session, REPORTED) == (start if has_start else None)
    assert session_end(session, REPORTED) == (end if has_end else None)
    assert session_duration(session, REPORTED) == pytest.approx(duration)


def test_a_duration_that_is_too_short_for_the_energy() -> None:
    """The duration is unknown where the sensor of the energy ignores the session."""
    session = CompletedSession(
        start=MOMENT, end=MOMENT + timedelta(minutes=6), energy=102.5
    )
    assert session_duration(session, REPORTED) == pytest.approx(0.1)
    session = replace(session, energy=102.6)
    assert session_duration(session, REPORTED) is None


@pytest.mark.parametrize("is_ahead", [False, True])
async def test_a_clock_that_is_ahead(new_home: Home, is_ahead: bool) -> None:
    """A session that ends in the future has no times, even after a restart."""
    home = new_home
    registered(home)
    await home.start()
    start = dt_util.utcnow().replace(microsecond=0) + timedelta(days=int(is_ahead))
    report(home, start - timedelta(hours=2), start)
    await home.wait_for("sensor", DURATION, "2.0")
    for key, moment in ((START, start - timedelta(hours=2)), (END, start)):
        expected = STATE_UNKNOWN if is_ahead else moment.isoformat()
        assert home.state("sensor", key) == expected
    await home.reload()
    await home.wait_for("sensor", DURATION, "2.0")
    assert (home.state("sensor", END) == STATE_UNKNOWN) is is_ahead
