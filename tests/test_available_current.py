"""The vendor's rule: the available current changes at most once in 15 minutes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
import time
from typing import Any

from homeassistant.components.number import ATTR_VALUE, SERVICE_SET_VALUE
from homeassistant.const import ATTR_ENTITY_ID, CONF_USERNAME
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import ZaptecClient, ZaptecServerError, action
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control import batch
from custom_components.zaptec.control.recent_changes import (
    RECENT_CHANGES,
    recent_changes,
)
from simulator.charger import Charger
from simulator.faults import Fault
from simulator.installation import Installation
from simulator.simulator import Simulator

from .conftest import (
    EntityFinder,
    TimeMachine,
    add_entry,
    set_up,
    wait_until,
    wait_until_live,
)

MINUTE = 60


@pytest.fixture
def installation(charger: Charger) -> Installation:
    """Return the installation, with 16 of its 32 A available."""
    charger.installation.available_current = (16.0, 16.0, 16.0)
    return charger.installation


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a cloud that fails on purpose."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    monkeypatch.setattr("custom_components.zaptec.api.transport.RETRY_AFTER_MAX", 0.0)
    monkeypatch.setattr("custom_components.zaptec.api.requester.COMMAND_TIMEOUT", 0.5)


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
    await live_entry.runtime_data.coordinator.async_refresh()
    assert current.state.state == "20.0"
    await time_machine.travel(75, step=15)
    await live_entry.runtime_data.coordinator.async_refresh()
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
    await live_entry.runtime_data.coordinator.async_refresh()
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


# What is held already.


@pytest.mark.parametrize(
    "data",
    [
        {"available_current": 16},
        {"available_current": 16.04},
        {f"available_current_phase{phase}": 16 for phase in (1, 2, 3)},
        {"available_current": 16, "override": True},
    ],
)
async def test_what_is_held_is_not_sent_and_starts_nothing(
    sim: Simulator,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    data: dict[str, Any],
) -> None:
    """A load balancer that repeats itself does not make the next change wait."""
    sim.rest.clear()
    for _ in range(60):
        await current.limit(**data)
    # Only the list has reported it so far.
    assert [record.method for record in sim.rest.requests] == ["GET"]
    await current.set(25)
    assert current.cloud == (25, 25, 25)


async def test_a_current_that_the_cloud_never_held_is_sent(
    sim: Simulator,
    never_set: None,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """All that the installation is built for is available, but it is not set."""
    await current.limit(available_current=32)
    assert current.cloud == (32, 32, 32)


async def test_what_is_held_is_sent_if_the_list_is_old(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """The vendor's cloud resets the current from time to time."""
    sim.rest.fail("/api/(installation|chargers)$", fault=502)
    await time_machine.travel(2 * 60 * MINUTE, step=60)
    installation.available_current = (32.0, 32.0, 32.0)
    await current.limit(available_current=16)
    assert current.cloud == (16, 16, 16)


@pytest.mark.parametrize("override", [False, True])
@pytest.mark.parametrize("cloud", ["answers", "hangs", "fails"])
async def test_a_current_that_was_changed_elsewhere_is_set_again(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    override: bool,
    cloud: str,
) -> None:
    """No message reports what the portal or another program has set."""
    await current.set(16)
    await time_machine.travel(20 * MINUTE, step=30)
    installation.available_current = (32.0, 32.0, 32.0)
    if cloud != "answers":
        fault: Fault = "hang" if cloud == "hangs" else 502
        sim.rest.fail("/api/installation/[^/]*$", fault=fault)
    action = asyncio.ensure_future(
        current.limit(available_current=16, override=override)
    )
    began_at = hass.loop.time()
    while not action.done():
        assert hass.loop.time() - began_at < 30
        await time_machine.pass_by(0.5)
    await action
    assert current.cloud == (16, 16, 16)


async def test_those_who_ask_at_once_wait_for_one_look(
    sim: Simulator,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """A look of another request must not make anything be sent."""
    sim.rest.clear()
    await asyncio.gather(*(current.limit(available_current=16) for _ in range(10)))
    assert [record.method for record in sim.rest.requests] == ["GET"]


# A change of unknown outcome.


@pytest.fixture(params=[True, False], ids=["arrives", "is lost"])
def arrives(request: pytest.FixtureRequest) -> bool:
    """Return whether the cloud carries out what it does not answer."""
    return bool(request.param)


@pytest.fixture
def unanswered(
    sim: Simulator, monkeypatch: pytest.MonkeyPatch, current: Current, arrives: bool
) -> Callable[[float], Awaitable[None]]:
    """Return what sets a current without an answer from the cloud."""
    update = ZaptecClient.update_installation

    async def fail(self: ZaptecClient, *args: Any, **kwargs: Any) -> None:
        if arrives:
            await update(self, *args, **kwargs)
        raise ZaptecServerError("Bad gateway", 502)

    async def set_unanswered(value: float) -> None:
        monkeypatch.setattr(ZaptecClient, "update_installation", fail)
        with pytest.raises(HomeAssistantError) as raised:
            await current.set(value)
        assert raised.value.translation_key == "uncertain"
        monkeypatch.setattr(ZaptecClient, "update_installation", update)
        sim.rest.clear()

    return set_unanswered


type Unanswered = Callable[[float], Awaitable[None]]


async def test_the_former_current_after_a_reduction_without_an_answer(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    unanswered: Unanswered,
    arrives: bool,
) -> None:
    """It is what was held, but the cloud must not be left at the reduction."""
    await unanswered(10)
    await current.set(16)
    assert writes(sim) == 0
    assert current.waiting == 16
    await time_machine.travel(25)
    assert current.waiting == (16 if arrives else None)
    await time_machine.travel(15 * MINUTE, step=15)
    assert writes(sim) == (1 if arrives else 0)
    assert current.cloud == (16, 16, 16)
    assert current.waiting is None


async def test_an_increase_after_a_reduction_without_an_answer(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    unanswered: Unanswered,
    arrives: bool,
) -> None:
    """It waits for as long as the reduction counts, if that was made."""
    await unanswered(10)
    await current.set(25)
    assert writes(sim) == 0
    assert current.waiting == 25
    await time_machine.travel(25)
    assert current.cloud == ((10, 10, 10) if arrives else (25, 25, 25))
    await time_machine.travel(15 * MINUTE, step=15)
    assert writes(sim) == 1
    assert current.cloud == (25, 25, 25)


async def test_a_reduction_after_an_increase_without_an_answer(
    sim: Simulator,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    unanswered: Unanswered,
) -> None:
    """The cloud may hold the increase, so what was held is a reduction and is sent."""
    await unanswered(25)
    await current.set(16)
    assert writes(sim) == 1
    assert current.cloud == (16, 16, 16)


async def test_a_repetition_after_no_answer(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    unanswered: Unanswered,
    arrives: bool,
) -> None:
    """It is sent if the look at the cloud shows that the first did not arrive."""
    await unanswered(25)
    await current.set(25)
    assert writes(sim) == 0
    await time_machine.travel(25)
    assert writes(sim) == (0 if arrives else 1)
    assert current.cloud == (25, 25, 25)
    assert current.waiting is None


async def test_a_late_look_does_not_undo_the_time_of_a_later_change(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    unanswered: Unanswered,
) -> None:
    """The 15 minutes begin with the change that has succeeded."""
    await unanswered(18)
    await time_machine.travel(5)
    await current.limit(available_current=20, override=True)
    await time_machine.travel(25)
    writes(sim)
    await current.set(25)
    assert writes(sim) == 0
    assert current.waiting == 25
    await time_machine.travel(14 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    await time_machine.travel(MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_two_changes_without_an_answer(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    unanswered: Unanswered,
    arrives: bool,
) -> None:
    """Each has its own look, and the last that was made counts."""
    await unanswered(10)
    await time_machine.travel(10)
    await unanswered(8)
    await current.set(20)
    await time_machine.travel(25)
    assert current.waiting == (20 if arrives else None)
    await time_machine.travel(15 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)


async def test_a_change_elsewhere_after_no_answer(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    unanswered: Unanswered,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What waits does not overrule what another program has set meanwhile."""
    await unanswered(10)
    await current.set(25)
    installation.available_current = (7.0, 7.0, 7.0)
    await time_machine.travel(16 * MINUTE, step=15)
    assert current.cloud == (7, 7, 7)
    assert current.waiting is None
    assert "changed elsewhere" in caplog.text


async def test_a_cloud_that_can_not_be_looked_at_after_no_answer(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    unanswered: Unanswered,
) -> None:
    """What waits is not sent before the cloud shows what it holds."""
    await unanswered(10)
    await current.set(25)
    sim.rest.fail(f"/installation/{installation.id}$", fault=502)
    await time_machine.travel(20 * MINUTE, step=15)
    assert writes(sim) == 0
    assert current.waiting == 25
    sim.rest.heal()
    await time_machine.travel(5 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_a_restart_after_no_answer(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    unanswered: Unanswered,
) -> None:
    """The list shows what became of the change, and what waits follows it."""
    await unanswered(10)
    await current.set(25)
    await hass.config_entries.async_reload(live_entry.entry_id)
    await wait_until_live(hass, live_entry)
    assert current.waiting == 25
    await time_machine.travel(16 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_a_look_that_is_older_than_a_change(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cloud was asked before the change, and its answer came after it."""
    read = ZaptecClient.installation
    looks = 0

    async def changed_meanwhile(self: ZaptecClient, *args: Any, **kwargs: Any) -> Any:
        nonlocal looks
        found = await read(self, *args, **kwargs)
        looks += 1
        if looks == 1:
            await current.set(12)
        return found

    sim.rest.fail("/update$", fault="reset", times=1)
    with pytest.raises(HomeAssistantError):
        await current.set(14)
    monkeypatch.setattr(ZaptecClient, "installation", changed_meanwhile)
    await time_machine.travel(25)
    assert looks == 2
    assert current.cloud == (12, 12, 12)
    assert current.state.state == "12.0"


# What waits, and a newer request.


@pytest.mark.parametrize("refusal", ["cloud", "mode", "no number"])
async def test_a_refused_request_leaves_what_waits(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    refusal: str,
) -> None:
    """It changes nothing, so the request before it still counts."""
    await current.set(20)
    await current.set(25)
    value = 6.0
    if refusal == "cloud":
        sim.rest.fail("/update$", fault=500, times=1)
    elif refusal == "mode":
        installation.available_current_mode = 2
        await time_machine.travel(75, step=15)
        await live_entry.runtime_data.coordinator.async_refresh()
    else:
        value = float("nan")
    with pytest.raises(HomeAssistantError):
        await current.set(value)
    assert current.waiting == 25
    installation.available_current_mode = 0
    await time_machine.travel(75, step=15)
    await live_entry.runtime_data.coordinator.async_refresh()
    await time_machine.travel(16 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


@pytest.mark.parametrize("is_refused", [False, True])
async def test_what_waits_comes_due_in_the_calm_moment_of_a_reduction(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    monkeypatch: pytest.MonkeyPatch,
    is_refused: bool,
) -> None:
    """It must not be sent just before the reduction, but may follow a refused one."""
    await current.set(20)
    await current.set(25)
    await time_machine.travel(14 * MINUTE + 30, step=15)
    monkeypatch.setattr(batch, "CALM_TIME", 60.0)
    monkeypatch.setattr(batch, "CALM_TIME_MAX", 150.0)
    # The time limit of an action is longer than its calm moment.
    monkeypatch.setattr(action, "ACTION_TIMEOUT", 600.0)
    if is_refused:
        sim.rest.fail("/update$", fault=500, times=1)
    press = asyncio.create_task(current.set(6))
    await time_machine.pass_by(45)
    assert current.cloud == (20, 20, 20)
    await time_machine.pass_by(20)
    await asyncio.gather(press, return_exceptions=True)
    assert current.cloud == ((20, 20, 20) if is_refused else (6, 6, 6))
    await time_machine.travel(16 * MINUTE, step=15)
    assert current.cloud == ((25, 25, 25) if is_refused else (6, 6, 6))


async def test_an_override_counts_for_what_is_sent_with_it(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A newer request in the same moment must not make the urgent one wait."""
    await current.set(20)
    monkeypatch.setattr(batch, "CALM_TIME", 60.0)
    monkeypatch.setattr(batch, "CALM_TIME_MAX", 150.0)
    # The time limit of an action is longer than its calm moment.
    monkeypatch.setattr(action, "ACTION_TIMEOUT", 600.0)
    urgent = asyncio.create_task(current.limit(available_current=24, override=True))
    await time_machine.pass_by(30)
    newest = asyncio.create_task(current.set(25))
    await time_machine.pass_by(65)
    await asyncio.gather(urgent, newest)
    assert current.cloud == (25, 25, 25)


# An installation that is missing from the list.


@pytest.mark.parametrize("is_late", [False, True])
async def test_what_waits_for_an_installation_that_is_missing_after_a_restart(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    is_late: bool,
) -> None:
    """It is sent when the installation appears, an hour later, but not days later."""
    await current.set(20)
    await current.set(25)
    await hass.config_entries.async_unload(live_entry.entry_id)
    role = sim.accounts[live_entry.data[CONF_USERNAME]].roles.pop(installation.id)
    await set_up(hass, live_entry)
    await time_machine.travel(40 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    if is_late:
        await time_machine.travel(25 * 60 * MINUTE, step=10 * MINUTE)
    sim.accounts[live_entry.data[CONF_USERNAME]].roles[installation.id] = role
    await time_machine.travel(61 * MINUTE, step=15)
    assert current.cloud == ((20, 20, 20) if is_late else (25, 25, 25))
    assert current.waiting is None


async def test_the_hourly_list_leaves_what_waits(
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """A list with other news says nothing about an installation that it has."""
    await current.set(20)
    await current.set(25)
    await time_machine.travel(14 * MINUTE, step=15)
    due = current.state.attributes["waiting_until"]
    installation.name = "Another name"
    await live_entry.runtime_data.coordinator.async_refresh()
    assert live_entry.runtime_data.coordinator.last_update_success
    assert current.waiting == 25
    assert current.state.attributes["waiting_until"] == due
    await time_machine.travel(2 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_what_waits_for_an_installation_that_goes_missing(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """A role that is taken away for some hours is no refusal."""
    sim.accounts[live_entry.data[CONF_USERNAME]].roles, roles = (
        {},
        sim.accounts[live_entry.data[CONF_USERNAME]].roles,
    )
    await live_entry.runtime_data.coordinator.async_refresh()
    await time_machine.travel(50 * MINUTE, step=15)
    sim.accounts[live_entry.data[CONF_USERNAME]].roles = roles
    await current.set(20)
    await current.set(25)
    sim.accounts[live_entry.data[CONF_USERNAME]].roles = {}
    await time_machine.travel(12 * MINUTE, step=15)
    assert installation.id not in live_entry.runtime_data.coordinator.data.installations
    await time_machine.travel(20 * MINUTE, step=15)
    sim.accounts[live_entry.data[CONF_USERNAME]].roles = roles
    await time_machine.travel(61 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


# Removal of the account.


RECENT_KEY = f"{DOMAIN}.recent_changes"


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_an_account_that_is_removed_and_added_again(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    is_restarted: bool,
) -> None:
    """The installation is the same, so the 15 minutes go on."""
    await current.set(20)
    await time_machine.travel(5 * MINUTE, step=15)
    await hass.config_entries.async_remove(live_entry.entry_id)
    assert RECENT_KEY in hass_storage
    if is_restarted:
        hass.data.pop(RECENT_CHANGES)
        await recent_changes(hass).async_load()
    entry = add_entry(hass, sim)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    writes(sim)
    await current.set(25)
    assert writes(sim) == 0
    assert current.waiting == 25
    await time_machine.travel(9 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    await time_machine.travel(2 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)
    await hass.config_entries.async_remove(entry.entry_id)
    assert RECENT_KEY in hass_storage
    await time_machine.travel(16 * MINUTE, step=15)
    # Nothing is stored for longer than it counts.
    assert RECENT_KEY not in hass_storage


async def test_a_restart_long_after_an_account_was_removed(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    time_machine: TimeMachine,
) -> None:
    """What no longer counts is removed, and a time in the future counts from now."""
    await current.set(20)
    await hass.config_entries.async_remove(live_entry.entry_id)
    stored = hass_storage[RECENT_KEY]
    await time_machine.travel(20 * MINUTE, step=60)
    assert RECENT_KEY not in hass_storage
    hass.data.pop(RECENT_CHANGES)
    hass_storage[RECENT_KEY] = stored
    await recent_changes(hass).async_load()
    assert RECENT_KEY not in hass_storage

    hass.data.pop(RECENT_CHANGES)
    ahead = (dt_util.utcnow() + timedelta(days=3)).isoformat()
    hass_storage[RECENT_KEY] = {**stored, "data": {installation.id: ahead}}
    await recent_changes(hass).async_load()
    await time_machine.travel(16 * MINUTE, step=60)
    assert RECENT_KEY not in hass_storage


async def test_another_account_takes_an_installation_over(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """The vendor's rule is about the installation, whoever changes it."""
    await current.set(20)
    await hass.config_entries.async_remove(live_entry.entry_id)
    first = sim.accounts[live_entry.data[CONF_USERNAME]]
    partner = replace(first, user_name="partner@example.com", roles=dict(first.roles))
    sim.accounts[partner.user_name] = partner
    entry = add_entry(hass, sim, partner.user_name)
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    await current.set(25)
    assert current.waiting == 25
    assert current.cloud == (20, 20, 20)


async def test_an_account_that_is_removed_before_it_ever_changed_anything(
    hass: HomeAssistant, hass_storage: dict[str, Any], live_entry: MockConfigEntry
) -> None:
    """There is nothing to remember."""
    await hass.config_entries.async_remove(live_entry.entry_id)
    assert RECENT_KEY not in hass_storage


# The wall clock.


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_wall_clock_that_is_set(
    sim: Simulator,
    time_machine: TimeMachine,
    installation: Installation,
    live_entry: MockConfigEntry,
    current: Current,
    monkeypatch: pytest.MonkeyPatch,
    hours: int,
) -> None:
    """15 minutes are 15 minutes, for what waits and for what is asked for then."""
    await current.set(20)
    await current.set(25)
    now, wall = dt_util.utcnow, time.time
    monkeypatch.setattr(dt_util, "utcnow", lambda: now() + timedelta(hours=hours))
    monkeypatch.setattr(time, "time", lambda: wall() + hours * 3600)
    await time_machine.travel(14 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    await current.set(24)
    assert current.waiting == 24
    until = current.state.attributes["waiting_until"]
    assert timedelta() < until - dt_util.utcnow() < timedelta(minutes=2)
    await time_machine.travel(MINUTE + 15, step=15)
    assert current.cloud == (24, 24, 24)


@pytest.mark.parametrize("failure", ["password", 404])
async def test_an_increase_does_not_follow_a_reduction_that_failed(
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    current: Current,
    failure: Fault,
) -> None:
    """Only what the cloud refuses for good leaves what waited."""
    await current.set(10)
    await current.set(25)
    assert current.waiting == 25
    if failure == "password":
        sim.set_password(next(iter(sim.accounts)), "another")
    else:
        sim.rest.fail("/update$", fault=failure)
    with pytest.raises(HomeAssistantError):
        await current.set(6)
    assert current.waiting is None
    sim.rest.heal()


async def test_what_waits_outlives_a_password_that_is_refused(
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    current: Current,
) -> None:
    """It is sent once the user has signed in again."""
    account = next(iter(sim.accounts.values()))
    password = account.password
    await current.set(10)
    await current.set(25)
    await time_machine.travel(14 * MINUTE, step=15)
    account.password = "another"
    sim.rest.tokens.revoke()
    await time_machine.travel(5 * MINUTE, step=15)
    runtime = live_entry.runtime_data
    assert runtime.available_currents.of(current._installation.id).waiting == (
        25,
        25,
        25,
    )
    account.password = password
    runtime.client._token_source._refused = None
    await time_machine.travel(20 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


@pytest.mark.parametrize("value", [6, 20])
async def test_a_look_that_hangs_does_not_hold_back_the_user(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    current: Current,
    value: float,
) -> None:
    """What waits is looked at before it is tried again."""
    await current.set(10)
    await current.set(25)
    sim.rest.fail("/update$", fault="reset", times=1)
    # With the look at what became of the change.
    await time_machine.travel(15 * MINUTE + 45, step=15)
    assert current.waiting == 25
    sim.rest.fail("/api/installation/[^/]*$", fault="hang")
    sim.rest.clear()
    look = f"/api/installation/{current._installation.id}"
    while not any(record.path == look for record in sim.rest.requests):
        await time_machine.pass_by(1)
    began_at = hass.loop.time()
    action = asyncio.ensure_future(
        current.limit(available_current=value, override=True)
    )
    for _ in range(6):
        await time_machine.pass_by(0.5)
    assert action.done()
    await action
    assert hass.loop.time() - began_at < 10
    assert current.cloud == (value, value, value)
    sim.rest.heal()
    await time_machine.travel(20 * MINUTE, step=15)
    # What waited was for the time before.
    assert current.cloud == (value, value, value)
