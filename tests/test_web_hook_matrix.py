"""Who may charge, by mode, card, state of Home Assistant and way of the call.

The simulated cloud calls the web hooks, and a car charges or waits accordingly.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
import json
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from homeassistant.components import webhook as ha_webhook
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import CoreState
import pytest
from pytest_homeassistant_custom_component.typing import (
    ClientSessionGenerator,
    WebSocketGenerator,
)

from custom_components.zaptec.authorization import Access
from custom_components.zaptec.control import charging_access
from custom_components.zaptec.control.batch import Batches
from custom_components.zaptec.control.charging_access import (
    ChargingAccess,
    async_get_access,
)
from custom_components.zaptec.coordinator import ZaptecCoordinator
from custom_components.zaptec.persons import CONF_HASHES, CONF_PERSON_KEY, Persons
from custom_components.zaptec.web_hook_settings import (
    OnError,
    WebHookSettings,
    async_store,
)
from custom_components.zaptec.webhook import async_setup_web_hooks
from simulator.authorization import Phase
from simulator.car import Car
from simulator.web_hooks import HookRequest, HookResponse

from .home import Home
from .time_machine import wait_until
from .web_hook_callers import (
    Call,
    Caller,
    Way,
    over_http,
    over_the_web_socket,
    through_the_cloud,
)

KEY: Final = "11" * 32
# The codes of the cards. Home Assistant's WebSocket logs them at debug level.
ANNA: Final = "nfc-0433CC55DD66"
STRANGER: Final = "nfc-0477AA55BB33"


class Situation(StrEnum):
    """What Home Assistant is doing when it is called."""

    RUNNING = "running"
    STARTING = "starting"
    LOADING = "loading"
    RELOADING = "reloading"
    FAILED = "failed"
    UNLOADED = "unloaded"
    STOPPING = "stopping"
    FAILING_PERMIT = "failing, permit"
    """Our own part raises an exception, and the user wants cars to charge then."""
    FAILING_REFUSE = "failing, refuse"


class Card(StrEnum):
    """Which card the driver shows."""

    NONE = "none"
    KNOWN = "known"
    UNKNOWN = "unknown"

    @property
    def code(self) -> str | None:
        """Return the code of the card."""
        return {Card.NONE: None, Card.KNOWN: ANNA, Card.UNKNOWN: STRANGER}[self]


def expected(access: Access, card: Card, situation: Situation) -> bool:
    """Return whether a car may charge that has not been decided about yet."""
    if situation is Situation.FAILING_PERMIT:
        return True
    if situation is Situation.FAILING_REFUSE:
        return False
    # Who everyone is need not be known.
    return access is Access.EVERYONE or (
        access is Access.KNOWN_PERSONS
        and card is Card.KNOWN
        and situation is Situation.RUNNING
    )


def is_cut_off(way: Way, situation: Situation) -> bool:
    """Return whether Home Assistant itself answers 503, as its views do while it stops."""
    return way is Way.HTTP and situation is Situation.STOPPING


@pytest.fixture(params=list(Way))
def way(request: pytest.FixtureRequest) -> Way:
    """Return by which way the calls come."""
    return request.param


@pytest.fixture
def on_error() -> OnError:
    """Return what the user has chosen for errors of our own."""
    return OnError.PERMIT


@pytest.fixture
def settings(on_error: OnError) -> WebHookSettings:
    """Return the web hooks of the installation."""
    return WebHookSettings.new(on_error)


@pytest.fixture
async def site(
    way: Way,
    settings: WebHookSettings,
    new_home: Home,
    hass_client_no_auth: ClientSessionGenerator,
    hass_ws_client: WebSocketGenerator,
) -> Home:
    """Return a home whose cloud calls its web hooks, and where Anna's card is known."""
    hass, entry = new_home.hass, new_home.entry
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, CONF_PERSON_KEY: KEY}
    )
    anna = ConfigSubentry(
        data=MappingProxyType(
            {CONF_HASHES: [Persons(KEY, {}).identify_code(ANNA).code]}
        ),
        subentry_type="person",
        title="Anna",
        unique_id=None,
    )
    hass.config_entries.async_add_subentry(entry, anna)
    async_store(hass, entry, new_home.installation.id, settings)
    await new_home.start()
    match way:
        case Way.HTTP:
            call = over_http(await hass_client_no_auth())
        case Way.CLOUD:
            call = through_the_cloud(hass)
        case _:
            call = over_the_web_socket(await hass_ws_client(hass))
    new_home.sim.web_hooks.transport = transport(call)
    new_home.sim.web_hooks.timeout = None
    new_home.installation.set_web_hooks(
        f"https://home.test{ha_webhook.async_generate_path(settings.start_id)}",
        f"https://home.test{ha_webhook.async_generate_path(settings.end_id)}",
        settings.username,
        settings.password,
    )
    return new_home


@pytest.fixture
def caller(site: Home, settings: WebHookSettings) -> Caller:
    """Return a caller beside the simulated cloud, through the relay."""
    return Caller(through_the_cloud(site.hass), settings, site.installation.id)


def transport(call: Call) -> Callable[[HookRequest], Awaitable[HookResponse]]:
    """Return how the simulated cloud sends its calls."""
    lock = asyncio.Lock()

    async def send(request: HookRequest) -> HookResponse:
        webhook_id = request.url.rpartition("/")[2]
        # The WebSocket answers one call after another.
        async with lock:
            reply = await call("POST", webhook_id, request.headers, request.body)
        document = json.dumps(reply.document).encode()
        return HookResponse(reply.status, document, reply.content_type)

    return send


@asynccontextmanager
async def situation_of(
    home: Home, situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[None]:
    """Let Home Assistant be in a situation, and continue afterwards."""
    hass, entry = home.hass, home.entry
    gate = asyncio.Event()
    reached = asyncio.Event()

    def hold(owner: type, name: str) -> None:
        """Let a function wait until the situation is over."""
        function = getattr(owner, name)

        async def wait(self: Any, *args: Any) -> Any:
            reached.set()
            await gate.wait()
            return await function(self, *args)

        monkeypatch.setattr(owner, name, wait)

    match situation:
        case Situation.RUNNING:
            yield
        case Situation.STARTING | Situation.STOPPING:
            hass.set_state(CoreState[situation.value])
            yield
            hass.set_state(CoreState.running)
        case Situation.FAILING_PERMIT | Situation.FAILING_REFUSE:
            with monkeypatch.context() as patches:
                patches.setattr(ChargingAccess, "async_decide", _fail)
                yield
        case Situation.UNLOADED:
            await home.stop()
            yield
            await home.start()
        case Situation.FAILED:
            home.sim.rest.fail("", fault=500)
            await hass.config_entries.async_reload(entry.entry_id)
            assert entry.state is ConfigEntryState.SETUP_RETRY
            yield
            home.sim.rest.heal()
            await home.reload()
        case _:
            if situation is Situation.LOADING:
                hold(ZaptecCoordinator, "async_config_entry_first_refresh")
                state = ConfigEntryState.SETUP_IN_PROGRESS
            else:
                hold(Batches, "async_close")
                state = ConfigEntryState.UNLOAD_IN_PROGRESS
            reload = asyncio.create_task(
                hass.config_entries.async_reload(entry.entry_id)
            )
            await reached.wait()
            assert entry.state is state
            try:
                yield
            finally:
                gate.set()
                await reload
            await home.wait_until_live()


async def _fail(*_args: object) -> None:
    """Fail, as if there was a fault in our own part."""
    raise RuntimeError


async def _pass(home: Home, seconds: float) -> None:
    """Let time pass, and wait until all calls are answered."""
    if home.entry.state in (
        ConfigEntryState.SETUP_IN_PROGRESS,
        ConfigEntryState.UNLOAD_IN_PROGRESS,
    ):
        # Home Assistant is never idle while the account waits.
        await home.time_machine.pass_by(seconds)
    else:
        await home.travel(seconds)
    await home.sim.web_hooks.settle()


async def _ask(home: Home, code: str | None) -> Phase:
    """Plug a car in, show a card, and return how far its authorization is."""
    home.charger.plug_in(Car())
    await _pass(home, 2)
    if code and home.charger.authorization is Phase.ASKING:
        home.charger.show_card(code)
        await home.sim.web_hooks.settle()
    return home.charger.authorization


async def _leave(home: Home) -> None:
    """Unplug the car, and wait until its session is reported."""
    home.charger.unplug()
    for _ in range(6):
        await _pass(home, 5)


@pytest.mark.parametrize(
    ("situation", "on_error"),
    [
        *((item, OnError.PERMIT) for item in Situation if "failing" not in item),
        (Situation.FAILING_PERMIT, OnError.PERMIT),
        (Situation.FAILING_REFUSE, OnError.REFUSE),
    ],
)
async def test_who_may_charge(
    site: Home, way: Way, situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each mode decides about each card, if need be only while everything runs."""
    access = await async_get_access(site.hass, site.entry.entry_id)
    async with situation_of(site, situation, monkeypatch):
        for mode in Access:
            await access.async_set_access(site.installation.id, mode)
            for card in Card:
                site.sim.web_hooks.calls.clear()
                phase = await _ask(site, card.code)
                last = site.sim.web_hooks.calls[-1]
                if is_cut_off(way, situation):
                    assert (phase, last.status) == (Phase.DENIED, 503)
                elif expected(mode, card, situation):
                    assert (phase, last.status) == (Phase.PERMITTED, 200), (mode, card)
                    assert str(UUID(last.session_id)) == last.session_id
                    # The session begins, so its end is reported.
                    await _pass(site, 10)
                    assert site.charger.session
                else:
                    assert last.status == 401, (mode, card)
                    waits = Phase.REFUSED if card.code else Phase.ASKING
                    assert phase is waits, (mode, card)
                await _leave(site)
                await wait_until(lambda: access.pending_until(site.charger.id) is None)
    assert site.sim.web_hooks.problems == []


@pytest.mark.parametrize(
    "situation", [item for item in Situation if "failing" not in item]
)
async def test_what_was_decided_before(
    site: Home,
    way: Way,
    caller: Caller,
    situation: Situation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A car that was permitted stays permitted, with the id that it was given.

    The second car has waited, and was authorized before the interruption.
    """
    access = await async_get_access(site.hass, site.entry.entry_id)
    await access.async_set_access(site.installation.id, Access.ASK)
    assert await _ask(site, None) is Phase.ASKING
    await access.async_authorize(site.charger.id, None)
    async with situation_of(site, situation, monkeypatch):
        await _pass(site, 10)
        if is_cut_off(way, situation):
            assert site.charger.authorization is Phase.DENIED
            return
        assert site.charger.authorization is Phase.PERMITTED
        session_id = site.sim.web_hooks.calls[-1].session_id
        assert session_id
        # The answer may have been lost on its way.
        assert (await caller.start(site.charger.id)).session_id == session_id
    assert (await caller.start(site.charger.id)).session_id == session_id


@pytest.mark.parametrize("situation", list(Situation))
async def test_sessions_end_in_each_situation(
    site: Home, way: Way, situation: Situation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a session is stored, whatever Home Assistant is doing."""
    assert await _ask(site, None) is Phase.PERMITTED
    async with situation_of(site, situation, monkeypatch):
        await _pass(site, 60)
        await _leave(site)
        last = site.sim.web_hooks.calls[-1]
        if not is_cut_off(way, situation):
            assert (last.hook, last.status) == ("end", 200)
    # What was not stored is reported again.
    await _pass(site, site.sim.web_hooks.retry_interval)
    assert site.sim.web_hooks.unreported == []


@pytest.mark.parametrize("way", [Way.CLOUD])
async def test_a_restart_within_the_five_minutes(
    site: Home,
    hass_storage: dict[str, Any],
    settings: WebHookSettings,
) -> None:
    """A car that waits is asked for again after a restart; what was decided is not lost."""
    hass, hooks = site.hass, site.sim.web_hooks
    access = await async_get_access(hass, site.entry.entry_id)
    await access.async_set_access(site.installation.id, Access.ASK)
    for authorized_before in (True, False):
        assert await _ask(site, None) is Phase.ASKING
        if authorized_before:
            await access.async_authorize(site.charger.id, None)
        await site.stop()
        hooks.faults.add("unreachable")
        # What is in memory is lost.
        hass.data.pop(charging_access._ACCESSES)
        for webhook_id in settings.ids:
            ha_webhook.async_unregister(hass, webhook_id)
        await _pass(site, 60)
        hooks.faults.heal()
        async_setup_web_hooks(hass)
        await site.start()
        access = await async_get_access(hass, site.entry.entry_id)
        assert access.access_of(site.installation.id) is Access.ASK
        if not authorized_before:
            assert access.pending_until(site.charger.id)
            await access.async_authorize(site.charger.id, None)
        await _pass(site, 10)
        assert site.charger.authorization is Phase.PERMITTED
        await _leave(site)
    assert hooks.problems == []
