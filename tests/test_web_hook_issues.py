"""The repair issues about web hooks, and what diagnostics show of them."""

from datetime import UTC, datetime, timedelta

from homeassistant.components.repairs import ConfirmRepairFlow
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonObjectType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.diagnostics import async_get_config_entry_diagnostics
from custom_components.zaptec.repairs import async_create_fix_flow
from custom_components.zaptec.web_hook_settings import (
    CallProblem,
    Door,
    WebHookSettings,
    async_get_watch,
    async_store,
)
from simulator.car import Car
from simulator.charger import Charger
from simulator.installation import Installation

from .home import Home, wait_until_live
from .test_issues import texts
from .time_machine import TimeMachine

BASE = "http://127.0.0.1:8123"
WEB_HOOKS = 1


@pytest.fixture
async def settings(
    hass: HomeAssistant, live_entry: MockConfigEntry, charger: Charger
) -> WebHookSettings:
    """Return the web hooks of the installation, which are set up on the account."""
    hass.config.internal_url = BASE
    settings = store(hass, live_entry, charger)
    # The account is reloaded, because entities follow.
    await hass.async_block_till_done()
    await wait_until_live(hass, live_entry)
    return settings


def store(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    charger: Charger,
    base: str = BASE,
    *,
    is_cloud_hook: bool = False,
) -> WebHookSettings:
    """Store web hooks of the installation with URLs that were shown to the user."""
    new = WebHookSettings.new()
    settings = WebHookSettings(
        start_id=new.start_id,
        end_id=new.end_id,
        username=new.username,
        password=new.password,
        start_url=f"{base}/api/webhook/{new.start_id}",
        end_url=f"{base}/api/webhook/{new.end_id}",
        is_cloud_hook=is_cloud_hook,
    )
    async_store(hass, entry, charger.installation.id, settings)
    return settings


def enter(installation: Installation[Charger], settings: WebHookSettings) -> None:
    """Enter the values in the portal."""
    installation.set_web_hooks(
        settings.start_url, settings.end_url, settings.username, settings.password
    )


async def issues(
    hass: HomeAssistant, entry: MockConfigEntry, time_machine: TimeMachine
) -> set[str]:
    """Return the keys of the issues once the lists were read and a minute has passed."""
    await entry.runtime_data.coordinator.async_refresh()
    await time_machine.travel(65, step=30)
    return set(await texts(hass))


async def test_the_portal_has_other_urls(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    charger: Charger,
    settings: WebHookSettings,
) -> None:
    """The type is web hooks, but other ones than ours; then none but ours are entered."""
    installation = charger.installation
    installation.set_web_hooks("https://a.example/1", "https://a.example/2", "a", "b")
    assert await issues(hass, live_entry, time_machine) == {"web_hooks_not_ours"}
    shown = (await texts(hass))["web_hooks_not_ours"]
    assert installation.name in shown
    # The end of one session may be reported elsewhere, too.
    installation.set_web_hooks(settings.start_url, "https://a.example/2", "a", "b")
    assert await issues(hass, live_entry, time_machine) == {"web_hooks_not_ours"}
    enter(installation, settings)
    assert await issues(hass, live_entry, time_machine) == set()
    # The cloud may hide the URLs from this account: then nothing is known against them.
    installation.set_web_hooks("", "", "", "")
    assert await issues(hass, live_entry, time_machine) == set()
    # Without web hooks of our own, it is another system that decides.
    enter(installation, settings)
    async_store(hass, live_entry, installation.id, None)
    await hass.async_block_till_done()
    await wait_until_live(hass, live_entry)
    assert await issues(hass, live_entry, time_machine) == {"web_hook_authorizes"}


async def test_the_type_is_not_web_hooks(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    charger: Charger,
    settings: WebHookSettings,
) -> None:
    """Until the values are entered in the portal, nothing is wrong."""
    charger.plug_in(Car())
    await time_machine.travel(180, step=30)
    assert await issues(hass, live_entry, time_machine) == set()


async def test_an_unknown_type_decides_nothing(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    charger: Charger,
    settings: WebHookSettings,
) -> None:
    """An issue stays as it is while the lists do not show the type."""
    installation = charger.installation
    installation.set_web_hooks("https://a.example/1", "https://a.example/2", "a", "b")
    assert await issues(hass, live_entry, time_machine) == {"web_hooks_not_ours"}
    coordinator = live_entry.runtime_data.coordinator
    listed = coordinator.data.installations.pop(installation.id)
    await time_machine.travel(65, step=30)
    assert set(await texts(hass)) == {"web_hooks_not_ours"}
    coordinator.data.installations[installation.id] = listed


async def test_a_car_waits_without_a_call(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    charger: Charger,
    settings: WebHookSettings,
) -> None:
    """The user learns it after two minutes; only a call ends it, not that the car leaves."""
    enter(charger.installation, settings)
    assert await issues(hass, live_entry, time_machine) == set()
    charger.plug_in(Car())
    await time_machine.travel(70, step=5)
    assert set(await texts(hass)) == set()
    await time_machine.travel(125, step=5)
    assert set(await texts(hass)) == {"web_hooks_no_call"}
    charger.unplug()
    await time_machine.travel(125, step=5)
    assert set(await texts(hass)) == {"web_hooks_no_call"}

    watch = async_get_watch(hass, charger.installation.id)
    # The other web hook works, which says nothing about this one.
    watch.note_call(Door.END, dt_util.utcnow())
    await time_machine.travel(65, step=5)
    assert set(await texts(hass)) == {"web_hooks_no_call"}
    charger.plug_in(Car())
    await time_machine.travel(5, step=5)
    watch.note_call(Door.START, dt_util.utcnow(), charger.id)
    await time_machine.travel(65, step=5)
    assert set(await texts(hass)) == set()
    # The car was asked for, so it may wait for its person as long as it likes.
    await time_machine.travel(300, step=30)
    assert set(await texts(hass)) == set()


async def test_no_call_and_another_type(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    charger: Charger,
    settings: WebHookSettings,
) -> None:
    """Switching back in the portal ends it, too."""
    enter(charger.installation, settings)
    assert await issues(hass, live_entry, time_machine) == set()
    charger.plug_in(Car())
    await time_machine.travel(195, step=5)
    assert set(await texts(hass)) == {"web_hooks_no_call"}
    charger.unplug()
    charger.installation.set_authentication_type(0)
    assert await issues(hass, live_entry, time_machine) == set()


async def test_a_car_from_before_the_start(
    new_home: Home, hass: HomeAssistant, charger: Charger
) -> None:
    """It was asked for before Home Assistant was started, perhaps, and is no problem."""
    hass.config.internal_url = BASE
    settings = store(hass, new_home.entry, charger)
    enter(charger.installation, settings)
    charger.plug_in(Car())
    await new_home.travel(30)
    await new_home.start()
    await new_home.travel(240)
    assert set(await texts(hass)) == set()


async def test_the_external_url_has_changed(
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    settings: WebHookSettings,
) -> None:
    """The user learns that the portal still has the old one, or that there is none."""
    assert await issues(hass, live_entry, time_machine) == set()
    hass.config.internal_url = "http://127.0.0.1:8124"
    assert await issues(hass, live_entry, time_machine) == {"web_hooks_url_changed"}
    hass.config.internal_url = BASE
    assert await issues(hass, live_entry, time_machine) == set()
    # The real cloud needs an external URL, and there is none.
    monkeypatch.setenv("ZAPTEC_API_URL", "https://api.zaptec.com")
    assert await issues(hass, live_entry, time_machine) == {"web_hooks_url_changed"}


async def test_signed_out_of_the_cloud(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    charger: Charger,
) -> None:
    """Cloud hooks do not work without Home Assistant Cloud."""
    store(hass, live_entry, charger, "https://hooks.nabu.casa", is_cloud_hook=True)
    await hass.async_block_till_done()
    await wait_until_live(hass, live_entry)
    expected = {"web_hooks_cloud_signed_out"}
    assert await issues(hass, live_entry, time_machine) == expected


async def test_wrong_credentials(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    charger: Charger,
    settings: WebHookSettings,
) -> None:
    """Three of them are an issue, which ends a day after the last one."""
    watch = async_get_watch(hass, charger.installation.id)
    for _ in range(2):
        watch.note_wrong_credentials(dt_util.utcnow())
    assert await issues(hass, live_entry, time_machine) == set()
    watch.note_wrong_credentials(dt_util.utcnow())
    assert await issues(hass, live_entry, time_machine) == {
        "web_hooks_wrong_credentials"
    }
    # Right ones between them are no sign that nobody guesses.
    watch.note_call(Door.START, dt_util.utcnow(), charger.id)
    assert await issues(hass, live_entry, time_machine) == {
        "web_hooks_wrong_credentials"
    }
    watch.last_wrong_credentials = dt_util.utcnow() - timedelta(days=1)
    assert await issues(hass, live_entry, time_machine) == set()


async def test_calls_to_former_urls(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    charger: Charger,
    settings: WebHookSettings,
) -> None:
    """After a renewal, the portal has the old values until the new ones are called."""
    watch = async_get_watch(hass, charger.installation.id)
    watch.note_wrong_credentials(dt_util.utcnow())
    for _ in range(3):
        watch.note_wrong_credentials(dt_util.utcnow(), is_former=True)
    assert await issues(hass, live_entry, time_machine) == {
        "web_hooks_wrong_credentials"
    }
    shown = (await texts(hass))["web_hooks_wrong_credentials"]
    assert "both URLs" in shown
    watch.note_call(Door.START, dt_util.utcnow(), charger.id)
    assert await issues(hass, live_entry, time_machine) == set()
    # The one that was guessed still counts.
    assert watch.wrong_credentials == 1


async def test_issues_end_when_web_hooks_are_turned_off(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    live_entry: MockConfigEntry,
    charger: Charger,
    settings: WebHookSettings,
) -> None:
    """Nothing is left of them."""
    hass.config.internal_url = "http://127.0.0.1:8124"
    watch = async_get_watch(hass, charger.installation.id)
    for _ in range(3):
        watch.note_wrong_credentials(dt_util.utcnow())
    assert len(await issues(hass, live_entry, time_machine)) == 2
    async_store(hass, live_entry, charger.installation.id, None)
    await hass.async_block_till_done()
    await wait_until_live(hass, live_entry)
    assert await issues(hass, live_entry, time_machine) == set()


async def test_the_issue_about_a_removed_account_is_confirmed(
    hass: HomeAssistant,
) -> None:
    """There is nothing to do in Home Assistant."""
    flow = await async_create_fix_flow(hass, "web_hooks_removed_1", None)
    assert type(flow) is ConfirmRepairFlow


async def test_diagnostics(
    hass: HomeAssistant,
    live_entry: MockConfigEntry,
    charger: Charger,
    settings: WebHookSettings,
) -> None:
    """They show what came, and no id, URL, user name or password."""
    shown = await shown_web_hooks(hass, live_entry)
    assert shown["first_call"] is shown["last_door"] is shown["is_ours"] is None
    enter(charger.installation, settings)
    await live_entry.runtime_data.coordinator.async_refresh()
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    watch = async_get_watch(hass, charger.installation.id)
    watch.note_call(Door.START, now, charger.id)
    watch.note_wrong_credentials(now)
    watch.note_problem(CallProblem.BODY, now)
    shown = await shown_web_hooks(hass, live_entry)
    shown.pop("last_call_age")
    assert shown == {
        "cloud_hook": False,
        "on_error": "permit",
        "retired": 0,
        "is_ours": True,
        "first_call": now.isoformat(),
        "last_call": now.isoformat(),
        "last_door": "start",
        "wrong_credentials": 1,
        "last_problem": "body",
        "last_problem_at": now.isoformat(),
    }
    text = str(await async_get_config_entry_diagnostics(hass, live_entry))
    for secret in (*settings.ids, settings.username, settings.password, BASE):
        assert secret not in text


async def shown_web_hooks(
    hass: HomeAssistant, entry: MockConfigEntry
) -> JsonObjectType:
    """Return what diagnostics show of the web hooks of the only installation."""
    result = await async_get_config_entry_diagnostics(hass, entry)
    (installation,) = result["installations"].values()
    shown: JsonObjectType = installation["web_hooks"]
    return shown
