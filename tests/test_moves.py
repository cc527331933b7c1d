"""A charger that moves to another installation, over real sockets."""

from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN, PushStatus
from simulator.accounts import UserRole
from simulator.car import Car
from simulator.charger import Charger
from simulator.installation import Installation
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, wait_until, wait_until_live

USER = "someone@example.com"


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a cloud that fails on purpose."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)


@pytest.fixture
def scenario() -> Scenario:
    """Return a home with two chargers and a cabin with one."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                available_current=25,
                chargers=(
                    ChargerScenario(serial="ZAP000101", name="Garage"),
                    ChargerScenario(serial="ZAP000102", name="Guests"),
                ),
            ),
            InstallationScenario(
                name="Cabin",
                available_current=16,
                chargers=(ChargerScenario(serial="ZAP000103", name="Shed"),),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name=USER, password="x", roles={"Home": OWNER, "Cabin": OWNER}
            ),
        ),
    )


@pytest.fixture
def cabin(sim: Simulator) -> Installation:
    """Return the installation that the first charger moves to."""
    return next(item for item in sim.installations.values() if item.name == "Cabin")


def registered(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, str]:
    """Return the entity ids of an account, by the ids of the registry."""
    return {
        item.id: item.entity_id
        for item in er.async_entries_for_config_entry(
            er.async_get(hass), entry.entry_id
        )
    }


@pytest.fixture
async def moved(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    charger: Charger,
    cabin: Installation,
) -> Charger:
    """Return a charger that the latest list shows at the cabin."""
    await time_machine.travel(60)
    sim.move_charger(charger.id, cabin.id)
    await time_machine.travel(30)
    await live_entry.runtime_data.coordinator.async_refresh()
    await time_machine.travel(30)
    return charger


async def test_its_device_is_at_the_new_installation(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    charger: Charger,
    cabin: Installation,
) -> None:
    """The device of a moved charger is below its new installation, without a reload or new ids."""
    devices = dr.async_get(hass)

    def device(device_id: str) -> dr.DeviceEntry:
        found = devices.async_get_device_by_identifier(
            (DOMAIN, device_id), live_entry.entry_id
        )
        assert found
        return found

    home = charger.installation
    before = device(charger.id)
    assert before.via_device_id == device(home.id).id
    entities = registered(hass, live_entry)
    runtime = live_entry.runtime_data

    sim.move_charger(charger.id, cabin.id)
    await runtime.coordinator.async_refresh()
    await hass.async_block_till_done()
    assert device(charger.id).id == before.id
    assert device(charger.id).via_device_id == device(cabin.id).id
    assert registered(hass, live_entry) == entities
    assert live_entry.runtime_data is runtime
    assert runtime.links.keys() == {home.id, cabin.id}

    sim.move_charger(charger.id, home.id)
    await runtime.coordinator.async_refresh()
    assert device(charger.id).via_device_id == device(home.id).id


async def test_its_available_current_is_that_of_the_new_installation(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
    moved: Charger,
    cabin: Installation,
    entities: EntityFinder,
) -> None:
    """A moved charger shows the available current of its new installation, and its changes."""
    assert entities.state("sensor", moved.id, "available_current") == "16.0"
    await hass.services.async_call(
        "number",
        "set_value",
        {
            "entity_id": entities.id("number", cabin.id, "available_current"),
            "value": 10,
        },
        blocking=True,
    )
    assert entities.state("sensor", moved.id, "available_current") == "10.0"

    home = next(item for item in sim.installations.values() if item is not cabin)
    await hass.services.async_call(
        "number",
        "set_value",
        {
            "entity_id": entities.id("number", home.id, "available_current"),
            "value": 8,
        },
        blocking=True,
    )
    assert entities.state("sensor", moved.id, "available_current") == "10.0"


@pytest.mark.parametrize("fails", ["Cabin", "Home"])
async def test_its_entities_are_available_with_the_new_installations_link(
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    moved: Charger,
    cabin: Installation,
    entities: EntityFinder,
    fails: str,
) -> None:
    """The link of the new installation decides about availability, not that of the former one."""
    # The charger cannot be read, so that the link alone keeps it available.
    sim.rest.fail(f"/api/chargers/{moved.id}/state$", fault=500)
    live_entry.runtime_data.reader.read(moved.id)
    await time_machine.travel(40)
    await wait_until(lambda: not live_entry.runtime_data.reader.is_live(moved.id))
    mode = ("sensor", moved.id, "charger_operation_mode")
    assert entities.state(*mode) != STATE_UNAVAILABLE

    failing = next(item for item in sim.installations.values() if item.name == fails)
    sim.rest.fail(f"{failing.id}/messagingConnectionDetails$", fault=500)
    sim.bus.detach(failing.topic)
    links = live_entry.runtime_data.links
    await wait_until(lambda: links[failing.id].status is PushStatus.DISCONNECTED)
    await time_machine.settle()
    is_available = entities.state(*mode) != STATE_UNAVAILABLE
    assert is_available is (fails == "Home")


async def test_its_messages_come_from_the_new_installation(
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    moved: Charger,
    cabin: Installation,
    entities: EntityFinder,
) -> None:
    """Messages of a moved charger come over the new link, so it need not be polled."""
    sim.rest.clear()
    moved.plug_in(Car())
    await entities.wait_for(
        "sensor", moved.id, "charger_operation_mode", "connected_requesting"
    )
    await time_machine.travel(600)
    assert all(
        link.counters.losses == 0 for link in live_entry.runtime_data.links.values()
    )
    assert not [item for item in sim.rest.requests if item.path.endswith("/state")]


async def test_an_installation_that_appears_with_the_charger_gets_a_link(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    charger: Charger,
    entities: EntityFinder,
) -> None:
    """An installation that appears with a moved charger gets a link, and its firmware is read."""
    before = registered(hass, live_entry)
    new = sim.add_installation(InstallationScenario(name="New", available_current=20))
    next(iter(sim.accounts.values())).roles[new.id] = OWNER
    sim.move_charger(charger.id, new.id)
    sim.rest.clear()
    await live_entry.runtime_data.coordinator.async_refresh()
    await wait_until_live(hass, live_entry)
    assert before.items() <= registered(hass, live_entry).items()
    await wait_until(lambda: sim.bus.consumers(new.topic) == 1)
    assert entities.state("sensor", charger.id, "available_current") == "20.0"
    await wait_until(
        lambda: any(
            record.path == f"/api/chargerFirmware/installation/{new.id}"
            for record in sim.rest.requests
        )
    )
    charger.plug_in(Car())
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_requesting"
    )


async def test_without_permission_for_messages_it_is_polled_from_then_on(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    charger: Charger,
    cabin: Installation,
    entities: EntityFinder,
) -> None:
    """Without permission to read the new installation's messages, the charger is polled."""
    account = next(iter(sim.accounts.values()))
    account.roles[cabin.id] = UserRole.USER
    await hass.config_entries.async_reload(live_entry.entry_id)
    await time_machine.travel(60)
    links = live_entry.runtime_data.links
    assert links[cabin.id].status is PushStatus.NOT_PERMITTED
    sim.move_charger(charger.id, cabin.id)
    await live_entry.runtime_data.coordinator.async_refresh()
    await time_machine.travel(30)
    charger.plug_in(Car())
    await time_machine.travel(630)
    await entities.wait_for(
        "sensor", charger.id, "charger_operation_mode", "connected_charging"
    )


async def test_what_the_former_link_did_not_report_is_no_loss(
    time_machine: TimeMachine,
    sim: Simulator,
    live_entry: MockConfigEntry,
    charger: Charger,
    cabin: Installation,
    entities: EntityFinder,
) -> None:
    """Values reported over another link between move and list do not count as lost messages."""
    runtime = live_entry.runtime_data
    await time_machine.travel(60)
    runtime.reader.read(charger.id)
    await time_machine.travel(30)
    sim.bus.interfere(cabin.topic, "elsewhere")
    sim.move_charger(charger.id, cabin.id)
    charger.plug_in(Car())
    await time_machine.travel(20)
    runtime.reader.read(charger.id)
    await time_machine.travel(20)
    sim.bus.interfere(cabin.topic, None)
    await runtime.coordinator.async_refresh()
    await time_machine.travel(300, step=15)
    assert all(link.counters.losses == 0 for link in runtime.links.values())
