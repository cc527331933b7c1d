"""The vendor's rule: the available current changes at most once in 15 minutes."""

from datetime import timedelta
from typing import Any

from homeassistant.components.number import ATTR_VALUE, SERVICE_SET_VALUE
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import ZaptecClient, ZaptecServerError
from custom_components.zaptec.const import DOMAIN
from simulator.charger import Charger
from simulator.faults import Fault
from simulator.simulator import Simulator
from simulator.world import Installation

from .conftest import EntityFinder, TimeMachine, wait_until, wait_until_live

MINUTE = 60


@pytest.fixture
def installation(charger: Charger) -> Installation:
    """Return the installation, with 16 of its 32 A available."""
    charger.installation.available_current = (16.0, 16.0, 16.0)
    return charger.installation


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a cloud that fails on purpose."""
    monkeypatch.setattr("custom_components.zaptec.api.transport.BACKOFF_BASE", 0.0)
    monkeypatch.setattr("custom_components.zaptec.api.transport.RETRY_AFTER_MAX", 0.0)
    monkeypatch.setattr("custom_components.zaptec.api.transport.COMMAND_TIMEOUT", 0.5)


class Current:
    """The available current of an installation."""

    def __init__(
        self, hass: HomeAssistant, installation: Installation, found: EntityFinder
    ) -> None:
        """Initialize it."""
        self._hass = hass
        self._installation = installation
        self._found = found

    @property
    def state(self) -> State:
        """Return the state of the number."""
        state = self._hass.states.get(
            self._found.id("number", self._installation.id, "available_current")
        )
        assert state
        return state

    @property
    def waiting(self) -> float | None:
        """Return the current that waits."""
        waiting: float | None = self.state.attributes["waiting_current"]
        return waiting

    @property
    def cloud(self) -> tuple[float, float, float] | None:
        """Return what the cloud holds."""
        return self._installation.available_current

    async def set(self, value: float) -> None:
        """Set the number."""
        await self._hass.services.async_call(
            "number",
            SERVICE_SET_VALUE,
            {ATTR_ENTITY_ID: self.state.entity_id, ATTR_VALUE: value},
            blocking=True,
        )

    async def limit(self, **data: Any) -> None:
        """Use the action."""
        await self._hass.services.async_call(
            DOMAIN,
            "limit_current",
            {"installation_id": self._installation.id, **data},
            blocking=True,
        )


@pytest.fixture
def current(
    hass: HomeAssistant, installation: Installation, entities: EntityFinder
) -> Current:
    """Return the available current."""
    return Current(hass, installation, entities)


def writes(sim: Simulator) -> int:
    """Return how many changes were asked for since the last look."""
    count = [record.method for record in sim.rest.requests].count("POST")
    sim.rest.clear()
    return count


async def test_ten_wishes_in_a_minute_make_two_requests(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """The first goes at once, the newest when the vendor allows."""
    writes(sim)
    for value in range(17, 27):
        await current.set(value)
        await time_machine.travel(6)
    assert writes(sim) == 1
    assert current.cloud == (17, 17, 17)
    assert current.state.state == "17.0"
    assert current.waiting == 26
    until = current.state.attributes["waiting_until"]
    assert 13 * MINUTE < (until - dt_util.utcnow()).total_seconds() < 14.5 * MINUTE

    await time_machine.travel(13 * MINUTE, step=15)
    assert writes(sim) == 0
    await time_machine.travel(2 * MINUTE, step=15)
    assert writes(sim) == 1
    assert current.cloud == (26, 26, 26)
    assert current.state.state == "26.0"
    assert current.waiting is None
    assert current.state.attributes["waiting_until"] is None
    await time_machine.travel(16 * MINUTE, step=15)
    assert writes(sim) == 0


async def test_a_reduction_goes_at_once(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """It may protect a fuse; and more of it waits 15 minutes from then on."""
    await current.set(20)
    await current.set(25)
    assert current.waiting == 25
    writes(sim)
    await current.set(10)
    assert writes(sim) == 1
    assert current.cloud == (10, 10, 10)
    assert current.waiting is None
    await time_machine.travel(5 * MINUTE, step=15)
    await current.set(6)
    assert current.cloud == (6, 6, 6)
    await current.set(12)
    await time_machine.travel(14 * MINUTE, step=15)
    assert current.cloud == (6, 6, 6)
    await time_machine.travel(2 * MINUTE, step=15)
    assert current.cloud == (12, 12, 12)


async def test_the_same_value_is_not_sent_again_within_the_time(
    sim: Simulator,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """A load balancer that repeats itself costs nothing; and it forgets what waited."""
    await current.set(20)
    await current.set(25)
    writes(sim)
    await current.set(20)
    assert writes(sim) == 0
    assert current.waiting is None


async def test_phases_that_rise_wait_while_others_fall_at_once(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """Each phase has its fuse."""
    await current.set(20)
    await current.limit(
        available_current_phase1=25.5,
        available_current_phase2=10,
        available_current_phase3=20,
    )
    assert current.cloud == (20, 10, 20)
    assert current.state.state == "10.0"
    await time_machine.travel(16 * MINUTE, step=15)
    assert current.cloud == (25.5, 10, 20)


async def test_an_override_does_not_wait(
    sim: Simulator,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """A person who knows the rule may break it."""
    await current.set(20)
    await current.set(25)
    await current.limit(available_current=24, override=True)
    assert current.cloud == (24, 24, 24)
    assert current.waiting is None


async def test_a_wish_outlives_a_restart(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """It goes out when it may, also if that was while Home Assistant was down."""
    await current.set(20)
    await current.set(25)
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    assert current.waiting == 25
    await current.set(24)
    assert current.waiting == 24
    await hass.config_entries.async_unload(live_entry.entry_id)
    await time_machine.travel(20 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    await hass.config_entries.async_setup(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(5)
    assert current.cloud == (24, 24, 24)
    assert current.waiting is None


async def test_nothing_is_left_of_an_account_that_is_removed(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """Neither what waited nor the time of the last change."""
    await current.set(20)
    key = f"{DOMAIN}.{live_entry.entry_id}"
    assert key in hass_storage
    await hass.config_entries.async_remove(live_entry.entry_id)
    assert key not in hass_storage


@pytest.mark.parametrize("fault", ["reset", 503, 502])
async def test_a_wish_waits_for_a_cloud_that_is_away(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    fault: Fault,
) -> None:
    """It is tried again until the cloud takes it."""
    await current.set(20)
    await current.set(25)
    sim.rest.fail("/update$", fault=fault)
    await time_machine.travel(20 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    assert current.waiting == 25
    sim.rest.heal()
    await time_machine.travel(5 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_a_wish_that_the_cloud_refuses_is_given_up(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log says why."""
    await current.set(20)
    await current.set(25)
    installation.available_current_mode = 2
    await time_machine.travel(16 * MINUTE, step=15)
    assert current.waiting is None
    assert "power management (Sense) controls" in caplog.text


async def test_a_wish_that_fails_at_once_replaces_what_waited(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """A reduction that could not be sent must not be followed by the rise before it."""
    await current.set(20)
    await current.set(25)
    sim.rest.fail("/update$", fault="reset")
    with pytest.raises(HomeAssistantError):
        await current.set(6)
    sim.rest.heal()
    await time_machine.travel(16 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)


@pytest.fixture
def never_set(installation: Installation) -> None:
    """Let the cloud hold no available current."""
    installation.available_current = None


async def test_the_cloud_has_no_available_current_yet(
    sim: Simulator,
    never_set: None,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """Then all that the installation is built for is available, and less is a reduction."""
    assert current.state.state == "unknown"
    await current.limit(available_current=20)
    await current.limit(available_current=15)
    assert current.cloud == (15, 15, 15)


async def test_a_list_that_is_older_than_a_change(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """It was asked for before the change, and answered after it."""
    await current.set(20)
    installation.available_current = (16.0, 16.0, 16.0)
    await live_entry.runtime_data.async_refresh()
    assert current.state.state == "20.0"
    await time_machine.travel(75, step=15)
    await live_entry.runtime_data.async_refresh()
    assert current.state.state == "16.0"


async def test_a_wish_does_not_overrule_what_was_set_elsewhere(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Somebody has lowered it in the portal since; it may protect a fuse."""
    await current.set(20)
    await current.set(25)
    installation.available_current = (8.0, 8.0, 8.0)
    await time_machine.travel(2 * MINUTE, step=15)
    await live_entry.runtime_data.async_refresh()
    assert current.state.state == "8.0"
    await time_machine.travel(16 * MINUTE, step=15)
    assert current.cloud == (8, 8, 8)
    assert current.waiting is None
    assert "changed elsewhere" in caplog.text


async def test_a_wish_of_last_week_is_none(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Home Assistant was down for long."""
    await current.set(20)
    await current.set(25)
    await hass.config_entries.async_unload(live_entry.entry_id)
    await time_machine.travel(7 * 24 * 60 * MINUTE, step=12 * 60 * MINUTE)
    await hass.config_entries.async_setup(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(30)
    assert current.cloud == (20, 20, 20)
    assert current.waiting is None
    assert "its time has passed" in caplog.text


async def test_a_clock_that_was_ahead(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """It does not make anything wait for longer than 15 minutes."""
    await current.set(20)
    await hass.config_entries.async_unload(live_entry.entry_id)
    stored = hass_storage[f"{DOMAIN}.{live_entry.entry_id}"]["data"][installation.id]
    stored["changed_at"] = (dt_util.utcnow() + timedelta(days=30)).isoformat()
    await hass.config_entries.async_setup(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await current.set(25)
    await time_machine.travel(16 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


@pytest.fixture
def answers_get_lost(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cloud carry out every change, and fail to say so."""
    update = ZaptecClient.update_installation

    async def carried_out(self: ZaptecClient, *args: Any, **kwargs: Any) -> None:
        await update(self, *args, **kwargs)
        raise ZaptecServerError("Bad gateway", 502)

    monkeypatch.setattr(ZaptecClient, "update_installation", carried_out)


@pytest.mark.usefixtures("answers_get_lost")
async def test_a_change_whose_answer_is_lost(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """The cloud is looked at, as the sentence says, and the change counts."""
    with pytest.raises(HomeAssistantError) as raised:
        await current.set(20)
    assert raised.value.translation_key == "uncertain"
    await time_machine.travel(25)
    assert current.state.state == "20.0"
    writes(sim)
    await current.set(25)
    assert writes(sim) == 0
    assert current.waiting == 25


async def test_a_change_that_did_not_arrive_does_not_count(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """After the look at the cloud it may be made again at once."""
    sim.rest.fail("/update$", fault="reset")
    with pytest.raises(HomeAssistantError):
        await current.set(20)
    sim.rest.heal()
    await time_machine.travel(25)
    await current.set(20)
    assert current.cloud == (20, 20, 20)


async def test_a_wish_whose_answer_is_lost_is_sent_once(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    request: pytest.FixtureRequest,
) -> None:
    """It is looked for before it would be sent again, also after a restart."""
    await current.set(20)
    await current.set(25)
    request.getfixturevalue("answers_get_lost")
    writes(sim)
    await time_machine.travel(15 * MINUTE + 5, step=15)
    assert current.cloud == (25, 25, 25)
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    await time_machine.travel(30 * MINUTE, step=15)
    assert [
        record.path for record in sim.rest.requests if record.path.endswith("/update")
    ] == [f"/api/installation/{installation.id}/update"]
    assert current.waiting is None
    assert current.state.state == "25.0"


async def test_an_unload_in_the_middle_of_a_change(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    sim: Simulator,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is carried out, and nothing is written for an account that is gone."""
    update = ZaptecClient.update_installation

    removals = []

    async def removed_meanwhile(self: ZaptecClient, *args: Any, **kwargs: Any) -> None:
        await update(self, *args, **kwargs)
        removals.append(
            hass.async_create_task(
                hass.config_entries.async_remove(live_entry.entry_id)
            )
        )

    monkeypatch.setattr(ZaptecClient, "update_installation", removed_meanwhile)
    await current.limit(available_current=20)
    await removals[0]
    assert current.cloud == (20, 20, 20)
    assert f"{DOMAIN}.{live_entry.entry_id}" not in hass_storage


async def test_a_reduction_does_not_wait_for_a_charger_that_does_not_answer(
    hass: HomeAssistant,
    sim: Simulator,
    charger: Charger,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    entities: EntityFinder,
) -> None:
    """A fuse can't wait."""
    sim.rest.fail("/chargers/.*/update$", fault="hang")
    stuck = hass.async_create_task(
        hass.services.async_call(
            "number",
            SERVICE_SET_VALUE,
            {
                ATTR_ENTITY_ID: entities.id(
                    "number", charger.id, "charger_max_current"
                ),
                ATTR_VALUE: 10,
            },
            blocking=True,
        )
    )
    await wait_until(
        lambda: any(record.path.endswith("/update") for record in sim.rest.requests)
    )
    await current.set(6)
    assert not stuck.done()
    assert current.cloud == (6, 6, 6)
    sim.rest.heal()
    with pytest.raises(HomeAssistantError):
        await stuck
