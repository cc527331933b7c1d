"""The archive of the simulated cloud, as the client reads it."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import json
import logging

import aiohttp
import pytest

from custom_components.zaptec.api import (
    CommitMetadata,
    CompletedSession,
    Session,
    ZaptecClient,
    ZaptecPermissionError,
    ZaptecResponseError,
)
from simulator.accounts import Card, UserRole
from simulator.car import Car
from simulator.charger import Charger
from simulator.clock import Clock
from simulator.hours import HourlyEnergy
from simulator.observations import StateId
from simulator.scenario import DriverScenario, PastScenario, Scenario
from simulator.simulator import Simulator

NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)
START = NOW - timedelta(days=730)
CARD = Card("Key ring", "04A1B2C3")


@pytest.fixture
async def sim(socket_enabled: None) -> AsyncGenerator[Simulator]:
    """Return a running simulator with three Pro and their past of two years."""
    past = PastScenario(days=730, sessions_per_week=7, irregular=0.1, anonymous=0.1)
    scenario = Scenario.default().with_past(past)
    _, place = scenario.installations
    driver = DriverScenario(
        full_name="Ada Driver", email="ada@example.com", cards=(CARD,)
    )
    place = replace(place, chargers=place.chargers[:3], drivers=(driver,))
    scenario = replace(
        scenario,
        installations=(place,),
        accounts=tuple(
            replace(account, roles={place.name: account.roles[place.name]})
            for account in scenario.accounts
        ),
    )
    async with Simulator(scenario, clock=Clock(NOW, speed=0)) as simulator:
        yield simulator


@pytest.fixture
def charger(sim: Simulator) -> Charger:
    """Return the first charger."""
    return next(iter(sim.chargers.values()))


@pytest.fixture
def owner(sim: Simulator, session: aiohttp.ClientSession, hasty: None) -> ZaptecClient:
    """Return the client of the owner."""
    return ZaptecClient(session, "demo@example.com", "demo", base_url=sim.api_url)


async def read(
    client: ZaptecClient, charger: Charger, start: datetime = START
) -> list[Session]:
    """Return the archive of a charger."""
    end = charger.clock.now() + timedelta(seconds=1)
    return [
        session
        async for session in client.archived_sessions(
            charger_id=charger.id, start=start, end=end
        )
    ]


def charge(charger: Charger, seconds: float = 3000) -> None:
    """Charge a car, unplug it, and wait for the end of the session."""
    charger.plug_in(Car(capacity_kwh=80))
    charger.clock.advance(seconds)
    charger.unplug()
    charger.clock.advance(60)


async def test_two_years_of_a_charger(
    sim: Simulator, owner: ZaptecClient, charger: Charger
) -> None:
    """Two years need few requests, and hold all the energy that was drawn."""
    sessions = await read(owner, charger)
    requests = [item for item in sim.rest.requests if "archived" in item.path]
    assert len(requests) <= 10
    assert sim.rest.forbidden == []
    assert sim.rest.peak_per_second <= 10
    assert len({item.id for item in sessions}) == len(sessions) > 600
    ends = [item.end for item in sessions if item.end]
    assert ends == sorted(ends)
    assert len(ends) == len(sessions)
    counted = [item for item in sessions if item.counts]
    assert len(counted) < len(sessions)
    # Some corrections and offline sessions have not reached the cloud yet.
    drawn = sum(sim.energy_by_hour(charger.id).values())
    assert sum(item.energy or 0 for item in counted) == pytest.approx(drawn, rel=0.01)
    for item in counted:
        assert item.energy_details[0].energy == 0
        assert item.energy_details[0].timestamp == item.start
        assert item.energy_details[-1].timestamp == item.end
        total = sum(detail.energy for detail in item.energy_details)
        assert total == pytest.approx(item.energy, abs=0.001)
        first, *_, last = item.readings
        assert last.energy - first.energy == pytest.approx(item.energy, abs=0.0011)
        assert len(item.readings) == len(item.energy_details)
    assert {item.user_name for item in sessions} == {"Ada Driver", None}
    assert {item.token_name for item in sessions} == {"Key ring", None}
    assert all(item.charger_id == charger.id for item in sessions)


async def test_details_are_enough_for_the_right_hour(
    sim: Simulator, owner: ZaptecClient, charger: Charger
) -> None:
    """Spread over the interval of its report, the energy is in the hour in which it was drawn."""
    sim.archive.distortions.add("unordered", times=1)
    charge(charger, 9000)
    (session,) = await read(owner, charger, NOW)
    hours = HourlyEnergy()
    for before, detail in pairwise(session.energy_details):
        start = max(before.timestamp, detail.timestamp - timedelta(minutes=15))
        seconds = (detail.timestamp - start).total_seconds()
        hours.add(start, detail.timestamp, detail.energy * 3_600_000 / seconds)
    right = sim.energy_by_hour(charger.id, NOW)
    assert hours.between() == {
        hour: pytest.approx(energy, abs=0.003) for hour, energy in right.items()
    }


async def test_a_reported_session_equals_the_archived_one(
    sim: Simulator, owner: ZaptecClient, charger: Charger
) -> None:
    """StateId 723 and the archive say the same, once by meter readings and once by details."""
    charger.installation.authentication_required = True
    charger.authorize(charger.installation.drivers[0], CARD)
    charge(charger)
    (session,) = await read(owner, charger, NOW)
    (value,) = [
        item.value
        for item in await owner.charger_state(charger.id)
        if item.state_id == StateId.COMPLETED_SESSION
    ]
    assert value
    completed = CompletedSession.from_json(json.loads(value))
    assert completed.session_id == session.id
    assert completed.energy == session.energy
    assert completed.readings == session.readings
    assert completed.authentication_code == "nfc-04A1B2C3"
    assert session.token_name == "Key ring"
    single = await owner.session(session.id)
    assert (single.start, single.end) == (session.start, session.end)
    assert single.energy == session.energy


async def test_late_sessions_and_corrections(
    sim: Simulator, owner: ZaptecClient, charger: Charger
) -> None:
    """What appears later is found by its old end."""
    charger.recording.measured_share = 0.5
    charge(charger)
    (wrong,) = await read(owner, charger, NOW)
    assert wrong.counts
    right = sim.archive.correct(wrong.id)
    charger.recording.measured_share = 1
    charger.set_offline_current(16)
    charger.set_offline()
    charge(charger)
    assert len(await read(owner, charger, NOW)) == 2
    charger.set_online()
    sessions = {item.id: item for item in await read(owner, charger, NOW)}
    assert len(sessions) == 3
    assert not sessions[wrong.id].counts
    assert sessions[wrong.id].replaced_by == right.id
    (late,) = set(sessions) - {wrong.id, right.id}
    assert sessions[late].metadata & CommitMetadata.OFFLINE
    assert sessions[late].recognized
    total = sum(item.energy or 0 for item in sessions.values() if item.counts)
    drawn = sum(sim.energy_by_hour(charger.id, NOW).values())
    assert total == pytest.approx(drawn, abs=0.002)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(("unordered", 2), ("doubled", 4), ("incomplete", 1), ("future", 2)),
        *(("negative", 2), ("absurd", 2), ("long", 2), ("odd", 2)),
    ],
)
async def test_wrong_answers(
    sim: Simulator,
    owner: ZaptecClient,
    charger: Charger,
    caplog: pytest.LogCaptureFixture,
    name: str,
    count: int,
) -> None:
    """Everything that can be read is returned, and what cannot is logged once."""
    caplog.set_level(logging.DEBUG, "custom_components.zaptec")
    charge(charger)
    charge(charger)
    sim.archive.distortions.add(name)
    for _ in range(2):
        sessions = await read(owner, charger, NOW)
        assert len(sessions) == count
    assert caplog.text.count("Skipping an item") == (4 if name == "odd" else 0)
    for item in sessions:
        times = [detail.timestamp for detail in item.energy_details]
        assert times == sorted(times)


async def test_an_archive_without_an_end(
    sim: Simulator, owner: ZaptecClient, charger: Charger
) -> None:
    """The reading ends with an error when the cursor stays the same."""
    charge(charger)
    sim.archive.distortions.add("stuck")
    with pytest.raises(ZaptecResponseError, match="no last page"):
        await read(owner, charger, NOW)


async def test_only_owners_read_the_archive(
    sim: Simulator,
    session: aiohttp.ClientSession,
    owner: ZaptecClient,
    charger: Charger,
) -> None:
    """Another account is refused, as is a former owner."""
    resident = ZaptecClient(
        session, "resident@example.com", "resident", base_url=sim.api_url
    )
    with pytest.raises(ZaptecPermissionError):
        await read(resident, charger, NOW)
    assert await read(owner, charger, NOW) == []
    account = sim.accounts["demo@example.com"]
    account.roles[charger.installation.id] = UserRole.USER | UserRole.MAINTAINER
    with pytest.raises(ZaptecPermissionError):
        await read(owner, charger, NOW)


async def test_a_page_that_is_cut_off_is_read_again(
    sim: Simulator, owner: ZaptecClient, charger: Charger
) -> None:
    """A temporary fault between two pages costs no session, and doubles none."""
    start = NOW - timedelta(days=150)
    complete = [item.id for item in await read(owner, charger, start)]
    sim.rest.fail("/sessions/archived", fault="truncated", times=1)
    sim.rest.fail("/sessions/archived", fault=503, times=1)
    assert [item.id for item in await read(owner, charger, start)] == complete
    requests = [item for item in sim.rest.requests if "archived" in item.path]
    # Two pages, twice, and one repetition for each fault.
    assert len(requests) == 2 + 4
