"""Sessions that Home Assistant has permitted, into the statistics of a real recorder.

The sessions are anonymous for the vendor, so only Home Assistant knows who has charged.
"""

from collections.abc import Callable
from datetime import timedelta
import math
from types import MappingProxyType

from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
import pytest

from custom_components.zaptec.authorization import Access, EndedSession
from custom_components.zaptec.history.statistics import person_statistic_id
from custom_components.zaptec.persons import CONF_PERSON_KEY, SUBENTRY_PERSON
from simulator.car import Car

from ..access import Doors, person_data
from ..home import Home
from .conftest import Recorded, truth, wait_until_written
from .test_session_actions import get_sessions

pytestmark = pytest.mark.usefixtures("_custom_integrations")

ARCHIVE = "/api/sessions/archived"
KEY = "11" * 32
# The charger reports these codes with a second prefix, so in another form.
ANNAS, UNKNOWN = "nfc-04A1A2A3A4A5A6", "nfc-04E1E2E3E4E5E6"


class Garage:
    """A home whose web hooks are set up, with a real recorder."""

    def __init__(self, home: Home, doors: Doors, recorded: Recorded) -> None:
        """Initialize the garage."""
        self.home = home
        self.doors = doors
        self.recorded = recorded

    async def add_person(self, name: str, *cards: str) -> str:
        """Add a person."""
        entry, hass = self.home.entry, self.home.hass
        hass.config_entries.async_update_entry(
            entry, data={**entry.data, CONF_PERSON_KEY: KEY}
        )
        person = ConfigSubentry(
            data=MappingProxyType(person_data(*cards, key=KEY)),
            subentry_type=SUBENTRY_PERSON,
            title=name,
            unique_id=None,
        )
        hass.config_entries.async_add_subentry(entry, person)
        await wait_until_written(entry)
        return person.subentry_id

    async def charge(
        self, card: str | None = None, person: str | None = None, hours: float = 1.0
    ) -> float:
        """Let a car charge and leave; return its energy (kWh)."""
        home, charger = self.home, self.home.charger
        charger.plug_in(Car(capacity_kwh=200))
        await home.travel(12, step=1)
        if card:
            charger.show_card(card)
            await home.travel(3, step=1)
        if person:
            await self.doors.authorize(charger, person=person)
            await home.travel(12, step=1)
        assert charger.session
        session = charger.session
        await home.travel(hours * 3600, step=300)
        charger.unplug()
        await home.travel(30, step=10)
        return session.energy

    async def settle(self) -> None:
        """Let the archive be read, and the statistics be written."""
        await self.home.travel(4000, step=200)
        await wait_until_written(self.home.entry)

    async def of_person(self, person_id: str) -> float:
        """Return what the statistic of a person has (kWh)."""
        hours = await self.recorded.hours_of(person_statistic_id(person_id))
        return math.fsum(hours.values())

    async def of_charger(self) -> float:
        """Return what the statistic of the charger has (kWh)."""
        return math.fsum((await self.recorded.hours(self.home.charger.id)).values())


@pytest.fixture
async def garage(home: Home, recorded: Recorded) -> Garage:
    """Return a home whose web hooks are set up."""
    doors = Doors(home.hass, home.sim, home.entry)
    doors.set_up(home.installation)
    await home.hass.async_block_till_done()
    await home.wait_until_live()
    await home.wait_for("select", "charging_access", "everyone")
    return Garage(home, doors, recorded)


async def people(garage: Garage) -> list[str | None]:
    """Return who has charged in each session of the last days, for a statement."""
    response = await get_sessions(
        garage.home,
        charger_id=garage.home.charger.id,
        start=dt_util.now() - timedelta(days=3),
    )
    return [session.get("person") for session in response["sessions"]]


async def test_the_statistic_of_a_person(garage: Garage) -> None:
    """A card, or a decision for a person, says whose session it is; both are counted."""
    anna = await garage.add_person("Anna", ANNAS)
    await garage.doors.select(garage.home.installation, Access.KNOWN_PERSONS)
    energy = await garage.charge(card=ANNAS)
    await garage.doors.select(garage.home.installation, Access.ASK)
    energy += await garage.charge(person="Anna")
    await garage.doors.select(garage.home.installation, Access.EVERYONE)
    stranger = await garage.charge()
    await garage.settle()
    assert await garage.of_person(anna) == pytest.approx(energy, abs=0.01)
    assert await garage.of_charger() == pytest.approx(energy + stranger, abs=0.01)
    assert await people(garage) == ["Anna", "Anna", None]


async def test_a_person_who_is_added_later(garage: Garage) -> None:
    """The card of a session is kept as a hash, so its owner may become known later."""
    energy = await garage.charge(card=None)
    await garage.doors.select(garage.home.installation, Access.ASK)
    charger = garage.home.charger
    charger.plug_in(Car(capacity_kwh=200))
    await garage.home.travel(12, step=1)
    charger.show_card(UNKNOWN)
    await garage.home.travel(3, step=1)
    await garage.doors.authorize(charger)
    charger.show_card(UNKNOWN)
    await garage.home.travel(3, step=1)
    await garage.home.travel(3600, step=300)
    session = charger.session
    assert session
    charger.unplug()
    await garage.home.travel(30, step=10)
    await garage.settle()
    entry = garage.home.entry
    key = entry.data[CONF_PERSON_KEY]
    person = ConfigSubentry(
        data=MappingProxyType(person_data(UNKNOWN, key=key)),
        subentry_type=SUBENTRY_PERSON,
        title="Cleo",
        unique_id=None,
    )
    garage.home.hass.config_entries.async_add_subentry(entry, person)
    await garage.settle()
    assert await garage.of_person(person.subentry_id) == pytest.approx(
        session.energy, abs=0.01
    )
    assert await garage.of_charger() == pytest.approx(energy + session.energy, abs=0.01)
    assert await people(garage) == [None, "Cleo"]


async def test_without_the_archive_and_the_charger(
    hass: HomeAssistant, garage: Garage, warnings_with: Callable[[str], int]
) -> None:
    """Where neither the archive nor a message has the session, the end hook has it."""
    anna = await garage.add_person("Anna", ANNAS)
    home = garage.home
    home.sim.rest.fail(ARCHIVE, fault=403)
    access = home.entry.runtime_data.access
    history = home.entry.runtime_data.history
    history._reports.stop()
    await garage.doors.select(home.installation, Access.KNOWN_PERSONS)
    energy = await garage.charge(card=ANNAS)
    session_id = access._permitted.items()[0][0]
    for _ in range(3):
        now = dt_util.utcnow()
        await access.async_end(EndedSession(session_id, now, now, 99.0))
    await garage.settle()
    assert await garage.of_person(anna) == pytest.approx(energy, abs=0.01)
    assert await garage.of_charger() == pytest.approx(energy, abs=0.01)
    expected = truth(home.sim, home.charger.id)
    assert math.fsum(expected.values()) == pytest.approx(energy, abs=0.01)
