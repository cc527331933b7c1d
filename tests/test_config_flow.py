"""The config flow, against the simulated cloud."""

from collections.abc import Generator
from unittest.mock import AsyncMock, patch

from homeassistant.config_entries import SOURCE_USER
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.zaptec.api import ZaptecClient, ZaptecResponseError
from custom_components.zaptec.const import DOMAIN
from simulator.faults import Fault
from simulator.scenario import DEMO_USER
from simulator.simulator import Simulator

from .conftest import PASSWORD

ACCOUNT = {CONF_USERNAME: DEMO_USER, CONF_PASSWORD: PASSWORD}


@pytest.fixture(autouse=True)
def mock_setup_entry() -> Generator[AsyncMock]:
    """Replace the set-up of the entry."""
    with patch(
        "custom_components.zaptec.async_setup_entry", return_value=True
    ) as mocked:
        yield mocked


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a cloud that fails on purpose."""
    monkeypatch.setattr("custom_components.zaptec.api.requester.BACKOFF_BASE", 0.0)


async def test_sign_in(
    hass: HomeAssistant, sim: Simulator, mock_setup_entry: AsyncMock
) -> None:
    """Signing in creates an entry for the account."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "user"
    assert result["errors"] == {}

    result = await hass.config_entries.flow.async_configure(
        result["flow_id"],
        {CONF_USERNAME: f" {DEMO_USER.title()} ", CONF_PASSWORD: PASSWORD},
    )
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"base": "invalid_auth"}

    result = await hass.config_entries.flow.async_configure(result["flow_id"], ACCOUNT)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "Zaptec"
    assert result["data"] == ACCOUNT
    assert result["result"].unique_id == DEMO_USER
    assert len(mock_setup_entry.mock_calls) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (400, "invalid_auth"),
        ("reset", "cannot_connect"),
        (503, "cloud_busy"),
        (429, "cloud_busy"),
        (502, "cloud_busy"),
        ("html", "intercepted"),
        ("redirect", "intercepted"),
        ("malformed", "intercepted"),
        (511, "intercepted"),
    ],
)
async def test_errors_are_distinguished_and_can_be_corrected(
    hass: HomeAssistant, sim: Simulator, fault: Fault, error: str
) -> None:
    """Each fault has its own message, and the user can try again in the same form."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    sim.rest.fail("/oauth/token", fault=fault)
    result = await hass.config_entries.flow.async_configure(result["flow_id"], ACCOUNT)
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"base": error}

    sim.rest.heal()
    result = await hass.config_entries.flow.async_configure(result["flow_id"], ACCOUNT)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_a_wrong_password_is_shown(hass: HomeAssistant, sim: Simulator) -> None:
    """A wrong password is shown as such, not as an unexpected error."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {**ACCOUNT, CONF_PASSWORD: "wrong"}
    )
    assert result["errors"] == {"base": "invalid_auth"}


@pytest.mark.parametrize(
    "error", [ZaptecResponseError("odd"), RuntimeError("a bug of ours")]
)
async def test_the_unexpected_is_logged(
    hass: HomeAssistant,
    sim: Simulator,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An unexpected exception is logged and shown as an unknown error."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    with patch.object(ZaptecClient, "authenticate", side_effect=error):
        result = await hass.config_entries.flow.async_configure(
            result["flow_id"], ACCOUNT
        )
    assert result["errors"] == {"base": "unknown"}
    assert str(error) in caplog.text


async def test_a_forgotten_dialog_blocks_no_other(
    hass: HomeAssistant, sim: Simulator
) -> None:
    """An abandoned flow does not block a new one; the user may have reloaded the page."""
    for expected in (FlowResultType.FORM, FlowResultType.CREATE_ENTRY):
        result = await hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_USER}
        )
        password = "wrong" if expected is FlowResultType.FORM else PASSWORD
        result = await hass.config_entries.flow.async_configure(
            result["flow_id"], {**ACCOUNT, CONF_PASSWORD: password}
        )
        assert result["type"] is expected


async def test_an_account_is_set_up_once(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry
) -> None:
    """An account cannot be added twice, even with different capitals in its address."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {**ACCOUNT, CONF_USERNAME: DEMO_USER.upper()}
    )
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"


@pytest.mark.parametrize("step", ["reauth_confirm", "reconfigure"])
async def test_a_new_password_is_stored(
    hass: HomeAssistant, sim: Simulator, entry: MockConfigEntry, step: str
) -> None:
    """Reauthentication and reconfiguration store a new password, also after a wrong one."""
    sim.set_password(DEMO_USER, "new")
    if step == "reauth_confirm":
        result = await entry.start_reauth_flow(hass)
    else:
        result = await entry.start_reconfigure_flow(hass)
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == step
    assert result["description_placeholders"][CONF_USERNAME] == DEMO_USER

    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_PASSWORD: "wrong"}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["errors"] == {"base": "invalid_auth"}
    assert entry.data == ACCOUNT

    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_PASSWORD: "new"}
    )
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == f"{step.removesuffix('_confirm')}_successful"
    assert entry.data == {**ACCOUNT, CONF_PASSWORD: "new"}
    await hass.async_block_till_done()
