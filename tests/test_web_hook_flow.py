"""The options that set up, show, renew and turn off web hooks."""

from collections.abc import Awaitable, Callable
import socket
import sys
from types import ModuleType
from typing import Any, cast
from urllib.parse import parse_qs

from homeassistant.components.http import ApiConfig
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.zaptec import web_hook_flow
from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.web_hook_removal import async_turn_off
from custom_components.zaptec.web_hook_settings import (
    CONF_WEB_HOOKS,
    RETIRED_IDS_MAX,
    CallProblem,
    Door,
    OnError,
    WebHookSettings,
    async_get_watch,
    async_store,
    from_entry,
)
from custom_components.zaptec.web_hook_urls import WebHookUrlError, base_url
from simulator.car import Car
from simulator.charger import Charger
from simulator.observations import Mode
from simulator.scenario import Scenario
from simulator.simulator import Simulator

from .conftest import add_entry, wait_until
from .time_machine import TimeMachine

type Result = dict[str, Any]

REAL_CLOUD = "https://api.zaptec.com"


class Dialog:
    """The dialog of the options, as the user clicks through it."""

    def __init__(self, hass: HomeAssistant, entry: MockConfigEntry) -> None:
        """Initialize the dialog."""
        self._hass = hass
        self._entry = entry
        self._flow_id = ""

    async def open(self) -> Result:
        """Open the options and select the web hooks."""
        menu = await self._hass.config_entries.options.async_init(self._entry.entry_id)
        assert menu["type"] is FlowResultType.MENU
        self._flow_id = menu["flow_id"]
        return await self.choose("web_hooks")

    async def choose(self, step_id: str) -> Result:
        """Choose an item of a menu."""
        return await self.submit({"next_step_id": step_id})

    async def submit(self, values: dict[str, Any] | None = None) -> Result:
        """Submit a form."""
        result = await self._hass.config_entries.options.async_configure(
            self._flow_id, {} if values is None else values
        )
        return cast(Result, dict(result))

    async def look(self) -> Result:
        """Return what the dialog shows once something has happened."""
        await self._hass.async_block_till_done()
        result = await self._hass.config_entries.options.async_configure(self._flow_id)
        return cast(Result, dict(result))


@pytest.fixture
def dialog(hass: HomeAssistant, live_entry: MockConfigEntry) -> Dialog:
    """Return the dialog of the options."""
    hass.config.internal_url = "http://127.0.0.1:8123"
    return Dialog(hass, live_entry)


async def set_up_web_hooks(dialog: Dialog, on_error: str = "permit") -> Result:
    """Click through the dialog up to the values for the portal."""
    form = await dialog.open()
    assert form["step_id"] == "web_hooks_set_up"
    return await dialog.submit({"on_error": on_error})


def only_settings(entry: MockConfigEntry) -> WebHookSettings:
    """Return the settings of the only installation with web hooks."""
    (settings,) = from_entry(entry).values()
    return settings


async def test_set_up_and_first_call(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    charger: Charger,
) -> None:
    """The user learns what it is, gets the values for the portal, and sees the first call."""
    form = await dialog.open()
    assert form["description_placeholders"]["name"] == charger.installation.name
    assert live_entry.data.get(CONF_WEB_HOOKS) is None

    form = await dialog.submit({"on_error": "refuse"})
    settings = only_settings(live_entry)
    assert list(from_entry(live_entry)) == [charger.installation.id]
    assert settings.on_error is OnError.REFUSE
    assert form["step_id"] == "web_hooks_values"
    assert form["errors"] == {}
    shown = form["description_placeholders"]
    assert parse_qs(shown["payload"]) == {
        "username": [settings.username],
        "password": [settings.password],
    }
    base = "http://127.0.0.1:8123/api/webhook/"
    assert shown["start_url"] == f"{base}{settings.start_id}" == settings.start_url
    assert shown["end_url"] == f"{base}{settings.end_id}" == settings.end_url

    result = await dialog.submit()
    assert result["type"] is FlowResultType.SHOW_PROGRESS
    watch = async_get_watch(hass, charger.installation.id)
    watch.note_call(Door.START, dt_util.utcnow(), charger.id)
    result = await dialog.look()
    assert result["step_id"] == "web_hooks_called"
    assert result["description_placeholders"]["charger"] == charger.name

    options = dict(live_entry.options)
    result = await dialog.submit()
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert live_entry.options == options
    await hass.async_block_till_done()
    assert live_entry.state is ConfigEntryState.LOADED
    assert only_settings(live_entry) == settings


async def test_the_cloud_makes_the_first_call(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    dialog: Dialog,
    charger: Charger,
    hass_client_no_auth: ClientSessionGenerator,
) -> None:
    """With the shown values in the portal, the first car is asked for over HTTP, and charges."""
    client = await hass_client_no_auth()
    hass.config.internal_url = str(client.make_url("")).rstrip("/")
    form = await set_up_web_hooks(dialog)
    await hass.async_block_till_done()
    shown = form["description_placeholders"]
    payload = parse_qs(shown["payload"])
    charger.installation.set_web_hooks(
        shown["start_url"],
        shown["end_url"],
        payload["username"][0],
        payload["password"][0],
    )
    assert (await dialog.submit())["type"] is FlowResultType.SHOW_PROGRESS
    charger.plug_in(Car())
    watch = async_get_watch(hass, charger.installation.id)
    await time_machine.travel(15)
    await wait_until(lambda: watch.last_call is not None)
    result = await dialog.look()
    assert result["step_id"] == "web_hooks_called"
    assert result["description_placeholders"]["charger"] == charger.name
    await time_machine.travel(30)
    assert charger.mode is Mode.CHARGING


@pytest.mark.parametrize(
    ("note", "step_id"),
    [
        ("call", "web_hooks_called"),
        ("credentials", "web_hooks_wrong_credentials"),
        ("problem", "web_hooks_not_understood"),
    ],
)
async def test_what_came_is_shown(
    hass: HomeAssistant,
    dialog: Dialog,
    charger: Charger,
    note: str,
    step_id: str,
) -> None:
    """The user learns whether the first call was right, and else why not."""
    watch = async_get_watch(hass, charger.installation.id)
    # What came before is no sign that the values are right now.
    watch.note_wrong_credentials(dt_util.utcnow())
    await set_up_web_hooks(dialog)
    assert (await dialog.submit())["type"] is FlowResultType.SHOW_PROGRESS
    notes: dict[str, Callable[[], None]] = {
        "call": lambda: watch.note_call(Door.START, dt_util.utcnow(), charger.id),
        "credentials": lambda: watch.note_wrong_credentials(dt_util.utcnow()),
        "problem": lambda: watch.note_problem(CallProblem.BODY, dt_util.utcnow()),
    }
    notes[note]()
    result = await dialog.look()
    assert result["step_id"] == step_id
    if result["type"] is FlowResultType.MENU:
        # Another call is needed to see that it works now.
        result = await dialog.choose("web_hooks_wait")
        assert result["type"] is FlowResultType.SHOW_PROGRESS
        notes["call"]()
        assert (await dialog.look())["step_id"] == "web_hooks_called"


async def test_a_call_while_the_values_are_shown(
    hass: HomeAssistant, dialog: Dialog, charger: Charger
) -> None:
    """A call may come before the user continues."""
    await set_up_web_hooks(dialog)
    watch = async_get_watch(hass, charger.installation.id)
    watch.note_call(Door.START, dt_util.utcnow(), charger.id)
    result = await dialog.submit()
    assert result["step_id"] == "web_hooks_called"
    assert result["type"] is FlowResultType.FORM


async def test_nothing_comes(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    dialog: Dialog,
    live_entry: MockConfigEntry,
) -> None:
    """After five minutes, the user learns what to check, and may show the values again."""
    shown = (await set_up_web_hooks(dialog))["description_placeholders"]
    await dialog.submit()
    await time_machine.travel(240, step=30)
    assert (await dialog.look())["type"] is FlowResultType.SHOW_PROGRESS
    await time_machine.travel(65, step=30)
    result = await dialog.look()
    assert result["step_id"] == "web_hooks_silent"
    again = await dialog.choose("web_hooks_values")
    assert again["description_placeholders"] == shown
    assert web_hook_flow.FIRST_CALL_TIME == 300


async def test_waiting_ends_with_the_dialog(
    hass: HomeAssistant, dialog: Dialog, charger: Charger
) -> None:
    """Nothing waits once the user has closed the dialog."""
    await set_up_web_hooks(dialog)
    result = await dialog.submit()
    watch = async_get_watch(hass, charger.installation.id)
    assert watch._listeners
    hass.config_entries.options.async_abort(result["flow_id"])
    await hass.async_block_till_done()
    assert not watch._listeners


async def test_everything_can_be_shown_and_renewed(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    charger: Charger,
) -> None:
    """Renewed secrets are others; the old ids are known until the web hooks are turned off."""
    shown = (await set_up_web_hooks(dialog))["description_placeholders"]
    before = only_settings(live_entry)
    await hass.async_block_till_done()
    menu = await dialog.open()
    assert menu["step_id"] == "web_hooks_manage"
    form = await dialog.choose("web_hooks_values")
    assert form["description_placeholders"] == shown

    watch = async_get_watch(hass, charger.installation.id)
    watch.note_wrong_credentials(dt_util.utcnow())
    await dialog.open()
    form = await dialog.choose("web_hooks_renew")
    assert only_settings(live_entry) == before
    form = await dialog.submit()
    assert form["step_id"] == "web_hooks_values"
    after = only_settings(live_entry)
    assert not {*before.ids, before.password, before.username} & {
        after.start_id,
        after.end_id,
        after.password,
        after.username,
    }
    assert set(before.ids) <= set(after.ids)
    assert form["description_placeholders"]["payload"] == after.payload
    assert watch.wrong_credentials == 0

    await dialog.submit()
    watch.note_call(Door.START, dt_util.utcnow(), charger.id)
    assert (await dialog.look())["step_id"] == "web_hooks_called"
    # The portal may still have the old end URL.
    await hass.async_block_till_done()
    assert only_settings(live_entry) == after


async def test_what_happens_if_something_fails_can_be_changed(
    hass: HomeAssistant, dialog: Dialog, live_entry: MockConfigEntry
) -> None:
    """The option is changed without new secrets."""
    await set_up_web_hooks(dialog)
    before = only_settings(live_entry)
    await dialog.open()
    form = await dialog.choose("web_hooks_failure")
    (field,) = form["data_schema"].schema
    assert field.description == {"suggested_value": "permit"}
    result = await dialog.submit({"on_error": "refuse"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    after = only_settings(live_entry)
    assert after.on_error is OnError.REFUSE
    assert after.ids == before.ids
    assert after.payload == before.payload
    await hass.async_block_till_done()


async def test_turn_off(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    charger: Charger,
) -> None:
    """The user learns what to change in the portal, and nothing is left."""
    data = dict(live_entry.data)
    await set_up_web_hooks(dialog)
    watch = async_get_watch(hass, charger.installation.id)
    await hass.async_block_till_done()
    await dialog.open()
    form = await dialog.choose("web_hooks_turn_off")
    assert form["description_placeholders"]["portal_url"]
    assert only_settings(live_entry)
    # The dialog may be open twice.
    await async_turn_off(hass, live_entry, charger.installation.id)
    assert (await dialog.submit())["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    assert dict(live_entry.data) == data
    assert async_get_watch(hass, charger.installation.id) is not watch
    assert live_entry.state is ConfigEntryState.LOADED


@pytest.mark.parametrize(
    "step_id", ["web_hooks_values", "web_hooks_failure", "web_hooks_renew"]
)
async def test_turned_off_in_another_window(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    charger: Charger,
    step_id: str,
) -> None:
    """A dialog that is still open then says so."""
    await set_up_web_hooks(dialog)
    await hass.async_block_till_done()
    await dialog.open()
    async_store(hass, live_entry, charger.installation.id, None)
    result = await dialog.choose(step_id)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "web_hooks_off"


async def test_turned_off_while_a_call_is_awaited(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    charger: Charger,
) -> None:
    """What came is shown even if the web hooks are gone by then."""
    await set_up_web_hooks(dialog)
    await dialog.submit()
    watch = async_get_watch(hass, charger.installation.id)
    async_store(hass, live_entry, charger.installation.id, None)
    watch.note_call(Door.START, dt_util.utcnow(), charger.id)
    assert (await dialog.look())["step_id"] == "web_hooks_called"
    assert CONF_WEB_HOOKS not in live_entry.data


@pytest.mark.parametrize("scenario", [Scenario.default()])
async def test_one_of_several_installations_is_chosen(
    hass: HomeAssistant, sim: Simulator, dialog: Dialog, live_entry: MockConfigEntry
) -> None:
    """Each installation has web hooks of its own."""
    first, second = list(sim.installations.values())[:2]
    for installation in (first, second):
        form = await dialog.open()
        assert form["step_id"] == "web_hooks"
        form = await dialog.submit({"installation": installation.id})
        assert form["description_placeholders"]["name"] == installation.name
        await dialog.submit({"on_error": "permit"})
        await hass.async_block_till_done()
    settings = from_entry(live_entry)
    assert set(settings) == {first.id, second.id}
    assert not set(settings[first.id].ids) & set(settings[second.id].ids)


async def test_web_hooks_of_an_account_that_is_not_running(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    charger: Charger,
) -> None:
    """They can be shown and turned off, but not set up: its installations are unknown."""
    await hass.config_entries.async_unload(live_entry.entry_id)
    result = await dialog.open()
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "web_hooks_no_installation"

    settings = WebHookSettings.new()
    async_store(hass, live_entry, charger.installation.id, settings)
    menu = await dialog.open()
    assert menu["step_id"] == "web_hooks_manage"
    assert menu["description_placeholders"]["name"] == charger.installation.name
    await dialog.choose("web_hooks_turn_off")
    await dialog.submit()
    assert CONF_WEB_HOOKS not in live_entry.data
    assert live_entry.state is ConfigEntryState.NOT_LOADED


async def test_an_installation_that_is_not_known_at_all(
    hass: HomeAssistant, sim: Simulator
) -> None:
    """Web hooks of an installation without a device can be turned off, too."""
    entry = add_entry(hass, sim)
    async_store(hass, entry, "gone", WebHookSettings.new())
    menu = await Dialog(hass, entry).open()
    assert menu["description_placeholders"]["name"] == "Zaptec"


async def test_web_hooks_on_another_account(
    hass: HomeAssistant, sim: Simulator, dialog: Dialog, charger: Charger
) -> None:
    """An installation has web hooks on one account only."""
    other = MockConfigEntry(domain=DOMAIN, data={})
    other.add_to_hass(hass)
    async_store(hass, other, charger.installation.id, WebHookSettings.new())
    result = await dialog.open()
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "web_hooks_elsewhere"


async def test_set_up_on_another_account_meanwhile(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    charger: Charger,
) -> None:
    """The account that was first keeps them."""
    await dialog.open()
    other = MockConfigEntry(domain=DOMAIN, data={})
    other.add_to_hass(hass)
    async_store(hass, other, charger.installation.id, WebHookSettings.new())
    result = await dialog.submit({"on_error": "permit"})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "web_hooks_elsewhere"
    assert CONF_WEB_HOOKS not in live_entry.data


async def test_the_end_of_a_session_is_no_first_call(
    hass: HomeAssistant, dialog: Dialog, charger: Charger
) -> None:
    """It does not show that the cloud asks who may charge, so the dialog goes on waiting."""
    await set_up_web_hooks(dialog)
    watch = async_get_watch(hass, charger.installation.id)
    watch.note_call(Door.END, dt_util.utcnow())
    assert (await dialog.submit())["type"] is FlowResultType.SHOW_PROGRESS
    watch.note_call(Door.END, dt_util.utcnow())
    assert (await dialog.look())["type"] is FlowResultType.SHOW_PROGRESS
    watch.note_call(Door.START, dt_util.utcnow(), charger.id)
    assert (await dialog.look())["step_id"] == "web_hooks_called"


@pytest.fixture
def known_hosts(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[str]]:
    """Replace the name service by a table."""
    hosts: dict[str, list[str]] = {}

    async def look_up(host: str, port: int, **_kwargs: object) -> list[Any]:
        if host not in hosts:
            raise socket.gaierror
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in hosts[host]
        ]

    monkeypatch.setattr(hass.loop, "getaddrinfo", look_up)
    return hosts


@pytest.mark.parametrize(
    ("external_url", "error"),
    [
        (None, "web_hooks_no_url"),
        ("http://home.example.org", "web_hooks_plain_http"),
        ("https://192.168.1.5:8123", "web_hooks_private"),
        ("https://[fd00::1]", "web_hooks_private"),
        ("https://127.0.0.1", "web_hooks_private"),
        ("https://100.64.0.1", "web_hooks_private"),
        ("http://10.0.0.1:8123", "web_hooks_private"),
        ("https://homeassistant.local:8123", "web_hooks_private"),
        ("https://homeassistant", "web_hooks_private"),
        ("https://ha.fritz.box", "web_hooks_private"),
        ("https://unknown.example.org", "web_hooks_unreachable"),
        ("https://nobody.example.org", "web_hooks_unreachable"),
        ("https://home.example.org:8443", None),
        ("https://8.8.8.8", None),
    ],
)
async def test_addresses_that_the_cloud_cannot_reach(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    known_hosts: dict[str, list[str]],
    external_url: str | None,
    error: str | None,
) -> None:
    """They are refused with the reason, and nothing is stored."""
    monkeypatch.setenv("ZAPTEC_API_URL", REAL_CLOUD)
    known_hosts["home.example.org"] = ["192.168.1.5"]
    known_hosts["8.8.8.8"] = ["8.8.8.8"]
    known_hosts["nobody.example.org"] = []
    hass.config.external_url = external_url
    await dialog.open()
    form = await dialog.submit({"on_error": "refuse"})
    if error:
        assert form["step_id"] == "web_hooks_set_up"
        assert form["errors"] == {"base": error}
        (field,) = form["data_schema"].schema
        assert field.description == {"suggested_value": "refuse"}
        assert CONF_WEB_HOOKS not in live_entry.data
        return
    assert form["step_id"] == "web_hooks_values"
    shown = form["description_placeholders"]
    assert shown["start_url"].startswith(f"{external_url}/api/webhook/")
    assert not only_settings(live_entry).is_cloud_hook

    # The values can still be shown when the address is gone, and are not renewed then.
    before = only_settings(live_entry)
    hass.config.external_url = None
    await dialog.open()
    form = await dialog.choose("web_hooks_values")
    assert form["errors"] == {"base": "web_hooks_no_url"}
    assert form["description_placeholders"] == shown
    await dialog.open()
    await dialog.choose("web_hooks_renew")
    form = await dialog.submit()
    assert form["errors"] == {"base": "web_hooks_no_url"}
    assert only_settings(live_entry) == before


async def test_an_address_that_has_changed_is_shown(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    known_hosts: dict[str, list[str]],
) -> None:
    """The values always have the present address."""
    monkeypatch.setenv("ZAPTEC_API_URL", REAL_CLOUD)
    known_hosts |= {"old.example.org": ["8.8.8.8"], "new.example.org": ["8.8.8.8"]}
    hass.config.external_url = "https://old.example.org"
    await set_up_web_hooks(dialog)
    hass.config.external_url = "https://new.example.org"
    await dialog.open()
    form = await dialog.choose("web_hooks_values")
    start_url = form["description_placeholders"]["start_url"]
    assert start_url.startswith("https://new.example.org/")
    assert only_settings(live_entry).start_url == start_url


def test_the_address_for_a_simulated_cloud(hass: HomeAssistant, sim: Simulator) -> None:
    """Only a simulated cloud on this machine is given an internal address."""
    hass.config.external_url = "https://home.example.org"
    hass.config.internal_url = "http://192.168.1.5:8123"
    assert base_url(hass) == "http://192.168.1.5:8123"
    # Home Assistant does not know its address in the network.
    hass.config.internal_url = None
    with pytest.raises(WebHookUrlError, match="web_hooks_no_url"):
        base_url(hass)
    hass.config.api = ApiConfig("127.0.0.1", "127.0.0.1", 8123, use_ssl=False)
    assert base_url(hass) == "http://127.0.0.1:8123"


class Relay:
    """Home Assistant Cloud, by the functions that it offers other integrations.

    The integration itself cannot be imported here, as the environment lacks its requirements.
    """

    def __init__(self) -> None:
        """Initialize a relay that is signed in and connected."""
        self.is_signed_in = True
        self.is_connected = True
        self.hooks: dict[str, str] = {}
        # Number of cloud hooks from which on it can't create another one.
        self.hooks_max = 99
        # What happens in another window while it is asked for a cloud hook.
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    def async_active_subscription(self, _hass: HomeAssistant) -> bool:
        """Return whether it is signed in with an active subscription."""
        return self.is_signed_in

    async def async_get_or_create_cloudhook(
        self, _hass: HomeAssistant, webhook_id: str
    ) -> str:
        """Return the URL of a cloud hook."""
        if self.meanwhile:
            happen, self.meanwhile = self.meanwhile, None
            await happen()
        if not self.is_connected:
            raise HomeAssistantError
        if webhook_id not in self.hooks:
            if len(self.hooks) >= self.hooks_max:
                raise TimeoutError
            self.hooks[webhook_id] = f"https://hooks.nabu.casa/{len(self.hooks)}"
        return self.hooks[webhook_id]

    async def async_delete_cloudhook(
        self, _hass: HomeAssistant, webhook_id: str
    ) -> None:
        """Delete a cloud hook."""
        if webhook_id not in self.hooks:
            raise ValueError("Hook is not enabled for the cloud.")
        del self.hooks[webhook_id]
        if not self.is_connected:
            # It cannot reach the relay, but has forgotten the cloud hook.
            raise ConnectionError


@pytest.fixture
def relay(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> Relay:
    """Return Home Assistant Cloud, which is signed in."""
    monkeypatch.setenv("ZAPTEC_API_URL", REAL_CLOUD)
    relay = Relay()
    monkeypatch.setitem(
        sys.modules, "homeassistant.components.cloud", cast(ModuleType, relay)
    )
    hass.config.components.add("cloud")
    return relay


async def test_cloud_hooks(
    hass: HomeAssistant, dialog: Dialog, live_entry: MockConfigEntry, relay: Relay
) -> None:
    """With Home Assistant Cloud, the URLs are cloud hooks, which are deleted in the end."""
    shown = (await set_up_web_hooks(dialog))["description_placeholders"]
    settings = only_settings(live_entry)
    assert settings.is_cloud_hook
    assert set(relay.hooks) == set(settings.ids)
    assert shown["start_url"] == relay.hooks[settings.start_id]
    assert shown["end_url"] == relay.hooks[settings.end_id]

    # While the relay is out of reach, the values stay as they are.
    relay.is_connected = False
    await dialog.open()
    form = await dialog.choose("web_hooks_values")
    assert form["description_placeholders"] == shown
    assert form["errors"] == {}
    relay.is_connected = True

    # Each renewal keeps the old ones, but not more and more of them.
    for _ in range(RETIRED_IDS_MAX // 2 + 1):
        await dialog.open()
        await dialog.choose("web_hooks_renew")
        await dialog.submit()
        assert set(relay.hooks) == set(only_settings(live_entry).ids)
    assert not set(settings.ids) & set(relay.hooks)

    await dialog.open()
    await dialog.choose("web_hooks_turn_off")
    await dialog.submit()
    assert relay.hooks == {}
    await hass.async_block_till_done()


@pytest.mark.parametrize("created", [0, 1])
async def test_a_renewal_that_fails(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    relay: Relay,
    created: int,
) -> None:
    """It leaves the cloud hooks that are called, and those of earlier renewals."""
    await set_up_web_hooks(dialog)
    await dialog.open()
    await dialog.choose("web_hooks_renew")
    await dialog.submit()
    before = only_settings(live_entry)
    hooks = dict(relay.hooks)
    relay.is_connected = bool(created)
    relay.hooks_max = len(hooks) + created
    await dialog.open()
    await dialog.choose("web_hooks_renew")
    form = await dialog.submit()
    assert form["errors"] == {"base": "web_hooks_cloud"}
    assert only_settings(live_entry) == before
    assert relay.hooks == hooks
    await hass.async_block_till_done()


async def test_a_new_subscription_and_a_relay_that_fails(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    relay: Relay,
    known_hosts: dict[str, list[str]],
) -> None:
    """Cloud hooks from before are kept: the portal may have them."""
    await set_up_web_hooks(dialog)
    hooks = dict(relay.hooks)
    relay.is_signed_in = False
    known_hosts["home.example.org"] = ["8.8.8.8"]
    hass.config.external_url = "https://home.example.org"
    await dialog.open()
    await dialog.choose("web_hooks_values")
    relay.is_signed_in = True
    relay.is_connected = False
    await dialog.open()
    form = await dialog.choose("web_hooks_values")
    assert form["errors"] == {"base": "web_hooks_cloud"}
    assert relay.hooks == hooks
    await hass.async_block_till_done()


@pytest.mark.parametrize("created", [0, 1])
async def test_a_relay_that_fails(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    relay: Relay,
    created: int,
) -> None:
    """The user learns that the relay fails, and nothing is left of a half of the set-up."""
    relay.hooks_max = created
    form = await set_up_web_hooks(dialog)
    assert form["errors"] == {"base": "web_hooks_cloud"}
    assert relay.hooks == {}
    assert CONF_WEB_HOOKS not in live_entry.data


async def test_signed_out_of_the_cloud(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    relay: Relay,
    known_hosts: dict[str, list[str]],
) -> None:
    """The external URL takes the place of cloud hooks when the values are shown again."""
    await set_up_web_hooks(dialog)
    relay.is_signed_in = False
    known_hosts["home.example.org"] = ["8.8.8.8"]
    hass.config.external_url = "https://home.example.org"
    await dialog.open()
    form = await dialog.choose("web_hooks_values")
    shown = form["description_placeholders"]
    assert shown["start_url"].startswith("https://home.example.org/")
    assert not only_settings(live_entry).is_cloud_hook
    await hass.async_block_till_done()


class Windows:
    """Two dialogs about the same installation, in two windows."""

    def __init__(
        self, hass: HomeAssistant, entry: MockConfigEntry, relay: Relay
    ) -> None:
        """Initialize the windows."""
        self.entry = entry
        self.relay = relay
        self.first = Dialog(hass, entry)
        self.second = Dialog(hass, entry)

    async def set_up(self) -> Result:
        """Set up the web hooks in the second window."""
        await self.second.open()
        return await self.second.submit({"on_error": "refuse"})

    async def renew(self) -> Result:
        """Renew the web hooks in the second window."""
        await self.second.open()
        await self.second.choose("web_hooks_renew")
        return await self.second.submit()

    async def turn_off(self) -> Result:
        """Turn off the web hooks in the second window."""
        await self.second.open()
        await self.second.choose("web_hooks_turn_off")
        return await self.second.submit()

    async def change_on_error(self) -> Result:
        """Change what happens if something fails in the second window."""
        await self.second.open()
        await self.second.choose("web_hooks_failure")
        return await self.second.submit({"on_error": "refuse"})

    def check(self, shown: Result) -> None:
        """Check that what the second window shows counts, and nothing else is left."""
        settings = only_settings(self.entry)
        assert shown["description_placeholders"]["payload"] == settings.payload
        assert set(self.relay.hooks) == set(settings.ids)


@pytest.fixture
def windows(
    hass: HomeAssistant, dialog: Dialog, live_entry: MockConfigEntry, relay: Relay
) -> Windows:
    """Return two windows."""
    return Windows(hass, live_entry, relay)


@pytest.mark.parametrize("waits_for_the_relay", [False, True])
async def test_set_up_in_two_windows(
    hass: HomeAssistant, windows: Windows, waits_for_the_relay: bool
) -> None:
    """The values that one of them shows are not replaced by the other one."""
    await windows.first.open()
    seen: list[Result] = []

    async def set_up() -> None:
        seen.append(await windows.set_up())

    if waits_for_the_relay:
        windows.relay.meanwhile = set_up
    else:
        await set_up()
    result = await windows.first.submit({"on_error": "permit"})
    assert (result["type"], result["reason"]) == (
        FlowResultType.ABORT,
        "web_hooks_changed",
    )
    windows.check(*seen)
    await hass.async_block_till_done()


@pytest.mark.parametrize("step_id", ["web_hooks_values", "web_hooks_renew"])
@pytest.mark.parametrize("is_connected", [False, True])
async def test_renewed_in_another_window(
    hass: HomeAssistant, windows: Windows, step_id: str, is_connected: bool
) -> None:
    """A dialog that has waited for the relay meanwhile does not bring the old secrets back."""
    await windows.set_up()
    seen: list[Result] = []

    async def renew() -> None:
        seen.append(await windows.renew())
        windows.relay.is_connected = is_connected

    await windows.first.open()
    windows.relay.meanwhile = renew
    result = await windows.first.choose(step_id)
    if step_id == "web_hooks_renew":
        result = await windows.first.submit()
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "web_hooks_changed"
    windows.check(*seen)
    await hass.async_block_till_done()


async def test_renewed_before_a_renewal_was_confirmed(
    hass: HomeAssistant, windows: Windows
) -> None:
    """The user has confirmed to renew others, and learns that they are new already."""
    await windows.set_up()
    await windows.first.open()
    await windows.first.choose("web_hooks_renew")
    shown = await windows.renew()
    assert (await windows.first.submit())["reason"] == "web_hooks_changed"
    windows.check(shown)
    await hass.async_block_till_done()


@pytest.mark.parametrize("step_id", ["web_hooks_values", "web_hooks_renew"])
async def test_turned_off_while_the_relay_is_waited_for(
    hass: HomeAssistant, windows: Windows, step_id: str
) -> None:
    """They stay off, and no cloud hook is left."""
    await windows.set_up()
    await windows.first.open()
    windows.relay.meanwhile = windows.turn_off
    result = await windows.first.choose(step_id)
    if step_id == "web_hooks_renew":
        result = await windows.first.submit()
    assert result["reason"] == "web_hooks_off"
    assert CONF_WEB_HOOKS not in windows.entry.data
    assert windows.relay.hooks == {}
    await hass.async_block_till_done()


@pytest.mark.parametrize("step_id", ["web_hooks_values", "web_hooks_renew"])
async def test_another_setting_is_changed_while_the_relay_is_waited_for(
    hass: HomeAssistant, dialog: Dialog, windows: Windows, step_id: str
) -> None:
    """Only what the dialog is about is stored."""
    await set_up_web_hooks(dialog)
    await windows.first.open()
    windows.relay.meanwhile = windows.change_on_error
    result = await windows.first.choose(step_id)
    if step_id == "web_hooks_renew":
        result = await windows.first.submit()
    assert result["step_id"] == "web_hooks_values"
    assert only_settings(windows.entry).on_error is OnError.REFUSE
    windows.check(result)
    await hass.async_block_till_done()


async def test_removed_while_the_relay_is_waited_for(
    hass: HomeAssistant, windows: Windows
) -> None:
    """No cloud hook is left of an account that is removed."""
    await windows.first.open()

    async def remove() -> None:
        await hass.config_entries.async_remove(windows.entry.entry_id)

    windows.relay.meanwhile = remove
    result = await windows.first.submit({"on_error": "permit"})
    assert result["reason"] == "web_hooks_off"
    assert windows.relay.hooks == {}


async def test_removal_of_the_account(
    hass: HomeAssistant,
    dialog: Dialog,
    live_entry: MockConfigEntry,
    relay: Relay,
    charger: Charger,
) -> None:
    """Cloud hooks and the record of calls are gone; an issue says what to do in the portal."""
    await set_up_web_hooks(dialog)
    await hass.async_block_till_done()
    watch = async_get_watch(hass, charger.installation.id)
    await hass.config_entries.async_remove(live_entry.entry_id)
    assert relay.hooks == {}
    assert async_get_watch(hass, charger.installation.id) is not watch
    issue = ir.async_get(hass).async_get_issue(
        DOMAIN, f"web_hooks_removed_{live_entry.entry_id}"
    )
    assert issue
    assert issue.is_fixable
    assert issue.is_persistent


async def test_removal_of_an_account_without_web_hooks(
    hass: HomeAssistant, live_entry: MockConfigEntry
) -> None:
    """There is nothing to change in the portal then."""
    await hass.config_entries.async_remove(live_entry.entry_id)
    assert not ir.async_get(hass).issues
