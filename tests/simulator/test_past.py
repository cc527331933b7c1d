"""Tests of what chargers have charged before the simulation."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import json
import math

import pytest

from simulator.accounts import Account, Card
from simulator.hours import HOUR, HourlyEnergy
from simulator.observations import Family
from simulator.ocmf import Meter
from simulator.past import Identity, Past
from simulator.scenario import PastScenario
from simulator.session import Session

NOW = datetime(2026, 11, 27, 8, 30, tzinfo=UTC)
IDENTITY = Identity(
    "00000000-0000-4000-8000-0000000000aa",
    "Space 1",
    "00000000-0000-4000-8000-0000000000bb",
    Meter(Family.PRO, "ZPR000001", "3.2.4.1"),
)
LAST_READING = 20_000.0
DRIVERS = [
    Account(
        user_name=f"{name}@example.com",
        password="",
        id=f"00000000-0000-4000-8000-0000000000{name}",
        full_name=f"Driver {name}",
        cards=cards,
    )
    for name, cards in (
        ("c1", (Card("Key ring", "04A1"), Card("Spare", "04A2"))),
        ("c2", ()),
        ("c3", (Card("Blue", "04B1"),)),
    )
]


def past(
    item: PastScenario | None = None,
    *,
    seed: str = "test",
    identity: Identity = IDENTITY,
    drivers: list[Account] | None = None,
) -> Past:
    """Return a past of two years, by default."""
    return Past(
        identity,
        item or PastScenario(days=730),
        seed=seed,
        now=NOW,
        last_reading=LAST_READING,
        drivers=lambda: DRIVERS if drivers is None else drivers,
    )


def sessions_of(made: Past) -> list[Session]:
    """Return all sessions of a past."""
    weeks = made.weeks(made.start, made.end)
    return [session for week in weeks for session in made.sessions(week)]


def counted(made: Past) -> list[Session]:
    """Return the sessions whose energy has been drawn."""
    return [
        session
        for session in sessions_of(made)
        if not session.replaced_by and not session.voided and not session.aborted
    ]


def ended(session: Session) -> datetime:
    """Return the end of a completed session."""
    assert session.ended
    return session.ended


def test_the_past_is_the_same_whichever_part_is_read() -> None:
    """The seed decides, and neither the order nor the extent of what is read."""
    first, second = past(), past()
    weeks = list(first.weeks(first.start, first.end))
    backwards = {week: second.sessions(week) for week in reversed(weeks)}
    assert {week: first.sessions(week) for week in weeks} == backwards
    assert sessions_of(past(seed="other")) != sessions_of(first)
    sooner = past(PastScenario(days=200))
    assert [facts(item) for item in sessions_of(sooner)[-50:]] == [
        facts(item) for item in sessions_of(first)[-50:]
    ]


def facts(session: Session) -> tuple[object, ...]:
    """Return what does not depend on the sessions before."""
    return session.id, session.number, session.details, session.recognized, session.user


def test_sessions_follow_each_other_within_the_past() -> None:
    """They begin and end within the past, do not overlap, and there are as many as asked for."""
    made = past(PastScenario(days=730, sessions_per_week=4))
    sessions = counted(made)
    assert made.start <= sessions[0].started
    assert ended(sessions[-1]) <= NOW == made.end
    assert all(ended(one) <= two.started for one, two in pairwise(sessions))
    assert sessions_of(made) == sorted(sessions_of(made), key=ended)
    assert 330 <= len(sessions) <= 430
    # Some stay over a weekend, and most are long enough for a night.
    stays = Counter((ended(item) - item.started).days for item in sessions)
    assert stays[0] > 3 * stays[1] > 0
    assert {ended(item).month for item in sessions} == set(range(1, 13))


def test_many_sessions_a_day() -> None:
    """A busy charger has several cars on one day; their details do not overlap."""
    made = past(
        PastScenario(days=70, sessions_per_week=30, irregular=0),
        identity=replace(IDENTITY, meter=Meter(Family.GO, "ZAP000001", "2.4.2.4")),
    )
    sessions = sessions_of(made)
    assert 220 <= len(sessions) <= 300
    assert all(ended(one) <= two.started for one, two in pairwise(sessions))
    assert all(item.energy < 48 for item in sessions)
    for item in sessions:
        times = [time for time, _ in item.energy_details()]
        assert times == sorted(set(times))
        assert (times[0], times[-1]) == (item.started, item.ended)


def test_the_hours_are_the_integral_of_the_power() -> None:
    """Each session's energy is in the hours between its start and its end."""
    made = past(PastScenario(days=365))
    hours = made.hourly_energy(made.start, made.end).between()
    sessions = counted(made)
    total = math.fsum(item.energy for item in sessions)
    assert math.fsum(hours.values()) == pytest.approx(total)
    assert made.energy == pytest.approx(total)
    assert max(hours.values()) < 11
    assert min(hours.values()) > 0
    for item in sessions:
        first = item.started.replace(minute=0, second=0, microsecond=0)
        drawn = math.fsum(
            energy for hour, energy in hours.items() if first <= hour < ended(item)
        )
        # Another car may have charged in the first or the last hour.
        assert drawn >= item.energy - 1e-6


def spread(session: Session, interval: timedelta, hours: HourlyEnergy) -> None:
    """Add the details of a session to its hours, as a reader of the archive has to."""
    points = session.energy_details()
    for (before, _), (time, energy) in pairwise(points):
        start = max(before, time - interval)
        if time > start:
            watts = energy * 3_600_000 / (time - start).total_seconds()
            hours.add(start, time, watts)


@pytest.mark.parametrize(
    ("family", "firmware"), [(Family.PRO, "3.2.4.1"), (Family.GO, "2.4.2.4")]
)
def test_the_details_say_in_which_hour(family: Family, firmware: str) -> None:
    """Spread over the interval of its report, nearly all energy is in its own hour."""
    identity = Identity(
        IDENTITY.id,
        "Space 1",
        IDENTITY.installation_id,
        Meter(family, "ZPR000001", firmware),
    )
    made = past(PastScenario(days=365, irregular=0), identity=identity)
    found = HourlyEnergy()
    for session in sessions_of(made):
        spread(session, timedelta(seconds=900 if family is Family.PRO else 3600), found)
    right = made.hourly_energy(made.start, made.end).between()
    hours = found.between()
    wrong = math.fsum(
        abs(right.get(hour, 0) - hours.get(hour, 0)) for hour in {*right, *hours}
    )
    assert wrong / 2 < 0.005 * made.energy
    gaps = [
        time - before
        for session in sessions_of(made)
        for (before, _), (time, _) in pairwise(session.energy_details())
    ]
    # Reports are left out in pauses, and come at the meter's times otherwise.
    assert max(gaps) > timedelta(hours=6)
    assert Counter(gaps).most_common(1)[0][0] == (
        timedelta(minutes=15) if family is Family.PRO else HOUR
    )


def test_irregular_sessions() -> None:
    """There is each kind of irregular session; void ones do not count."""
    made = past(PastScenario(days=730, irregular=0.4))
    sessions = sessions_of(made)
    by_id = {item.id: item for item in sessions}
    assert len(by_id) == len(sessions)
    voided = [item for item in sessions if item.voided]
    aborted = [item for item in sessions if item.aborted]
    replaced = [item for item in sessions if item.replaced_by]
    offline = [item for item in sessions if item.offline]
    assert min(map(len, (voided, aborted, replaced, offline))) > 5
    assert sum(item.externally_abandoned for item in sessions) > 5
    assert sum(item.stopped_by_card for item in sessions) > 5
    for item in (*voided, *aborted):
        # Such an energy means nothing.
        assert item.energy > 0
    assert max(ended(item) - item.started for item in aborted) <= timedelta(minutes=1)
    for item in replaced:
        new = by_id[item.replaced_by or ""]
        assert (new.started, new.ended) == (item.started, item.ended)
        assert new.energy != pytest.approx(item.energy)
        assert item.replaced_at == new.recognized
        assert new.recognized
        assert item.recognized
        assert new.recognized > item.recognized
        assert item.is_void(NOW + timedelta(days=7))
        assert not item.is_void(item.recognized)
    for item in offline:
        assert item.recognized
        assert item.recognized - ended(item) > timedelta(hours=4)
    total = math.fsum(made.hourly_energy(made.start, made.end).between().values())
    assert total == pytest.approx(math.fsum(item.energy for item in counted(made)))


def test_unreliable_clocks() -> None:
    """Some sessions have wrong times; the energy has been drawn at the right ones."""
    wrong = past(PastScenario(days=365, irregular=0, unreliable_clock=0.3))
    right = past(PastScenario(days=365, irregular=0))
    pairs = list(zip(sessions_of(wrong), sessions_of(right), strict=True))
    assert 20 < sum(not item.reliable_clock for item in sessions_of(wrong)) < 120
    assert wrong.hourly_energy(wrong.start, NOW).between() == (
        right.hourly_energy(right.start, NOW).between()
    )
    assert sessions_of(wrong) == sorted(sessions_of(wrong), key=ended)
    assert {item.id for item, _ in pairs} == {item.id for _, item in pairs}


def test_the_meter_continues_from_session_to_session() -> None:
    """The readings end with the meter's last one, and nothing is drawn between two sessions."""
    made = past(PastScenario(days=365, irregular=0.3))
    sessions = counted(made)
    assert sessions[-1].readings[-1].energy == pytest.approx(made.last_reading)
    assert made.last_reading == LAST_READING
    first = sessions[0].readings[0].energy
    assert first == pytest.approx(LAST_READING - made.energy)
    for one, two in pairwise(sessions):
        assert two.readings[0].energy == pytest.approx(one.readings[-1].energy)
    for item in sessions_of(made):
        readings = [reading.energy for reading in item.readings]
        assert readings == sorted(readings)
        assert readings[-1] - readings[0] == pytest.approx(item.energy)
        document = json.loads(item.signed_session.split("|")[1])
        # Readings that differ by less than a watt-hour are not written.
        assert 0 <= len(item.readings) - len(document["RD"]) <= 2


def test_drivers_and_cards() -> None:
    """A charger has a usual driver, who uses a card or the app; some sessions are anonymous."""
    made = past(PastScenario(days=730, anonymous=0.2))
    sessions = sessions_of(made)
    known = [item for item in sessions if not item.is_anonymous]
    assert 0.7 < len(known) / len(sessions) < 0.9
    drivers = Counter(item.user.full_name for item in known if item.user)
    assert drivers.total() == len(known)
    assert len(drivers) == 3
    assert drivers.most_common(1)[0][1] > 0.6 * len(known)
    for item in sessions:
        assert item.card is None or (item.user and item.card in item.user.cards)
        if item.is_anonymous:
            assert item.user is item.card is None
    assert {item.card for item in sessions} > {None, DRIVERS[0].cards[0]}
    without = past(PastScenario(days=30), drivers=[])
    assert all(item.is_anonymous for item in sessions_of(without))


def test_a_session_is_found_by_its_id() -> None:
    """The id of a session names its charger and its week, so that it is found quickly."""
    made = past(PastScenario(days=100, irregular=0.3))
    for item in sessions_of(made):
        assert made.find(item.id) == item
    item = sessions_of(made)[0]
    last = "0" if item.id[-1] != "0" else "1"
    for odd in (
        f"00000000{item.id[8:]}",
        f"{item.id[:9]}0001{item.id[13:]}",
        f"{item.id[:-1]}{last}",
        "-" * 36,
        "0" * 36,
    ):
        assert made.find(odd) is None


def test_the_end_of_the_past() -> None:
    """A past ends when the scenario says, or when the simulation starts."""
    end = NOW - timedelta(days=30)
    made = past(PastScenario(days=60, end=end))
    assert ended(sessions_of(made)[-1]) <= end
    assert made.weeks(end, NOW) == range(0)
    future = past(PastScenario(days=60, end=NOW + timedelta(days=3)))
    assert future.end == NOW
    assert past(PastScenario(days=0)).energy == 0
