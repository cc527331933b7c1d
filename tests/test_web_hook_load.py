"""What calls of web hooks cost, in executed instructions and writes, which do not depend on the machine."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from homeassistant.helpers.storage import Store
import pytest

from custom_components.zaptec import webhook
from custom_components.zaptec.control.charging_access import async_get_access
from custom_components.zaptec.web_hook_calls import BODY_SIZE_MAX
from custom_components.zaptec.web_hook_settings import (
    Door,
    OnError,
    WebHookSettings,
    async_get_watch,
    async_store,
)
from scripts.measure.units import Units, counted
from simulator.scenario import Scenario

from .home import Home, mixed_chargers
from .web_hook_callers import Caller, through_the_cloud

# Number of calls of a stranger.
STRANGERS = 1000

# Maximum of what the integration executes for a call of a stranger (instructions); some
# 320 were counted.
STRANGER_UNITS_MAX = 600

# Maximum number of writes for cars that are plugged in at the same time: one that has begun,
# and one for all that came meanwhile.
WRITES_MAX = 3

CARS = 100

_FOLDER = str(Path(__file__).resolve().parents[1] / "custom_components")


def garage(chargers: int) -> Scenario:
    """Return an installation with a number of chargers."""
    scenario = Scenario.of(1)
    [installation] = scenario.installations
    chargers_of_all_kinds = mixed_chargers(chargers)
    return replace(
        scenario, installations=(replace(installation, chargers=chargers_of_all_kinds),)
    )


@pytest.fixture
def settings() -> WebHookSettings:
    """Return the web hooks of the installation."""
    return WebHookSettings.new(OnError.REFUSE)


@pytest.fixture
async def web_home(new_home: Home, settings: WebHookSettings) -> Home:
    """Return a home whose web hooks are set up, and whose account is live."""
    async_store(new_home.hass, new_home.entry, new_home.installation.id, settings)
    await new_home.start()
    return new_home


@pytest.fixture
def relay(web_home: Home, settings: WebHookSettings) -> Caller:
    """Return a caller through the cloud's relay."""
    return Caller(through_the_cloud(web_home.hass), settings, web_home.installation.id)


@contextmanager
def ours() -> Generator[Units]:
    """Count what the integration executes."""
    with counted(lambda file: file.startswith(_FOLDER)) as units:
        yield units


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the stores that are written, in order."""
    found: list[str] = []
    save = Store.async_save

    async def note(self: Store[Any], data: Any) -> None:
        found.append(self.key)
        # As on a disk, it takes a while, during which others continue.
        await asyncio.sleep(0)
        await save(self, data)

    monkeypatch.setattr(Store, "async_save", note)
    return found


async def test_strangers_change_nothing(
    web_home: Home,
    relay: Caller,
    settings: WebHookSettings,
    writes: list[str],
    hass_storage: dict[str, Any],
) -> None:
    """Calls with a wrong password are counted, and have no other effect."""
    hass = web_home.hass
    access = await async_get_access(hass, web_home.entry.entry_id)
    body = {
        "chargerId": web_home.charger.id,
        "installationId": web_home.installation.id,
        "token": "nfc-0477AA55BB33",
    }
    states = {state.entity_id: state for state in hass.states.async_all()}
    stored = access._as_dict()
    for _ in range(STRANGERS):
        reply = await relay.call(
            settings.start_id, body, {"Authorization": "Basic eA=="}
        )
        assert reply.status == 401

    assert writes == []
    assert access._as_dict() == stored
    assert access.pending_until(web_home.charger.id) is None
    watch = async_get_watch(hass, web_home.installation.id)
    assert watch.wrong_credentials == STRANGERS
    assert watch.chargers == {}
    changed = {
        state.entity_id
        for state in hass.states.async_all()
        if states.get(state.entity_id) is not state
    }
    assert changed == set()


async def test_the_cost_of_a_stranger(
    web_home: Home, relay: Caller, settings: WebHookSettings
) -> None:
    """The password is checked before the body is looked at, so a body costs nothing."""
    found: list[int] = []
    for body in (b"", b'{"token":1}', b"[" * BODY_SIZE_MAX, b"x" * 1_000_000):
        with ours() as units:
            await relay.call(settings.start_id, body, {"Authorization": "Basic eA=="})
        found.append(units.total)

    assert 0 < found[0] <= STRANGER_UNITS_MAX
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    "scenario",
    [garage(CARS)],
)
async def test_many_cars_at_once(
    web_home: Home, relay: Caller, writes: list[str]
) -> None:
    """All cars of a large site are decided about and stored together."""
    chargers = list(web_home.sim.chargers)
    assert len(chargers) == CARS
    replies = await asyncio.gather(*map(relay.start, chargers))

    assert {reply.status for reply in replies} == {200}
    assert len({reply.session_id for reply in replies}) == CARS
    assert 1 <= len(writes) <= WRITES_MAX
    # Repeated calls are answered with what is stored already.
    writes.clear()
    assert await asyncio.gather(*map(relay.start, chargers)) == replies
    assert writes == []


async def test_a_decision_is_stored_before_it_is_answered(
    web_home: Home, relay: Caller, hass_storage: dict[str, Any], writes: list[str]
) -> None:
    """A power cut after the answer does not lose the id of the session."""
    session_id = (await relay.start(web_home.charger.id)).session_id
    name = f"zaptec.access.{web_home.entry.entry_id}"
    assert session_id
    assert session_id in str(hass_storage[name])
    assert writes == [name]

    writes.clear()
    assert (await relay.end(session_id)).status == 200
    assert name in writes
    count = len(writes)
    assert (await relay.end(session_id)).status == 200
    assert len(writes) == count


@pytest.mark.parametrize(
    "scenario",
    [garage(40)],
)
async def test_the_cost_of_a_decision(web_home: Home, relay: Caller) -> None:
    """A car that waits among many others costs no more than one that waits alone."""
    first, *others = web_home.sim.chargers
    await relay.start(first)
    with ours() as alone:
        await relay.start(first)
    for charger_id in others:
        await relay.start(charger_id)
    with ours() as among_others:
        await relay.start(first)

    assert among_others.total <= 1.1 * alone.total


@pytest.mark.parametrize("door", list(Door))
async def test_a_disk_that_hangs(
    web_home: Home,
    relay: Caller,
    writes: list[str],
    monkeypatch: pytest.MonkeyPatch,
    door: Door,
) -> None:
    """A repeated call does not succeed before the change of the first one is stored."""
    charger_id = web_home.charger.id
    call = partial(relay.start, charger_id)
    if door is Door.END:
        call = partial(relay.end, (await relay.start(charger_id)).session_id)
    writes.clear()
    with monkeypatch.context() as patches:
        patches.setattr(Store, "async_save", lambda *_args: asyncio.Event().wait())
        patches.setattr(webhook, "DECISION_TIME", 0.05)
        for _ in range(2):
            assert (await call()).status == 401
    assert writes == []
    assert (await call()).status == 200
    assert len(writes) >= 1
