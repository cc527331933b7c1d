"""The account's user name is an e-mail address, and must not be in any log."""

from dataclasses import replace
import logging

from homeassistant.config_entries import SOURCE_USER, ConfigEntryState
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.const import DOMAIN
from custom_components.zaptec.runtime import ZaptecConfigEntry
from simulator.scenario import DEMO_USER, Scenario
from simulator.simulator import Simulator

from .conftest import (
    PASSWORD,
    SecretsInLogs,
    TimeMachine,
    add_entry,
    set_up,
    wait_until_live,
)

ONE_HOME = Scenario.of(1)
SECOND_USER = "second@example.com"


@pytest.fixture(autouse=True)
def _every_level(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Log at every level, and do not wait for a cloud that fails on purpose."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)


async def sign_in(hass: HomeAssistant, user_name: str = DEMO_USER) -> ZaptecConfigEntry:
    """Add an account as a user does."""
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    result = await hass.config_entries.flow.async_configure(
        flow["flow_id"], {CONF_USERNAME: user_name, CONF_PASSWORD: PASSWORD}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    return result["result"]


def shown(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of any logger that contain the user name."""
    return [
        f"{record.name}: {record.getMessage()}"
        for record in caplog.records
        if DEMO_USER in record.getMessage().lower()
    ]


async def test_no_log_of_an_account_shows_it(
    hass: HomeAssistant,
    time_machine: TimeMachine,
    sim: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No line contains it from the sign-in to the removal, with an outage and a new password."""
    entry = await sign_in(hass)
    assert entry.title == "Zaptec"
    await wait_until_live(hass, entry)
    await sim.rest.cut()
    await sim.bus.cut()
    await entry.runtime_data.coordinator.async_refresh()
    await time_machine.travel(120, step=20)
    assert not await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert "'Zaptec' for zaptec integration not ready yet" in caplog.text
    await sim.rest.restore()
    await sim.bus.restore()
    assert await hass.config_entries.async_reload(entry.entry_id)
    await wait_until_live(hass, entry)
    sim.set_password(DEMO_USER, "Another-passw0rd")
    await entry.runtime_data.coordinator.async_refresh()
    await hass.async_block_till_done()
    assert hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert not await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_ERROR
    assert await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()
    assert shown(caplog) == []


async def test_titles_differ(
    hass: HomeAssistant, sim: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The entries of a user with several accounts have different titles."""
    MockConfigEntry(domain=DOMAIN, title="Zaptec 2", unique_id="a").add_to_hass(hass)
    MockConfigEntry(domain=DOMAIN, title="Zaptec", unique_id="b").add_to_hass(hass)
    entry = await sign_in(hass)
    assert entry.title == "Zaptec 3"
    await wait_until_live(hass, entry)


@pytest.mark.parametrize(
    "scenario",
    [
        replace(
            ONE_HOME,
            accounts=(
                *ONE_HOME.accounts,
                replace(ONE_HOME.accounts[0], user_name=SECOND_USER),
            ),
        )
    ],
)
async def test_an_account_without_chargers_of_its_own_does_not_show_it(
    hass: HomeAssistant,
    sim: Simulator,
    live_entry: MockConfigEntry,
    secrets_in_logs: SecretsInLogs,
) -> None:
    """The log line that another account has set up the chargers does not contain the user name."""
    await set_up(hass, add_entry(hass, sim, SECOND_USER))
    await hass.async_block_till_done()
    assert secrets_in_logs.lines == []


@pytest.mark.parametrize("name", ["", ".api.transport", ".refresh"])
def test_the_watcher_sees_it(
    secrets_in_logs: SecretsInLogs, sim: Simulator, name: str
) -> None:
    """The check notices the user name at every level, and in any capitals."""
    logger = logging.getLogger(f"custom_components.zaptec{name}")
    logger.debug("Signing in as %s", DEMO_USER.upper())
    logging.getLogger("homeassistant.core").debug("%s", DEMO_USER)
    assert len(secrets_in_logs.lines) == 1
    secrets_in_logs.lines.clear()
