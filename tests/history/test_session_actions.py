"""The actions about sessions, over the simulated archive and with a real recorder."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
import math
from types import MappingProxyType
from typing import Any

from homeassistant.components.recorder import get_instance
from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import (
    HomeAssistantError,
    ServiceValidationError,
    Unauthorized,
)
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
import probatio
import pytest
from pytest_homeassistant_custom_component.common import MockUser

from custom_components.zaptec import api, session_actions
from custom_components.zaptec.const import CONF_CHARGERS, DOMAIN
from custom_components.zaptec.history.hours import HOUR
from custom_components.zaptec.history.prices import (
    Period as PricePeriod,
    Prices,
    Tariff,
)
from custom_components.zaptec.history.statistics import (
    HourlyStatistics,
    NotStoredError,
    statistic_id,
)
from custom_components.zaptec.history.store import STORAGE_VERSION
from custom_components.zaptec.persons import (
    CONF_HASHES,
    CONF_PERSON_KEY,
    KEY_SIZE,
    SUBENTRY_PERSON,
    Persons,
)
from custom_components.zaptec.session_records import (
    SESSIONS_AT_ONCE,
    Found,
    SessionRecord,
)
from simulator.accounts import UserRole
from simulator.faults import Busy, Fault
from simulator.scenario import PastScenario, Scenario
from simulator.session import Session

from ..conftest import add_entry, set_up
from ..home import Home
from ..time_machine import wait_until
from .conftest import Recorded, charge, truth, wait_until_written, wrong
from .test_history import ARCHIVE, count

pytestmark = pytest.mark.usefixtures("_custom_integrations")


@pytest.fixture
def past() -> PastScenario | None:
    """Return the past of the chargers."""
    return PastScenario(days=90, irregular=0.3)


@pytest.fixture
def chargers() -> int:
    """Return the number of chargers."""
    return 2


@pytest.fixture
def scenario(past: PastScenario | None, chargers: int) -> Scenario:
    """Return a home whose chargers may have a past."""
    scenario = Scenario.of(chargers)
    (installation,) = scenario.installations
    return replace(scenario, installations=(replace(installation, past=past),))


def _of_two_accounts() -> Scenario:
    """Return a home with a past that two accounts own."""
    scenario = Scenario.of(2)
    (installation,) = scenario.installations
    (account,) = scenario.accounts
    return replace(
        scenario,
        installations=(replace(installation, past=PastScenario(days=90)),),
        accounts=(account, replace(account, user_name="neighbor@example.com")),
    )


def target(home: Home, *, whole: bool = False) -> dict[str, Any]:
    """Return the charger as the target of an action, or the whole installation."""
    if whole:
        return {"installation_id": home.installation.id}
    return {"charger_id": home.charger.id}


def ago(days: float) -> str:
    """Return a moment some days ago, as the form of an action returns it."""
    moment = dt_util.now() - timedelta(days=days)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


async def get_sessions(home: Home, **data: Any) -> dict[str, Any]:
    """Return the response of the action."""
    response = await home.hass.services.async_call(
        DOMAIN, "get_sessions", data, blocking=True, return_response=True
    )
    assert response is not None
    return dict(response)


def archived(
    home: Home, start: datetime, end: datetime, charger_id: str | None = None
) -> list[Session]:
    """Return the sessions of the simulator that have an energy."""
    now = home.sim.archive.now()
    return [
        session
        for session in home.sim.archive.listed(
            start=start,
            end=end,
            installation_id=home.installation.id,
            charger_id=charger_id,
        )
        if not session.is_void(now)
        and not session.aborted
        and not (session.replaced_at and session.replaced_at <= now)
    ]


async def test_the_sessions_of_a_charger(home: Home) -> None:
    """Each session of the period is there once, with what the archive says about it."""
    await wait_until_written(home.entry)
    home.clear()
    end = dt_util.now().replace(microsecond=0) - timedelta(days=10)
    start = end - timedelta(days=30)
    response = await get_sessions(
        home, start=start.isoformat(), end=end.isoformat(), **target(home)
    )
    expected = archived(home, start, end, home.charger.id)
    assert len(expected) > 10
    assert count(home) == 1
    sessions = response["sessions"]
    assert [item["end"] for item in sessions] == [
        dt_util.as_local(session.ended).isoformat()
        for session in expected
        if session.ended
    ]
    assert response["totals"] == {
        "sessions": len(expected),
        "energy": pytest.approx(
            math.fsum(session.energy for session in expected), abs=0.02
        ),
    }
    assert response["notes"] == []
    assert dt_util.parse_datetime(response["start"]) == start
    assert dt_util.parse_datetime(response["end"]) == end
    for item, session in zip(sessions, expected, strict=True):
        assert item["charger"] == home.charger.name
        assert item["charger_id"] == home.charger.id
        assert ("offline" in item["flags"]) is session.offline
        assert ("stopped_by_card" in item["flags"]) is session.stopped_by_card
        assert ("abandoned" in item["flags"]) is session.externally_abandoned
        assert "unreliable_clock" not in item["flags"]
        assert item["meter_end"] - item["meter_start"] == pytest.approx(
            item["energy"], abs=0.01
        )


async def test_nothing_private(home: Home) -> None:
    """The answer has no name, address or card of a user, and no id of a session."""
    for format_ in ("data", "csv"):
        response = str(
            await get_sessions(
                home, start=ago(80), format=format_, **target(home, whole=True)
            )
        )
        assert home.charger.name in response
        for account in home.sim.accounts.values():
            for secret in (account.user_name, account.full_name, account.id):
                assert secret not in response
            for card in account.cards:
                assert card.name not in response
                assert card.code not in response
        for session in archived(
            home, dt_util.now() - timedelta(days=80), dt_util.now()
        ):
            assert session.id not in response


async def test_all_chargers_of_an_installation(home: Home) -> None:
    """One reading has the sessions of all chargers; each charger is a group."""
    await wait_until_written(home.entry)
    home.clear()
    response = await get_sessions(
        home, start=ago(60), group_by="charger", **target(home, whole=True)
    )
    assert count(home) == 1
    sessions = archived(home, dt_util.now() - timedelta(days=60), dt_util.now())
    for charger in home.sim.chargers.values():
        [group] = [
            group for group in response["groups"] if group["charger_id"] == charger.id
        ]
        own = [session for session in sessions if session.charger_id == charger.id]
        assert group["charger"] == charger.name
        assert group["sessions"] == len(own)
    assert response["totals"]["sessions"] == len(sessions)


async def test_a_device_of_home_assistant(
    home: Home, device_registry: dr.DeviceRegistry
) -> None:
    """A device selects its charger, by the name that the user has given to it."""
    device = device_registry.async_get_device_by_identifier(
        (DOMAIN, home.charger.id), home.entry.entry_id
    )
    assert device
    device_registry.async_update_device(device.id, name_by_user="=Box")
    response = await get_sessions(home, start=ago(30), device_id=device.id)
    assert {item["charger"] for item in response["sessions"]} == {"=Box"}
    response = await get_sessions(
        home, start=ago(30), device_id=device.id, format="csv"
    )
    assert '"\'=Box"' in response["csv"]


async def test_an_area(home: Home, device_registry: dr.DeviceRegistry) -> None:
    """An installation in an area selects its chargers, as its device does."""
    device = device_registry.async_get_device_by_identifier(
        (DOMAIN, home.installation.id), home.entry.entry_id
    )
    assert device
    device_registry.async_update_device(device.id, area_id="garage")
    expected = await get_sessions(home, start=ago(30), device_id=device.id)
    assert len({item["charger_id"] for item in expected["sessions"]}) == 2
    response = await get_sessions(home, start=ago(30), area_id="garage")
    assert response["sessions"] == expected["sessions"]


async def test_a_table(home: Home) -> None:
    """A table is as the country expects it, or as the fields of the action say."""
    home.hass.config.country = "NO"
    data = {"start": ago(30), "format": "csv", **target(home)}
    lines = (await get_sessions(home, **data))["csv"].splitlines()
    assert lines[0].startswith('\ufeff"Start";"End";"Charger";"Energy (kWh)";')
    total = (await get_sessions(home, start=ago(30), **target(home)))["totals"]
    number = f"{total['energy']:.3f}"
    assert lines[-1] == f'"Total";;;{number.replace(".", ",")};;;;;'
    assert len(lines) == total["sessions"] + 2
    home.hass.config.country = "GB"
    lines = (await get_sessions(home, **data))["csv"].splitlines()
    assert lines[-1] == f'"Total",,,{number},,,,,'
    home.hass.config.country = "CH"
    lines = (await get_sessions(home, **data))["csv"].splitlines()
    assert lines[-1] == f'"Total";;;{number};;;;;'
    response = await get_sessions(
        home,
        **data,
        group_by="month",
        separator="tab",
        decimal_sign="comma",
        byte_order_mark=False,
    )
    lines = response["csv"].splitlines()
    assert lines[0] == '"Month"\t"Sessions"\t"Energy (kWh)"'
    assert lines[-1].endswith(f"\t{number.replace('.', ',')}")


@pytest.mark.parametrize("past", [PastScenario(days=200, sessions_per_week=14)])
async def test_many_pages(home: Home) -> None:
    """A period of many pages is read to its end."""
    await wait_until_written(home.entry)
    home.clear()
    response = await get_sessions(home, start=ago(195), **target(home))
    expected = archived(
        home, dt_util.now() - timedelta(days=195), dt_util.now(), home.charger.id
    )
    assert len(expected) > 2 * SESSIONS_AT_ONCE
    assert response["totals"]["sessions"] == len(expected)
    assert count(home) == 2


async def test_doubled_sessions(home: Home) -> None:
    """A session that the archive returns twice counts once."""
    expected = await get_sessions(home, start=ago(30), **target(home))
    home.sim.archive.distortions.add("doubled")
    response = await get_sessions(home, start=ago(30), **target(home))
    assert response["sessions"] == expected["sessions"]


async def test_sessions_that_cannot_be_right(home: Home) -> None:
    """They are left out, and the answer says how many."""
    expected = await get_sessions(home, start=ago(30), **target(home))
    home.sim.archive.distortions.add("absurd")
    response = await get_sessions(home, start=ago(30), **target(home))
    left_out = expected["totals"]["sessions"] - response["totals"]["sessions"]
    assert left_out > 0
    [note] = response["notes"]
    assert f"{left_out}. Look" in note


@pytest.mark.parametrize(
    "past", [PastScenario(days=90, irregular=0.0, unreliable_clock=1.0)]
)
async def test_an_unreliable_clock(home: Home) -> None:
    """Sessions whose times may be wrong are flagged."""
    response = await get_sessions(home, start=ago(60), **target(home))
    assert response["sessions"]
    for session in response["sessions"]:
        assert "unreliable_clock" in session["flags"]


@pytest.mark.parametrize("past", [None])
async def test_an_account_without_the_right(new_home: Home) -> None:
    """The answer has what Home Assistant has seen, says so, and asks nothing of the cloud."""
    home = new_home
    (account,) = home.sim.accounts.values()
    account.roles[home.installation.id] = UserRole.MAINTAINER
    await home.start()
    await wait_until_written(home.entry)
    await charge(home)
    await charge(home)
    await wait_until_written(home.entry)
    home.clear()
    response = await get_sessions(home, start=ago(1), **target(home, whole=True))
    assert count(home) == 0
    sessions = response["sessions"]
    assert len(sessions) == 2
    for session in sessions:
        assert session["charger"] == home.charger.name
        assert session["start"] is session["meter_start"] is None
        assert session["flags"] == ["not_in_archive"]
        assert session["energy"] > 1
    names = sorted(charger.name for charger in home.sim.chargers.values())
    [note] = response["notes"]
    assert f"does not own {', '.join(names)}." in note
    assert (await get_sessions(home, start=ago(3), end=ago(2), **target(home)))[
        "sessions"
    ] == []


async def test_the_owner_of_one_charger(home: Home) -> None:
    """If the archive of the installation is refused, that of each charger may not be."""
    await wait_until_written(home.entry)
    home.sim.rest.fail(ARCHIVE, fault=403, times=1)
    home.clear()
    response = await get_sessions(home, start=ago(30), **target(home, whole=True))
    assert count(home) == 3
    assert len({item["charger_id"] for item in response["sessions"]}) == 2
    assert response["notes"] == []
    home.sim.rest.fail(ARCHIVE, fault=403, times=2)
    response = await get_sessions(home, start=ago(30), **target(home, whole=True))
    assert len(response["notes"]) == 1


def add_person(home: Home, name: str) -> str:
    """Let the only user of the simulator be one of the account's persons; return the id."""
    key = "5a" * KEY_SIZE
    (account,) = home.sim.accounts.values()
    user = Persons(key, {}).identify(api.Session(id="", user_id=account.id)).user
    home.hass.config_entries.async_update_entry(
        home.entry, data={**home.entry.data, CONF_PERSON_KEY: key}
    )
    person = ConfigSubentry(
        data=MappingProxyType({CONF_HASHES: [user]}),
        subentry_type=SUBENTRY_PERSON,
        title=name,
        unique_id=None,
    )
    home.hass.config_entries.async_add_subentry(home.entry, person)
    return person.subentry_id


async def test_persons(home: Home) -> None:
    """With one person, each session says whether it is the person's."""
    assert "person" not in str(await get_sessions(home, start=ago(60), **target(home)))
    person_id = add_person(home, "Anna")
    everyone = await get_sessions(home, start=ago(80), **target(home))
    sessions = archived(
        home, dt_util.now() - timedelta(days=80), dt_util.now(), home.charger.id
    )
    assert [item["person"] for item in everyone["sessions"]] == [
        None if session.is_anonymous else "Anna" for session in sessions
    ]
    for person in ("Anna", " anna", person_id.lower()):
        response = await get_sessions(
            home, start=ago(80), person=person, **target(home)
        )
        assert response["sessions"] == [
            item for item in everyone["sessions"] if item["person"]
        ]
    assert 0 < response["totals"]["sessions"] < everyone["totals"]["sessions"]
    response = await get_sessions(
        home, start=ago(80), group_by="person", **target(home)
    )
    assert [group["person"] for group in response["groups"]] == ["Anna", None]
    response = await get_sessions(
        home, start=ago(80), group_by="person", format="csv", **target(home)
    )
    lines = response["csv"].splitlines()
    assert lines[0].startswith('\ufeff"Person"')
    assert lines[2].startswith('"Without a person"')
    with pytest.raises(ServiceValidationError) as raised:
        await get_sessions(home, start=ago(80), person="Bo", **target(home))
    assert raised.value.translation_key == "unknown_person"
    # Home Assistant logs the error if an automation causes it.
    assert "has this name" in str(raised.value)
    assert "Anna" not in str(raised.value)
    assert "Bo" not in str(raised.value)


async def test_no_person_yet(home: Home) -> None:
    """No person can be asked for while none has been added."""
    with pytest.raises(ServiceValidationError) as raised:
        await get_sessions(home, start=ago(80), person="Bo", **target(home))
    assert raised.value.translation_key == "unknown_person"


def price_since(home: Home, days: float) -> None:
    """Let a kWh cost 2 since some days ago; before that, no price is known."""
    hour = int(dt_util.utcnow().timestamp() // HOUR - 24 * days)
    home.entry.runtime_data.prices.tariff = Tariff((PricePeriod(hour, price=2.0),))


async def test_costs(home: Home) -> None:
    """With a price, each session has its cost, and the answer lists hours without one."""
    home.hass.config.currency = "NOK"
    assert "cost" not in str(await get_sessions(home, start=ago(60), **target(home)))
    price_since(home, 100)
    response = await get_sessions(home, start=ago(60), **target(home))
    for session in response["sessions"]:
        assert Decimal(str(session["cost"])) == (
            2 * Decimal(str(session["energy"]))
        ).quantize(Decimal("0.01"), ROUND_HALF_UP)
    total = response["totals"]
    assert total["cost"] == pytest.approx(2 * total["energy"], abs=0.05)
    for key in ("energy", "cost"):
        assert Decimal(str(total[key])) == sum(
            Decimal(str(session[key])) for session in response["sessions"]
        )
    assert response["currency"] == "NOK"
    assert response["missing_prices"] == response["notes"] == []
    response = await get_sessions(home, start=ago(60), format="csv", **target(home))
    assert '"Energy (kWh)","Cost (NOK)"' in response["csv"]
    price_since(home, 30)
    response = await get_sessions(home, start=ago(60), **target(home))
    known = [item["cost"] for item in response["sessions"] if item["cost"] is not None]
    assert 0 < len(known) < len(response["sessions"])
    assert response["totals"]["without_cost"] == len(response["sessions"]) - len(known)
    assert response["totals"]["cost"] == pytest.approx(math.fsum(known), abs=0.01)
    hours = response["missing_prices"]
    assert hours == sorted(hours)
    [note] = response["notes"]
    assert f": {len(hours)}. The sessions" in note


@pytest.mark.parametrize("scenario", [_of_two_accounts()])
async def test_an_account_without_a_price(home: Home) -> None:
    """Its sessions have no cost, so a note says which chargers the total leaves out."""
    neighbor = add_entry(home.hass, home.sim, "neighbor@example.com")
    other = next(item for item in home.sim.chargers.values() if item != home.charger)
    home.hass.config_entries.async_update_entry(
        home.entry, options={CONF_CHARGERS: [home.charger.id]}
    )
    await home.reload()
    await set_up(home.hass, neighbor)
    both = {"charger_id": [home.charger.id, other.id]}
    await wait_until(
        lambda: other.id in neighbor.runtime_data.coordinator.data.chargers
    )
    assert (await get_sessions(home, start=ago(60), **both))["notes"] == []
    price_since(home, 100)
    response = await get_sessions(home, start=ago(60), **both)
    (note,) = response["notes"]
    assert other.name in note
    assert home.charger.name not in note
    unknown = [item for item in response["sessions"] if item["cost"] is None]
    assert {item["charger_id"] for item in unknown} == {other.id}
    assert response["totals"]["without_cost"] == len(unknown)
    response = await get_sessions(home, start=ago(60), **target(home))
    assert response["notes"] == []


@pytest.mark.parametrize("past", [None])
async def test_no_session_has_no_cost(home: Home) -> None:
    """An empty statement has a cost of zero."""
    price_since(home, 100)
    response = await get_sessions(home, start=ago(60), **target(home))
    assert response["totals"] == {
        "sessions": 0,
        "energy": 0.0,
        "cost": 0.0,
        "without_cost": 0,
    }


@pytest.mark.parametrize("others", [0, 1])
async def test_a_session_that_has_drawn_nothing(
    hass: HomeAssistant, others: int
) -> None:
    """It costs nothing, whatever other sessions are in the statement."""
    prices = Prices(hass, Tariff((PricePeriod(0, price=2.0),)))
    end = dt_util.utcnow()
    nothing = SessionRecord(charger_id="a", end=end, energy=0.0)
    hours = {int(end.timestamp() // HOUR): 1500}
    other = SessionRecord(charger_id="a", end=end, energy=1.5, hours=hours)
    found = Found(records=[nothing, *[other] * others])
    await found.async_price(hass, prices)
    assert [record.cost for record in found.records] == [0.0, *[3.0] * others]
    assert (found.missing_prices, found.unpriced) == (set(), set())


async def test_prices_that_cannot_be_read(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that fails is an error, not a statement without costs."""
    price_since(home, 100)

    async def fail(*_: object) -> None:
        raise NotStoredError

    monkeypatch.setattr(home.entry.runtime_data.prices, "async_of", fail)
    with pytest.raises(HomeAssistantError) as raised:
        await get_sessions(home, start=ago(60), **target(home))
    assert raised.value.translation_key == "prices_not_read"


async def test_what_is_asked_for_wrongly(home: Home) -> None:
    """Each error says what to do."""
    for data, key in (
        ({"start": ago(1), "end": ago(2)}, "period_empty"),
        ({"start": ago(-1)}, "period_empty"),
        ({"start": "0001-01-01 00:00:00"}, "year_invalid"),
        ({"start": ago(1), "end": "9999-12-31 23:59:59"}, "year_invalid"),
    ):
        with pytest.raises(ServiceValidationError) as raised:
            await get_sessions(home, **data, **target(home))
        assert raised.value.translation_key == key
    with pytest.raises(ServiceValidationError) as raised:
        await get_sessions(home, start=ago(1))
    assert raised.value.translation_key == "no_target"
    for mistake in (
        {"start": "yesterday"},
        {"start": ago(1), "group_by": "week"},
        {"start": ago(1), "format": "xls"},
        {},
    ):
        with pytest.raises(probatio.Invalid):
            await get_sessions(home, **mistake, **target(home))


@pytest.mark.parametrize(
    ("fault", "key"),
    [("reset", "sessions_not_read"), (Busy(60), "cloud_busy")],
)
async def test_a_cloud_that_fails(home: Home, fault: Fault, key: str) -> None:
    """A failure of the cloud is an error, not an incomplete statement."""
    await wait_until_written(home.entry)
    home.sim.rest.fail(ARCHIVE, fault=fault)
    with pytest.raises(HomeAssistantError) as raised:
        await get_sessions(home, start=ago(30), **target(home))
    assert raised.value.translation_key == key
    home.sim.rest.heal()


async def test_a_password_that_was_changed(home: Home) -> None:
    """The user is asked to sign in again."""
    await wait_until_written(home.entry)
    (account,) = home.sim.accounts.values()
    account.password = "another-password"
    home.sim.rest.tokens.revoke()
    with pytest.raises(HomeAssistantError) as raised:
        await get_sessions(home, start=ago(30), **target(home))
    assert raised.value.translation_key == "authentication_failed"
    assert [
        flow["context"]["source"]
        for flow in home.hass.config_entries.flow.async_progress()
    ] == ["reauth"]


async def import_sessions(
    home: Home, *, context: Context | None = None, **data: Any
) -> dict[str, Any]:
    """Return the response of the action that reads the archive again."""
    response = await home.hass.services.async_call(
        DOMAIN,
        "import_sessions",
        data,
        blocking=True,
        context=context,
        return_response=True,
    )
    assert response is not None
    return dict(response)


@pytest.mark.parametrize("chargers", [1])
async def test_reading_again(
    home: Home, recorded: Recorded, imported: list[Any]
) -> None:
    """The archive is read from a moment on, and nothing that is right is written."""
    await wait_until_written(home.entry)
    before = await recorded.rows(home.charger.id)
    imported.clear()
    home.clear()
    end = dt_util.utcnow()
    response = await import_sessions(home, start=ago(60), **target(home))
    listed = home.sim.archive.listed(
        start=end - timedelta(days=60), end=end, charger_id=home.charger.id
    )
    # The archive is read from the full hour on.
    count_of_archive = sum(1 for _ in listed)
    [charger] = response["chargers"]
    assert charger["charger"] == home.charger.name
    assert charger["charger_id"] == home.charger.id
    assert count_of_archive <= charger["sessions"] <= count_of_archive + 1
    assert count(home) == 1
    await wait_until_written(home.entry)
    assert imported == []
    assert await recorded.rows(home.charger.id) == before


@pytest.mark.parametrize("chargers", [1])
async def test_a_crash_after_reading_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sweep reads old sessions again, so it is stored first that they are written."""
    await wait_until_written(home.entry)
    await home.reload()
    stored: list[bool] = []
    write = HourlyStatistics.async_write

    async def spy(*args: Any, **kwargs: Any) -> int:
        store: Store[dict[str, Any]] = Store(
            home.hass, STORAGE_VERSION, f"{DOMAIN}.history.{home.entry.entry_id}"
        )
        document = await store.async_load()
        assert document
        ledger = document["chargers"][home.charger.id]
        stored.append(ledger["changed_from"] is not None)
        return await write(*args, **kwargs)

    monkeypatch.setattr(HourlyStatistics, "async_write", spy)
    await import_sessions(home, start=ago(60), **target(home))
    await wait_until_written(home.entry)
    assert stored == [True]


@pytest.mark.parametrize("chargers", [1])
@pytest.mark.parametrize("past", [PastScenario(days=200)])
async def test_reading_a_part_after_statistics_were_deleted(
    home: Home, recorded: Recorded
) -> None:
    """The statistic is created again with all that it had, not only with that part."""
    await wait_until_written(home.entry)
    before = await recorded.hours(home.charger.id)
    get_instance(home.hass).async_clear_statistics([statistic_id(home.charger.id)])
    await import_sessions(home, start=ago(10), **target(home))
    await wait_until_written(home.entry)
    assert await recorded.hours(home.charger.id) == pytest.approx(before)


@pytest.mark.parametrize("chargers", [1])
@pytest.mark.parametrize("past", [PastScenario(days=800, sessions_per_week=2)])
async def test_sessions_of_long_ago(home: Home, recorded: Recorded) -> None:
    """Sessions from before the first import come into the statistics, in front of the others."""
    await wait_until_written(home.entry)
    before = await recorded.hours(home.charger.id)
    await import_sessions(home, start=ago(800), **target(home))
    await wait_until_written(home.entry)
    after = await recorded.hours(home.charger.id)
    assert min(after) < min(before) - 24 * 30
    assert wrong(after, truth(home.sim, home.charger.id)) < 0.01 * math.fsum(
        after.values()
    )


@pytest.mark.parametrize("chargers", [1])
@pytest.mark.parametrize("past", [PastScenario(days=300, irregular=0.3)])
async def test_a_late_session_that_began_before_the_start(
    new_home: Home, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All its hours are written, though the reading begins in the middle of it."""
    home, archive = new_home, new_home.sim.archive
    end = dt_util.utcnow() - timedelta(days=200)
    late = next(
        session
        for session in archive.listed(start=end, end=dt_util.utcnow())
        if session.ended
        and session.energy > 5
        and session.ended - session.started > timedelta(hours=4)
    )
    listed = archive.listed

    def without_late_session(**period: Any) -> Iterator[Session]:
        return (session for session in listed(**period) if session.id != late.id)

    with monkeypatch.context() as patch:
        patch.setattr(archive, "listed", without_late_session)
        await home.start()
        await wait_until_written(home.entry)
    assert late.ended
    start = late.ended - timedelta(minutes=1)
    await import_sessions(home, start=start.isoformat(), **target(home))
    await wait_until_written(home.entry)
    hours = await recorded.hours(home.charger.id)
    expected = truth(home.sim, home.charger.id)
    assert math.fsum(hours.values()) == pytest.approx(
        math.fsum(expected.values()), abs=0.1
    )


async def test_reading_two_chargers_again(home: Home) -> None:
    """An installation stands for its chargers; the answer lists each."""
    await wait_until_written(home.entry)
    response = await import_sessions(home, start=ago(30), **target(home, whole=True))
    assert {item["charger_id"] for item in response["chargers"]} == set(
        home.sim.chargers
    )
    assert all(item["sessions"] > 5 for item in response["chargers"])


async def test_only_administrators_import(
    home: Home, hass_read_only_user: MockUser
) -> None:
    """Another user cannot start a reading, but may ask for a statement."""
    context = Context(user_id=hass_read_only_user.id)
    with pytest.raises(Unauthorized):
        await import_sessions(home, start=ago(1), context=context, **target(home))
    response = await home.hass.services.async_call(
        DOMAIN,
        "get_sessions",
        {"start": ago(1), **target(home)},
        blocking=True,
        context=context,
        return_response=True,
    )
    assert response


async def test_a_failed_import(home: Home) -> None:
    """A failure is an error that says what happens next, and the next call reads at once."""
    await wait_until_written(home.entry)
    home.sim.rest.fail(ARCHIVE, fault="reset")
    with pytest.raises(HomeAssistantError) as raised:
        await import_sessions(home, start=ago(30), **target(home))
    assert raised.value.translation_key == "import_failed"
    home.sim.rest.heal()
    response = await import_sessions(home, start=ago(30), **target(home))
    assert response["chargers"][0]["sessions"] > 5


async def test_a_refused_import(home: Home) -> None:
    """Without the right to read the archive there is an error, before and after a reading."""
    await wait_until_written(home.entry)
    home.sim.rest.fail(ARCHIVE, fault=403)
    for requests in (1, 0):
        home.clear()
        with pytest.raises(ServiceValidationError) as raised:
            await import_sessions(home, start=ago(30), **target(home))
        assert raised.value.translation_key == "archive_refused"
        assert count(home) == requests
    assert raised.value.translation_placeholders == {"chargers": home.charger.name}
    home.sim.rest.heal()


async def test_an_import_that_is_refused_in_part(home: Home) -> None:
    """What can be read is read; the error names what cannot."""
    await wait_until_written(home.entry)
    home.sim.rest.fail(ARCHIVE, fault=403, times=1)
    for requests in (2, 1):
        home.clear()
        with pytest.raises(HomeAssistantError) as raised:
            await import_sessions(home, start=ago(30), **target(home, whole=True))
        assert raised.value.translation_key == "several_failed"
        failures = raised.value.translation_placeholders["failures"].splitlines()
        assert [item.split(":")[0] for item in failures] == [home.charger.name]
        assert count(home) == requests


async def test_an_import_that_takes_long(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The action does not wait without end; reading continues."""
    await wait_until_written(home.entry)
    monkeypatch.setattr(session_actions, "IMPORT_TIMEOUT", 0.1)
    home.sim.rest.fail(ARCHIVE, fault="hang")
    with pytest.raises(HomeAssistantError) as raised:
        await import_sessions(home, start=ago(30), **target(home))
    assert raised.value.translation_key == "import_continues"
    assert home.entry.runtime_data.history.pending == {home.charger.id: "read"}
    home.sim.rest.heal()


async def test_an_import_at_the_end(home: Home) -> None:
    """The action ends when the account is unloaded."""
    await wait_until_written(home.entry)
    home.sim.rest.fail(ARCHIVE, fault="hang")
    task = home.hass.async_create_task(
        import_sessions(home, start=ago(30), **target(home))
    )
    await wait_until(lambda: home.entry.runtime_data.history.pending != {})
    await home.stop()
    with pytest.raises(HomeAssistantError) as raised:
        await task
    assert raised.value.translation_key == "import_failed"
    home.sim.rest.heal()


async def test_an_import_of_the_future(home: Home) -> None:
    """A start in the future is an error."""
    with pytest.raises(ServiceValidationError) as raised:
        await import_sessions(home, start=ago(-1), **target(home))
    assert raised.value.translation_key == "start_in_future"


async def test_an_import_without_a_recorder(
    new_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the recorder there are no statistics, but still statements."""
    monkeypatch.setattr(HourlyStatistics, "has_recorder", False)
    home = new_home
    await home.start()
    with pytest.raises(ServiceValidationError) as raised:
        await import_sessions(home, start=ago(30), **target(home))
    assert raised.value.translation_key == "no_history"
    assert (await get_sessions(home, start=ago(30), **target(home)))["sessions"]
    (account,) = home.sim.accounts.values()
    account.roles[home.installation.id] = UserRole.MAINTAINER
    response = await get_sessions(home, start=ago(30), **target(home))
    assert response["sessions"] == []
    assert response["notes"]
