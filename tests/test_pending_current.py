"""A queued available current, which waits for the vendor's 15 minutes, as the user sees it."""

from datetime import datetime, timedelta
from typing import Any

from homeassistant.components.logbook.processor import EventProcessor
from homeassistant.components.recorder import Recorder
from homeassistant.const import ATTR_ENTITY_ID, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.zaptec.const import DOMAIN, EVENT_AVAILABLE_CURRENT
from simulator.accounts import UserRole
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator

from .conftest import add_entry, set_up
from .home import Home

MINUTE = 60
RESIDENT = "resident@example.com"

type Phases = tuple[float, float, float]


@pytest.fixture(autouse=True)
def _custom_integrations(
    recorder_mock: Recorder, clocks: Any, request: pytest.FixtureRequest
) -> None:
    """Record from the start, and let Home Assistant load the integration."""
    request.getfixturevalue("enable_custom_integrations")


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with an owner and a resident."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                max_current=32,
                available_current=16,
                chargers=(ChargerScenario(serial="ZAP000101", name="Garage"),),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="owner@example.com", password="x", roles={"Home": OWNER}
            ),
            AccountScenario(
                user_name=RESIDENT, password="x", roles={"Home": UserRole.USER}
            ),
        ),
    )


class Pending:
    """The entities of an available current, and the ways to set it."""

    def __init__(self, home: Home) -> None:
        """Initialize the helper."""
        self._home = home

    def shown(self, key: str, platform: str = "sensor") -> str:
        """Return the state of an entity of the installation."""
        return self._home.state(platform, key)

    @property
    def states(self) -> tuple[str, str, str]:
        """Return the current that applies, the queued one, and the time when it is due."""
        return (
            self.shown("available_current", "number"),
            self.shown("pending_available_current"),
            self.shown("pending_until"),
        )

    async def set(self, *currents: float) -> None:
        """Set the number, or all three phases with the action."""
        if len(currents) == 1:
            await self._home.set_value("available_current", currents[0])
            return
        await self._home.hass.services.async_call(
            DOMAIN,
            "limit_current",
            {
                f"available_current_phase{phase}": current
                for phase, current in enumerate(currents, 1)
            },
            blocking=True,
            target={
                ATTR_ENTITY_ID: self._home.entity_id(
                    "sensor", "pending_available_current"
                )
            },
        )

    async def activity(self, *, of_entity: bool = False) -> list[str]:
        """Return the lines about the available current in the activity log."""
        hass = self._home.hass
        await async_wait_recording_done(hass)
        number = self._home.entity_id("number", "available_current")
        processor = EventProcessor(
            hass,
            tuple(hass.data["logbook"].external_events),
            [number] if of_entity else None,
        )
        now = dt_util.utcnow()
        entries = await hass.async_add_executor_job(
            processor.get_events, now - timedelta(hours=3), now + timedelta(seconds=1)
        )
        assert all(
            entry[ATTR_ENTITY_ID] == number
            for entry in entries
            if entry.get("domain") == DOMAIN
        )
        return [
            f"{entry['name']} {entry['message']}"
            for entry in entries
            if entry.get("domain") == DOMAIN
        ]


async def set_up_logbook(home: Home) -> None:
    """Set up the activity log of a home in Norway."""
    await home.hass.config.async_set_time_zone("Europe/Oslo")
    # The logbook depends on the frontend, which the tests do not need or install.
    home.hass.config.components.add("frontend")
    assert await async_setup_component(home.hass, "logbook", {})
    await home.hass.async_block_till_done()


@pytest.fixture
async def pending(home: Home) -> Pending:
    """Return the available current of a home that is live."""
    await set_up_logbook(home)
    return Pending(home)


async def test_an_increase_that_waits_is_shown_beside_what_holds(
    home: Home, pending: Pending
) -> None:
    """The number shows the current that applies, and sensors show the queued one."""
    assert pending.states == ("16.0", STATE_UNKNOWN, STATE_UNKNOWN)
    await pending.set(20)
    assert pending.states == ("20.0", STATE_UNKNOWN, STATE_UNKNOWN)
    changed_at = dt_util.utcnow()
    await home.travel(MINUTE)
    await pending.set(25)
    held, waiting, until = pending.states
    assert (held, waiting) == ("20.0", "25.0")
    due = datetime.fromisoformat(until)
    assert abs(due - changed_at - timedelta(minutes=15)) < timedelta(seconds=10)
    await home.travel(15 * MINUTE, step=15)
    assert home.installation.available_current == (25, 25, 25)
    assert pending.states == ("25.0", STATE_UNKNOWN, STATE_UNKNOWN)


async def test_the_newest_of_several_requests_waits(pending: Pending) -> None:
    """The newest request is queued; requesting the current that applies empties the queue."""
    await pending.set(20)
    for current in (25, 31.5, 22):
        await pending.set(current)
        assert pending.states[:2] == ("20.0", str(float(current)))
    await pending.set(20)
    assert pending.states == ("20.0", STATE_UNKNOWN, STATE_UNKNOWN)


@pytest.mark.parametrize(
    ("currents", "held", "waiting"),
    [((25, 10, 20), "10.0", "10.0"), ((25, 30, 28), "20.0", "25.0")],
)
async def test_the_lowest_phase_is_shown(
    pending: Pending, currents: Phases, held: str, waiting: str
) -> None:
    """If phases differ, the sensor shows the lowest one, like the number does."""
    await pending.set(20)
    await pending.set(*currents)
    assert pending.states[:2] == (held, waiting)


async def test_what_waits_is_shown_after_a_restart(
    home: Home, pending: Pending
) -> None:
    """A queued current is shown after a restart, because it will still be sent."""
    await pending.set(20)
    await pending.set(25)
    before = pending.states
    await home.reload()
    assert pending.states[:2] == before[:2]
    due, was_due = (
        datetime.fromisoformat(states[2]) for states in (pending.states, before)
    )
    assert abs(due - was_due) < timedelta(seconds=10)


async def test_an_account_that_may_set_no_current_has_no_pending_one(
    hass: HomeAssistant, sim: Simulator
) -> None:
    """Without the right to set the current, there is no sensor for a queued one."""
    await set_up(hass, add_entry(hass, sim, RESIDENT))
    registry = er.async_get(hass)
    [installation_id] = sim.installations
    for key in ("pending_available_current", "pending_until"):
        unique_id = f"{installation_id}_{key}"
        assert not registry.async_get_entity_id("sensor", DOMAIN, unique_id)


LINES = {
    "en": "Home Available current will be set to 25 A at {}, because Zaptec asks for"
    " no more than one change every 15 minutes",
    "de": "Home Verfügbare Stromstärke wird um {} Uhr auf 25 A gesetzt, weil Zaptec um"
    " höchstens eine Änderung in 15 Minuten bittet",
}


@pytest.mark.parametrize("language", LINES)
async def test_the_activity_log_says_that_a_current_waits(
    new_home: Home, language: str
) -> None:
    """The logbook line has the due time in the home's time zone, in Home Assistant's language."""
    new_home.hass.config.language = language
    await new_home.start()
    await set_up_logbook(new_home)
    pending = Pending(new_home)
    await pending.set(20)
    assert await pending.activity() == []
    await pending.set(25)
    due = dt_util.as_local(datetime.fromisoformat(pending.shown("pending_until")))
    line = LINES[language].format(due.strftime("%H:%M"))
    assert await pending.activity() == [line]
    assert await pending.activity(of_entity=True) == [line]


@pytest.mark.parametrize(
    ("currents", "figures"), [((25, 10, 20), "25 / 10 / 20"), ((25.5,), "25.5")]
)
async def test_the_activity_log_has_the_figure_of_each_phase(
    pending: Pending, currents: tuple[float, ...], figures: str
) -> None:
    """If the phases differ, the logbook line has the figure of each."""
    await pending.set(20)
    await pending.set(*currents)
    [line] = await pending.activity()
    assert f"will be set to {figures} A at " in line


async def test_a_load_balancer_does_not_fill_the_activity_log(
    home: Home, pending: Pending
) -> None:
    """Frequent changes by a load balancer update the sensor, but add few logbook lines."""
    await pending.set(20)
    for current in range(21, 30):
        await pending.set(current)
        await home.travel(20)
        await pending.set(40 - current)
        await home.travel(20)
    await pending.set(29)
    assert len(await pending.activity()) == 1
    assert pending.shown("pending_available_current") == "29.0"
    await home.travel(14 * MINUTE, step=15)
    await pending.set(30)
    assert len(await pending.activity()) == 2


async def test_the_activity_log_says_that_a_current_is_given_up(
    home: Home, pending: Pending
) -> None:
    """The logbook says that a queued current was dropped because another program set one."""
    await pending.set(20)
    await pending.set(25)
    home.installation.available_current = (12, 12, 12)
    await home.travel(2 * MINUTE)
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.travel(15 * MINUTE, step=30)
    assert pending.shown("pending_available_current") == STATE_UNKNOWN
    _, line = await pending.activity()
    assert line == (
        "Home Available current was not set to 25 A after all;"
        " the Home Assistant log says why"
    )


async def test_the_activity_log_of_an_account_that_is_gone(
    home: Home, pending: Pending
) -> None:
    """Lines about a removed account are still shown, although the entity's name is gone."""
    await pending.set(20)
    events = async_capture_events(home.hass, EVENT_AVAILABLE_CURRENT)
    await pending.set(25)
    [event] = events
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    await home.hass.async_block_till_done()
    _, describe = home.hass.data["logbook"].external_events[EVENT_AVAILABLE_CURRENT]
    described = describe(event)
    assert described["name"] == "Zaptec"
    assert described["message"].startswith("will be set to 25 A at ")
