"""The vendor's rule: the available current changes at most once in 15 minutes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
import time
from typing import Any

from homeassistant.const import CONF_USERNAME
from homeassistant.core import State
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
import pytest

from custom_components.zaptec.api import ZaptecClient, ZaptecServerError, action
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.control import batch
from custom_components.zaptec.control.recent_changes import (
    RECENT_CHANGES,
    recent_changes,
)
from simulator.accounts import Account
from simulator.charger import Charger
from simulator.faults import Fault

from .conftest import add_entry, set_up, wait_until, wait_until_live
from .home import Home

MINUTE = 60


@pytest.fixture
def charger(charger: Charger) -> Charger:
    """Return the charger of an installation with 16 of its 32 A available."""
    charger.installation.available_current = (16.0, 16.0, 16.0)
    return charger


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a cloud that fails on purpose."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    monkeypatch.setattr("custom_components.zaptec.api.transport.RETRY_AFTER_MAX", 0.0)


class Current:
    """The available current of an installation."""

    def __init__(self, home: Home) -> None:
        """Initialize the current."""
        self._home = home

    @property
    def state(self) -> State:
        """Return the state of the number."""
        state = self._home.hass.states.get(
            self._home.entity_id("number", "available_current")
        )
        assert state
        return state

    @property
    def waiting(self) -> float | None:
        """Return the queued current."""
        waiting: float | None = self.state.attributes["waiting_current"]
        return waiting

    @property
    def cloud(self) -> tuple[float, float, float] | None:
        """Return the current that the cloud holds."""
        return self._home.installation.available_current

    async def set(self, value: float) -> None:
        """Set the number."""
        await self._home.set_value("available_current", value)

    async def limit(self, **data: Any) -> None:
        """Call the action."""
        await self._home.hass.services.async_call(
            DOMAIN,
            "limit_current",
            {"installation_id": self._home.installation.id, **data},
            blocking=True,
        )


@pytest.fixture
def current(home: Home) -> Current:
    """Return the available current."""
    return Current(home)


def account(home: Home) -> Account:
    """Return the simulated account of the entry."""
    return home.sim.accounts[home.entry.data[CONF_USERNAME]]


def writes(home: Home) -> int:
    """Return how many writes were requested since the last call."""
    count = [record.method for record in home.sim.rest.requests].count("POST")
    home.clear()
    return count


async def test_ten_changes_in_a_minute_make_two_requests(
    home: Home, current: Current
) -> None:
    """Of ten changes, the first is sent at once, and the newest when the vendor allows."""
    writes(home)
    for value in range(17, 27):
        await current.set(value)
        await home.travel(6)
    assert writes(home) == 1
    assert current.cloud == (17, 17, 17)
    assert current.state.state == "17.0"
    assert current.waiting == 26
    until = current.state.attributes["waiting_until"]
    assert 13 * MINUTE < (until - dt_util.utcnow()).total_seconds() < 14.5 * MINUTE

    await home.travel(13 * MINUTE, step=15)
    assert writes(home) == 0
    await home.travel(2 * MINUTE, step=15)
    assert writes(home) == 1
    assert current.cloud == (26, 26, 26)
    assert current.state.state == "26.0"
    assert current.waiting is None
    assert current.state.attributes["waiting_until"] is None
    await home.travel(16 * MINUTE, step=15)
    assert writes(home) == 0


async def test_a_reduction_goes_at_once(home: Home, current: Current) -> None:
    """A reduction is sent at once, as it may protect a fuse; an increase then waits 15 minutes."""
    await current.set(20)
    await current.set(25)
    assert current.waiting == 25
    writes(home)
    await current.set(10)
    assert writes(home) == 1
    assert current.cloud == (10, 10, 10)
    assert current.waiting is None
    await home.travel(5 * MINUTE, step=15)
    await current.set(6)
    assert current.cloud == (6, 6, 6)
    await current.set(12)
    await home.travel(14 * MINUTE, step=15)
    assert current.cloud == (6, 6, 6)
    await home.travel(2 * MINUTE, step=15)
    assert current.cloud == (12, 12, 12)


async def test_the_same_value_is_not_sent_again_within_the_time(
    home: Home, current: Current
) -> None:
    """A repeated value is not sent again, and replaces a queued one."""
    await current.set(20)
    await current.set(25)
    writes(home)
    await current.set(20)
    assert writes(home) == 0
    assert current.waiting is None


async def test_phases_that_rise_wait_while_others_fall_at_once(
    home: Home, current: Current
) -> None:
    """Phases with less current are sent at once, because each has its own fuse; others wait."""
    await current.set(20)
    await current.limit(
        available_current_phase1=25.5,
        available_current_phase2=10,
        available_current_phase3=20,
    )
    assert current.cloud == (20, 10, 20)
    assert current.state.state == "10.0"
    await home.travel(16 * MINUTE, step=15)
    assert current.cloud == (25.5, 10, 20)


async def test_an_override_does_not_wait(home: Home, current: Current) -> None:
    """With an override, an increase is sent at once, against the vendor's rule."""
    await current.set(20)
    await current.set(25)
    await current.limit(available_current=24, override=True)
    assert current.cloud == (24, 24, 24)
    assert current.waiting is None


async def test_a_queued_current_outlives_a_restart(
    home: Home, current: Current
) -> None:
    """A queued current is sent after a restart, even if it came due while Home Assistant was down."""
    await current.set(20)
    await current.set(25)
    await home.reload()
    assert current.waiting == 25
    await current.set(24)
    assert current.waiting == 24
    await home.stop()
    await home.travel(20 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    await home.start()
    await home.travel(5)
    assert current.cloud == (24, 24, 24)
    assert current.waiting is None


async def test_nothing_is_left_of_an_account_that_is_removed(
    home: Home, hass_storage: dict[str, Any], current: Current
) -> None:
    """Removing an account deletes its queued current and the time of its last change."""
    await current.set(20)
    key = f"{DOMAIN}.{home.entry.entry_id}"
    assert key in hass_storage
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    assert key not in hass_storage


@pytest.mark.parametrize("fault", ["reset", 503, 502])
async def test_a_queued_current_waits_for_a_cloud_that_is_away(
    home: Home, current: Current, fault: Fault
) -> None:
    """A queued current is retried until the cloud can be reached."""
    await current.set(20)
    await current.set(25)
    home.sim.rest.fail("/update$", fault=fault)
    await home.travel(20 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    assert current.waiting == 25
    home.sim.rest.heal()
    await home.travel(5 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_a_queued_current_that_the_cloud_refuses_is_given_up(
    home: Home, current: Current, caplog: pytest.LogCaptureFixture
) -> None:
    """A queued current that the cloud refuses is dropped, and the log says why."""
    await current.set(20)
    await current.set(25)
    home.installation.available_current_mode = 2
    await home.travel(16 * MINUTE, step=15)
    assert current.waiting is None
    assert "power management (Sense) controls" in caplog.text


async def test_a_change_that_fails_at_once_replaces_what_waited(
    home: Home, current: Current
) -> None:
    """A reduction that fails replaces the queued increase, which must not follow it."""
    await current.set(20)
    await current.set(25)
    home.sim.rest.fail("/update$", fault="reset")
    with pytest.raises(HomeAssistantError):
        await current.set(6)
    home.sim.rest.heal()
    await home.travel(16 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)


@pytest.fixture
def never_set(charger: Charger) -> None:
    """Remove the available current from the cloud."""
    charger.installation.available_current = None


@pytest.mark.usefixtures("never_set")
async def test_the_cloud_has_no_available_current_yet(
    home: Home, current: Current
) -> None:
    """If none was ever set, the installation's maximum applies, and any value is a reduction."""
    assert current.state.state == "unknown"
    await current.limit(available_current=20)
    await current.limit(available_current=15)
    assert current.cloud == (15, 15, 15)


async def test_a_list_that_is_older_than_a_change(home: Home, current: Current) -> None:
    """A list that was requested before a change and arrives after it does not undo the change."""
    await current.set(20)
    home.installation.available_current = (16.0, 16.0, 16.0)
    await home.entry.runtime_data.coordinator.async_refresh()
    assert current.state.state == "20.0"
    await home.travel(75, step=15)
    await home.entry.runtime_data.coordinator.async_refresh()
    assert current.state.state == "16.0"


async def test_a_queued_current_does_not_overrule_what_was_set_elsewhere(
    home: Home, current: Current, caplog: pytest.LogCaptureFixture
) -> None:
    """A queued increase is dropped if the current was lowered elsewhere, perhaps for a fuse."""
    await current.set(20)
    await current.set(25)
    home.installation.available_current = (8.0, 8.0, 8.0)
    await home.travel(2 * MINUTE, step=15)
    await home.entry.runtime_data.coordinator.async_refresh()
    assert current.state.state == "8.0"
    await home.travel(16 * MINUTE, step=15)
    assert current.cloud == (8, 8, 8)
    assert current.waiting is None
    assert "changed elsewhere" in caplog.text


async def test_a_queued_current_of_last_week_is_dropped(
    home: Home, current: Current, caplog: pytest.LogCaptureFixture
) -> None:
    """A queued current is dropped if Home Assistant was down for days."""
    await current.set(20)
    await current.set(25)
    await home.stop()
    await home.travel(7 * 24 * 60 * MINUTE, step=12 * 60 * MINUTE)
    await home.start()
    await home.travel(30)
    assert current.cloud == (20, 20, 20)
    assert current.waiting is None
    assert "its time has passed" in caplog.text


async def test_a_clock_that_was_ahead(
    home: Home, hass_storage: dict[str, Any], current: Current
) -> None:
    """After a clock that was ahead, nothing waits longer than 15 minutes."""
    await current.set(20)
    await home.stop()
    stored = hass_storage[f"{DOMAIN}.{home.entry.entry_id}"]["data"][
        home.installation.id
    ]
    stored["changed_at"] = (dt_util.utcnow() + timedelta(days=30)).isoformat()
    await home.start()
    await current.set(25)
    await home.travel(16 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


@pytest.fixture
def answers_get_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cloud carry out every change, but lose its responses."""
    update = ZaptecClient.update_installation

    async def carried_out(self: ZaptecClient, *args: Any, **kwargs: Any) -> None:
        await update(self, *args, **kwargs)
        raise ZaptecServerError("Bad gateway", 502)

    monkeypatch.setattr(ZaptecClient, "update_installation", carried_out)


@pytest.mark.usefixtures("answers_get_lost")
async def test_a_change_whose_answer_is_lost(home: Home, current: Current) -> None:
    """If the response is lost, the cloud is read, and a change that arrived counts."""
    with pytest.raises(HomeAssistantError) as raised:
        await current.set(20)
    assert raised.value.translation_key == "uncertain"
    await home.travel(25)
    assert current.state.state == "20.0"
    writes(home)
    await current.set(25)
    assert writes(home) == 0
    assert current.waiting == 25


async def test_a_change_that_did_not_arrive_does_not_count(
    home: Home, current: Current
) -> None:
    """A change that did not arrive may be repeated at once, after the cloud was read."""
    home.sim.rest.fail("/update$", fault="reset")
    with pytest.raises(HomeAssistantError):
        await current.set(20)
    home.sim.rest.heal()
    await home.travel(25)
    await current.set(20)
    assert current.cloud == (20, 20, 20)


async def test_a_queued_current_whose_answer_is_lost_is_sent_once(
    home: Home, current: Current, request: pytest.FixtureRequest
) -> None:
    """A queued current whose response was lost is sent once: the cloud is read before a retry."""
    await current.set(20)
    await current.set(25)
    request.getfixturevalue("answers_get_lost")
    writes(home)
    await home.travel(15 * MINUTE + 5, step=15)
    assert current.cloud == (25, 25, 25)
    await home.reload()
    await home.travel(30 * MINUTE, step=15)
    assert [
        record.path
        for record in home.sim.rest.requests
        if record.path.endswith("/update")
    ] == [f"/api/installation/{home.installation.id}/update"]
    assert current.waiting is None
    assert current.state.state == "25.0"


async def test_an_unload_in_the_middle_of_a_change(
    home: Home,
    hass_storage: dict[str, Any],
    current: Current,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change in flight at the unload is carried out, and stores nothing for a removed account."""
    update = ZaptecClient.update_installation

    removals = []

    async def removed_meanwhile(self: ZaptecClient, *args: Any, **kwargs: Any) -> None:
        await update(self, *args, **kwargs)
        removals.append(
            home.hass.async_create_task(
                home.hass.config_entries.async_remove(home.entry.entry_id)
            )
        )

    monkeypatch.setattr(ZaptecClient, "update_installation", removed_meanwhile)
    await current.limit(available_current=20)
    await removals[0]
    assert current.cloud == (20, 20, 20)
    assert f"{DOMAIN}.{home.entry.entry_id}" not in hass_storage


async def test_a_reduction_does_not_wait_for_a_charger_that_does_not_answer(
    home: Home, current: Current
) -> None:
    """A reduction is sent even if a charger does not answer, because it may protect a fuse."""
    home.sim.rest.fail("/chargers/.*/update$", fault="hang")
    stuck = home.hass.async_create_task(home.set_value("charger_max_current", 10))
    await wait_until(
        lambda: any(
            record.path.endswith("/update") for record in home.sim.rest.requests
        )
    )
    await current.set(6)
    assert not stuck.done()
    assert current.cloud == (6, 6, 6)
    home.sim.rest.heal()
    with pytest.raises(HomeAssistantError):
        await stuck


# Values that the cloud already holds.


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
    home: Home, current: Current, data: dict[str, Any]
) -> None:
    """The held current is not sent, and does not start the 15 minutes."""
    home.clear()
    for _ in range(60):
        await current.limit(**data)
    # So far only the list has reported this current.
    assert [record.method for record in home.sim.rest.requests] == ["GET"]
    await current.set(25)
    assert current.cloud == (25, 25, 25)


@pytest.mark.usefixtures("never_set")
async def test_a_current_that_the_cloud_never_held_is_sent(
    home: Home, current: Current
) -> None:
    """If no current was ever set, the maximum is sent although it applies already."""
    await current.limit(available_current=32)
    assert current.cloud == (32, 32, 32)


async def test_what_is_held_is_sent_if_the_list_is_old(
    home: Home, current: Current
) -> None:
    """If the list is old, the held current is sent, because the cloud resets it at times."""
    home.sim.rest.fail("/api/(installation|chargers)$", fault=502)
    await home.travel(2 * 60 * MINUTE, step=60)
    home.installation.available_current = (32.0, 32.0, 32.0)
    await current.limit(available_current=16)
    assert current.cloud == (16, 16, 16)


@pytest.mark.parametrize("override", [False, True])
@pytest.mark.parametrize("cloud", ["answers", "hangs", "fails"])
async def test_a_current_that_was_changed_elsewhere_is_set_again(
    home: Home, current: Current, override: bool, cloud: str
) -> None:
    """A current that was changed elsewhere is set again, although no message reported the change."""
    await current.set(16)
    await home.travel(20 * MINUTE, step=30)
    home.installation.available_current = (32.0, 32.0, 32.0)
    if cloud != "answers":
        fault: Fault = "hang" if cloud == "hangs" else 502
        home.sim.rest.fail("/api/installation/[^/]*$", fault=fault)
    action = asyncio.ensure_future(
        current.limit(available_current=16, override=override)
    )
    began_at = home.hass.loop.time()
    while not action.done():
        assert home.hass.loop.time() - began_at < 30
        await home.time_machine.pass_by(0.5)
    await action
    assert current.cloud == (16, 16, 16)


async def test_those_who_ask_at_once_wait_for_one_look(
    home: Home, current: Current
) -> None:
    """Concurrent requests share one read of the cloud, and none is sent without its result."""
    home.clear()
    await asyncio.gather(*(current.limit(available_current=16) for _ in range(10)))
    assert [record.method for record in home.sim.rest.requests] == ["GET"]


# Changes of unknown outcome.


@pytest.fixture(params=[True, False], ids=["arrives", "is lost"])
def arrives(request: pytest.FixtureRequest) -> bool:
    """Return whether the cloud carries out changes to which it does not respond."""
    return bool(request.param)


@pytest.fixture
def unanswered(
    home: Home, monkeypatch: pytest.MonkeyPatch, current: Current, arrives: bool
) -> Callable[[float], Awaitable[None]]:
    """Return a function that sets a current without a response from the cloud."""
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
        home.clear()

    return set_unanswered


type Unanswered = Callable[[float], Awaitable[None]]


async def test_the_former_current_after_a_reduction_without_an_answer(
    home: Home, current: Current, unanswered: Unanswered, arrives: bool
) -> None:
    """After a reduction of unknown outcome, the former current is sent although it seems held."""
    await unanswered(10)
    await current.set(16)
    assert writes(home) == 0
    assert current.waiting == 16
    await home.travel(25)
    assert current.waiting == (16 if arrives else None)
    await home.travel(15 * MINUTE, step=15)
    assert writes(home) == (1 if arrives else 0)
    assert current.cloud == (16, 16, 16)
    assert current.waiting is None


async def test_an_increase_after_a_reduction_without_an_answer(
    home: Home, current: Current, unanswered: Unanswered, arrives: bool
) -> None:
    """An increase waits after a reduction of unknown outcome only if that has arrived."""
    await unanswered(10)
    await current.set(25)
    assert writes(home) == 0
    assert current.waiting == 25
    await home.travel(25)
    assert current.cloud == ((10, 10, 10) if arrives else (25, 25, 25))
    await home.travel(15 * MINUTE, step=15)
    assert writes(home) == 1
    assert current.cloud == (25, 25, 25)


async def test_a_reduction_after_an_increase_without_an_answer(
    home: Home, current: Current, unanswered: Unanswered
) -> None:
    """After an increase of unknown outcome, the former current counts as a reduction."""
    await unanswered(25)
    await current.set(16)
    assert writes(home) == 1
    assert current.cloud == (16, 16, 16)


async def test_a_repetition_after_no_answer(
    home: Home, current: Current, unanswered: Unanswered, arrives: bool
) -> None:
    """A repeated value is sent if reading the cloud shows that the first did not arrive."""
    await unanswered(25)
    await current.set(25)
    assert writes(home) == 0
    await home.travel(25)
    assert writes(home) == (0 if arrives else 1)
    assert current.cloud == (25, 25, 25)
    assert current.waiting is None


async def test_a_late_look_does_not_undo_the_time_of_a_later_change(
    home: Home, current: Current, unanswered: Unanswered
) -> None:
    """A late read of an earlier change does not move the 15 minutes of a later one."""
    await unanswered(18)
    await home.travel(5)
    await current.limit(available_current=20, override=True)
    await home.travel(25)
    writes(home)
    await current.set(25)
    assert writes(home) == 0
    assert current.waiting == 25
    await home.travel(14 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    await home.travel(MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_two_changes_without_an_answer(
    home: Home, current: Current, unanswered: Unanswered, arrives: bool
) -> None:
    """After two changes of unknown outcome, each is checked, and the last one made counts."""
    await unanswered(10)
    await home.travel(10)
    await unanswered(8)
    await current.set(20)
    await home.travel(25)
    assert current.waiting == (20 if arrives else None)
    await home.travel(15 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)


async def test_a_change_elsewhere_after_no_answer(
    home: Home,
    current: Current,
    unanswered: Unanswered,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A queued current does not replace what another program has set meanwhile."""
    await unanswered(10)
    await current.set(25)
    home.installation.available_current = (7.0, 7.0, 7.0)
    await home.travel(16 * MINUTE, step=15)
    assert current.cloud == (7, 7, 7)
    assert current.waiting is None
    assert "changed elsewhere" in caplog.text


async def test_a_cloud_that_can_not_be_looked_at_after_no_answer(
    home: Home, current: Current, unanswered: Unanswered
) -> None:
    """While the cloud cannot be read, the queued current is not sent."""
    await unanswered(10)
    await current.set(25)
    home.sim.rest.fail(f"/installation/{home.installation.id}$", fault=502)
    await home.travel(20 * MINUTE, step=15)
    assert writes(home) == 0
    assert current.waiting == 25
    home.sim.rest.heal()
    await home.travel(5 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_a_restart_after_no_answer(
    home: Home, current: Current, unanswered: Unanswered
) -> None:
    """After a restart, the list shows the outcome of the change, and the queued current follows."""
    await unanswered(10)
    await current.set(25)
    await home.reload()
    assert current.waiting == 25
    await home.travel(16 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_a_look_that_is_older_than_a_change(
    home: Home, current: Current, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that began before the change does not show the outcome of the change."""
    read = ZaptecClient.installation
    looks = 0

    async def changed_meanwhile(self: ZaptecClient, *args: Any, **kwargs: Any) -> Any:
        nonlocal looks
        found = await read(self, *args, **kwargs)
        looks += 1
        if looks == 1:
            await current.set(12)
        return found

    home.sim.rest.fail("/update$", fault="reset", times=1)
    with pytest.raises(HomeAssistantError):
        await current.set(14)
    monkeypatch.setattr(ZaptecClient, "installation", changed_meanwhile)
    await home.travel(25)
    assert looks == 2
    assert current.cloud == (12, 12, 12)
    assert current.state.state == "12.0"


# The queued current, and newer requests.


@pytest.mark.parametrize("refusal", ["cloud", "mode", "no number"])
async def test_a_refused_request_leaves_what_waits(
    home: Home, current: Current, refusal: str
) -> None:
    """A refused request leaves the queued current, because it changes nothing."""
    await current.set(20)
    await current.set(25)
    value = 6.0
    if refusal == "cloud":
        home.sim.rest.fail("/update$", fault=500, times=1)
    elif refusal == "mode":
        home.installation.available_current_mode = 2
        await home.travel(75, step=15)
        await home.entry.runtime_data.coordinator.async_refresh()
    else:
        value = float("nan")
    with pytest.raises(HomeAssistantError):
        await current.set(value)
    assert current.waiting == 25
    home.installation.available_current_mode = 0
    await home.travel(75, step=15)
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.travel(16 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


@pytest.mark.parametrize("is_refused", [False, True])
async def test_what_waits_comes_due_in_the_calm_moment_of_a_reduction(
    home: Home, current: Current, monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    """A queued current that comes due during a reduction's delay is sent only if that is refused."""
    await current.set(20)
    await current.set(25)
    await home.travel(14 * MINUTE + 30, step=15)
    monkeypatch.setattr(batch, "CALM_TIME", 60.0)
    monkeypatch.setattr(batch, "CALM_TIME_MAX", 150.0)
    # The time limit of an action must exceed the delay before sending.
    monkeypatch.setattr(action, "ACTION_TIMEOUT", 600.0)
    if is_refused:
        home.sim.rest.fail("/update$", fault=500, times=1)
    press = asyncio.create_task(current.set(6))
    await home.time_machine.pass_by(45)
    assert current.cloud == (20, 20, 20)
    await home.time_machine.pass_by(20)
    await asyncio.gather(press, return_exceptions=True)
    assert current.cloud == ((20, 20, 20) if is_refused else (6, 6, 6))
    await home.travel(16 * MINUTE, step=15)
    assert current.cloud == ((25, 25, 25) if is_refused else (6, 6, 6))


async def test_an_override_counts_for_what_is_sent_with_it(
    home: Home, current: Current, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An override applies to the whole batch, so a newer request does not delay it."""
    await current.set(20)
    monkeypatch.setattr(batch, "CALM_TIME", 60.0)
    monkeypatch.setattr(batch, "CALM_TIME_MAX", 150.0)
    # The time limit of an action must exceed the delay before sending.
    monkeypatch.setattr(action, "ACTION_TIMEOUT", 600.0)
    urgent = asyncio.create_task(current.limit(available_current=24, override=True))
    await home.time_machine.pass_by(30)
    newest = asyncio.create_task(current.set(25))
    await home.time_machine.pass_by(65)
    await asyncio.gather(urgent, newest)
    assert current.cloud == (25, 25, 25)


# Installations that are missing from the list.


@pytest.mark.parametrize("is_late", [False, True])
async def test_what_waits_for_an_installation_that_is_missing_after_a_restart(
    home: Home, current: Current, is_late: bool
) -> None:
    """The queued current of a missing installation is sent if that appears within hours."""
    await current.set(20)
    await current.set(25)
    await home.stop()
    role = account(home).roles.pop(home.installation.id)
    await set_up(home.hass, home.entry)
    await home.travel(40 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    if is_late:
        await home.travel(25 * 60 * MINUTE, step=10 * MINUTE)
    account(home).roles[home.installation.id] = role
    await home.travel(61 * MINUTE, step=15)
    assert current.cloud == ((20, 20, 20) if is_late else (25, 25, 25))
    assert current.waiting is None


async def test_the_hourly_list_leaves_what_waits(home: Home, current: Current) -> None:
    """The hourly list does not affect the queued current of an installation that it has."""
    await current.set(20)
    await current.set(25)
    await home.travel(14 * MINUTE, step=15)
    due = current.state.attributes["waiting_until"]
    home.installation.name = "Another name"
    await home.entry.runtime_data.coordinator.async_refresh()
    assert home.entry.runtime_data.coordinator.last_update_success
    assert current.waiting == 25
    assert current.state.attributes["waiting_until"] == due
    await home.travel(2 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


async def test_what_waits_for_an_installation_that_goes_missing(
    home: Home, current: Current
) -> None:
    """The queued current survives the absence of the installation for some hours."""
    account(home).roles, roles = (
        {},
        account(home).roles,
    )
    await home.entry.runtime_data.coordinator.async_refresh()
    await home.travel(50 * MINUTE, step=15)
    account(home).roles = roles
    await current.set(20)
    await current.set(25)
    account(home).roles = {}
    await home.travel(12 * MINUTE, step=15)
    assert (
        home.installation.id
        not in home.entry.runtime_data.coordinator.data.installations
    )
    await home.travel(20 * MINUTE, step=15)
    account(home).roles = roles
    await home.travel(61 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


# Removal of the account.


RECENT_KEY = f"{DOMAIN}.recent_changes"


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_an_account_that_is_removed_and_added_again(
    home: Home, hass_storage: dict[str, Any], current: Current, is_restarted: bool
) -> None:
    """Adding a removed account again continues the 15 minutes of the installation."""
    await current.set(20)
    await home.travel(5 * MINUTE, step=15)
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    assert RECENT_KEY in hass_storage
    if is_restarted:
        home.hass.data.pop(RECENT_CHANGES)
        await recent_changes(home.hass).async_load()
    entry = add_entry(home.hass, home.sim)
    await set_up(home.hass, entry)
    await wait_until_live(home.hass, entry)
    writes(home)
    await current.set(25)
    assert writes(home) == 0
    assert current.waiting == 25
    await home.travel(9 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    await home.travel(2 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)
    await home.hass.config_entries.async_remove(entry.entry_id)
    assert RECENT_KEY in hass_storage
    await home.travel(16 * MINUTE, step=15)
    # Nothing is stored longer than it is needed.
    assert RECENT_KEY not in hass_storage


async def test_a_restart_long_after_an_account_was_removed(
    home: Home, hass_storage: dict[str, Any], current: Current
) -> None:
    """Expired times are removed from the store, and a time in the future counts as now."""
    await current.set(20)
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    stored = hass_storage[RECENT_KEY]
    await home.travel(20 * MINUTE, step=60)
    assert RECENT_KEY not in hass_storage
    home.hass.data.pop(RECENT_CHANGES)
    hass_storage[RECENT_KEY] = stored
    await recent_changes(home.hass).async_load()
    assert RECENT_KEY not in hass_storage

    home.hass.data.pop(RECENT_CHANGES)
    ahead = (dt_util.utcnow() + timedelta(days=3)).isoformat()
    hass_storage[RECENT_KEY] = {**stored, "data": {home.installation.id: ahead}}
    await recent_changes(home.hass).async_load()
    await home.travel(16 * MINUTE, step=60)
    assert RECENT_KEY not in hass_storage


async def test_another_account_takes_an_installation_over(
    home: Home, current: Current
) -> None:
    """When another account takes over, the 15 minutes of the installation continue."""
    await current.set(20)
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    first = account(home)
    partner = replace(first, user_name="partner@example.com", roles=dict(first.roles))
    home.sim.accounts[partner.user_name] = partner
    entry = add_entry(home.hass, home.sim, partner.user_name)
    await set_up(home.hass, entry)
    await wait_until_live(home.hass, entry)
    await current.set(25)
    assert current.waiting == 25
    assert current.cloud == (20, 20, 20)


async def test_an_account_that_is_removed_before_it_ever_changed_anything(
    home: Home, hass_storage: dict[str, Any]
) -> None:
    """Removing an account that never changed a current stores nothing."""
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    assert RECENT_KEY not in hass_storage


# Changes of the wall clock.


@pytest.mark.parametrize("hours", [-3, 3])
async def test_a_wall_clock_that_is_set(
    home: Home, current: Current, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """A change of the wall clock does not affect the 15 minutes."""
    await current.set(20)
    await current.set(25)
    now, wall = dt_util.utcnow, time.time
    monkeypatch.setattr(dt_util, "utcnow", lambda: now() + timedelta(hours=hours))
    monkeypatch.setattr(time, "time", lambda: wall() + hours * 3600)
    await home.travel(14 * MINUTE, step=15)
    assert current.cloud == (20, 20, 20)
    await current.set(24)
    assert current.waiting == 24
    until = current.state.attributes["waiting_until"]
    assert timedelta() < until - dt_util.utcnow() < timedelta(minutes=2)
    await home.travel(MINUTE + 15, step=15)
    assert current.cloud == (24, 24, 24)


@pytest.mark.parametrize("failure", ["password", 404])
async def test_an_increase_does_not_follow_a_reduction_that_failed(
    home: Home, current: Current, failure: Fault
) -> None:
    """A failed reduction drops the queued increase; only a refused one leaves it."""
    await current.set(10)
    await current.set(25)
    assert current.waiting == 25
    if failure == "password":
        home.sim.set_password(next(iter(home.sim.accounts)), "another")
    else:
        home.sim.rest.fail("/update$", fault=failure)
    with pytest.raises(HomeAssistantError):
        await current.set(6)
    assert current.waiting is None
    home.sim.rest.heal()


async def test_what_waits_outlives_a_password_that_is_refused(
    home: Home, current: Current
) -> None:
    """The queued current survives a refused password, and is sent after the next sign-in."""
    owner = account(home)
    password = owner.password
    await current.set(10)
    await current.set(25)
    await home.travel(14 * MINUTE, step=15)
    owner.password = "another"
    home.sim.rest.tokens.revoke()
    await home.travel(5 * MINUTE, step=15)
    runtime = home.entry.runtime_data
    available = runtime.available_currents.of(home.installation.id)
    assert available.waiting == (25, 25, 25)
    owner.password = password
    runtime.client._token_source._refused = None
    await home.travel(20 * MINUTE, step=15)
    assert current.cloud == (25, 25, 25)


@pytest.mark.parametrize("value", [6, 20])
async def test_a_look_that_hangs_does_not_hold_back_the_user(
    home: Home, current: Current, value: float
) -> None:
    """A read that hangs before a retry of the queued current does not delay the user."""
    await current.set(10)
    await current.set(25)
    home.sim.rest.fail("/update$", fault="reset", times=1)
    # This includes the read of the change's outcome.
    await home.travel(15 * MINUTE + 45, step=15)
    assert current.waiting == 25
    home.sim.rest.fail("/api/installation/[^/]*$", fault="hang")
    home.clear()
    look = f"/api/installation/{home.installation.id}"
    while not any(record.path == look for record in home.sim.rest.requests):
        await home.time_machine.pass_by(1)
    began_at = home.hass.loop.time()
    action = asyncio.ensure_future(
        current.limit(available_current=value, override=True)
    )
    for _ in range(6):
        await home.time_machine.pass_by(0.5)
    assert action.done()
    await action
    assert home.hass.loop.time() - began_at < 10
    assert current.cloud == (value, value, value)
    home.sim.rest.heal()
    await home.travel(20 * MINUTE, step=15)
    # The queued current was for the time before this change.
    assert current.cloud == (value, value, value)
