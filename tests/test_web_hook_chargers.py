"""At which chargers cars are decided about: chosen or not, and whether the account is loaded."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from homeassistant.config_entries import ConfigEntryState
from homeassistant.helpers.storage import Store
import pytest

from custom_components.zaptec.authorization import Access
from custom_components.zaptec.const import CONF_CHARGERS
from custom_components.zaptec.control import charging_access
from custom_components.zaptec.control.charging_access import (
    ChargingAccess,
    async_get_access,
)
from custom_components.zaptec.web_hook_settings import (
    CallProblem,
    OnError,
    WebHookSettings,
    async_get_watch,
    async_store,
)
from simulator.charger import Charger
from simulator.scenario import OWNER, Scenario

from .home import Home, mixed_chargers
from .time_machine import wait_until
from .web_hook_callers import Caller, through_the_cloud

CARD = "nfc-0477AA55BB33"


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with two chargers, and a cabin with one."""
    one = Scenario.of(1)
    first, second, third = mixed_chargers(3)
    [home] = one.installations
    return replace(
        one,
        installations=(
            replace(home, chargers=(first, second)),
            replace(home, name="Cabin", chargers=(third,)),
        ),
        accounts=tuple(
            replace(account, roles={home.name: OWNER, "Cabin": OWNER})
            for account in one.accounts
        ),
    )


@pytest.fixture
def settings() -> WebHookSettings:
    """Return the web hooks of the home."""
    return WebHookSettings.new(OnError.PERMIT)


@pytest.fixture
async def site(new_home: Home, settings: WebHookSettings) -> Home:
    """Return a home of whose two chargers the second one was not chosen."""
    hass, entry = new_home.hass, new_home.entry
    async_store(hass, entry, new_home.installation.id, settings)
    hidden = hidden_of(new_home)
    chosen = [item.id for item in new_home.sim.chargers.values() if item is not hidden]
    hass.config_entries.async_update_entry(entry, options={CONF_CHARGERS: chosen})
    await new_home.start()
    return new_home


@pytest.fixture
def caller(site: Home, settings: WebHookSettings) -> Caller:
    """Return a caller of the web hooks of the home."""
    return Caller(through_the_cloud(site.hass), settings, site.installation.id)


def hidden_of(home: Home) -> Charger:
    """Return the charger of the home that was not chosen."""
    return next(
        item for item in home.installation.chargers if item.id != home.charger.id
    )


def cabin_of(home: Home) -> Charger:
    """Return the charger of the cabin."""
    return next(
        item
        for item in home.sim.chargers.values()
        if item.installation is not home.installation
    )


async def select(home: Home, access: Access) -> ChargingAccess:
    """Select who may charge in the home."""
    found = await async_get_access(home.hass, home.entry.entry_id)
    await found.async_set_access(home.installation.id, access)
    return found


async def not_loaded(home: Home) -> None:
    """Unload the account."""
    await home.stop()


async def failed(home: Home) -> None:
    """Let the account fail to load."""
    home.sim.rest.fail("", fault=500)
    await home.hass.config_entries.async_reload(home.entry.entry_id)
    assert home.entry.state is ConfigEntryState.SETUP_RETRY


async def restarted(home: Home) -> None:
    """Lose what is in memory while the account is not loaded."""
    await home.stop()
    access = await async_get_access(home.hass, home.entry.entry_id)
    await access._store._store.async_save(access._as_dict())
    home.hass.data.pop(charging_access._ACCESSES)


INTERRUPTIONS = (not_loaded, failed, restarted)


async def fail(*_args: object) -> None:
    """Fail, as if there was a fault in our own part."""
    raise RuntimeError


async def test_a_charger_that_was_not_chosen(site: Home, caller: Caller) -> None:
    """It has no entities, but its installation's web hooks decide about its cars too."""
    hidden = hidden_of(site)
    reply = await caller.start(hidden.id)
    assert reply.session_id
    assert (await caller.start(hidden.id)).session_id == reply.session_id
    watch = async_get_watch(site.hass, site.installation.id)
    assert watch.last_problem is None
    await select(site, Access.NOBODY)
    assert (await caller.start(hidden.id)).status == 401
    assert watch.last_problem is None


async def test_nobody_can_be_asked_about_it(site: Home, caller: Caller) -> None:
    """Without entities, no one could permit the car, so an issue reports the problem to the user."""
    await select(site, Access.ASK)
    watch = async_get_watch(site.hass, site.installation.id)
    assert (await caller.start(site.charger.id)).status == 401
    assert watch.last_problem is None
    assert (await caller.start(hidden_of(site).id)).status == 401
    assert watch.last_problem is CallProblem.CHARGER


async def test_a_charger_that_was_just_installed(site: Home, caller: Caller) -> None:
    """The lists are read because of it, so one of the next calls is about a known charger."""
    coordinator = site.entry.runtime_data.coordinator
    visible = coordinator.visible
    charger_id = hidden_of(site).id
    coordinator.visible = replace(
        visible,
        chargers={
            key: item for key, item in visible.chargers.items() if key != charger_id
        },
    )
    coordinator.show(coordinator.data)
    assert (await caller.start(charger_id)).status == 401
    await wait_until(lambda: charger_id in coordinator.visible.chargers)
    assert (await caller.start(charger_id)).status == 200


@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
async def test_while_the_account_is_not_loaded(
    site: Home, caller: Caller, interrupt: Callable[[Home], Awaitable[None]]
) -> None:
    """Where everyone or no one may charge, that counts also while nothing is loaded."""
    await interrupt(site)
    for charger in (site.charger, hidden_of(site)):
        reply = await caller.start(charger.id, CARD)
        assert reply.session_id
        assert (await caller.start(charger.id, CARD)).session_id == reply.session_id
        assert (await caller.end(reply.session_id)).status == 200
    for mode in (Access.NOBODY, Access.ASK, Access.KNOWN_PERSONS):
        await select(site, mode)
        assert (await caller.start(site.charger.id)).status == 401


@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
async def test_others_while_the_account_is_not_loaded(
    site: Home, caller: Caller, interrupt: Callable[[Home], Awaitable[None]]
) -> None:
    """A charger of another installation, or of nobody, is not permitted, and not kept."""
    await interrupt(site)
    for charger_id in (cabin_of(site).id, *(str(uuid4()) for _ in range(20))):
        assert (await caller.start(charger_id)).status == 401
    watch = async_get_watch(site.hass, site.installation.id)
    assert watch.chargers == {}
    assert watch.last_problem is CallProblem.CHARGER


@pytest.mark.parametrize("is_loaded", [True, False])
async def test_the_charger_of_another_installation_while_the_decision_fails(
    site: Home, caller: Caller, monkeypatch: pytest.MonkeyPatch, is_loaded: bool
) -> None:
    """What is permitted then is only permitted at the chargers of the installation."""
    if not is_loaded:
        await site.stop()
    monkeypatch.setattr(ChargingAccess, "async_decide", fail)
    monkeypatch.setattr(ChargingAccess, "async_stored_answer", fail)
    assert (await caller.start(cabin_of(site).id)).status == 401
    assert (await caller.start(str(uuid4()))).status == 401
    assert (await caller.start(hidden_of(site).id)).status == 200
    assert (await caller.start(site.charger.id)).status == 200


async def test_the_charger_of_another_installation_while_nothing_can_be_read(
    site: Home, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what is stored, the devices say where a charger is."""
    await site.stop()
    site.hass.data.pop(charging_access._ACCESSES)
    monkeypatch.setattr("custom_components.zaptec.webhook.async_get_access", fail)
    assert (await caller.start(cabin_of(site).id)).status == 401
    assert (await caller.start(site.charger.id)).status == 200


async def test_the_session_of_another_installation(site: Home, caller: Caller) -> None:
    """The password of one installation ends no session of another one."""
    cabin, other = cabin_of(site), WebHookSettings.new()
    async_store(site.hass, site.entry, cabin.installation.id, other)
    await site.hass.async_block_till_done()
    await site.wait_until_live()
    cabins = Caller(through_the_cloud(site.hass), other, cabin.installation.id)
    session_id = (await cabins.start(cabin.id)).session_id
    assert session_id

    assert (await caller.end(session_id)).status == 401
    watch = async_get_watch(site.hass, site.installation.id)
    assert watch.last_problem is CallProblem.CHARGER
    assert (await cabins.start(cabin.id)).session_id == session_id
    assert (await cabins.end(session_id)).status == 200
    assert (await cabins.start(cabin.id)).session_id != session_id


async def test_a_session_permitted_while_the_decision_fails(
    site: Home, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history learns of its end as of that of any other session."""
    access = await async_get_access(site.hass, site.entry.entry_id)
    with monkeypatch.context() as patches:
        patches.setattr(ChargingAccess, "async_decide", fail)
        session_id = (await caller.start(site.charger.id)).session_id
    assert session_id
    assert access.charger_of(session_id) == site.charger.id
    assert (await caller.end(session_id)).status == 200
    [session] = [item for key, item in access._permitted.items() if key == session_id]
    assert session.ended
    assert session.ended.energy == 12.345


async def test_a_note_that_fails(
    site: Home, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps no car from charging."""

    def fail_at_once(*_args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(ChargingAccess, "async_decide", fail)
    monkeypatch.setattr(ChargingAccess, "note_undecided", fail_at_once)
    assert (await caller.start(site.charger.id)).status == 200


@pytest.mark.parametrize("failure", ["hangs", "fails"])
@pytest.mark.parametrize("mode", [Access.NOBODY, Access.KNOWN_PERSONS])
async def test_a_refusal_that_cannot_be_stored(
    site: Home,
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
    mode: Access,
    failure: str,
) -> None:
    """It is a decision all the same: the user's option is for cars about which there is none."""
    await select(site, mode)
    save: Any = _hang if failure == "hangs" else fail
    with monkeypatch.context() as patches:
        patches.setattr(Store, "async_save", save)
        patches.setattr("custom_components.zaptec.webhook.DECISION_TIME", 0.05)
        assert (await caller.start(site.charger.id, CARD)).status == 401


async def test_a_permission_that_cannot_be_stored(
    site: Home, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The car may charge, with the id of the decision, so that its end is known."""
    access = await async_get_access(site.hass, site.entry.entry_id)
    with monkeypatch.context() as patches:
        patches.setattr(Store, "async_save", fail)
        session_id = (await caller.start(site.charger.id)).session_id
    assert session_id
    assert access.charger_of(session_id) == site.charger.id
    assert (await caller.start(site.charger.id)).session_id == session_id


async def _hang(*_args: object) -> None:
    """Never return."""
    await asyncio.Event().wait()
