"""A month with 30 chargers whose web hooks ask Home Assistant, into a real recorder.

Calls and answers get lost, arrive twice or too late, and the account is loaded again in
between. ACCESS_DAYS sets the number of days for a run by hand; ACCESS_SEED another walk.
"""

from dataclasses import dataclass
import math
import os
from random import Random
from types import MappingProxyType

from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant
import pytest

from custom_components.zaptec.authorization import Access
from custom_components.zaptec.history.records import key_of
from custom_components.zaptec.history.statistics import person_statistic_id
from custom_components.zaptec.persons import CONF_PERSON_KEY, SUBENTRY_PERSON
from simulator.car import Car
from simulator.charger import Charger
from simulator.scenario import Scenario

from ..access import Doors, person_data
from ..home import Home
from .conftest import Recorded, wait_until_written

pytestmark = pytest.mark.usefixtures("_custom_integrations")

DAYS = int(os.environ.get("ACCESS_DAYS", "1"))
SEED = int(os.environ.get("ACCESS_SEED", "17"))
CHARGERS = 30

KEY = "11" * 32
NAMES = ("Anna", "Ben", "Cleo")
CARDS = {name: f"04A{number}C1D2E3F4" for number, name in enumerate(NAMES)}
STRANGER = "04EEEEEEEEEEEE"


@dataclass
class PlugIn:
    """A car that comes, and what is to be decided about it."""

    charger: Charger
    access: Access
    card: str | None = None
    verdict: bool | None = None
    person: str | None = None
    """Whom it is permitted to, None if that is unknown."""

    @property
    def is_permitted(self) -> bool:
        """Return what the mode says."""
        match self.access:
            case Access.EVERYONE:
                return True
            case Access.KNOWN_PERSONS:
                return self.person is not None
            case Access.ASK:
                return self.verdict is True
        return False


class Month:
    """The walk, and what it has seen."""

    def __init__(self, home: Home, doors: Doors, rng: Random) -> None:
        """Initialize the walk."""
        self.home = home
        self.doors = doors
        self.rng = rng
        self.chargers = list(home.sim.chargers.values())
        # Whom each session was permitted to, by its id.
        self.sessions: dict[str, str | None] = {}
        self.plug_ins = 0
        self.person_ids: dict[str, str] = {}

    async def add_persons(self) -> None:
        """Add the persons."""
        entry, hass = self.home.entry, self.home.hass
        hass.config_entries.async_update_entry(
            entry, data={**entry.data, CONF_PERSON_KEY: KEY}
        )
        for name in NAMES:
            person = ConfigSubentry(
                data=MappingProxyType(person_data(CARDS[name], key=KEY)),
                subentry_type=SUBENTRY_PERSON,
                title=name,
                unique_id=None,
            )
            hass.config_entries.async_add_subentry(entry, person)
            self.person_ids[name] = person.subentry_id
        await hass.async_block_till_done()

    def _draw(self, charger: Charger, access: Access) -> PlugIn:
        """Return what comes to a charger."""
        plug_in = PlugIn(charger, access)
        if access is Access.KNOWN_PERSONS:
            name = self.rng.choice((*NAMES, "stranger", None))
            plug_in.card = CARDS.get(name or "", STRANGER) if name else None
            plug_in.person = name if name in NAMES else None
        elif access is Access.ASK:
            plug_in.verdict = self.rng.choice((True, True, False, None))
            plug_in.person = self.rng.choice((*NAMES, None))
        return plug_in

    def _disturb(self) -> None:
        """Let some reports of ended sessions get lost, or arrive twice."""
        faults = self.home.sim.web_hooks.faults
        faults.heal()
        fault = self.rng.choice(("lost", "doubled", "unreachable", 503))
        faults.add(fault, "end", times=self.rng.randint(1, 4))

    async def slot(self) -> None:
        """Let some cars leave and others come, and check what is decided."""
        rng, home = self.rng, self.home
        for charger in self.chargers:
            if charger.car and rng.random() < 0.7:
                charger.unplug()
        self._disturb()
        await home.travel(20, step=10)
        for installation in home.sim.installations.values():
            await self.doors.select(installation, rng.choice(list(Access)))
        access = home.entry.runtime_data.access
        plug_ins = [
            self._draw(charger, access.access_of(charger.installation.id))
            for charger in self.chargers
            if not charger.car and rng.random() < 0.6
        ]
        # Not a status that denies at once, which would be the end of an authorization.
        home.sim.web_hooks.faults.heal()
        home.sim.web_hooks.faults.add(
            rng.choice(("lost", "doubled")), "start", times=rng.randint(1, 4)
        )
        for plug_in in plug_ins:
            plug_in.charger.plug_in(Car(capacity_kwh=rng.uniform(5, 40)))
        await home.travel(24, step=4)
        home.sim.web_hooks.faults.heal()
        for plug_in in plug_ins:
            if plug_in.card:
                plug_in.charger.show_card(plug_in.card)
        await home.travel(4, step=1)
        for plug_in in plug_ins:
            if plug_in.verdict is not None:
                data = {"person": plug_in.person} if plug_in.person else {}
                if not plug_in.verdict:
                    data = {"refuse": True}
                await self.doors.authorize(plug_in.charger, **data)
        if rng.random() < 0.3:
            await home.reload()
        await home.travel(24, step=4)
        for plug_in in plug_ins:
            session = plug_in.charger.session
            assert (session is not None) is plug_in.is_permitted, plug_in
            if session:
                assert session.id not in self.sessions
                self.sessions[session.id] = plug_in.person
        self.plug_ins += len(plug_ins)
        await home.travel(rng.uniform(1, 4) * 3600, step=900)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("scenario", [Scenario.of(CHARGERS)])
async def test_a_month(hass: HomeAssistant, home: Home, recorded: Recorded) -> None:
    """Each plug-in is decided as the mode says, and each session is counted once."""
    doors = Doors(hass, home.sim, home.entry)
    for installation in home.sim.installations.values():
        doors.set_up(installation)
    await hass.async_block_till_done()
    await home.wait_until_live()
    month = Month(home, doors, Random(SEED))
    await month.add_persons()
    await wait_until_written(home.entry)
    end = home.sim.clock.now().timestamp() + DAYS * 86400
    while home.sim.clock.now().timestamp() < end:
        await month.slot()
    home.sim.web_hooks.faults.heal()
    for charger in month.chargers:
        if charger.car:
            charger.unplug()
    await home.travel(2 * 3600, step=300)
    await wait_until_written(home.entry)
    assert not home.sim.web_hooks.problems
    assert not home.sim.web_hooks.unreported
    await _check(month, recorded)
    assert month.plug_ins > 30 * DAYS


async def _check(month: Month, recorded: Recorded) -> None:
    """Check that the history has each session once, and whose it is."""
    runtime = month.home.entry.runtime_data
    ended = dict(runtime.access._permitted.items())
    assert ended.keys() == month.sessions.keys()
    assert all(item.ended for item in ended.values())
    energies: dict[str, float] = {}
    truth = {
        session.id: session.energy
        for installation in month.home.sim.installations.values()
        for session in installation.archive
    }
    assert truth.keys() == month.sessions.keys()
    for charger in month.chargers:
        ledger = runtime.history._book.ledgers[charger.id]
        keys = {
            key_of(key) for key, item in ended.items() if item.charger_id == charger.id
        }
        assert set(ledger._sessions) == keys
        total = math.fsum(
            truth[key] for key, item in ended.items() if item.charger_id == charger.id
        )
        hours = await recorded.hours(charger.id)
        assert math.fsum(hours.values()) == pytest.approx(total, abs=0.02)
    for session_id, name in month.sessions.items():
        if name:
            energies[name] = energies.get(name, 0.0) + truth[session_id]
    assert energies
    for name, energy in energies.items():
        hours = await recorded.hours_of(person_statistic_id(month.person_ids[name]))
        assert math.fsum(hours.values()) == pytest.approx(energy, abs=0.1)
