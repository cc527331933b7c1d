"""Adding and changing persons, who are chosen from the users and cards seen before."""

from dataclasses import replace
import json
import re
from typing import Any

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    ConfigEntryState,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest

from custom_components.zaptec import seen_identities
from custom_components.zaptec.persons import (
    CONF_HASHES,
    CONF_PERSON_KEY,
    SUBENTRY_PERSON,
    Persons,
)
from simulator.accounts import Card, UserRole
from simulator.car import Car
from simulator.observations import StateId
from simulator.scenario import DriverScenario, PastScenario, Scenario

from .home import Home
from .time_machine import wait_until

ARCHIVE = "/api/sessions/archived"
DATE = r"\d{4}-\d\d-\d\d"


@pytest.fixture
def past() -> PastScenario | None:
    """Return what has been charged before."""
    return PastScenario(days=120, anonymous=0.1, irregular=0.2, sessions_per_week=14)


@pytest.fixture
def scenario(past: PastScenario | None) -> Scenario:
    """Return a home in which two users charge."""
    scenario = Scenario.of(1)
    (installation,) = scenario.installations
    drivers = (
        DriverScenario(
            full_name="Anna Example",
            email="anna@example.com",
            cards=(Card("Blue", "04A1B2C3D4E5F6"), Card("Red", "04A1B2C3D4E5A1")),
        ),
        DriverScenario(full_name="Ben Example", email="ben@example.com"),
    )
    return replace(
        scenario,
        installations=(
            replace(
                installation,
                past=past,
                drivers=drivers,
                authentication_required=True,
            ),
        ),
    )


class Form:
    """The form of one person, as the user sees it."""

    def __init__(self, home: Home) -> None:
        """Initialize the form, which is not open."""
        self._flows = home.hass.config_entries.subentries
        self._entry = home.entry
        self.result: dict[str, Any] = {}

    async def open(self, person_id: str | None = None) -> dict[str, str]:
        """Open the form of a new person or of one to change; return its choices."""
        context: dict[str, Any] = {"source": SOURCE_USER}
        if person_id:
            context = {"source": SOURCE_RECONFIGURE, "subentry_id": person_id}
        self.result = dict(
            await self._flows.async_init(
                (self._entry.entry_id, SUBENTRY_PERSON), context=context
            )
        )
        return self.choices if self.result["type"] is FlowResultType.FORM else {}

    @property
    def choices(self) -> dict[str, str]:
        """Return the values of the choices by their labels, without the dates."""
        return {
            re.sub(DATE, "DATE", label): value for label, value in self.dated.items()
        }

    @property
    def dated(self) -> dict[str, str]:
        """Return the values of the choices by their labels."""
        (selector,) = (
            value
            for key, value in self.result["data_schema"].schema.items()
            if key == "seen"
        )
        return {item["label"]: item["value"] for item in selector.config["options"]}

    @property
    def suggested(self) -> dict[str, Any]:
        """Return what is entered and chosen at first."""
        return {
            key: key.description["suggested_value"]
            for key in self.result["data_schema"].schema
            if key.description
        }

    async def submit(self, name: str, *seen: str) -> dict[str, Any]:
        """Submit the form; return the result."""
        self.result = dict(
            await self._flows.async_configure(
                self.result["flow_id"], {"name": name, "seen": list(seen)}
            )
        )
        return self.result


@pytest.fixture
def form(home: Home) -> Form:
    """Return the form of one person."""
    return Form(home)


async def test_the_first_person(home: Home, form: Form) -> None:
    """Each person is added by a name, and by users and cards that have charged."""
    assert CONF_PERSON_KEY not in home.entry.data
    choices = await form.open()
    assert form.result["step_id"] == "user"
    assert set(choices) == {
        "Zaptec user Anna Example, last charged DATE",
        "Zaptec user Ben Example, last charged DATE",
        "Card “Blue”, last used DATE",
        "Card “Red”, last used DATE",
    }
    result = await form.submit(
        " Anna ",
        choices["Zaptec user Anna Example, last charged DATE"],
        choices["Card “Red”, last used DATE"],
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    (person,) = home.entry.subentries.values()
    assert person.title == "Anna"
    assert person.subentry_type == SUBENTRY_PERSON
    assert len(person.data[CONF_HASHES]) == 2
    assert set(person.data) == {CONF_HASHES}
    persons = Persons.of(home.entry)
    sessions = [
        item
        async for item in home.entry.runtime_data.client.archived_sessions(
            charger_id=home.charger.id,
            start=home.sim.archive.now() - seen_identities.SPANS[0],
            end=home.sim.archive.now(),
        )
    ]
    found = {
        item.user_name: persons.person_of(persons.identify(item)) for item in sessions
    }
    assert found.get("Anna Example", person.subentry_id) == person.subentry_id
    assert found.get("Ben Example") is None


async def test_a_form_that_is_closed(home: Home, form: Form) -> None:
    """As long as no person has been saved, nothing is stored for persons."""
    data = home.entry.data
    choices = await form.open()
    await form.submit("Anna")
    assert home.entry.data is data
    assert CONF_PERSON_KEY not in data
    # What another form offers cannot be compared with this one.
    assert not set((await form.open()).values()) & set(choices.values())
    assert home.entry.data is data


async def test_two_forms_at_once(home: Home, form: Form) -> None:
    """Of two forms for the first person, the second one is filled in again."""
    label = "Zaptec user Ben Example, last charged DATE"
    other = Form(home)
    choices, others = await form.open(), await other.open()
    await form.submit("Anna", choices["Card “Red”, last used DATE"])
    key = home.entry.data[CONF_PERSON_KEY]
    result = await other.submit("Ben", others[label])
    assert result["errors"] == {"seen": "none_chosen"}
    assert other.suggested == {"name": "Ben", "seen": []}
    assert "Card “Red”, last used DATE" not in other.choices
    result = await other.submit("Ben", other.choices[label])
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert home.entry.data[CONF_PERSON_KEY] == key
    persons = Persons.of(home.entry)
    (person_id,) = (key for key, name in persons.names.items() if name == "Ben")
    (ben,) = (
        item for item in home.installation.drivers if item.full_name == "Ben Example"
    )
    assert persons.person_of(persons.identify_code(ben.id)) == person_id


async def test_mistakes(form: Form) -> None:
    """A name and a choice are needed; what was entered stays."""
    choices = await form.open()
    value = next(iter(choices.values()))
    assert (await form.submit(" ", value))["errors"] == {"name": "no_name"}
    assert form.suggested == {"name": " ", "seen": [value]}
    assert (await form.submit("Anna"))["errors"] == {"seen": "none_chosen"}
    assert (await form.submit(""))["errors"] == {
        "name": "no_name",
        "seen": "none_chosen",
    }
    assert form.choices == choices
    result = await form.submit("Anna", value)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_second_person(home: Home, form: Form) -> None:
    """What one person has is not offered for another, and names differ."""
    choices = await form.open()
    first = choices["Card “Red”, last used DATE"]
    await form.submit("Anna", first)
    key = home.entry.data[CONF_PERSON_KEY]
    choices = await form.open()
    assert first not in choices.values()
    value = next(iter(choices.values()))
    for name in ("Anna", " anna"):
        assert (await form.submit(name, value))["errors"] == {"name": "name_taken"}
    await form.submit("Ben", value)
    assert [item.title for item in home.entry.subentries.values()] == ["Anna", "Ben"]
    assert home.entry.data[CONF_PERSON_KEY] == key


async def test_a_change(home: Home, form: Form) -> None:
    """The name and the choice of the person can be changed."""
    choices = await form.open()
    anna = choices["Zaptec user Anna Example, last charged DATE"]
    ben = choices["Zaptec user Ben Example, last charged DATE"]
    await form.submit("Anna", anna)
    (person_id,) = home.entry.subentries
    assert await form.open(person_id) == choices
    assert form.result["step_id"] == "reconfigure"
    assert form.suggested == {"name": "Anna", "seen": [anna]}
    assert (await form.submit("Anna"))["errors"] == {"seen": "none_chosen"}
    result = await form.submit("Anne", anna, ben)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reconfigure_successful"
    (person,) = home.entry.subentries.values()
    assert person.title == "Anne"
    assert len(person.data[CONF_HASHES]) == 2


async def test_what_was_not_used_lately(home: Home, form: Form) -> None:
    """What the person was given long ago can be kept, or taken away."""
    choices = await form.open()
    value = choices["Zaptec user Ben Example, last charged DATE"]
    await form.submit("Anna", value)
    ((person_id, person),) = home.entry.subentries.items()
    hashes = [*person.data[CONF_HASHES], 1234]
    home.hass.config_entries.async_update_subentry(
        home.entry, person, data={CONF_HASHES: hashes}
    )
    label = "Users and cards selected before, not used lately"
    choices = await form.open(person_id)
    assert form.suggested["seen"] == [value, choices[label]]
    await form.submit("Anna", *form.suggested["seen"])
    assert person.data[CONF_HASHES] == sorted(hashes)
    await form.open(person_id)
    await form.submit("Anna", value)
    assert person.data[CONF_HASHES] == hashes[:1]


@pytest.mark.parametrize("past", [None])
async def test_a_card_with_its_name_and_its_code(home: Home, form: Form) -> None:
    """A card that has just charged is one choice, by its name and the end of its code."""
    anna, ben = home.installation.drivers
    for driver, card in ((anna, anna.cards[0]), (ben, None)):
        home.charger.plug_in(Car())
        home.charger.authorize(driver, card)
        await home.travel(600, step=300)
        if driver is anna:
            home.charger.unplug()
            await home.travel(200, step=20)
    state = home.entry.runtime_data.states[home.charger.id]
    await wait_until(lambda: state.value(StateId.CURRENT_USER) == ben.id)
    choices = await form.open()
    assert set(choices) == {
        "Card “Blue” ending E5F6, last used DATE",
        "Zaptec user Anna Example, last charged DATE",
        f"Zaptec user {ben.id[-4:]}, last charged DATE",
    }
    await form.submit("Anna", choices["Card “Blue” ending E5F6, last used DATE"])
    (person,) = home.entry.subentries.values()
    assert len(person.data[CONF_HASHES]) == 2


@pytest.mark.parametrize("past", [None])
async def test_a_clock_that_was_not_set(home: Home, form: Form) -> None:
    """A card was last used when the session was reported, not in 1970."""
    session = {
        "AuthenticationCode": "nfc-04A1B2C3D4E5F6",
        "EndDateTime": "1970-01-02T00:10:00Z",
    }
    home.charger.observe(StateId.COMPLETED_SESSION, json.dumps(session))
    await home.travel(20, step=5)
    await form.open()
    assert list(form.choices) == ["Card ending E5F6, last used DATE"]
    assert "1970" not in str(form.dated)


@pytest.mark.parametrize("past", [None])
@pytest.mark.parametrize(
    ("code", "label"),
    [
        ("nfc-04A1B2C3D4E5F6", "Card ending E5F6, last used DATE"),
        ("ble-0123456789", "App ending 6789, last used DATE"),
        ("ab", "Card ending …, last used DATE"),
    ],
)
async def test_without_the_archive(
    home: Home, form: Form, code: str, label: str
) -> None:
    """An account that may not read the archive sees what the chargers report."""
    (account,) = home.sim.accounts.values()
    account.roles[home.installation.id] = UserRole.MAINTAINER
    home.charger.observe(StateId.CURRENT_USER, code)
    home.charger.observe(StateId.COMPLETED_SESSION, "{}")
    await home.travel(20, step=5)
    assert list(await form.open()) == [label]


@pytest.mark.parametrize("past", [None])
async def test_nothing_seen(home: Home, form: Form) -> None:
    """Without any user or card there is nothing to choose."""
    await form.open()
    assert form.result["type"] is FlowResultType.ABORT
    assert form.result["reason"] == "nothing_seen"


async def test_not_loaded(hass: HomeAssistant, home: Home, form: Form) -> None:
    """While the account is not loaded, nothing is known of its users."""
    await home.stop()
    assert home.entry.state is ConfigEntryState.NOT_LOADED
    await form.open()
    assert form.result["reason"] == "not_loaded"


async def test_many_sessions(
    home: Home, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive of a large installation is not read further back than needed."""
    monkeypatch.setattr(seen_identities, "SESSIONS_MAX", 1)
    home.clear()
    await form.open()
    assert sum(item.path == ARCHIVE for item in home.sim.rest.requests) == 1
