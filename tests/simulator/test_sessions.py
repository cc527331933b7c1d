"""Tests of how chargers record their completed sessions."""

from datetime import UTC, datetime, timedelta
import json
from typing import Any

import pytest

from simulator.accounts import Card
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.session import Session
from simulator.simulator import Simulator

from .conftest import START, Listener

CARD = Card("Key ring", "04A1B2C3")


def charge(charger: Charger, seconds: float = 3600, **car: Any) -> Session:
    """Charge a car, unplug it, and return its session as it was archived."""
    charger.plug_in(Car(**car))
    charger.clock.advance(seconds)
    charger.unplug()
    charger.clock.advance(10)
    return charger.installation.archive[-1]


def rows(session: Session) -> list[tuple[str, float]]:
    """Return time and reading of each row of a session's OCMF document."""
    document = json.loads(session.signed_session.split("|")[1])
    return [(row["TM"], row["RV"]) for row in document["RD"]]


def test_details_are_differences(pro: Charger) -> None:
    """The first is 0 at the start, then one per report of the meter, the last at the end."""
    session = charge(pro, 3000)
    points = session.energy_details()
    assert points[0] == (session.started, 0.0)
    assert points[-1][0] == session.ended
    quarters = [
        datetime(2026, 1, 5, 10, minute, tzinfo=UTC) + timedelta(seconds=0.06)
        for minute in (15, 30, 45)
    ]
    assert [time for time, _ in points[1:-1]] == quarters
    assert all(energy > 0 for _, energy in points[1:])
    total = sum(energy for _, energy in points)
    assert total == pytest.approx(round(session.energy, 3), abs=1e-9)


def test_reports_are_left_out_while_nothing_is_drawn(pro: Charger) -> None:
    """The report after a pause carries the energy since the end of the pause."""
    pro.plug_in(Car(capacity_kwh=90))
    pro.clock.advance(1200)
    pro.stop_charging()
    pro.clock.advance(7200)
    pro.resume_charging()
    pro.clock.advance(1800)
    pro.unplug()
    pro.clock.advance(10)
    (session,) = pro.installation.archive
    minutes = [time.hour * 60 + time.minute for time, _ in session.energy_details()]
    # Nothing is reported from 10:45 to 12:15.
    assert minutes == [603, 615, 630, 750, 765, 773]
    assert [
        round(float(second) - float(first), 3)
        for (_, first), (_, second) in zip(
            rows(session), rows(session)[1:], strict=False
        )
    ] == pytest.approx(
        [energy for _, energy in session.energy_details()[1:]], abs=0.0011
    )


def test_the_interval_of_the_reports_can_be_changed(go: Charger) -> None:
    """A Go reports hourly, unless another interval is set (StateId 555)."""
    assert len(charge(go, 4000).energy_details()) == 3
    go.set_meter_interval(600)
    assert len(charge(go, 4000).energy_details()) == 9


def test_meter_rows_add_up_to_the_energy(pro: Charger, go: Charger) -> None:
    """The signed readings of a session differ by its energy."""
    for charger in (pro, go):
        session = charge(charger, 9000)
        first, *_, last = rows(session)
        assert last[1] - first[1] == pytest.approx(session.energy, abs=0.0011)
        completed = json.loads(charger.value(StateId.COMPLETED_SESSION) or "")
        assert completed["SignedSession"] == session.signed_session


@pytest.mark.parametrize(
    ("serial", "firmware", "has_details"),
    [
        ("pro", "3.2.0.1", True),
        ("pro", "3.1.9.5", False),
        ("pro", "4.0.0.0", True),
        ("go", "2.4.0.0", True),
    ],
)
def test_old_firmware_has_no_details(
    pro: Charger, go: Charger, serial: str, firmware: str, has_details: bool
) -> None:
    """A Pro records the energy over time since 3.2, a Go with each firmware."""
    charger = pro if serial == "pro" else go
    charger.firmware = firmware
    assert charge(charger, 100).has_energy_details is has_details


def test_an_offline_charger_sends_its_sessions_when_it_is_back(pro: Charger) -> None:
    """They have their old times, and were recognized when the charger came back."""
    pro.set_offline_current(16)
    pro.set_offline()
    for _ in range(2):
        pro.plug_in(Car())
        pro.clock.advance(1000)
        pro.unplug()
        pro.clock.advance(10)
    assert pro.installation.archive == []
    heard = Listener(pro)
    pro.clock.advance(86_400)
    pro.set_online()
    first, second = pro.installation.archive
    assert first.offline
    assert second.offline
    assert first.recognized == second.recognized == pro.clock.now()
    assert second.ended == START + timedelta(seconds=2010)
    # A charger keeps only the last report of each StateId.
    (completed,) = heard.values(723)
    assert json.loads(completed or "")["SessionId"] == second.id
    pro.set_offline()
    pro.set_online()
    assert len(pro.installation.archive) == 2


def test_a_card_authorizes(world: Simulator, pro: Charger) -> None:
    """The charger reports the code of the card (722, 723), the archive its name."""
    account = world.accounts["user@example.com"]
    pro.installation.authentication_required = True
    pro.plug_in(Car())
    pro.clock.advance(5)
    pro.authorize(account, CARD)
    pro.clock.advance(1000)
    assert pro.value(StateId.CURRENT_USER) == "nfc-04A1B2C3"
    pro.stop_with_card()
    pro.clock.advance(1000)
    assert pro.value(StateId.OPERATION_MODE) == "5"
    pro.unplug()
    pro.clock.advance(10)
    (session,) = pro.installation.archive
    completed = json.loads(pro.value(StateId.COMPLETED_SESSION) or "")
    assert completed["AuthenticationCode"] == "nfc-04A1B2C3"
    assert completed["StoppedByRFID"] is True
    assert completed["FirstAuthenticatedDateTime"] == completed["StartDateTime"]
    assert (session.user, session.card) == (account, CARD)
    assert session.stopped_by_card
    assert not session.is_anonymous
    assert "04A1B2C3" not in repr(session)
    assert pro.value(StateId.CURRENT_USER) is None
    pro.installation.authentication_required = False
    following = charge(pro)
    assert following.user is following.card is None
    with pytest.raises(ValueError, match="no session"):
        pro.stop_with_card()


@pytest.mark.parametrize(("required", "kind"), [(False, 0), (True, 1)])
def test_sessions_are_anonymous_unless_the_cloud_authorizes(
    world: Simulator, pro: Charger, required: bool, kind: int
) -> None:
    """Without required authorization, or with web hooks, the cloud does not know the user."""
    pro.installation.authentication_required = required
    pro.installation.authentication_type = kind
    pro.authorize(world.accounts["user@example.com"])
    assert charge(pro).is_anonymous


def test_a_session_without_charging_is_void(pro: Charger) -> None:
    """The car never asked for energy."""
    assert charge(pro, wants=False).voided
    assert not charge(pro).voided


def test_the_report_of_a_session_can_be_lost(pro: Charger) -> None:
    """The session is archived, although StateId 723 is not sent."""
    pro.recording.lost_reports = 1
    heard = Listener(pro)
    assert charge(pro).energy > 1
    assert heard.values(723) == []
    pro.recording.lost_reports = 0.5
    for _ in range(20):
        charge(pro, 100)
    assert 0 < len(heard.values(723)) < 20


def test_a_wrong_clock(world: Simulator, pro: Charger) -> None:
    """All times of the session are wrong, and are said to be unreliable."""
    pro.recording.clock_error = -5 * 3600
    session = charge(pro, 4000)
    assert not session.reliable_clock
    assert session.started == START + timedelta(seconds=1, hours=-5)
    assert session.ended == START + timedelta(seconds=4000, hours=-5)
    points = session.energy_details()
    assert points[0][0] == session.started
    assert all(session.started <= time <= session.ended for time, _ in points)
    assert rows(session)[0][0].startswith("2026-01-05T05:03:01")
    completed = json.loads(pro.value(StateId.COMPLETED_SESSION) or "")
    assert completed["ReliableClock"] is False
    assert session.recognized
    assert session.recognized > START
    assert min(world.energy_by_hour(pro.id)) == START.replace(minute=0)
