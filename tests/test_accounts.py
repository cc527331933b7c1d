"""Several accounts that see the same chargers, over real sockets."""

import asyncio
from dataclasses import replace
from itertools import permutations

from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntryDisabler,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from simulator.car import Car
from simulator.scenario import DEMO_USER, OWNER, InstallationScenario, Scenario
from simulator.simulator import Simulator

from .conftest import (
    PASSWORD,
    EntityFinder,
    TimeMachine,
    add_entry,
    set_up,
    wait_until,
    wait_until_live,
)

PARTNER = "partner@example.com"
OPTION = "chargers"

# Settings of the user for a device and an entity in the registries.
AREA = "garage"
LABELS = {"solar"}
DEVICE_NAME = "Our charger"
ENTITY_NAME = "What the car draws"


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a cloud that fails on purpose."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    monkeypatch.setattr("custom_components.zaptec.api.transport.RETRY_AFTER_MAX", 0.0)


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with two chargers."""
    return Scenario.of(2)


@pytest.fixture
async def first(
    hass: HomeAssistant, time_machine: TimeMachine, sim: Simulator
) -> MockConfigEntry:
    """Return the entry of the first account, not set up.

    The integration itself is set up already. Otherwise, setting up the first entry would set
    up all entries, in Home Assistant's order.
    """
    assert await async_setup_component(hass, DOMAIN, {})
    return add_entry(hass, sim)


@pytest.fixture
def second(
    hass: HomeAssistant, sim: Simulator, first: MockConfigEntry
) -> MockConfigEntry:
    """Return the entry of a second account with the same roles, not set up."""
    account = sim.accounts[DEMO_USER]
    sim.accounts[PARTNER] = replace(
        account, user_name=PARTNER, roles=dict(account.roles)
    )
    return add_entry(hass, sim, PARTNER)


class Home:
    """Two accounts, their chargers, and their entries in Home Assistant's registries."""

    def __init__(
        self,
        hass: HomeAssistant,
        sim: Simulator,
        time_machine: TimeMachine,
        first: MockConfigEntry,
        second: MockConfigEntry,
    ) -> None:
        """Initialize the home."""
        self.hass = hass
        self.sim = sim
        self.time_machine = time_machine
        self.first = first
        self.second = second
        self.devices = dr.async_get(hass)
        self.entities = er.async_get(hass)

    @property
    def ids(self) -> set[str]:
        """Return the Zaptec ids of all installations and chargers."""
        return {*self.sim.installations, *self.sim.chargers}

    @property
    def entries(self) -> list[MockConfigEntry]:
        """Return the entries of the accounts that have not been removed."""
        return [
            entry
            for entry in (self.first, self.second)
            if self.hass.config_entries.async_get_entry(entry.entry_id)
        ]

    def device(self, device_id: str) -> dr.DeviceEntry:
        """Return the only device with a Zaptec id."""
        (device,) = self.devices.async_get_devices(identifiers={(DOMAIN, device_id)})
        return device

    def add_devices(self, entry: MockConfigEntry, *, with_entities: bool) -> None:
        """Add the devices that custom-components/zaptec leaves, as Home Assistant migrates them."""
        for device_id in self.ids:
            device = self.devices.async_get_or_create(
                config_entry_id=entry.entry_id,
                identifiers={(DOMAIN, device_id)},
                manufacturer="Zaptec",
                name="Zaptec",
            )
            if with_entities:
                self.entities.async_get_or_create(
                    "binary_sensor",
                    DOMAIN,
                    device_id,
                    config_entry=entry,
                    device_id=device.id,
                    has_entity_name=True,
                    original_name="Active",
                )

    def customize(self, entry: MockConfigEntry) -> None:
        """Change settings of each device of an account, and of its entities, like a user."""
        for device in dr.async_entries_for_config_entry(self.devices, entry.entry_id):
            self.devices.async_update_device(
                device.id, area_id=AREA, labels=LABELS, name_by_user=DEVICE_NAME
            )
        for item in er.async_entries_for_config_entry(self.entities, entry.entry_id):
            self.entities.async_update_entity(
                item.entity_id,
                name=ENTITY_NAME,
                labels=LABELS,
                new_entity_id=f"{item.entity_id}_renamed",
            )

    def kept(self) -> dict[str, tuple[object, ...]]:
        """Return all registry settings that must not be lost, by their permanent identifiers."""
        found: dict[str, tuple[object, ...]] = {}
        for device_id in self.ids:
            device = self.device(device_id)
            found[device_id] = (
                device.id,
                device.area_id,
                device.labels,
                device.name_by_user,
            )
        for item in self.entities.entities.values():
            found[f"{item.domain} {item.unique_id}"] = (
                item.id,
                item.entity_id,
                item.device_id,
                item.name,
                item.labels,
                item.disabled_by,
            )
        return found

    def shown_by(self, entry: MockConfigEntry) -> set[str]:
        """Return the Zaptec ids of all devices that an account shows."""
        if entry.state is not ConfigEntryState.LOADED:
            return set()
        data = entry.runtime_data.coordinator.data
        return {*data.installations, *data.chargers}

    async def restart(self, *order: MockConfigEntry) -> None:
        """Restart the accounts in a given order; the registries are kept."""
        for entry in order:
            if entry.state is ConfigEntryState.LOADED:
                await self.hass.config_entries.async_unload(entry.entry_id)
        for entry in order:
            await set_up(self.hass, entry)

    async def disable(self, entry: MockConfigEntry) -> None:
        """Disable an account."""
        await self.hass.config_entries.async_set_disabled_by(
            entry.entry_id, ConfigEntryDisabler.USER
        )

    async def enable(self, entry: MockConfigEntry) -> None:
        """Enable an account."""
        await self.hass.config_entries.async_set_disabled_by(entry.entry_id, None)

    async def check_shown_by(self, owner: MockConfigEntry) -> None:
        """Check that within two minutes one account alone shows everything, and is live."""
        await self.time_machine.travel(110)
        await wait_until_live(self.hass, owner)
        for entry in self.entries:
            assert self.shown_by(entry) == (self.ids if entry is owner else set())
        for device_id in self.ids:
            assert self.device(device_id).config_entry_id == owner.entry_id
        for item in self.entities.entities.values():
            assert item.config_entry_id == owner.entry_id
            assert item.device_id == self.device(item.unique_id.partition("_")[0]).id
        for installation in self.sim.installations.values():
            await wait_until(
                lambda topic=installation.topic: self.sim.bus.consumers(topic) == 1
            )
        for charger in self.sim.chargers.values():
            state_id = self.entities.async_get_entity_id(
                "sensor", DOMAIN, f"{charger.id}_charger_operation_mode"
            )
            assert state_id
            state = self.hass.states.get(state_id)
            assert state
            assert state.state != STATE_UNAVAILABLE
            assert "restored" not in state.attributes


@pytest.fixture
def home(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    first: MockConfigEntry,
    second: MockConfigEntry,
) -> Home:
    """Return the home with both accounts, not set up."""
    return Home(hass, sim, time_machine, first, second)


@pytest.fixture(autouse=True)
def _no_collisions(caplog: pytest.LogCaptureFixture) -> object:
    """Check that no account ever adds an entity that another one has."""
    yield
    assert "does not generate unique IDs" not in caplog.text


@pytest.mark.parametrize("starts_first", ["first", "second"])
@pytest.mark.parametrize("has_entities", ["first", "second"])
async def test_devices_that_both_accounts_had_with_the_incumbent(
    home: Home, starts_first: str, has_entities: str
) -> None:
    """The account that has the entities shows everything, whichever account starts first."""
    owner, other = home.first, home.second
    if has_entities == "second":
        owner, other = other, owner
    home.add_devices(other, with_entities=False)
    home.add_devices(owner, with_entities=True)
    home.customize(owner)
    order = [home.first, home.second]
    if starts_first == "second":
        order.reverse()
    ids = {
        device_id: home.devices.async_get_device_by_identifier(
            (DOMAIN, device_id), owner.entry_id
        )
        for device_id in home.ids
    }
    entities = {item.id: item for item in home.entities.entities.values()}
    await home.restart(*order)
    await home.check_shown_by(owner)
    for device_id, before in ids.items():
        device = home.device(device_id)
        assert before
        assert device.id == before.id
        assert device.name_by_user == DEVICE_NAME
        assert device.area_id == AREA
        assert device.labels == LABELS
    now = {item.id: item for item in home.entities.entities.values()}
    for entity_id, item in entities.items():
        assert now[entity_id].entity_id == item.entity_id
        assert now[entity_id].name == ENTITY_NAME

    before_restart = home.kept()
    await home.restart(*reversed(order))
    await home.check_shown_by(owner)
    assert home.kept() == before_restart


@pytest.mark.parametrize("starts_first", ["first", "second"])
async def test_without_entities_the_account_that_is_older_shows_all(
    home: Home, starts_first: str
) -> None:
    """Without entities, the older account shows everything.

    The user's settings for the other account's devices must not be lost.
    """
    home.add_devices(home.first, with_entities=False)
    home.add_devices(home.second, with_entities=False)
    home.customize(home.second)
    order = [home.first, home.second]
    if starts_first == "second":
        order.reverse()
    await home.restart(*order)
    await home.check_shown_by(home.first)
    for device_id in home.ids:
        device = home.device(device_id)
        assert (device.area_id, device.labels) == (AREA, LABELS)
        assert device.name_by_user == DEVICE_NAME


@pytest.mark.parametrize("starts_first", ["first", "second"])
async def test_entities_that_are_spread_over_both_accounts_come_together(
    home: Home, starts_first: str
) -> None:
    """Entities that are spread over both accounts are moved to one of them.

    With custom-components/zaptec, the account that started first registered an entity.
    """
    home.add_devices(home.first, with_entities=True)
    home.add_devices(home.second, with_entities=False)
    for charger_id in home.sim.chargers:
        device = home.devices.async_get_device_by_identifier(
            (DOMAIN, charger_id), home.second.entry_id
        )
        assert device
        for key in ("charger_operation_mode", "total_charge_power"):
            home.entities.async_get_or_create(
                "sensor",
                DOMAIN,
                f"{charger_id}_{key}",
                config_entry=home.second,
                device_id=device.id,
            )
    entities = {item.id: item.entity_id for item in home.entities.entities.values()}
    order = [home.first, home.second]
    if starts_first == "second":
        order.reverse()
    await home.restart(*order)
    await home.check_shown_by(home.first)
    now = {item.id: item.entity_id for item in home.entities.entities.values()}
    assert entities.items() <= now.items()


@pytest.mark.parametrize("starts_first", ["first", "second"])
async def test_an_account_that_was_disabled_finds_its_chargers_with_the_other(
    home: Home, starts_first: str
) -> None:
    """Disabling an account moves its devices to the other, with ids, names and areas."""
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.first)
    home.customize(home.first)
    await home.hass.async_block_till_done()
    kept = home.kept()

    await home.disable(home.first)
    await home.check_shown_by(home.second)
    assert home.kept() == kept

    await home.enable(home.first)
    await home.check_shown_by(home.second)
    assert home.kept() == kept

    order = [home.first, home.second]
    if starts_first == "second":
        order.reverse()
    await home.restart(*order)
    await home.check_shown_by(home.second)
    await home.time_machine.travel(3700, step=30)
    await home.check_shown_by(home.second)
    assert home.kept() == kept


async def test_an_account_that_is_removed_leaves_everything_to_the_other(
    home: Home,
) -> None:
    """Removing an account while the other runs moves its devices instead of deleting them."""
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.first)
    home.customize(home.first)
    kept = home.kept()
    removed: list[str] = []
    home.hass.bus.async_listen(
        dr.EVENT_DEVICE_REGISTRY_UPDATED,
        lambda event: (
            removed.append(event.data["device_id"])
            if event.data["action"] == "remove"
            else None
        ),
    )
    await home.hass.config_entries.async_remove(home.first.entry_id)
    await home.check_shown_by(home.second)
    assert home.kept() == kept
    # Entities of other integrations on a device are moved with it.
    assert removed == []


@pytest.mark.parametrize("moves_on", ["both devices", "one device"])
async def test_an_entity_of_another_integration_stays_on_the_device(
    home: Home, moves_on: str
) -> None:
    """An entity of another integration, such as a utility meter, stays on its moved device."""
    home.add_devices(home.first, with_entities=False)
    if moves_on == "both devices":
        home.add_devices(home.second, with_entities=True)
    charger_id = next(iter(home.sim.chargers))
    device = home.devices.async_get_device_by_identifier(
        (DOMAIN, charger_id), home.first.entry_id
    )
    assert device
    helper_entry = MockConfigEntry(domain="utility_meter")
    helper_entry.add_to_hass(home.hass)
    helper = home.entities.async_get_or_create(
        "sensor",
        "utility_meter",
        "energy",
        config_entry=helper_entry,
        device_id=device.id,
    )
    await home.disable(home.first)
    await set_up(home.hass, home.second)
    await wait_until_live(home.hass, home.second)
    found = home.entities.async_get(helper.entity_id)
    assert found
    assert found.id == helper.id
    assert found.device_id == home.device(charger_id).id
    assert found.config_entry_id == helper_entry.entry_id


async def test_an_account_takes_over_what_one_left_that_is_disabled_already(
    home: Home,
) -> None:
    """An account that is added after the other was disabled takes over its devices."""
    await set_up(home.hass, home.first)
    await wait_until_live(home.hass, home.first)
    home.customize(home.first)
    kept = home.kept()
    await home.disable(home.first)
    await set_up(home.hass, home.second)
    await home.check_shown_by(home.second)
    assert home.kept() == kept


@pytest.mark.parametrize("path", ["/api/chargers$", "/oauth/token"])
async def test_a_failure_that_passes_moves_no_device(home: Home, path: str) -> None:
    """A temporary failure moves no device; the account is back two minutes after the cloud."""
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.first)
    kept = home.kept()
    await home.hass.config_entries.async_unload(home.first.entry_id)
    home.sim.rest.fail(path, fault=503)
    await set_up(home.hass, home.first)
    assert home.first.state is ConfigEntryState.SETUP_RETRY
    home.sim.rest.heal()
    await home.second.runtime_data.coordinator.async_refresh()
    assert home.shown_by(home.second) == set()
    await home.check_shown_by(home.first)
    assert home.kept() == kept


async def test_a_refused_password_moves_no_device(home: Home) -> None:
    """A refused password moves no device, because the user is asked for the new one."""
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.first)
    kept = home.kept()
    home.sim.set_password(DEMO_USER, "another")
    await home.restart(home.first)
    assert home.first.state is ConfigEntryState.SETUP_ERROR
    await home.time_machine.travel(110)
    assert home.shown_by(home.second) == set()

    await home.disable(home.first)
    await home.check_shown_by(home.second)
    assert home.kept() == kept


async def test_lists_that_fail_do_not_keep_an_account_from_taking_over(
    home: Home,
) -> None:
    """An account can take over devices while the lists fail, because it has its last lists."""
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.first)
    kept = home.kept()
    home.sim.rest.fail("/api/(installation|chargers)$", fault=500)
    await home.second.runtime_data.coordinator.async_refresh()
    assert not home.second.runtime_data.coordinator.last_update_success
    await home.disable(home.first)
    await home.time_machine.travel(110)
    assert home.shown_by(home.second) == home.ids
    home.sim.rest.heal()
    await home.time_machine.travel(600, step=15)
    await home.check_shown_by(home.second)
    assert home.kept() == kept


async def add_partner(home: Home) -> ConfigFlowResult:
    """Add the second account in the user interface."""
    result = await home.hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    return await home.hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_USERNAME: PARTNER, CONF_PASSWORD: PASSWORD}
    )


@pytest.mark.parametrize("is_running", [True, False], ids=["running", "not running"])
async def test_an_account_without_a_charger_of_its_own_is_not_added(
    home: Home, is_running: bool
) -> None:
    """An account without chargers of its own is refused, naming the account that shows them."""
    await home.hass.config_entries.async_remove(home.second.entry_id)
    await set_up(home.hass, home.first)
    await wait_until_live(home.hass, home.first)
    if not is_running:
        await home.hass.config_entries.async_unload(home.first.entry_id)
    result = await add_partner(home)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "chargers_shown"
    assert result["description_placeholders"] == {"accounts": home.first.title}
    assert home.hass.config_entries.async_entries(DOMAIN) == [home.first]


@pytest.mark.parametrize("reason", ["another charger", "left out", "disabled"])
async def test_an_account_with_a_charger_of_its_own_is_added(
    home: Home, reason: str
) -> None:
    """An account with a charger that no other account shows is added, and shows that charger."""
    await home.hass.config_entries.async_remove(home.second.entry_id)
    await set_up(home.hass, home.first)
    await wait_until_live(home.hass, home.first)
    chargers = sorted(home.sim.chargers)
    expected = {*chargers, *home.sim.installations}
    if reason == "another charger":
        cabin = home.sim.add_installation(InstallationScenario(name="Cabin"))
        charger = home.sim.add_charger(cabin.id, serial="ZAP000900", name="Cabin")
        home.sim.accounts[PARTNER].roles[cabin.id] = OWNER
        expected = {cabin.id, charger.id}
    elif reason == "left out":
        expected = {chargers[1]}
        home.hass.config_entries.async_update_entry(
            home.first, options={OPTION: [chargers[0]]}
        )
        await home.hass.config_entries.async_reload(home.first.entry_id)
    else:
        await home.disable(home.first)
    result = await add_partner(home)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await home.hass.async_block_till_done()
    data = result["result"].runtime_data.coordinator.data
    assert {*data.installations, *data.chargers} == expected


async def test_an_account_that_sees_no_charger_yet_is_added(home: Home) -> None:
    """An account that sees no charger yet is added, because its chargers may come later."""
    await home.hass.config_entries.async_remove(home.second.entry_id)
    await set_up(home.hass, home.first)
    home.sim.accounts[PARTNER].roles.clear()
    result = await add_partner(home)
    assert result["type"] is FlowResultType.CREATE_ENTRY


@pytest.mark.parametrize("path", ["/api/installation$", "/api/chargers$"])
async def test_lists_that_fail_while_an_account_is_added_can_be_tried_again(
    home: Home, path: str
) -> None:
    """If the lists fail in the flow, the user can try again; the lists decide about adding."""
    await home.hass.config_entries.async_remove(home.second.entry_id)
    await set_up(home.hass, home.first)
    home.sim.rest.fail(path, fault=503)
    result = await add_partner(home)
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"base": "cloud_busy"}
    home.sim.rest.heal()
    result = await home.hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_USERNAME: PARTNER, CONF_PASSWORD: PASSWORD}
    )
    assert result["type"] is FlowResultType.ABORT


async def test_chargers_that_an_account_leaves_out_are_shown_by_the_other(
    home: Home,
) -> None:
    """A charger that an account's options leave out is shown by the other account.

    The installation has a single subscription, so the other account polls its charger.
    """
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.first)
    home.customize(home.first)
    kept = home.kept()
    kept_here, left_out = sorted(home.sim.chargers)
    (installation_id,) = home.sim.installations
    home.hass.config_entries.async_update_entry(
        home.first, options={OPTION: [kept_here]}
    )
    await home.hass.config_entries.async_reload(home.first.entry_id)
    await home.time_machine.travel(110)
    assert home.shown_by(home.first) == {installation_id, kept_here}
    assert home.shown_by(home.second) == {left_out}
    assert home.kept() == kept
    topic = home.sim.installations[installation_id].topic
    await wait_until(lambda: home.sim.bus.consumers(topic) == 1)
    assert not home.second.runtime_data.links

    home.sim.chargers[left_out].plug_in(Car())
    await home.time_machine.travel(620)
    state_id = home.entities.async_get_entity_id(
        "sensor", DOMAIN, f"{left_out}_charger_operation_mode"
    )
    assert state_id
    state = home.hass.states.get(state_id)
    assert state
    assert state.state == "connected_charging"

    # If all chargers are chosen again, those of one installation are with one account again.
    home.hass.config_entries.async_update_entry(home.first, options={})
    await home.hass.config_entries.async_reload(home.first.entry_id)
    await home.check_shown_by(home.first)
    assert home.kept() == kept


async def test_what_is_left_out_waits_for_an_account_that_is_not_running(
    home: Home,
) -> None:
    """A charger that was left out is not shown by others if an account that has it is not running."""
    kept_here, left_out = sorted(home.sim.chargers)
    home.add_devices(home.first, with_entities=True)
    home.add_devices(home.second, with_entities=False)
    home.customize(home.first)
    before = {item.id: item for item in home.entities.entities.values()}
    home.hass.config_entries.async_update_entry(
        home.first, options={OPTION: [kept_here]}
    )
    await set_up(home.hass, home.first)
    await wait_until_live(home.hass, home.first)
    assert left_out not in home.shown_by(home.first)
    await set_up(home.hass, home.second)
    await home.time_machine.travel(110)
    assert home.shown_by(home.second) == {left_out}
    device = home.device(left_out)
    assert (device.name_by_user, device.area_id) == (DEVICE_NAME, AREA)
    for item in home.entities.entities.values():
        if old := before.get(item.id):
            assert item.device_id == home.device(item.unique_id.partition("_")[0]).id
            assert (item.entity_id, item.name) == (old.entity_id, ENTITY_NAME)
    assert before.keys() <= {item.id for item in home.entities.entities.values()}


@pytest.mark.parametrize("looks_first", ["first", "second"])
async def test_a_new_charger_goes_with_its_installation(
    home: Home, looks_first: str
) -> None:
    """A new charger belongs to the account of its installation, whichever account finds it first."""
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.first)
    (installation,) = home.sim.installations.values()
    # A message of the new charger would make the first account read its lists, too.
    home.sim.bus.interfere(installation.topic, "elsewhere")
    home.sim.add_charger(installation.id, serial="ZAP000900", name="New")
    entry = home.first if looks_first == "first" else home.second
    await entry.runtime_data.coordinator.async_refresh()
    await home.check_shown_by(home.first)


async def test_what_an_account_no_longer_sees_goes_to_the_other_after_an_hour(
    home: Home,
) -> None:
    """Devices that an account no longer sees are moved after an hour, not after one short list."""
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.first)
    home.customize(home.first)
    await home.hass.async_block_till_done()
    kept = home.kept()
    home.sim.accounts[DEMO_USER].roles.clear()
    await home.first.runtime_data.coordinator.async_refresh()
    await home.time_machine.travel(110)
    assert home.shown_by(home.first) == home.ids
    assert home.shown_by(home.second) == set()
    await home.time_machine.travel(7300, step=30)
    await home.check_shown_by(home.second)
    assert home.kept() == kept


async def test_what_an_account_no_longer_sees_at_its_start_goes_to_the_other(
    home: Home,
) -> None:
    """At a start, devices that the account no longer sees are moved to the other at once."""
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.first)
    home.customize(home.first)
    kept = home.kept()
    home.sim.accounts[DEMO_USER].roles.clear()
    await home.restart(home.first, home.second)
    await home.check_shown_by(home.second)
    assert home.kept() == kept


async def test_a_charger_that_moves_to_the_other_accounts_installation(
    home: Home,
) -> None:
    """A charger that moves to the other account's installation changes accounts, too."""
    cabin = home.sim.add_installation(InstallationScenario(name="Cabin"))
    home.sim.accounts[PARTNER].roles.clear()
    home.sim.accounts[PARTNER].roles[cabin.id] = OWNER
    home.sim.add_charger(cabin.id, serial="ZAP000900", name="Cabin")
    await home.restart(home.first, home.second)
    await wait_until_live(home.hass, home.first)
    await wait_until_live(home.hass, home.second)
    home.customize(home.first)
    kept = home.kept()
    moved = next(iter(home.sim.chargers.values()))
    assert moved.id in home.shown_by(home.first)

    # The first account may see the cabin, but does not show it.
    home.sim.accounts[DEMO_USER].roles[cabin.id] = OWNER
    home.sim.move_charger(moved.id, cabin.id)
    await home.first.runtime_data.coordinator.async_refresh()
    await home.time_machine.travel(110)
    assert moved.id not in home.shown_by(home.first)
    assert moved.id in home.shown_by(home.second)
    assert home.kept() == kept
    moved.plug_in(Car())
    await EntityFinder(home.hass).wait_for(
        "sensor", moved.id, "charger_operation_mode", "connected_requesting"
    )


async def test_accounts_that_start_at_the_same_time(home: Home) -> None:
    """If accounts start at the same time, each charger is still shown by exactly one."""
    await asyncio.gather(
        home.hass.config_entries.async_setup(home.first.entry_id),
        home.hass.config_entries.async_setup(home.second.entry_id),
    )
    await home.time_machine.travel(110)
    owner = home.first if home.shown_by(home.first) else home.second
    await home.check_shown_by(owner)
    kept = home.kept()
    for order in permutations((home.first, home.second)):
        await home.restart(*order)
        await home.check_shown_by(owner)
    assert home.kept() == kept
