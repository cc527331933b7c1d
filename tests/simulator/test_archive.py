"""Tests of the archive of completed sessions."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
import json
import re
from typing import Any

import aiohttp
import pytest

from simulator.accounts import Card
from simulator.car import Car
from simulator.charger import Charger
from simulator.clock import Clock
from simulator.distortions import DISTORTIONS
from simulator.observations import StateId
from simulator.scenario import DriverScenario, PastScenario, Scenario
from simulator.session import Session
from simulator.simulator import Simulator

from .conftest import START, Api, by_serial

type SignIn = Callable[[str], Api]

PATH = "sessions/archived"
JANUARY = {"From": "2026-01-01T00:00:00Z", "To": "2026-02-01T00:00:00Z"}


@pytest.fixture
def pro(sim: Simulator) -> Charger:
    """Return the first Pro of the running simulator's garage."""
    return by_serial(sim, "ZPR000001")


@pytest.fixture
def go(sim: Simulator) -> Charger:
    """Return the Go of the running simulator."""
    return by_serial(sim, "ZAP000001")


def rows(session: Session) -> list[float]:
    """Return the readings in a session's OCMF document, kWh."""
    document = json.loads(session.signed_session.split("|")[1])
    return [row["RV"] for row in document["RD"]]


def charge(charger: Charger, seconds: float = 60, *, pause: float = 60) -> None:
    """Charge a car, unplug it, and wait."""
    charger.plug_in(Car(capacity_kwh=80))
    charger.clock.advance(seconds)
    charger.unplug()
    charger.clock.advance(pause)


async def test_the_archive_is_paged_by_a_cursor(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """Each page has the cursor of the next; the first to end comes first."""
    for _ in range(5):
        charge(pro)
    found: list[str] = []
    query: dict[str, Any] = {"InstallationId": pro.installation.id, "PageSize": 2}
    query |= JANUARY
    for more in (True, True, False):
        page = await owner.get(PATH, **query)
        assert set(page) == {"sessions", "cursor", "hasMore"}
        assert page["hasMore"] is more
        assert (page["cursor"] is not None) is more
        found += [item["id"] for item in page["sessions"]]
        query["Cursor"] = page["cursor"]
    assert found == [item.id for item in pro.installation.archive]
    assert len(set(found)) == 5


async def test_the_largest_page(sim: Simulator, owner: Api, pro: Charger) -> None:
    """A page has 50 sessions by default, and 200 at most."""
    for _ in range(201):
        charge(pro, 10, pause=10)
    query = {"ChargerId": pro.id, **JANUARY}
    for size, count in ((None, 50), (200, 200), (1000, 200)):
        size_query = {} if size is None else {"PageSize": size}
        page = await owner.get(PATH, **query, **size_query)
        assert len(page["sessions"]) == count
        assert page["hasMore"] is True


async def test_the_period_concerns_the_end(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """From is included and To is not; times have a zone, or are UTC."""
    charge(pro, 3600)
    charge(pro, 3600)
    first, second = pro.installation.archive
    assert first.ended
    assert second.ended
    end = first.ended
    assert end == START + timedelta(hours=1)
    for start, stop, found in (
        (end, end + timedelta(seconds=1), [first.id]),
        (end - timedelta(seconds=1), end, []),
        (end, second.ended, [first.id]),
        (first.started, second.ended + timedelta(seconds=1), [first.id, second.id]),
    ):
        for form in ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S.%f"):
            page = await owner.get(
                PATH,
                ChargerId=pro.id,
                From=start.strftime(form),
                To=stop.strftime(form),
            )
            assert [item["id"] for item in page["sessions"]] == found


async def test_a_session_is_archived_when_the_cable_is_pulled(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """Not when the car has finished charging."""
    pro.plug_in(Car(capacity_kwh=1))
    sim.clock.advance(7200)
    assert pro.value(710) == "5"
    assert (await owner.get(PATH, ChargerId=pro.id, **JANUARY))["sessions"] == []
    pro.unplug()
    sim.clock.advance(10)
    (item,) = (await owner.get(PATH, ChargerId=pro.id, **JANUARY))["sessions"]
    assert item["energy"] == 1


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ChargerId": None}, 529),
        ({"InstallationId": "00000000-0000-4000-8000-000000000000"}, 529),
        ({"ChargerId": "space-1"}, 529),
        ({"From": None, "To": None}, 503),
        ({"To": None}, 503),
        ({"From": ""}, 503),
        ({"From": JANUARY["To"], "To": JANUARY["From"]}, 529),
        ({"From": JANUARY["To"]}, 529),
        ({"From": "yesterday"}, 529),
        ({"Cursor": "&"}, 529),
        ({"Cursor": "eA=="}, 529),
        ({"Cursor": "MjAyNi0wMS0wMSB4"}, 529),
        ({"PageSize": "0"}, 529),
        ({"PageSize": "all"}, 529),
    ],
)
async def test_wrong_queries(
    sim: Simulator,
    owner: Api,
    pro: Charger,
    wrong: dict[str, str | None],
    code: int,
) -> None:
    """A wrong query is refused with the vendor's error, which says why."""
    query = {"ChargerId": pro.id, **JANUARY, **wrong}
    params = {key: value for key, value in query.items() if value is not None}
    status, document = await owner.call("GET", PATH, params=params)
    assert status == 400
    assert isinstance(document, dict)
    assert set(document) == {"Code", "Details", "StackTrace"}
    assert document["Code"] == code
    assert document["Details"]


async def test_a_charger_that_does_not_exist(sim: Simulator, owner: Api) -> None:
    """The answer is the one of the charger's other endpoints."""
    query = JANUARY | {"ChargerId": "00000000-0000-4000-8000-000000000000"}
    assert (await owner.call("GET", PATH, params=query))[0] == 404


@pytest.mark.parametrize("name", ["service", "user", "stranger"])
async def test_only_the_owner_reads_the_archive(
    sim: Simulator, sign_in: SignIn, owner: Api, pro: Charger, name: str
) -> None:
    """Neither a user nor service may; an unknown installation is no different."""
    places = (
        {"ChargerId": pro.id},
        {"InstallationId": pro.installation.id},
        {"InstallationId": "00000000-0000-4000-8000-000000000000"},
    )
    other = sign_in(name)
    for place in places:
        answer = await other.call("GET", PATH, params=JANUARY | place)
        assert answer == (403, None)
    assert (await owner.call("GET", PATH, params=JANUARY | places[2]))[0] == 403
    for place in places[:2]:
        assert (await owner.get(PATH, **JANUARY, **place))["sessions"] == []


async def test_the_model_of_a_session(
    sim: Simulator, owner: Api, go: Charger, pro: Charger
) -> None:
    """Flags that are false and fields without a value are left out."""
    charge(go, 4000)
    (item,) = (await owner.get(PATH, ChargerId=go.id, **JANUARY))["sessions"]
    assert set(item) == {
        *("id", "chargerId", "deviceId", "deviceName", "chargerFirmwareVersion"),
        *("startDateTime", "endDateTime", "recognizedDateTime", "reliableClock"),
        *("energy", "energyDetails", "sessionSignature"),
    }
    assert item["reliableClock"] is True
    assert item["deviceId"] == "ZAP000001"
    assert item["deviceName"] == "Carport"
    assert item["chargerFirmwareVersion"] == go.firmware
    assert item["startDateTime"] == "2026-01-05T10:03:01Z"
    assert item["endDateTime"] == "2026-01-05T11:09:40Z"
    details = item["energyDetails"]
    assert details[0] == {"timestamp": "2026-01-05T10:03:01Z", "energy": 0.0}
    assert details[1]["timestamp"] == "2026-01-05T11:00:00.06Z"
    assert details[2]["timestamp"] == "2026-01-05T11:09:40Z"
    assert sum(one["energy"] for one in details) == pytest.approx(item["energy"])
    pro.installation.authentication_required = True
    pro.authorize(sim.accounts["user@example.com"], Card("Key ring", "04A1B2C3"))
    pro.plug_in(Car())
    sim.clock.advance(600)
    assert pro.session
    pro.session.externally_abandoned = pro.session.aborted = True
    pro.session.external_id = "hook-1"
    pro.stop_with_card()
    pro.unplug()
    sim.clock.advance(10)
    (item,) = (await owner.get(PATH, ChargerId=pro.id, **JANUARY))["sessions"]
    for flag in ("signed", "stoppedByRfid", "aborted", "externallyAbandoned"):
        assert item[flag] is True
    assert item["externalId"] == "hook-1"
    assert item["tokenName"] == "Key ring"
    assert "04A1B2C3" not in str({**item, "sessionSignature": ""})
    assert item["authorizedUser"] == {
        "id": sim.accounts["user@example.com"].id,
        "email": "user@example.com",
        "fullName": "Demo",
    }


async def test_an_anonymous_session(sim: Simulator, owner: Api, pro: Charger) -> None:
    """The archive shows neither user nor card of a session that the cloud did not authorize."""
    pro.authorize(sim.accounts["user@example.com"], Card("Key ring", "04A1B2C3"))
    charge(pro)
    (item,) = (await owner.get(PATH, ChargerId=pro.id, **JANUARY))["sessions"]
    assert "authorizedUser" not in item
    assert "tokenName" not in item


async def test_old_firmware_has_no_details(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """The energy is known, but not when it was drawn."""
    pro.firmware = "3.1.0.0"
    charge(pro, 4000)
    (item,) = (await owner.get(PATH, ChargerId=pro.id, **JANUARY))["sessions"]
    assert item["energy"] > 1
    assert "energyDetails" not in item


async def test_a_correction_replaces_a_session(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """The wrong one stays, voided, and names its replacement."""
    pro.recording.measured_share = 0.5
    charge(pro, 3600)
    query = {"ChargerId": pro.id, **JANUARY}
    (wrong,) = (await owner.get(PATH, **query))["sessions"]
    assert "voided" not in wrong
    sim.clock.advance(86_400)
    new = sim.archive.correct(wrong["id"])
    sessions = {
        item["id"]: item for item in (await owner.get(PATH, **query))["sessions"]
    }
    assert sessions[wrong["id"]] == wrong | {
        "voided": True,
        "replacedBySessionId": new.id,
    }
    right = sessions[new.id]
    assert right["energy"] == pytest.approx(2 * wrong["energy"], abs=0.002)
    assert right["endDateTime"] == wrong["endDateTime"]
    assert right["recognizedDateTime"] == "2026-01-06T11:04:00Z"


def test_a_wrong_record_is_corrected(sim: Simulator, pro: Charger) -> None:
    """The first record becomes void, and a second one has the whole energy."""
    pro.recording.measured_share = 0.25
    charge(pro, 4000)
    (wrong,) = pro.installation.archive
    drawn = sum(sim.energy_by_hour(pro.id).values())
    assert wrong.energy == pytest.approx(drawn / 4)
    assert not wrong.is_void(pro.clock.now())
    pro.clock.advance(86_400)
    right = sim.archive.correct(wrong.id)
    assert pro.installation.archive == [wrong, right]
    assert wrong.is_void(pro.clock.now())
    assert not wrong.is_void(pro.clock.now() - timedelta(seconds=1))
    assert wrong.replaced_by == right.id != wrong.id
    assert (right.started, right.ended) == (wrong.started, wrong.ended)
    assert right.recognized == pro.clock.now()
    assert right.energy == pytest.approx(drawn)
    assert len(right.energy_details()) == len(wrong.energy_details())
    for session in (wrong, right):
        first, *_, last = rows(session)
        assert last - first == pytest.approx(session.energy, abs=0.0011)
    with pytest.raises(ValueError, match="nothing to correct"):
        sim.archive.correct(wrong.id)


async def test_offline_sessions_appear_late(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """A query that begins at the last session that was seen does not find them."""
    pro.set_offline_current(16)
    pro.set_offline()
    charge(pro, 3600)
    query = {"ChargerId": pro.id, **JANUARY}
    assert (await owner.get(PATH, **query))["sessions"] == []
    sim.clock.advance(2 * 86_400)
    pro.set_online()
    (item,) = (await owner.get(PATH, **query))["sessions"]
    assert item["offline"] is True
    assert item["endDateTime"] == "2026-01-05T11:03:00Z"
    assert item["recognizedDateTime"] > "2026-01-07T11"


async def test_the_archive_can_be_late(
    sim: Simulator, owner: Api, pro: Charger
) -> None:
    """A completed session is listed after a delay, until the fault is healed."""
    sim.archive.delay = 900
    charge(pro, 3600)
    query = {"ChargerId": pro.id, **JANUARY}
    assert (await owner.get(PATH, **query))["sessions"] == []
    sim.clock.advance(900)
    assert len((await owner.get(PATH, **query))["sessions"]) == 1
    charge(pro, 3600)
    assert len((await owner.get(PATH, **query))["sessions"]) == 1
    sim.rest.heal()
    assert len((await owner.get(PATH, **query))["sessions"]) == 2


# Wrong answers.


async def read_distorted(
    sim: Simulator, owner: Api, pro: Charger, name: str
) -> dict[str, Any]:
    """Return the page of two sessions as it is distorted."""
    for _ in range(2):
        charge(pro, 3000, pause=600)
    sim.archive.distortions.add(name, times=1)
    assert sim.archive.distortions.active == [name]
    query = {"ChargerId": pro.id, **JANUARY}
    page = await owner.get(PATH, **query)
    right = await owner.get(PATH, **query)
    assert sim.archive.distortions.active == []
    assert [item["id"] for item in right["sessions"]] == [
        item.id for item in pro.installation.archive
    ]
    assert isinstance(page, dict)
    return page


@pytest.mark.parametrize("name", DISTORTIONS)
async def test_wrong_answers(
    sim: Simulator, owner: Api, pro: Charger, name: str
) -> None:
    """Each distortion gives what its name says, once."""
    page = await read_distorted(sim, owner, pro, name)
    sessions = page["sessions"]
    first, second = pro.installation.archive
    ids = [item["id"] for item in sessions if isinstance(item, dict) and "id" in item]
    details = [
        item["energyDetails"]
        for item in sessions
        if isinstance(item, dict) and "energyDetails" in item
    ]
    expected: list[str] = [first.id, second.id]
    match name:
        case "unordered":
            expected = [second.id, first.id]
            assert details[0][0]["timestamp"] > details[0][-1]["timestamp"]
        case "doubled":
            expected = [first.id, first.id, second.id, second.id]
        case "incomplete":
            expected = [second.id]
        case "future":
            assert min(item["endDateTime"] for item in sessions) > "2027-01"
            assert min(one["timestamp"] for one in details[0]) > "2027-01"
        case "negative":
            assert max(item["energy"] for item in sessions) < 0
            assert details[0][1]["energy"] < 0
        case "absurd":
            assert sessions[0]["energy"] == pytest.approx(first.energy * 1000, abs=1)
        case "long":
            assert len(details[0]) == 10_000
            assert sum(one["energy"] for one in details[0]) == pytest.approx(
                sessions[0]["energy"]
            )
            assert details[0][-1]["timestamp"].startswith(
                sessions[0]["endDateTime"][:-1]
            )
        case "odd":
            assert sessions[:4] == [7, None, {"energy": 1.5}, {"id": "odd"}]
            expected = ["odd", *expected]
            assert details[0][-1] == {"timestamp": "late", "energy": None}
        case _:
            assert name == "stuck"
            assert page["hasMore"] is True
            query = {"ChargerId": pro.id, **JANUARY, "Cursor": page["cursor"]}
            sim.archive.distortions.add("stuck")
            for _ in range(2):
                assert await owner.get(PATH, **query) == page
    assert ids == expected


def test_unknown_distortions(world: Simulator) -> None:
    """Only what is known can be wrong, and everything can be healed."""
    with pytest.raises(ValueError, match="No such distortion"):
        world.archive.distortions.add("lost")
    world.archive.distortions.add("doubled", times=2)
    world.archive.distortions.apply({"sessions": []})
    assert world.archive.distortions.active == ["doubled"]
    world.rest.heal()
    assert world.archive.distortions.active == []


# The past.


@pytest.fixture
def old_scenario(scenario: Scenario) -> Scenario:
    """Return the scenario with a past of two years, and drivers with cards in the garage."""
    home, garage = scenario.with_past(PastScenario(days=730)).installations
    drivers = tuple(
        DriverScenario(
            full_name=f"Driver {number}",
            email=f"driver{number}@example.com",
            cards=(Card(f"Card {number}", f"04A1B2C{number}"),),
        )
        for number in range(3)
    )
    return replace(scenario, installations=(home, replace(garage, drivers=drivers)))


@pytest.fixture
def old(old_scenario: Scenario, clock: Clock) -> Simulator:
    """Return a simulator with a past, not started."""
    return Simulator(old_scenario, clock=clock)


def test_the_meter_has_counted_the_past(old: Simulator) -> None:
    """A meter is at least as high as everything that was drawn."""
    for charger in old.chargers.values():
        drawn = sum(old.energy_by_hour(charger.id).values())
        assert drawn > 3000
        assert charger.lifetime_energy >= drawn - 1e-6
        sessions = list(
            old.archive.listed(
                start=START - timedelta(days=800), end=START, charger_id=charger.id
            )
        )
        assert sessions[-1].readings[-1].energy <= charger.lifetime_energy
        assert old.archive.has_past(charger.id)


def test_a_meter_may_have_counted_more_since_the_past(
    scenario: Scenario, clock: Clock
) -> None:
    """A charger that has charged since the end of the past keeps the old readings."""
    item = scenario.with_past(PastScenario(days=20))
    (home, garage) = item.installations
    later = replace(home, chargers=(replace(home.chargers[0], lifetime_energy=2000.0),))
    simulator = Simulator(replace(item, installations=(later, garage)), clock=clock)
    go = by_serial(simulator, "ZAP000001")
    assert go.lifetime_energy == 2000
    sessions = simulator.archive.listed(
        start=START - timedelta(days=30), end=START, charger_id=go.id
    )
    *_, last = (session for session in sessions if not session.voided)
    assert last.readings[-1].energy == pytest.approx(1234.5)


def test_the_hours_of_past_and_present(old: Simulator) -> None:
    """The energy of the past and of the simulation is in one series of hours."""
    go = by_serial(old, "ZAP000001")
    before = sum(old.energy_by_hour(go.id).values())
    charge(go, 7200)
    hours = old.energy_by_hour(go.id)
    assert sum(hours.values()) == pytest.approx(before + go.session_energy)
    assert min(hours) < START - timedelta(days=720)
    assert max(hours) > START
    assert list(hours) == sorted(hours)
    recent = old.energy_by_hour(go.id, START.replace(minute=0))
    assert sum(recent.values()) == pytest.approx(go.session_energy)
    added = old.add_charger(go.installation.id, serial="ZAP000009", name="New")
    assert old.energy_by_hour(added.id) == {}
    assert not old.archive.has_past(added.id)


async def test_reading_a_long_past(
    socket_enabled: None, old_scenario: Scenario, session: aiohttp.ClientSession
) -> None:
    """Past and present are one archive: page by page, each session once, in order."""
    clock = Clock(START, speed=0)
    async with Simulator(old_scenario, clock=clock) as sim:
        pro = by_serial(sim, "ZPR000001")
        charge(pro, 3600)
        form = {"grant_type": "password", "username": "owner@example.com"}
        token = sim.rest.tokens.issue(form | {"password": "secret"})["access_token"]
        api = Api(sim, session, str(token))
        query: dict[str, Any] = {
            "InstallationId": pro.installation.id,
            "PageSize": 200,
            "From": "2024-11-01T00:00:00",
            "To": "2026-02-01T00:00:00",
        }
        found: list[dict[str, Any]] = []
        while True:
            page = await api.get(PATH, **query)
            found += page["sessions"]
            if not page["hasMore"]:
                break
            query["Cursor"] = page["cursor"]
        ids = [item["id"] for item in found]
        assert len(ids) == len(set(ids)) > 600
        ends = [item["endDateTime"] for item in found]
        assert ends == sorted(ends)
        assert ids[-1] == pro.installation.archive[0].id
        assert {item["chargerId"] for item in found} == {
            charger.id for charger in pro.installation.chargers
        }
        assert {item.get("tokenName") for item in found} == {
            *(None, "Card 0", "Card 1", "Card 2")
        }
        names = {
            item["authorizedUser"]["fullName"]
            for item in found
            if "authorizedUser" in item
        }
        assert names == {"Driver 0", "Driver 1", "Driver 2"}
        query = {"ChargerId": pro.id, "From": query["From"], "To": query["To"]}
        own = (await api.get(PATH, **query, PageSize=200))["sessions"]
        mine = [item["id"] for item in found if item["chargerId"] == pro.id]
        assert [item["id"] for item in own] == mine[:200]
        one = await api.get(f"session/{ids[0]}")
        assert one["energy"] == found[0]["energy"]
        assert (await api.get(f"chargers/{pro.id}"))["HasSessions"] is True
        for odd in (ids[0][:-4] + "beef", "-" * 36):
            assert sim.archive.find(odd) is None


@pytest.mark.parametrize(
    ("past", "is_reported"),
    [
        (PastScenario(days=60, irregular=0.5, is_reported=True), True),
        (PastScenario(days=60, irregular=0.5), False),
        (PastScenario(days=60, sessions_per_week=0, is_reported=True), False),
    ],
)
def test_the_last_session_of_the_past_is_reported(
    scenario: Scenario, clock: Clock, past: PastScenario, *, is_reported: bool
) -> None:
    """A scenario can say that the chargers have reported it, as real ones have."""
    simulator = Simulator(scenario.with_past(past), clock=clock)
    for charger in simulator.chargers.values():
        report = charger.observations.get(StateId.COMPLETED_SESSION)
        assert (report is not None) == is_reported
        if report:
            values = json.loads(report.value or "")
            last = [
                session
                for session in simulator.archive.listed(
                    start=START - timedelta(days=70), end=START, charger_id=charger.id
                )
                if session.energy and not session.voided and not session.replaced_by
            ][-1]
            assert values["SessionId"] == last.id
            assert values["Energy"] == round(last.energy, 3)
            assert report.timestamp == last.ended


def test_past_sessions_that_arrive_during_the_simulation(
    scenario: Scenario, clock: Clock
) -> None:
    """An offline session and a correction can reach the cloud later than the simulation begins."""
    item = scenario.with_past(PastScenario(days=6, irregular=1, sessions_per_week=40))
    simulator = Simulator(item, clock=clock)
    place = by_serial(simulator, "ZPR000001").installation.id

    def listed() -> list[Session]:
        return list(
            simulator.archive.listed(
                start=START - timedelta(days=7), end=START, installation_id=place
            )
        )

    before = {session.id: session.is_void(clock.now()) for session in listed()}
    hidden = [
        session
        for session in listed()
        if session.replaced_at and session.replaced_at > clock.now()
    ]
    assert hidden
    clock.advance(7 * 86_400)
    after = {session.id: session.is_void(clock.now()) for session in listed()}
    assert set(after) > set(before)
    for session in hidden:
        assert not before[session.id]
        assert after[session.id]
        assert session.replaced_by in set(after) - set(before)
    new = next(iter(set(after) - set(before)))
    assert re.fullmatch("[0-9a-f-]{36}", new)
    assert simulator.archive.find(new)
    early = Simulator(item, clock=Clock(START, speed=0))
    assert early.archive.find(new) is None
