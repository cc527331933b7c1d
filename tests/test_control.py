"""Control of chargers and installations, tested without an account around it."""

from collections.abc import AsyncGenerator
from dataclasses import fields
from datetime import UTC, datetime
import inspect
from typing import Any
from unittest.mock import AsyncMock, Mock, create_autospec

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
import pytest

from custom_components.zaptec.api import (
    Account,
    Charger,
    Command,
    DeviceType,
    Installation,
    Observation,
    StateId,
    UserRole,
    ZaptecAuthenticationError,
    ZaptecClient,
    ZaptecConnectionError,
)
from custom_components.zaptec.control import settings
from custom_components.zaptec.control.batch import Batches
from custom_components.zaptec.control.charger import ChargerControl
from custom_components.zaptec.control.commands import COMMANDS
from custom_components.zaptec.control.confirmations import Confirmations
from custom_components.zaptec.control.installation import InstallationControl
from custom_components.zaptec.control.settings import (
    MAX_CURRENT,
    MIN_CURRENT,
    PHASE_SWITCH_CURRENT,
    ChargerSetting,
    InstallationSetting,
)
from custom_components.zaptec.listeners import Listeners
from custom_components.zaptec.state import States

CHARGER = Charger(
    id="charger",
    device_type=DeviceType.APOLLO,
    current_user_roles=UserRole.OWNER,
    installation_id="home",
)
INSTALLATION = Installation(id="home", current_user_roles=UserRole.OWNER)


class Home:
    """One charger and its installation, with a client that only records its calls."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize the home."""
        self.client: Any = create_autospec(ZaptecClient, instance=True)
        self.account = Account({"home": INSTALLATION}, {"charger": CHARGER})
        self.start_reauth = Mock()
        self.is_live = True
        listeners = Listeners()
        self.states = States(listeners, on_unknown=Mock(), on_new_version=Mock())
        self.states.follow(self.account)
        self.confirmations = Confirmations(hass, self.states, Mock())
        batches = Batches()
        self.chargers = ChargerControl(
            hass,
            self.client,
            self.states,
            listeners,
            account=lambda: self.account,
            confirmations=self.confirmations,
            batches=batches,
            is_live=lambda _: self.is_live,
            look_at_installation=AsyncMock(),
            newest_firmware=lambda _: "2.0",
            start_reauth=self.start_reauth,
        )
        self.installations = InstallationControl(
            hass,
            self.client,
            self.states,
            account=lambda: self.account,
            visible=lambda: self.account,
            missing=lambda: (),
            replace_installation=self._replace,
            replaced_at=lambda _: float("inf"),
            confirmations=self.confirmations,
            batches=batches,
            create_task=Mock(),
            start_reauth=self.start_reauth,
        )

    def _replace(self, installation: Installation) -> None:
        """Replace the installation by a changed one."""
        self.account = Account({"home": installation}, self.account.chargers)

    def report(self, state_id: StateId, value: str) -> None:
        """Let the charger report a value."""
        self.states.apply(
            [Observation("charger", int(state_id), datetime.now(UTC), value)]
        )


@pytest.fixture
async def home(hass: HomeAssistant) -> AsyncGenerator[Home]:
    """Return a home, and cancel its timers at the end."""
    home = Home(hass)
    yield home
    home.confirmations.stop()


def rows(kind: type[Any]) -> list[Any]:
    """Return all settings of a kind."""
    return [item for item in vars(settings).values() if isinstance(item, kind)]


def test_each_command_has_a_row() -> None:
    """Each command has a row, without which it could not be sent."""
    assert COMMANDS.keys() == set(Command)


@pytest.mark.parametrize("setting", rows(ChargerSetting), ids=lambda x: x.keyword)
def test_a_row_of_a_charger_names_an_argument_of_the_client(
    setting: ChargerSetting,
) -> None:
    """Rows name existing arguments of the client, which no type checker can check in strings."""
    assert setting.keyword in inspect.signature(ZaptecClient.update_charger).parameters


@pytest.mark.parametrize("setting", rows(InstallationSetting), ids=lambda x: x.keyword)
def test_a_row_of_an_installation_names_an_argument_and_a_field(
    setting: InstallationSetting,
) -> None:
    """Rows of installations name an argument and the field that shows the value once it is sent."""
    method = inspect.signature(ZaptecClient.update_installation)
    assert setting.keyword in method.parameters
    assert setting.keyword in {field.name for field in fields(Installation)}


async def test_a_command_is_sent_unless_it_is_done(home: Home) -> None:
    """A command without an effect is not sent, as the vendor asks."""
    home.report(StateId.CHARGER_OPERATION_MODE, "3")
    await home.chargers.async_send("charger", Command.STOP_CHARGING_FINAL)
    home.client.send_command.assert_awaited_once_with(
        "charger", Command.STOP_CHARGING_FINAL
    )
    home.report(StateId.FINAL_STOP_ACTIVE, "1")
    home.report(StateId.CHARGER_OPERATION_MODE, "5")
    await home.chargers.async_send("charger", Command.STOP_CHARGING_FINAL)
    home.client.send_command.assert_awaited_once()


async def test_a_command_is_sent_again_while_its_effect_is_uncertain(
    home: Home,
) -> None:
    """While the effect of a command is uncertain, it is sent again."""
    home.report(StateId.CHARGER_OPERATION_MODE, "1")
    home.is_live = False
    await home.chargers.async_send("charger", Command.STOP_CHARGING_FINAL)
    home.client.send_command.assert_awaited_once()


async def test_the_newest_firmware_is_not_installed_again(home: Home) -> None:
    """The newest firmware is not installed again, because the charger would restart for nothing."""
    home.report(StateId.SOFTWARE_VERSION, "2.0")
    await home.chargers.async_send("charger", Command.UPGRADE_FIRMWARE)
    home.client.send_command.assert_not_awaited()


async def test_a_setting_is_one_request(home: Home) -> None:
    """A setting is one request, with the cloud's name and the value from the row."""
    home.report(StateId.CHARGER_MAX_CURRENT, "20")
    await home.chargers.async_set("charger", MAX_CURRENT, 16.04)
    home.client.update_charger.assert_awaited_once_with(
        "charger", max_charge_current=16.0
    )
    with pytest.raises(ServiceValidationError) as raised:
        await home.chargers.async_set("charger", MIN_CURRENT, 17)
    assert raised.value.translation_key == "min_current_above_max"


async def test_a_setting_of_an_installation_is_shown_at_once(home: Home) -> None:
    """An accepted setting of an installation is shown at once, because no message reports it."""
    await home.installations.async_set("home", PHASE_SWITCH_CURRENT, 12)
    await home.installations.async_set("home", PHASE_SWITCH_CURRENT, 12)
    home.client.update_installation.assert_awaited_once_with(
        "home", three_to_one_phase_switch_current=12
    )
    installation = home.account.installations["home"]
    assert installation.three_to_one_phase_switch_current == 12


@pytest.mark.parametrize(
    ("error", "key", "asks_for_password"),
    [
        (ZaptecAuthenticationError("x"), "authentication_failed", True),
        (ZaptecConnectionError("x"), "cannot_connect", False),
    ],
)
async def test_all_ways_translate_errors_alike(
    home: Home, error: Exception, key: str, asks_for_password: bool
) -> None:
    """All ways to send translate the cloud's errors to the same texts."""
    client = home.client
    for method in (
        client.send_command,
        client.update_charger,
        client.update_installation,
    ):
        method.side_effect = error
    for call in (
        home.chargers.async_send("charger", Command.RESTART_CHARGER),
        home.chargers.async_set("charger", MAX_CURRENT, 10),
        home.installations.async_set("home", PHASE_SWITCH_CURRENT, 12),
    ):
        with pytest.raises(HomeAssistantError) as raised:
            await call
        assert raised.value.translation_key == key
    assert home.start_reauth.called is asks_for_password
