"""The statistics of persons, from the simulated cloud into a real recorder."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
import math
from types import MappingProxyType
from typing import Any
import uuid

from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.statistics import get_metadata
from homeassistant.components.repairs import RepairsFlow
from homeassistant.config_entries import ConfigEntryDisabler, ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from sqlalchemy.exc import OperationalError

from custom_components.zaptec import removed_persons
from custom_components.zaptec.api import Session, ZaptecClient, ZaptecConnectionError
from custom_components.zaptec.const import CONF_CHARGERS, CONF_PRICES, DOMAIN
from custom_components.zaptec.history import history as history_module
from custom_components.zaptec.history.prices import Period, Tariff
from custom_components.zaptec.history.statistics import (
    person_statistic_id,
    person_statistic_ids,
)
from custom_components.zaptec.persons import (
    CONF_HASHES,
    CONF_PERSON_KEY,
    SUBENTRY_PERSON,
    Identity,
    Persons,
)
from custom_components.zaptec.removed_persons import RemovedPersonFlow
from custom_components.zaptec.repairs import async_create_fix_flow
from simulator.accounts import Account, Card, UserRole
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import StateId
from simulator.scenario import ChargerScenario, DriverScenario, PastScenario, Scenario

from ..home import Home
from ..time_machine import calm_down, wait_until
from .conftest import Recorded, wait_until_written

pytestmark = pytest.mark.usefixtures("_custom_integrations")

ARCHIVE = "/api/sessions/archived"
KEY = "11" * 32


@pytest.fixture
def past() -> PastScenario | None:
    """Return the past of the chargers, None for none."""
    return PastScenario(days=200, anonymous=0.0, irregular=0.2)


@pytest.fixture
def scenario(past: PastScenario | None) -> Scenario:
    """Return two chargers that a household of three uses."""
    scenario = Scenario.of(1)
    (installation,) = scenario.installations
    chargers = (
        *installation.chargers,
        ChargerScenario(serial="ZAP000002", name="Second"),
    )
    drivers = (
        DriverScenario(
            full_name="Anna Example",
            email="anna@example.com",
            cards=(Card("Blue", "04A1B2C3D4E5F6"), Card("Red", "04A1B2C3D4E5A1")),
        ),
        DriverScenario(
            full_name="Ben Example",
            email="ben@example.com",
            cards=(Card("Blue", "04B7C8D9E0F112"),),
        ),
        DriverScenario(full_name="Carl Example", email="carl@example.com"),
    )
    return replace(
        scenario,
        installations=(
            replace(
                installation,
                past=past,
                chargers=chargers,
                drivers=drivers,
                # Otherwise the archive does not say who has charged.
                authentication_required=True,
            ),
        ),
    )


class Household:
    """The persons of a home, and what they have charged."""

    def __init__(self, hass: HomeAssistant, home: Home, recorded: Recorded) -> None:
        """Initialize the household, which has no person yet."""
        self.hass = hass
        self.home = home
        self.recorded = recorded
        self._persons = Persons(KEY, {})

    @property
    def drivers(self) -> list[Account]:
        """Return the drivers: Anna, Ben and Carl."""
        return list(self.home.installation.drivers)

    def user(self, driver: Account) -> int:
        """Return the hash of a Zaptec user."""
        return self._archived(driver).user

    def card(self, driver: Account, card: Card) -> int:
        """Return the hash of the name of a card."""
        return self._archived(driver, card).card

    def code(self, card: Card) -> int:
        """Return the hash of the code of a card."""
        return self._persons.identify_code(card.identity).code

    def _archived(self, driver: Account, card: Card | None = None) -> Identity:
        """Return how a driver appears in the archive."""
        session = Session(
            id="a", user_id=driver.id, token_name=card.name if card else None
        )
        return self._persons.identify(session)

    def add(self, name: str, *hashes: int) -> str:
        """Add the person; return the id."""
        config_entries = self.hass.config_entries
        entry = self.home.entry
        config_entries.async_update_entry(
            entry, data={**entry.data, CONF_PERSON_KEY: KEY}
        )
        person = ConfigSubentry(
            data=MappingProxyType({CONF_HASHES: list(hashes)}),
            subentry_type=SUBENTRY_PERSON,
            title=name,
            unique_id=None,
        )
        config_entries.async_add_subentry(entry, person)
        return person.subentry_id

    def change(self, person_id: str, **changes: Any) -> None:
        """Change the name or the hashes of the person."""
        entry = self.home.entry
        self.hass.config_entries.async_update_subentry(
            entry, entry.subentries[person_id], **changes
        )

    def remove(self, person_id: str) -> None:
        """Remove the person."""
        self.hass.config_entries.async_remove_subentry(self.home.entry, person_id)

    async def hours(self, person_id: str) -> dict[int, float]:
        """Return what one person has charged in each hour (kWh)."""
        return await self.recorded.hours_of(person_statistic_id(person_id))

    async def total(self, person_id: str) -> float:
        """Return what one person has charged (kWh)."""
        return math.fsum((await self.hours(person_id)).values())

    def charged(self, *drivers: Account, card: Card | None = None) -> float:
        """Return what drivers have charged (kWh), as the archive has it now."""
        now = self.home.sim.archive.now()
        return math.fsum(
            round(session.energy, 3)
            for session in self.home.sim.archive.listed(
                start=datetime(2020, 1, 1, tzinfo=UTC), end=now + timedelta(days=1)
            )
            if session.user in drivers
            and card in (None, session.card)
            and not session.is_void(now)
            and not session.aborted
        )

    async def check_sum(self, *person_ids: str) -> None:
        """Check that all that the chargers have charged is that of some persons."""
        await wait_until_written(self.home.entry)
        expected: dict[int, float] = {}
        for charger in self.home.installation.chargers:
            for hour, energy in (await self.recorded.hours(charger.id)).items():
                expected[hour] = expected.get(hour, 0.0) + energy
        found: dict[int, float] = {}
        for person_id in person_ids:
            for hour, energy in (await self.hours(person_id)).items():
                found[hour] = found.get(hour, 0.0) + energy
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def household(hass: HomeAssistant, home: Home, recorded: Recorded) -> Household:
    """Return a household whose home is set up."""
    return Household(hass, home, recorded)


async def charge(
    home: Home, driver: Account | None, card: Card | None = None, hours: float = 1.0
) -> None:
    """Let a driver charge at the first charger, and leave."""
    charger: Charger = home.charger
    charger.plug_in(Car(capacity_kwh=200))
    charger.authorize(driver, card)
    await home.travel(hours * 3600, step=900)
    charger.unplug()
    await home.travel(30, step=10)


async def test_the_past_of_all_persons(household: Household) -> None:
    """Each hour of the chargers is that of the persons who have charged in it."""
    await wait_until_written(household.home.entry)
    anna, ben, carl = household.drivers
    ids = [
        household.add(driver.full_name, household.user(driver))
        for driver in (anna, ben, carl)
    ]
    await household.check_sum(*ids)
    for person_id, driver in zip(ids, (anna, ben, carl), strict=True):
        charged = household.charged(driver)
        assert charged > 50
        assert await household.total(person_id) == pytest.approx(charged, abs=0.1)


async def test_a_card_of_another_person(household: Household) -> None:
    """A session counts for the person of its card, and not for its user, too."""
    anna, ben, _ = household.drivers
    _, red = anna.cards
    first = household.add("Anna", household.user(anna))
    second = household.add("Ben", household.user(ben), household.card(anna, red))
    await wait_until_written(household.home.entry)
    with_red = household.charged(anna, card=red)
    assert with_red > 10
    assert await household.total(first) == pytest.approx(
        household.charged(anna) - with_red, abs=0.1
    )
    assert await household.total(second) == pytest.approx(
        household.charged(ben) + with_red, abs=0.1
    )


async def test_a_person_that_is_changed(
    household: Household, imported: list[tuple[str, Any]]
) -> None:
    """When a user is taken away or given, all of the past follows, and nothing doubles."""
    anna, ben, carl = household.drivers
    person_id = household.add("Anna", household.user(anna), household.user(ben))
    await wait_until_written(household.home.entry)
    assert await household.total(person_id) == pytest.approx(
        household.charged(anna, ben), abs=0.2
    )
    hashes = [household.user(anna), household.user(carl)]
    household.change(person_id, data={CONF_HASHES: hashes})
    await wait_until_written(household.home.entry)
    assert await household.total(person_id) == pytest.approx(
        household.charged(anna, carl), abs=0.2
    )
    imported.clear()
    household.change(person_id, data={CONF_HASHES: hashes[::-1]})
    await wait_until_written(household.home.entry)
    assert imported == []


async def test_a_restart(household: Household, imported: list[tuple[str, Any]]) -> None:
    """After a restart, nothing is read or written again."""
    home = household.home
    person_id = household.add("Anna", household.user(household.drivers[0]))
    await wait_until_written(home.entry)
    total = await household.total(person_id)
    imported.clear()
    home.clear()
    await home.reload()
    await home.travel(300, step=60)
    await wait_until_written(home.entry)
    assert imported == []
    assert sum(item.path == ARCHIVE for item in home.sim.rest.requests) <= 1
    assert await household.total(person_id) == total


async def test_a_long_statistic_is_stored_first(
    household: Household, monkeypatch: pytest.MonkeyPatch, hass_storage: dict[str, Any]
) -> None:
    """Before more than one batch is written, it is stored what has to be written."""
    monkeypatch.setattr(
        "custom_components.zaptec.history.person_statistics.BATCH_MAX", 1
    )
    users = [household.user(driver) for driver in household.drivers]
    person_id = household.add("Anna", *users)
    await wait_until_written(household.home.entry)
    stored = hass_storage[f"zaptec.history.{household.home.entry.entry_id}"]["data"]
    content, changed_from, *_ = stored["persons"]["ledgers"][person_id]
    assert content
    assert changed_from == 0
    await household.check_sum(person_id)


async def test_a_lost_store(
    household: Household, hass_storage: dict[str, Any], imported: list[tuple[str, Any]]
) -> None:
    """If the store is lost, all is read again, and nothing has to be written."""
    home = household.home
    person_id = household.add("Anna", household.user(household.drivers[0]))
    await wait_until_written(home.entry)
    total = await household.total(person_id)
    await home.stop()
    del hass_storage[f"zaptec.history.{home.entry.entry_id}"]
    imported.clear()
    await home.start()
    await wait_until_written(home.entry)
    assert imported == []
    assert await household.total(person_id) == total


@pytest.mark.parametrize("past", [None])
async def test_a_session_with_a_card(household: Household) -> None:
    """When the cable is pulled, the charger reports the code of the card."""
    home = household.home
    anna, *_ = household.drivers
    blue, red = anna.cards
    person_id = household.add("Anna", household.code(red))
    await wait_until_written(home.entry)
    await charge(home, anna, red)
    await wait_until_written(home.entry)
    total = await household.total(person_id)
    assert total == pytest.approx(home.installation.archive[-1].energy, abs=0.001)
    await charge(home, anna, blue)
    # The archive does not have the code, and does not make the session another person's.
    await home.travel(300, step=30)
    await wait_until_written(home.entry)
    assert await household.total(person_id) == total


@pytest.mark.parametrize("past", [None])
async def test_a_card_whose_session_is_not_reported(household: Household) -> None:
    """Without the report of the session, the running one has shown the code."""
    home = household.home
    home.charger.recording.lost_reports = 1.0
    anna, *_ = household.drivers
    blue, _ = anna.cards
    person_id = household.add("Anna", household.code(blue))
    await wait_until_written(home.entry)
    await charge(home, anna, blue)
    await home.travel(300, step=30)
    await wait_until_written(home.entry)
    (session,) = home.installation.archive
    assert await household.total(person_id) == pytest.approx(session.energy, abs=0.001)
    archived = [
        item
        async for item in home.entry.runtime_data.client.archived_sessions(
            charger_id=home.charger.id,
            start=session.started,
            end=session.started + timedelta(days=1),
        )
    ]
    history = home.entry.runtime_data.history
    assert [history.known.person_of(item) for item in archived] == [person_id]
    assert history.persons.person_of(history.persons.identify(archived[0])) is None


@pytest.mark.parametrize("past", [None])
async def test_a_person_who_is_added_during_a_session(household: Household) -> None:
    """Who charges when the person is added is noted, too."""
    home = household.home
    home.charger.recording.lost_reports = 1.0
    anna, *_ = household.drivers
    blue, _ = anna.cards
    await wait_until_written(home.entry)
    home.charger.plug_in(Car(capacity_kwh=200))
    home.charger.authorize(anna, blue)
    await home.travel(1800, step=900)
    state = home.entry.runtime_data.states[home.charger.id]
    await wait_until(lambda: state.value(StateId.CURRENT_USER) == blue.identity)
    person_id = household.add("Anna", household.code(blue))
    home.charger.unplug()
    await home.travel(300, step=30)
    await wait_until_written(home.entry)
    (session,) = home.installation.archive
    assert await household.total(person_id) == pytest.approx(session.energy, abs=0.001)


@pytest.mark.parametrize("past", [None])
async def test_without_the_archive(
    new_home: Home, household_of: Callable[[Home], Household]
) -> None:
    """Without the archive, the person begins with the session that was reported last."""
    home = new_home
    (account,) = home.sim.accounts.values()
    account.roles[home.installation.id] = UserRole.MAINTAINER
    household = household_of(home)
    anna, *_ = household.drivers
    await home.start()
    await wait_until_written(home.entry)
    await charge(home, anna, anna.cards[0])
    await charge(home, anna, anna.cards[0])
    person_id = household.add("Anna", household.code(anna.cards[0]))
    await wait_until_written(home.entry)
    _, session = home.installation.archive
    assert await household.total(person_id) == pytest.approx(session.energy, abs=0.001)
    await charge(home, anna, anna.cards[0])
    await wait_until_written(home.entry)
    *_, another = home.installation.archive
    total = pytest.approx(session.energy + another.energy, abs=0.002)
    assert await household.total(person_id) == total
    # Another card is given to the person, and nothing of what is known is lost.
    data = {CONF_HASHES: [household.code(card) for card in anna.cards]}
    household.change(person_id, data=data)
    await wait_until_written(home.entry)
    assert await household.total(person_id) == total


@pytest.fixture
def household_of(
    hass: HomeAssistant, recorded: Recorded
) -> Callable[[Home], Household]:
    """Return a function that returns the household of a home that is not set up."""
    return lambda home: Household(hass, home, recorded)


async def test_old_sessions_of_another_charger(
    household: Household, monkeypatch: pytest.MonkeyPatch, full_readings: list[str]
) -> None:
    """If hours are not kept any more that the person needs, the archive is read again."""
    monkeypatch.setattr(history_module, "SESSIONS_MAX", 3)
    monkeypatch.setattr(history_module, "SESSIONS_MIN", 1)
    home = household.home
    archive = home.sim.archive
    # The simulator makes the sessions of the past whenever they are read, so it would lose
    # a change of one. A copy of one stays.
    session = next(
        replace(item, id=str(uuid.uuid4()))
        for item in archive.listed(
            start=archive.now() - timedelta(days=25),
            end=archive.now() - timedelta(days=20),
            charger_id=home.charger.id,
        )
        if not item.is_void(archive.now()) and not item.aborted and item.energy > 1
    )
    home.installation.archive.append(session)
    ids = [
        household.add(item.full_name, household.user(item))
        for item in household.drivers
    ]
    await household.check_sum(*ids)
    before = await household.total(ids[household.drivers.index(session.user)])
    full_readings.clear()
    # Both chargers keep few sessions, and one of them has an old one corrected.
    session.voided = True
    await home.travel(26 * 3600, step=3600)
    await household.check_sum(*ids)
    assert set(full_readings) == set(home.sim.chargers)
    totals = [await household.total(person_id) for person_id in ids]
    assert math.fsum(totals) == pytest.approx(
        household.charged(*household.drivers), abs=0.2
    )
    assert totals[household.drivers.index(session.user)] == pytest.approx(
        before - session.energy, abs=0.01
    )


async def test_statistics_that_were_deleted(
    hass: HomeAssistant, household: Household
) -> None:
    """The statistic of the person that was deleted is written again with the next session."""
    home = household.home
    anna, *_ = household.drivers
    person_id = household.add("Anna", household.user(anna))
    await wait_until_written(home.entry)
    get_instance(hass).async_clear_statistics(person_statistic_ids(person_id))
    await charge(home, anna, anna.cards[0])
    await home.travel(300, step=30)
    await wait_until_written(home.entry)
    assert await household.total(person_id) == pytest.approx(
        household.charged(anna), abs=0.1
    )


@pytest.mark.parametrize("past", [PastScenario(days=20, anonymous=0.0)])
async def test_the_name(hass: HomeAssistant, household: Household) -> None:
    """The statistic is named after the person, also if the name is changed later."""

    users = [household.user(driver) for driver in household.drivers]
    person_id = household.add("Anna", *users)
    statistic = person_statistic_id(person_id)
    await wait_until_written(household.home.entry)
    assert await name_of(hass, statistic) == "Anna energy (history)"
    hours = await household.hours(person_id)
    household.change(person_id, title="Anne")
    await async_wait_recording_done(hass)
    assert await name_of(hass, statistic) == "Anne energy (history)"
    assert await household.hours(person_id) == hours


async def name_of(hass: HomeAssistant, statistic: str) -> str | None:
    """Return the name of a statistic in the database."""
    found = await get_instance(hass).async_add_executor_job(
        lambda: get_metadata(hass, statistic_ids={statistic})
    )
    return found[statistic][1]["name"]


@pytest.mark.parametrize("past", [PastScenario(days=20, anonymous=0.0)])
async def test_nothing_is_noted_without_a_person(
    household: Household, hass_storage: dict[str, Any]
) -> None:
    """It is stored who has charged once the first person was added, and then as hashes only."""
    home = household.home
    key = f"zaptec.history.{home.entry.entry_id}"
    await charge(home, household.drivers[0], household.drivers[0].cards[0])
    await wait_until_written(home.entry)
    await home.stop()
    for charger in hass_storage[key]["data"]["chargers"].values():
        assert charger["sessions"]
        assert charger["identities"] == charger["reported"] == []
    await home.start()
    users = [household.user(driver) for driver in household.drivers]
    person_id = household.add("Anna", *users)
    await wait_until_written(home.entry)
    await home.stop()
    text = repr(hass_storage[key])
    assert any(str(user) in text for user in users)
    assert person_id in text
    private = {KEY, "Anna"}
    for driver in household.drivers:
        private |= {driver.id, driver.full_name, driver.user_name}
        private |= {word for card in driver.cards for word in (card.name, card.code)}
    assert not [item for item in private if item in text]
    await home.start()


async def test_a_removed_person(household: Household) -> None:
    """The statistic of a removed person stays as it is, until the user is asked."""
    home = household.home
    anna, ben, _ = household.drivers
    person_id = household.add("Anna", household.user(anna))
    other = household.add("Ben", household.user(ben))
    await wait_until_written(home.entry)
    before = await household.hours(person_id)
    household.remove(person_id)
    await charge(home, anna, anna.cards[0])
    await wait_until_written(home.entry)
    assert await household.hours(person_id) == before
    assert await household.total(other) == pytest.approx(
        household.charged(ben), abs=0.1
    )


async def remove_anna(household: Household) -> str:
    """Add a person with all users of the household, remove her, and return her id."""
    users = [household.user(driver) for driver in household.drivers]
    person_id = household.add("Anna", *users)
    await wait_until_written(household.home.entry)
    household.remove(person_id)
    return person_id


async def ask(hass: HomeAssistant, person_id: str) -> tuple[RepairsFlow, Any]:
    """Wait for the question about a removed person; return its flow and first step."""
    issue_id = f"person_removed_{person_id}"
    issues = ir.async_get(hass)
    await wait_until(lambda: issues.async_get_issue(DOMAIN, issue_id) is not None)
    issue = issues.async_get_issue(DOMAIN, issue_id)
    assert issue
    # Home Assistant adds the issue to the diagnostics.
    assert "Anna" not in str(issue.to_json())
    flow = await async_create_fix_flow(hass, issue_id, issue.data)
    flow.hass, flow.handler, flow.issue_id = hass, DOMAIN, issue_id
    return flow, await flow.async_step_init()


@pytest.mark.parametrize("is_loaded", [True, False])
@pytest.mark.parametrize("past", [PastScenario(days=60, anonymous=0.0)])
async def test_the_statistics_of_a_removed_person(
    hass: HomeAssistant, household: Household, *, is_loaded: bool
) -> None:
    """The user is asked once, and the statistics are kept or deleted."""
    home = household.home
    users = [household.user(driver) for driver in household.drivers]
    person_id = household.add("Anna *", *users)
    await wait_until_written(home.entry)
    before = await household.hours(person_id)
    assert before
    if is_loaded:
        household.remove(person_id)
    else:
        await home.stop()
        household.remove(person_id)
        await home.start()
    flow, step = await ask(hass, person_id)
    assert step["type"] is FlowResultType.MENU
    assert step["menu_options"] == ["keep", "delete"]
    assert step["description_placeholders"] == {"name": r"Anna \* energy \(history\)"}
    assert (await flow.async_step_keep())["type"] is FlowResultType.CREATE_ENTRY
    assert await household.hours(person_id) == before
    assert (await flow.async_step_delete())["type"] is FlowResultType.CREATE_ENTRY
    await async_wait_recording_done(hass)
    assert await household.hours(person_id) == {}
    # It is not asked again.
    ir.async_delete_issue(hass, DOMAIN, f"person_removed_{person_id}")
    await home.reload()
    assert not ir.async_get(hass).async_get_issue(DOMAIN, f"person_removed_{person_id}")


@pytest.mark.parametrize("past", [PastScenario(days=60, anonymous=0.0)])
async def test_a_question_is_asked_until_it_is_answered(
    hass: HomeAssistant, household: Household
) -> None:
    """The issues of a disabled account are deleted, but its questions are not lost."""
    home = household.home
    person_id = await remove_anna(household)
    await ask(hass, person_id)
    issue_id = f"person_removed_{person_id}"
    disable = partial(hass.config_entries.async_set_disabled_by, home.entry.entry_id)
    await disable(ConfigEntryDisabler.USER)
    assert not ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
    await disable(None)
    flow, _ = await ask(hass, person_id)
    assert (await flow.async_step_keep())["type"] is FlowResultType.CREATE_ENTRY
    ir.async_delete_issue(hass, DOMAIN, issue_id)
    await home.reload()
    assert not home.entry.runtime_data.history.person_statistics.removed
    assert not ir.async_get(hass).async_get_issue(DOMAIN, issue_id)


@pytest.mark.parametrize("past", [PastScenario(days=60, anonymous=0.0)])
async def test_a_question_that_is_answered_meanwhile(
    hass: HomeAssistant, household: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is given while the statistics are looked up counts."""
    home = household.home
    person_id = await remove_anna(household)
    flow, _ = await ask(hass, person_id)
    is_looked_up, is_answered = asyncio.Event(), asyncio.Event()

    async def look_up(_hass: HomeAssistant, _person_id: str) -> list[str]:
        is_looked_up.set()
        await is_answered.wait()
        return ["Anna"]

    monkeypatch.setattr(removed_persons, "_async_names", look_up)
    removed_persons.async_follow_persons(hass, home.entry)
    await is_looked_up.wait()
    assert (await flow.async_step_keep())["type"] is FlowResultType.CREATE_ENTRY
    issue_id = f"person_removed_{person_id}"
    ir.async_delete_issue(hass, DOMAIN, issue_id)
    is_answered.set()
    await calm_down()
    assert not ir.async_get(hass).async_get_issue(DOMAIN, issue_id)


@pytest.mark.parametrize("past", [PastScenario(days=60, anonymous=0.0)])
async def test_a_question_whose_statistics_are_gone(
    hass: HomeAssistant, household: Household
) -> None:
    """A user who has deleted the statistics by hand has answered the question."""
    home = household.home
    person_id = await remove_anna(household)
    await ask(hass, person_id)
    get_instance(hass).async_clear_statistics(person_statistic_ids(person_id))
    await async_wait_recording_done(hass)
    await home.reload()
    issue_id = f"person_removed_{person_id}"
    issues = ir.async_get(hass)
    await wait_until(lambda: issues.async_get_issue(DOMAIN, issue_id) is None)
    assert not home.entry.runtime_data.history.person_statistics.removed


async def test_a_removed_person_without_statistics(
    hass: HomeAssistant, household: Household
) -> None:
    """About persons who never charged, or whose statistics are gone, nothing is asked."""
    home = household.home
    unused = household.add("Unused", 1234)
    anna = household.add("Anna", household.user(household.drivers[0]))
    await wait_until_written(home.entry)
    get_instance(hass).async_clear_statistics(person_statistic_ids(anna))
    await async_wait_recording_done(hass)
    household.remove(unused)
    household.remove(anna)
    statistics = home.entry.runtime_data.history.person_statistics
    await wait_until(lambda: not statistics.removed)
    for person_id in (unused, anna):
        issue_id = f"person_removed_{person_id}"
        assert not ir.async_get(hass).async_get_issue(DOMAIN, issue_id)


@pytest.mark.parametrize("past", [PastScenario(days=60, anonymous=0.0)])
async def test_a_removed_person_while_the_database_fails(
    hass: HomeAssistant, household: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the database cannot be read, it is asked at the next start."""
    users = [household.user(driver) for driver in household.drivers]
    person_id = household.add("Anna", *users)
    await wait_until_written(household.home.entry)

    calls = []

    def fail(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        raise OperationalError("statement", {}, Exception())

    with monkeypatch.context() as patch:
        patch.setattr("custom_components.zaptec.removed_persons.get_metadata", fail)
        household.remove(person_id)
        await wait_until(lambda: bool(calls))
        assert not ir.async_get(hass).issues
    await household.home.reload()
    flow, _ = await ask(hass, person_id)
    with monkeypatch.context() as patch:
        patch.setattr("custom_components.zaptec.removed_persons.get_metadata", fail)
        assert (await flow.async_step_init())["description_placeholders"] == {
            "name": f"zaptec:person\\_{person_id.lower()}\\_energy, "
            f"zaptec:person\\_{person_id.lower()}\\_cost"
        }


async def test_an_answer_without_a_recorder(hass: HomeAssistant, home: Home) -> None:
    """Without the recorder there are no statistics to delete."""
    hass.config.components.remove("recorder")
    flow = RemovedPersonFlow(home.entry.entry_id, "01ABC")
    flow.hass, flow.handler, flow.issue_id = hass, DOMAIN, "person_removed_01ABC"
    assert (await flow.async_step_init())["description_placeholders"] == {
        "name": r"zaptec:person\_01abc\_energy, zaptec:person\_01abc\_cost"
    }
    assert (await flow.async_step_delete())["type"] is FlowResultType.CREATE_ENTRY
    hass.config.components.add("recorder")


@pytest.mark.parametrize("past", [PastScenario(days=20, anonymous=0.0)])
async def test_what_a_person_costs(
    hass: HomeAssistant, household: Household, recorded: Recorded
) -> None:
    """If a price is chosen, the energy of one person has a cost, as that of a charger has."""
    home = household.home
    tariff = Tariff((Period(0, 2.5),))
    hass.config_entries.async_update_entry(
        home.entry, options={CONF_PRICES: tariff.as_stored()}
    )
    await home.reload()
    users = [household.user(driver) for driver in household.drivers]
    person_id = household.add("Anna", *users)
    await wait_until_written(home.entry)
    energy_id, cost_id = person_statistic_ids(person_id)
    energy = await recorded.hours_of(energy_id)
    cost = await recorded.hours_of(cost_id)
    assert len(energy) > 10
    assert cost == pytest.approx({hour: 2.5 * kwh for hour, kwh in energy.items()})
    assert await name_of(hass, cost_id) == "Anna cost (history)"
    household.change(person_id, title="Anne")
    await wait_until_written(home.entry)
    await async_wait_recording_done(hass)
    assert await name_of(hass, cost_id) == "Anne cost (history)"
    assert await recorded.hours_of(cost_id) == cost
    household.remove(person_id)
    assert energy_id not in home.entry.runtime_data.history.costs.missing
    # The question names all that would be deleted.
    flow, _ = await ask(hass, person_id)
    assert (await flow.async_step_init())["description_placeholders"] == {
        "name": r"Anne energy \(history\), Anne cost \(history\)"
    }


@pytest.mark.parametrize("past", [PastScenario(days=20, anonymous=0.0)])
async def test_an_archive_that_fails_for_long(
    household: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the archive of one charger fails, sessions at the others still count."""
    home = household.home
    anna, *_ = household.drivers
    person_id = household.add("Anna", household.user(anna))
    await wait_until_written(home.entry)
    _, second = home.sim.chargers
    read = ZaptecClient.archived_sessions

    def fail(client: ZaptecClient, **query: Any) -> AsyncIterator[Session]:
        if query.get("charger_id") == second:
            raise ZaptecConnectionError("")
        return read(client, **query)

    with monkeypatch.context() as patch:
        patch.setattr(ZaptecClient, "archived_sessions", fail)
        history = home.entry.runtime_data.history
        assert await history.async_read_again(second, 0.0) is None
        for _ in range(2):
            before = await household.total(person_id)
            await charge(home, anna)
            await home.travel(1800, step=300)
            assert await household.total(person_id) == pytest.approx(
                before + home.installation.archive[-1].energy, abs=0.01
            )
        assert history.pending == {second: "read"}
    await home.travel(2 * 3600, step=600)
    await wait_until_written(home.entry)
    assert await household.total(person_id) == pytest.approx(
        household.charged(anna), abs=0.01
    )


@pytest.fixture
async def ids(household: Household) -> list[str]:
    """Return three persons; the chargers do not keep old sessions of theirs any more."""
    home = household.home
    ids = [
        household.add(item.full_name, household.user(item))
        for item in household.drivers
    ]
    await household.check_sum(*ids)
    await home.travel(26 * 3600, step=3600)
    await household.check_sum(*ids)
    return ids


async def test_an_archive_that_is_refused_later(
    household: Household, ids: list[str]
) -> None:
    """What cannot be read any more stays, whatever is requested or changed."""
    home = household.home
    before = [await household.hours(person_id) for person_id in ids]
    history = home.entry.runtime_data.history
    home.sim.rest.fail(ARCHIVE, fault=403)
    for charger in home.installation.chargers:
        assert await history.async_read_again(charger.id, 0.0) is None
    await wait_until_written(home.entry)
    assert history.refused() != set()
    assert [await household.hours(person_id) for person_id in ids] == before
    hashes = [household.user(household.drivers[0]), 5]
    household.change(ids[0], data={CONF_HASHES: hashes})
    await home.travel(26 * 3600, step=3600)
    await wait_until_written(home.entry)
    assert [await household.hours(person_id) for person_id in ids] == before


def deselect_second(household: Household) -> None:
    """Deselect the second charger in the options."""
    home = household.home
    household.hass.config_entries.async_update_entry(
        home.entry, options={CONF_CHARGERS: [home.charger.id]}
    )


@pytest.mark.parametrize("unknown", ["all refused", "one refused", "deselected"])
async def test_a_lost_store_and_what_cannot_be_read(
    household: Household, ids: list[str], hass_storage: dict[str, Any], unknown: str
) -> None:
    """If the store is lost, old energy stays whose charger cannot be read any more."""
    home = household.home
    anna, *_ = household.drivers
    before = [await household.hours(person_id) for person_id in ids]
    await home.stop()
    del hass_storage[f"zaptec.history.{home.entry.entry_id}"]
    if unknown == "deselected":
        deselect_second(household)
    else:
        home.sim.rest.fail(
            ARCHIVE, fault=403, times=1 if unknown == "one refused" else None
        )
    await home.start()
    await wait_until_written(home.entry)
    assert [await household.hours(person_id) for person_id in ids] == before
    # The archives that can be read are believed after they were read a second time.
    await home.travel(50 * 3600, step=3600)
    await wait_until_written(home.entry)
    assert [await household.hours(person_id) for person_id in ids] == before
    await charge(home, anna)
    await home.travel(300, step=30)
    await wait_until_written(home.entry)
    charged = home.installation.archive[-1].energy
    assert await household.total(ids[0]) == pytest.approx(
        math.fsum(before[0].values()) + charged, abs=0.01
    )


@pytest.mark.parametrize("is_failing", [True, False])
async def test_a_charger_that_is_deselected_while_it_is_read(
    household: Household,
    ids: list[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_failing: bool,
) -> None:
    """What was charged at it stays, although its archive does not come to the end."""
    home = household.home
    anna, *_ = household.drivers
    before = [await household.hours(person_id) for person_id in ids]
    first, second = home.sim.chargers
    is_asked, is_deselected = asyncio.Event(), asyncio.Event()
    read = ZaptecClient.archived_sessions

    async def fail(client: ZaptecClient, **query: Any) -> AsyncIterator[Session]:
        if query.get("charger_id") == second:
            is_asked.set()
            if not is_failing:
                await is_deselected.wait()
            raise ZaptecConnectionError("")
        async for session in read(client, **query):
            yield session

    monkeypatch.setattr(ZaptecClient, "archived_sessions", fail)
    history = home.entry.runtime_data.history
    readings = asyncio.gather(
        *(history.async_read_again(charger_id, 0.0) for charger_id in (first, second))
    )
    await is_asked.wait()
    if is_failing:
        count, none = await readings
        assert count
        assert none is None
        # All is written without the second charger, and has to be written again.
        await home.travel(1800, step=300)
    deselect_second(household)
    is_deselected.set()
    await readings
    await charge(home, anna)
    await home.travel(300, step=30)
    hours = [await household.hours(person_id) for person_id in ids]
    assert hours[1:] == before[1:]
    charged = home.installation.archive[-1].energy
    assert math.fsum(hours[0].values()) == pytest.approx(
        math.fsum(before[0].values()) + charged, abs=0.01
    )


async def test_a_doubt_costs_no_third_reading(
    household: Household, hass_storage: dict[str, Any], full_readings: list[str]
) -> None:
    """Of the other charger, the hours are kept until the doubtful one was read again."""
    home = household.home
    anna, ben, _ = household.drivers
    household.add("Anna", household.user(anna))
    await wait_until_written(home.entry)
    first, second = home.sim.chargers
    await home.stop()
    stored = hass_storage[f"zaptec.history.{home.entry.entry_id}"]["data"]
    del stored["chargers"][second]
    person_id = household.add("Ben", household.user(ben))
    full_readings.clear()
    await home.start()
    await wait_until_written(home.entry)
    assert sorted(full_readings) == sorted((first, second))
    await home.travel(50 * 3600, step=3600)
    await wait_until_written(home.entry)
    assert sorted(full_readings) == sorted((first, second, second))
    assert await household.total(person_id) == pytest.approx(
        household.charged(ben), abs=0.1
    )


async def test_a_lost_store_and_a_correction(
    household: Household, hass_storage: dict[str, Any]
) -> None:
    """If all archives can be read again, what they say counts, also if it is less."""
    home = household.home
    anna, *_ = household.drivers
    person_id = household.add("Anna", household.user(anna))
    await charge(home, anna)
    await home.travel(300, step=30)
    await wait_until_written(home.entry)
    total = await household.total(person_id)
    session = home.installation.archive[-1]
    await home.stop()
    del hass_storage[f"zaptec.history.{home.entry.entry_id}"]
    await home.start()
    await wait_until_written(home.entry)
    session.voided = True
    await home.travel(50 * 3600, step=3600)
    await wait_until_written(home.entry)
    assert session.energy > 1
    assert await household.total(person_id) == pytest.approx(
        total - session.energy, abs=0.01
    )


async def test_a_statistic_that_was_deleted(household: Household) -> None:
    """It returns within a day, with all that it had."""
    home = household.home
    person_id = household.add("Anna", household.user(household.drivers[0]))
    await wait_until_written(home.entry)
    total = await household.total(person_id)
    ids = [person_statistic_id(person_id)]
    get_instance(household.hass).async_clear_statistics(ids)
    await home.travel(26 * 3600, step=3600)
    await wait_until_written(home.entry)
    assert await household.total(person_id) == pytest.approx(total, abs=1e-6)
