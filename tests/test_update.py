"""The update entity of a charger's firmware."""

import asyncio
import json
from pathlib import Path

from homeassistant.components.update import (
    ATTR_IN_PROGRESS,
    ATTR_INSTALLED_VERSION,
    ATTR_LATEST_VERSION,
    ATTR_RELEASE_SUMMARY,
    SERVICE_INSTALL,
)
from homeassistant.const import ATTR_ENTITY_ID, STATE_OFF, STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec import texts
from custom_components.zaptec.const import FIRMWARE_INTERVAL
from simulator.charger import Charger
from simulator.faults import Fault, Rejection
from simulator.scenario import (
    OWNER,
    AccountScenario,
    ChargerScenario,
    InstallationScenario,
    Scenario,
)
from simulator.simulator import Simulator

from .conftest import EntityFinder, TimeMachine, set_up, wait_until, wait_until_live

FIRMWARE_PATH = "/chargerFirmware/"
DAY = FIRMWARE_INTERVAL.total_seconds()


@pytest.fixture
def scenario() -> Scenario:
    """Return a home whose charger has an old firmware."""
    return Scenario(
        installations=(
            InstallationScenario(
                name="Home",
                chargers=(
                    ChargerScenario(
                        serial="ZAP000101", name="Carport", firmware="2.4.2.3"
                    ),
                ),
            ),
        ),
        accounts=(
            AccountScenario(
                user_name="owner@example.com", password="x", roles={"Home": OWNER}
            ),
        ),
    )


class Firmware:
    """The update entity of the charger."""

    def __init__(
        self, hass: HomeAssistant, charger: Charger, found: EntityFinder
    ) -> None:
        """Initialize the update entity's helper."""
        self._hass = hass
        self._charger = charger
        self._found = found

    @property
    def state(self) -> State:
        """Return the state of the entity."""
        state = self._hass.states.get(
            self._found.id("update", self._charger.id, "firmware_update")
        )
        assert state
        return state

    @property
    def installed(self) -> str:
        """Return the version that is shown as installed."""
        return str(self.state.attributes[ATTR_INSTALLED_VERSION])

    @property
    def in_progress(self) -> bool:
        """Return whether an installation is shown."""
        return bool(self.state.attributes[ATTR_IN_PROGRESS])

    async def install(self) -> None:
        """Install the latest version."""
        await self._hass.services.async_call(
            "update",
            SERVICE_INSTALL,
            {ATTR_ENTITY_ID: self.state.entity_id},
            blocking=True,
        )


@pytest.fixture
async def firmware(
    hass: HomeAssistant,
    live_entry: MockConfigEntry,
    charger: Charger,
    entities: EntityFinder,
) -> Firmware:
    """Return the update entity, once it has been added."""
    await wait_until(lambda: bool(live_entry.runtime_data.firmware.data))
    await hass.async_block_till_done()
    return Firmware(hass, charger, entities)


async def test_it_installs_through_the_chargers_restart(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    firmware: Firmware,
) -> None:
    """The entity shows progress until the charger reports the new version after its restart."""
    assert firmware.state.state == STATE_ON
    assert firmware.installed == "2.4.2.3"
    assert firmware.state.attributes[ATTR_LATEST_VERSION] == charger.available_firmware
    assert not firmware.in_progress

    await firmware.install()
    assert firmware.in_progress
    await time_machine.travel(30)
    assert not charger.is_online
    assert firmware.in_progress
    assert firmware.state.state == STATE_ON
    await time_machine.travel(120)
    assert charger.is_online
    assert not firmware.in_progress
    assert firmware.state.state == STATE_OFF
    assert firmware.installed == charger.available_firmware


async def test_it_warns_that_it_interrupts_charging(
    time_machine: TimeMachine, firmware: Firmware
) -> None:
    """The warning about charging is shown while there is a newer version to install."""
    warning = firmware.state.attributes[ATTR_RELEASE_SUMMARY]
    assert warning.startswith("Installing the update interrupts charging")
    await firmware.install()
    await time_machine.travel(150)
    assert firmware.state.state == STATE_OFF
    assert firmware.state.attributes[ATTR_RELEASE_SUMMARY] is None


TRANSLATIONS = Path(texts.__file__).parent / "translations"


@pytest.mark.parametrize("language", [file.stem for file in TRANSLATIONS.iterdir()])
async def test_the_warning_in_each_language(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    charger: Charger,
    entities: EntityFinder,
    language: str,
) -> None:
    """The warning fits into the 255 characters that Home Assistant shows, in each language."""
    hass.config.language = language
    await set_up(hass, entry)
    await wait_until_live(hass, entry)
    await wait_until(lambda: bool(entry.runtime_data.firmware.data))
    await hass.async_block_till_done()
    text = json.loads((TRANSLATIONS / f"{language}.json").read_text("utf-8"))["common"]
    warning = Firmware(hass, charger, entities).state.attributes[ATTR_RELEASE_SUMMARY]
    assert warning == text["firmware_update_warning"]


async def test_an_installation_that_never_ends_is_given_up(
    time_machine: TimeMachine,
    charger: Charger,
    firmware: Firmware,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After half an hour the progress ends with a log line, and the user can try again."""
    monkeypatch.setattr(charger, "upgrade_firmware", lambda: None)
    await firmware.install()
    await time_machine.travel(29 * 60, step=15)
    assert firmware.in_progress
    await time_machine.travel(90, step=15)
    assert not firmware.in_progress
    assert firmware.state.state == STATE_ON
    assert "still has firmware 2.4.2.3" in caplog.text


async def test_an_unload_in_the_middle_leaves_no_timer(
    hass: HomeAssistant, live_entry: MockConfigEntry, firmware: Firmware
) -> None:
    """Unloading during an installation cancels its timer; Home Assistant's fixture checks that."""
    await firmware.install()
    await hass.config_entries.async_unload(live_entry.entry_id)
    assert firmware.state.state == STATE_UNAVAILABLE


async def test_an_unload_before_the_cloud_has_answered(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
    firmware: Firmware,
) -> None:
    """Unloading before the cloud has answered leaves no timer, either."""
    sim.rest.fail("/sendCommand/200", fault="hang")
    sim.rest.clear()
    installing = hass.async_create_task(firmware.install())
    await wait_until(lambda: bool(sim.rest.requests))
    await hass.config_entries.async_unload(live_entry.entry_id)
    sim.rest.heal()
    installing.cancel()
    await hass.async_block_till_done()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (500, "rejected_without_reason"),
        (403, "not_permitted"),
        (502, "uncertain"),
        ("reset", "cannot_connect"),
        (Rejection(528, "The charger is busy"), "rejected"),
        (Rejection(528), "rejected_without_reason"),
        (Rejection(None), "uncertain"),
    ],
)
async def test_an_installation_that_is_refused(
    sim: Simulator,
    live_entry: MockConfigEntry,
    firmware: Firmware,
    fault: Fault,
    sentence: str,
) -> None:
    """An installation that the cloud refuses shows no progress."""
    sim.rest.fail("/sendCommand/200", fault=fault)
    with pytest.raises(HomeAssistantError) as raised:
        await firmware.install()
    assert raised.value.translation_key == sentence
    assert not firmware.in_progress


async def test_an_installation_that_fails_unexpectedly(
    live_entry: MockConfigEntry, firmware: Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that fails with an unexpected exception shows no progress, either."""
    monkeypatch.setattr(
        live_entry.runtime_data.client, "send_command", lambda *_: 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        await firmware.install()
    assert not firmware.in_progress


async def test_an_installation_whose_call_is_cancelled(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    firmware: Firmware,
) -> None:
    """A cancelled call may have begun the installation, so progress is shown until the new version."""
    sim.rest.fail("/sendCommand/200", fault="hang")
    sim.rest.clear()
    installing = hass.async_create_task(firmware.install())
    await wait_until(lambda: bool(sim.rest.requests))
    assert firmware.in_progress
    installing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await installing
    assert not firmware.in_progress
    sim.rest.heal()
    charger.upgrade_firmware()
    await time_machine.travel(150)
    assert firmware.installed == charger.available_firmware
    assert not firmware.in_progress


async def test_the_list_is_asked_for_once_a_day(
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    firmware: Firmware,
) -> None:
    """The firmware list is requested once a day, and a new version appears after that."""

    def asked() -> int:
        count = sum(FIRMWARE_PATH in record.path for record in sim.rest.requests)
        sim.rest.clear()
        return count

    charger.available_firmware = "2.5.0.1"
    assert asked() == 1
    await time_machine.travel(DAY - 600, step=300)
    assert asked() == 0
    await time_machine.travel(700, step=60)
    assert asked() == 1
    assert firmware.state.attributes[ATTR_LATEST_VERSION] == "2.5.0.1"


@pytest.mark.parametrize("fault", [500, "reset", "html"])
async def test_a_list_that_fails_at_first(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    entry: MockConfigEntry,
    entities: EntityFinder,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
) -> None:
    """If the firmware list fails at first, all else works, and the entity follows an hour later."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)
    sim.rest.fail(FIRMWARE_PATH, fault=fault)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    await time_machine.travel(10)
    assert not hass.states.async_all("update")
    sim.rest.heal()
    await time_machine.travel(3700, step=30)
    assert Firmware(hass, charger, entities).state.state == STATE_ON


async def test_a_list_that_is_not_shown_to_this_account(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An account that may not see the firmware list has no update entity, and no error."""
    sim.rest.fail(FIRMWARE_PATH, fault=403)
    await hass.config_entries.async_setup(entry.entry_id)
    await wait_until_live(hass, entry)
    await time_machine.travel(10)
    assert not hass.states.async_all("update")
    assert entry.runtime_data.firmware.last_update_success
    assert "Error fetching" not in caplog.text


async def test_a_charger_that_comes_later_gets_one_too(
    hass: HomeAssistant,
    sim: Simulator,
    time_machine: TimeMachine,
    charger: Charger,
    firmware: Firmware,
    entities: EntityFinder,
) -> None:
    """When a new charger is found, the firmware list is requested, so that it gets an entity."""
    newcomer = sim.add_charger(charger.installation.id, serial="ZAP000777", name="New")
    await time_machine.travel(3700, step=15)
    assert Firmware(hass, newcomer, entities).state.state == STATE_OFF
